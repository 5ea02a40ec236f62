"""Optuna's state, and every decision that is made from it.

In reading order:

    storage       opens Optuna's storage: a SQLite file or a PostgreSQL database
    proxy         serves the storage to workers on other machines
    outage        how long a search waits while workers cannot reach the storage
    lock          lets one search at a time hold a study
    opening       chooses the study to continue, locks it, and checks that its files belong to it
    study         a study: its ranking, its confirmations, the files that it keeps
    trials        the trials of one Optuna study: how each is interrupted, ended and told
    scheduling    what an idle worker does next: a new configuration, or one that is continued
    chains        how one trial continues another
    screening     which stopped trial is continued next: successive halving
    candidates    which of the best trials wins, by its scores on fresh seeds
    confirmation  trains the best trials again on fresh seeds
    warm_start    begins a new study with the best configurations of the one before it
    recovery      recovers from a killed search
    models        finds damaged models and replaces them
    budget        divides a search's time between trials, confirmations and the end
    outcome       how a trial's end is written to its journal

`search_process` calls `opening` and `recovery` first, then `scheduling` and `confirmation` whenever
a worker is idle, and `trials` whenever a worker is done. It alone creates, enqueues, asks and
tells. `training.trial` runs in a worker: it reads this state, and writes a trial's parameters and
reports to `storage`. `report` reads it all.
"""
