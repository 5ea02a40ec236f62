"""MLflow's registry, and where a model is found.

store      reaching MLflow; the versions of the registered model
models     a run, an alias or a .keras file: the model that the user means
aliases    `champion` and `previous`, moved so that a kill or a second mover does no harm
"""
