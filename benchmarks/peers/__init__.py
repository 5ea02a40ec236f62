"""The searches that `benchmarks/bench.py` holds side by side, each a process of its own.

All of them search search_spaces/cnn.py on the same training and validation images. `guide` runs a
tool as its own guide shows it; `settings` gives it the precision, compiler setting and batch size
of this project, so that what remains is the search.
"""
