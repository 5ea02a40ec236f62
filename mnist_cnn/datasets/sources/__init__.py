"""The sources: each is a module with a function that returns a `Dataset`.

mnist          shipped with this package
digits         scikit-learn's
keras_dataset  those that Keras downloads
idx            MNIST's own format, with `emnist`: peculiarities of EMNIST's files
npz            NumPy's files
folder         a sub-folder of pictures per class
table          a table of pixels or of names of pictures, with `table_file`: its columns

A new source is a new module here. `datasets.source` finds the right one for a path.
"""
