"""Measures tables of named rows, each in a process of its own, with helpers that rows share."""

import argparse
import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
TEMPORARY = "jmlp-measure-"  # prefix of the temporary folder for all rows
NICE = 5


@dataclass(frozen=True)
class Row:
    """One row of the table: what is tested, the requirement, and the result."""

    test: str
    wanted: str
    measured: str
    ok: bool


@dataclass(frozen=True)
class Options:
    """The options with which a row is measured."""

    quick: bool
    seed: int
    cases: int | None = None  # overrides the row's own number

    def count(self, full: int, least: int = 2) -> int:
        """The number of cases to measure in a row that has `full` cases by default."""
        if self.cases is not None:
            return self.cases
        return max(least, full // 10) if self.quick else full

    def random(self) -> random.Random:
        """A random generator for the row, from the seed."""
        return random.Random(self.seed)


@dataclass
class Findings:
    """Collects descriptions of failed expectations."""

    found: list[str] = field(default_factory=list)
    quiet: bool = False

    def expect(self, fact: bool, text: str) -> bool:
        """Records and prints `text` unless `fact` is true; returns `fact`."""
        if not fact:
            self.found.append(text)
            if not self.quiet:
                say(text)
        return fact

    def __str__(self) -> str:
        if not self.found:
            return ""
        more = f" and {len(self.found) - 3} more" if len(self.found) > 3 else ""
        return "; ".join(["", *self.found[:3]]) + more


def say(text: str) -> None:
    """Prints a progress message of a row."""
    print(f"  {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """An empty folder for a row, next to the folder of compiled programs."""
    folder = Path(tempfile.mkdtemp(dir=Path(os.environ["JMLP_HOME"]).parent))
    yield folder
    if folder.parent.name.startswith(TEMPORARY):  # otherwise the user wants to inspect it
        shutil.rmtree(folder, ignore_errors=True)


# ---- the table


def main(script: Path, doc: str, rows: Mapping[str, str], *, nice: int = NICE) -> int:
    """Measures the rows requested on the command line; returns the exit code.

    Args:
        script: the folder that is run.
        doc: a description, the first line of which is shown in the help.
        rows: the module of each row, in the order of the table; its function with the row's name
            measures the row.
        nice: the niceness of all processes.
    """
    if len(sys.argv) > 2 and sys.argv[1] == "--part":  # a process of a row
        _, _, module, function, *arguments = sys.argv
        getattr(import_module(module), function)(*arguments)
        return 0
    parser = argparse.ArgumentParser(prog=f"scripts/{script.name}", description=doc.splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(rows)}")
    parser.add_argument("--quick", action="store_true", help="a tenth of each row")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random moments")
    parser.add_argument("--cases", type=int, help="number of cases per row, overriding its own")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also writes the rows to FILE")
    parser.add_argument("--folder", type=Path, help="folder to work in, which is kept")
    parser.add_argument("--one", choices=rows, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        measure = getattr(import_module(rows[options.one]), options.one)
        row = measure(Options(options.quick, options.seed, options.cases))
        print(json.dumps(asdict(row)))
        return 0
    if unknown := set(options.rows) - rows.keys():
        parser.error(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(rows)}")
    found = {}
    with contextlib.ExitStack() as stack:
        folder = options.folder
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=TEMPORARY)))
        folder.mkdir(parents=True, exist_ok=True)
        environ = _environ(folder.absolute(), nice)
        for name in options.rows or rows:
            found[name] = _measure(script, name, options, environ)
    print("| test | must hold | measured |\n|---|---|---|")
    for row in found.values():
        print(
            f"| {row.test} | {row.wanted} | {'' if row.ok else '**falls short:** '}{row.measured} |"
        )
    if options.json:
        table = {name: asdict(row) for name, row in found.items()}
        options.json.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    return 0 if all(row.ok for row in found.values()) else 1


def _environ(folder: Path, nice: int) -> dict[str, str]:
    from jmlp.system import files

    os.nice(nice)
    keep = {name: value for name, value in os.environ.items() if not name.startswith("JMLP_")}
    path = os.pathsep.join(filter(None, [str(ROOT), str(HERE), os.environ.get("PYTHONPATH")]))
    return keep | {
        "JMLP_DATA": str(files.data_dir()),
        "JMLP_HOME": str(folder / "home"),
        "PYTHONPATH": path,
    }


def _measure(script: Path, name: str, options: argparse.Namespace, environ: dict[str, str]) -> Row:
    """Measures one row in a process of its own."""
    print(f"{name} …", file=sys.stderr, flush=True)
    arguments = ["--one", name, "--seed", str(options.seed)]
    arguments += ["--quick"] if options.quick else []
    arguments += ["--cases", str(options.cases)] if options.cases else []
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        env=environ,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=False,
    )
    if done.returncode != 0:
        row = Row(name, "", f"the script ended with code {done.returncode}", ok=False)
    else:
        row = Row(**json.loads(done.stdout.splitlines()[-1]))
    print(
        f"  {'ok' if row.ok else 'FALLS SHORT'}, {time.monotonic() - started:.0f} s: "
        f"{row.measured}",
        file=sys.stderr,
        flush=True,
    )
    return row
