"""Keras: what a search runs in worker processes only.

In reading order:

    tasks          what other processes send to a worker; each task imports its module when it runs
    preflight      checks an experiment before its first trial
    trial          one trial or confirmation, from its parameters to the end in its journal
    sampling       the sampler and the pruner of a trial
    reporting      what a trial reports to Optuna meanwhile, and why it ends early
    train          builds the model of a run, trains it, scores it and saves it
    run            one run, and its events in the journal
    data           the training and validation images; `kept_images` has their files
    build          from a search space and hyperparameters to a compiled model
    architecture   a built model in a few words and numbers
    fit            trains a model, or resumes it
    batches        the images in the order of training
    averaging      the average of the weights, which is validated and saved
    checkpoint     the state of a run in one file, saved after every epoch
    callbacks      at the end of an epoch: a NaN guard, a relay of metrics, early stopping
    own_fit        a HyperModel's own `fit`: the call, and the score that it returns
    saving         writes the weights to a .keras file and scores it
    recipe         everything that the outcome of a run depends on
    backend        GPU or CPU, precision, XLA
    failure        how a run fails
    retrain        trains a recorded run again; `retrained` is its outcome
    export         writes a model in MLflow's format
    saved_model    loads a .keras file safely and predicts with it
    ensemble       several models averaged into one .keras file, for `promote --ensemble`

`search_process`, `retrain` and `report.study_run` send functions of `tasks` to workers.
`tasks.trial` calls `trial`, which calls `train`, which calls `build`, `fit` and `saving`.
`evaluation` and `serving` use `saved_model`; `evaluation.worker` also calls `ensemble` and
`export`.
"""
