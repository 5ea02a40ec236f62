"""Labelled images: pixels, labels, groups and names."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

LARGE_BYTES = 2**28  # of pixels, one byte each

Index: TypeAlias = "NDArray[np.intp] | NDArray[np.bool_] | slice"
ReadPixels: TypeAlias = "Callable[[NDArray[np.intp]], NDArray[np.uint8]]"


class OnDemand:
    """The pixels of a set that may be larger than memory: they are read when they are indexed.

    Attributes:
        shape: (n, height, width, channels).
        dtype: uint8.
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self, index: NDArray[np.intp], shape: tuple[int, int, int], read: "ReadPixels"
    ) -> None:
        """
        Args:
            index: The places of the images, of shape (n,).
            shape: (height, width, channels) of one image.
            read: Reads the images at the given places.
        """
        self._index, self._read = index, read
        self.shape = (len(index), *shape)

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, index: "Index") -> NDArray[np.uint8]:
        return self._read(self._index[index])

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """Read one image at a time."""
        for place in range(len(self)):
            yield self[place : place + 1][0]

    def part(self, index: "Index") -> "OnDemand":
        """The pixels of some of the images, not read yet."""
        return OnDemand(self._index[index], self.shape[1:], self._read)

    def changed(
        self, change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]], shape: tuple[int, int, int]
    ) -> "OnDemand":
        """The pixels after a change that is made whenever they are read.

        Args:
            change: Changes the pixels of some images.
            shape: (height, width, channels) of one image after it.
        """
        return OnDemand(self._index, shape, lambda places: change(self._read(places)))


def scaled(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Return pixels as float32 in [0, 1]. Bytes are divided by 255; others are that already."""
    if pixels.dtype != np.uint8:
        return pixels
    return pixels.astype(np.float32) / np.float32(255)


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images. They compare by identity, because arrays are too large to compare.

    Attributes:
        x: float32 of shape (n, height, width, channels) in [0, 1], or uint8 from 0 to 255. Of a
            set with more than `LARGE_BYTES` of pixels, they are `OnDemand`.
        y: Class indices in [0, classes), int32 of shape (n,), or one-hot labels, float32 of shape
            (n, classes). Indices of shape (n, 1) are flattened to (n,).
        groups: One value per image, of shape (n,), or None. Images with the same value, such as
            those by one writer, always stay on the same side of a split. They may be of shape
            (n, 1), as `y`.
        names: How messages refer to each image, such as by its file name, of shape (n,). None if
            its index is enough.
    """

    x: NDArray[Any]
    y: NDArray[np.int32] | NDArray[np.float32]
    groups: NDArray[Any] | None = None
    names: NDArray[np.str_] | None = None

    def __post_init__(self) -> None:
        # Keras's CIFAR has such labels. Read as one-hot, they would put every image in class 0.
        for name in ("y", "groups"):
            array = getattr(self, name)
            if isinstance(array, np.ndarray) and array.ndim == 2 and array.shape[1] == 1:
                object.__setattr__(self, name, array[:, 0])

    @property
    def labels(self) -> NDArray[np.int32]:
        """The class indices, int32 of shape (n,), however `y` stores them."""
        found = self.y.argmax(axis=1) if self.y.ndim == 2 else self.y
        return np.asarray(found, dtype=np.int32)

    def scaled(self) -> "Images":
        """Return the images with float32 pixels in [0, 1]; uint8 pixels are divided by 255.

        All of them are read into memory.
        """
        return self if self.x.dtype != np.uint8 else replace(self, x=scaled(self.x[:]))

    def name(self, index: int) -> str:
        """How messages refer to the image at `index`."""
        return f"image {index}" if self.names is None else str(self.names[index])

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: "Index") -> "Images":
        return Images(
            self.x.part(index) if isinstance(self.x, OnDemand) else self.x[index],
            self.y[index],
            None if self.groups is None else self.groups[index],
            None if self.names is None else self.names[index],
        )
