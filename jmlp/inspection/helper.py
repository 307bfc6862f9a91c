"""`python -m jmlp.inspection.helper`: looks into the networks of one stored run.

The request has "store" (the folder), "run_id" and "part", the answers are {"say": text} and at last
{"done": path of an inspection}. It changes nothing in the store, so it takes no lock.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jmlp.system import environment, helper_server
from jmlp.system.files import compile_cache_dir
from jmlp.system.helper_server import Send


def look(request: Mapping[str, Any], send: Send) -> None:
    """Looks, in a process where JAX has not started."""
    environment.report_warnings(lambda text: send({"say": text}))
    if warning := environment.prepare("cpu", None, compile_cache_dir()):
        send({"say": f"warning: {warning}"})
    answer(request, send)


def answer(request: Mapping[str, Any], send: Send) -> None:
    """Looks in this process, where JAX may start or has.

    Args:
        request: what is asked.
        send: called with each message.

    Raises:
        JmlpError: the run cannot be looked into.
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
