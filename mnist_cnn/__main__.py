"""`python -m mnist_cnn`, the same as `mnist-cnn`."""

from mnist_cnn.cli import main

main()
