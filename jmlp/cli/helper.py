"""`python -m jmlp.cli.helper`: runs one command of jmlp for another process, such as the app.

The request has "arguments", the answers are {"say": a line that the command printed to stderr}. Its
output on stdout is dropped.
"""

import contextlib
import io
import sys
from collections.abc import Mapping
from typing import Any

from jmlp.system import helper_server
from jmlp.system.helper_server import Send


def command(request: Mapping[str, Any], send: Send) -> None:
    """Runs a command of jmlp and sends the lines that it printed.

    Raises:
        JmlpError: the command failed.
    """
    from jmlp.cli.commands import app

    printed = io.StringIO()
    with contextlib.redirect_stderr(printed):
        app(request["arguments"])
    for line in printed.getvalue().splitlines():
        send({"say": line})


if __name__ == "__main__":
    sys.exit(helper_server.main(command))
