"""The command `jmlp`: what it accepts, and how it ends.

Each command is a function in a module of its own, and what it needs is imported when it is called,
so that `--help` waits for neither JAX nor NumPy. Results go to stdout, everything else to stderr.
"""

import contextlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from jmlp import places
from jmlp.errors import ConfigError, JmlpError, StoreError

INTERRUPTED = 130  # 128 + SIGINT
BROKEN_PIPE = 141  # 128 + SIGPIPE


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code (see "Exit codes" in the README).

    Args:
        arguments: of the command; default: those of the process.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except JmlpError as error:
        if "--debug" in arguments:
            traceback.print_exc()
        _say_error(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _say_error("interrupted")
        return INTERRUPTED
    except (BrokenPipeError, SystemExit):  # SystemExit: rich's way to say the same
        _drop_output()  # whoever read it has left
        return BROKEN_PIPE
    except Exception as error:
        if "--debug" in arguments:
            raise
        # Of a stream, not of a file, and not one that Python raises on its own.
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            _drop_output()
            _say_error(f"the output cannot be written: {error.strerror}")
            return StoreError.exit_code
        _say_error(
            f"this is a bug in jmlp: {type(error).__name__}: {error}\n"
            "Please report it with what --debug prints."
        )
        return 1
    return code if isinstance(code, int) else 0


def _run(arguments: Sequence[str]) -> Any:
    from jmlp.cli.terminal import lacking, needs_terminal, open_app

    lacks = lacking()
    if not arguments and not lacks:  # the parser would take longer than all else that is needed
        return open_app(places.runs_dir())
    from cyclopts import CycloptsError

    from jmlp.cli.commands import app
    from jmlp.cli.output import make_streams_safe

    make_streams_safe()
    options: dict[str, Any] = {"exit_on_error": False, "print_error": False}
    options["result_action"] = "return_value"
    if not arguments:
        with contextlib.redirect_stdout(sys.stderr):
            app(["--help"], **options)
        raise needs_terminal(lacks)
    try:
        return app(arguments, **options)
    except CycloptsError as error:
        _say_error(f"{error}\nSee jmlp --help, or jmlp COMMAND --help.")
        return ConfigError.exit_code


def _say_error(text: str) -> None:
    from jmlp.cli.output import make_streams_safe, say_error

    make_streams_safe()
    say_error(text)


def _drop_output() -> None:
    """What is left of it goes nowhere; Python would try again at its exit, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
