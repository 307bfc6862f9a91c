"""All plots of an experiment."""

import math
from collections.abc import Sequence

from jmlp.report.accuracy_plots import accuracy_caption, accuracy_figure, numeric_axis
from jmlp.report.cost_plots import By, cost_caption, cost_figure
from jmlp.report.document import Plot
from jmlp.report.style import plot_style, render
from jmlp.report.text import visible
from jmlp.results.tables import ExperimentTable
from jmlp.results.tables.runs_by_configuration import Arm, collect
from jmlp.study.config import Experiment
from jmlp.training.records import RunResult

MOST_SHOWN = 30  # configurations in a plot that gives each its own space

_AGAINST: dict[By, str] = {"epoch": "epochs", "step": "updates"}


def experiment_plots(
    experiment: Experiment, table: ExperimentTable, results: Sequence[RunResult], name: str
) -> list[Plot]:
    """Costs against epochs, costs against updates, and accuracies; empty if no run has finished.

    Args:
        experiment: the experiment to plot.
        table: its result table.
        results: runs of the study, in any order.
        name: prefix of the plots' names.
    """
    arms = collect(experiment, results)
    if not any(arm.finished for arm in arms):
        return []
    # The candidates of a search are in the order of their standing.
    shown = range(min(MOST_SHOWN, len(arms))) if experiment.search else _shown(arms)
    left_out = ""
    if len(shown) < len(arms):
        which = (
            "first in the table" if experiment.search else "with the lowest mean validation cost"
        )
        left_out = f" Shown are the {len(shown)} of {len(arms)} configurations {which}."
    title = visible(table.title)
    plots = []
    with plot_style():
        if any(run.costs for index in shown for run in arms[index].finished):
            chosen = [arms[index] for index in shown]
            for by, word in _AGAINST.items():
                caption = cost_caption(chosen, by) + left_out
                figure = cost_figure(chosen, by)
                file = f"{name}-cost-against-{word}"
                plots.append(render(figure, file, f"{title}: cost against {word}", caption))
        if numeric_axis(experiment):
            shown, left_out = range(len(arms)), ""
        chosen = [arms[index] for index in shown]
        rows = [table.rows[index] for index in shown]
        caption = accuracy_caption(chosen, rows) + left_out
        figure = accuracy_figure(experiment, chosen, rows)
        plots.append(render(figure, f"{name}-accuracy", f"{title}: accuracy", caption))
    return plots


def _shown(arms: Sequence[Arm]) -> Sequence[int]:
    """The indices of the configurations to show, in the order of the grid."""

    def rank(index: int) -> tuple[float, int]:
        cost = arms[index].validation_cost
        return (math.inf if cost is None else cost, -len(arms[index].finished))

    return sorted(sorted(range(len(arms)), key=rank)[:MOST_SHOWN])
