"""The runs screen: columns, order, filter, selection, and live updates."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from run_lines import PLAN, ids, line, listed, opened, screen, typed
from store_runs import fill, plan
from textual.pilot import Pilot
from textual.strip import Strip
from tui_pilot import drive, dump, until_shown

from jmlp.store import Store
from tui.screens.runs import RunsScreen
from tui.text import shortened, values_only
from tui.views.runs import COLUMNS, Order, fitted_widths, natural_widths, ordered
from tui.widgets.run_list import RunList


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store of six runs: the first diverged, the last has not ended."""
    fill(tmp_path / "store", PLAN, n_left=1)
    return tmp_path / "store"


# ---- what is shown


def test_every_run_is_a_line_with_its_outcome(folder: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await opened(pilot)
        rows = [row.split() for row in dump(pilot.app).splitlines()]
        first, second, last = (
            next(row for row in rows if row[:2] == [str(n + 1), known[n][0]]) for n in (0, 1, 5)
        )
        names = [f"{i} learning rate {r.hyperparams.learning_rate:g} {r.seed}" for i, r in known]
        assert first[:-2] == ["1", *names[0].split(), "diverged", "@7", "1", "–", "–"]
        assert second[1:-2] == [*names[1].split(), "stopped", "early", "4", "0.0990", "90.10"]
        assert last == ["6", *names[5].split(), "queued", "1", "–", "–", "–"]

    known = list(zip(ids(), PLAN.runs, strict=True))
    drive(folder, steps, size=(120, 30))


def test_narrow_lists_drop_columns_but_not_the_configuration() -> None:
    lines = [
        line(configuration="batch norm yes, drop rate none", studies=(name,), tags=("best",))
        for name in ("original", "replica")
    ]
    natural = natural_widths(lines)
    assert list(fitted_widths(natural, 200)) == [
        *("number", "run", "study", "configuration", "seed", "state", "epoch"),
        *("cost", "accuracy", "ended", "tags"),
    ]
    assert fitted_widths(natural, 200)["configuration"] == 30
    assert list(fitted_widths(natural, 76)) == [
        *("run", "configuration", "seed", "state", "cost", "accuracy")
    ]
    assert list(fitted_widths(natural, 56)) == [
        *("configuration", "seed", "state", "cost", "accuracy")
    ]
    for width in range(56, 200):
        fitted = fitted_widths(natural, width)
        assert sum(fitted.values()) + 2 * (len(fitted) - 1) <= width


def test_one_study_and_runs_without_tags_need_no_columns() -> None:
    assert {"study", "tags"}.isdisjoint(natural_widths([line(), line()]))


def test_shortened_configuration_keeps_every_value() -> None:
    text = "batch norm no, drop rate 0.5, hidden 784–512"
    assert shortened(text) == "batch no, drop 0.5, hidden 784–512"
    assert shortened("defaults") == "defaults"
    assert values_only(text) == "no, 0.5, 784–512"
    assert values_only("defaults") == "defaults"


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (31, "hidden 20–10, learning rate 0.3"),
        (26, "hidden 20–10, learning 0.3"),
        (18, "20–10, 0.3"),
    ],
)
def test_long_configuration_is_abbreviated_until_it_fits(width: int, shown: str) -> None:
    (column,) = [column for column in COLUMNS if column.key == "configuration"]
    run = line(configuration="hidden 20–10, learning rate 0.3")
    assert column.cell(run, width, natural=31).rstrip() == shown


def test_markup_in_a_tag_is_shown_verbatim(folder: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await opened(pilot)
        await until_shown(pilot, r"[red]a\x1b")

    with Store(folder) as store:
        store.tag(PLAN.runs[0].run_id, "[red]a\x1b")
    drive(folder, steps, size=(120, 30))


def test_without_runs_a_hint_is_shown(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await pilot.press("2")
        await until_shown(pilot, "There are no runs yet. Start a study (key 1, then n).")
        await pilot.press("x", "X", "c", "g", "w", "delete", "enter")
        await until_shown(pilot, "There are no runs yet.")

    drive(tmp_path / "none", steps)


def test_enter_opens_the_run_at_the_cursor(folder: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await opened(pilot)
        await pilot.press("down", "enter")
        rate = f"{PLAN.runs[1].hyperparams.learning_rate:g}"
        await until_shown(pilot, f"small › learning rate {rate}, seed 0")

    drive(folder, steps)


# ---- order


def test_runs_are_ordered_by_any_column_and_those_without_a_value_come_last() -> None:
    lines = [line(number=n, cost=cost) for n, cost in enumerate((0.3, None, 0.1, 0.2))]

    def numbers(order: Order) -> list[int]:
        return [ordered_line.number for ordered_line in ordered(lines, order)]

    assert numbers(Order("cost")) == [2, 3, 0, 1]
    assert numbers(Order("cost", descending=True)) == [0, 3, 2, 1]


def test_configurations_are_ordered_by_the_size_of_their_numbers() -> None:
    texts = ["batch size 128", "batch size 8", "batch size 0.5", "batch norm no"]
    found = ordered([line(configuration=text) for text in texts], Order("configuration"))
    assert [found_line.configuration for found_line in found] == [
        *("batch norm no", "batch size 0.5", "batch size 8", "batch size 128")
    ]


def test_same_order_again_is_reversed_and_accuracies_start_with_the_best() -> None:
    assert Order().by("accuracy") == Order("accuracy", descending=True)
    assert Order().by("accuracy").by("accuracy") == Order("accuracy")


def test_order_is_chosen_by_a_key_or_by_a_click_on_a_title(folder: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await opened(pilot)
        assert listed(pilot.app) == ids()
        await pilot.press("o", *["down"] * 8, "enter")
        await until_shown(pilot, "test %↓")
        best_first = [ids()[i] for i in (4, 3, 2, 1, 0, 5)]
        assert listed(pilot.app) == best_first
        x = dump(pilot.app).splitlines()[2].index("test %")
        await pilot.click(RunList, offset=(x, 0))
        await until_shown(pilot, "test %↑")
        assert listed(pilot.app) == [ids()[i] for i in (1, 2, 3, 4, 0, 5)]

    drive(folder, steps)


def test_cursor_stays_on_its_run_when_others_are_ordered_before_it(folder: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        shown = await opened(pilot)
        runs = shown.query_one(RunList)
        await pilot.press("down")
        assert runs.at_cursor is not None
        before = runs.at_cursor.run_id
        await pilot.press("o", "up", "enter")
        shown._sort("number")
        shown._sort("number")
        assert runs.at_cursor.run_id == before
        await until_shown(pilot, "by number ↓")
        assert listed(pilot.app) == ids()[::-1]

    drive(folder, steps)


# ---- filter


def test_filter_applies_while_typing_and_escape_clears_it(folder: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await opened(pilot)
        await pilot.press("slash", *"diver")
        await until_shown(pilot, "1 of 6 runs")
        assert listed(pilot.app) == ids()[:1]
        await pilot.press("escape")
        await until_shown(pilot, " 6 runs")
        assert listed(pilot.app) == ids()
        await pilot.press("x")  # the list has the focus again
        assert screen(pilot).selected == {PLAN.runs[0].run_id}

    drive(folder, steps)


def test_mistake_in_the_filter_is_shown_below_it_and_keeps_the_list(folder: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await opened(pilot)
        await pilot.press("slash")
        await typed(pilot, "accuracy>90.2")
        assert listed(pilot.app) == ids()[3:5]
        await typed(pilot, "accuracy>90.2 cost<")
        await until_shown(pilot, "cost< needs a number, such as cost<0.3")
        assert listed(pilot.app) == ids()[3:5]
        await typed(pilot, "accuracy>99")
        await until_shown(pilot, "No run matches the filter. Escape clears it.")

    drive(folder, steps)


# ---- selection


def test_all_shown_runs_are_selected_and_then_none(folder: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await opened(pilot)
        await pilot.press("x", "slash")
        await typed(pilot, "seed:1")
        await pilot.press("enter", "X")
        await until_shown(pilot, "2 of 6 runs · 3 selected, 1 of them not shown")
        assert sum("●" in row for row in dump(pilot.app).splitlines()) == 2
        await pilot.press("X")
        await until_shown(pilot, "2 of 6 runs · 1 selected, 1 of them not shown")

    drive(folder, steps)


def test_one_run_or_more_than_eight_are_not_compared(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await opened(pilot)
        await pilot.press("x", "c")
        await until_shown(pilot, "select two or more runs (x), then compare")
        await pilot.press("X", "c")
        await until_shown(pilot, "at most 8 runs can be compared, and 9 are")
        assert isinstance(pilot.app.screen, RunsScreen)

    fill(tmp_path, plan(rates=(0.1, 0.2, 0.3)))
    drive(tmp_path, steps, size=(100, 30))


# ---- live


def test_new_numbers_appear_by_themselves_and_the_cursor_stays(folder: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        shown = await opened(pilot)
        await pilot.press("end", "x")
        with closing(sqlite3.connect(folder / "store.sqlite")) as database, database:
            database.execute("UPDATE runs SET state = 'failed', epoch = 77 WHERE number = 6")
        await until_shown(pilot, "failed")
        at_cursor = shown.query_one(RunList).at_cursor
        assert at_cursor is not None
        assert (at_cursor.number, at_cursor.epoch) == (6, 77)
        assert shown.selected == {at_cursor.run_id}

    drive(folder, steps, size=(120, 30))


def test_list_of_a_thousand_runs_draws_only_the_visible_ones(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []

    async def steps(pilot: Pilot[int]) -> None:
        shown = await opened(pilot)
        lines = [line(number=n, run_id=f"{n:064}") for n in range(1000)]
        draw = RunList.render_line

        def render_line(self: RunList, y: int) -> Strip:
            drawn.append(y)
            return draw(self, y)

        monkeypatch.setattr(RunList, "render_line", render_line)
        shown.query_one(RunList).show(lines, (), Order(), natural_widths(lines))
        await pilot.press("end")
        await until_shown(pilot, "#999")

    drive(folder, steps)
    assert len(drawn) < 200
