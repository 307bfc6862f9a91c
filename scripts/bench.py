#!/usr/bin/env python3
"""Measures jmlp and its peers on the same work, and prints a table.

    .venv/bin/python scripts/bench.py [ROW…] [--quick] [--json FILE] [--plot FILE]

Peers are installed once, each in an environment of its own under `.benchmark`.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from benchmark import environments
from benchmark.environments import PEERS
from benchmark.growth import growth, plot
from benchmark.processes import gpu, memory, start, until, whole
from benchmark.rows import Figures, Options, alone, limit, machine, sweep_128, sweep_sizes, tell

from jmlp.records import strict

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
GOALS = {  # jmlp's speed over that of a peer
    "sweep_128": {"numpy": 3, "pytorch": 6, "keras": 5, "keras_steps": 5, "sklearn": 40},
    "alone": {"numpy": 1.8, "pytorch": 4},
    "until": {"keras": 1.7, "pytorch": 1.7},
}


def main() -> None:
    """Measures the rows that are asked for and prints them as Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--quick", action="store_true", help="one round, and less of each")
    parser.add_argument("--peers", help=f"of {', '.join(PEERS)}, with commas; default: all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes every number there")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draws the row growth there")
    options = parser.parse_args()
    if unknown := set(options.rows) - ROWS.keys():
        parser.error(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    names = PEERS if options.peers is None else list(filter(None, options.peers.split(",")))
    if unknown := set(names) - PEERS.keys():
        parser.error(f"no such peer: {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    peers = tuple(PEERS[name] for name in names)
    for peer in peers:
        environments.python(peer)
    found = {}
    started = time.strftime("%Y-%m-%d %H:%M")
    for name in options.rows or ROWS:
        tell(f"{name} …")
        found[name] = ROWS[name](Options(options.quick, peers))
    print(f"{machine()}; {started}\n")
    print("| row | who | median (lowest to highest) | jmlp is faster by |\n|---|---|---|---|")
    for name, figures in found.items():
        print_row(name, figures)
    if options.json:
        document = strict(as_json(started, found))
        options.json.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n")
    if options.plot and "growth" in found:
        plot(found["growth"], options.plot)


def print_row(name: str, figures: Figures) -> None:
    """One line for each work and who did it; for each series, where works are such."""
    if figures.series:
        for series in dict.fromkeys(work.split()[0] for work in figures.found):
            points = ", ".join(f"{x:,}: {y:.3g}" for x, y, *_ in figures.of_series(series))
            print(f"| {name}, {series} | jmlp | {points} {figures.unit} | |")
        return
    for work, by_whom in figures.found.items():
        for who, values in by_whom.items():
            middle = statistics.median(values)
            spread = f" ({min(values):.3g} to {max(values):.3g})" if len(values) > 1 else ""
            ratio = ""
            if who != "jmlp":
                goal = GOALS.get(name, {}).get(who)
                ratio = f"{figures.ratio(work, who):.2g}"
                ratio += f" (wanted: {goal})" if goal else ""
            title = "jmlp" if who == "jmlp" else PEERS[who].title
            print(f"| {name}, {work} | {title} | {middle:.3g}{spread} {figures.unit} | {ratio} |")
    for note in figures.notes:
        print(f"| {name} | | {note} | |")


def as_json(started: str, found: dict[str, Figures]) -> dict[str, object]:
    """Every number, and ratios by row (and work, where there are several) and peer."""
    ratios: dict[str, dict[str, float]] = {}
    for name, figures in found.items():
        for work, by_whom in figures.found.items():
            key = name if len(figures.found) == 1 else f"{name}_{work}"
            key = {"sweep_sizes": f"sweep_{work}"}.get(name, key)
            ratios[key] = {who: figures.ratio(work, who) for who in by_whom if who != "jmlp"}
    rows = {name: asdict(figures) for name, figures in found.items()}
    return {"machine": machine(), "started": started, "ratios": ratios, "rows": rows}


if __name__ == "__main__":
    main()
