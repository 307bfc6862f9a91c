"""`python -m jmlp.inspection.helper`: computes for the app what needs JAX.

It answers any number of requests, see `jmlp.system.helper_server.serve`. Each has "do", a name in
`ANSWERS`, and the folder "store"; the messages are {"say": text} and finally {"done": the answer}.
The store is only read, so no lock is taken.
"""

import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jmlp.system import environment, helper_server
from jmlp.system.files import compile_cache_dir
from jmlp.system.helper_server import Send

if TYPE_CHECKING:
    from jmlp.inspection.asking import Drawings

Request = Mapping[str, Any]
Say = Callable[[str], None]


def inspect(request: Request, say: Say) -> str:
    """The path of the inspection of a run: its "run_id", and the "part" of the data."""
    from jmlp.inspection.compute import inspect

    return str(inspect(Path(request["store"]), request["run_id"], request["part"], say))


def draw(request: Request, say: Say) -> dict[str, Any]:
    """What all networks of some runs say of a picture, see `asking.Drawings.answer`."""
    return _drawings().answer(request, say)


@cache
def _drawings() -> "Drawings":
    from jmlp.inspection.asking import Drawings

    return Drawings()


# By the name in a request: a function of the request and of one that is called with each line about
# a slow step; it returns the answer as JSON values, and raises a `JmlpError` if there is none.
ANSWERS: Mapping[str, Callable[[Request, Say], Any]] = {
    "draw": draw,
    "inspect": inspect,
}


def prepare(send: Send) -> None:
    """Prepares this process for JAX.

    Args:
        send: called with messages, which precede the answers to the first request.
    """
    environment.report_warnings(lambda text: send({"say": text}))
    if warning := environment.prepare("cpu", None, compile_cache_dir()):
        send({"say": f"warning: {warning}"})


def answer(request: Request, send: Send) -> None:
    """Answers a request in this process, in which JAX may already have started.

    Args:
        request: the request.
        send: called with each message.

    Raises:
        JmlpError: there is no answer.
    """
    send({"done": ANSWERS[request["do"]](request, lambda text: send({"say": text}))})


if __name__ == "__main__":
    sys.exit(helper_server.serve(prepare, answer))
