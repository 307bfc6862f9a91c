"""Many processes use one store: none gets a locked database, and nothing is counted twice."""

import contextlib
import json
import random
import sqlite3
import sys
import time
from collections import Counter
from pathlib import Path

from common import INTERVAL, LABEL, command, stress, study_command, write_inputs
from looks import check_end, undisturbed
from measuring import Findings, Options, Row, say, workplace

from jmlp.errors import JmlpError
from jmlp.store import Lock, Store

PROCESSES = 8
SECONDS = 3.0
SUBMITTERS = 10


def many(options: Options) -> Row:
    """Runs eight processes of commands, tags and reads; then ten that submit the same study."""
    findings = Findings()
    with workplace() as folder:
        write_inputs(folder)
        wanted = undisturbed(folder)
        done = _with_worker(folder, folder / "with-worker", findings)
        check_end(folder / "with-worker", wanted, findings, "with a worker")
        owners = _submit_at_once(folder, folder / "at-once", findings)
        check_end(folder / "at-once", wanted, findings, "submitted at once")
    calls = sum(done.values())
    return Row(
        f"{PROCESSES} processes × {SECONDS:.0f} s of commands, tags and reads while a worker "
        f"trains; {SUBMITTERS} processes submit the same study",
        '0 "locked" errors; row counts exact; one owner',
        f"{calls:,} calls ({', '.join(f'{n:,} {what}' for what, n in sorted(done.items()))}), "
        f"{SUBMITTERS} commands ended with 0, {owners} worker trained, each run once; "
        f"{len(findings.found)} faults{findings}",
        ok=not findings.found,
    )


def _with_worker(folder: Path, store: Path, findings: Findings) -> Counter[str]:
    process = study_command(folder, store, folder / "with-worker.log")
    while not _is_training(store):
        if process.poll() is not None:
            raise RuntimeError((folder / "with-worker.log").read_text())
        time.sleep(0.02)
    parts = [
        stress("--part", "many", "part", store, str(number), log=folder / f"{number}.json")
        for number in range(PROCESSES)
    ]
    for number, part in enumerate(parts):
        text = (folder / f"{number}.json").read_text() if part.wait(120) else ""
        findings.expect(not text, f"process {number}: {text[-300:]}")
    done: Counter[str] = Counter()
    inserted = tags = 0
    for number in range(PROCESSES):
        report = json.loads((folder / f"{number}.json").read_text().splitlines()[-1])
        for error in report["errors"]:
            findings.expect(False, f"process {number}: {error}")
        done.update(report["done"])
        inserted += report["done"].get("commands", 0)
        tags += report["tags"]
    with Store(store) as opened:
        opened.command(LABEL, "resume")
    inserted += 1
    code = process.wait(120)
    findings.expect(code == 0, f"the study ended with {code}")
    with contextlib.closing(sqlite3.connect(store / "store.sqlite")) as connection:
        (n_tags,) = connection.execute("SELECT count(*) FROM tags").fetchone()
        (last,) = connection.execute(
            "SELECT seq FROM sqlite_sequence WHERE name = 'commands'"
        ).fetchone()
    findings.expect(n_tags == tags, f"{n_tags} tags, not {tags}")
    findings.expect(last == inserted, f"{last} commands were stored, not {inserted}")
    return done


def part(folder: str, number: str) -> None:
    """Runs as one of the processes: uses the store for a while, and prints what it did."""
    rng = random.Random(int(number))
    done: Counter[str] = Counter()
    errors: list[str] = []
    tagged: set[tuple[str, str]] = set()
    until = time.monotonic() + SECONDS
    with Store(Path(folder)) as store:
        ids = [row.run_id for row in store.runs(LABEL)]
        last = 0
        while time.monotonic() < until:
            run_id = rng.choice(ids)
            what = rng.choice(("commands", "tags", "reads", "reads"))
            try:
                if what == "commands":
                    store.command(LABEL, rng.choice(("pause", "resume")))
                elif what == "tags":
                    pair = run_id, f"process {number}, {rng.randrange(5)}"
                    if pair in tagged:
                        store.untag(*pair)
                        tagged.remove(pair)
                    else:
                        store.tag(*pair)
                        tagged.add(pair)
                else:
                    with Store(Path(folder), viewer=True) as viewer:
                        viewer.runs(LABEL)
                        last, _ = viewer.new_points(LABEL, last)
                        viewer.results(LABEL)
                        viewer.events(LABEL)
            except JmlpError as error:
                errors.append(str(error))
            done[what] += 1
    print(json.dumps({"done": done, "errors": errors, "tags": len(tagged)}), file=sys.stdout)


def _submit_at_once(folder: Path, store: Path, findings: Findings) -> int:
    """Submits the study by many processes; returns how many workers trained it."""
    arguments = ["study", "small.toml", "--store", str(store), "--quiet", "--force"]
    arguments += ["--checkpoint-seconds", str(INTERVAL)]
    logs = [folder / f"submit-{number}.log" for number in range(SUBMITTERS)]
    processes = [command(*arguments, cwd=folder, log=log) for log in logs]
    owners = set()
    lock = Lock(store)
    while any(process.poll() is None for process in processes):
        if (owner := lock.owner()) and owner.study:
            owners.add(owner.pid)
        time.sleep(0.02)
    say(f"owners seen: {sorted(owners)}")
    for process, log in zip(processes, logs, strict=True):
        text = log.read_text()
        findings.expect(process.returncode == 0, f"code {process.returncode}: {text[-300:]}")
        findings.expect("locked" not in text and "using it" not in text, text[-300:])
    with Store(store, viewer=True) as opened:
        events = opened.events(LABEL)
        n_runs = len(opened.runs(LABEL))
    kinds = Counter(event.kind for event in events if event.run_id is not None)
    ends = sum(kinds[kind] for kind in ("finished", "stopped early", "diverged"))
    findings.expect(
        kinds["started"] == ends == n_runs and not kinds["resumed"],
        f"runs begun and ended: {dict(kinds)}, not {n_runs} each",
    )
    trained = sum(event.kind == "started" and event.run_id is None for event in events)
    findings.expect(
        trained == len(owners) == 1, f"{trained} workers trained, {owners} had the lock"
    )
    return trained


def _is_training(store: Path) -> bool:
    if not (store / "store.sqlite").exists():
        return False
    with Store(store, viewer=True) as opened:
        return any(row.state == "running" for row in opened.runs())
