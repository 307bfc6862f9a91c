"""SIGTERM at random moments: training is saved, and the process ends within 2 seconds."""

import signal
import statistics
import subprocess
import time
from pathlib import Path

from common import LABEL, children, queue, study_command, wait_until_dead, worker, write_inputs
from looks import check_end, checkpoints, integrity, undisturbed
from measuring import Findings, Options, Row, say, workplace

from jmlp.store import Store
from jmlp.store.states import RUN_ENDED

TERMS = 100
LATEST = 6.0  # seconds at most from a start to a signal
WITHIN = 2.0
EVERY = 5  # every fifth signal goes to the command
CODE = 128 + signal.SIGTERM


def term(options: Options) -> Row:
    """Sends SIGTERM to the worker, every fifth time to the command, at random moments of 6 seconds.

    A process that has just started and does not handle signals yet is ended by the signal itself,
    which a shell also shows as 143. If an update was made, a checkpoint must be on the disk: at
    least as advanced as the run in the database, and written after the signal if the worker had
    time to record that it was interrupted. A completed sweep is compared with an undisturbed one.
    """
    findings, random, n = Findings(), options.random(), options.count(TERMS)
    times: list[float] = []
    saved = number = at_start = ended = 0
    with workplace() as folder:
        write_inputs(folder)
        wanted = undisturbed(folder)
        store, log = folder / "store-0", folder / "terms.log"
        while len(times) < n:
            to_command = len(times) % EVERY == EVERY - 1
            process = _start(folder, store, log, to_command=to_command)
            try:
                code = process.wait(0.02 + LATEST * random.random())
            except subprocess.TimeoutExpired:
                workers = children(process.pid)
                at, since = time.time(), time.monotonic()
                process.send_signal(signal.SIGTERM)
                code = process.wait(60)
                for pid in workers:
                    wait_until_dead(pid)
                times.append(time.monotonic() - since)
                at_start += code == -signal.SIGTERM
                too_late = code == 0 and _is_done(store)  # it was already exiting
                ended += too_late
                findings.expect(
                    too_late or code in (CODE, -signal.SIGTERM), f"code {code} after SIGTERM"
                )
                findings.expect(times[-1] <= WITHIN, f"{times[-1]:.2f} s until it had gone")
                findings.expect(integrity(store) == "ok", "integrity_check after SIGTERM")
                saved += _check_saved(store, at, findings)
                if len(times) % 10 == 0:
                    say(f"{len(times)} signals, at most {max(times):.2f} s")
                continue
            findings.expect(code == 0, f"it ended with code {code}: {log.read_text()[-300:]}")
            check_end(store, wanted, findings, store.name)
            number += 1
            store = folder / f"store-{number}"
        code = _start(folder, store, log, to_command=False).wait(120)
        findings.expect(code == 0, f"it ended with code {code}: {log.read_text()[-300:]}")
        check_end(store, wanted, findings, store.name)
    times.sort()
    return Row(
        f"SIGTERM at {n} random moments",
        f"a checkpoint once an update was made, exit 143, within {WITHIN:.0f} s",
        f"{n - at_start - ended} left with 143, {at_start} were ended by the signal itself as they "
        f"began or after training, {ended} had done all; "
        f"{saved} with updates to save, all saved; median {statistics.median(times):.2f} s, "
        f"95 % within {times[int(0.95 * len(times))]:.2f} s, at most {times[-1]:.2f} s; "
        f"{number + 1} sweeps ended byte-identical{findings}",
        ok=not findings.found,
    )


def _start(folder: Path, store: Path, log: Path, *, to_command: bool) -> "subprocess.Popen[str]":
    if to_command:
        return study_command(folder, store, log)
    queue(folder, store)
    with Store(store) as opened:
        if opened.study(LABEL).state != "done":
            opened.set_study(LABEL, "queued")  # as a command does after a worker has died
    return worker(store, log)


def _is_done(store: Path) -> bool:
    with Store(store, viewer=True) as opened:
        return opened.study(LABEL).state == "done"


def _check_saved(store: Path, at: float, findings: Findings) -> bool:
    """Checks that everything is saved on the disk; returns whether there was anything to save."""
    if not (store / "store.sqlite").exists():
        return False
    with Store(store, viewer=True) as opened:
        events = opened.events(LABEL)
        runs = {row.run_id: row for row in opened.runs(LABEL)}
    if not runs:
        return False
    files = {run_id: c for c in checkpoints(store) for run_id in c.run_ids}
    started = max((e.at for e in events if e.kind == "started" and e.run_id is None), default=0)
    interrupted = [e for e in events if e.kind == "interrupted" and e.at >= 1000 * at - 1]
    begun = {e.run_id for e in events if e.kind in ("started", "resumed") and e.at >= started}
    trained = [
        row
        for row in runs.values()
        if row.state not in RUN_ENDED and row.step and row.run_id in begun
    ]
    for row in trained:
        file = files.get(row.run_id)
        if not findings.expect(file is not None, f"{row.run_id[:8]}: no checkpoint"):
            continue
        assert file is not None
        assert row.step is not None
        findings.expect(
            file.updates >= row.step, f"{row.run_id[:8]}: {row.step} but {file.updates} saved"
        )
        findings.expect(
            not interrupted or file.written >= at - 0.01, f"{row.run_id[:8]}: not saved again"
        )
    return bool(trained)
