"""Formats results as Markdown: one table of all programs, and one of jmlp alone."""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmark.environments import PEERS
from benchmark.rows import Figures

# The name of each work in the table of all programs.
COMPARED = {
    "sweep_128": "dropout sweep",
    **{f"sizes_{n}": f"batch {n}" for n in (16, 32, 64, 128, 256, 512, 1024, 2048)},
    "alone": "one run",
    "until": "98 %",
    "until_cold": "98 %, nothing compiled",
}

Measured = Mapping[str, Any]  # the JSON of one or several calls: works by key


def as_works(found: Mapping[str, Figures]) -> dict[str, Any]:
    """Every work under a key of its own: `sweep_128`, `sizes_16`, `until_cold`, `growth`."""
    works: dict[str, Any] = {}
    for row, figures in found.items():
        about = {k: v for k, v in asdict(figures).items() if k != "found"}
        if figures.series or not figures.found:
            works[row] = {**about, "found": figures.found}
            continue
        for work, by_program in figures.found.items():
            works[work] = {**about, "found": by_program}
    return works


def ratios(works: Measured) -> dict[str, dict[str, float]]:
    """The ratio of jmlp's speed to each peer's, by the keys of works that have peers."""
    found = {}
    for key, work in works.items():
        if not work["series"] and len(work["found"]) > 1:
            found[key] = {
                who: _ratio(work, values) for who, values in work["found"].items() if who != "jmlp"
            }
    return found


def _ratio(work: Measured, theirs: Sequence[float]) -> float:
    ours = statistics.median(work["found"]["jmlp"])
    other = statistics.median(theirs)
    return float(ours / other if work["more_is_better"] else other / ours)


def lines(works: Measured) -> Iterator[str]:
    """The lines of both tables."""
    compared = {key: works[key] for key in COMPARED if key in works}
    if compared:
        yield from _compared(compared)
        yield ""
    alone = {key: work for key, work in works.items() if key not in COMPARED}
    if alone:
        yield "| row | jmlp |"
        yield "|---|---|"
        yield from (f"| {key} | {_alone(work)} |" for key, work in alone.items())


def _compared(works: Measured) -> Iterator[str]:
    took_part = [w for w in ("jmlp", *PEERS) if any(w in work["found"] for work in works.values())]
    titles = ["jmlp" if who == "jmlp" else PEERS[who].title for who in took_part]
    yield "| | " + " | ".join(titles) + " |"
    yield "|---" * (len(titles) + 1) + "|"
    for key, work in works.items():
        cells = [_cell(work, who) for who in took_part]
        yield f"| {COMPARED[key]}, {work['unit']} | " + " | ".join(cells) + " |"


def _cell(work: Measured, who: str) -> str:
    values = work["found"].get(who)
    if values is None:
        return ""
    text = _number(values)
    if who == "jmlp":
        return f"**{text}**"
    return ", ".join(filter(None, [text, _times(work, who)]))


def _times(work: Measured, who: str) -> str:
    """How many times faster jmlp is; empty if the peer did not reach the accuracy."""
    ratio = _ratio(work, work["found"][who])
    return f"×{ratio:.2g}" if math.isfinite(ratio) else ""


def _number(values: Sequence[float]) -> str:
    """The median and the largest deviation from it; infinite values were not reached."""
    middle = statistics.median(values)
    reached = [value for value in values if math.isfinite(value)]
    missed = f"not reached {len(values) - len(reached)} times of {len(values)}"
    if not math.isfinite(middle):
        return missed
    spread = max(abs(value - middle) for value in reached) / middle
    text = f"{middle:.3g}" + (f" ±{100 * spread:.0f} %" if len(values) > 1 else "")
    return text if len(reached) == len(values) else f"{text}, {missed}"


def _alone(work: Measured) -> str:
    if work["series"]:
        return (
            "; ".join(
                f"{name} " + ", ".join(f"{x:,}: {y:.3g}" for x, y in _points(work["found"], name))
                for name in dict.fromkeys(point.split()[0] for point in work["found"])
            )
            + f" {work['unit']}"
        )
    text = f"{_number(work['found']['jmlp'])} {work['unit']}" if work["found"] else ""
    return "; ".join([*filter(None, [text]), *work["notes"]])


def _points(found: Measured, name: str) -> list[tuple[int, float]]:
    return [
        (int(point.split()[1]), statistics.median(by["jmlp"]))
        for point, by in found.items()
        if point.split()[0] == name
    ]
