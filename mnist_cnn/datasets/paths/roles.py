"""The part of a data set that a name stands for, and the use of a validation part."""

import re
from collections.abc import Collection
from pathlib import Path

from mnist_cnn.datasets.naming import printable

_ROLES = {
    "train": re.compile(r"train(ing)?[-_ ]?(set|data)?"),
    "validation": re.compile(r"(val|valid|validation)[-_ ]?(set|data)?"),
    "test": re.compile(r"(test(ing)?[-_ ]?(set|data)?\d?|t10k)"),
}


def role_of(word: str) -> str | None:
    """`train`, `validation` or `test` if the word stands for one of them, else None."""
    word = word.strip().lower()
    return next((role for role, said in _ROLES.items() if said.fullmatch(word)), None)


def role_in(name: str) -> str | None:
    """The role of the one word in `name` that has one, such as `mnist_train_2`, else None."""
    roles = {role for word in re.split(r"[^a-z0-9]+", name.lower()) if (role := role_of(word))}
    return roles.pop() if len(roles) == 1 else None


def name_of(path: Path) -> str:
    """What to call the data set at a path. For `train.csv` it is the name of its folder."""
    name = path.name if path.is_dir() else path.stem
    return printable((path.parent.name if role_of(name) else name) or "data")


def settle(roles: Collection[str], validation: str) -> tuple[str, list[str]]:
    """Decide which part the validation images belong to.

    If there is a test part, they are used for training, because a search chooses its own validation
    images. If there is none, they become the test part.

    Args:
        roles: The roles that the data set has.
        validation: How messages refer to the validation images.

    Returns:
        The part, `train` or `test`, and a remark if there are validation images.
    """
    if "validation" not in roles:
        return "train", []
    if "test" in roles:
        return "train", [
            f"{validation} is used for training; a search chooses its own validation images"
        ]
    return "test", [f"{validation} is used as the test part, as there is no other"]
