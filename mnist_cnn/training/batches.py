"""Images in batches, as Keras takes them: shuffled by seed for training, in order for scoring."""

import functools

import tensorflow as tf

from mnist_cnn.datasets import Images

EVALUATION_BATCH_SIZE = 1000

# There is nothing to tune in what is in memory already, but at the end of every iteration Keras
# waits for the autotuner's thread: 0.3 s after a validation, up to 18 s after a training of 30 s.
_UNTUNED = tf.data.Options()
_UNTUNED.autotune.enabled = False


def training_batches(
    images: Images, batch_size: int, seed: int, first_batch: int
) -> tf.data.Dataset:
    """Return endless shuffled batches of (x, y).

    The seed and the number of the pass give each pass over the images its order. The images stay
    in memory as two tensors and a batch is one gather, so no Python runs in between. The last
    images of a pass that do not fill a batch are left out; they differ from pass to pass.

    Args:
        images: At least `batch_size` of them.
        batch_size: How many images a batch has.
        seed: Of the order.
        first_batch: The number of the first batch, from 0; larger when a training goes on.
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
    """Return large batches of (x, y): all images once and in order."""
    all_images = tf.data.Dataset.from_tensor_slices((images.x, images.y))
    return all_images.batch(EVALUATION_BATCH_SIZE).with_options(_UNTUNED)


@functools.lru_cache(maxsize=1)  # a third of a second for MNIST, and every trial's are the same
def _tensors(images: Images) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.constant(images.x), tf.constant(images.y)
