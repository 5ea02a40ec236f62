"""Workers on the nodes of a Ray cluster. Ray places them, and nothing else of it is used.

In the search process:

    wanted     what `--workers ray:16` asks for
    joining    joins a cluster, and ships it the project
    nodes      what its nodes have, and whether they can do the work
    actors     a pool of actors, with the interface of `workers.pool`
    questions  what the actors were asked, and have not answered yet

On a node:

    node       an actor, with a worker process
    news       what is new in the folder of its run, which `actors` copies back
    copies     the actor's copy of the project, and data that actors share
"""
