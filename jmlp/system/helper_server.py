"""The main function of a process that answers requests; see `jmlp.system.helper_client`.

A request is one line of JSON. For each it writes one JSON object per line: the answers, and in case
of an error {"error": text, "code": number}. `main` answers a single request; `serve` answers any
number, with {"end": true} after the last answer to each. It exits at once when its stdin ends.
Whatever else reads stdin in this process finds it empty.
"""

import json
import os
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

from jmlp.errors import JmlpError
from jmlp.system import diagnosis, streams

NICE = 10  # gives priority to interactive processes
PARENT_GONE = 129  # 128 + SIGHUP
IDLE_SECONDS = 300  # without a request, after which `serve` frees its memory by ending

Send = Callable[[Mapping[str, Any]], None]


def main(work: Callable[[Mapping[str, Any], Send], None]) -> int:
    """Reads one request from stdin, answers it on stdout, and returns the exit code.

    Args:
        work: called with the request, and with the function that sends an answer.
    """
    requests, send = _begin()
    return answer(json.loads(requests.get()), send, work)


def serve(prepare: Callable[[Send], None], work: Callable[[Mapping[str, Any], Send], None]) -> int:
    """Answers requests until none has come for `IDLE_SECONDS`, and returns 0.

    Args:
        prepare: called once, with the function that sends an answer.
        work: called with each request, and with the function that sends an answer.
    """
    requests, send = _begin()
    prepare(send)
    while True:
        try:
            request = requests.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            return 0
        if answer(json.loads(request), send, work) == 0:
            send({"end": True})


def _begin() -> "tuple[queue.SimpleQueue[str], Send]":
    """The requests as they arrive, and the function that sends an answer."""
    # The output of libraries must not get between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # Nor may anything else wait for input that is a request.
    incoming = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    streams.make_safe()
    os.nice(NICE)
    requests: queue.SimpleQueue[str] = queue.SimpleQueue()

    def send(message: Mapping[str, Any]) -> None:
        print(json.dumps(message), file=answers, flush=True)

    threading.Thread(target=_read, args=(incoming, requests), daemon=True).start()
    return requests, send


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


def _read(incoming: int, requests: "queue.SimpleQueue[str]") -> None:
    """Reads requests until they end, because the parent process no longer wants answers."""
    with open(incoming, encoding="utf-8") as lines:
        for line in lines:
            requests.put(line)
    os._exit(PARENT_GONE)
