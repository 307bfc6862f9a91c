"""The command `jmlp`: runs a subcommand, reports its errors, and returns its exit code.

Each subcommand is a function in a module of its own, which imports what it needs when it is called,
so that `--help` waits for neither JAX nor NumPy. Results go to stdout, everything else to stderr.
A stream that cannot be written does not stop a command: it completes its work first.

Little is imported before `main` can report a failing import, because PYTHONPATH may lead to a
user's file with the name of a module.
"""

import contextlib
import errno
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from jmlp.errors import ConfigError, JmlpError, StoreError
from jmlp.system import streams

INTERRUPTED = 130  # 128 + SIGINT
BROKEN_PIPE = 141  # 128 + SIGPIPE


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code (docs/reference/command.md lists them).

    Args:
        arguments: the command-line arguments; None means those of the process.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    code = _code(arguments)
    streams.make_safe()  # the app has written to its terminal directly
    failure = streams.failure(sys.stdout)
    if failure is None:
        return code
    if failure.errno == errno.EPIPE:  # the reader has gone, as `head` does
        return code or BROKEN_PIPE
    _say_error(f"the output cannot be written: {failure.strerror}")
    return code or StoreError.exit_code


def _code(arguments: Sequence[str]) -> int:
    """Runs one command, prints the error that ended it, and returns its exit code."""
    try:
        code = _run(arguments)
    except JmlpError as error:
        if "--debug" in arguments:
            traceback.print_exc()
        _say_error(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _say_error("interrupted")
        return INTERRUPTED
    except Exception as error:
        if "--debug" in arguments:
            raise
        from jmlp.system import diagnosis

        if known := diagnosis.of_exception(error):
            _say_error(str(known))
            return known.exit_code
        _say_error(
            f"this is a bug in jmlp: {type(error).__name__}: {error}\n"
            "Please report it with the output of --debug."
        )
        return 1
    return code if isinstance(code, int) else 0


def _run(arguments: Sequence[str]) -> Any:
    from jmlp.cli.terminal import lacking, needs_terminal, open_app
    from jmlp.system import files, processes

    processes.wait_for_children()
    lacks = lacking()
    if not arguments and not lacks:  # importing the parser would take longer than everything else
        return open_app(files.runs_dir())
    from cyclopts import CycloptsError

    from jmlp.cli.commands import app

    streams.make_safe()
    if not arguments:
        with contextlib.redirect_stdout(sys.stderr):
            app(["--help"])
        raise needs_terminal(lacks)
    try:
        return app(arguments)
    except CycloptsError as error:
        _say_error(f"{_reason(error)}\nSee jmlp --help, or jmlp COMMAND --help.")
        return ConfigError.exit_code


def _reason(error: Any) -> str:
    """What is wrong with the arguments, in words that say what to do."""
    from cyclopts.exceptions import UnknownOptionError, UnusedCliTokensError

    if isinstance(error, UnusedCliTokensError):
        tokens = error.unused_tokens or []
        n = "one argument" if len(tokens) == 1 else f"{len(tokens)} arguments"
        return f"{' '.join(tokens)}: {n} too many"
    if isinstance(error, UnknownOptionError) and error.token.value[1:2] in (*"0123456789.",):
        value = error.token.value
        return f"{value}: write -- before a number with a minus sign, as in -- {value}"
    return str(error)


def _say_error(text: str) -> None:
    streams.make_safe()
    streams.say_error(text)
