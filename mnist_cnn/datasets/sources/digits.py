"""scikit-learn's digits."""

import numpy as np

from mnist_cnn.datasets.dataset import Dataset
from mnist_cnn.datasets.parts import assemble, in_memory
from mnist_cnn.errors import UserError


def digits() -> Dataset:
    """The 1,797 handwritten digits that come with scikit-learn: grey, 8x8, ten classes.

    About a fifth of them is set aside to test on.

    Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits" (1998), CC BY 4.0.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise UserError(
            "the digits come with scikit-learn; type `pip install scikit-learn`"
        ) from None
    found = load_digits()
    x = np.rint(found.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]  # from 0 to 16
    whole = in_memory(x, found.target.astype(np.int32))
    return assemble("digits", (8, 8, 1), [str(digit) for digit in range(10)], whole, None)
