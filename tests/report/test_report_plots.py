"""Plots: what is drawn, by the figures' own objects; and that drawing leaves no trace."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.container import ErrorbarContainer
from report_runs import sizes_runs, sizes_study, with_costs
from table_runs import HP, diverged, finished

from jmlp.report import plots
from jmlp.report.accuracy_plots import accuracy_caption, accuracy_figure
from jmlp.report.cost_plots import By, cost_caption, cost_figure
from jmlp.report.document import Plot
from jmlp.report.style import plot_style
from jmlp.results.curves import mean_curve
from jmlp.results.tables import experiment_table
from jmlp.results.tables.runs_by_configuration import collect
from jmlp.study.config import Experiment, Study, configurations
from jmlp.training.records import RunResult

SIZES = sizes_study().experiments[0]


@pytest.fixture(autouse=True)
def _styled() -> Iterator[None]:
    with plot_style():
        yield


def accuracy_axes(experiment: Experiment, runs: Sequence[RunResult]) -> Axes:
    rows = experiment_table(Study("s", ()), experiment, runs).rows
    return accuracy_figure(experiment, collect(experiment, runs), rows).axes[0]


def drawn(experiment: Experiment, runs: Sequence[RunResult]) -> list[Plot]:
    table = experiment_table(Study("s", ()), experiment, runs)
    return plots.experiment_plots(experiment, table, runs, experiment.name)


def dots(axes: Axes) -> list[np.ndarray[Any, Any]]:
    """Offsets of the seeds, an array (n, 2) for each configuration."""
    return [np.asarray(c.get_offsets()) for c in axes.collections if isinstance(c, PathCollection)]


def marks(axes: Axes, marker: str) -> list[tuple[float, float]]:
    lines = [line for line in axes.lines if line.get_marker() == marker]
    return [(float(x), float(y)) for line in lines for x, y in np.asarray(line.get_xydata())]


def grid(axes: dict[str, tuple[Any, ...]], **changes: Any) -> Experiment:
    baseline = {name: values[0] for name, values in axes.items()}
    return replace(Experiment("grid", HP, axes, (0, 1), baseline), **changes)


def runs_of(experiment: Experiment, **changes: Any) -> list[RunResult]:
    """Costs and accuracies that get worse from one configuration to the next."""
    return [
        with_costs(
            finished(c.hyperparams, seed, 0.9 - i / 1000 + seed / 100, **changes), 2.3, 1 + i / 1000
        )
        for i, c in enumerate(configurations(experiment))
        for seed in experiment.seeds
    ]


# ---- curves


def test_a_band_is_the_t_interval_of_the_mean() -> None:
    # mean 2, s = 1, t(0.975; 2) = 4.302653: half-width 4.302653/√3 = 2.484138
    curve = mean_curve(
        [with_costs(finished(HP, i, 0.9), 1.0 + i).costs for i in range(3)], "validation_cost"
    )
    assert (curve.epoch.tolist(), curve.step.tolist(), curve.mean.tolist()) == ([0], [0], [2])
    assert (curve.low[0], curve.high[0]) == pytest.approx((-0.484138, 4.484138), abs=1e-6)


def test_a_mean_ends_when_fewer_than_half_of_the_seeds_are_in_training() -> None:
    lengths = [2, 3, 4, 5]
    runs = [with_costs(finished(HP, i, 0.9), *[1.0 + i] * n) for i, n in enumerate(lengths)]
    curve = mean_curve([run.costs for run in runs], "validation_cost")
    assert curve.epoch.tolist() == [0, 1, 2, 3]  # at epoch 3 two of four train, at 4 one
    assert curve.mean.tolist() == [2.5, 2.5, 3, 3.5]


def test_two_seeds_have_a_mean_and_no_band() -> None:
    curve = mean_curve(
        [with_costs(finished(HP, i, 0.9), 1.0 + i).costs for i in (0, 1)], "validation_cost"
    )
    assert curve.mean.tolist() == [1.5]
    assert np.isnan([curve.low, curve.high]).all()


def test_a_cost_that_is_not_finite_counts_as_none() -> None:
    costs = [(1.0, np.inf), (3.0, 2.0), (5.0, np.nan)]
    runs = [with_costs(finished(HP, i, 0.9), *c) for i, c in enumerate(costs)]
    assert mean_curve([run.costs for run in runs], "validation_cost").mean.tolist() == [3]


# ---- cost plots


@pytest.mark.parametrize("by", ["epoch", "step"])
def test_every_configuration_has_a_panel_with_its_own_mean(by: By) -> None:
    figure = cost_figure(collect(SIZES, sizes_runs()), by)
    assert [axes.get_title("left") for axes in figure.axes] == [
        "batch size 16",
        "batch size 64",
        "batch size 128",
    ]
    thick = [line for line in figure.axes[1].lines if line.get_linewidth() > 1]
    solid = [line for line in thick if line.get_linestyle() == "-"]
    first = 0 if by == "epoch" else 1  # zero updates have no place on a logarithmic axis
    x = np.array([0, 1, 2, 3]) * (1 if by == "epoch" else 100)
    assert np.asarray(solid[0].get_xdata()).tolist() == x[first:].tolist()
    assert np.asarray(solid[0].get_ydata()) == pytest.approx([2.5, 1.39, 1.39, 1.385][first:])


def test_training_and_validation_cost_differ_without_colour() -> None:
    (axes,) = cost_figure(collect(grid({}), runs_of(grid({}))), "epoch").axes
    thick = [line for line in axes.lines if line.get_linewidth() > 1]
    assert [line.get_linestyle() for line in thick] == ["-", "--"]


@pytest.mark.parametrize(("by", "unit"), [("epoch", 1), ("step", 100)])
def test_a_dot_marks_where_each_seed_stopped(by: By, unit: int) -> None:
    lengths = (2, 4, 7)
    runs = [
        with_costs(finished(HP, seed, 0.9), *[1.0 + seed] * n) for seed, n in enumerate(lengths)
    ]
    experiment = grid({}, seeds=(0, 1, 2))
    (axes,) = cost_figure(collect(experiment, runs), by).axes
    assert marks(axes, "o") == [(unit * (n - 1), 1.0 + seed) for seed, n in enumerate(lengths)]


@pytest.mark.parametrize(("by", "place"), [("epoch", 3), ("step", 150)])
def test_a_diverged_run_is_a_cross_at_its_place_and_no_curve(by: By, place: int) -> None:
    panel = cost_figure(collect(SIZES, sizes_runs()), by).axes[0]
    assert marks(panel, "x") == [(place, 1)]
    (cross,) = [line for line in panel.lines if line.get_marker() == "x"]
    assert cross.get_transform() is panel.get_xaxis_transform()  # 1 is the upper edge
    thin = [line for line in panel.lines if line.get_linewidth() == 0.5]
    assert len(thin) == 2  # the two seeds that finished


def test_more_configurations_than_fit_are_cut_to_those_of_the_lowest_cost_and_the_caption_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plots, "MOST_SHOWN", 2)
    experiment = grid({"optimizer": ("adam", "momentum", "sgd")})
    for plot in drawn(experiment, runs_of(experiment)):
        assert plot.caption.endswith(
            " Shown are the 2 of 3 configurations with the lowest mean validation cost."
        )
        assert b">optimizer momentum<" in plot.svg
        assert b">optimizer sgd<" not in plot.svg  # its costs are the highest


def test_configurations_without_a_finished_run_give_way_to_those_with_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plots, "MOST_SHOWN", 1)
    experiment = grid({"optimizer": ("adam", "sgd")})
    adam, sgd = (c.hyperparams for c in configurations(experiment))
    runs = [diverged(adam, 0, 1), diverged(sgd, 0, 1), finished(sgd, 1, 0.9)]
    (accuracy,) = drawn(experiment, runs)  # no costs were recorded
    assert b">optimizer sgd<" in accuracy.svg


# ---- accuracy plots


def test_every_seed_is_a_dot_and_a_diverged_run_is_none() -> None:
    found = dots(accuracy_axes(SIZES, sizes_runs()))
    assert [offsets[:, 1].tolist() for offsets in found] == [
        pytest.approx([80, 82]),
        pytest.approx([85, 86, 87]),
        pytest.approx([90, 91, 92]),
    ]


def test_batch_sizes_stand_by_their_logarithm() -> None:
    axes = accuracy_axes(SIZES, sizes_runs())
    assert axes.get_xticks().tolist() == [4, 6, 7]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["16", "64", "128"]
    assert axes.get_xlabel() == "batch size, logarithmic"


def test_drop_rates_stand_by_their_value() -> None:
    experiment = grid({"drop_rate": (0.0, 0.1, 0.5)})
    axes = accuracy_axes(experiment, runs_of(experiment))
    assert axes.get_xticks().tolist() == [0, 0.1, 0.5]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["none", "0.1", "0.5"]


def test_means_are_those_of_the_table() -> None:
    axes = accuracy_axes(SIZES, sizes_runs())
    bars = [c for c in axes.containers if isinstance(c, ErrorbarContainer)]
    assert [y for bar in bars for y in np.asarray(bar.lines[0].get_ydata())] == pytest.approx(
        [81, 86, 91]
    )


def test_the_original_has_a_mark_of_its_own_at_its_figure() -> None:
    ((x, y),) = marks(accuracy_axes(SIZES, sizes_runs()), "D")
    assert round(x) == 4  # log2 of 16
    assert y == pytest.approx(10.28)


def test_a_second_hyperparameter_makes_series_that_differ_without_colour() -> None:
    experiment = grid({"batch_norm": (False, True), "drop_rate": (0.0, 0.2, 0.4)})
    axes = accuracy_axes(experiment, runs_of(experiment))
    legend = axes.figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()] == [
        "batch norm no",
        "batch norm yes",
        "one seed",
        "mean, 95 % interval",
    ]
    assert len({line.get_marker() for line in legend.get_lines()[:2]}) == 2


def test_configurations_without_numbers_stand_one_below_the_other() -> None:
    experiment = grid({"hidden": ((20, 7, 5), (30,)), "patience": (1, None)})
    axes = accuracy_axes(experiment, runs_of(experiment))
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "hidden 20–7–5, patience 1",
        "hidden 20–7–5, patience none",
        "hidden 30, patience 1",
        "hidden 30, patience none",
    ]
    assert [len(offsets) for offsets in dots(axes)] == [2, 2, 2, 2]


def test_without_a_test_set_the_plot_is_of_validation_accuracy_and_says_so() -> None:
    runs = runs_of(grid({}), test_accuracy=None)
    rows = experiment_table(Study("s", ()), grid({}), runs).rows
    assert accuracy_axes(grid({}), runs).get_xlabel() == "validation accuracy, %"
    assert accuracy_caption(collect(grid({}), runs), rows).startswith("Validation accuracy; ")


# ---- captions


def test_the_captions_say_exactly_how_bands_and_marks_were_made() -> None:
    arms = collect(SIZES, sizes_runs())
    assert cost_caption(arms, "step") == (
        "Cost against updates, on a logarithmic axis. Thick lines are the mean over the seeds "
        "still in training, as long as these are at least half of those that finished. Thin lines "
        "are the validation cost of each seed, up to the dot where it stopped. The band is the "
        "95 % t-interval of the mean, from 3 seeds on. Grey lines are the mean validation cost of "
        "the other configurations. A cross marks where a run diverged; it enters no mean. The "
        "evaluation before the first update has no place on this axis."
    )
    rows = experiment_table(Study("s", ()), SIZES, sizes_runs()).rows
    assert accuracy_caption(arms, rows) == (
        "Test accuracy; every dot is one seed. Beside the dots of a configuration: their mean with "
        "its 95 % t-interval. Hollow diamonds: the original's figures, each of one run. Crosses, "
        "with a count: runs that diverged and so have no accuracy."
    )


def test_one_seed_has_no_band_no_mean_and_no_mention_of_them() -> None:
    experiment = grid({}, seeds=(0,))
    arms = collect(experiment, runs_of(experiment))
    rows = experiment_table(Study("s", ()), experiment, runs_of(experiment)).rows
    assert cost_caption(arms, "epoch") == "Cost against epochs. A dot marks where training stopped."
    assert accuracy_caption(arms, rows) == "Test accuracy; every dot is one seed."
    assert not accuracy_axes(experiment, runs_of(experiment)).containers


# ---- files


def test_the_same_runs_give_the_same_bytes_and_settings_stay_as_they_were() -> None:
    before = dict(matplotlib.rcParams)
    first = drawn(SIZES, sizes_runs())
    assert dict(matplotlib.rcParams) == before
    with matplotlib.rc_context({"xtick.major.pad": 30}):
        assert drawn(SIZES, sizes_runs()[::-1]) == first


def test_an_svg_keeps_text_as_text_and_no_date() -> None:
    for plot in drawn(SIZES, sizes_runs()):
        svg = plot.svg.decode()
        assert re.search(r"<text[^>]*>one seed</text>", svg)
        assert not re.search(r"dc:date|\d{4}-\d\d-\d\d", svg)


def test_an_experiment_of_diverged_runs_only_has_no_plot() -> None:
    runs = [diverged(c.hyperparams, seed, 1) for c in configurations(SIZES) for seed in SIZES.seeds]
    assert drawn(SIZES, runs) == []
