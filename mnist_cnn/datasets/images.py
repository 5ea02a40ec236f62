"""Labelled images: pixels, labels, groups and names."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images. They compare by identity, because arrays are too large to compare.

    Attributes:
        x: float32 of shape (n, height, width, channels) in [0, 1], or uint8 from 0 to 255.
        y: Class indices in [0, classes), int32 of shape (n,), or one-hot labels, float32 of shape
            (n, classes). Indices of shape (n, 1) are flattened to (n,).
        groups: One value per image, of shape (n,), or None. Images with the same value, such as
            those by one writer, always stay on the same side of a split.
        names: What messages call each image, such as its file name, of shape (n,). None if its
            index is enough.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int32] | NDArray[np.float32]
    groups: NDArray[Any] | None = None
    names: NDArray[np.str_] | None = None

    def __post_init__(self) -> None:
        # Keras's CIFAR has such labels. Read as one-hot, they would put every image in class 0.
        if isinstance(self.y, np.ndarray) and self.y.ndim == 2 and self.y.shape[1] == 1:
            object.__setattr__(self, "y", self.y[:, 0])

    @property
    def labels(self) -> NDArray[np.int32]:
        """The class indices, int32 of shape (n,), however `y` stores them."""
        found = self.y.argmax(axis=1) if self.y.ndim == 2 else self.y
        return np.asarray(found, dtype=np.int32)

    def scaled(self) -> "Images":
        """Return the images with float32 pixels in [0, 1]; uint8 pixels are divided by 255."""
        if self.x.dtype != np.uint8:
            return self
        return replace(self, x=self.x.astype(np.float32) / np.float32(255))

    def name(self, index: int) -> str:
        """What messages call the image at `index`."""
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
