"""`python -m jmlp.worker.verify`: trains stored runs again and says how they compare.

It reads one line of JSON, the request, and writes one JSON object a line: {"say": text}, {"now":
how far it is}, {"verdict": of a run}, or at last {"error": text, "code": number}. It leaves at once
when its stdin ends. It reads files of runs and changes nothing, so it takes no lock.
"""

import json
import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jmlp import environment
from jmlp.environment import Device
from jmlp.errors import JmlpError
from jmlp.places import compile_cache_dir
from jmlp.worker.__main__ import NICE

STARTER_GONE = 129  # 128 + SIGHUP

Tell = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Request:
    """What one process can verify: runs that were trained on one kind of device with one setup."""

    store: str  # the folder
    run_ids: tuple[str, ...]
    device: Device
    cores: int | None
    flags: str  # XLA_FLAGS as recorded

    def to_json(self) -> str:
        """On one line."""
        return json.dumps(asdict(self))


def main() -> int:
    """Verifies, and returns the exit code."""
    # Whatever a library prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    table = json.loads(sys.stdin.readline())
    request = Request(**{**table, "run_ids": tuple(table["run_ids"])})
    threading.Thread(target=leave_with_starter, daemon=True).start()
    os.nice(NICE)

    def tell(message: Mapping[str, Any]) -> None:
        print(json.dumps(message), file=answers, flush=True)

    if warning := environment.prepare(request.device, request.cores, compile_cache_dir()):
        tell({"say": f"warning: {warning}"})
    os.environ["XLA_FLAGS"] = request.flags  # no more and no less than the runs had
    return answer(request, tell)


def answer(request: Request, tell: Tell) -> int:
    """Verifies in this process, where JAX may start or has; returns the exit code.

    Args:
        request: what to verify.
        tell: takes each message.
    """
    from jmlp.worker.retraining import Retraining

    try:
        Retraining(Path(request.store), request.device, request.cores, tell).run(request.run_ids)
    except JmlpError as error:
        tell({"error": str(error), "code": error.exit_code})
        return error.exit_code
    return 0


def leave_with_starter() -> None:
    """Nobody waits for the answers any more once stdin has ended."""
    while os.read(0, 1024):
        pass
    os._exit(STARTER_GONE)


if __name__ == "__main__":
    sys.exit(main())
