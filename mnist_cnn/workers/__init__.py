"""Worker processes: they take calls, and each may die without harm to the others.

In reading order:

    machine  what this machine has: cores, GPUs, memory, and the precision that it computes fast
    pool     a fixed number of processes that take calls; a lost process is replaced
    signals  Ctrl-C, SIGTERM and a closed terminal: how a command ends, what Ctrl-C waits for

`run_search`, `retrain` and `evaluation.worker` place calls on a pool. The calls of a search are the
functions of `training.tasks`. Nothing here knows what a trial is.
"""
