"""A Ray cluster of several nodes on this machine."""

import os
import shutil
import signal
import tempfile
from contextlib import contextmanager, suppress

import psutil
import pytest

# A node that does not answer is given up after about 20 seconds instead of a minute.
QUICK = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 300,
    "health_check_timeout_ms": 5000,
    "health_check_failure_threshold": 4,
}


class Nodes:
    """A cluster whose nodes join and leave. The head is no place for workers.

    Attributes:
        address: What `--ray-address` takes.
    """

    def __init__(self, cluster):
        self._cluster = cluster
        self.address = cluster.address

    def add(self, cpus=1):
        """Let a node join; returns it."""
        return self._cluster.add_node(num_cpus=cpus, include_dashboard=False)

    def others(self):
        """All nodes but the head."""
        return list(self._cluster.worker_nodes)

    def remove(self, node):
        """Kill all processes of a node at once, as when it loses its power."""
        self._cluster.remove_node(node, allow_graceful=False)

    def processes(self, node):
        """The processes of a node: Ray's own, actors, and theirs."""
        found = []
        for infos in node.all_processes.values():
            for info in infos:
                with suppress(psutil.NoSuchProcess):
                    one = psutil.Process(info.process.pid)
                    found += [one, *one.children(recursive=True)]
        return found

    def suspend(self, node):
        """Stop all processes of a node, which then looks as if its network were gone."""
        found = self.processes(node)
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGSTOP)
        return found


@contextmanager
def cluster_of(nodes, cpus=1):
    """Start a cluster of a head and so many nodes; the test is skipped where Ray is missing."""
    pytest.importorskip("ray")
    # Ray notes the newest cluster in its temporary folder, and every `ray.init()` on the machine
    # without an address joins that one. So this one has a folder of its own, with a short path,
    # since sockets are in it.
    place = tempfile.mkdtemp(prefix="mc-", dir="/tmp")
    os.environ["RAY_TMPDIR"] = place
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False, "_system_config": QUICK},
    )
    found = Nodes(cluster)
    try:
        yield found, [found.add(cpus) for _ in range(nodes)]
    finally:
        cluster.shutdown()
        del os.environ["RAY_TMPDIR"]
        shutil.rmtree(place, ignore_errors=True)
