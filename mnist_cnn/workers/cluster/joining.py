"""Joins a Ray cluster, and ships it the project, if its nodes can run it."""

import logging
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

import mnist_cnn
from mnist_cnn.errors import UserError
from mnist_cnn.workers.cluster.nodes import (
    REQUIREMENTS,
    check,
    common_precision,
    facts_of,
    has_requirements,
)
from mnist_cnn.workers.cluster.shipping import largest, stage
from mnist_cnn.workers.cluster.wanted import AUTO, RayWanted, checked_address

ANSWER_SECONDS = 5.0  # for a cluster's port to answer
JOIN_SECONDS = 60.0  # for a cluster to let a process join
# `ray.init` waits for ever if something else than Ray's GCS listens at the address, and prints. So
# another process tries first.
PROBE = """
import logging, sys, ray
try:
    ray.init(sys.argv[1], logging_level=logging.ERROR, log_to_driver=False)
except Exception as error:
    print(type(error).__name__, *str(error).split())
    sys.exit(1)
"""


@dataclass(frozen=True)
class Cluster:
    """A cluster that this process has joined.

    Attributes:
        address: HOST:PORT, or `auto` for one that runs on this machine.
        host: The address of this machine for the nodes.
        gpus: The GPUs for each worker.
        precision: The precision that all nodes compute fast.
        fitting: The number of wanted workers that fit on the nodes if nobody else uses them.
        shared_addresses: Whether several nodes have the same address, as those of one machine.
        nodes: The number of nodes now.
        installing: How many of them lack packages of this machine, which Ray will install.
    """

    address: str
    host: str
    gpus: float
    precision: str
    fitting: int
    shared_addresses: bool
    nodes: int
    installing: int = 0

    @property
    def runtime_env(self) -> dict[str, Any]:
        """Ray's runtime environment of each worker: the locked packages, if a node lacks any."""
        if not self.installing:
            return {}
        locked = f"-r ${{RAY_RUNTIME_ENV_CREATE_WORKING_DIR}}/{REQUIREMENTS}"
        return {"uv": {"packages": [locked], "uv_pip_install_options": ["--require-hashes"]}}

    def remark(self, count: int) -> str:
        """Return a line about the cluster, for a user who asked for `count` workers."""
        # RAY_ADDRESS may name another cluster than the one that the user thinks of.
        which = "a Ray cluster" if self.address == AUTO else f"the Ray cluster at {self.address}"
        nodes = f"{_counted(self.nodes, 'node')} of {which}"
        if self.installing:
            nodes += f", {self.installing} of which first install the packages of {REQUIREMENTS}"
        if self.fitting == count:
            return f"{_counted(count, 'worker')} on {nodes}"
        return f"{self.fitting} of {count} workers fit on {nodes} now; others begin when nodes join"


def join(wanted: RayWanted, needed: Path | None = None) -> Cluster:
    """Join a cluster, and ship it the project in the current folder.

    Args:
        wanted: The workers wanted on it.
        needed: A file of the project without which no node can do anything, relative to it.

    Raises:
        UsageError: A search cannot use the address.
        UserError: The cluster does not answer, its nodes cannot run the search, or a file of the
            project cannot be sent.
    """
    address = checked_address(wanted.address)
    if ray.is_initialized():
        raise UserError("this process has joined a Ray cluster already; call ray.shutdown() first")
    _check_answer(address)
    _connect(address, needed)
    try:
        nodes = [node for node in ray.nodes() if node["Alive"]]
        gpus = wanted.gpus
        if gpus is None:
            gpus = float(any(node["Resources"].get("GPU") for node in nodes))
        fitting = sum(_fitting(node["Resources"], wanted.cpus, gpus) for node in nodes)
        if not fitting:
            raise UserError(too_much(wanted.cpus, gpus, nodes))
        facts = facts_of(nodes)
        lacking = [name for name, found in facts.items() if check(name, found, has_requirements())]
        addresses = [node["NodeManagerAddress"] for node in nodes]
        return Cluster(
            address=address,
            host=ray.util.get_node_ip_address(),
            gpus=gpus,
            precision=common_precision([one.precision for one in facts.values()], gpus),
            fitting=min(fitting, wanted.count),
            nodes=len(nodes),
            installing=len(lacking),
            shared_addresses=len(set(addresses)) < len(addresses),
        )
    except BaseException:
        ray.shutdown()
        raise


def _check_answer(address: str) -> None:
    """Refuse an address at which no cluster answers, or that lets nobody join.

    Args:
        address: `auto`, or what the user has given. Ray finds a cluster of this machine for `auto`.
    """
    if address != AUTO:
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS).close()
        except OSError as error:
            raise UserError(f"no Ray cluster answers at {address}: {error}") from None
    try:
        probed = subprocess.run(
            [sys.executable, "-c", PROBE, address],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=JOIN_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        where = "on this machine" if address == AUTO else f"at {address}"
        raise UserError(
            f"no Ray cluster answers {where} within {JOIN_SECONDS:.0f} s; the port of "
            "--ray-address must be that of `ray start --head`, which is 6379 by default"
        ) from None
    if not probed.returncode:
        return
    if "InvalidAuthToken" in probed.stdout + probed.stderr:
        raise UserError(
            f"the Ray cluster at {address} wants a token; set RAY_AUTH_MODE=token, and "
            "RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH, as on its nodes"
        )
    if address == AUTO and probed.stdout.startswith("ConnectionError"):
        raise UserError(
            "no Ray cluster runs here; type `.venv/bin/ray start --head` on this machine, and what "
            "it prints on the others, or name the cluster with --ray-address HOST:PORT"
        )
    reason = probed.stdout.strip() or f"the process that tried to exited with {probed.returncode}"
    raise UserError(f"cannot join the Ray cluster at {address}: {reason[:500]}")


def _connect(address: str, needed: Path | None) -> None:
    """Join the cluster, and send it this folder and this package."""
    on_sigterm = signal.getsignal(signal.SIGTERM)
    root = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        project.mkdir()
        files = stage(root, project)
        if needed and needed not in files:
            raise UserError(
                f"{needed} would not be sent to the nodes, because git ignores it; change its rules"
            )
        try:
            ray.init(
                address=address,
                runtime_env={
                    "working_dir": str(project),
                    "excludes": ["__pycache__"],  # of this package
                    "py_modules": [str(Path(mnist_cnn.__file__).parent), _metadata(Path(folder))],
                },
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except (RuntimeError, ValueError, ConnectionError, RayError) as error:
            reason = " ".join(str(error).split())
            if "exceeds the maximum size" in reason:
                raise UserError(
                    f"the project has {largest(root, files)}; Ray sends at most 500 MiB; let git "
                    "ignore what the nodes do not need, or name it in .rayignore"
                ) from None
            raise UserError(f"cannot join the Ray cluster at {address}: {reason[:500]}") from None
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_sigterm)  # Ray's would end the search without saving


def _metadata(folder: Path) -> str:
    """Write the metadata that give a node this package's version, even if it is not installed."""
    own = distribution("mnist-cnn")
    written = folder / f"mnist_cnn-{own.version}.dist-info"
    written.mkdir()
    (written / "METADATA").write_text(own.read_text("METADATA") or "", "utf-8")
    return str(written)


def _fitting(resources: Mapping[str, float], cpus: float, gpus: float) -> int:
    """Return how many workers fit on a node."""
    wanted = {"CPU": cpus, "GPU": gpus}
    return min(
        int(resources.get(name, 0.0) / share + 1e-6) for name, share in wanted.items() if share
    )


def too_much(cpus: float, gpus: float, nodes: list[dict[str, Any]]) -> str:
    """Return the refusal of workers that fit on no node."""
    most = " and ".join(
        _counted(max(node["Resources"].get(kind, 0.0) for node in nodes), kind)
        for kind in ("CPU", "GPU")
    )
    wanted = f"{_counted(cpus, 'CPU')} and {_counted(gpus, 'GPU')}"
    return (
        f"no node of the Ray cluster has {wanted} for a worker; the largest has {most}; ask for "
        "less, such as --workers ray:4,cpus=1,gpus=0"
    )


def _counted(number: float, what: str) -> str:
    return f"{number:g} {what}{'' if number == 1 else 's'}"
