"""SIGKILL at random moments: nothing is lost, and the study ends as if undisturbed."""

import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from common import (
    INTERVAL,
    LABEL,
    children,
    command,
    send,
    study_command,
    wait_until_dead,
    write_inputs,
)
from looks import (
    File,
    Fingerprint,
    Saved,
    check_end,
    checkpoints,
    ended_files,
    ended_runs,
    integrity,
    undisturbed,
)
from measuring import Findings, Options, Row, say, workplace

from jmlp.store import Store

KILLS = 100
CHUNK = 0.2  # seconds at most, from `jmlp.training.group_training.CHUNK_SECONDS`
KILLS_PER_SWEEP = 4  # on average
LATEST = 6.0  # seconds from a start to a kill; a start takes 2 to 3, the sweep 5 to 8 of training
TARGETS = ("worker", "command", "all")


@dataclass
class Sweep:
    """One study that is killed and restarted until it is done."""

    folder: Path
    store: Path
    findings: Findings
    ended: dict[str, File] = field(default_factory=dict)  # as seen before kills
    saved: list[tuple[int, Saved]] = field(default_factory=list)  # with the last event's id
    redone: list[float] = field(default_factory=list)  # seconds, one for each cohort and kill
    kills: list[str] = field(default_factory=list)  # the target of each
    last_kill: float = 0.0  # UTC, seconds

    @property
    def log(self) -> Path:
        """The output of the command and its worker."""
        return self.store.with_suffix(".log")

    def start(self, *, again: bool) -> "subprocess.Popen[str]":
        """Starts the command, or every other time `jmlp resume`."""
        if again and len(self.kills) % 2 and self.has_study():
            return command("resume", LABEL, "--store", self.store, cwd=self.folder, log=self.log)
        return study_command(self.folder, self.store, self.log)

    def has_study(self) -> bool:
        """Whether the store has the study, and it is not done."""
        if not (self.store / "store.sqlite").exists():
            return False
        with Store(self.store, viewer=True) as store:
            return any(row.label == LABEL and row.state != "done" for row in store.studies())

    def kill(self, process: "subprocess.Popen[str]", target: str) -> None:
        """Kills the target, and checks the store right afterwards."""
        for run_id, file in ended_files(self.store).items():
            self.ended.setdefault(run_id, file)
        workers = children(process.pid)
        target = target if workers else "command"
        at = time.time()
        if target != "command":
            for pid in workers:
                send(pid)
        if target != "worker":
            process.kill()
            process.wait()
        for pid in workers:
            took = wait_until_dead(pid)
            if target == "command":
                self.findings.expect(took < 10, f"a worker without a command lived {took:.1f} s")
        self.kills.append(target)
        self.check_after_kill(at, self.last_kill)
        self.last_kill = at

    def check_after_kill(self, at: float, since: float) -> None:
        """Checks the store after a kill, and measures its cost; `since` is the previous kill."""
        found = integrity(self.store)
        self.findings.expect(found == "ok", f"integrity_check after a kill: {found}")
        if not self.has_study():
            return
        with Store(self.store, viewer=True) as store:
            events = store.events(LABEL)
            steps = {row.run_id: row.step or 0 for row in store.runs(LABEL)}
        last_event = events[-1].id if events else 0
        ended = set(ended_runs(self.store))
        for cohort in checkpoints(self.store):
            if ended >= set(cohort.run_ids):
                continue  # a kill came before its checkpoints were removed
            self.saved.append((last_event, cohort))
            begun = [
                e.at / 1000
                for e in events
                if e.run_id in cohort.run_ids and e.kind in ("started", "resumed")
            ]
            if max(begun, default=0.0) < since:
                continue  # it had not begun again since the last kill
            if cohort.written > max(begun):
                self.redone.append(max(0.0, at - cohort.written))
            else:  # killed before its first checkpoint, which follows the first chunk
                shown = max(steps[run_id] for run_id in cohort.run_ids)
                self.findings.expect(
                    shown <= cohort.updates, f"{shown - cohort.updates} updates before a checkpoint"
                )

    def check(self, wanted: Mapping[str, Fingerprint]) -> bool:
        """Checks the final state of the store; returns whether nothing is wrong."""
        before = len(self.findings.found)
        check_end(self.store, dict(wanted), self.findings, self.store.name)
        now = ended_files(self.store)
        for run_id, file in self.ended.items():
            self.findings.expect(
                now.get(run_id) == file, f"{run_id[:8]} had ended and was trained again"
            )
        with Store(self.store, viewer=True) as store:
            events = [e for e in store.events(LABEL) if e.kind in ("started", "resumed")]
        for after, cohort in self.saved:
            for run_id in cohort.run_ids:
                # None if its file had been written and only its row was missing.
                resumed = next((e for e in events if e.id > after and e.run_id == run_id), None)
                if resumed is not None:
                    self.findings.expect(
                        resumed.step == cohort.updates,
                        f"{run_id[:8]}: resumed at {resumed.step}, not at {cohort.updates}",
                    )
        return len(self.findings.found) == before


def kill(options: Options) -> Row:
    """Kills processes with SIGKILL at random moments.

    Every sweep is begun by the command and killed a few times, each time after a random part of 6
    seconds: only the worker (the command starts another), only the command (the worker stops when
    its pipe ends), or both. It is compared at its end: the digest of every run's numbers, the bytes
    of all tensors, and the cost points in the database.

    The time redone after a kill is, for each cohort in training, the time from the writing of its
    newest checkpoint to the kill; the event ("resumed", with the update) shows that training
    resumed at just that checkpoint. A checkpoint is due after the interval and made at the end of a
    chunk, so that one chunk is added to what is allowed. If a cohort is killed before its first
    checkpoint, the database must not have any update of it, because that checkpoint follows the
    first chunk.
    """
    findings, random, n_kills = Findings(), options.random(), options.count(KILLS)
    sweeps: list[Sweep] = []
    good = 0
    with workplace() as folder:
        write_inputs(folder)
        wanted = undisturbed(folder)
        while sum(len(sweep.kills) for sweep in sweeps) < n_kills:
            sweep = Sweep(folder, folder / f"store-{len(sweeps)}", findings)
            sweeps.append(sweep)
            before = sum(len(s.kills) for s in sweeps)
            most = min(n_kills - before, random.randint(KILLS_PER_SWEEP - 1, KILLS_PER_SWEEP + 1))
            code = run_sweep(sweep, most, random.random, before)
            findings.expect(
                code == 0, f"{sweep.store.name}: code {code}: {sweep.log.read_text()[-300:]}"
            )
            if code == 0 and sweep.check(wanted):
                good += len(sweep.kills)
            say(f"{before + len(sweep.kills)} kills, {len(sweep.ended)} runs had ended before one")
    redone = [seconds for sweep in sweeps for seconds in sweep.redone] or [0.0]
    allowed = INTERVAL + CHUNK
    findings.expect(max(redone) <= allowed, f"{max(redone):.2f} s redone by one kill")
    counts = {target: sum(sweep.kills.count(target) for sweep in sweeps) for target in TARGETS}
    seen = sum(len(sweep.ended) for sweep in sweeps)
    return Row(
        f"SIGKILL at {n_kills} random moments over {len(sweeps)} sweeps of {len(wanted)} runs, "
        f"checkpoints every {INTERVAL} s, started again until done",
        f"{n_kills} of {n_kills} byte-identical; 0 finished runs lost, 0 cost points twice; "
        f"at most the interval and a chunk ({allowed:.1f} s) redone",
        f"{good} of {n_kills} ({', '.join(f'{n} {target}' for target, n in counts.items())}); "
        f"{seen} finished runs seen before kills, all kept; redone: median "
        f"{statistics.median(redone):.2f} s, at most {max(redone):.2f} s{findings}",
        ok=not findings.found and good == n_kills,
    )


def run_sweep(sweep: Sweep, n_kills: int, moment: Callable[[], float], first: int) -> int:
    """Starts a sweep, kills and restarts it; returns its final exit code."""
    process = sweep.start(again=False)
    for number in range(n_kills):
        try:
            return process.wait(0.05 + LATEST * moment())
        except subprocess.TimeoutExpired:
            sweep.kill(process, TARGETS[(first + number) % len(TARGETS)])
        if process.poll() is not None:
            process = sweep.start(again=True)
    try:
        return process.wait(120)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        return process.wait()
