"""Images in batches for Keras: shuffled by a seed for training, in order for scoring."""

import functools
import math
import mmap
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mnist_cnn.datasets import Images
from mnist_cnn.experiment import Experiment
from mnist_cnn.training.failure import TrainingFailed

# In a batch without training. The outputs of a model's first layer take 32 times as many values.
EVALUATION_PIXELS, EVALUATION_IMAGES = 1000 * 28 * 28, 1000
RESIDENT_BYTES = 2**28  # of pixels: MNIST has a fifth of that
# The number of batches in one call of the training function. Sixteen save the time that Python
# takes between batches (5 % of an epoch). More save nothing and detect a NaN later.
STEPS_PER_EXECUTION = 16

Take = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

# Data in memory need no autotuning, but Keras waits for the autotuner's thread at the end of every
# iteration: 0.3 s after a validation, up to 18 s after 30 s of training.
_UNTUNED = tf.data.Options()
_UNTUNED.autotune.enabled = False


def calls_of_epoch(experiment: Experiment, images: Images) -> tuple[int, int]:
    """Return the number of calls of the training function in an epoch, and of steps in each.

    Args:
        experiment: Has the batch size and the number of images in an epoch.
        images: The training images.

    Raises:
        TrainingFailed: The images do not fill a batch.
    """
    batch_size = experiment.batch_size
    if len(images) < batch_size:
        raise TrainingFailed(f"{len(images)} training images do not fill a batch of {batch_size}")
    steps = (experiment.epoch_images or len(images)) // batch_size
    # Keras only runs whole calls: 25 steps in calls of 16 would become 32.
    calls = math.ceil(steps / STEPS_PER_EXECUTION)
    return calls, steps // calls


def training_batches(
    images: Images, batch_size: int, seed: int, first_batch: int
) -> tf.data.Dataset:
    """Return endless shuffled batches of (x, y).

    Each pass over the images has an order that depends on the seed and the number of the pass.
    Images that do not fill a batch at the end of a pass are left out; they differ from pass to
    pass.

    Args:
        images: At least `batch_size` images.
        batch_size: The number of images in a batch.
        seed: The seed of the order.
        first_batch: The number of the first batch, from 0. It is larger when training resumes.
    """
    take = _taker(images)
    steps = len(images) // batch_size

    def indices(number: tf.Tensor) -> tf.data.Dataset:
        seeds = [tf.constant(seed, tf.int64), number]
        order = tf.random.experimental.stateless_shuffle(tf.range(len(images)), seeds)
        return tf.data.Dataset.from_tensor_slices(
            tf.reshape(order[: steps * batch_size], [steps, batch_size])
        )

    return (
        tf.data.Dataset.counter(first_batch // steps)
        .flat_map(indices)
        .skip(first_batch % steps)
        .map(take)
        .prefetch(2)
        .with_options(_UNTUNED)
    )


def evaluation_batch_size(shape: tuple[int, ...]) -> int:
    """Return how many images a model gets at once if it is not trained: 1000 of MNIST's.

    Args:
        shape: (height, width, channels) of one image.
    """
    return max(1, min(EVALUATION_IMAGES, EVALUATION_PIXELS // (shape[0] * shape[1])))


def evaluation_batches(images: Images) -> tf.data.Dataset:
    """Return large batches of (x, y): every image once, in order."""
    size = evaluation_batch_size(images.x.shape[1:])
    order = tf.data.Dataset.range(len(images)).batch(size)
    return order.map(_taker(images)).with_options(_UNTUNED)


@functools.lru_cache(maxsize=2)  # all trials of a worker have the same images
def _taker(images: Images) -> Take:
    """Return a function from indices to the images there, as float32 in [0, 1], and their labels.

    Small sets are tensors, and a batch is one gather. Larger ones are read from their file.
    """
    y = tf.constant(images.y)
    if images.x.nbytes <= RESIDENT_BYTES:
        x = tf.constant(images.x)
        return lambda index: (_scaled(tf.gather(x, index)), tf.gather(y, index))

    read = _reader(images.x)

    def streamed(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pixels = tf.numpy_function(read, [index], images.x.dtype)
        pixels.set_shape((None, *images.x.shape[1:]))
        return _scaled(pixels), tf.gather(y, index)

    return streamed


def _reader(x: NDArray[Any]) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Return a function that reads the images at some places.

    If the file is mapped, the system is told what will be read. Otherwise it would read ahead, as
    if the file were read in order: on some disks 8 MiB for an image of a few kilobytes.
    """
    mapped = x.base
    if not isinstance(x, np.memmap) or not isinstance(mapped, mmap.mmap):
        return lambda places: x[places]
    mapped.madvise(mmap.MADV_RANDOM)
    size, first = x.strides[0], x.offset % mmap.ALLOCATIONGRANULARITY

    def read(places: NDArray[Any]) -> NDArray[Any]:
        for place in places.tolist():  # the system reads all of them in parallel, in the background
            start = first + place * size
            page = start - start % mmap.PAGESIZE
            mapped.madvise(mmap.MADV_WILLNEED, page, start + size - page)
        return x[places]

    return read


def _scaled(pixels: tf.Tensor) -> tf.Tensor:
    """The same values as `Images.scaled`, bit for bit."""
    if pixels.dtype != tf.uint8:
        return pixels
    return tf.cast(pixels, tf.float32) / tf.constant(255, tf.float32)
