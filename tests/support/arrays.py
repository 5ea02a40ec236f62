"""Lists of arrays, as a model's weights are, compared to the bit."""


def assert_same_arrays(found, expected):
    assert len(found) == len(expected) > 0
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.tobytes() == theirs.tobytes()
