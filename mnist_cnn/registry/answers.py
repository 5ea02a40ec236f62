"""The meaning of a registered model's predictions, recorded with each version at its promotion."""

import json
from dataclasses import dataclass

from mlflow.entities.model_registry import ModelVersion

from mnist_cnn.registry.store import MNIST_MODEL

# Tags of a version.
CLASS_NAMES, LIKE_MNIST = "class.names", "like.mnist"
MAX_TAG = 5000  # characters of a tag's text in MLflow


@dataclass(frozen=True)
class Answers:
    """The meaning of a model's predictions: one class for an image.

    Attributes:
        class_names: The names of the classes, in the order of their indices. Empty if unknown.
        like_mnist: Whether it classifies digits that are prepared as MNIST's are.
    """

    class_names: tuple[str, ...] = ()
    like_mnist: bool = False

    def name(self, index: int) -> str:
        """The name of a class."""
        return self.class_names[index] if index < len(self.class_names) else str(index)

    def tags(self) -> dict[str, str]:
        """The tags of a version. Names that are too long for a tag are left out."""
        found = {LIKE_MNIST: str(self.like_mnist).lower()}
        names = json.dumps(self.class_names, ensure_ascii=False)
        return found | ({CLASS_NAMES: names} if len(names) <= MAX_TAG else {})


def answers_of(version: ModelVersion) -> Answers:
    """Return the meaning of a version's predictions. MNIST's before 0.4.0 do not record it."""
    tags = version.tags
    like_mnist = tags.get(LIKE_MNIST, str(version.name == MNIST_MODEL).lower()) == "true"
    try:
        names = tuple(map(str, json.loads(tags.get(CLASS_NAMES, "[]"))))
    except (ValueError, TypeError):
        names = ()
    return Answers(names, like_mnist)
