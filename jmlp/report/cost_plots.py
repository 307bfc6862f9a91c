"""Cost curves of an experiment: one small panel per configuration, all on the same axes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from jmlp.report import colours, style
from jmlp.results.curves import FEWEST_FOR_BAND, Curve, Floats, mean_curve
from jmlp.results.tables.runs_by_configuration import Arm
from jmlp.training.records import RunResult

By = Literal["epoch", "step"]

# name, colour, dashes
COSTS = {
    "validation_cost": ("validation cost", colours.VALIDATION, "-"),
    "training_cost": ("training cost", colours.TRAINING, (0, (3, 1.2))),
}
MOST_COLUMNS = 5
LOG_FROM = 4.0  # ratio of highest to lowest cost from which their axis is logarithmic
PANEL_HEIGHT, MARGIN = 1.7, 0.8  # inches


@dataclass(frozen=True)
class _Panel:
    label: str
    means: dict[str, Curve]  # by cost
    seeds: list[Curve]  # validation cost per seed
    diverged: list[RunResult]


def cost_figure(arms: Sequence[Arm], by: By) -> Figure:
    """Training and validation cost, one panel per configuration.

    Args:
        arms: the configurations; at least one has a finished run.
        by: the x axis: "epoch", or "step" for updates on a logarithmic axis.
    """
    panels = [_panel(arm, by) for arm in arms]
    rows = math.ceil(len(panels) / MOST_COLUMNS)
    columns = math.ceil(len(panels) / rows)
    layout = ConstrainedLayoutEngine(hspace=0.08, wspace=0.03)
    figure = style.ShownFigure(figsize=(style.WIDTH, PANEL_HEIGHT * rows + MARGIN), layout=layout)
    grid = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    _scale(grid[0], panels, by)
    for index, (axes, panel) in enumerate(zip(grid, panels, strict=False)):
        _draw(axes, panel, [p for p in panels if p is not panel], by)
        axes.set_title(style.wrapped(panel.label, 130 // columns))
        # If the last row is incomplete, panels above its gaps are the lowest of their column.
        axes.tick_params(labelbottom=index + columns >= len(panels))
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    figure.supxlabel("epoch" if by == "epoch" else "updates", color=colours.MUTED)
    figure.supylabel("cost, nats", color=colours.MUTED)
    style.add_legend(figure, _legend(panels))
    return figure


def cost_caption(arms: Sequence[Arm], by: By) -> str:
    """The caption of the cost figure of these configurations."""
    against = "epochs" if by == "epoch" else "updates, on a logarithmic axis"
    sentences = [f"Cost against {against}."]
    max_seeds = max(len(arm.finished) for arm in arms)
    if max_seeds > 1:
        sentences += [
            "Thick lines are the mean over the seeds still in training, as long as these are at "
            "least half of those that finished.",
            "Thin lines are the validation cost of each seed, up to the dot where it stopped.",
        ]
    else:
        sentences.append("A dot marks where training stopped.")
    if max_seeds >= FEWEST_FOR_BAND:
        sentences.append(
            f"The band is the 95 % t-interval of the mean, from {FEWEST_FOR_BAND} seeds on."
        )
    if len(arms) > 1:
        sentences.append("Grey lines are the mean validation cost of the other configurations.")
    if any(arm.diverged for arm in arms):
        sentences.append("A cross marks where a run diverged; it enters no mean.")
    if by == "step":
        sentences.append("The evaluation before the first update has no place on this axis.")
    return " ".join(sentences)


def _panel(arm: Arm, by: By) -> _Panel:
    def curve(runs: Sequence[RunResult], cost: str) -> Curve:
        whole = mean_curve([run.costs for run in runs], cost)
        return whole if by == "epoch" else whole.from_step(1)

    runs = arm.finished
    means = {cost: curve(runs, cost) for cost in COSTS}
    return _Panel(arm.label, means, [curve([run], "validation_cost") for run in runs], arm.diverged)


def _x(curve: Curve, by: By) -> Floats:
    return curve.epoch if by == "epoch" else curve.step


def _diverged_x(run: RunResult, by: By) -> float:
    return float((run.stopped_epoch if by == "epoch" else run.diverged_at) or 0)


def _draw(axes: Axes, panel: _Panel, others: Sequence[_Panel], by: By) -> None:
    for other in others:
        curve = other.means["validation_cost"]
        axes.plot(_x(curve, by), curve.mean, color=colours.GHOST, linewidth=0.7, zorder=1)
    if len(panel.seeds) > 1:
        thin: dict[str, Any] = {"color": colours.VALIDATION, "linewidth": 0.5, "alpha": 0.5}
        for curve in panel.seeds:
            axes.plot(_x(curve, by), curve.mean, zorder=2, **thin)
    for curve in panel.seeds:  # each ends where its seed stopped
        axes.plot(_x(curve, by)[-1:], curve.mean[-1:], zorder=3.5, **style.STOP)
    for cost, (_, color, dashes) in COSTS.items():
        curve = panel.means[cost]
        x = _x(curve, by)
        axes.fill_between(x, curve.low, curve.high, color=color, alpha=0.18, linewidth=0, zorder=2)
        axes.plot(x, curve.mean, color=color, linestyle=dashes, linewidth=1.4, zorder=3)
    for run in panel.diverged:
        axes.plot(
            [_diverged_x(run, by)],
            [1],
            **style.CROSS,
            transform=axes.get_xaxis_transform(),
            clip_on=False,
            zorder=4,
        )


def _scale(axes: Axes, panels: Sequence[_Panel], by: By) -> None:
    """Sets limits and ticks for all panels from means and seeds; bands may exceed them."""
    curves = [curve for panel in panels for curve in (*panel.means.values(), *panel.seeds)]
    costs = np.concatenate([curve.mean for curve in curves])
    low, high = float(costs.min()), float(costs.max())
    if low > 0 and high / low >= LOG_FROM:
        style.set_log(axes, "y", low, high, 7)
    else:
        margin = 0.05 * (high - low or abs(high) or 1)
        axes.set_ylim(low - margin, high + margin)
    crosses = [_diverged_x(run, by) for panel in panels for run in panel.diverged]
    x = np.concatenate([*(_x(curve, by) for curve in curves), crosses])
    if by == "epoch":
        axes.set_xlim(0, float(x.max()))
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    else:
        style.set_log(axes, "x", float(x.min()), float(x.max()), 4)


def _legend(panels: Sequence[_Panel]) -> list[Artist]:
    handles: list[Artist] = [style.legend_line(*cost) for cost in COSTS.values()]
    max_seeds = max(len(panel.seeds) for panel in panels)
    if max_seeds >= FEWEST_FOR_BAND:
        handles.append(Patch(color=colours.MUTED, alpha=0.25, linewidth=0, label="95 % interval"))
    if max_seeds > 1:
        handles.append(style.legend_line("one seed", colours.VALIDATION, linewidth=0.5))
    handles.append(style.legend_mark("stopped", **style.STOP))
    if len(panels) > 1:
        handles.append(style.legend_line("other configurations", colours.GHOST))
    if any(panel.diverged for panel in panels):
        handles.append(style.legend_mark("diverged", **style.CROSS))
    return handles
