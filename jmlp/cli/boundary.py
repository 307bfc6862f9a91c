"""`jmlp boundary`: what networks make of the plane of their two inputs, as text."""

import math
import os
import shutil
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from jmlp.cli.hardware import Hardware
from jmlp.cli.output import Output
from jmlp.cli.runs import RUNS
from jmlp.cli.store_option import StoreOption, find
from jmlp.errors import ConfigError, StoreError
from jmlp.study.rules import plain
from jmlp.system.streams import as_written

if TYPE_CHECKING:
    from jmlp.inspection.boundary_records import Boundary
    from jmlp.store import RunRow
    from tui.views.boundary import Pictured

WIDTH, HEIGHT = 80, 24  # of the picture where the output is no terminal
MOST_ROWS = 40


def boundary(
    runs: Annotated[list[str], RUNS],
    /,
    *,
    epoch: Annotated[
        float | None,
        Parameter(help="The stored network nearest to this epoch; default: the one that is kept."),
    ] = None,
    disagreement: Annotated[
        bool,
        Parameter(negative=(), help="Of several runs, where they disagree instead of their mean."),
    ] = False,
    part: Annotated[
        Literal["training", "validation", "none"],
        Parameter(help="The examples that are drawn."),
    ] = "training",
    unit: Annotated[
        list[int] | None,
        Parameter(
            help="A unit of the first layer whose line Z = 0 is drawn; may be given several times.",
            negative=(),
        ),
    ] = None,
    at: Annotated[
        str | None,
        Parameter(
            help="X,Y: print the probabilities at the nearest point of the grid.",
            allow_leading_hyphen=True,
        ),
    ] = None,
    grid: Annotated[int, Parameter(help="Values of each input in the grid.")] = 128,
    store: StoreOption = StoreOption(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> None:
    """Print the decision boundary of a run whose data have two numerical inputs.

    Of several runs, the mean of their probabilities at each point; a diverged run has no part in
    it. With --json, the probabilities at all points of the grid.
    """
    place = None if at is None else _place(at)
    if grid < 2:
        raise ConfigError(f"--grid: must be at least 2, got {grid}")
    with store.open(viewer=True) as opened:
        rows = find(opened, runs)
        if not rows:
            raise StoreError(f"{opened.folder}: there are no runs yet")
    Hardware(device="cpu", cores=1).start(out.say)
    found = _computed(rows, store, grid, out)
    if (n := min(len(one.x) for one in found)) < grid:
        out.say(f"note: --grid {grid:,}: {n:,} values of each input are the most for these runs")
    if place is not None:
        _check_inside(place, found[0], rows)
    if len(found) > 1:
        left_out = [one.run_id[:8] for one in found if one.diverged_at is not None]
        if left_out:
            out.say(f"left out, since they have diverged: {', '.join(left_out)}")
        found = [one for one in found if one.diverged_at is None]
    if not found:
        raise ConfigError("boundary: every one of these runs has diverged: give one of them")
    if disagreement and len(found) < 2:
        raise ConfigError("--disagreement: needs several runs that have not diverged")
    from tui.views.boundary import pictured

    mode: Any = "seed" if len(found) == 1 else "disagreement" if disagreement else "mean"
    shown = pictured(found, epoch, mode)
    _check_units(unit or [], shown)
    if out.json:
        out.print_json(_document(shown, place))
        return
    for line in _lines(shown, epoch, part, unit or [], place):
        print(as_written(line))


def _place(text: str) -> tuple[float, float]:
    try:
        x, y = map(float, text.split(","))
    except ValueError:
        raise ConfigError(f"--at: must be X,Y, as in --at 0.5,-1, got {plain(text)}") from None
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ConfigError(f"--at: must be two finite numbers, got {plain(text)}")
    return x, y


def _check_inside(place: tuple[float, float], shown: "Boundary", rows: "list[RunRow]") -> None:
    """Checks that a place is in the plane: elsewhere, the nearest point says nothing of it.

    Raises:
        ConfigError: it is outside.
    """
    for value, name, values in zip(place, shown.columns, (shown.x, shown.y), strict=True):
        low, high = float(values[0]), float(values[-1])
        if not low <= value <= high:
            numbers = ",".join(f"{number:g}" for number in place)
            raise ConfigError(
                f"--at {numbers}: {name} is drawn from {low:.3g} to {high:.3g}; the networks "
                f"answer for any place: jmlp predict {rows[0].run_id[:8]} -- {numbers}"
            )


def _computed(
    rows: "list[RunRow]", stored: StoreOption, grid: int, out: Output
) -> "list[Boundary]":
    """The boundaries of some runs.

    Raises:
        DataError: the data cannot be loaded, have changed, or have other inputs than two numbers.
        StoreError: a run has no networks.
    """
    from jmlp.inspection.boundary import draw
    from jmlp.inspection.compute import data_of
    from jmlp.store import networks

    with stored.open(viewer=True) as store:
        found = [networks.read(store, row.run_id) for row in rows]
    return [draw(one, data_of(one, out.say), grid) for one in found]


def _check_units(units: list[int], shown: "Pictured") -> None:
    n_units = shown.first.lines.shape[1]
    if units and shown.mode != "seed":
        raise ConfigError("--unit: the units are those of one run: give one")
    for unit in units:
        if not 0 <= unit < n_units:
            raise ConfigError(
                f"--unit: the units of the first layer are 0 to {n_units - 1}, got {unit}"
            )


def _lines(
    shown: "Pictured",
    epoch: float | None,
    part: Literal["training", "validation", "none"],
    units: list[int],
    place: tuple[float, float] | None,
) -> Iterator[str]:
    """The picture, what its signs mean, and what is known at the place."""
    from tui.charts.figure import Look
    from tui.charts.glyphs import glyphs_of
    from tui.charts.plane import draw
    from tui.views import boundary as views

    first = shown.first
    yield f"run {', '.join(one.run_id[:8] for one in shown.boundaries)}"
    yield views.about(shown, epoch)
    terminal = shutil.get_terminal_size((WIDTH, HEIGHT)) if sys.stdout.isatty() else None
    width = WIDTH if terminal is None else max(WIDTH, terminal.columns)
    examples = None if part == "none" else shown.examples(part)
    figure = draw(
        shown.surface,
        first.columns,
        width,
        min(MOST_ROWS, HEIGHT * width // WIDTH),
        examples,
        [shown.lines()[unit] for unit in units],
        None if place is None else first.at(*first.nearest(*place)),
        Look(glyphs_of(os.environ), colours=False),
    )
    assert figure is not None
    yield from figure.canvas.text()
    yield ""
    yield views.legend(shown, examples is not None)
    if shown.mode == "disagreement":
        share = 100 * float((shown.share > 0).mean())
        yield f"they do not all agree in {share:.0f} % of the plane"
    if part != "none":
        yield views.mistakes_text(shown, part)
    for unit in units:
        yield views.line_text(shown, unit)
    if place is not None:
        yield f"at the nearest point of the grid, {views.point_text(shown, *first.nearest(*place))}"


def _document(shown: "Pictured", place: tuple[float, float] | None) -> dict[str, Any]:
    """Everything as JSON; a number that is not finite is null."""
    from tui.views.boundary import PARTS

    first = shown.first
    document: dict[str, Any] = {
        "runs": [one.run_id for one in shown.boundaries],
        "epochs": [one.epochs[e] for one, e in zip(shown.boundaries, shown.indices, strict=True)],
        "diverged_at": first.diverged_at if shown.mode == "seed" else None,
        "columns": list(first.columns),
        "classes": list(first.class_names),
        "x": first.x.tolist(),
        "y": first.y.tolist(),
        # By y, x and class.
        "probability": _finite(shown.probability.tolist()),
        "disagreement": shown.share.tolist(),  # by y and x
    }
    if shown.mode == "seed":
        document["lines"] = [
            dict(zip("abc", _finite(list(one.line)), strict=True)) for one in shown.lines()
        ]
    examples = {}
    for part in PARTS:
        found = shown.examples(part)
        examples[part] = {
            "places": found.places.tolist(),
            "labels": found.labels.tolist(),
            "misclassified": found.wrong.tolist(),
        }
    document["examples"] = examples
    if place is not None:
        ix, iy = first.nearest(*place)
        document["at"] = {
            "place": list(first.at(ix, iy)),
            "probability": _finite(shown.probability[iy, ix].tolist()),
        }
    return document


def _finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return value if math.isfinite(value) else None
