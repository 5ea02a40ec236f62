"""Worker processes: they take calls, and each may die without harm to the others.

In reading order:

    machine      this machine's cores, GPUs, memory, and the precision that it computes fast
    pool         the interface of workers to a search, wherever they run
    local_pool   processes on this machine that take calls; a lost process is replaced
    worker       the main loop of such a process
    process      starts processes that die when this one does
    cluster/     a pool on the nodes of a Ray cluster
    signals      Ctrl-C, SIGTERM and a closed terminal: how a command ends, what Ctrl-C waits for

`search_process`, `retrain` and `evaluation.worker` place calls on a pool. The calls of a search are
the functions of `training.tasks`. Nothing here knows what a trial is.
"""
