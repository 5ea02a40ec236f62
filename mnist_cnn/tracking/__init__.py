"""The events of each run, and their delivery to MLflow.

In reading order:

    journal          the file in which a run's events are written, one per line
    tags             the names of MLflow tags
    relocation       MLflow's URIs of artifacts, after the project was moved or copied
    client           connects to MLflow; which names it accepts
    views            views of a study in the MLflow UI
    events           what each kind of event becomes in MLflow
    delivery         brings the journals of one study to MLflow, as often as needed
    sync             when that happens: in the background of a search, or by `mnist-cnn sync`
    experiment_lock  one search or one delivery at a time uses an experiment's files here

A worker writes the journal of its run (`training.run`, `training.trial`). The search process writes
the study's own journal (`report.study_run`), and the pauses and ends of trials that lost their
worker (`study.trials`). Only `delivery` brings the journals to MLflow.
"""
