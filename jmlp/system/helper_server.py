"""The main function of a process that answers one request; see `jmlp.system.helper_client`.

It reads one line of JSON, the request, and writes one JSON object per line: the answers, and in
case of an error {"error": text, "code": number}. It exits at once when its stdin ends.
"""

import json
import os
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from jmlp.errors import JmlpError
from jmlp.system import diagnosis, streams

NICE = 10  # gives priority to interactive processes
PARENT_GONE = 129  # 128 + SIGHUP

Send = Callable[[Mapping[str, Any]], None]


def main(work: Callable[[Mapping[str, Any], Send], None]) -> int:
    """Reads the request from stdin, answers it on stdout, and returns the exit code.

    Args:
        work: called with the request, and with the function that sends an answer.
    """
    # The output of libraries must not get between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    streams.make_safe()
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    os.nice(NICE)

    def send(message: Mapping[str, Any]) -> None:
        print(json.dumps(message), file=answers, flush=True)

    return answer(request, send, work)


def answer(
    request: Mapping[str, Any], send: Send, work: Callable[[Mapping[str, Any], Send], None]
) -> int:
    """Answers a request in this process, which may start JAX; returns the exit code.

    Args:
        request: the request.
        send: called with each answer.
        work: called with both.
    """
    try:
        work(request, send)
    except Exception as error:
        known = error if isinstance(error, JmlpError) else diagnosis.of_exception(error)
        if known is None:
            raise
        send({"error": str(known), "code": known.exit_code})
        return known.exit_code
    return 0


def _exit_with_parent() -> None:
    """Exits when stdin ends, because the parent process no longer waits for the answers."""
    while os.read(0, 1024):
        pass
    os._exit(PARENT_GONE)
