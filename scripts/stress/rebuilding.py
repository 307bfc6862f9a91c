"""Rebuilds during writes, and kills of rebuilds and deletions: nothing is lost or left over."""

import contextlib
import json
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from common import LABEL, command, send, stress, study_command, write_inputs
from measuring import Findings, Options, Row, say, workplace

from jmlp.errors import JmlpError
from jmlp.store import Store, Submission, submissions, tag_file
from jmlp.store.checking import check
from jmlp.store.rebuild import rebuild as rebuild_store

PROCESSES = 4
SECONDS = 20.0
DELETIONS = 20
LATEST = 0.15  # seconds at most from the beginning of a deletion to its kill
REMOVED = 6  # runs in each deletion


def rebuild(options: Options) -> Row:
    """Tags, submits and reads while rebuilds run and are killed; then kills deletions."""
    findings, rng = Findings(), options.random()
    with workplace() as folder:
        write_inputs(folder, epochs=4)
        log = folder / "study.log"
        if study_command(folder, folder / "store", log).wait(300):
            raise RuntimeError(log.read_text())
        seconds = SECONDS / 5 if options.quick else SECONDS
        done, n_rebuilt, n_killed = _during_rebuilds(folder, rng, seconds, findings)
        n_deletions = options.count(DELETIONS)
        finished = _kill_deletions(folder, rng, n_deletions, findings)
    calls = ", ".join(f"{n:,} {what}" for what, n in sorted(done.items()))
    return Row(
        f"{PROCESSES} processes × {seconds:.0f} s of tags, submissions and reads while "
        f"`store rebuild` runs repeatedly and is killed; {n_deletions} kills of `runs rm`",
        "0 errors; 0 tags and submissions lost; each deletion finished or never begun",
        f"{calls} during {n_rebuilt} rebuilds and {n_killed} that were killed; {finished} of "
        f"{n_deletions} deletions finished after the kill, the others never begun; "
        f"{len(findings.found)} faults{findings}",
        ok=not findings.found,
    )


def _during_rebuilds(
    folder: Path, rng: random.Random, seconds: float, findings: Findings
) -> tuple[Counter[str], int, int]:
    """What the processes did, how many rebuilds ended, and how many were killed."""
    store = folder / "store"
    logs = [folder / f"part-{number}.json" for number in range(PROCESSES)]
    parts = [
        stress("--part", "rebuilding", "part", store, str(number), str(seconds), log=log)
        for number, log in enumerate(logs)
    ]
    n_rebuilt = n_killed = 0
    while any(part.poll() is None for part in parts):
        log = folder / "rebuild.log"
        log.unlink(missing_ok=True)
        process = command("store", "rebuild", "--store", store, cwd=folder, log=log)
        if (n_rebuilt + n_killed) % 3 == 2:
            time.sleep(rng.uniform(0.2, 1.5))
            send(process.pid)
            n_killed += process.wait(60) < 0
        else:
            code = process.wait(120)
            findings.expect(code == 0, f"a rebuild ended with {code}: {log.read_text()[-200:]}")
            n_rebuilt += 1
        for copy in store.glob("store.sqlite.*"):
            copy.unlink()
    done: Counter[str] = Counter()
    tagged: set[tuple[str, str]] = set()
    labels: set[str] = {LABEL}
    for log, part in zip(logs, parts, strict=True):
        if not findings.expect(part.wait(60) == 0, f"a process failed: {log.read_text()[-300:]}"):
            continue
        report = json.loads(log.read_text().splitlines()[-1])
        for error in report["errors"]:
            findings.expect(False, error)
        done.update(report["done"])
        tagged |= {(run_id, tag) for run_id, tag in report["tags"]}
        labels |= set(report["labels"])
    with Store(store, viewer=True) as opened:
        found = {(run.run_id, tag) for run in opened.runs() for tag in run.tags}
        findings.expect(found == tagged, f"{len(tagged - found)} tags were lost of {len(tagged)}")
        lost = labels - {study.label for study in opened.studies()}
        findings.expect(not lost, f"{len(lost)} submissions were lost")
    in_file = {(run_id, tag) for run_id, tag in tag_file.read(store)}
    findings.expect(in_file == tagged, "tags.json has other tags")
    for problem in check(store):
        findings.expect(False, f"{problem.path}: {problem.what}")
    return done, n_rebuilt, n_killed


def part(folder: str, number: str, seconds: str) -> None:
    """Runs as one of the processes: uses the store for a while, and prints what it did."""
    rng = random.Random(int(number))
    done: Counter[str] = Counter()
    errors: list[str] = []
    tagged: set[tuple[str, str]] = set()
    labels: list[str] = []
    until = time.monotonic() + float(seconds)
    with Store(Path(folder)) as store, Store(Path(folder), viewer=True) as viewer:
        ids = [row.run_id for row in store.runs(LABEL)]
        submission = _submission(Path(folder))
        while time.monotonic() < until:
            what = rng.choice(("tags", "tags", "tags", "reads", "reads", "submissions"))
            pair = rng.choice(ids), f"process {number}, {rng.randrange(200)}"
            try:
                if what == "tags" and pair in tagged:
                    store.untag(*pair)
                    tagged.remove(pair)
                elif what == "tags":
                    store.tag(*pair)
                    tagged.add(pair)
                elif what == "submissions":
                    label = f"of {number}, {rng.randrange(5)}"
                    store.submit(replace(submission, label=label))
                    labels.append(label)
                else:
                    _read(viewer, ids)
            except JmlpError as error:
                errors.append(f"{what}: {error}")
            done[what] += 1
    report = {"done": done, "errors": errors, "tags": sorted(tagged), "labels": labels}
    print(json.dumps(report), file=sys.stdout)


def _submission(folder: Path) -> Submission:
    (path, *_) = submissions.paths(folder)
    return submissions.read(path)[0]


def _read(viewer: Store, ids: list[str]) -> None:
    found = {row.run_id for row in viewer.runs(LABEL)}
    if found != set(ids):
        raise JmlpError(f"{len(found)} runs, not {len(ids)}")
    if len(viewer.results(LABEL)) != len(ids):
        raise JmlpError("results are missing")
    viewer.new_points(LABEL, 0)
    viewer.events(LABEL)


# ---- deletions


def _kill_deletions(folder: Path, rng: random.Random, n_deletions: int, findings: Findings) -> int:
    """Kills deletions and rebuilds the store; returns how many deletions were completed."""
    finished = 0
    for number in range(n_deletions):
        store = folder / f"removed-{number}"
        shutil.copytree(folder / "store", store)
        with Store(store, viewer=True) as opened:
            ids = {row.run_id for row in opened.runs()}
        gone = set(rng.sample(sorted(ids), REMOVED))
        with _deletion(store, sorted(gone), folder / f"removed-{number}.log") as process:
            time.sleep(rng.uniform(0.0, LATEST))
            send(process.pid)
        if number % 3 == 1:
            (store / "store.sqlite").write_bytes(b"damaged" * 1000)
        if number % 3 == 2:
            _check_intact(store, findings, f"deletion {number}, check")
        rebuild_store(store)
        with Store(store, viewer=True) as opened:
            left = {row.run_id for row in opened.runs()}
        files = {path.stem for path in (store / "runs").glob("*.safetensors")}
        findings.expect(
            left in (ids, ids - gone) and files == left,
            f"deletion {number}: {len(ids - left)} of {REMOVED} runs are gone, "
            f"{len(ids - files)} files",
        )
        _check_intact(store, findings, f"deletion {number}, at its end")
        finished += left == ids - gone
        shutil.rmtree(store)
        say(f"{number + 1} of {n_deletions} deletions killed")
    return finished


def _check_intact(store: Path, findings: Findings, when: str) -> None:
    for problem in check(store):
        findings.expect(False, f"{when}: {problem.path.name}: {problem.what}")
    with contextlib.closing(sqlite3.connect(store / "store.sqlite")) as connection:
        found = connection.execute("PRAGMA integrity_check").fetchall()
    findings.expect(found == [("ok",)], f"{when}: {found}")


@contextlib.contextmanager
def _deletion(store: Path, ids: list[str], log: Path) -> "Iterator[subprocess.Popen[str]]":
    """A process that has begun to delete."""
    process = stress("--part", "rebuilding", "remove", store, *ids, log=log)
    while not log.exists() or not log.read_text().startswith("begins"):
        if process.poll() is not None:
            raise RuntimeError(log.read_text())
        time.sleep(0.002)
    yield process
    process.wait(60)


def remove(folder: str, *ids: str) -> None:
    """Deletes runs as `jmlp runs rm` does."""
    from jmlp.client.deleting import delete

    print("begins", flush=True)
    delete(Path(folder), ids)
