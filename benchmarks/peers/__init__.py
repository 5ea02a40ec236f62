"""The searches that `benchmarks/bench.py` compares, each a process of its own.

All of them search search_spaces/cnn.py on the same training and validation images. `guide` runs a
tool as its own guide shows it; `settings` gives it the precision, compiler setting and batch size
of this project. Then only the search differs, and the parts of this project's trials: averaged
weights, short epochs, the input pipeline, a worker per core.
"""

# The shown name -> the module in this folder, its arguments.
METHODS = {
    "mnist-cnn": ("ours", "whole"),
    "mnist-cnn, trials only": ("ours", "trials"),
    "mnist-cnn, trials only, no baselines": ("ours", "bare"),
    "KerasTuner Hyperband": ("keras_tuner_search", "hyperband", "guide"),
    "KerasTuner BayesianOptimization": ("keras_tuner_search", "bayesian", "guide"),
    "KerasTuner RandomSearch": ("keras_tuner_search", "random", "guide"),
    "Optuna TPE, median": ("optuna_search", "median", "guide"),
    "Optuna TPE, SHA": ("optuna_search", "sha", "guide"),
    "Ray Tune ASHA, Optuna": ("ray_search", "asha", "guide"),
    "KerasTuner Hyperband, our settings": ("keras_tuner_search", "hyperband", "settings"),
    "KerasTuner BayesianOptimization, our settings": ("keras_tuner_search", "bayesian", "settings"),
    "KerasTuner RandomSearch, our settings": ("keras_tuner_search", "random", "settings"),
    "Optuna TPE, median, our settings": ("optuna_search", "median", "settings"),
    "Optuna TPE, SHA, our settings": ("optuna_search", "sha", "settings"),
    "Ray Tune ASHA, Optuna, our settings": ("ray_search", "asha", "settings"),
}
