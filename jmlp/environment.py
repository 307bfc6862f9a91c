"""What must be in the environment before JAX starts, and what is there now. No JAX at import.

The library never changes the environment: the command does, once, before it imports JAX.
"""

import os
import platform
import sys
from collections.abc import Mapping, MutableMapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from jmlp import places
from jmlp.errors import ConfigError

Device = Literal["auto", "cpu", "gpu"]

MAX_DEFAULT_CORES = 8
MOST_CORES = 256
CHECKPOINT_SECONDS = 10.0  # how often training is saved, where nothing else is asked for

# The engine puts an idle device beside a lone one, so that bits do not depend on the cores.
LEAST_CPU_DEVICES = 2

# Single-threaded products, one virtual device per core: cohorts run side by side, and a product's
# bits do not depend on how many cores there are.
CPU_FLAGS = ("--xla_cpu_multi_thread_eigen=false",)
# The same kernels in every process, so that a run can be repeated to the bit.
GPU_FLAGS = ("--xla_gpu_deterministic_ops=true", "--xla_gpu_autotune_level=0")

PACKAGES = ("jmlp", "jax", "jaxlib", "numpy")


def default_cores(environ: Mapping[str, str] = os.environ) -> int:
    """Cores that this process may use: a Slurm allocation, else its affinity; at most 8."""
    given = environ.get("SLURM_CPUS_PER_TASK", "")
    if given.isdecimal() and int(given) > 0:
        return min(int(given), MAX_DEFAULT_CORES)
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), MAX_DEFAULT_CORES)
    return min(os.cpu_count() or 1, MAX_DEFAULT_CORES)


def prepare(
    device: Device,
    cores: int | None,
    compile_cache: Path,
    environ: MutableMapping[str, str] = os.environ,
) -> str:
    """Sets what JAX reads when it starts; what the user has set stays, but for what is asked here.

    Args:
        device: `auto` leaves the choice to JAX.
        cores: virtual CPU devices, but 2 at least; by default as many as this process has cores, at
            most 8.
        compile_cache: the folder for compiled programs, where the user has not set another. They
            are run as code, so it is made private, or not used.
        environ: the environment to change.

    Returns:
        A warning for the user: why compiled programs are not kept; empty: they are.

    Raises:
        ConfigError: a variable is not what JAX or XLA can take.
        RuntimeError: JAX was imported already (a bug of the caller).
    """
    if "jax" in sys.modules:
        raise RuntimeError("environment.prepare must come before the first import of jax")
    flags = _given_flags(environ.get("XLA_FLAGS", ""))
    names = {flag.split("=")[0] for flag in flags}
    flags += [flag for flag in CPU_FLAGS + GPU_FLAGS if flag.split("=")[0] not in names]
    environ["XLA_FLAGS"] = " ".join(flags)
    if device == "cpu":
        environ["JAX_PLATFORMS"] = "cpu"
        for name in ("JAX_DEFAULT_DEVICE", "JAX_PLATFORM_NAME"):  # of another kind, perhaps
            environ.pop(name, None)
    if cores is not None:
        environ["JAX_NUM_CPU_DEVICES"] = str(max(cores, LEAST_CPU_DEVICES))
    elif not environ.get("JAX_NUM_CPU_DEVICES"):
        environ["JAX_NUM_CPU_DEVICES"] = str(max(default_cores(environ), LEAST_CPU_DEVICES))
    elif not _is_count(given := environ["JAX_NUM_CPU_DEVICES"]):
        raise ConfigError(
            f"JAX_NUM_CPU_DEVICES: must be an integer from 1 to {MOST_CORES}, got {given[:60]!r}; "
            "correct it or unset it"
        )
    environ.setdefault("JAX_DEFAULT_MATMUL_PRECISION", "highest")  # a GPU would round to TF32
    environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # leave the GPU to others too
    environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
    environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
    environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    if "JAX_COMPILATION_CACHE_DIR" in environ:
        return ""
    if problem := places.make_private(compile_cache):
        return (
            f"compiled programs are not kept: {compile_cache} {problem}; remove it, or set "
            "JMLP_HOME or JAX_COMPILATION_CACHE_DIR to a folder of yours"
        )
    environ["JAX_COMPILATION_CACHE_DIR"] = str(compile_cache)
    return ""


def _given_flags(value: str) -> list[str]:
    """The flags of a user, or those in the file that is named in place of them, as XLA has it.

    Raises:
        ConfigError: there is no such file.
    """
    if not value.strip() or value.startswith("-"):
        return value.split()
    try:
        return Path(value).read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        raise ConfigError(
            f"XLA_FLAGS: {value[:200]!r} is neither flags, which begin with --, nor a file of "
            "flags that can be read; correct it or unset it"
        ) from None


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= MOST_CORES


def flags() -> str:
    """XLA's flags as they are."""
    return os.environ.get("XLA_FLAGS", "")


@cache
def versions() -> Mapping[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def device_name(device: Any) -> str:
    """A JAX device by the name of its hardware: `cpu: AMD EPYC`, `gpu: NVIDIA H100`."""
    kind = cpu_model() if device.platform == "cpu" else device.device_kind
    return f"{device.platform}: {kind}"


@cache
def cpu_model() -> str:
    """The processor's name, as the operating system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()
