"""`python -m mnist_cnn` is the same as `mnist-cnn`."""

from mnist_cnn.cli import main

main()
