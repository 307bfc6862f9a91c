"""Sets the environment before JAX starts, and reads what numbers depend on. Does not import JAX.

The library never changes the environment; the command does, once, before it imports JAX.
"""

import contextlib
import glob
import os
import platform
import re
import sys
import warnings
from collections.abc import Callable, Mapping, MutableMapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from jmlp.errors import ConfigError
from jmlp.system import diagnosis, files

Device = Literal["auto", "cpu", "gpu"]

MAX_DEFAULT_CORES = 8
MAX_CORES = 256
CHECKPOINT_SECONDS = 10.0  # default interval between checkpoints

# The engine adds an idle device to a single one, so that bits do not depend on the number of cores.
MIN_CPU_DEVICES = 2

# Single-threaded products and one virtual device per core: cohorts run in parallel, and the bits of
# a product do not depend on the number of cores.
CPU_FLAGS = ("--xla_cpu_multi_thread_eigen=false",)
# The same kernels in every process, so that a run can be repeated bitwise.
GPU_FLAGS = ("--xla_gpu_deterministic_ops=true", "--xla_gpu_autotune_level=0")
_OUR_FLAGS = tuple(flag.partition("=")[0] for flag in CPU_FLAGS + GPU_FLAGS)

PACKAGES = ("jmlp", "jax", "jaxlib", "numpy")

# JAX's warning about a damaged cache entry; the program's name and the reason follow.
_DAMAGED_PROGRAM = re.compile("Error reading persistent compilation cache entry for '([^']+)'")
_WARNING_KIND = 40  # warnings that share this many first characters are of one kind

# Variables besides XLA_FLAGS that libraries below JAX read and that affect kernels or rounding.
RECORDED_VARIABLES = (
    *(
        f"{library}_{name}"
        for library in ("DNNL", "ONEDNN")  # two names of the same library
        for name in ("CPU_ISA_HINTS", "DEFAULT_FPMATH_MODE", "MAX_CPU_ISA")
    ),
    "CUBLAS_WORKSPACE_CONFIG",
    "LIBTPU_INIT_ARGS",
    "NVIDIA_TF32_OVERRIDE",
)
# Instruction sets for which compilers and libraries have floating-point kernels of their own.
_FLOAT_SETS = {
    *("avx", "avx2", "fma", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_fp16"),
    *("asimd", "asimdhp", "bf16", "sve", "sve2", "sme", "sme2"),
}


def default_cores(environ: Mapping[str, str] = os.environ) -> int:
    """The number of cores that this process may use, from Slurm or its affinity; at most 8."""
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
    """Sets the variables that JAX reads when it starts; only the arguments override the user's.

    Args:
        device: `auto` leaves the choice to JAX.
        cores: number of virtual CPU devices, of which there are at least 2; by default as many as
            this process has cores, at most 8.
        compile_cache: the folder for compiled programs, unless the user has set another. They are
            executed as code, so it is made private, or not used.
        environ: the environment to change.

    Returns:
        A warning for the user that says why compiled programs are not cached; empty if they are.

    Raises:
        ConfigError: JAX or XLA would not accept the value of a variable.
        RuntimeError: JAX has been imported already (a bug in the caller).
    """
    if "jax" in sys.modules:
        raise RuntimeError("environment.prepare must come before the first import of jax")
    before = dict(environ)
    try:
        return _set_for_jax(device, cores, compile_cache, environ)
    finally:
        if environ is os.environ:
            diagnosis.note_changes(before)


def _set_for_jax(
    device: Device, cores: int | None, compile_cache: Path, environ: MutableMapping[str, str]
) -> str:
    """Does the work of `prepare`, which records the changes."""
    flags = _given_flags(environ.get("XLA_FLAGS", ""))
    names = {flag.split("=")[0] for flag in flags}
    flags += [flag for flag in CPU_FLAGS + GPU_FLAGS if flag.split("=")[0] not in names]
    environ["XLA_FLAGS"] = " ".join(flags)
    if device == "cpu":
        environ["JAX_PLATFORMS"] = "cpu"
        for name in ("JAX_DEFAULT_DEVICE", "JAX_PLATFORM_NAME"):  # they may select another kind
            environ.pop(name, None)
    if cores is not None:
        environ["JAX_NUM_CPU_DEVICES"] = str(max(cores, MIN_CPU_DEVICES))
    elif not environ.get("JAX_NUM_CPU_DEVICES"):
        environ["JAX_NUM_CPU_DEVICES"] = str(max(default_cores(environ), MIN_CPU_DEVICES))
    elif not _is_count(given := environ["JAX_NUM_CPU_DEVICES"]):
        raise ConfigError(
            f"JAX_NUM_CPU_DEVICES: must be an integer from 1 to {MAX_CORES}, got {given[:60]!r}; "
            "correct it or unset it"
        )
    environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # others use the GPU too
    environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
    environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
    environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    if "JAX_COMPILATION_CACHE_DIR" in environ:
        return ""
    if problem := files.make_private(compile_cache):
        return (
            f"compiled programs are not cached: {compile_cache} {problem}; remove it, or set "
            "JMLP_HOME or JAX_COMPILATION_CACHE_DIR to a folder of your own"
        )
    environ["JAX_COMPILATION_CACHE_DIR"] = str(compile_cache)
    return ""


def _given_flags(value: str) -> list[str]:
    """The flags in XLA_FLAGS, or in the file that it may name instead, as XLA reads it.

    Raises:
        ConfigError: it is neither flags nor a readable file.
    """
    if not value.strip() or value.startswith("-"):
        return value.split()
    try:
        return Path(value).read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        raise ConfigError(
            f"XLA_FLAGS: {value[:200]!r} is neither flags, which begin with --, nor a readable "
            "file of flags; correct it or unset it"
        ) from None


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= MAX_CORES


def report_warnings(say: Callable[[str], object]) -> None:
    """Makes this process report warnings as one line each, and only the first of each kind.

    Most come from JAX, such as those about an unusable compile cache.

    Args:
        say: called with each line.
    """
    reported: set[str] = set()

    def show(message: Warning | str, *place: object, **where: object) -> None:
        del place, where
        text = str(message).splitlines()[0]
        if (damaged := _DAMAGED_PROGRAM.match(text)) and remove_program(damaged[1]):
            text = "a partially written compiled program is compiled again"
        kind = text[:_WARNING_KIND]
        if kind not in reported:
            reported.add(kind)
            say(f"warning: {text}")

    warnings.showwarning = show


def remove_program(name: str) -> bool:
    """Removes the cache entries of a program, as JAX does not replace one that it cannot read.

    Otherwise every start would compile the program again and warn.

    Returns:
        Whether it was removed; a cache that the user has chosen is not changed.
    """
    folder = files.compile_cache_dir()
    if os.environ.get("JAX_COMPILATION_CACHE_DIR") != str(folder):
        return False
    for path in folder.glob(f"{glob.escape(name)}-*"):
        with contextlib.suppress(OSError):  # another process has removed it
            path.unlink()
    return True


def flags(environ: Mapping[str, str] = os.environ) -> str:
    """XLA's flags in canonical order: the user's, sorted by name, then those of jmlp.

    If a flag is given twice, the last one counts.
    """
    given = _given_flags(environ.get("XLA_FLAGS", ""))
    by_name = {flag.partition("=")[0]: flag for flag in given}
    ours = [by_name.pop(name) for name in _OUR_FLAGS if name in by_name]
    return " ".join([*(by_name[name] for name in sorted(by_name)), *ours])


def restore(
    recorded_flags: str,
    recorded: Mapping[str, str] | None,
    environ: MutableMapping[str, str] = os.environ,
) -> None:
    """Sets exactly the flags and variables with which a run was trained, before JAX starts.

    Args:
        recorded_flags: the flags of XLA.
        recorded: the other settings; None if unknown, and the variables are then not changed.
        environ: the environment to change.
    """
    environ["XLA_FLAGS"] = recorded_flags
    if recorded is not None:
        for name in RECORDED_VARIABLES:
            environ.pop(name, None)
            if name in recorded:
                environ[name] = recorded[name]


def settings(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables besides XLA_FLAGS that are set and can affect bits."""
    return {name: environ[name] for name in RECORDED_VARIABLES if environ.get(name)}


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
    """A JAX device with the name of its hardware: `cpu: AMD EPYC`, `gpu: NVIDIA H100`."""
    kind = cpu_model() if device.platform == "cpu" else device.device_kind
    return f"{device.platform}: {kind}"


@cache
def cpu_model() -> str:
    """The processor's name, as the operating system reports it."""
    return _cpu_fact("model name") or platform.processor() or platform.machine()


@cache
def instruction_sets() -> str:
    """The CPU's floating-point instruction sets; processors of the same name can differ in them."""
    names = (_cpu_fact("flags") or _cpu_fact("Features")).split()
    return " ".join(sorted(_FLOAT_SETS & set(names))) or platform.machine()


def _cpu_fact(name: str) -> str:
    """An entry of the first processor in Linux's /proc/cpuinfo; empty on other systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    facts = (line.partition(":") for line in lines)
    return next((text.strip() for key, _, text in facts if key.strip() == name), "")
