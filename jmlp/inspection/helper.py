"""`python -m jmlp.inspection.helper`: inspects the networks of one stored run.

The request has "store" (the folder), "run_id" and "part"; the messages are {"say": text} and
finally {"done": path of an inspection}. The store is only read, so no lock is taken.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jmlp.system import environment, helper_server
from jmlp.system.files import compile_cache_dir
from jmlp.system.helper_server import Send


def look(request: Mapping[str, Any], send: Send) -> None:
    """Answers a request in a process where JAX has not started."""
    environment.report_warnings(lambda text: send({"say": text}))
    if warning := environment.prepare("cpu", None, compile_cache_dir()):
        send({"say": f"warning: {warning}"})
    answer(request, send)


def answer(request: Mapping[str, Any], send: Send) -> None:
    """Answers a request in this process, in which JAX may already have started.

    Args:
        request: the request.
        send: called with each message.

    Raises:
        JmlpError: the run cannot be inspected.
    """
    from jmlp.inspection.compute import inspect

    path = inspect(
        Path(request["store"]),
        request["run_id"],
        request["part"],
        lambda text: send({"say": text}),
    )
    send({"done": str(path)})


if __name__ == "__main__":
    sys.exit(helper_server.main(look))
