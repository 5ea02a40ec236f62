"""Hyperparameter search for Keras: spaces in KerasTuner's words, trials by Optuna, runs in MLflow."""
