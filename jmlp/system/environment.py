"""What must be in the environment before JAX starts, and what is there now. No JAX at import.

The library never changes the environment: the command does, once, before it imports JAX.
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
MOST_CORES = 256
CHECKPOINT_SECONDS = 10.0  # how often training is saved, where nothing else is asked for

# The engine puts an idle device beside a lone one, so that bits do not depend on the cores.
LEAST_CPU_DEVICES = 2

# Single-threaded products, one virtual device per core: cohorts run side by side, and a product's
# bits do not depend on how many cores there are.
CPU_FLAGS = ("--xla_cpu_multi_thread_eigen=false",)
# The same kernels in every process, so that a run can be repeated bitwise.
GPU_FLAGS = ("--xla_gpu_deterministic_ops=true", "--xla_gpu_autotune_level=0")
_OUR_FLAGS = tuple(flag.partition("=")[0] for flag in CPU_FLAGS + GPU_FLAGS)

PACKAGES = ("jmlp", "jax", "jaxlib", "numpy")

# JAX's warning, before the program's name and the reason.
_DAMAGED_PROGRAM = re.compile("Error reading persistent compilation cache entry for '([^']+)'")
_WARNING_KIND = 40  # characters that warnings of one kind have in common

# Variables beside XLA_FLAGS that libraries below JAX read, and that choose among kernels or round.
RECORDED_VARIABLES = (
    *(
        f"{library}_{name}"
        for library in ("DNNL", "ONEDNN")  # two names of one library
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
    before = dict(environ)
    try:
        return _set_for_jax(device, cores, compile_cache, environ)
    finally:
        if environ is os.environ:
            diagnosis.note_changes(before)


def _set_for_jax(
    device: Device, cores: int | None, compile_cache: Path, environ: MutableMapping[str, str]
) -> str:
    """Does what `prepare` says."""
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
    environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # leave the GPU to others too
    environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
    environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
    environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    if "JAX_COMPILATION_CACHE_DIR" in environ:
        return ""
    if problem := files.make_private(compile_cache):
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


def report_warnings(say: Callable[[str], object]) -> None:
    """From now on, reports warnings of this process as one line each, the first of each kind.

    They are mostly JAX's, such as those of a compile cache that cannot be used.

    Args:
        say: takes a line.
    """
    reported: set[str] = set()

    def show(message: Warning | str, *place: object, **where: object) -> None:
        del place, where
        text = str(message).splitlines()[0]
        if (damaged := _DAMAGED_PROGRAM.match(text)) and remove_program(damaged[1]):
            text = "a compiled program that was left half written is compiled again"
        kind = text[:_WARNING_KIND]
        if kind not in reported:
            reported.add(kind)
            say(f"warning: {text}")

    warnings.showwarning = show


def remove_program(name: str) -> bool:
    """Removes what is cached of a program: JAX leaves an entry that it cannot read as it is.

    Without this every start compiles it again, and warns.

    Returns:
        Whether it was removed: a cache that the user chose is left as it is.
    """
    folder = files.compile_cache_dir()
    if os.environ.get("JAX_COMPILATION_CACHE_DIR") != str(folder):
        return False
    for path in folder.glob(f"{glob.escape(name)}-*"):
        with contextlib.suppress(OSError):  # another process has removed it
            path.unlink()
    return True


def flags(environ: Mapping[str, str] = os.environ) -> str:
    """XLA's flags, so that equal ones are equal texts: the user's by name, then those of jmlp.

    Of a flag that is given twice the last one counts.
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
    """Sets flags and variables as a run had them, no more and no less, before JAX starts.

    Args:
        recorded_flags: XLA's.
        recorded: other settings; None: unknown, so the variables stay as they are.
        environ: the environment to change.
    """
    environ["XLA_FLAGS"] = recorded_flags
    if recorded is not None:
        for name in RECORDED_VARIABLES:
            environ.pop(name, None)
            if name in recorded:
                environ[name] = recorded[name]


def settings(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables beside XLA_FLAGS that can change bits, as far as they are set."""
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
    """A JAX device by the name of its hardware: `cpu: AMD EPYC`, `gpu: NVIDIA H100`."""
    kind = cpu_model() if device.platform == "cpu" else device.device_kind
    return f"{device.platform}: {kind}"


@cache
def cpu_model() -> str:
    """The processor's name, as the operating system tells it."""
    return _cpu_fact("model name") or platform.processor() or platform.machine()


@cache
def instruction_sets() -> str:
    """Those for floating-point numbers: processors of one name can differ in them."""
    names = (_cpu_fact("flags") or _cpu_fact("Features")).split()
    return " ".join(sorted(_FLOAT_SETS & set(names))) or platform.machine()


def _cpu_fact(name: str) -> str:
    """Of the first processor in Linux's list; elsewhere there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    facts = (line.partition(":") for line in lines)
    return next((text.strip() for key, _, text in facts if key.strip() == name), "")
