"""Labelled images, as they are trained on and answered."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images; equal only to themselves, as arrays are too large to compare.

    x: float32 of shape (n, height, width, channels) in [0, 1].
    y: int32 of shape (n,), class indices in [0, classes); or one-hot, float32 of (n, classes).
        One column of indices, of shape (n, 1), is taken as (n,).
    groups: of shape (n,); images of the same value, as those of one writer, are never divided
        between training and validation. None where each image stands for itself.
    names: of shape (n,), what each image is called in a message, as its file's name. None where
        its place says it.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int32] | NDArray[np.float32]
    groups: NDArray[Any] | None = None
    names: NDArray[np.str_] | None = None

    def __post_init__(self) -> None:
        # As in Keras's CIFAR. As one-hot it would say that every image is of class 0.
        if isinstance(self.y, np.ndarray) and self.y.ndim == 2 and self.y.shape[1] == 1:
            object.__setattr__(self, "y", self.y[:, 0])

    @property
    def labels(self) -> NDArray[np.int32]:
        """The class indices, int32 of shape (n,), however `y` holds them."""
        found = self.y.argmax(axis=1) if self.y.ndim == 2 else self.y
        return np.asarray(found, dtype=np.int32)

    def name(self, index: int) -> str:
        """What the image at `index` is called in a message."""
        return f"image {index}" if self.names is None else str(self.names[index])

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: NDArray[np.intp] | NDArray[np.bool_] | slice) -> "Images":
        return Images(
            self.x[index],
            self.y[index],
            None if self.groups is None else self.groups[index],
            None if self.names is None else self.names[index],
        )
