"""`python -m jmlp.worker.inspect`: looks into the networks of one stored run.

It reads one line of JSON, the request, and writes one JSON object a line: {"say": text}, and at
last {"done": path of an inspection} or {"error": text, "code": number}. It leaves at once when its
stdin ends. It changes nothing in the store, so it takes no lock.
"""

import json
import os
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jmlp import environment
from jmlp.errors import JmlpError
from jmlp.places import compile_cache_dir
from jmlp.worker.__main__ import NICE
from jmlp.worker.verify import leave_with_starter

Tell = Callable[[Mapping[str, Any]], None]


def main() -> int:
    """Looks, and returns the exit code."""
    # Whatever a library prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=leave_with_starter, daemon=True).start()
    os.nice(NICE)

    def tell(message: Mapping[str, Any]) -> None:
        print(json.dumps(message), file=answers, flush=True)

    if warning := environment.prepare("cpu", None, compile_cache_dir()):
        tell({"say": f"warning: {warning}"})
    return answer(request, tell)


def answer(request: Mapping[str, Any], tell: Tell) -> int:
    """Looks in this process, where JAX may start or has; returns the exit code.

    Args:
        request: "store" (the folder), "run_id" and "part".
        tell: takes each message.
    """
    from jmlp.inspecting import inspect

    try:
        path = inspect(
            Path(request["store"]),
            request["run_id"],
            request["part"],
            lambda text: tell({"say": text}),
        )
    except JmlpError as error:
        tell({"error": str(error), "code": error.exit_code})
        return error.exit_code
    tell({"done": str(path)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
