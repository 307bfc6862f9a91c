"""The layout of result tables in the app."""

from dataclasses import replace
from typing import Any

import pytest
from rich.cells import cell_len
from table_runs import HP, SEEDS, SPREAD, STUDY, diverged, grid, grid_runs, runs, shifted, size
from tui_tables import FULL, hostile, table

from jmlp.results.tables import ExperimentTable, experiment_table, labelled
from jmlp.study.config import Experiment, configurations
from jmlp.training.records import RunResult
from tui.text import natural_key
from tui.views.result_rows import Sort, join, next_sort, order
from tui.views.results import aligned, fold, form, page, sentences


def text(made: ExperimentTable, width: int, sort: Sort | None = None, at: str = "") -> str:
    """Draws a page as text, with cells of several lines side by side."""
    shown = page(made, width, sort, at)
    headers = tuple(column.header for column in shown.columns)
    lines = []
    for row in (headers, *(line.cells for line in shown.lines)):
        cells = [cell.split("\n") for cell in row]
        for i in range(max(map(len, cells))):
            parts = [
                cell[i] if i < len(cell) else " " * column.width
                for cell, column in zip(cells, shown.columns, strict=True)
            ]
            lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)


# ---- texts


def test_decimal_points_are_aligned() -> None:
    assert aligned(["92.31 ± 0.84", "9.50", "–", "88.00 ± 10.25"]) == [
        "92.31 ±  0.84",
        " 9.50        ",
        "    –        ",
        "88.00 ± 10.25",
    ]


def test_an_interval_in_brackets_moves_no_number_after_plus_minus() -> None:
    assert aligned(["80.42 ± 5.13", "32.56 (0.00–65.32)", "88.00 ± 11.22"]) == [
        "80.42 ±  5.13     ",
        "32.56 (0.00–65.32)",
        "88.00 ± 11.22     ",
    ]


def test_epochs_keep_their_text_and_medians_are_aligned() -> None:
    assert aligned(["45, 34–77", "–", "≥ 80, 60–100 (limit)", "100 (limit)"]) == [
        "  45, 34–77         ",
        "   –                ",
        "≥ 80, 60–100 (limit)",
        " 100 (limit)        ",
    ]


def test_text_is_wrapped_by_columns_of_the_terminal() -> None:
    assert fold("drop rate 0.5 (baseline, best)", 18) == ["drop rate 0.5", "(baseline, best)"]
    assert fold("数据数据数据", 4) == ["数据", "数据", "数据"]


def test_numbers_in_labels_are_sorted_by_value() -> None:
    labels = ["batch size 128", "batch size 16", "rate 1e-05", "rate 0.001"]
    assert sorted(labels, key=natural_key) == [labels[1], labels[0], labels[2], labels[3]]


# ---- pages


def test_first_page_of_80_columns_has_accuracy_difference_and_verdict() -> None:
    assert text(table(FULL), 80) == (
        "                               test  difference,\n"
        "configuration            accuracy %       points  verdict\n"
        "batch size 16          90.00 ± 2.16        -2.00  lower\n"
        "batch size 64 (best)   92.05 ± 2.75        +0.05  not settled (about 23 seeds)\n"
        "batch size 128         92.00 ± 1.96\n"
        "(baseline)"
    )


def test_half_filled_table_says_how_many_seeds_have_ended() -> None:
    assert text(table(FULL[:7]), 80) == (
        "                                           test  difference,\n"
        "configuration               seeds    accuracy %       points  verdict\n"
        "batch size 16                   5  90.00 ± 2.16            –  too few pairs\n"
        "batch size 64              2 of 5  89.95 ± 8.89            –  too few pairs\n"
        "batch size 128 (baseline)  0 of 5      –"
    )


def test_columns_about_the_original_have_their_own_page() -> None:
    assert text(table(FULL), 80, at="original is") == (
        "                                                  seeds\n"
        "                           prediction  original   below  original\n"
        "configuration              interval %  is            it   stopped\n"
        "batch size 16              –           –              –         –\n"
        "batch size 64 (best)   85.32 to 98.78  inside    0 of 5        13\n"
        "batch size 128         87.19 to 96.81  inside    3 of 5        45\n"
        "(baseline)"
    )


def test_accuracy_of_the_original_is_beside_ours() -> None:
    shown = text(table(FULL), 120).splitlines()
    assert shown[1].startswith("configuration              seeds    accuracy %    test %  ")
    assert shown[3].startswith("batch size 64 (best)           5  92.05 ± 2.75     87.18  ")


def test_columns_of_diverged_and_collapsed_runs_come_early() -> None:
    results = [*FULL[:4], diverged(size(16), 4, 99), *runs(size(128), SPREAD, collapsed=True)]
    assert text(table(results), 120).splitlines()[1:3] == [
        "configuration               seeds    accuracy %    test %  diverged  collapsed"
        "       points  verdict",
        "batch size 16              4 of 5  89.45 ± 2.26         –         1          0"
        "        -2.05  too few pairs",
    ]


def test_without_a_test_set_validation_accuracy_comes_first() -> None:
    results = [replace(run, test_accuracy=None) for run in FULL]
    assert text(table(results), 60) == (
        "                                    training    validation\n"
        "configuration            seeds    accuracy %    accuracy %\n"
        "batch size 16                5  92.00 ± 2.16  91.00 ± 2.16\n"
        "batch size 64 (best)         5  94.05 ± 2.75  93.05 ± 2.75\n"
        "batch size 128               5  94.00 ± 1.96  93.00 ± 1.96\n"
        "(baseline)"
    )


@pytest.mark.parametrize("width", [60, 80, 120, 400])
@pytest.mark.parametrize("results", [[], FULL[:7], FULL], ids=["empty", "half", "full"])
def test_every_column_is_on_one_page_and_no_page_is_too_wide(
    width: int, results: list[RunResult]
) -> None:
    made = table(results)
    pages = [page(made, width, at=first) for first in page(made, width).firsts]
    titles = [column.title for one in pages for column in one.columns[1:]]
    assert sorted(titles) == sorted(column.title for column in join(made).columns[1:])
    for one in pages:
        assert sum(column.width + 2 for column in one.columns) <= width
        for line in one.lines:
            for cell, column in zip(line.cells, one.columns, strict=True):
                assert {cell_len(part) for part in cell.split("\n")} == {column.width}


def test_hostile_labels_are_shown_verbatim_and_keep_their_mark() -> None:
    shown = page(hostile(), 60)
    names = [line.cells[0].split("\n") for line in shown.lines]
    assert [[part.strip() for part in name] for name in names] == [
        ["[red] (baseline)"],
        ["[/ (baseline)"],
        ["x" * 22, "x" * 21 + "…", "(baseline)"],
        ["🧠 emoji 数据", "(baseline)"],
        ["\\u202eright to left", "שלום (baseline)"],
        ["a\\nb\\x1b[31m", "(baseline)"],
    ]


def test_claims_and_notes_are_wrapped_under_their_headings() -> None:
    made = replace(table(FULL), notes=("one two three",))
    lines = list(sentences(made, 12))
    assert lines[0] == ("What the original says", True)
    assert lines[1] == ("- The", False)
    assert lines[-4:] == [("", False), ("Notes", True), ("- one two", False), ("  three", False)]


# ---- grids

GRID = experiment_table(STUDY, grid(), grid_runs(0.02, -0.03))


def test_a_grid_has_one_column_per_axis_where_there_is_room() -> None:
    assert text(GRID, 80) == (
        "batch  drop                           test  difference,\n"
        "norm   rate  mark      seeds    accuracy %       points  verdict\n"
        "no     none  baseline      5  92.00 ± 1.96\n"
        "no      0.5                5  92.00 ± 1.96         0.00  within ±0.5 points\n"
        "yes    none  best          5  94.00 ± 2.16        +2.00  higher\n"
        "yes     0.5                5  89.00 ± 2.16        -3.00  lower"
    )


def test_a_grid_whose_axes_are_too_wide_has_one_column_of_labels() -> None:
    axes = {"hidden": ((64, 32, 16), (32, 16, 8)), "initialization": ("he", "normal")}
    baseline = {"hidden": (64, 32, 16), "initialization": "he"}
    made = experiment_table(STUDY, Experiment("wide", HP, axes, SEEDS, baseline), [])
    assert page(made, 80).columns[0].title == "hidden"
    shown = page(made, 48)
    titles = [column.title for at in shown.firsts for column in page(made, 48, at=at).columns]
    assert set(titles[:1]) == {"configuration"}
    assert not {"hidden", "initialization", "mark"} & set(titles)
    assert [" ".join(line.cells[0].split()) for line in shown.lines] == [
        "hidden 64–32–16, initialization he (baseline)",
        "hidden 64–32–16, initialization normal",
        "hidden 32–16–8, initialization he",
        "hidden 32–16–8, initialization normal",
    ]


WIDE = {
    "hidden": ((64, 32, 16), (32, 16, 8)),
    "optimizer": ("sgd", "momentum"),
    "initialization": ("he", "normal"),
}


@pytest.mark.parametrize("with_test", [True, False])
@pytest.mark.parametrize("axes", [{"batch_norm": (False, True), "drop_rate": (0.0, 0.5)}, WIDE])
@pytest.mark.parametrize("n_seeds", [3, 5])
def test_no_page_of_a_grid_is_too_wide_and_every_column_is_on_one(
    axes: dict[str, Any], n_seeds: int, with_test: bool
) -> None:
    baseline = {name: values[0] for name, values in axes.items()}
    experiment = Experiment("grid", HP, axes, SEEDS, baseline)
    ended = [
        run if with_test else replace(run, test_accuracy=None)
        for number, configuration in enumerate(configurations(experiment))
        for run in runs(configuration.hyperparams, shifted(-0.01 * number))[:n_seeds]
    ]
    made = experiment_table(STUDY, experiment, ended)
    for width in range(30, 130):
        shown = join(form(made, width))
        pages = [page(made, width, at=first) for first in page(made, width).firsts]
        for one in pages:
            assert sum(column.width + 2 for column in one.columns) <= width
        titles = {column.title for one in pages for column in one.columns}
        assert titles == {column.title for column in shown.columns}


@pytest.mark.parametrize(
    ("title", "ascending"),
    [
        ("batch norm", [0, 1, 2, 3]),
        ("drop rate", [0, 2, 1, 3]),
        ("mark", [1, 3, 0, 2]),
        ("configuration", [1, 0, 3, 2]),
    ],
)
def test_the_rows_of_a_grid_are_sorted_by_its_axes_in_either_form(
    title: str, ascending: list[int]
) -> None:
    for made in (GRID, labelled(GRID)):
        assert order(join(made), Sort(title, False)) == ascending


# ---- the order of rows


def test_every_column_can_be_sorted() -> None:
    joined = join(table(FULL))
    for column in joined.columns:
        for descending in (False, True):
            assert sorted(order(joined, Sort(column.title, descending))) == [0, 1, 2]


def test_rows_are_ordered_by_numbers_and_those_without_a_value_come_last() -> None:
    joined = join(table([*runs(size(16), [0.095] * 5), *runs(size(128), SPREAD)]))
    assert order(joined, Sort("test accuracy %", True)) == [2, 0, 1]
    assert order(joined, Sort("test accuracy %", False)) == [0, 2, 1]
    assert order(joined, None) == [0, 1, 2]


def test_rows_are_ordered_by_what_the_verdicts_mean() -> None:
    joined = join(table(FULL))  # lower, not settled, and the baseline
    assert order(joined, Sort("verdict", False)) == [0, 1, 2]
    assert order(joined, Sort("verdict", True)) == [1, 0, 2]


def test_third_click_restores_the_order_of_the_plan() -> None:
    one = next_sort(None, "p", "right")
    two = next_sort(one, "p", "right")
    assert (one, two, next_sort(two, "p", "right")) == (Sort("p", True), Sort("p", False), None)
    assert next_sort(one, "verdict", "left") == Sort("verdict", False)


def test_arrow_in_the_title_does_not_widen_its_column() -> None:
    made = table(FULL)
    for first in page(made, 80).firsts:
        plain = page(made, 80, at=first)
        for column in plain.columns:
            arrow = page(made, 80, Sort(column.title, True), first)
            assert [c.width for c in arrow.columns] == [c.width for c in plain.columns]
            assert sum("↓" in c.header for c in arrow.columns) == 1
