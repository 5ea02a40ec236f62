"""What pictures share, and the picture of one training."""
