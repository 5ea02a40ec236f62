"""Image augmentation: hyperparameters that a search space takes in one line.

    images = augmented(hp, inputs, training=training)

The augmentations are layers of the model, which do nothing at prediction. A setting of 0 adds none.
"""

from collections.abc import Collection
from typing import Any

import keras
import keras_tuner
from keras import layers, ops

# These pay off within a few passes over the images. With the others, accuracy rises more slowly at
# first, and screening would judge them by that.
LIGHT = ("shift", "rotation")
ALL = (*LIGHT, "zoom", "shear", "elastic", "erasing")


def augmented(
    hp: keras_tuner.HyperParameters,
    images: keras.KerasTensor,
    kinds: Collection[str] = LIGHT,
    training: bool = True,
) -> keras.KerasTensor:
    """Augment images at random, each differently in each step.

    Args:
        hp: Gets a hyperparameter for the strength of each kind.
        images: Images in [0, 1] of shape (n, height, width, channels).
        kinds: The kinds of augmentation, from `ALL`. The others get no hyperparameter.
        training: Whether the model is built to be trained. If not, the images stay as they are.

    Raises:
        ValueError: A kind is unknown.
    """
    if unknown := sorted({*kinds} - {*ALL}):
        raise ValueError(f"there is no augmentation {unknown[0]!r}; valid: {', '.join(ALL)}")
    found: list[keras.Layer] = []
    _, height, width, _ = images.shape
    if "shift" in kinds and (shift := hp.Int("shift_pixels", 0, 2, default=0)):
        share = (min(1, shift / height), min(1, shift / width))
        found.append(
            layers.RandomTranslation(*share, fill_mode="constant", interpolation="nearest")
        )
    if "rotation" in kinds and (degrees := hp.Int("rotation_degrees", 0, 15, step=5, default=0)):
        found.append(layers.RandomRotation(degrees / 360, fill_mode="constant"))
    # float32, because bfloat16 represents positions to an eighth of a pixel only.
    exact: dict[str, Any] = {"dtype": "float32"}
    if "zoom" in kinds and (percent := hp.Int("zoom_percent", 0, 20, step=10, default=0)):
        share = (percent / 100, percent / 100)  # of the height and of the width, each on its own
        found.append(layers.RandomZoom(*share, fill_mode="constant", **exact))
    if "shear" in kinds and (percent := hp.Int("shear_percent", 0, 20, step=10, default=0)):
        found.append(layers.RandomShear(percent / 100, 0.0, fill_mode="constant", **exact))
    if "elastic" in kinds and (percent := hp.Int("elastic_percent", 0, 6, step=2, default=0)):
        found.append(ElasticDistortion(percent / 100))
    if "erasing" in kinds and (percent := hp.Int("erasing_percent", 0, 50, step=25, default=0)):
        share = (percent / 100, percent / 100)  # from and to: the probability of being erased
        patch = (0.02, 0.2)  # of the area, from and to, for each side on its own
        found.append(layers.RandomErasing(share, patch, 0.0, value_range=(0, 1), **exact))
    if training:
        for layer in found:
            # Keras says no because of TensorFlow. With JAX, the model would then not compile at
            # all.
            layer.supports_jit = layer.supports_jit or keras.config.backend() == "jax"
            images = layer(images)
    return images


class ElasticDistortion(layers.Layer):  # type: ignore[misc]
    """Moves every pixel by a smooth random field (P. Simard et al., "Best Practices for
    Convolutional Neural Networks Applied to Visual Document Analysis", 2003).

    The field is interpolated between random shifts on a coarse grid, which costs less than Simard's
    blurred noise. Keras's `RandomElasticTransform` (3.15) shifts a pixel by the same amount to the
    right as down, and gives every image of a batch the pixels of the first.

    Args:
        share: The standard deviation of the shifts on the grid, as a share of the sides.
        cells: The number of grid points a side.
    """

    def __init__(self, share: float, cells: int = 5) -> None:
        super().__init__(dtype="float32")
        self.share, self.cells = share, cells
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, images: Any, training: bool = False) -> Any:
        """Return the distorted images, of the same shape (n, height, width, channels)."""
        if not training:
            return images
        count = ops.shape(images)[0]
        height, width, channels = images.shape[1:]
        grid = (count, self.cells, self.cells, 2)
        shifts = keras.random.normal(grid, stddev=self.share, seed=self.seed_generator)
        field = ops.image.resize(shifts, (height, width), interpolation="bicubic")
        y = ops.arange(height, dtype="float32")[None, :, None] + height * field[..., 0]
        x = ops.arange(width, dtype="float32")[None, None, :] + width * field[..., 1]
        y, x = ops.clip(y, 0, height - 1), ops.clip(x, 0, width - 1)
        top, left = ops.floor(y), ops.floor(x)
        down, right = (y - top)[..., None], (x - left)[..., None]
        # Bilinear interpolation between four pixels of the images in one row after another.
        first = ops.cast(ops.arange(count)[:, None, None] * (height * width), "int32")
        place = first + ops.cast(top * width + left, "int32")
        # At the border a neighbour lies outside; it has no weight, but it has to exist.
        pixels = ops.pad(ops.reshape(images, (-1, channels)), ((0, width + 1), (0, 0)))
        upper, lower = (
            (1 - right) * ops.take(pixels, place + row, axis=0)
            + right * ops.take(pixels, place + row + 1, axis=0)
            for row in (0, width)
        )
        return (1 - down) * upper + down * lower
