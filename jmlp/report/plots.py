"""All plots of an experiment."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from jmlp.report.accuracy_plots import accuracy_caption, accuracy_figure, numeric_axis
from jmlp.report.cost_plots import By, cost_caption, cost_figure
from jmlp.report.document import Plot
from jmlp.report.style import plot_style, render
from jmlp.report.text import visible
from jmlp.results.search import staged
from jmlp.results.tables import ExperimentTable, experiment_table
from jmlp.results.tables.runs_by_configuration import Arm, collect
from jmlp.study.config import Experiment, Study
from jmlp.study.run_index import RunIndex
from jmlp.training.records import RunResult

MOST_SHOWN = 30  # configurations in a plot that gives each its own space

_AGAINST: dict[By, str] = {"epoch": "epochs", "step": "updates"}


@dataclass(frozen=True)
class Drawn:
    """A figure, and what is said of it."""

    figure: Figure
    name: str  # of its file, after that of the experiment
    title: str
    caption: str


def experiment_plots(
    experiment: Experiment, table: ExperimentTable, results: Sequence[RunResult], name: str
) -> list[Plot]:
    """The figures of an experiment as files; `name` is the prefix of the plots' names.

    Other arguments as in `figures`.
    """
    with plot_style():
        return [
            render(drawn.figure, f"{name}-{drawn.name}", drawn.title, drawn.caption)
            for drawn in figures(experiment, table, results)
        ]


def study_figures(study: Study, results: Sequence[RunResult]) -> list[Figure]:
    """The figures of all experiments of a study, in the order of its report."""
    index = RunIndex(results)
    study = staged(study, index)
    found = []
    with plot_style():
        for experiment in study.experiments:
            table = experiment_table(study, experiment, index)
            for drawn in figures(experiment, table, results):
                drawn.figure.set_label(drawn.title)
                found.append(drawn.figure)
    return found


def figures(
    experiment: Experiment, table: ExperimentTable, results: Sequence[RunResult]
) -> Iterator[Drawn]:
    """Costs against epochs, costs against updates, and accuracies; none if no run has finished.

    They are drawn in `plot_style`.

    Args:
        experiment: the experiment to plot.
        table: its result table.
        results: runs of the study, in any order.
    """
    arms = collect(experiment, results)
    if not any(arm.finished for arm in arms):
        return
    # The candidates of a search are in the order of their standing.
    shown = range(min(MOST_SHOWN, len(arms))) if experiment.search else _shown(arms)
    left_out = ""
    if len(shown) < len(arms):
        which = (
            "first in the table" if experiment.search else "with the lowest mean validation cost"
        )
        left_out = f" Shown are the {len(shown)} of {len(arms)} configurations {which}."
    title = visible(table.title)
    if any(run.costs for index in shown for run in arms[index].finished):
        chosen = [arms[index] for index in shown]
        for by, word in _AGAINST.items():
            caption = cost_caption(chosen, by) + left_out
            words = f"{title}: cost against {word}"
            yield Drawn(cost_figure(chosen, by), f"cost-against-{word}", words, caption)
    if numeric_axis(experiment):
        shown, left_out = range(len(arms)), ""
    chosen = [arms[index] for index in shown]
    rows = [table.rows[index] for index in shown]
    caption = accuracy_caption(chosen, rows) + left_out
    figure = accuracy_figure(experiment, chosen, rows)
    yield Drawn(figure, "accuracy", f"{title}: accuracy", caption)


def _shown(arms: Sequence[Arm]) -> Sequence[int]:
    """The indices of the configurations to show, in the order of the grid."""

    def rank(index: int) -> tuple[float, int]:
        cost = arms[index].validation_cost
        return (math.inf if cost is None else cost, -len(arms[index].finished))

    return sorted(sorted(range(len(arms)), key=rank)[:MOST_SHOWN])
