"""Inspects a store from outside, and compares it with that of an undisturbed study."""

import contextlib
import hashlib
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from common import LABEL, study_command
from measuring import Findings, say

from jmlp.results import tensor_files
from jmlp.store import Store, run_files
from jmlp.store.checkpoints import FORMAT
from jmlp.store.rows import point_values
from jmlp.store.states import RUN_ENDED


@dataclass(frozen=True)
class Saved:
    """The newest checkpoint of a cohort that was in training at a kill."""

    run_ids: tuple[str, ...]
    updates: int
    written: float  # UTC, seconds


class Fingerprint(NamedTuple):
    """Digests of all numbers of a run, from its file."""

    numbers: str  # recomputed
    tensors: str  # SHA-256 of the bytes of all arrays
    points: tuple[Any, ...]  # its cost points, as bytes


class File(NamedTuple):
    """The identity of a file, which changes when it is written again."""

    inode: int
    changed: int


def fingerprint(path: Path) -> Fingerprint:
    """Reads the file of a run.

    Raises:
        CheckpointError: it is damaged.
    """
    stored = run_files.read(path)
    numbers = run_files.numbers_of(stored)
    if numbers != stored.about["numbers"]:
        raise ValueError(f"{path}: its numbers do not have the digest in its header")
    parts = {"best": stored.best, "last": stored.last, "snapshots": stored.snapshots}
    digest = hashlib.sha256()
    for part, tensors in parts.items():
        for name, array in sorted(tensors.items()):
            digest.update(f"{part} {name} {array.dtype} {array.shape}\n".encode())
            digest.update(array.tobytes())
    digest.update(repr(stored.snapshot_epochs).encode())
    points = tuple(map(point_values, stored.result.costs))
    return Fingerprint(numbers, digest.hexdigest(), points)


def fingerprints(store: Path) -> dict[str, Fingerprint]:
    """The fingerprints of all runs in a store that have a file, by run id."""
    return {path.stem: fingerprint(path) for path in sorted((store / "runs").glob("*.safetensors"))}


def ended_files(store: Path) -> dict[str, File]:
    """The runs that the database shows as ended, and their files."""
    found = {}
    for run_id in ended_runs(store):
        status = run_files.path_of(store, run_id).stat()
        found[run_id] = File(status.st_ino, status.st_mtime_ns)
    return found


def ended_runs(store: Path) -> list[str]:
    """The ids of ended runs in the database, which is not opened the way jmlp does."""
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
    """The result of `PRAGMA integrity_check`; also "ok" if there is no database yet."""
    if not (store / "store.sqlite").exists():
        return "ok"
    with contextlib.closing(sqlite3.connect(store / "store.sqlite", timeout=10)) as connection:
        return "; ".join(text for (text,) in connection.execute("PRAGMA integrity_check"))


def check_end(store: Path, wanted: dict[str, Fingerprint], findings: Findings, name: str) -> bool:
    """Checks that a store is the same as if its study had never been disturbed."""
    found, before = fingerprints(store), len(findings.found)
    findings.expect(found.keys() == wanted.keys(), f"{name}: {len(found)} of {len(wanted)} files")
    different = [run_id for run_id in found if found[run_id] != wanted.get(run_id)]
    findings.expect(not different, f"{name}: other numbers in {len(different)} runs")
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


def undisturbed(folder: Path) -> dict[str, Fingerprint]:
    """Trains the study in `folder` once without disturbance; returns its fingerprints."""
    store = folder / "undisturbed"
    log = folder / "undisturbed.log"
    started = time.monotonic()
    if study_command(folder, store, log).wait() != 0:
        raise RuntimeError(f"the undisturbed study failed:\n{log.read_text()}")
    with Store(store, viewer=True) as opened:
        at = {event.kind: event.at for event in opened.events(LABEL) if event.run_id is None}
    say(
        f"undisturbed: {time.monotonic() - started:.1f} s, "
        f"of which {(at['done'] - at['started']) / 1000:.1f} s in training"
    )
    return fingerprints(store)


def checkpoints(store: Path) -> list[Saved]:
    """The newest checkpoint of each cohort."""
    found = []
    for folder in (store / "checkpoints").glob("*"):
        for path in sorted(folder.glob("*.safetensors"))[-1:]:
            about = tensor_files.read_about(path, FORMAT)
            found.append(Saved(tuple(about["run_ids"]), int(path.stem), path.stat().st_mtime))
    return found
