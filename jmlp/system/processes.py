"""Starts Python processes that run the same code as this process.

A child process never imports from the current folder, whatever its environment says, so that jmlp
also works in a folder that contains a `random.py`. All such processes are started here.
"""

import contextlib
import os
import signal
import site
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NoReturn

from jmlp.errors import DeviceError

# The location of this jmlp: a folder, or a zip archive.
ROOT = Path(__file__).absolute().parent.parent.parent

# Meant for the user's own programs. A warning turned into an error would end JAX, and an
# interpreter that stays open after its program would lose the exit code.
_NOT_INHERITED = ("PYTHONINSPECT", "PYTHONWARNINGS")


def command_line(*arguments: str) -> list[str]:
    """The command that starts this Python, without the current folder in its path."""
    return [sys.executable, "-P", *arguments]


def child_environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a Python process that is to import the same code as this one.

    Args:
        variables: what it inherits; by default the environment of this process.
    """
    inherited = os.environ if variables is None else variables
    kept = {name: value for name, value in inherited.items() if name not in _NOT_INHERITED}
    path = _python_path(kept.pop("PYTHONPATH", ""))
    if path:
        kept["PYTHONPATH"] = path
    # Its output is read here as UTF-8, whatever the terminal's encoding.
    kept["PYTHONIOENCODING"] = "utf-8:backslashreplace"
    return kept


def _python_path(given: str) -> str:
    """PYTHONPATH without the current folder, and with the folder of this jmlp first."""
    try:
        here = os.getcwd()
    except FileNotFoundError:  # it was removed
        here = ""
    folders = [
        entry if os.path.isabs(entry) else os.path.normpath(os.path.join(here, entry))
        for entry in given.split(os.pathsep)
        # A relative entry depends on the current folder. An empty one, such as after a trailing
        # colon, means the current folder.
        if os.path.isabs(entry) or (here and os.path.normpath(entry) != ".")
    ]
    found_anyway = [*site.getsitepackages(), site.getusersitepackages()]
    if str(ROOT) not in found_anyway and os.pathsep not in str(ROOT):
        folders.insert(0, str(ROOT))
    return os.pathsep.join(dict.fromkeys(folders))


def wait_for_children() -> None:
    """Makes the exit codes of child processes available; has to be called at start.

    If the parent process ignores SIGCHLD, the system discards exit codes, and `subprocess` reports
    0 for every child. Children inherit what is set here.
    """
    is_main = threading.current_thread() is threading.main_thread()  # only it can set handlers
    if is_main and signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def start(
    *arguments: str,
    stdin: int,
    stdout: int | IO[str],
    stderr: int | IO[str],
    variables: Mapping[str, str] | None = None,
) -> "subprocess.Popen[str]":
    """Starts a Python process, which does not receive a Ctrl-C typed in the terminal.

    Args:
        arguments: Python's arguments, such as `-m` and a module.
        stdin: as for `subprocess.Popen`.
        stdout: likewise.
        stderr: likewise.
        variables: what it inherits; by default the environment of this process.

    Raises:
        DeviceError: the system cannot start it.
    """
    with _starting():
        return subprocess.Popen(
            command_line(*arguments),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=child_environment(variables),
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )


def run(
    *arguments: str,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
    variables: Mapping[str, str] | None = None,
    seconds: float | None = None,
) -> "subprocess.CompletedProcess[str]":
    """Runs a Python process to its end, started as by `start`, with an empty stdin.

    It is ended if the caller is interrupted.

    Args:
        arguments: Python's arguments.
        stdout: as for `subprocess.Popen`; by default it is returned.
        stderr: likewise.
        variables: what it inherits; by default the environment of this process.
        seconds: the time limit.

    Raises:
        DeviceError: the system cannot start it.
        subprocess.TimeoutExpired: the limit was reached; the process was ended.
    """
    with _starting():
        return subprocess.run(
            command_line(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=child_environment(variables),
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            timeout=seconds,
            check=False,
        )


@contextmanager
def _starting() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DeviceError(
            f"Python ({sys.executable or 'at an unknown path'}) cannot be started again: "
            f"{error.strerror}"
        ) from error


def replace(*arguments: str, variables: Mapping[str, str]) -> NoReturn:
    """Replaces this process by a fresh Python process.

    Args:
        arguments: Python's arguments.
        variables: what it inherits.

    Raises:
        DeviceError: the system cannot start it.
    """
    with _starting():
        os.execve(sys.executable, command_line(*arguments), child_environment(variables))


def oom_kills() -> int:
    """How many processes the system has killed for lack of memory, as far as it reports that."""
    found = 0
    for path in ("/proc/vmstat", "/sys/fs/cgroup/memory.events"):
        with contextlib.suppress(OSError, ValueError):
            for line in Path(path).read_text(encoding="ascii").splitlines():
                if line.startswith("oom_kill "):
                    found += int(line.split()[1])
    return found
