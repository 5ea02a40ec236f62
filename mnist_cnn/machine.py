"""What this machine computes fast: precision, cores, threads of a worker."""

import math
import os
import platform
from pathlib import Path


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_workers() -> int:
    """How many trials to train side by side.

    One for every GPU; without one, one for every core up to four: two trials of one thread each
    finished 1.25 times as many epochs as one trial of two threads. More than four small networks
    at once fight for memory bandwidth.
    """
    return gpus() or min(cores(), 4)


def precision() -> str:
    """The Keras dtype policy for training.

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
    """The environments of `count` training processes: each its share of the cores, or a GPU.

    They count only if they are set before TensorFlow is imported.
    """
    common = {
        **threads_environment(max(1, cores() // count)),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    }
    if not (found := gpus()):
        return [common] * count
    names = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(found)))).split(",")
    return [common | {"CUDA_VISIBLE_DEVICES": names[place % found]} for place in range(count)]


def threads_environment(threads: int) -> dict[str, str]:
    """The part of the environment that says how many threads TensorFlow computes with."""
    names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    return dict.fromkeys(names, str(threads))


def worker_memory(count: int) -> float:
    """The bytes of memory above which one of `count` training processes is replaced by a new one.

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

    The smaller of the kernel's estimate (MemAvailable) and what a cgroup still allows.
    """
    found = math.inf
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                found = int(line.split()[1]) * 1024
        group = Path("/sys/fs/cgroup")
        limit = (group / "memory.max").read_text().strip()
        if limit != "max":
            used = int((group / "memory.current").read_text())
            found = min(found, max(0, int(limit) - used))
    except OSError:
        pass
    return found
