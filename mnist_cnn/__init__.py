"""Hyperparameter search for Keras: KerasTuner's spaces, Optuna's trials, MLflow's runs.

The command line is `cli`. It calls one verb: run_search, replay, delete_study, ui, or a function of
a folder below. What a user writes against:

    experiment       the fields of an experiment
    datasets/        labelled images from any source
    hyperparameters  KerasTuner's `hp`, answered by an Optuna trial

What a search consists of. Each imports only from those above it:

    project, plan, sources, fingerprint
                     how an experiment is found, and what makes its trials comparable
    charts/          what all plots share
    tracking/        a run's journal, and how MLflow learns of it
    workers/         processes that take calls, and may die
    study/           Optuna's state, and what is decided from it
    training/        Keras: in worker processes only
    retrain          repeats a recorded training, for run_search and replay
    report/          what people see of a study
    run_search       one search, from the study to the report; `progress` shows it

What comes after a search: registry/, evaluation/, promotion/, serving/ and replay. At the bottom:
errors, files, file_lock, keras_file, urls, mlruns, optuna_internals.

docs/architecture.md follows one trial through these modules. tests/test_imports.py has the order of
all imports.
"""
