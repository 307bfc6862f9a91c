"""A picture of curves that a screen shows: the same series, part of the x axis, and scale."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from jmlp.errors import ConfigError
from jmlp.report import colours, style
from jmlp.report.document import Plot
from jmlp.results.curves import Floats, drawn_range
from jmlp.results.drawing import Drawing, Line, Panel
from jmlp.system import files

COLOURS = (*colours.SERIES, colours.DIVERGED, colours.MUTED)
DASHES: tuple[Any, ...] = ("-", (0, (3, 1.2)), (0, (1, 1.5)), (0, (5, 1.2, 1, 1.2)))
PANEL_HEIGHT, MARGIN = 3.0, 0.8  # inches
PADDING = 0.05  # above and below, as a share of the span of values


def write_picture(drawing: Drawing, target: Path, *, replace: bool) -> None:
    """Writes a picture; the suffix says whether it is an SVG or a PNG.

    Raises:
        ConfigError: the suffix is another one.
        StoreError: the file may not or cannot be written.
    """
    if target.suffix not in (".svg", ".png"):
        raise ConfigError(f"{target}: a picture is an .svg or a .png; give one of these suffixes")
    path = files.user_file(target, "the picture", force=replace)
    plot = draw(drawing)
    files.write_atomically(path, plot.svg if target.suffix == ".svg" else plot.png)


def draw(drawing: Drawing) -> Plot:
    """Draws the panels below each other, and renders them."""
    with style.plot_style():
        n = len(drawing.panels)
        layout = ConstrainedLayoutEngine(hspace=0.06)
        figure = style.ShownFigure(figsize=(style.WIDTH, PANEL_HEIGHT * n + MARGIN), layout=layout)
        grid = list(figure.subplots(n, 1, squeeze=False).flat)
        for axes, panel in zip(grid, drawing.panels, strict=True):
            _draw(axes, panel)
        grid[0].set_title(style.wrapped(drawing.title, 110), pad=14)
        style.add_legend(figure, [_legend(line) for line in drawing.panels[0].lines])
        return style.render(figure, "curves", drawing.title, "")


def _draw(axes: Axes, panel: Panel) -> None:
    found, low_edges = [np.empty(0)], [np.empty(0)]
    for line in panel.lines:
        x = np.array(line.x, np.float64)
        seen = (x >= panel.left) & (x <= panel.right)
        colour = COLOURS[line.style % len(COLOURS)]
        if line.low is not None and line.high is not None:
            low, high = (np.clip(bound, *panel.bounds) for bound in (line.low, line.high))
            axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0, zorder=2)
            found.append(high[seen])
            low_edges.append(low[seen])
        values = _drawable(np.array(line.values, np.float64), panel.log)
        dashes = DASHES[line.style % len(DASHES)]
        # A dot shows a value between two gaps, through which no line goes.
        axes.plot(x, values, color=colour, linestyle=dashes, linewidth=1.4, zorder=3)
        axes.plot(x, _alone(values), ".", color=colour, markersize=4, zorder=3)
        found.append(values[seen])
    drawn = drawn_range(np.concatenate(found), np.concatenate(low_edges), panel.log)
    _scale(axes, drawn, panel.log)
    axes.set_xlim(panel.left, panel.right)
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    axes.set_xlabel(panel.x_title)
    axes.set_ylabel(f"{panel.title}{', logarithmic' if panel.log else ''}")
    for position, text in panel.marks:
        if panel.left <= position <= panel.right:
            axes.axvline(position, color=colours.GHOST, linewidth=0.8, linestyle=":", zorder=1)
            axes.annotate(
                style.wrapped(text, 40),
                (position, 1.0),
                (0, 2),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="center",
                va="bottom",
                color=colours.MUTED,
                fontsize=7.5,
            )


def _drawable(values: Floats, log: bool) -> Floats:
    """The values, with NaN for those that have no place on the axis."""
    values = np.asarray(values, np.float64)
    return np.where(np.isfinite(values) & ((values > 0) | (not log)), values, np.nan)


def _alone(values: Floats) -> Floats:
    """The values that are between two gaps; all others are NaN."""
    known = np.isfinite(np.concatenate([[np.nan], values, [np.nan]]))
    return np.where(known[:-2] | known[2:], np.nan, values)


def _scale(axes: Axes, drawn: tuple[float, float] | None, log: bool) -> None:
    """Sets the limits of the values; None: there are no values."""
    if drawn is None:
        axes.set_yticks([])
        return
    low, high = drawn
    if log:
        style.set_log(axes, "y", low, high, 7)
    else:
        room = PADDING * (high - low or abs(high) or 1)
        axes.set_ylim(low - room, high + room)


def _legend(line: Line) -> Any:
    colour, dashes = COLOURS[line.style % len(COLOURS)], DASHES[line.style % len(DASHES)]
    return style.legend_line(style.wrapped(line.name, 40), colour, dashes)
