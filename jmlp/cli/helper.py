"""`python -m jmlp.cli.helper`: runs one command of jmlp for another process, such as the app.

The request has "arguments", the answers are {"say": a line that the command printed to stderr}. Its
output on stdout is dropped. Or it has a "drawing", of which a picture is written to the file
"target", and there is no answer.
"""

import contextlib
import io
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jmlp.system import helper_server
from jmlp.system.helper_server import Send


def command(request: Mapping[str, Any], send: Send) -> None:
    """Runs a command of jmlp and sends the lines that it printed, or draws a picture.

    Raises:
        JmlpError: the command failed, or the picture could not be written.
    """
    if "drawing" in request:
        from jmlp.report.drawn_curves import write_picture
        from jmlp.results.drawing import Drawing
        from jmlp.results.serialization import read

        drawing = read(Drawing, request["drawing"])
        write_picture(drawing, Path(request["target"]), replace=request["replace"])
        return
    from jmlp.cli.commands import app

    printed = io.StringIO()
    with contextlib.redirect_stderr(printed):
        app(request["arguments"])
    for line in printed.getvalue().splitlines():
        send({"say": line})


if __name__ == "__main__":
    sys.exit(helper_server.main(command))
