"""This machine's cores, GPUs and memory, and the precision that it computes fast."""

import math
import os
import platform
import re
from itertools import takewhile
from pathlib import Path

WORKER = "MNIST_CNN_WORKER"  # environment variable with the number of a worker process, from 1
GPU_NAME = re.compile(r"\d+|(GPU|MIG)-.+")  # for CUDA: an index, a UUID, or a part of a GPU


def cores() -> int:
    """Return the number of cores that this process may use.

    It is the minimum of those that it may run on and the time that its cgroups, version 1 or 2,
    allow it on them, as of `docker run --cpus=2`.
    """
    if not hasattr(os, "sched_getaffinity"):  # not Linux
        return os.cpu_count() or 1
    allowed = min((_cores_in(folder) for folder in _folders("cpu")), default=math.inf)
    return int(min(len(os.sched_getaffinity(0)), allowed))


def default_workers() -> int:
    """Return the default number of worker processes.

    It is one per GPU. Without a GPU it is one per core, up to four: on two cores, two workers with
    one thread each finish at least as many trials an hour as one worker with two threads, and more
    than four small networks at once compete for memory bandwidth.
    """
    return gpus() or default_cpu_workers()


def default_cpu_workers() -> int:
    """Return the default number of worker processes if no GPU can be used."""
    return min(cores(), 4)


def precision() -> str:
    """Return the Keras dtype policy for training on the CPU.

    It is `mixed_bfloat16` if the CPU multiplies bfloat16 natively (AVX512-BF16 or AMX): weights
    stay float32, and matrix products take a third to a half of the time. Otherwise it is `float32`.
    """
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:  # not Linux
        return "float32"
    return "mixed_bfloat16" if flags & {"avx512_bf16", "amx_bf16"} else "float32"


def processor() -> str:
    """Return the name of the processor. The last bits of a run's results depend on it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def gpus() -> int:
    """Return the number of NVIDIA GPUs that this process may use, without initialising them."""
    return len(_gpu_names())


def _gpu_names() -> list[str]:
    """Return the names of the GPUs that this process may use, for CUDA_VISIBLE_DEVICES.

    CUDA ignores what follows the first entry that is no name. Some systems set NoDevFiles.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return list(takewhile(GPU_NAME.fullmatch, map(str.strip, visible.split(","))))
    found = [path for path in Path("/dev").glob("nvidia*") if path.name[6:].isdigit()]
    return [str(index) for index in range(len(found))]


def worker_environments(count: int) -> list[dict[str, str]]:
    """Return the environment variables of `count` worker processes.

    Each worker gets its number, its share of the cores and, if there are GPUs, one of them. The
    variables must be set before TensorFlow is imported.
    """
    threads = max(1, cores() // count)
    workers = [worker_environment(number, threads) for number in range(1, count + 1)]
    if not (names := _gpu_names()):
        return workers
    return [
        worker | {"CUDA_VISIBLE_DEVICES": names[place % len(names)]}
        for place, worker in enumerate(workers)
    ]


def worker_environment(number: int, threads: int) -> dict[str, str]:
    """Return the environment variables of a worker process, without those that choose a GPU.

    Args:
        number: The number of the worker, from 1.
        threads: The number of threads that it computes with.
    """
    return {
        **threads_environment(threads),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # the same for JAX
        WORKER: str(number),
    }


def threads_environment(threads: int) -> dict[str, str]:
    """Return environment variables that limit TensorFlow to `threads` threads; JAX reads NPROC."""
    names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "NPROC")
    return dict.fromkeys(names, str(threads))


def worker_memory(count: int) -> float:
    """Return by how many bytes one of `count` worker processes may grow before it is replaced.

    It is half of the worker's share of the free memory, but at least what TensorFlow itself needs.
    """
    return max(available_memory() / count / 2, 2 * 2**30)


def memory_of(process_id: int | None) -> int:
    """Return the memory that a process alone uses now, in bytes; 0 if it is unknown.

    Pages of files, such as images that are read through a map, are left out: the system takes them
    back whenever it needs memory.
    """
    try:
        _, resident, shared, *_ = Path(f"/proc/{process_id}/statm").read_text().split()
    except (OSError, ValueError):
        return 0
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")


def available_memory() -> float:
    """Return the memory that is still available without swapping, in bytes; infinite if unknown.

    It is the minimum of the kernel's estimate (MemAvailable) and what the cgroups of this process,
    version 1 or 2, still allow.
    """
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:  # not Linux
        return math.inf
    kernel = next(int(x.split()[1]) * 1024 for x in lines if x.startswith("MemAvailable:"))
    return min([kernel, *map(_left_in, _folders("memory"))])


def _folders(controller: str) -> list[Path]:
    """Return the cgroup folders that may limit what a controller, such as `memory`, gives.

    They are the folders of this process's groups and their parents.
    """
    try:
        groups = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return []
    found = []
    for group in groups:
        _, controllers, path = group.split(":", 2)
        if controllers and controller not in controllers.split(","):  # it is "" in version 2
            continue
        root = Path("/sys/fs/cgroup") / (controller if controllers else "")
        own = root / path.lstrip("/")
        found += [own, *(folder for folder in own.parents if folder.is_relative_to(root))]
    return found


def _cores_in(folder: Path) -> float:
    """Return the number of cores on which a cgroup allows to compute all the time, rounded up."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
    except OSError:  # the root group has no limit, and a container does not see the groups above it
        return math.inf
    if quota.strip() in ("max", "-1"):
        return math.inf
    return math.ceil(int(quota) / int(period))


def _left_in(folder: Path) -> float:
    """Return the bytes that a cgroup still allows. Its page cache does not count as used."""
    v1 = (folder / "memory.limit_in_bytes").exists()
    limit, taken = ("limit_in_bytes", "usage_in_bytes") if v1 else ("max", "current")
    try:
        bound = (folder / f"memory.{limit}").read_text().strip()
        if bound == "max":
            return math.inf
        used = int((folder / f"memory.{taken}").read_text())
        facts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except OSError:  # the root group has no limit, and a container does not see the groups above it
        return math.inf
    prefix = "total_" if v1 else ""  # includes child groups, as the usage does
    cache = sum(int(facts[f"{prefix}{kind}_file"]) for kind in ("inactive", "active"))
    return max(0, int(bound) - used + cache)
