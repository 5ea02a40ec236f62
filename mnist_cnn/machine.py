"""What this machine computes fast: precision, cores, threads of a worker."""

import os
from pathlib import Path


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_workers() -> int:
    """How many trials to train side by side.

    One for every core up to four: two trials of one thread each finished 1.25 times as many epochs
    as one trial of two threads. More than four small networks at once fight for memory bandwidth.
    """
    return min(cores(), 4)


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


def worker_environment(threads: int) -> dict[str, str]:
    """Environment of a training process; it counts only if set before TensorFlow is imported."""
    return {
        "OMP_NUM_THREADS": str(threads),
        "TF_NUM_INTRAOP_THREADS": str(threads),
        "TF_NUM_INTEROP_THREADS": str(threads),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    }
