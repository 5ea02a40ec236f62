"""The smallest and the largest network of a search space."""

import keras_tuner

# The choices that make a network large, by name; their opposites make it small. Names that are not
# here make little difference, and get the first choice or the last.
LARGE = {
    "dense": 256,
    "separable_0": False,
    "separable_1": False,
    "separable_2": False,
    "separable_3": False,
    "narrowed": False,
    "pooled_stem": False,
    "normalisation": "batch",
    "head": "flatten",
}
SMALL = {
    "dense": 0,
    "separable_0": True,
    "separable_1": True,
    "separable_2": True,
    "separable_3": True,
    "narrowed": True,
    "pooled_stem": True,
    "normalisation": "none",
    "head": "average",
}


class Extreme(keras_tuner.HyperParameters):
    """Answers with the bounds of each range.

    Args:
        largest: Whether with the upper bounds.
    """

    def __init__(self, largest: bool) -> None:
        super().__init__()
        self.largest, self.chosen = largest, LARGE if largest else SMALL

    def Int(self, name, min_value, max_value, **kwargs):  # noqa: N802
        return self._keep(name, max_value if self.largest else min_value)

    Float = Int

    def Choice(self, name, values, **kwargs):  # noqa: N802
        value = self.chosen.get(name, values[-1 if self.largest else 0])
        return self._keep(name, value if value in values else values[0])

    def Boolean(self, name, **kwargs):  # noqa: N802
        return self._keep(name, self.chosen.get(name, self.largest))

    def _keep(self, name, value):
        return self.values.setdefault(name, value)
