"""Refusals in one line."""

import pytest

from mnist_cnn.errors import UsageError


def assert_refused(call, *words):
    """The call raises a UsageError of one line that has all the words."""
    with pytest.raises(UsageError) as refusal:
        call()
    (line,) = str(refusal.value).splitlines()
    for word in words:
        assert word in line
