"""MLflow's registry, and where a model is found.

store       connecting to MLflow; the registered models, one a data set, and their versions
answers     the meaning of a version's predictions: the names of the classes
models      from what the user names (a run, an alias, a .keras file) to the model's file
aliases     `champion` and `previous`, moved so that a kill or a second process does no harm

`promotion` moves the aliases. `promotion`, `evaluation`, `serving` and `replay` find models.
`delete_study` asks which versions are champions.
"""
