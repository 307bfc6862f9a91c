"""The screen Inside: numbers, sums and steps by keys and mouse."""

import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from helpers import experiment
from inside_screen import look_here
from inspected_runs import train, write_data
from textual.pilot import Pilot
from tui_pilot import drive, dump, until, until_shown

from jmlp.errors import DataError
from jmlp.inspection.client import Inspector
from jmlp.inspection.inside import Inside, Steps, fresh_run
from jmlp.inspection.texts import number
from jmlp.inspection.views import Where
from tui.screens.inside import InsideScreen
from tui.widgets.number_grid import NumberGrid
from tui.widgets.sum_pane import SumPane

Steps_ = Callable[[Pilot[int]], Awaitable[object]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return look_here(monkeypatch)


def expected(
    updates: int = 0, example: int = 0, settings: Mapping[str, Any] = MappingProxyType({})
) -> Inside:
    run = fresh_run(settings, print)
    stored, moments = run.after(updates)
    return Inside(Where(None, settings, updates, None, example), stored, run.dataset, moments)


def opened(
    folder: Path,
    steps: Steps_,
    where: Where = Where(),  # noqa: B008 - immutable
    size: tuple[int, int] = (120, 40),
) -> None:
    async def open_and_step(pilot: Pilot[int]) -> None:
        await pilot.app.push_screen(InsideScreen(where, "[b]a[/b]"))
        await until_shown(pilot, ", by ") if where.run_id else await until_shown(pilot, "as it is")
        await steps(pilot)

    drive(folder, open_and_step, size)


def screen(pilot: Pilot[int]) -> InsideScreen:
    found = pilot.app.screen
    assert isinstance(found, InsideScreen)
    return found


async def press(pilot: Pilot[int], *keys: str) -> None:
    """Presses keys one by one, each when the numbers of the one before are shown."""
    for key in keys:
        await pilot.press(key)
        await pilot.pause()
        await until(pilot, lambda: at_rest(screen(pilot)))
        await pilot.pause()


def at_rest(found: InsideScreen) -> bool:
    return found.shown is not None and found.shown.aim == found.aim and found.aim.cell is not None


def test_it_opens_at_the_first_number_with_its_equations(tmp_path: Path, asked: list[str]) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        text = dump(pilot.app)
        assert "[b]a[/b] › inside" in text
        assert "forward     Z  = W A + b" in text
        first = expected()
        assert f"update 1   example 1 of 4 (row {first.view().row})" in text
        for k, value in enumerate(first.units(0)["Z"]):
            assert re.search(rf"unit {k} +\S+ +{value:.5g}\b", text)
        assert "b[0, 0] = 0, as it is given" in text

    opened(tmp_path, steps)
    assert asked[:2] == ["step", "units"]


def test_arrows_move_through_units_and_letters_and_show_the_sum(
    tmp_path: Path, asked: list[str]
) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "right", "down")
        cell = expected().cell(0, "Z", 1, 0)
        text = dump(pilot.app)
        assert f"hidden 1: Z[1, 0] = {number(cell.value)}, by Z[i, j] = sum_k" in text
        for term in cell.terms:
            assert number(term.value) in text

    opened(tmp_path, steps)


def test_tab_goes_through_all_operations_to_the_update_and_around(
    tmp_path: Path, asked: list[str]
) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        grid = screen(pilot).query_one(NumberGrid)
        seen = []
        for _ in range(5):
            seen.append((grid.corner, *grid.titles))
            await press(pilot, "tab")
        assert seen == [
            ("hidden 1", "b", "Z", "dZ", "db"),
            ("hidden 1", "Z", "A", "dA", "dZ"),
            ("output", "b", "Z", "dZ", "db"),
            ("cost", "logits", "T", "S", "P", "dlogits"),
            ("parameter", "old", "gradient", "step", "new"),
        ]
        assert grid.corner == "hidden 1"
        await press(pilot, "shift+tab")
        assert grid.corner == "parameter"

    opened(tmp_path, steps)


def test_a_term_is_followed_to_the_number_in_it_and_back(tmp_path: Path, asked: list[str]) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "tab", "tab", "right")  # Z of the output layer
        before = screen(pilot).aim.cell
        assert before == (2, "Z", 0, 0)
        await press(pilot, "enter")
        await press(pilot, "enter")
        largest = expected().cell(2, "Z", 0, 0).terms[0].factors[1]
        assert screen(pilot).aim.cell == (1, "A", *largest.at)
        assert f"hidden 1: A[{largest.at[0]}, 0] = {number(largest.value)}" in dump(pilot.app)
        await press(pilot, "backspace")
        assert screen(pilot).aim.cell == before

    opened(tmp_path, steps)


def test_the_weights_of_a_unit_have_their_derivatives_and_their_update(
    tmp_path: Path, asked: list[str]
) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "down", "w")
        grid = screen(pilot).query_one(NumberGrid)
        assert (grid.corner, tuple(grid.titles)) == (
            "to unit 1",
            ("A", "W", "W A", "dW", "gradient", "step", "new"),
        )
        weights = expected().weights(0, 1)
        for k, row in enumerate(grid.rows):
            assert row.cells[1] == f"{weights['W'][k]:.5g}"
            assert float(row.cells[6]) == pytest.approx(
                weights["W"][k] - 0.009 * weights["gradient"][k], rel=1e-4
            )
        await press(pilot, "f")
        text = dump(pilot.app)
        for name in ("hidden 1.dW[1, ", "hidden 1.dZ[1, ", "output.dA[1, ", "cost.dlogits["):
            assert name in text
        await press(pilot, "w")
        assert grid.corner == "hidden 1"

    opened(tmp_path, steps)


def test_the_check_goes_from_float32_to_float64_to_off(tmp_path: Path, asked: list[str]) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "c")
        assert "b is no derivative" in dump(pilot.app)
        await press(pilot, "right", "right")
        assert "in float32:" in dump(pilot.app)
        await press(pilot, "c")
        text = dump(pilot.app)
        assert "in float64:" in text
        ways = expected().ways(0, "dZ", 0, 0, double=True)
        assert f"{ways.by_differences:.10g}"[:9] in text
        await press(pilot, "c")
        assert "by jax.vjp" not in dump(pilot.app)

    opened(tmp_path, steps)


def test_brackets_train_a_fresh_network_update_by_update(tmp_path: Path, asked: list[str]) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "right", "right_square_bracket", "right_square_bracket")
        text = dump(pilot.app)
        assert "update 3   " in text
        assert "a fresh network after 2 updates" in text
        assert f"{expected(2).units(0)['Z'][0]:.5g}" in text
        assert screen(pilot).aim.cell == (0, "Z", 0, 0), "the cursor stays"
        await press(pilot, *["left_square_bracket"] * 3)
        assert "update 1   " in dump(pilot.app)

    opened(tmp_path, steps)


def test_comma_and_full_stop_go_through_the_examples_and_around(
    tmp_path: Path, asked: list[str]
) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "right", "comma")
        assert "example 4 of 4" in dump(pilot.app)
        assert screen(pilot).aim.cell == (0, "Z", 0, 3)
        await press(pilot, "full_stop", "full_stop")
        assert "example 2 of 4" in dump(pilot.app)

    opened(tmp_path, steps)


def test_a_mouse_chooses_an_operation_and_a_cell(tmp_path: Path, asked: list[str]) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        lines = dump(pilot.app).splitlines()
        y = next(k for k, line in enumerate(lines) if line.startswith(" cost"))
        await pilot.click(offset=(3, y))
        await until(pilot, lambda: at_rest(screen(pilot)))
        await pilot.pause()
        grid = screen(pilot).query_one(NumberGrid)
        assert grid.corner == "cost"
        lines = dump(pilot.app).splitlines()
        y, line = next((k, line) for k, line in enumerate(lines) if re.search(r"│ 1  +-?\d", line))
        x = [found.end() for found in re.finditer(r"\S+", line)][-2] - 1
        await pilot.click(offset=(x, y))
        await until(pilot, lambda: at_rest(screen(pilot)))
        assert screen(pilot).aim.cell == (3, "P", 1, 0)

    opened(tmp_path, steps)


@pytest.mark.parametrize("size", [(80, 24), (60, 20)])
def test_in_little_room_whole_columns_are_left_out_and_the_one_at_the_cursor_is_shown(
    tmp_path: Path, asked: list[str], size: tuple[int, int]
) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "w")
        grid = screen(pilot).query_one(NumberGrid)
        for k, title in enumerate(grid.titles):
            grid.go_to(0, k)
            await pilot.pause()
            head, row = grid.line_text(0), grid.line_text(1)
            assert title in head
            assert grid.rows[0].cells[k] in row
            assert len(head) <= grid.size.width
            shown = re.split(r" {2,}", head.strip("‹› "))[1:]
            assert ("‹" in head) == (shown[0] != grid.titles[0])
            assert ("›" in head) == (shown[-1] != grid.titles[-1])

    opened(tmp_path, steps, size=size)


SURE = {"hidden": [6, 5], "data": "digits-8x8", "batch_size": 8, "drop_rate": 0.3}


def lines_of_pane(pilot: Pilot[int]) -> list[str]:
    pane = screen(pilot).query_one(SumPane)
    return [pane.line_text(k).rstrip() for k in range(pane.n_lines)]


@pytest.mark.parametrize("size", [(80, 24), (60, 20)])
def test_in_little_room_all_that_is_said_of_a_number_is_wrapped_and_can_be_scrolled_to(
    tmp_path: Path, asked: list[str], size: tuple[int, int]
) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        pane = screen(pilot).query_one(SumPane)
        await press(pilot, "right", "right", "c", "f")  # dZ
        assert "from the cost, by the largest term" in dump(pilot.app), "f shows the chain"
        await press(pilot, "c")
        text = dump(pilot.app)
        assert "in float64:" in text, "c shows the check"
        assert "by central differences" in text
        assert all(len(line) <= pane.size.width for line in lines_of_pane(pilot))
        said = " ".join(" ".join(lines_of_pane(pilot)).split())
        ways = expected(settings=SURE).ways(0, "dZ", 0, 0, double=True)
        assert f"relative error {ways.difference_error:.1e}, with h = 1e-05" in said
        assert "hidden 1 dropout.dA[0, 0]" in said
        assert "cost.dlogits[" in said
        assert pane.show_vertical_scrollbar
        await press(pilot, "enter", "end")
        assert lines_of_pane(pilot)[-1].split()[-1] in dump(pilot.app)
        await press(pilot, "home")
        assert "hidden 1: dZ[0, 0] = " in dump(pilot.app)
        await press(pilot, "pagedown", "pagedown", "backspace")
        assert isinstance(screen(pilot).focused, NumberGrid)

    opened(tmp_path, steps, Where(None, SURE), size)


@pytest.mark.parametrize("size", [(80, 24), (60, 20)])
def test_in_little_room_the_equations_are_shown_in_full(
    tmp_path: Path, asked: list[str], size: tuple[int, int]
) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "tab", "tab", "tab", "e")
        grid = screen(pilot).query_one(NumberGrid)
        assert (grid.corner, grid.size.height >= 3) == ("cost", True)
        assert "…" not in " ".join(lines_of_pane(pilot))
        said = " ".join(" ".join(lines_of_pane(pilot)).split())
        found = expected().view().operations[3].equations
        for word in found.split():
            assert word in said
        assert "e shows all equations" in dump(pilot.app)
        await press(pilot, "e")
        assert "backward" not in " ".join(lines_of_pane(pilot))

    opened(tmp_path, steps, size=size)


def test_that_a_number_is_no_derivative_is_said_once(tmp_path: Path, asked: list[str]) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "c")
        assert dump(pilot.app).count("is no derivative") == 1
        await press(pilot, "right")
        assert "Z is no derivative" not in dump(pilot.app)
        assert "no derivative" not in " ".join(lines_of_pane(pilot))

    opened(tmp_path, steps)


def test_the_mistake_of_a_network_stands_above_its_numbers(
    tmp_path: Path, asked: list[str]
) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        assert "with the mistake bias_mean   update 1 " in dump(pilot.app)

    opened(tmp_path, steps, Where(None, {"backward_fault": "bias_mean"}), (80, 24))


# A stored run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("trained")
    made = experiment(hidden=(5, 4), drop_rate=0.2, batch_norm=True, optimizer="adam")
    (run,) = train(folder, write_data(folder), made)
    return folder, run.run_id


def test_a_stored_run_is_stepped_by_its_snapshots_and_its_parts(
    trained: tuple[Path, str], asked: list[str]
) -> None:
    folder, run_id = trained

    async def steps(pilot: Pilot[int]) -> None:
        text = dump(pilot.app)
        assert "* best" in text
        step = Steps().at(folder, Where(run_id, snapshot=0), print)
        await press(pilot, *["left_square_bracket"] * 9)
        assert f"{step.units(0)['Z'][0]:.5g}" in dump(pilot.app)
        await press(pilot, "v", "v")
        text = dump(pilot.app)
        assert "prediction of example 0 of" in text
        assert ", validation part" in text
        assert "running batch norm" in text
        assert not re.search(r"^ update", text, re.MULTILINE)

    opened(folder, steps, Where(run_id))


def test_an_update_whose_moments_are_not_stored_shows_the_gradient_alone(
    trained: tuple[Path, str], asked: list[str]
) -> None:
    folder, run_id = trained

    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "shift+tab")
        grid = screen(pilot).query_one(NumberGrid)
        assert "moments are not stored" in dump(pilot.app)
        assert {row.cells[2:] for row in grid.rows} == {("", "")}

    opened(folder, steps, Where(run_id))


def test_the_run_screen_opens_the_next_update_of_the_run(
    trained: tuple[Path, str], asked: list[str]
) -> None:
    folder, run_id = trained

    async def steps(pilot: Pilot[int]) -> None:
        await until_shown(pilot, "━━ validation")
        await pilot.press("i")
        await until_shown(pilot, "* best")
        assert screen(pilot).aim.where.run_id == run_id
        await pilot.press("escape")
        await until_shown(pilot, "━━ validation")

    drive(folder, steps, (120, 40), start=run_id[:8])


# Errors


def test_an_error_is_shown_in_place_of_the_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(*_: Any, **__: Any) -> Any:
        raise DataError("[b]the data[/b] have changed")

    monkeypatch.setattr(Inspector, "look", look)

    async def steps(pilot: Pilot[int]) -> None:
        await pilot.app.push_screen(InsideScreen(Where("x"), "a"))
        await until_shown(pilot, "[b]the data[/b] have changed")
        await pilot.press("tab", "w", "c", "f", "v", "full_stop", "right_square_bracket")

    drive(tmp_path, steps)


def test_an_update_that_is_not_there_leaves_the_one_before(
    tmp_path: Path, asked: list[str]
) -> None:
    where = Where(None, {"epochs": 1, "batch_size": 300}, 0)  # 2 updates

    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "right_square_bracket")
        before = dump(pilot.app)
        await pilot.press("right_square_bracket")
        await until_shown(pilot, "updates 1 to 2")
        assert screen(pilot).aim == screen(pilot).shown.aim  # type: ignore[union-attr]
        assert "update 2   " in before

    opened(tmp_path, steps, where)
