"""The searches that `benchmarks/bench.py` holds side by side, each a process of its own.

All of them search search_spaces/cnn.py on the same training and validation images. `guide` runs a
tool as its own guide shows it; `settings` gives it the precision, compiler setting and batch size
of this project. What then differs is the search, and what belongs to this project's trials: the
learning rate that rises and falls, short epochs, the data's way to the model, a worker per core.
"""
