"""Which part of a data set a name means, and what becomes of a validation part."""

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
    """`train`, `validation` or `test`, if the word means one of them."""
    word = word.strip().lower()
    return next((role for role, said in _ROLES.items() if said.fullmatch(word)), None)


def role_in(name: str) -> str | None:
    """The one role that a word in a name means, as `train` in `mnist_train_2`; else None."""
    roles = {role for word in re.split(r"[^a-z0-9]+", name.lower()) if (role := role_of(word))}
    return roles.pop() if len(roles) == 1 else None


def name_of(path: Path) -> str:
    """The name of the data set in a file or folder; what is called `train` has its folder's."""
    name = path.name if path.is_dir() else path.stem
    return printable((path.parent.name if role_of(name) else name) or "data")


def settle(roles: Collection[str], validation: str) -> tuple[str, list[str]]:
    """The part that validation images go to, and a remark on it if there are any.

    They are for training where there is a test part, as a search validates on images of its own
    choice. Where there is none they are what nobody has trained on, so they are to test on.

    Args:
        roles: that the data set has.
        validation: what a message calls the validation images.
    """
    if "validation" not in roles:
        return "train", []
    if "test" in roles:
        return "train", [f"{validation} is for training too; a search takes images of its own"]
    return "test", [f"{validation} is what is tested on, as there is no other test part"]
