"""The style of all plots, and rendering to bytes; matplotlib's own settings are not changed."""

import io
import math
import re
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import matplotlib.style
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from jmlp.report.colours import DIVERGED, GRID, INK, MUTED, PAPER, VALIDATION
from jmlp.report.document import Plot
from jmlp.report.text import visible

MARKERS = ("o", "s", "^", "v")
WIDTH = 10.0  # inches; the width of the page
PNG_DPI = 150
SCREEN_DPI = 100
FONT_SIZE = 8.5  # points
CROSS: dict[str, Any] = {
    "color": DIVERGED,
    "linestyle": "none",
    "marker": "x",
    "markeredgewidth": 1.3,
    "markersize": 5,
}

STOP: dict[str, Any] = {
    "color": VALIDATION,
    "linestyle": "none",
    "linewidth": 0,
    "marker": "o",
    "markeredgewidth": 0,
    "markersize": 2.6,
}

_STYLE: dict[str, Any] = {
    "axes.edgecolor": MUTED,
    "axes.facecolor": PAPER,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelcolor": MUTED,
    "axes.labelsize": FONT_SIZE,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlepad": 5,
    "axes.titlesize": FONT_SIZE,
    "figure.facecolor": PAPER,
    "figure.labelsize": FONT_SIZE,
    "font.family": "DejaVu Sans",  # ships with matplotlib, so that a PNG is the same everywhere
    "font.size": FONT_SIZE,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.fontsize": FONT_SIZE,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.solid_capstyle": "round",
    "savefig.facecolor": PAPER,
    "svg.fonttype": "none",  # text stays text: it can be searched, copied and read aloud
    "svg.hashsalt": "jmlp",  # the same plot has the same bytes
    "text.color": INK,
    "text.parse_math": False,  # names may contain dollar signs
    "xtick.color": MUTED,
    "xtick.labelsize": 8,
    "xtick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.color": MUTED,
    "ytick.labelsize": 8,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
}


class ShownFigure(Figure):
    """A figure that a notebook shows, though pyplot does not know it."""

    def _repr_png_(self) -> bytes:
        png = io.BytesIO()
        with plot_style():
            self.savefig(png, format="png", dpi=SCREEN_DPI)
        return png.getvalue()


@contextmanager
def plot_style() -> Iterator[None]:
    """Applies the settings for creating and saving figures, and restores the previous ones."""
    with matplotlib.style.context(_STYLE, after_reset=True):
        yield


def render(figure: Figure, name: str, title: str, caption: str) -> Plot:
    """Render a figure as PNG and SVG; must be called within `plot_style`."""
    png, svg = io.BytesIO(), io.BytesIO()
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None, "Title": title})
    figure.set_layout_engine("none")  # already laid out by the first savefig
    figure.savefig(png, format="png", dpi=PNG_DPI, metadata={"Title": title})
    return Plot(name, title, caption, png.getvalue(), _compact(svg.getvalue()))


def _compact(svg: bytes) -> bytes:
    """Rounds coordinates to 0.01 points, which halves the file, and adds fallback fonts."""
    svg = re.sub(rb' d="[^"]*"', lambda path: re.sub(rb"(\.\d\d)\d+", rb"\1", path[0]), svg)
    return svg.replace(b"'DejaVu Sans'", b"'DejaVu Sans', Verdana, sans-serif")


def wrapped(text: str, width: int) -> str:
    """Wraps a name to at most three lines, so that a long one does not displace the plot."""
    return textwrap.fill(visible(text), width, max_lines=3, placeholder=" …")


def set_log(axes: Axes, which: Literal["x", "y"], low: float, high: float, max_ticks: int) -> None:
    """Make an axis logarithmic from `low` > 0 to `high`, with a margin and plain tick labels."""
    low, high = low / 1.1, high * 1.1
    axes.set(**{f"{which}scale": "log", f"{which}lim": (low, high)})
    axis = axes.xaxis if which == "x" else axes.yaxis
    ticks = log_ticks(low, high, max_ticks)
    axis.set_ticks(ticks, [number_text(tick) for tick in ticks])
    axis.set_ticks([], minor=True)


def log_ticks(low: float, high: float, max_ticks: int) -> list[float]:
    """At most about `max_ticks` round numbers between two positive ones, roughly evenly spaced."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for steps in ((1, 2, 5), (1, 3), (1,)):
        numbers = [m * 10.0**e for e in exponents for m in steps]
        ticks = [number for number in numbers if low <= number <= high]
        if len(ticks) <= max_ticks:
            break
    return ticks[:: math.ceil(len(ticks) / max_ticks) or 1]


def number_text(number: float) -> str:
    """A tick's label: `0.05`, `2`, `10,000`."""
    return f"{number:,.12g}"


def add_legend(figure: Figure, handles: Sequence[Artist]) -> None:
    """Adds a legend above all axes, on one line if it fits."""
    lengths = [len(str(handle.get_label())) + 8 for handle in handles]
    columns = len(handles) if sum(lengths) <= 150 else max(1, 140 // max(lengths))
    figure.legend(handles=handles, loc="outside upper left", ncols=columns)


def legend_line(label: str, color: str, linestyle: Any = "-", linewidth: float = 1.4) -> Line2D:
    """A legend entry for a line."""
    return Line2D([], [], color=color, linestyle=linestyle, linewidth=linewidth, label=label)


def legend_mark(label: str, **mark: Any) -> Line2D:
    """A legend entry for a marker."""
    return Line2D([], [], label=label, **mark)
