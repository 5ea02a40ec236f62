"""Checks whether the nodes of a Ray cluster can run the same search as this machine."""

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from mnist_cnn.errors import UserError

LOOK_SECONDS = 120.0  # for all nodes to unpack the working directory and answer
PACKAGES = ("keras", "keras-tuner", "numpy", "optuna", "tensorflow")
REQUIREMENTS = "requirements.lock"


@dataclass(frozen=True)
class NodeFacts:
    """The facts that decide whether a node can run the same search as this machine.

    Attributes:
        python: Its version, such as 3.11.
        processor: The architecture, such as x86_64.
        packages: The installed versions; None for a missing package.
        precision: The precision that its CPU computes fast, see `machine.precision`.
    """

    python: str
    processor: str
    packages: Mapping[str, str | None]
    precision: str


def facts_of(nodes: list[dict[str, Any]]) -> dict[str, NodeFacts]:
    """Ask each node for its facts. Return them by the name of the node."""
    look = ray.remote(num_cpus=0, max_retries=0)(_looker(PACKAGES))
    asked = {
        node["NodeManagerAddress"] + "/" + node["NodeID"][:6]: look.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote()
        for node in nodes
    }
    found = {}
    for name, answer in asked.items():
        try:
            found[name] = NodeFacts(*ray.get(answer, timeout=LOOK_SECONDS))
        except GetTimeoutError:
            raise UserError(f"node {name} of the Ray cluster does not answer") from None
        except RayError as error:
            reason = " ".join(str(error).split())
            raise UserError(f"node {name} cannot run this project: {reason[-500:]}") from None
    return found


def _looker(names: tuple[str, ...]) -> Callable[[], tuple[str, str, dict[str, str | None], str]]:
    def look() -> tuple[str, str, dict[str, str | None], str]:
        # This package may be missing on the node, so the function is sent with its code.
        from importlib.metadata import PackageNotFoundError, version
        from pathlib import Path
        from platform import machine, python_version_tuple

        def installed(name: str) -> str | None:
            try:
                return version(name)
            except PackageNotFoundError:
                return None

        try:
            flags = set(Path("/proc/cpuinfo").read_text().split())
        except OSError:
            flags = set()
        fast = flags & {"avx512_bf16", "amx_bf16"}
        return (
            ".".join(python_version_tuple()[:2]),
            machine(),
            {name: installed(name) for name in names},
            "mixed_bfloat16" if fast else "float32",
        )

    return look


def has_requirements() -> bool:
    """Return whether the project locks its packages, so that a node can install them."""
    return Path(REQUIREMENTS).is_file()


def check(name: str, found: NodeFacts, can_install: bool = False) -> bool:
    """Refuse a node that cannot run the same search as this machine.

    Args:
        name: What to call the node.
        found: Its facts.
        can_install: Whether Ray can install what the node lacks.

    Returns:
        Whether the node lacks a package, or has another version of it.

    Raises:
        UserError: It has another architecture or Python, or lacks what cannot be installed.
    """
    own = (".".join(platform.python_version_tuple()[:2]), platform.machine())
    for what, theirs, ours in (
        ("Python", found.python, own[0]),
        ("processor architecture", found.processor, own[1]),
    ):
        if theirs != ours:
            raise UserError(
                f"node {name} has {what} {theirs}, this machine has {ours}; all nodes must have "
                "the same"
            )
    for package in PACKAGES:
        there, here = found.packages[package], installed(package)
        if there != here and can_install:
            return True
        if there != here:
            raise UserError(
                f"node {name} has {package} {there or 'not installed'}, this machine has {here}; "
                f"install the same there, or put {REQUIREMENTS} into this folder, and Ray will"
            )
    return False


def installed(package: str) -> str | None:
    """Return the version of a package on this machine; None if it is missing."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def common_precision(of_nodes: list[str], gpus: float) -> str:
    """Return the precision that a study is trained in on nodes that may differ."""
    same = len(set(of_nodes)) == 1
    return of_nodes[0] if same and not gpus else "float32"
