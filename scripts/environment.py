"""Makes the project's virtual environment: environment.py ROOT VENV run|dev.

Called by environment.sh when the stamp of VENV is out of date. Needs only Python's standard
library.
"""

import contextlib
import fcntl
import os
import shlex
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

LOCKS = {"run": ("run",), "dev": ("run", "dev")}  # requirements-dev.txt contains all of the other


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
    """Installs the locked packages and the clone; writes the stamps last, when all is complete."""
    python = environment / "bin" / "python"
    stamps = [environment / f"{name}.stamp" for name in LOCKS]
    finished = any(file.is_file() for file in stamps) and os.access(python, os.X_OK)
    for file in stamps:
        file.unlink(missing_ok=True)
    if not finished:
        print(f"Making {environment} (once; some minutes and 1 GB) ...", flush=True)
        venv.EnvBuilder(clear=True, symlinks=True, with_pip=True).create(environment)

    def pip(*args: str | Path) -> None:
        # -I: packages on PYTHONPATH must not count as installed here. The pip process inherits the
        # lock, so that it still holds it if it outlives this process.
        quiet = [] if sys.stderr.isatty() else ["--quiet"]
        options = ["--disable-pip-version-check", *quiet]
        subprocess.run(
            [python, "-I", "-m", "pip", "install", *options, *args],
            check=True,
            pass_fds=[lock_file],
            env={**os.environ, "PIP_USER": "0"},  # some systems set it to 1, and pip then fails
        )

    pip("--require-hashes", "-r", root / "scripts" / f"requirements-{lock}.txt")
    # The clone itself: pip can't hash a folder, and its build backend is among the packages above.
    pip("--no-deps", "--no-build-isolation", "--editable", root)
    for name in LOCKS[lock]:
        (environment / f"{name}.stamp").write_text(stamp(root, name), "utf-8")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
    except KeyboardInterrupt:
        print("\nInterrupted: the next call starts over.", file=sys.stderr)
        sys.exit(130)
    except subprocess.CalledProcessError as error:
        print("jmlp: the environment could not be made; see above for the reason.", file=sys.stderr)
        print(f"Failed command: {shlex.join(map(str, error.cmd))}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"jmlp: the environment could not be made: {error}", file=sys.stderr)
        sys.exit(2)
