"""Hyperparameter search for Keras: KerasTuner's spaces, Optuna's trials, MLflow's runs."""
