"""`python -m jmlp.verification.helper`: trains stored runs again and says how they compare.

The request is a `Request`, the answers are {"say": text}, {"progress": how far it is} and
{"verdict": of a run}. It reads files of runs and changes nothing, so it takes no lock.
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
    """What one process can verify: runs that were trained on one kind of device with one setup."""

    store: str  # the folder
    run_ids: tuple[str, ...]
    device: Device
    cores: int | None
    flags: str  # XLA_FLAGS as recorded
    settings: Mapping[str, str] | None = None  # as recorded; None: unknown


def verify(table: Mapping[str, Any], send: Send) -> None:
    """Verifies, in a process where JAX has not started.

    Args:
        table: the request, as JSON has it.
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
    """Verifies in this process, where JAX may start or has.

    Args:
        request: what to verify.
        send: called with each message.

    Raises:
        JmlpError: a run cannot be trained again.
    """
    alone = "jax" not in sys.modules
    from jmlp.verification.retraining import Retraining

    folder, ids = Path(request.store), request.run_ids
    Retraining(folder, request.device, request.cores, send, alone=alone).run(ids)


if __name__ == "__main__":
    sys.exit(helper_server.main(verify))
