"""The command `jmlp`: what it accepts, and how it ends.

Each command is a function in a module of its own, and what it needs is imported when it is called,
so that `--help` waits for neither JAX nor NumPy. Results go to stdout, everything else to stderr.
"""

import os
import sys
import traceback
from collections.abc import Sequence

from jmlp.errors import JmlpError, StoreError

INTERRUPTED = 130  # 128 + SIGINT
BROKEN_PIPE = 141  # 128 + SIGPIPE


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code (see "Exit codes" in the README).

    Args:
        arguments: of the command; default: those of the process.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    from cyclopts import CycloptsError

    from jmlp.cli.commands import app
    from jmlp.cli.output import make_streams_safe, say_error

    make_streams_safe()
    try:
        code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except CycloptsError as error:
        say_error(f"{error}\nSee jmlp --help, or jmlp COMMAND --help.")
        return 2
    except JmlpError as error:
        if "--debug" in arguments:
            traceback.print_exc()
        say_error(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        say_error("interrupted")
        return INTERRUPTED
    except (BrokenPipeError, SystemExit):  # SystemExit: rich's way to say the same
        _drop_output()  # whoever read it has left
        return BROKEN_PIPE
    except Exception as error:
        if "--debug" in arguments:
            raise
        if isinstance(error, OSError) and error.filename is None:  # of a stream, not of a file
            _drop_output()
            say_error(f"the output cannot be written: {error.strerror}")
            return StoreError.exit_code
        say_error(
            f"this is a bug in jmlp: {type(error).__name__}: {error}\n"
            "Please report it with what --debug prints."
        )
        return 1
    return code if isinstance(code, int) else 0


def _drop_output() -> None:
    """What is left of it goes nowhere; Python would try again at its exit, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
