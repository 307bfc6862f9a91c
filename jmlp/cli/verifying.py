"""The processes that verify: what each is asked, what it answers, and how one may die."""

import json
import os
from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jmlp.cli.hardware import Hardware
from jmlp.cli.training import Display, Now
from jmlp.errors import ConfigError, DeviceError
from jmlp.store import RunRow
from jmlp.system import helper_client
from jmlp.system.environment import Device
from jmlp.training.records import CostPoint
from jmlp.verification.helper import Request
from jmlp.verification.verdict import Verdict, verdict_from

WHAT = "the process that trained"


def requests(folder: Path, rows: Sequence[RunRow], hardware: Hardware) -> list[Request]:
    """One process for all runs that it can train: JAX and XLA read their settings once.

    Args:
        folder: of the store.
        rows: runs that have ended.
        hardware: what was asked for.
    """
    setups: dict[tuple[Device, str, str], list[str]] = defaultdict(list)
    for row in rows:
        assert row.result is not None
        where = row.result.provenance
        device = hardware.device
        if device == "auto":
            device = _kind(where.device)
        settings = None if where.settings is None else dict(sorted(where.settings.items()))
        setups[device, where.flags, json.dumps(settings)].append(row.run_id)
    return [
        Request(str(folder), tuple(run_ids), device, hardware.cores, flags, json.loads(settings))
        for (device, flags, settings), run_ids in setups.items()
    ]


def start(request: Request) -> Generator[Mapping[str, Any]]:
    """What a new process answers, as it comes. Closing this ends the process.

    Raises:
        DeviceError: the system ended it for lack of memory, or XLA does not accept the flags that
            the runs were trained with.
        JmlpError: what it reported, or how it ended before it had answered.
    """
    # It starts with the flags of the runs, which another version of XLA may not know.
    flags = {**os.environ, "XLA_FLAGS": request.flags}
    try:
        yield from helper_client.ask(
            "jmlp.verification.helper", asdict(request), WHAT, variables=flags
        )
    except ConfigError as error:
        if not str(error).startswith("XLA_FLAGS"):
            raise
        raise DeviceError(
            f"the runs were trained with XLA_FLAGS={request.flags}, which the XLA installed here "
            "does not accept; jmlp runs show lists the versions that do"
        ) from error


def take(
    message: Mapping[str, Any], verdicts: dict[str, Verdict], n_runs: int, show: Display
) -> None:
    """Keeps or shows what a process answers.

    Args:
        message: the answer.
        verdicts: by run id; one may be added.
        n_runs: of all processes.
        show: where progress is shown.
    """
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
