"""Plots the accuracy of configurations: one dot per seed, with mean and interval beside them.

Configurations are plotted along a numeric hyperparameter if there is one, else one per line.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jmlp.report import colours, style
from jmlp.results.statistics import Interval
from jmlp.results.tables import Row
from jmlp.results.tables.runs_by_configuration import Arm
from jmlp.study.config import Experiment, label
from jmlp.study.rules import value_text

FEWEST_VALUES = 3  # of a hyperparameter, to plot along it
LOG_FROM = 20.0  # ratio of its largest to its smallest value from which its axis is logarithmic
MOST_LABELS = 14

# Positions within a configuration, as fractions of its width from its centre.
SEEDS, MEAN, ORIGINAL = (-0.3, -0.06), 0.1, 0.3

ORIGINAL_STYLE: dict[str, Any] = {
    "color": colours.INK,
    "linestyle": "none",
    "marker": "D",
    "markeredgewidth": 1.2,
    "markerfacecolor": colours.PAPER,
    "markersize": 5,
}


@dataclass(frozen=True)
class _Spot:
    """One configuration with its position and width on the configuration axis."""

    arm: Arm
    row: Row
    at: float
    width: float = 0.9
    series: int = 0


@dataclass(frozen=True)
class _Layout:
    spots: list[_Spot]
    ticks: list[tuple[float, str]]
    title: str = ""
    series: tuple[str, ...] = ("",)  # their labels
    horizontal: bool = False  # one configuration per line, accuracy on the x axis

    def xy(
        self, along: Sequence[float], accuracy: Sequence[float]
    ) -> tuple[Sequence[float], Sequence[float]]:
        """Positions and accuracies as x and y."""
        return (accuracy, along) if self.horizontal else (along, accuracy)


def has_test(rows: Sequence[Row]) -> bool:
    """Whether to plot test accuracy; without a test set it is validation accuracy."""
    return any(row.test_accuracy for row in rows)


def accuracy_figure(experiment: Experiment, arms: Sequence[Arm], rows: Sequence[Row]) -> Figure:
    """Test accuracy, or validation accuracy without a test set, of each configuration.

    Args:
        experiment: the experiment of the configurations.
        arms: the configurations; at least one has a finished run.
        rows: their rows of the result table, with means and intervals.
    """
    name = numeric_axis(experiment)
    layout = _along_axis(experiment, name, arms, rows) if name else _listed(arms, rows)
    height = 0.36 * len(arms) + 1.1 if layout.horizontal else 4.2
    figure = style.ShownFigure(figsize=(style.WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    test = has_test(rows)
    if not layout.horizontal:
        _draw_trend(axes, layout, test)
    for spot in layout.spots:
        _draw(axes, layout, spot, test)
    _set_axes(axes, layout, test)
    style.add_legend(figure, _legend(layout, test))
    return figure


def accuracy_caption(arms: Sequence[Arm], rows: Sequence[Row]) -> str:
    """The caption of the accuracy figure of these configurations."""
    test = has_test(rows)
    sentences = [f"{'Test' if test else 'Validation'} accuracy; every dot is one seed."]
    if any(row.n > 1 for row in rows):
        sentences.append("Beside the dots of a configuration: their mean with its 95 % t-interval.")
    if test and any(row.original for row in rows):
        sentences.append("Hollow diamonds: the original's figures, each of one run.")
    if any(arm.diverged for arm in arms):
        sentences.append("Crosses, with a count: runs that diverged and so have no accuracy.")
    return " ".join(sentences)


# ---- positions of the configurations


def numeric_axis(experiment: Experiment) -> str | None:
    """The hyperparameter to plot along: a numeric one of a grid, if it leaves few enough series."""
    if experiment.cells:
        return None
    preferred = ("batch_size", "drop_rate")
    for name in sorted(experiment.axes, key=lambda name: name not in preferred):
        values = experiment.axes[name]
        n_series = math.prod(len(v) for other, v in experiment.axes.items() if other != name)
        numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
        if numbers and len(values) >= FEWEST_VALUES and n_series <= len(colours.SERIES):
            return name
    return None


def _listed(arms: Sequence[Arm], rows: Sequence[Row]) -> _Layout:
    spots = [_Spot(arm, row, float(i)) for i, (arm, row) in enumerate(zip(arms, rows, strict=True))]
    ticks = [(spot.at, style.wrapped(spot.arm.label, 44)) for spot in spots]
    return _Layout(spots, ticks, horizontal=True)


def _along_axis(
    experiment: Experiment, name: str, arms: Sequence[Arm], rows: Sequence[Row]
) -> _Layout:
    """A layout along one hyperparameter, with a series per combination of the others."""
    values = sorted(experiment.axes[name])
    logarithmic = name == "batch_size" or (values[0] > 0 and values[-1] / values[0] >= LOG_FROM)
    positions = {value: math.log2(value) if logarithmic else float(value) for value in values}
    gap = min(b - a for a, b in pairwise(positions.values()))
    cells = [arm.configuration.cell for arm in arms]
    labels = [label({k: v for k, v in cell.items() if k != name}) for cell in cells]
    series = tuple(dict.fromkeys(labels))
    width = 0.85 * gap / len(series)
    spots = []
    for arm, row, cell, text in zip(arms, rows, cells, labels, strict=True):
        number = series.index(text)
        at = positions[cell[name]] + (number - (len(series) - 1) / 2) * width
        spots.append(_Spot(arm, row, at, width, number))
    stride = math.ceil(len(values) / MOST_LABELS)
    ticks = [(positions[value], value_text(value, name)) for value in values[::stride]]
    title = name.replace("_", " ") + (", logarithmic" if logarithmic else "")
    return _Layout(spots, ticks, title, series)


# ---- drawing


def _mean(spot: _Spot, test: bool) -> Interval | None:
    return spot.row.test_accuracy if test else spot.row.validation_accuracy


def _accuracies(spot: _Spot, test: bool) -> list[float]:
    """Of every finished run, in per cent."""
    found = [run.test_accuracy if test else run.validation_accuracy for run in spot.arm.finished]
    return [100 * accuracy for accuracy in found if accuracy is not None]


def _draw_trend(axes: Axes, layout: _Layout, test: bool) -> None:
    for number in range(len(layout.series)):
        means = [
            (spot.at + MEAN * spot.width, 100 * mean.mean)
            for spot in layout.spots
            if spot.series == number and (mean := _mean(spot, test))
        ]
        if means:
            x, y = zip(*sorted(means), strict=True)
            axes.plot(x, y, color=colours.SERIES[number], linewidth=0.8, alpha=0.35, zorder=1)


def _draw(axes: Axes, layout: _Layout, spot: _Spot, test: bool) -> None:
    color, marker = colours.SERIES[spot.series], style.MARKERS[spot.series]
    accuracies = _accuracies(spot, test)
    first, last = (spot.at + share * spot.width for share in SEEDS)
    step = (last - first) / max(1, len(accuracies) - 1)
    positions = [first + i * step for i in range(len(accuracies))]
    dots = axes.scatter(*layout.xy(positions, accuracies), s=20, color=color, marker=marker)
    dots.set(alpha=0.55, linewidths=0, zorder=3)
    mean = _mean(spot, test)
    if mean and mean.half_width is not None:
        x, y = layout.xy([spot.at + MEAN * spot.width], [100 * mean.mean])
        half = 100 * mean.half_width
        errors: dict[str, Any] = {"xerr" if layout.horizontal else "yerr": half}
        axes.errorbar(x, y, **errors, **_mean_style(color, marker), zorder=4)
    if test and spot.row.original:
        at, figure = spot.at + ORIGINAL * spot.width, 100 * spot.row.original.test_accuracy
        axes.plot(*layout.xy([at], [figure]), **ORIGINAL_STYLE, zorder=5)
    if spot.arm.diverged:
        # At the edge of the plot, because a diverged run has no accuracy.
        edge = axes.get_yaxis_transform() if layout.horizontal else axes.get_xaxis_transform()
        x, y = layout.xy([spot.at], [0.02])
        text = axes.text(x[0], y[0], f"✕ {len(spot.arm.diverged)}", transform=edge)
        text.set_color(colours.DIVERGED)
        text.set_verticalalignment("center" if layout.horizontal else "bottom")
        text.set_horizontalalignment("left" if layout.horizontal else "center")


def _set_axes(axes: Axes, layout: _Layout, test: bool) -> None:
    title = f"{'test' if test else 'validation'} accuracy, %"
    positions, labels = zip(*layout.ticks, strict=True)
    ends = [f(spot.at + f(-0.6, 0.6) * spot.width for spot in layout.spots) for f in (min, max)]
    low, high = _limits(layout.spots, test)
    if layout.horizontal:
        axes.set(
            yticks=positions, yticklabels=labels, ylim=ends[::-1], xlim=(low, high), xlabel=title
        )
        axes.tick_params(axis="y", labelcolor=colours.INK)
        axes.xaxis.set_major_locator(MaxNLocator(6))
    else:
        axes.set(xticks=positions, xticklabels=labels, xlim=ends, ylim=(low, high), ylabel=title)
        axes.set_xlabel(layout.title)
        axes.yaxis.set_major_locator(MaxNLocator(6))


def _limits(spots: Sequence[_Spot], test: bool) -> tuple[float, float]:
    """Limits with a margin around everything drawn; intervals are clipped to 0 to 100 %."""
    drawn = [accuracy for spot in spots for accuracy in _accuracies(spot, test)]
    for spot in spots:
        mean = _mean(spot, test)
        if mean and mean.low is not None and mean.high is not None:
            drawn += [max(0.0, 100 * mean.low), min(100.0, 100 * mean.high)]
        if test and spot.row.original:
            drawn.append(100 * spot.row.original.test_accuracy)
    margin = max(0.06 * (max(drawn) - min(drawn)), 0.5)
    return min(drawn) - margin, max(drawn) + margin


def _legend(layout: _Layout, test: bool) -> list[Artist]:
    rows = [spot.row for spot in layout.spots]
    color, marker = colours.SERIES[0], style.MARKERS[0]
    handles: list[Artist] = []
    if len(layout.series) > 1:
        color = colours.MUTED
        handles += [
            style.legend_mark(
                style.wrapped(text, 60), **_mean_style(colours.SERIES[i], style.MARKERS[i])
            )
            for i, text in enumerate(layout.series)
        ]
    dot = {"color": color, "marker": marker, "alpha": 0.55, "markeredgewidth": 0, "markersize": 4.5}
    handles.append(style.legend_mark("one seed", linestyle="none", **dot))
    if any(row.n > 1 for row in rows):
        handles.append(style.legend_mark("mean, 95 % interval", **_mean_style(color, marker)))
    if test and any(row.original for row in rows):
        handles.append(style.legend_mark("original", **ORIGINAL_STYLE))
    if any(spot.arm.diverged for spot in layout.spots):
        handles.append(style.legend_mark("diverged, how many", **style.CROSS))
    return handles


def _mean_style(color: str, marker: str) -> dict[str, Any]:
    return {"color": color, "marker": marker, "markersize": 5.5, "linewidth": 1.5}
