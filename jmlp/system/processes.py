"""Python processes that jmlp starts: they run the code that this process runs.

A child process imports neither from the folder that it is started in nor from what an environment
says about it: homework beside a `random.py` trains like any other. Every such process is started
here, and nowhere else.
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

# Where this jmlp lies: a folder, or a zip archive.
ROOT = Path(__file__).absolute().parent.parent.parent

# Meant for programs that the user writes. A warning that is made an error would end JAX, and an
# interpreter that stays open after its program would lose the exit code.
_NOT_INHERITED = ("PYTHONINSPECT", "PYTHONWARNINGS")


def command_line(*arguments: str) -> list[str]:
    """What starts this Python with these arguments, without the current folder in its path."""
    return [sys.executable, "-P", *arguments]


def child_environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a Python process that is to import what this one imports.

    Args:
        variables: what it inherits; default: all that this process has.
    """
    inherited = os.environ if variables is None else variables
    kept = {name: value for name, value in inherited.items() if name not in _NOT_INHERITED}
    path = _python_path(kept.pop("PYTHONPATH", ""))
    if path:
        kept["PYTHONPATH"] = path
    # What it prints is read here as UTF-8, whatever the terminal takes.
    kept["PYTHONIOENCODING"] = "utf-8:backslashreplace"
    return kept


def _python_path(given: str) -> str:
    """The given folders without the current one, and first the one that this jmlp is in."""
    try:
        here = os.getcwd()
    except FileNotFoundError:  # it was removed
        here = ""
    folders = [
        entry if os.path.isabs(entry) else os.path.normpath(os.path.join(here, entry))
        for entry in given.split(os.pathsep)
        # A relative entry means another folder each time. An empty one, as a trailing colon
        # makes it, means the current folder.
        if os.path.isabs(entry) or (here and os.path.normpath(entry) != ".")
    ]
    found_anyway = [*site.getsitepackages(), site.getusersitepackages()]
    if str(ROOT) not in found_anyway and os.pathsep not in str(ROOT):
        folders.insert(0, str(ROOT))
    return os.pathsep.join(dict.fromkeys(folders))


def wait_for_children() -> None:
    """Lets this process learn how its children end, whatever it inherited; for its start.

    Where a program that started this one ignores SIGCHLD, the system keeps no exit code, and
    `subprocess` reports 0 for every child. Children inherit what is set here.
    """
    is_main = threading.current_thread() is threading.main_thread()  # only there can it be set
    if is_main and signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def start(
    *arguments: str,
    stdin: int,
    stdout: int | IO[str],
    stderr: int | IO[str],
    variables: Mapping[str, str] | None = None,
) -> "subprocess.Popen[str]":
    """Starts a Python process. A Ctrl-C in the terminal is for this process, not for the new one.

    Args:
        arguments: of Python, such as `-m` and a module.
        stdin: as for `subprocess.Popen`.
        stdout: likewise.
        stderr: likewise.
        variables: what it inherits; default: all that this process has.

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
    """Runs a Python process to its end, as `start` starts it, with nothing to read from stdin.

    It is ended where the caller is interrupted.

    Args:
        arguments: of Python.
        stdout: as for `subprocess.Popen`; by default it is returned.
        stderr: likewise.
        variables: what it inherits; default: all that this process has.
        seconds: the limit.

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
            f"Python ({sys.executable or 'of unknown place'}) cannot be started once more: "
            f"{error.strerror}"
        ) from error


def replace(*arguments: str, variables: Mapping[str, str]) -> NoReturn:
    """Puts a fresh Python process in the place of this one.

    Args:
        arguments: of Python.
        variables: what it inherits.

    Raises:
        DeviceError: the system cannot start it.
    """
    with _starting():
        os.execve(sys.executable, command_line(*arguments), child_environment(variables))


def oom_kills() -> int:
    """How often the system has ended processes for lack of memory, as far as it tells."""
    found = 0
    for path in ("/proc/vmstat", "/sys/fs/cgroup/memory.events"):
        with contextlib.suppress(OSError, ValueError):
            for line in Path(path).read_text(encoding="ascii").splitlines():
                if line.startswith("oom_kill "):
                    found += int(line.split()[1])
    return found
