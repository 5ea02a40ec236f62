"""Parses `--workers ray:16,gpus=0.5`: workers on a Ray cluster."""

import math
import os
from dataclasses import dataclass

from mnist_cnn.errors import UsageError

AUTO = "auto"  # as the address of a cluster: that of RAY_ADDRESS, or the one of this machine
VALID = "a number, or ray:NUMBER, such as ray:16 or ray:16,cpus=2,gpus=0.5"


@dataclass(frozen=True)
class RayWanted:
    """Workers on a Ray cluster.

    Attributes:
        count: The number of workers.
        cpus: The CPUs that Ray reserves for each. It has as many threads, rounded down, at least
            one.
        gpus: The GPUs that Ray reserves for each; a fraction shares one. None means one if the
            cluster has any, else none.
        address: The cluster, `auto` or HOST:PORT.
    """

    count: int
    cpus: float = 1.0
    gpus: float | None = None
    address: str = AUTO


def parse_workers(text: str) -> int | RayWanted:
    """Return the number of local workers, or the workers wanted on a Ray cluster.

    Raises:
        UsageError: The text is neither.
    """
    plain = text.strip().lower()
    if not plain.startswith("ray:"):
        return _count(plain, text)
    count, *settings = plain.removeprefix("ray:").split(",")
    given: dict[str, float] = {}
    for setting in settings:
        name, _, number = setting.partition("=")
        try:
            value = float(number) if number.isascii() and "_" not in number else math.nan
        except ValueError:
            value = math.nan
        if name not in ("cpus", "gpus") or not 0 <= value < math.inf:
            raise UsageError(f"--workers {text!r}: {setting!r} is not understood; valid: {VALID}")
        if name in given:
            raise UsageError(f"--workers {text!r} has {name} twice; valid: {VALID}")
        if value > 1 and value != int(value):  # Ray shares one GPU or core, but never several
            problem = f"{name} above 1 must be a whole number"
            raise UsageError(f"--workers {text!r}: {problem}; valid: {VALID}")
        given[name] = value
    wanted = RayWanted(_count(count, text), given.get("cpus", 1.0), given.get("gpus"))
    if not wanted.cpus and not wanted.gpus:
        raise UsageError(f"--workers {text!r}: a worker needs CPUs or GPUs; valid: {VALID}")
    return wanted


def checked_address(address: str) -> str:
    """Return the address of a cluster: HOST:PORT, or `AUTO` for one that runs on this machine.

    Args:
        address: What the user has given. For `AUTO`, RAY_ADDRESS is used if it is set.

    Raises:
        UsageError: A search cannot use it.
    """
    what, meant = f"--ray-address {address!r}", address
    if address == AUTO and os.environ.get("RAY_ADDRESS"):
        meant = os.environ["RAY_ADDRESS"]
        what = f"RAY_ADDRESS={meant!r}"
    if meant.startswith("ray://"):
        raise UsageError(
            f"the Ray address {meant!r} is for Ray clients, but the nodes cannot reach the machine "
            "of a client; run the command on the head node, or with `ray job submit`, without an "
            "address"
        )
    host, _, port = meant.rpartition(":")
    if meant != AUTO and not (host and "/" not in host and _is_port(port)):
        raise UsageError(f"{what} is not understood; valid: auto, or HOST:PORT")
    return meant


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 1 <= int(text) <= 65535


def _count(number: str, text: str) -> int:
    if not number.isascii() or not number.isdigit() or int(number) < 1:
        raise UsageError(f"--workers {text!r} is not a whole number of at least 1; valid: {VALID}")
    return int(number)
