"""Worker processes: they take calls, and each may die without harm to the others.

In reading order:

    machine      what this machine has: cores, GPUs, memory, the precision that it computes fast
    pool         what a search asks of its workers, wherever they run
    local_pool   processes on this machine that take calls; a lost process is replaced
    worker       what runs in such a process
    process      starts processes that die when this one does
    ray_wanted   what `--workers ray:16` asks for
    ray_cluster  joins a Ray cluster, and checks that its nodes can do the work
    ray_node     an actor on a node, with a worker process and a copy of its run
    ray_pool     a pool of these actors
    signals      Ctrl-C, SIGTERM and a closed terminal: how a command ends, what Ctrl-C waits for

`search_process`, `retrain` and `evaluation.worker` place calls on a pool. The calls of a search are
the functions of `training.tasks`. Nothing here knows what a trial is.
"""
