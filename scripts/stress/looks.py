"""Looks at a store from outside: files, rows, and whether all is as if nothing had happened."""

import contextlib
import hashlib
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from common import LABEL, study_command
from measuring import Findings, tell

from jmlp.results import tensor_files
from jmlp.store import Store, run_files
from jmlp.store.checkpoints import FORMAT
from jmlp.store.rows import point_values
from jmlp.store.states import RUN_ENDED


@dataclass(frozen=True)
class Left:
    """A cohort in training at a kill: the newest checkpoint of it."""

    run_ids: tuple[str, ...]
    updates: int
    written: float  # UTC, seconds


class Photo(NamedTuple):
    """All numbers of a run, from its file."""

    numbers: str  # recomputed
    tensors: str  # SHA-256 of the bytes of all arrays
    points: tuple[Any, ...]  # its cost points, as bytes


class File(NamedTuple):
    """Which file it is: it is another one after it was written again."""

    inode: int
    changed: int


def photo(path: Path) -> Photo:
    """Reads the file of a run.

    Raises:
        CheckpointError: it is damaged.
    """
    stored = run_files.read(path)
    numbers = run_files.numbers_of(stored)
    if numbers != stored.about["numbers"]:
        raise ValueError(f"{path}: its numbers have not the digest that it says")
    parts = {"best": stored.best, "last": stored.last, "snapshots": stored.snapshots}
    digest = hashlib.sha256()
    for part, tensors in parts.items():
        for name, array in sorted(tensors.items()):
            digest.update(f"{part} {name} {array.dtype} {array.shape}\n".encode())
            digest.update(array.tobytes())
    digest.update(repr(stored.snapshot_epochs).encode())
    points = tuple(map(point_values, stored.result.costs))
    return Photo(numbers, digest.hexdigest(), points)


def photos(store: Path) -> dict[str, Photo]:
    """Of every run in a store that has a file."""
    return {path.stem: photo(path) for path in sorted((store / "runs").glob("*.safetensors"))}


def ended_files(store: Path) -> dict[str, File]:
    """The runs that the database shows as ended, and their files."""
    found = {}
    for run_id in ended_runs(store):
        status = run_files.path_of(store, run_id).stat()
        found[run_id] = File(status.st_ino, status.st_mtime_ns)
    return found


def ended_runs(store: Path) -> list[str]:
    """By the database, without opening it as jmlp does."""
    if not (store / "store.sqlite").exists():
        return []
    sql = f"SELECT run_id FROM runs WHERE state IN {RUN_ENDED}"
    with (
        contextlib.suppress(sqlite3.OperationalError),  # no table yet
        contextlib.closing(sqlite3.connect(store / "store.sqlite", timeout=10)) as connection,
    ):
        return [run_id for (run_id,) in connection.execute(sql)]
    return []


def integrity(store: Path) -> str:
    """What `PRAGMA integrity_check` says; "ok" too where there is no database yet."""
    if not (store / "store.sqlite").exists():
        return "ok"
    with contextlib.closing(sqlite3.connect(store / "store.sqlite", timeout=10)) as connection:
        return "; ".join(text for (text,) in connection.execute("PRAGMA integrity_check"))


def check_end(store: Path, wanted: dict[str, Photo], findings: Findings, name: str) -> bool:
    """Whether a store is as one whose study was never disturbed."""
    found, before = photos(store), len(findings.found)
    findings.expect(found.keys() == wanted.keys(), f"{name}: {len(found)} of {len(wanted)} files")
    odd = [run_id for run_id in found if found[run_id] != wanted.get(run_id)]
    findings.expect(not odd, f"{name}: other numbers in {len(odd)} runs")
    with Store(store, viewer=True) as opened:
        state = opened.study(LABEL).state
        findings.expect(state == "done", f"{name}: the study is {state}")
        for row in opened.runs(LABEL):
            findings.expect(row.state in RUN_ENDED, f"{name}: run {row.run_id[:8]} is {row.state}")
            points = tuple(map(point_values, opened.points(row.run_id)))
            epochs = [point[0] for point in points]
            findings.expect(len(set(epochs)) == len(epochs), f"{name}: a cost point twice")
            same = row.run_id in found and points == found[row.run_id].points
            findings.expect(same, f"{name}: {row.run_id[:8]}: other points than in its file")
        for event in opened.events(LABEL):
            bad = event.kind in ("failed once", "failed", "checkpoint refused")
            findings.expect(not bad, f"{name}: {event.kind}: {event.detail}")
    findings.expect(integrity(store) == "ok", f"{name}: integrity_check: {integrity(store)}")
    return len(findings.found) == before


def undisturbed(folder: Path) -> dict[str, Photo]:
    """The runs of the study in `folder`, trained once with nothing in the way."""
    store = folder / "undisturbed"
    log = folder / "undisturbed.log"
    started = time.monotonic()
    if study_command(folder, store, log).wait() != 0:
        raise RuntimeError(f"the undisturbed study failed:\n{log.read_text()}")
    with Store(store, viewer=True) as opened:
        at = {event.kind: event.at for event in opened.events(LABEL) if event.run_id is None}
    tell(
        f"undisturbed: {time.monotonic() - started:.1f} s, "
        f"of which {(at['done'] - at['started']) / 1000:.1f} s in training"
    )
    return photos(store)


def checkpoints(store: Path) -> list[Left]:
    """The newest checkpoint of each cohort."""
    found = []
    for folder in (store / "checkpoints").glob("*"):
        for path in sorted(folder.glob("*.safetensors"))[-1:]:
            about = tensor_files.read_about(path, FORMAT)
            found.append(Left(tuple(about["run_ids"]), int(path.stem), path.stat().st_mtime))
    return found
