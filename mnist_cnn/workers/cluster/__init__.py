"""Workers on the nodes of a Ray cluster. Ray places them, and nothing else of it is used.

In the search process:

    wanted     parses `--workers ray:16`
    shipping   the files of the project that are sent
    joining    joins a cluster, and sends it the project
    nodes      checks whether the nodes can run the search
    actors     a pool of actors, with the interface of `workers.pool`
    questions  the requests that actors have not answered yet

On a node:

    node       an actor, with a worker process
    news       new content of the folder of its run, which `actors` copies back
    copies     the actor's copy of the project, and data that actors share
"""
