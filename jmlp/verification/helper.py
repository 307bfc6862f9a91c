"""`python -m jmlp.verification.helper`: retrains stored runs and reports how they compare.

The request is a `Request`; the messages are {"say": text}, {"progress": a progress record} and
{"verdict": the verdict on a run}. Files of runs are only read, so no lock is taken.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jmlp.system import environment, helper_server
from jmlp.system.environment import Device
from jmlp.system.files import compile_cache_dir
from jmlp.system.helper_server import Send


@dataclass(frozen=True)
class Request:
    """Runs for one process to verify: trained on the same kind of device with the same settings."""

    store: str  # the folder
    run_ids: tuple[str, ...]
    device: Device
    cores: int | None
    flags: str  # XLA_FLAGS as recorded
    settings: Mapping[str, str] | None = None  # as recorded; None: unknown


def verify(table: Mapping[str, Any], send: Send) -> None:
    """Answers a request in a process where JAX has not started.

    Args:
        table: the request as a JSON object.
        send: called with each message.
    """
    request = Request(**{**table, "run_ids": tuple(table["run_ids"])})
    os.environ["XLA_FLAGS"] = request.flags
    environment.report_warnings(lambda text: send({"say": text}))
    if warning := environment.prepare(request.device, request.cores, compile_cache_dir()):
        send({"say": f"warning: {warning}"})
    environment.restore(request.flags, request.settings)
    if request.settings is not None:
        from jmlp.system import numerics

        numerics.restore(request.settings)
    answer(request, send)


def answer(request: Request, send: Send) -> None:
    """Answers a request in this process, in which JAX may already have started.

    Args:
        request: the runs to verify.
        send: called with each message.

    Raises:
        JmlpError: a run cannot be retrained.
    """
    alone = "jax" not in sys.modules
    from jmlp.verification.retraining import Retraining

    folder, ids = Path(request.store), request.run_ids
    Retraining(folder, request.device, request.cores, send, alone=alone).run(ids)


if __name__ == "__main__":
    sys.exit(helper_server.main(verify))
