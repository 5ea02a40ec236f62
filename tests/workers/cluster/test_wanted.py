"""What can follow `--workers`, and what a node must have."""

import platform
import socket
import sys

import pytest

from mnist_cnn.errors import UsageError, UserError
from mnist_cnn.experiment_id import ExperimentId
from mnist_cnn.search_process.start import pool_of
from mnist_cnn.workers.cluster.wanted import RayWanted, checked_address, parse_workers


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("4", 4),
        ("ray:16", RayWanted(16)),
        ("ray:1,cpus=2", RayWanted(1, cpus=2)),
        ("ray:8,gpus=0.5,cpus=0.5", RayWanted(8, cpus=0.5, gpus=0.5)),
        ("ray:8,gpus=0", RayWanted(8, gpus=0)),
        ("ray:8,cpus=0,gpus=0.5", RayWanted(8, cpus=0, gpus=0.5)),
        (" Ray:8 ", RayWanted(8)),
    ],
)
def test_a_number_or_a_number_on_ray(text, wanted):
    assert parse_workers(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        *("0", "-1", "two", "²", "ray", "ray:", "ray:0", "ray:x", "ray:4,", "ray:4,gpus", "ray: 4"),
        *("ray:4,gpu=1", "ray:4,gpus=-1", "ray:4,gpus=nan", "ray:4,cpus=1.5", "ray:4;gpus=1"),
        *(
            "ray:4,cpus=0",
            "ray:4,cpus=0,gpus=0",
            "ray:4,cpus=1_0",
            "ray:4,cpus=1,cpus=2",
            "ray:4,gpus=1,gpus=1",
        ),
    ],
)
def test_anything_else_is_refused_with_what_is_valid(text):
    with pytest.raises(UsageError, match="valid: a number, or ray:NUMBER, such as ray:16"):
        parse_workers(text)


@pytest.mark.parametrize("address", ["auto", "10.0.0.2:6379", "head.example:6379", "[::1]:6379"])
def test_an_address_of_a_cluster(address, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert checked_address(address) == address


@pytest.mark.parametrize(
    "address",
    [
        *("", "head", ":6379", "head:", "head:port", "http://a", "http://a:6379"),
        *("head:²", "head:-1", "head:0", "head:65536", "head:+6379", "head:6_379"),
    ],
)
def test_an_address_that_is_none(address):
    with pytest.raises(UsageError, match="valid: auto, or HOST:PORT"):
        checked_address(address)


@pytest.mark.parametrize("address", ["http://127.0.0.1:8265", "head:70000", "local"])
def test_an_address_in_the_environment_is_checked_too(address, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UsageError, match=f"RAY_ADDRESS='{address}' is not understood; valid: auto"):
        checked_address("auto")
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert checked_address("auto") == "head:6379"
    assert checked_address("other:6379") == "other:6379"
    monkeypatch.setenv("RAY_ADDRESS", "")
    assert checked_address("auto") == "auto"


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        ("ConnectionError Could not find any running Ray instance", "no Ray cluster runs here; "),
        (
            "RuntimeError Version mismatch: Ray: 2.60.0 Python: 3.12.1 This process was started "
            "with: Ray: 2.60.0 Python: 3.11.2",
            "Python: 3.12.1 .* Python: 3.11.2",
        ),
        ("AuthenticationError InvalidAuthToken: missing", "set RAY_AUTH_MODE=token, and"),
        ("", "the process that tried to exited with 1"),
    ],
)
def test_why_a_cluster_lets_nobody_join_is_said(printed, said, monkeypatch):
    joining = pytest.importorskip("mnist_cnn.workers.cluster.joining")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(joining, "PROBE", f"print({printed!r}); exit(1)")
    with pytest.raises(UserError, match=said):
        joining.join(RayWanted(1))


@pytest.mark.parametrize("given", [True, False])
def test_a_client_is_refused_with_what_to_do(given, monkeypatch):
    address = "ray://10.0.0.2:10001"
    if not given:
        monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UsageError, match="run the command on the head node, or with `ray job"):
        checked_address(address if given else "auto")


def test_a_client_is_refused_from_python_too(monkeypatch):
    pytest.importorskip("ray")
    from mnist_cnn.workers.cluster.joining import join

    monkeypatch.setenv("RAY_ADDRESS", "ray://10.0.0.2:10001")
    with pytest.raises(UsageError, match="run the command on the head node"):
        join(RayWanted(1))


def test_the_brackets_of_an_ipv6_address_are_no_part_of_it():
    pytest.importorskip("ray")
    from mnist_cnn.workers.cluster.joining import join

    with pytest.raises(UserError, match=r"no Ray cluster answers at \[::1\]:1: ") as refusal:
        join(RayWanted(1, address="[::1]:1"))
    assert "not known" not in str(refusal.value)  # the name of a host


def test_a_node_must_have_what_this_machine_has():
    pytest.importorskip("ray")
    from mnist_cnn.workers.cluster.nodes import (
        PACKAGES,
        NodeFacts,
        check,
        common_precision,
        installed,
    )

    python = ".".join(platform.python_version_tuple()[:2])
    packages = {name: installed(name) for name in PACKAGES}
    same = (python, platform.machine(), packages, "float32")
    check("n", NodeFacts(*same))
    for facts, line in (
        (("3.9", *same[1:]), f"node n has Python 3.9, this machine has {python}"),
        ((same[0], "riscv64", *same[2:]), "node n has processor architecture riscv64"),
        ((*same[:2], packages | {"keras": "3.1"}, "float32"), "node n has keras 3.1, this machine"),
        ((*same[:2], packages | {"optuna": None}, "float32"), "node n has optuna not installed"),
    ):
        with pytest.raises(Exception, match=line):
            check("n", NodeFacts(*facts))
    assert check("n", NodeFacts(*same[:2], packages | {"optuna": None}, "float32"), True)
    assert common_precision(["mixed_bfloat16"] * 2, 0) == "mixed_bfloat16"
    assert common_precision(["mixed_bfloat16", "float32"], 0) == "float32"
    assert common_precision(["mixed_bfloat16"] * 2, 0.5) == "float32"


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("auto", "4 workers on 3 nodes of a Ray cluster"),
        ("head:6379", "4 workers on 3 nodes of the Ray cluster at head:6379"),
    ],
)
def test_the_first_line_names_a_cluster_that_is_not_of_this_machine(address, line):
    pytest.importorskip("ray")
    from mnist_cnn.workers.cluster.joining import Cluster

    found = Cluster(
        address=address,
        host="10.0.0.1",
        gpus=0,
        precision="float32",
        fitting=4,
        shared_addresses=False,
        nodes=3,
    )
    assert found.remark(4) == line


def test_without_ray_a_line_says_what_to_type(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "mnist_cnn.workers.cluster.actors", raising=False)
    monkeypatch.delitem(sys.modules, "mnist_cnn.workers.cluster.joining", raising=False)
    with pytest.raises(
        UsageError, match=r"Ray is not installed; type .* -r requirements-cluster\.lock`$"
    ):
        pool_of(ExperimentId("mnist"), RayWanted(4))


def test_an_address_that_does_not_answer_is_told_before_anything_starts(monkeypatch):
    pytest.importorskip("ray")
    from mnist_cnn.workers.cluster.joining import join

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(UserError, match=f"no Ray cluster answers at {address}: "):
            join(RayWanted(1, address=address))
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(UserError, match=f"no Ray cluster answers at {address}: "):
            join(RayWanted(1))


def test_what_answers_and_is_no_ray_cluster_is_told(monkeypatch):
    """Such as the port of Ray's dashboard, which listens too."""
    joining = pytest.importorskip("mnist_cnn.workers.cluster.joining")
    monkeypatch.setattr(joining, "JOIN_SECONDS", 8.0)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(UserError, match=f"no Ray cluster answers at {address} within 8 s; "):
            joining.join(RayWanted(1, address=address))
