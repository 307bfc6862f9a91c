#!/usr/bin/env python3
"""Measures jmlp and its peers on the same work, and prints a table.

    .venv/bin/python scripts/bench.py [ROW…] [--quick] [--json FILE] [--plot FILE]

Each peer is installed once, in an environment of its own under `.benchmark`.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmark import environments
from benchmark.environments import PEERS
from benchmark.growth import growth, plot
from benchmark.processes import gpu, memory, start, until, whole
from benchmark.rows import Figures, Options, alone, limit, machine, say, sweep_128, sweep_sizes
from benchmark.table import as_works, lines, ratios

from jmlp.results.serialization import strict

ROWS: dict[str, Callable[[Options], Figures]] = {
    "sweep_128": sweep_128,
    "sweep_sizes": sweep_sizes,
    "alone": alone,
    "limit": limit,
    "until": until,
    "start": start,
    "growth": growth,
    "whole": whole,
    "memory": memory,
    "gpu": gpu,
}


def main() -> None:
    """Measures the requested rows and prints them as Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--quick", action="store_true", help="one round, and less of each")
    parser.add_argument("--peers", help=f"of {', '.join(PEERS)}, with commas; default: all")
    parser.add_argument(
        "--with",
        dest="before",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="adds the results that an earlier call wrote with --json to the tables",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes every number to FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="plots the row growth to FILE")
    options = parser.parse_args()
    if unknown := set(options.rows) - ROWS.keys():
        parser.error(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    names = PEERS if options.peers is None else list(filter(None, options.peers.split(",")))
    if unknown := set(names) - PEERS.keys():
        parser.error(f"no such peer: {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    peers = tuple(PEERS[name] for name in names)
    rows = options.rows or ([] if options.before else ROWS)
    for peer in peers if rows else ():
        environments.python(peer)
    found: dict[str, Figures] = {}
    started = time.strftime("%Y-%m-%d %H:%M")
    for name in rows:
        say(f"{name} …")
        found[name] = ROWS[name](Options(options.quick, peers))
    document = as_json(started, found, options.before)
    for call in document["calls"]:
        print(f"{call['started']}, {call['machine']}: {', '.join(call['works'])}")
    print("", *lines(document["works"]), sep="\n")
    if options.json:
        text = json.dumps(strict(document), indent=2, allow_nan=False)
        options.json.write_text(text + "\n", encoding="utf-8")
    if options.plot and "growth" in document["works"]:
        plot(document["works"]["growth"], options.plot)


def _numbers(table: dict[str, Any]) -> dict[str, Any]:
    """Converts lists with infinities, which are texts in strict JSON, to numbers."""
    return {
        key: [float(v) for v in value] if isinstance(value, list) and "Infinity" in value else value
        for key, value in table.items()
    }


def as_json(started: str, found: dict[str, Figures], before: Sequence[Path]) -> dict[str, Any]:
    """Every number of this call, and those of earlier calls from their files.

    Raises:
        SystemExit: two calls measured the same row.
    """
    calls: list[dict[str, Any]] = []
    if found:
        calls.append({"machine": machine(), "started": started, "works": as_works(found)})
    for path in before:
        calls += json.loads(path.read_text(encoding="utf-8"), object_hook=_numbers)["calls"]
    works = {key: work for call in calls for key, work in call["works"].items()}
    if len(works) < sum(len(call["works"]) for call in calls):
        sys.exit("--with: two files contain the same row; leave one out")
    return {"calls": calls, "ratios": ratios(works), "works": works}


if __name__ == "__main__":
    main()
