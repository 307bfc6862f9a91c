"""`jmlp doctor`: facts about this machine and installation, each with ok or a remedy."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from jmlp.cli.hardware import Hardware
from jmlp.cli.output import Output
from jmlp.client import devices as jax_devices
from jmlp.errors import JmlpError
from jmlp.system import environment, files
from jmlp.system.installation import command_that_installs

SHOWN_VARIABLES = (
    "JMLP_HOME",
    "JMLP_DATA",
    "JMLP_RUNS",
    "JMLP_CONFIG",
    "JMLP_OFFLINE",
    "JMLP_GLYPHS",
    "JAX_PLATFORMS",
    "JAX_NUM_CPU_DEVICES",
    "JAX_ENABLE_X64",
    "JAX_DEBUG_NANS",
    "JAX_DISABLE_JIT",
    "JAX_COMPILATION_CACHE_DIR",
    "XLA_FLAGS",
    "XLA_PYTHON_CLIENT_PREALLOCATE",
    "CUDA_VISIBLE_DEVICES",
)
LITTLE_SPACE = 1_000_000_000  # bytes
DEFAULT_DATA = "mnist"  # of studies and of the command
# Earlier versions of SQLite can corrupt a database in WAL mode, so jmlp does not use that mode.
WAL_IS_SAFE = (3, 51, 3)


@dataclass(frozen=True)
class Finding:
    """One fact, such as a version, and what to do if it is a problem."""

    what: str
    value: str
    remedy: str = ""  # empty: ok


def doctor(*, hardware: Hardware = Hardware(), out: Output = Output()) -> None:  # noqa: B008
    """Print versions, devices, flags, paths, SQLite and free space, each with ok or the remedy."""
    findings = list(_findings(hardware))
    if out.json:
        out.print_json([{**asdict(f), "ok": not f.remedy} for f in findings])
        return
    width = max(len(finding.what) for finding in findings)
    for f in findings:
        print(f"{f.what:<{width}}  {f.value}  {'-> ' + f.remedy if f.remedy else 'ok'}")


def _findings(hardware: Hardware) -> Iterator[Finding]:
    for name, version in environment.versions().items():
        missing = f"install it: {command_that_installs(name)}" if version == "not installed" else ""
        yield Finding(name, version, missing)
    yield from _devices(hardware)
    others = sorted(n for n in os.environ if n.startswith(("JAX_", "XLA_", "PJRT_")))
    for name in dict.fromkeys((*SHOWN_VARIABLES, *others)):
        if name in os.environ:
            yield Finding(name, os.environ[name])
    yield from _places()
    yield from _published()
    yield from _worker()
    modes = "all modes" if sqlite3.sqlite_version_info >= WAL_IS_SAFE else "rollback journal only"
    yield Finding("SQLite", f"{sqlite3.sqlite_version} ({modes})")


def _devices(hardware: Hardware) -> Iterator[Finding]:
    yield Finding("cores", f"{hardware.count()} of {os.cpu_count()}")
    problems: list[str] = []
    try:
        found = jax_devices.ask(hardware.device, hardware.cores, problems.append)
    except JmlpError as error:
        yield Finding("devices", f"none for --device {hardware.device}", str(error))
        return
    shown = hardware.count() if found[0].startswith("cpu:") else len(found)
    for number, name in enumerate(found[:shown]):
        yield Finding(f"device {number}", name)
    for problem in problems:
        yield Finding("compile cache", "not used", problem.removeprefix("warning: "))


def _places() -> Iterator[Finding]:
    for what, find in (
        ("data sets", files.data_dir),
        ("compiled programs", files.compile_cache_dir),
        ("runs", files.runs_dir),
    ):
        try:
            path = find()
        except JmlpError as error:
            yield Finding(what, "nowhere", str(error))
            continue
        existing = _nearest(path)
        yield Finding(what, str(path), _write_remedy(existing))
        free = shutil.disk_usage(existing).free
        little = "free some space: less than 1 GB is left" if free < LITTLE_SPACE else ""
        yield Finding("  free space", f"{free / 1e9:.1f} GB", little)


def _worker() -> Iterator[Finding]:
    """The worker that is using the store, and whether locks can be trusted on its file system."""
    from jmlp.store import Lock, network_file_system

    try:
        folder = files.runs_dir()
        owner = Lock(folder).owner()
    except JmlpError as error:
        yield Finding("worker", "unknown", str(error))
        return
    trains = f" trains {owner.study}" if owner and owner.study else ""
    yield Finding("worker", f"{owner.process}{trains}" if owner else "none")
    if kind := network_file_system(folder):
        remedy = "keep runs on a disk of this machine (JMLP_RUNS): locks there can fail"
        yield Finding("file system of runs", kind, remedy)


def _nearest(path: Path) -> Path:
    """The folder itself, or its nearest parent that exists and is accessible."""
    return next(p for p in (path, *path.parents) if os.path.exists(p))


def _write_remedy(folder: Path) -> str:
    """What to do so that files can be created in a folder; empty if they can."""
    if not os.path.isdir(folder):
        return f"{folder} is not a folder: remove it, or set JMLP_HOME"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"make {folder} writable, or set JMLP_HOME"
    return ""


def _published() -> Iterator[Finding]:
    """Whether the data sets that are downloaded are here; only MNIST is used by default."""
    from jmlp import data
    from jmlp.data.sources import PUBLISHED

    try:
        entries = {entry.name: entry for entry in data.catalogue()}
    except JmlpError as error:
        yield Finding("MNIST", "nowhere", str(error))
        return
    for name, published in PUBLISHED.items():
        entry, how = entries[name], f"jmlp data get {name}"
        if entry.cached:
            yield Finding(published.title, str(entry.path))
        elif entry.problem:
            yield Finding(published.title, "unknown", entry.problem)
        elif name == DEFAULT_DATA:
            yield Finding(published.title, "not here yet", f"run: {how}")
        else:
            yield Finding(published.title, f"not here yet: {how}")
