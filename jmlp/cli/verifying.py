"""The processes that verify: what each is asked, what it answers, and how one may die."""

import contextlib
import json
import signal
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jmlp import processes
from jmlp.cli.hardware import Hardware
from jmlp.cli.training import Display, Now
from jmlp.control.workers import oom_kills
from jmlp.environment import Device
from jmlp.errors import DeviceError, JmlpError, error_with_code
from jmlp.results import CostPoint
from jmlp.store import RunRow
from jmlp.verification import Verdict, verdict_from
from jmlp.worker.verify import Request

LAST_WORDS = 3  # lines of what a process printed before it died


def requests(folder: Path, rows: Sequence[RunRow], hardware: Hardware) -> list[Request]:
    """One process for all runs that it can train: XLA reads its flags once.

    Args:
        folder: of the store.
        rows: runs that have ended.
        hardware: what was asked for.
    """
    setups: dict[tuple[Device, str], list[str]] = defaultdict(list)
    for row in rows:
        assert row.result is not None
        where = row.result.provenance
        device = hardware.device
        if device == "auto":
            device = _kind(where.device)
        setups[device, where.flags].append(row.run_id)
    return [
        Request(str(folder), tuple(run_ids), device, hardware.cores, flags)
        for (device, flags), run_ids in setups.items()
    ]


def start(request: Request) -> Generator[Mapping[str, Any]]:
    """What a new process answers, as it comes. Closing this ends the process.

    Raises:
        DeviceError: the system ended it for lack of memory.
        JmlpError: it ended in another way before it had answered.
    """
    killed_before = oom_kills()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as printed:
        process = processes.start(
            *("-m", "jmlp.worker.verify"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=printed,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        told = False
        try:
            with contextlib.suppress(BrokenPipeError):  # it has died: its code says more
                print(request.to_json(), file=process.stdin, flush=True)
            for line in process.stdout:
                message = json.loads(line)
                told = "error" in message
                yield message
            code = process.wait()
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        if code and not told:
            if oom_kills() > killed_before:
                raise DeviceError("out of memory: the system ended the process that trained")
            printed.seek(0)
            raise death(code, printed.read(), request.flags)


def death(code: int, printed: str, flags: str) -> JmlpError:
    """What to say of a process that ended without a word.

    Args:
        code: its exit code, or less than 0: a signal.
        printed: what it wrote to stderr.
        flags: its XLA_FLAGS, which may be unknown to another version of XLA.
    """
    how = f"code {code}" if code > 0 else f"signal {-code} ({signal.Signals(-code).name})"
    last_words = [line for line in printed.splitlines() if line.strip()][-LAST_WORDS:]
    said = f"the process that trained ended with {how}; its XLA_FLAGS, as recorded: {flags}"
    return JmlpError("\n".join([said, *last_words]))


def take(
    message: Mapping[str, Any], verdicts: dict[str, Verdict], n_runs: int, show: Display
) -> None:
    """Keeps or shows what a process answers.

    Args:
        message: the answer.
        verdicts: by run id; one may be added.
        n_runs: of all processes.
        show: where progress is shown.

    Raises:
        JmlpError: it was an error, with its code.
    """
    if "error" in message:
        raise error_with_code(message["error"], message["code"])
    if "say" in message:
        show.say(message["say"])
    if "verdict" in message:
        verdict = verdict_from(message["verdict"])
        verdicts[verdict.run_id] = verdict
    if "now" in message:
        now = dict(message["now"])
        points = [CostPoint(**point) for point in now.pop("points")]
        show.show(Now("running", runs_done=len(verdicts), n_runs=n_runs, points=points, **now))


def _kind(device: str) -> Device:
    """Of a recorded device such as `cpu: AMD EPYC`."""
    kinds: dict[str, Device] = {"cpu": "cpu", "gpu": "gpu"}
    return kinds.get(device.partition(":")[0], "auto")
