"""Joins a Ray cluster, and checks that its nodes can do the work, before anything starts."""

import logging
import platform
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import mnist_cnn
from mnist_cnn.errors import UserError
from mnist_cnn.workers.ray_wanted import RayWanted, checked_address

ANSWER_SECONDS = 5.0  # for a cluster's port to answer
LOOK_SECONDS = 120.0  # for all nodes to unpack the working directory and answer
PACKAGES = ("keras", "keras-tuner", "numpy", "optuna", "tensorflow")
LOCK = "requirements.lock"
# What no node needs of a project. Ray itself leaves out what git ignores.
NOT_SENT = ("/mlruns", "/.git", "/.venv*", "__pycache__", "*.egg-info")


@dataclass(frozen=True)
class NodeFacts:
    """What decides whether a node can do the work of this machine.

    Attributes:
        python: Its version, such as 3.11.
        processor: The architecture, such as x86_64.
        packages: The installed versions; None for a missing package.
        precision: What its CPU computes fast, see `machine.precision`.
    """

    python: str
    processor: str
    packages: Mapping[str, str | None]
    precision: str


@dataclass(frozen=True)
class Cluster:
    """A cluster that this process has joined.

    Attributes:
        host: The address of this machine for the nodes.
        gpus: The GPUs for each worker.
        precision: What all nodes compute fast.
        fitting: The number of wanted workers that fit on the nodes if nobody else uses them.
        names: Whether several nodes share an address, so that names need more than it.
        nodes: The number of nodes now.
        installing: How many of them lack packages of this machine, which Ray will install.
    """

    host: str
    gpus: float
    precision: str
    fitting: int
    names: bool
    nodes: int
    installing: int = 0

    @property
    def runtime_env(self) -> dict[str, Any]:
        """Ray's runtime environment of each worker: the locked packages, if a node lacks any."""
        if not self.installing:
            return {}
        lock = f"-r ${{RAY_RUNTIME_ENV_CREATE_WORKING_DIR}}/{LOCK}"
        return {"uv": {"packages": [lock], "uv_pip_install_options": ["--require-hashes"]}}

    def remark(self, count: int) -> str:
        """Return a line on the cluster for who asked for `count` workers."""
        nodes = f"{self.nodes} node{'s' if self.nodes > 1 else ''} of a Ray cluster"
        if self.installing:
            nodes += f", {self.installing} of which first install the packages of {LOCK}"
        if self.fitting == count:
            return f"{count} worker{'s' if count > 1 else ''} on {nodes}"
        return f"{self.fitting} of {count} workers fit on {nodes} now; others begin when nodes join"


def join(wanted: RayWanted) -> Cluster:
    """Join a cluster, and ship it the project in the current folder.

    Raises:
        UsageError: The address is one that a search cannot use.
        UserError: The cluster does not answer, or its nodes cannot do the work.
    """
    checked_address(wanted.address)
    if ray.is_initialized():
        raise UserError("this process has joined a Ray cluster already; call ray.shutdown() first")
    _connect(wanted.address)
    try:
        nodes = [node for node in ray.nodes() if node["Alive"]]
        gpus = wanted.gpus
        if gpus is None:
            gpus = float(any(node["Resources"].get("GPU") for node in nodes))
        fitting = sum(_fitting(node["Resources"], wanted.cpus, gpus) for node in nodes)
        if not fitting:
            raise UserError(too_much(wanted.cpus, gpus, nodes))
        facts = _facts(nodes)
        lacking = [name for name, found in facts.items() if check(name, found, has_lock())]
        addresses = [node["NodeManagerAddress"] for node in nodes]
        return Cluster(
            host=ray.util.get_node_ip_address(),
            gpus=gpus,
            precision=common_precision([one.precision for one in facts.values()], gpus),
            fitting=min(fitting, wanted.count),
            nodes=len(nodes),
            installing=len(lacking),
            names=len(set(addresses)) < len(addresses),
        )
    except BaseException:
        ray.shutdown()
        raise


def _connect(address: str) -> None:
    """Join the cluster, and send it this folder and this package."""
    if address != "auto":
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS).close()
        except OSError as error:
            raise UserError(f"no Ray cluster answers at {address}: {error}") from None
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        with tempfile.TemporaryDirectory() as folder:
            ray.init(
                address=address,
                runtime_env={
                    "working_dir": str(Path.cwd()),
                    "excludes": [*NOT_SENT, *_environments()],
                    "py_modules": [str(Path(mnist_cnn.__file__).parent), _metadata(Path(folder))],
                },
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except ConnectionError:
        raise UserError(
            "no Ray cluster runs here; type `ray start --head` on this machine, and what it prints "
            "on the others, or name the cluster with --ray-address HOST:PORT"
        ) from None
    except (RuntimeError, ValueError, RayError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"cannot join the Ray cluster at {address}: {reason[:500]}") from None
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_sigterm)  # Ray's would end the search without saving


def _metadata(folder: Path) -> str:
    """Write what tells a node the version of this package, which it need not have installed."""
    own = distribution("mnist-cnn")
    written = folder / f"mnist_cnn-{own.version}.dist-info"
    written.mkdir()
    (written / "METADATA").write_text(own.read_text("METADATA") or "", "utf-8")
    return str(written)


def _environments() -> list[str]:
    """Return the virtual environments in the current folder, whatever they are called."""
    return [f"/{file.parent.name}" for file in Path.cwd().glob("*/pyvenv.cfg")]


def _fitting(resources: Mapping[str, float], cpus: float, gpus: float) -> int:
    """Return how many workers fit on a node."""
    wanted = {"CPU": cpus, "GPU": gpus}
    return min(
        int(resources.get(name, 0.0) / share + 1e-6) for name, share in wanted.items() if share
    )


def too_much(cpus: float, gpus: float, nodes: list[dict[str, Any]]) -> str:
    """Return the refusal of workers that fit on no node."""
    most = ", ".join(
        f"{max(node['Resources'].get(kind, 0.0) for node in nodes):g} {kind}s"
        for kind in ("CPU", "GPU")
    )
    return (
        f"no node of the Ray cluster has {cpus:g} CPUs and {gpus:g} GPUs for a worker; the largest "
        f"has {most}; ask for less, such as --workers ray:4,cpus=1,gpus=0"
    )


def _facts(nodes: list[dict[str, Any]]) -> dict[str, NodeFacts]:
    """Ask each node what it has."""
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


def has_lock() -> bool:
    """Return whether the project has a lock of its packages, from which a node can install them."""
    return Path(LOCK).is_file()


def check(name: str, found: NodeFacts, can_install: bool = False) -> bool:
    """Refuse a node that cannot do the work of this machine.

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
                f"install the same there, or put {LOCK} into this folder, and Ray will"
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
