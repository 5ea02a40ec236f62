"""Images in batches for Keras: shuffled by a seed for training, in order for scoring."""

import functools

import tensorflow as tf

from mnist_cnn.datasets import Images

EVALUATION_BATCH_SIZE = 1000

# Data in memory need no autotuning, but Keras waits for the autotuner's thread at the end of every
# iteration: 0.3 s after a validation, up to 18 s after a training of 30 s.
_UNTUNED = tf.data.Options()
_UNTUNED.autotune.enabled = False


def training_batches(
    images: Images, batch_size: int, seed: int, first_batch: int
) -> tf.data.Dataset:
    """Return endless shuffled batches of (x, y).

    Each pass over the images has an order that depends on the seed and the number of the pass. The
    images stay in memory as two tensors, and a batch is one gather, so no Python runs per batch.
    Images that do not fill a batch at the end of a pass are left out; they differ from pass to
    pass.

    Args:
        images: At least `batch_size` images.
        batch_size: The number of images in a batch.
        seed: The seed of the order.
        first_batch: The number of the first batch, from 0. It is larger when a training resumes.
    """
    x, y = _tensors(images)
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
        .map(lambda index: (tf.gather(x, index), tf.gather(y, index)))
        .prefetch(2)
        .with_options(_UNTUNED)
    )


def evaluation_batches(images: Images) -> tf.data.Dataset:
    """Return large batches of (x, y): every image once, in order."""
    all_images = tf.data.Dataset.from_tensor_slices((images.x, images.y))
    return all_images.batch(EVALUATION_BATCH_SIZE).with_options(_UNTUNED)


@functools.lru_cache(maxsize=1)  # takes 0.3 s for MNIST, and all trials have the same images
def _tensors(images: Images) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.constant(images.x), tf.constant(images.y)
