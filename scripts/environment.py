"""Makes the project's virtual environment: environment.py ROOT VENV run|cuda|dev.

Called by environment.sh when the stamp of VENV is out of date. Needs only Python's standard
library.
"""

import contextlib
import fcntl
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

# requirements-cuda.txt and requirements-dev.txt contain all of requirements-run.txt.
LOCKS = {"run": ("run",), "cuda": ("run", "cuda"), "dev": ("run", "dev")}
SIZE = {"run": "1 GB", "cuda": "6 GB", "dev": "1.5 GB"}  # on disk

TICK_SECONDS = 1.0  # between two updates of a line on a terminal


def main(root: Path, environment: Path, lock: str) -> None:
    """Updates the environment, or creates it if it is missing or was never completed."""
    if os.pathsep in str(environment):  # PATH, which lists the folder of its commands, cannot
        raise OSError(
            f"the path {environment} contains a {os.pathsep!r}, which a virtual environment does "
            "not support; name another folder: JMLP_VENV=/path/to/folder scripts/jmlp"
        )
    if environment.exists() and not is_environment(environment):
        raise OSError(f"{environment} is not a virtual environment; move it away")
    with only_one(environment) as lock_file:
        if is_current(root, environment, lock):
            return
        install(root, environment, lock, lock_file)


def is_environment(folder: Path) -> bool:
    """Whether a folder is a virtual environment or empty, and may therefore be cleared."""
    return folder.is_dir() and ((folder / "pyvenv.cfg").is_file() or not any(folder.iterdir()))


@contextlib.contextmanager
def only_one(environment: Path) -> Iterator[int]:
    """Waits for other processes that make the same environment; yields the lock's descriptor."""
    with open(f"{environment}.lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Another process is making {environment}: waiting for it.", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def stamp(root: Path, lock: str) -> str:
    """The stamp of an up-to-date environment: everything that it is made from."""
    files = (root / "scripts" / f"requirements-{lock}.txt", root / "pyproject.toml")
    return f"{root}\n" + "".join(file.read_text("utf-8") for file in files)


def is_current(root: Path, environment: Path, lock: str) -> bool:
    """Whether the environment is up to date, and its Python still exists."""
    file = environment / f"{lock}.stamp"
    runs = os.access(environment / "bin" / "python", os.X_OK)
    return runs and file.is_file() and file.read_text("utf-8") == stamp(root, lock)


def install(root: Path, environment: Path, lock: str, lock_file: int) -> None:
    """Installs the locked packages and the clone; writes the stamps last, when all is complete.

    An empty stamp belongs to a lock that was asked for and is not installed completely.
    """
    python = environment / "bin" / "python"
    stamps = [environment / f"{name}.stamp" for name in LOCKS]
    asked = [file for file in stamps if file.is_file() or file.stem == lock]
    finished = os.access(python, os.X_OK) and any(
        file.is_file() and file.stat().st_size > 0 for file in asked
    )
    complete = [name for name in LOCKS if finished and is_current(root, environment, name)]
    steps = Steps(2 if finished else 3, lock_file)
    if finished:
        print(f"Updating {environment}", flush=True)
    else:
        print(f"Making {environment}, once: {SIZE[lock]}, some minutes", flush=True)
        make = ["-I", "-m", "venv", "--clear", "--symlinks", str(environment)]
        steps.run("Python environment", [sys.executable, *make])
    for file in asked:
        file.write_text("", "utf-8")
    # -I: packages on PYTHONPATH must not count as installed here.
    pip = [str(python), "-I", "-m", "pip", "install", "--disable-pip-version-check"]
    report = environment / "installed.json"
    options = ["--progress-bar", "off", "--report", str(report)]
    pinned = str(root / "scripts" / f"requirements-{lock}.txt")
    steps.run("packages", [*pip, *options, "--require-hashes", "-r", pinned], report)
    # The clone itself: pip can't hash a folder, and its build backend is among the packages above.
    steps.run("jmlp", [*pip, "--no-deps", "--no-build-isolation", "--editable", str(root)])
    for name in {*complete, *LOCKS[lock]}:
        (environment / f"{name}.stamp").write_text(stamp(root, name), "utf-8")


class Steps:
    """Runs commands and prints one line for each; their own output appears only if they fail."""

    def __init__(self, n_steps: int, lock_file: int) -> None:
        """Initialises the counter.

        Args:
            n_steps: how many commands will be run.
            lock_file: a descriptor that the commands inherit, so that they still hold its lock if
                they outlive this process.
        """
        self._n_steps, self._lock_file = n_steps, lock_file
        self._done = 0
        self._is_terminal = sys.stdout.isatty()

    def run(self, name: str, command: Sequence[str], report: Path | None = None) -> None:
        """Runs a command.

        Args:
            name: what the step makes.
            command: the program and its arguments.
            report: the file to which pip writes what it installs.

        Raises:
            subprocess.CalledProcessError: the command failed; its output has been printed.
        """
        self._done += 1
        head = f"{self._done}/{self._n_steps} {name} ..."
        print(head, end="", flush=True)
        start = time.monotonic()
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
            code = self._wait(command, head, start, output)
            if code:
                print(flush=True)
                output.seek(0)
                shutil.copyfileobj(output, sys.stdout)
                raise subprocess.CalledProcessError(code, command)
        found = f"{_n_installed(report)} installed, " if report else ""
        self._rewrite(head)
        print(f" {found}{time.monotonic() - start:.0f} s", flush=True)

    def _wait(self, command: Sequence[str], head: str, start: float, output: IO[str]) -> int:
        """Runs a command to its end; on a terminal, shows its latest line and the seconds."""
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[self._lock_file],
            env={**os.environ, "PIP_USER": "0"},  # some systems set it to 1, and pip then fails
        ) as process:
            try:
                while True:
                    try:
                        return process.wait(TICK_SECONDS if self._is_terminal else None)
                    except subprocess.TimeoutExpired:
                        latest = _last_line(output.fileno())
                        self._rewrite(f"{head} {time.monotonic() - start:.0f} s  {latest}")
            except BaseException:
                process.kill()
                raise

    def _rewrite(self, text: str) -> None:
        """Replaces the line on a terminal; never wider, or it would scroll."""
        if self._is_terminal:
            width = shutil.get_terminal_size().columns - 1
            print("\r" + text[:width].ljust(width) + "\r" + text[:width], end="", flush=True)


def _last_line(file: int) -> str:
    """The end of what a process has written, read without moving its place in the file."""
    size = os.fstat(file).st_size
    end = os.pread(file, 4096, max(0, size - 4096)).decode("utf-8", "replace")
    words = (end.splitlines() or [""])[-1].split()
    return "".join(c for c in " ".join(words) if c.isprintable())


def _n_installed(report: Path) -> int:
    """How many packages pip has installed; 0 if all were there."""
    return len(json.loads(report.read_text("utf-8"))["install"])


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # pip has signs of its own
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
    except KeyboardInterrupt:
        print("\nInterrupted: the next call starts over.", file=sys.stderr)
        sys.exit(130)
    except subprocess.CalledProcessError as error:
        sys.stdout.flush()
        print("jmlp: the environment could not be made; see above for the reason.", file=sys.stderr)
        print(f"Failed command: {shlex.join(error.cmd)}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"jmlp: the environment could not be made: {error}", file=sys.stderr)
        sys.exit(2)
