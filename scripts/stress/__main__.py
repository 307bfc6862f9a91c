"""Puts the store, the checkpoints and the worker under stress, and prints a table.

    .venv/bin/python scripts/stress [ROW…] [--quick] [--seed N] [--cases N] [--json FILE]

Each row is a process of its own, all of them share one folder of compiled programs. What is wrong
is said at once; the exit code is 1 if a figure falls short. `--quick` does a tenth of each.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from common import HERE, TEMPORARY, Options, Row

# Row by row: the module that measures it, in the order of the table.
ROWS = {
    "kill": "kills",
    "faults": "faults",
    "boundaries": "training",
    "damage": "damage",
    "many": "many",
    "nan": "training",
    "term": "terms",
    "same": "training",
    "cost": "cost",
    "full": "full",
}
ROOT = HERE.parent.parent
NICE = 5


def main() -> int:
    """Measures what was asked for."""
    if len(sys.argv) > 2 and sys.argv[1] == "--part":  # a process of a row
        _, _, module, function, *arguments = sys.argv
        getattr(import_module(module), function)(*arguments)
        return 0
    parser = argparse.ArgumentParser(prog="scripts/stress", description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--quick", action="store_true", help="a tenth of each")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    parser.add_argument("--cases", type=int, help="how many cases of each row, in place of its own")
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes the rows there too")
    parser.add_argument("--folder", type=Path, help="to work in, and to leave everything there")
    parser.add_argument("--one", choices=ROWS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        measure = getattr(import_module(ROWS[options.one]), options.one)
        row = measure(Options(options.quick, options.seed, options.cases))
        print(json.dumps(asdict(row)))
        return 0
    if unknown := set(options.rows) - ROWS.keys():
        parser.error(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    found = {}
    with contextlib.ExitStack() as stack:
        folder = options.folder
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=TEMPORARY)))
        folder.mkdir(parents=True, exist_ok=True)
        environ = _environ(folder.absolute())
        for name in options.rows or ROWS:
            found[name] = _measure(name, options, environ)
    print("| test | wanted | measured |\n|---|---|---|")
    for row in found.values():
        print(
            f"| {row.test} | {row.wanted} | {'' if row.ok else '**falls short:** '}{row.measured} |"
        )
    if options.json:
        table = {name: asdict(row) for name, row in found.items()}
        options.json.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    return 0 if all(row.ok for row in found.values()) else 1


def _environ(folder: Path) -> dict[str, str]:
    from jmlp import places

    os.nice(NICE)
    keep = {name: value for name, value in os.environ.items() if not name.startswith("JMLP_")}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return keep | {
        "JMLP_DATA": str(places.data_dir()),
        "JMLP_HOME": str(folder / "home"),
        "PYTHONPATH": path,
    }


def _measure(name: str, options: argparse.Namespace, environ: dict[str, str]) -> Row:
    """One row, by a process of its own."""
    print(f"{name} …", file=sys.stderr, flush=True)
    arguments = ["--one", name, "--seed", str(options.seed)]
    arguments += ["--quick"] if options.quick else []
    arguments += ["--cases", str(options.cases)] if options.cases else []
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(HERE), *arguments],
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


if __name__ == "__main__":
    sys.exit(main())
