"""Starts the processes that verify runs: their requests, messages and failures."""

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
    """One request per process: runs with equal settings share one, as JAX and XLA read them once.

    Args:
        folder: the store.
        rows: runs that have ended.
        asked: the kind of device; `auto` is the kind that trained each run.
        cores: CPU cores; None for the default.
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
    """Starts a process and yields its messages as they arrive. Closing the generator ends it.

    Raises:
        DeviceError: the system killed it for lack of memory, or XLA does not accept the flags that
            the runs were trained with.
        JmlpError: it reported an error, or ended before it answered.
    """
    # The process starts with the flags of the runs, which another version of XLA may not know.
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
    """The kind of a recorded device such as `cpu: AMD EPYC`."""
    kinds: dict[str, Device] = {"cpu": "cpu", "gpu": "gpu"}
    return kinds.get(device.partition(":")[0], "auto")
