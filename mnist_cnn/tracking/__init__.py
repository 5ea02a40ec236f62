"""What happened, and how MLflow learns of it."""
