"""What this machine computes fast: precision, cores, threads of a worker."""

import math
import os
import platform
from pathlib import Path

WORKER = "MNIST_CNN_WORKER"  # the variable with the number of a training process, from 1


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_workers() -> int:
    """How many trials to train side by side.

    One for every GPU; without one, one for every core up to four: on two cores two trials of one
    thread each came to no fewer an hour than one of two threads. More than four small
    networks at once fight for memory bandwidth.
    """
    return gpus() or default_cpu_workers()


def default_cpu_workers() -> int:
    """The same for a machine on which no GPU computes."""
    return min(cores(), 4)


def precision() -> str:
    """The Keras dtype policy for training on the CPU.

    `mixed_bfloat16` where the CPU multiplies bfloat16 natively (AVX512-BF16 or AMX): weights stay
    float32 and the products take a third to a half of the time. Elsewhere `float32`.
    """
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:  # not Linux
        return "float32"
    return "mixed_bfloat16" if flags & {"avx512_bf16", "amx_bf16"} else "float32"


def processor() -> str:
    """The processor's name, on which the last bits of a training depend."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def gpus() -> int:
    """The number of NVIDIA GPUs that this process may use, told without waking them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([name for name in visible.split(",") if name and name != "-1"])
    return len([path for path in Path("/dev").glob("nvidia*") if path.name[6:].isdigit()])


def worker_environments(count: int) -> list[dict[str, str]]:
    """The environments of `count` training processes: a number, its share of the cores, or a GPU.

    They count only if they are set before TensorFlow is imported.
    """
    common = {
        **threads_environment(max(1, cores() // count)),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # JAX's word for the same
    }
    workers = [common | {WORKER: str(number)} for number in range(1, count + 1)]
    if not (found := gpus()):
        return workers
    names = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(found)))).split(",")
    return [
        worker | {"CUDA_VISIBLE_DEVICES": names[place % found]}
        for place, worker in enumerate(workers)
    ]


def threads_environment(threads: int) -> dict[str, str]:
    """The environment that says how many threads TensorFlow computes with; JAX reads NPROC."""
    names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "NPROC")
    return dict.fromkeys(names, str(threads))


def worker_memory(count: int) -> float:
    """Return by how many bytes one of `count` training processes may grow before it is replaced.

    Half of its share of what is free, but never so little that TensorFlow itself passes it.
    """
    return max(available_memory() / count / 2, 2 * 2**30)


def memory_of(process_id: int | None) -> int:
    """The bytes of memory that a process holds now; 0 where that cannot be told."""
    try:
        pages = int(Path(f"/proc/{process_id}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def available_memory() -> float:
    """The bytes of memory that can still be taken without swapping; infinite if unknown.

    The smallest of the kernel's estimate (MemAvailable) and what the cgroups of this process still
    allow, version 1 or 2.
    """
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        groups = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return math.inf
    kernel = next(int(x.split()[1]) * 1024 for x in lines if x.startswith("MemAvailable:"))
    return min([kernel, *(_left_in(folder) for group in groups for folder in _folders(group))])


def _folders(group: str) -> list[Path]:
    """The folders of a line of /proc/self/cgroup that may limit memory: its own and those above."""
    _, controllers, path = group.split(":", 2)
    if controllers not in ("", "memory"):
        return []
    root = Path("/sys/fs/cgroup") / controllers
    own = root / path.lstrip("/")
    return [own, *(folder for folder in own.parents if folder.is_relative_to(root))]


def _left_in(folder: Path) -> float:
    """The bytes that a cgroup still allows. Its cache of files does not count as taken."""
    v1 = (folder / "memory.limit_in_bytes").exists()
    limit, taken = ("limit_in_bytes", "usage_in_bytes") if v1 else ("max", "current")
    try:
        bound = (folder / f"memory.{limit}").read_text().strip()
        if bound == "max":
            return math.inf
        used = int((folder / f"memory.{taken}").read_text())
        facts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except OSError:  # the root has none, and in a container those above are not seen
        return math.inf
    prefix = "total_" if v1 else ""  # with the groups below, as the usage is
    cache = sum(int(facts[f"{prefix}{kind}_file"]) for kind in ("inactive", "active"))
    return max(0, int(bound) - used + cache)
