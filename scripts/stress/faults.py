"""The k-th write, flush, rename or commit fails, for every k."""

import contextlib
import signal
import time
from pathlib import Path

from common import LABEL, queue, stress, study_command, write_inputs
from looks import Fingerprint, check_end, fingerprints, integrity
from measuring import Findings, Options, Row, say, workplace

from jmlp.errors import JmlpError
from jmlp.store import Lock, Store
from jmlp.store.checking import check
from jmlp.store.rows import point_values
from jmlp.store.states import STUDY_STATES
from jmlp.system import environment, files
from jmlp.system import fault_injection as hook

EVERY_COMMAND = 15  # the whole command is tested for every 15th k
MAX_K = 2000


class NoRequest:
    """Replaces `Stopping`, and never asks a worker to stop."""

    reason = None
    code = 0

    def wait(self, seconds: float) -> bool:
        """Sleeps briefly, because a full disk in this row has space again at once."""
        time.sleep(min(seconds, 0.01))
        return False

    def saving(self) -> object:
        """Does nothing, because there is no deadline to suspend."""
        return contextlib.nullcontext()


def faults(options: Options) -> Row:
    """Raises errors in this process, and kills another, at each k until the k-th is not reached.

    "any" counts the points of all kinds. Afterwards the store must open, `integrity_check` must be
    ok, and everything in the store must be old or new: `jmlp store check` finds nothing wrong, and
    the points of each run are the beginning, or all, of those of an undisturbed run. Then the study
    is finished without a fault, and compared. If the disk is full (once), training waits and
    nothing fails.
    """
    findings, every = Findings(), 10 if options.quick else 1
    counts: dict[str, int] = {}
    with workplace() as folder:
        write_inputs(folder, seeds=1, epochs=3, n_examples=200)
        environment.prepare("cpu", 2, files.compile_cache_dir())
        from jmlp.worker import recorder

        recorder.RETRY_SECONDS = 0.01
        once(folder, folder / "whole")
        wanted = fingerprints(folder / "whole")
        for action in ("eio", "enospc"):
            for k in range(1, MAX_K, every):
                store = folder / f"{action}-{k}"
                hook.arm(f"any:{k}:{action}")
                message = ""
                try:
                    once(folder, store)
                except JmlpError as error:
                    message = str(error)
                count = _reached()
                hook.arm(None)
                if count < k:
                    break
                counts[action] = k
                name = f"{action} at {k}"
                if action == "enospc":  # only the submission, before the worker, does not wait
                    state, allowed = _state(store), ("", "queued") if message else ("done",)
                    findings.expect(state in allowed, f"{name}: {state} {message}")
                _check(folder, store, wanted, findings, name)
            say(f"{action}: {counts.get(action, 0)} points")
        for k in range(1, MAX_K, every):
            store = folder / f"kill-{k}"
            process = _killed(folder, store, k)
            if process == 0:
                break
            counts["kill"] = k
            name = f"kill at {k}"
            findings.expect(process == -signal.SIGKILL, f"{name}: it ended with {process}")
            _check(folder, store, wanted, findings, name)
        say(f"kill: {counts.get('kill', 0)} points")
        n_commands = _commands(folder, wanted, findings, max(counts.values(), default=0), options)
    return Row(
        "the k-th write, flush, rename, flush of a folder or commit fails (broken disk, full disk, "
        f"kill), for every {'' if every == 1 else '10th '}k until none is reached",
        "the store opens, `integrity_check` ok, old or new state, and all can be finished, at "
        "every k",
        f"{', '.join(f'{action}: k up to {k}' for action, k in counts.items())}; {n_commands} "
        f"whole commands; all finished to the same bytes{findings}"
        if not findings.found
        else f"{counts}: {len(findings.found)} faults{findings}",
        ok=not findings.found and len(counts) == 3,
    )


def once(folder: Path, store: Path) -> None:
    """Submits the study and trains it, within this process.

    Raises:
        JmlpError: it could not be submitted or begun.
    """
    from jmlp.worker import __main__ as worker

    queue(folder, store, 0.1)
    worker.say = lambda text: None
    lock = Lock(store)
    try:
        # After a device failure, a fresh process would continue; here the next call does.
        while worker.work(lock, LABEL, NoRequest()):  # type: ignore[arg-type]
            pass
    finally:
        lock.release()


def in_a_process(folder: str, store: str) -> None:
    """Does the same in a process of its own, with the fault set in its environment."""
    environment.prepare("cpu", 2, files.compile_cache_dir())
    once(Path(folder), Path(store))


def _killed(folder: Path, store: Path, k: int) -> int:
    log = folder / "kill.log"
    arguments = ("--part", "faults", "in_a_process", folder, store)
    return stress(*arguments, log=log, JMLP_FAULT=f"any:{k}:kill").wait(300)


def _reached() -> int:
    fault = hook._Armed.fault
    return 0 if fault is None else fault._count


def _check(
    folder: Path, store: Path, wanted: dict[str, Fingerprint], findings: Findings, name: str
) -> None:
    """Checks the store after a fault, and that the study can be finished."""
    found = integrity(store)
    findings.expect(found == "ok", f"{name}: integrity_check: {found}")
    if (store / "store.sqlite").exists():
        for problem in check(store):
            findings.expect(False, f"{name}: {problem.path.name}: {problem.what}")
        for run_id, stored in fingerprints(store).items():
            findings.expect(stored == wanted[run_id], f"{name}: {run_id[:8]} has other numbers")
        with Store(store) as opened:
            for study in opened.studies():
                findings.expect(study.state in STUDY_STATES, f"{name}: {study.state}")
            for row in opened.runs():
                points = tuple(map(point_values, opened.points(row.run_id)))
                whole = wanted[row.run_id].points
                findings.expect(points == whole[: len(points)], f"{name}: other cost points")
                written = (store / "runs" / f"{row.run_id}.safetensors").exists()
                findings.expect(row.result is None or written, f"{name}: a row without its file")
            for study in opened.studies():
                if study.state != "done":
                    opened.set_study(study.label, "queued")
    try:
        once(folder, store)
    except JmlpError as error:
        findings.expect(False, f"{name}: cannot be finished: {error}")
        return
    rest = Findings(quiet=True)
    check_end(store, wanted, rest, name)
    for text in rest.found:
        if ": failed: " not in text:  # the event of the requested failure
            findings.expect(False, text)


def _state(store: Path) -> str:
    """The state of the study; empty if it is not in the store."""
    if not (store / "store.sqlite").exists():
        return ""
    with Store(store) as opened:
        return next((row.state for row in opened.studies()), "")


def _commands(
    folder: Path, wanted: dict[str, Fingerprint], findings: Findings, most: int, options: Options
) -> int:
    """Runs the whole command, whose worker gets the same fault, and then runs it again."""
    ks = range(1, most + 1, EVERY_COMMAND * (10 if options.quick else 1))
    for number, k in enumerate(ks):
        action = ("kill", "eio", "enospc")[number % 3]
        store, name = folder / f"command-{k}", f"command, {action} at {k}"
        code = study_command(
            folder, store, folder / "command.log", JMLP_FAULT=f"any:{k}:{action}"
        ).wait(300)
        if action == "enospc" and code != 0:
            # The command's own writes do not wait: the submission before, the report after.
            state = _state(store)
            findings.expect(
                code == 4 and state in ("", "queued", "done"), f"{name}: {code}, {state}"
            )
        code = study_command(folder, store, folder / "command.log").wait(300)
        findings.expect(code == 0, f"{name}: afterwards code {code}")
        found = fingerprints(store)
        findings.expect(found == wanted, f"{name}: other numbers")
        findings.expect(integrity(store) == "ok", f"{name}: integrity_check")
    return len(ks)
