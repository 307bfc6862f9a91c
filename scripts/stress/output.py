"""Unwritable output streams, and kills while reports and exports are written."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from common import LABEL, command, write_inputs
from measuring import Findings, Options, Row, say, workplace

EVERY = {"report": 8, "safetensors": 3, "csv": 1}  # steps of k: a report has 17 files, a table 1
MAX_K = 500
Codes = tuple[int, ...]


def output(options: Options) -> Row:
    """Runs every command with every broken stream; then kills at the k-th write, flush or rename.

    Results must be complete and equal to those of the undisturbed command, the exit code must be
    that of the broken stream, the next call must work, and no unfinished file may remain.
    """
    findings = Findings()
    with workplace() as folder:
        write_inputs(folder, seeds=1, epochs=3, n_examples=200)
        log = folder / "output.log"
        store = folder / "store"
        study = ["study", "small.toml", "--store", str(store), "--output", "undisturbed"]
        if command(*study, cwd=folder, log=log).wait(300) != 0:
            raise RuntimeError(log.read_text())
        n_commands = 0
        for kind, (broken, codes) in BROKEN.items():
            for which in (("stdout",), ("stderr",), ("stdout", "stderr")):
                for call in _calls(folder, store, fresh=len(which) == 2 and not options.quick):
                    with broken() as descriptor:
                        code = _run(call.arguments, folder, log, which, descriptor)
                    name = f"{call.name}, {'+'.join(which)} {kind}"
                    wanted = codes if "stdout" in which and call.prints else (0,)
                    findings.expect(code in wanted, f"{name}: code {code}")
                    call.check(findings, name)
                    n_commands += 1
            say(f"{kind}: {n_commands} commands")
        n_kills = _kills(folder, store, log, findings, 5 if options.quick else 1)
    return Row(
        f"{n_commands} commands with stdout, stderr or both on a full disk, a closed pipe, a "
        f"terminal that hung up, or closed; report and export killed at the k-th write ({n_kills} "
        "kills)",
        "results complete and equal, the next call works, no unfinished file remains",
        f"{len(findings.found)} faults{findings}" if findings.found else "all of them",
        ok=not findings.found,
    )


# ---- streams


@contextlib.contextmanager
def _full() -> Iterator[int | None]:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    yield descriptor
    os.close(descriptor)


@contextlib.contextmanager
def _pipe() -> Iterator[int | None]:
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@contextlib.contextmanager
def _terminal() -> Iterator[int | None]:
    terminal, own = os.openpty()
    os.close(terminal)
    yield own
    os.close(own)


@contextlib.contextmanager
def _closed() -> Iterator[int | None]:
    yield None


# By name: what breaks a stream, and the exit codes that a broken stdout causes.
Broken = Callable[[], contextlib.AbstractContextManager[int | None]]
BROKEN: dict[str, tuple[Broken, Codes]] = {
    "full": (_full, (4,)),
    "without reader": (_pipe, (141,)),
    "hung up": (_terminal, (4,)),
    "closed": (_closed, (0,)),
}


def _run(
    arguments: list[str], folder: Path, log: Path, which: tuple[str, ...], broken: int | None
) -> int:
    """Runs a command with these streams broken; returns its exit code."""
    line = [sys.executable, "-m", "jmlp", *arguments]
    if broken is None:
        closing = {"stdout": ">&-", "stderr": "2>&-"}
        shell = f'exec "$@" {" ".join(closing[name] for name in which)}'
        line = ["sh", "-c", shell, "sh", *line]
    with log.open("a", encoding="utf-8") as file:
        streams: dict[str, Any] = {"stdout": file, "stderr": file}
        if broken is not None:
            streams |= dict.fromkeys(which, broken)
        done = subprocess.run(
            line,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            check=False,
            timeout=300,
            **streams,
        )
    return done.returncode


# ---- commands


class _Call:
    """A command, and the file or folder that it has to write, equal to another one."""

    def __init__(self, name: str, arguments: list[str], made: Path | None, wanted: Path) -> None:
        self.name, self.arguments, self.made, self.wanted = name, arguments, made, wanted
        self.prints = arguments[0] != "export"  # results, on stdout

    def check(self, findings: Findings, name: str) -> None:
        """Compares what was written with what is wanted, and removes it."""
        if self.made is None:
            return
        if not self.wanted.exists():  # the first of its kind is the reference for the others
            self.made.rename(self.wanted)
            return
        findings.expect(self.made.exists(), f"{name}: nothing was written")
        findings.expect(_content(self.made) == _content(self.wanted), f"{name}: other content")
        _remove(self.made)


def _calls(folder: Path, store: Path, *, fresh: bool) -> Iterator[_Call]:
    """The commands; those that train or start JAX only if `fresh`."""
    at = ["--store", str(store)]
    made, report = folder / "made", folder / "undisturbed"
    yield _Call("report", ["report", LABEL, *at, "--output", str(made)], made, report)
    yield _Call("study", ["study", "small.toml", *at, "--output", str(made)], made, report)
    for as_ in ("csv", "safetensors"):
        arguments = ["export", LABEL, *at, "--as", as_, "--output", str(made)]
        yield _Call(f"export {as_}", arguments, made, folder / f"wanted-{as_}")
    yield _Call("runs ls", ["runs", "ls", *at], None, report)
    if fresh:
        new = ["--store", str(folder / "new")]
        yield _Call("fresh study", ["study", "small.toml", *new, "-o", str(made)], made, report)
        _remove(folder / "new")
        saved = ["train", "--data", "small.npz", "--epochs", "2", *at, "--save", str(made)]
        yield _Call("train --save", saved, made, folder / "wanted-network")
        yield _Call("verify", ["verify", "last", *at], None, report)


def _content(path: Path) -> dict[str, bytes]:
    """The content of a file or folder; of a report's documents, only what holds no time."""
    if path.is_file():
        return {"": path.read_bytes()}
    files = {str(p.relative_to(path)): p for p in sorted(path.rglob("*")) if p.is_file()}
    timed = ("results.json", "results.csv", "tables.json", "report.md", "report.html")
    found = {name: b"" if name in timed else p.read_bytes() for name, p in files.items()}
    if "results.json" in files:
        document = json.loads(files["results.json"].read_bytes())
        runs = [{**run, "training_seconds": None} for run in document["runs"]]
        found["runs"] = json.dumps([runs, document["tables"]]).encode()
    return found


def _remove(path: Path) -> None:
    if path.is_dir():
        for each in sorted(path.rglob("*"), reverse=True):
            each.rmdir() if each.is_dir() else each.unlink()
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


# ---- kills


def _kills(folder: Path, store: Path, log: Path, findings: Findings, every: int) -> int:
    """Kills a report that replaces an older one, and exports, at the k-th point; counts kills."""
    n_kills = 0
    at = ["--store", str(store)]
    for as_, step in EVERY.items():
        made, wanted = folder / f"killed-{as_}", folder / f"wanted-{as_}"
        arguments = ["export", LABEL, *at, "--as", as_, "--output", str(made)]
        if as_ == "report":
            wanted, arguments = folder / "undisturbed", ["report", LABEL, *at, "-o", str(made)]
            command(*arguments, cwd=folder, log=log).wait(300)
        for k in range(1, MAX_K, step * every):
            name = f"{as_}, kill at {k}"
            before = _inodes(made)
            fault = {"JMLP_FAULT": f"any:{k}:kill"}
            code = command(*arguments, cwd=folder, log=log, **fault).wait(300)
            if code == 0:
                break
            n_kills += 1
            findings.expect(code == -signal.SIGKILL, f"{name}: code {code}")
            if as_ == "report" and (made / "report.html").exists():
                now = _inodes(made)
                same = {path for path in before if now.get(path) == before[path]}
                findings.expect(same in (set(), set(before)), f"{name}: old and new files mixed")
            force = ["--force"] if as_ == "csv" else []  # the kill may come after the rename
            code = command(*arguments, *force, cwd=folder, log=log).wait(300)
            findings.expect(code == 0, f"{name}: the next call ends with code {code}")
            findings.expect(_content(made) == _content(wanted), f"{name}: other content")
            if as_ != "report":
                _remove(made)
            left = [path.name for path in folder.glob(".*.tmp")]
            findings.expect(not left, f"{name}: {left} remain")
        say(f"{as_}: killed at k up to {k}")
    return n_kills


def _inodes(folder: Path) -> dict[Path, int]:
    """The inodes of a folder's files, except temporary ones; a rewritten file has another."""
    files = (p for p in folder.rglob("*") if p.is_file() and not p.name.endswith(".tmp"))
    return {path: path.stat().st_ino for path in files}
