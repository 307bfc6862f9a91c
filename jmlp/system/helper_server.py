"""What a process that is asked one thing has around its work; see `jmlp.system.helper_client`.

It reads one line of JSON, the request, and writes one JSON object a line: the answers, or at last
{"error": text, "code": number}. It leaves at once when its stdin ends.
"""

import json
import os
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from jmlp.errors import JmlpError
from jmlp.system import diagnosis, streams

NICE = 10  # whoever watches comes first
STARTER_GONE = 129  # 128 + SIGHUP

Tell = Callable[[Mapping[str, Any]], None]


def main(work: Callable[[Mapping[str, Any], Tell], None]) -> int:
    """Does what it is asked for, and returns the exit code.

    Args:
        work: takes the request, and what takes each answer.
    """
    # Whatever a library prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    streams.make_safe()
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_leave_with_starter, daemon=True).start()
    os.nice(NICE)

    def tell(message: Mapping[str, Any]) -> None:
        print(json.dumps(message), file=answers, flush=True)

    return answer(request, tell, work)


def answer(
    request: Mapping[str, Any], tell: Tell, work: Callable[[Mapping[str, Any], Tell], None]
) -> int:
    """Does it in this process, where JAX may start or has; returns the exit code.

    Args:
        request: what is asked.
        tell: takes each answer.
        work: takes both.
    """
    try:
        work(request, tell)
    except Exception as error:
        known = error if isinstance(error, JmlpError) else diagnosis.of_exception(error)
        if known is None:
            raise
        tell({"error": str(known), "code": known.exit_code})
        return known.exit_code
    return 0


def _leave_with_starter() -> None:
    """No one waits for the answers once stdin has ended."""
    while os.read(0, 1024):
        pass
    os._exit(STARTER_GONE)
