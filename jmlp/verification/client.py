"""The processes that verify: what each is asked, what it answers, and how one may die."""

import json
import os
from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from jmlp.errors import ConfigError, DeviceError
from jmlp.store import RunRow
from jmlp.system import helper_client
from jmlp.system.environment import Device
from jmlp.verification.helper import Request

WHAT = "the process that trained"


def requests(
    folder: Path, rows: Sequence[RunRow], asked: Literal["auto", "cpu", "gpu"], cores: int | None
) -> list[Request]:
    """One process for all runs that it can train: JAX and XLA read their settings once.

    Args:
        folder: of the store.
        rows: runs that have ended.
        asked: the kind of device; `auto`: the one that trained each run before.
        cores: of the CPU; None: by default.
    """
    setups: dict[tuple[Device, str, str], list[str]] = defaultdict(list)
    for row in rows:
        assert row.result is not None
        where = row.result.provenance
        device = _kind(where.device) if asked == "auto" else asked
        settings = None if where.settings is None else dict(sorted(where.settings.items()))
        setups[device, where.flags, json.dumps(settings)].append(row.run_id)
    return [
        Request(str(folder), tuple(run_ids), device, cores, flags, json.loads(settings))
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


def _kind(device: str) -> Device:
    """Of a recorded device such as `cpu: AMD EPYC`."""
    kinds: dict[str, Device] = {"cpu": "cpu", "gpu": "gpu"}
    return kinds.get(device.partition(":")[0], "auto")
