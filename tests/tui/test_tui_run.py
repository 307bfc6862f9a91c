"""The panels of the run screen: computed on demand, and in step with the snapshots."""

import re
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import store_runs
from inspections import made_up, of_table
from run_screen import StandIn, ids, inspections, line_with, made, opened, reading, shown
from textual.pilot import Pilot
from tui_pilot import Kind, drive, ended_run, filled, until, until_shown

from jmlp.errors import StoreError
from jmlp.inspection.records import Inspection, Part
from jmlp.store import Store
from tui.screens.run import RunScreen
from tui.widgets.curves import Curves
from tui.widgets.gallery import Gallery
from tui.widgets.scrubber import scrubber_parts, window

__all__ = ["inspections"]  # a fixture, which pytest finds by its name
pytestmark = pytest.mark.usefixtures("inspections")

SIZES = [(60, 20), (80, 24), (120, 40)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["running", "diverged", "finished"])
def test_every_panel_is_drawn_whole(tmp_path: Path, kind: Kind, size: tuple[int, int]) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        for panel in ("Curves", "Layers", "Weights", "Confusion", "Mistakes"):
            await until_shown(pilot, WHAT[panel])
            lines = shown(pilot).split("\n")
            assert panel in lines[1]
            assert lines[0].startswith(" jmlp  studies › [b]small[/b] › a")
            assert lines[-2].startswith(" snapshot ")
            await until_shown(pilot, " tab Panel")  # the footer is drawn a moment later
            await pilot.press("tab")

    with filled(tmp_path, kind) as study:
        opened(tmp_path, ids(study), steps, size)


WHAT = {
    "Curves": "cost, nats",
    "Layers": "Gradient norm",
    "Weights": "3 units",
    "Confusion": "true",
    "Mistakes": "validation images misclassified",
}


def test_curves_and_marks_are_shown_against_epochs_or_updates(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        curves = pilot.app.screen.query_one("#cost", Curves)
        await pilot.press("full_stop")  # one run
        await until_shown(pilot, "best")
        seen = pilot.app.screen.runs[pilot.app.screen.chosen]  # type: ignore[attr-defined]
        best = seen.row.result.best_epoch
        assert list(curves.series[0].x) == [point.epoch for point in seen.points]
        assert [mark.x for mark in curves.marks] == [best]
        await pilot.press("left", "left", "plus", "x")
        assert curves.unit == "update"
        assert (curves.view.zoomed, curves.view.cursor) == (None, None)
        assert list(curves.series[0].x) == [point.step for point in seen.points]
        steps_of = {point.epoch: point.step for point in seen.points}
        assert [mark.x for mark in curves.marks] == [steps_of[best]]
        await until_shown(pilot, f"update {seen.points[-1].step}")
        await pilot.press("x")
        assert (curves.unit, [mark.x for mark in curves.marks]) == ("epoch", [best])

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps)


def test_nothing_is_computed_before_a_panel_is_opened(tmp_path: Path, inspections: StandIn) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await pilot.press("y", "a", "a", "full_stop")
        assert inspections.asked == []
        await pilot.press("tab")
        await until_shown(pilot, "Gradient norm")
        assert inspections.asked == [(second, "validation")]
        await pilot.press("tab", "tab", "tab", "left_square_bracket")
        assert inspections.asked == [(second, "validation")]

    with filled(tmp_path, "finished") as study:
        second = ids(study)[1]
        opened(tmp_path, ids(study), steps)


def test_test_images_are_inspected_only_on_demand(tmp_path: Path, inspections: StandIn) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await pilot.press("tab")
        await until_shown(pilot, "Gradient norm")
        assert {part for _, part in inspections.asked} == {"validation"}
        await pilot.press("v")
        await until_shown(pilot, "their output is 0 for all 200 test images")
        assert inspections.asked == [(first, "validation"), (first, "test")]
        await pilot.press("v")
        await until_shown(pilot, "their output is 0 for all 200 validation images")
        assert len(inspections.asked) == 2

    with filled(tmp_path, "finished") as study:
        first = ids(study)[0]
        opened(tmp_path, ids(study), steps)


def test_scrubbing_moves_all_panels_in_time(tmp_path: Path) -> None:
    inspection = made()

    async def steps(pilot: Pilot[int]) -> None:
        await pilot.press("tab")
        await until_shown(pilot, "Gradient norm")
        assert line_with(pilot, " snapshot") == " snapshot  0   1  [2*] 3    * best"
        assert line_with(pilot, "epoch 2   validation:").endswith("cost 0.7667")
        await pilot.press("left_square_bracket", "left_square_bracket", "left_square_bracket")
        assert line_with(pilot, " snapshot") == " snapshot [0 ] 1   2*  3    * best"
        assert "hidden 1    1.00e-01" in shown(pilot)
        await pilot.press("tab", "tab", "tab")
        wrong = len(inspection.mistakes(0))
        assert f" {wrong} of 200 validation images misclassified" in shown(pilot)
        most_confident = inspection.mistakes(0)[0]
        true, predicted = inspection.labels[most_confident], inspection.predicted[0, most_confident]
        assert f"true {true}, pred {predicted}" in shown(pilot)
        await pilot.click("Scrubber", offset=(len(" snapshot ") + 3 * 4 + 1, 0))
        assert line_with(pilot, " snapshot") == " snapshot  0   1   2* [3 ]  * best"
        wrong = len(inspection.mistakes(3))
        assert f" {wrong} of 200 validation images misclassified" in shown(pilot)
        await pilot.press("tab", "tab")  # past the step, around to the curves
        assert "snapshot" in line_with(pilot, "cost, nats")

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps)


def test_another_seed_is_shown_at_the_same_epoch(tmp_path: Path, inspections: StandIn) -> None:
    inspections.answer = lambda run_id, part, say, stop: made(6 if run_id == first else 4)

    async def steps(pilot: Pilot[int]) -> None:
        await pilot.press("tab")
        await until_shown(pilot, "snapshot  0   1   2   3  [5*] 8")
        await pilot.press("full_stop")
        await until_shown(pilot, "snapshot  0   1  [2*] 3 ")  # its own best: none was chosen
        await pilot.press("right_square_bracket", "comma")
        await until_shown(pilot, "snapshot  0   1   2  [3 ] 5*  8")

    with filled(tmp_path, "finished") as study:
        first = ids(study)[0]
        opened(tmp_path, ids(study), steps)


def test_the_screen_stays_responsive_while_an_inspection_is_computed(
    tmp_path: Path, inspections: StandIn
) -> None:
    may_end = threading.Event()

    def answer(
        run_id: str, part: Part, say: Callable[[str], None], stop: threading.Event
    ) -> Inspection:
        say("compiling")
        may_end.wait()
        return made(part=part)

    inspections.answer = answer

    async def steps(pilot: Pilot[int]) -> None:
        await pilot.press("tab")
        await until_shown(pilot, "compiling")
        await pilot.press("tab", "shift+tab", "shift+tab", "left")
        assert reading(pilot).startswith(" epoch 3")
        await pilot.press("tab")
        may_end.set()
        await until_shown(pilot, "Gradient norm")
        assert len(inspections.asked) == 1

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps)


def test_an_error_is_shown_in_the_panel_and_can_be_retried(
    tmp_path: Path, inspections: StandIn
) -> None:
    def fail(*_: object) -> Inspection:
        raise StoreError("run 1: has no [snapshots] yet; wait for its first epoch")

    async def steps(pilot: Pilot[int]) -> None:
        working, inspections.answer = inspections.answer, fail
        await pilot.press("tab")
        await until_shown(pilot, "has no [snapshots] yet; wait for its first epoch")
        assert "u: try again" in shown(pilot)
        inspections.answer = working
        await pilot.press("u")
        await until_shown(pilot, "Gradient norm")

    with filled(tmp_path, "running") as study:
        opened(tmp_path, ids(study), steps)


def test_an_unexpected_error_does_not_end_the_app(tmp_path: Path, inspections: StandIn) -> None:
    def fail(*_: object) -> Inspection:
        raise ZeroDivisionError("by nought")

    inspections.answer = fail

    async def steps(pilot: Pilot[int]) -> None:
        await pilot.press("tab")
        await until_shown(pilot, "this is a bug in jmlp: ZeroDivisionError: by nought")
        await pilot.press("shift+tab")
        assert "cost, nats" in shown(pilot)

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps)


def test_closing_the_screen_cancels_the_inspection(tmp_path: Path, inspections: StandIn) -> None:
    stopped = threading.Event()

    def answer(run_id: str, part: Part, say: Callable[[str], None], stop: threading.Event) -> None:
        stop.wait()
        stopped.set()

    inspections.answer = answer

    async def steps(pilot: Pilot[int]) -> None:
        await pilot.press("tab")
        await until(pilot, lambda: inspections.asked)
        await pilot.press("escape")
        await until(pilot, stopped.is_set)
        assert not isinstance(pilot.app.screen, RunScreen)

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps)


def test_a_run_that_ends_is_inspected_again(tmp_path: Path, inspections: StandIn) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await pilot.press("tab")
        await until_shown(pilot, "Gradient norm")
        assert len(inspections.asked) == 1
        await pilot.press("u")
        await until(pilot, lambda: len(inspections.asked) == 2)
        await until_shown(pilot, "Gradient norm")
        with Store(tmp_path) as store:
            store_runs.end(store, "small", [ended_run(run)])
        await until(pilot, lambda: len(inspections.asked) == 3)

    with filled(tmp_path, "running") as study:
        (run,) = [run for run in study.runs if run.run_id == ids(study)[1]]
        opened(tmp_path, [run.run_id], steps)


def test_keys_that_make_no_sense_are_not_offered(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await until_shown(pilot, " tab Panel")
        footer = shown(pilot).splitlines()[-1]
        assert footer.split("  ") == [
            " tab Panel",
            "[ ] Snapshot",
            "y Log",
            "a Accuracy",
            "i Inside",
            "esc Back",
            "? Help",
            "q Quit",
        ]

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study)[:1], steps)


# ---- pictures


def test_pictures_are_half_blocks_or_without_colour_characters(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await pilot.press("tab", "tab")
        await until_shown(pilot, "unit 0")
        assert "▀▀▀▀" in shown(pilot)
        await pilot.press("g")
        assert "▀" not in shown(pilot)
        signs = shown(pilot)
        assert "▓██" in signs
        await pilot.press("g")
        pilot.app.no_color = True
        await pilot.press("minus", "plus")
        assert shown(pilot) == signs

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps)


@pytest.mark.parametrize(
    ("size", "per_row", "factor"), [((60, 20), 3, 2), ((80, 24), 2, 1), ((120, 40), 4, 1)]
)
def test_as_many_pictures_as_fit_are_in_a_row(
    tmp_path: Path, size: tuple[int, int], per_row: int, factor: int
) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await pilot.press(*["tab"] * 4)
        await until_shown(pilot, "% sure")
        gallery = pilot.app.screen.query_one("#mistakes-page Gallery", Gallery)
        assert (gallery.per_row, gallery.factor) == (per_row, factor)
        assert shown(pilot).count("% sure") % per_row == 0
        first = next(line for line in shown(pilot).splitlines() if "true" in line)
        await pilot.press("pagedown")
        await until(pilot, lambda: gallery.scroll_y > 0)
        assert first not in shown(pilot).splitlines() or per_row == 3
        await pilot.press("minus")
        assert gallery.factor == 2
        await pilot.press("plus")
        assert gallery.factor == 1

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps, size)


# ---- rows of a table


@pytest.mark.parametrize("size", SIZES)
def test_mistakes_of_a_table_are_shown_by_their_values(
    tmp_path: Path, inspections: StandIn, size: tuple[int, int]
) -> None:
    table = of_table()
    inspections.answer = lambda *_: table
    sure, unsure = (int(k) for k in table.mistakes(2)[:2])

    async def steps(pilot: Pilot[int]) -> None:
        await pilot.press("shift+tab", "shift+tab")
        await until_shown(pilot, "validation rows misclassified")
        gallery = pilot.app.screen.query_one("#mistakes-page Gallery", Gallery)
        assert gallery.per_row == (size[0] - 2) // (len("bill_mm [b]Dream[/b]") + 1)
        text = shown(pilot)
        true, predicted = table.labels[sure], table.predicted[2, sure]
        assert f" true {true}, pred {predicted}" in text
        assert f" {100 * table.confidence[2, sure]:.1f} % sure" in text
        for example in (sure, unsure):
            for column, value in zip(table.columns, table.row_of(example) or (), strict=True):
                assert re.search(rf" {column.name} +{re.escape(value or '(missing)')}", text)
        assert "▀" not in text
        await pilot.press("minus")  # nothing to reduce
        assert shown(pilot) == text

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps, size)


@pytest.mark.parametrize("size", SIZES)
def test_weights_on_a_table_are_shown_by_input_column_with_and_without_colour(
    tmp_path: Path, inspections: StandIn, size: tuple[int, int]
) -> None:
    table = of_table()
    inspections.answer = lambda *_: table

    async def steps(pilot: Pilot[int]) -> None:
        await pilot.press("tab", "tab")
        await until_shown(pilot, "3 units   bars: positive right, negative left")
        text = shown(pilot)
        first = table.weights[2, 0].tolist()
        for name, weight in zip(table.input_names, first, strict=True):
            side = r"│[█▌]* *" if weight > 0 else r"[▐█]*│ *"
            assert re.search(rf" {re.escape(name)} +{side} {re.escape(f'{weight:+.3f}')}", text)
        pilot.app.no_color = True
        await pilot.press("g")
        assert shown(pilot) == text

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps, size)


def test_dead_units_are_listed_for_layers_with_relu_alone(
    tmp_path: Path, inspections: StandIn
) -> None:
    one = made()
    mixed = replace(one, activations=("tanh", "relu"))
    without = replace(one, activations=("tanh", "gelu"))
    inspections.answer = lambda run_id, *_: mixed if run_id == first else without

    async def steps(pilot: Pilot[int]) -> None:
        await pilot.press("tab")
        await until_shown(pilot, "Dead ReLU units")
        after = shown(pilot).split("Dead ReLU units")[1]
        assert "hidden 2" in after
        assert "hidden 1" not in after
        await pilot.press("full_stop")
        await until_shown(pilot, "seed 1")
        assert "Dead" not in shown(pilot)

    with filled(tmp_path, "finished") as study:
        first = ids(study)[0]
        opened(tmp_path, ids(study), steps)


def test_a_network_without_mistakes_has_a_message(tmp_path: Path, inspections: StandIn) -> None:
    one = made()
    right = replace(
        one,
        predicted=np.repeat(one.labels[None], 4, axis=0),
        examples=np.empty(0, np.int64),
        images=np.empty((0, 28, 28), np.uint8),
    )
    inspections.answer = lambda *_: right

    async def steps(pilot: Pilot[int]) -> None:
        await pilot.press("shift+tab", "shift+tab")
        await until_shown(pilot, " 0 of 200 validation images misclassified")
        await pilot.press("shift+tab")
        await until_shown(pilot, "no confusions")

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps)


def test_weights_that_are_not_finite_have_no_scale(tmp_path: Path, inspections: StandIn) -> None:
    one = made()
    broken = replace(
        one,
        weights=np.full_like(one.weights, np.nan),
        predicted=np.full_like(one.predicted, -1),
        confidence=np.full_like(one.confidence, np.nan),
        gradient_norm=np.full_like(one.gradient_norm, np.nan),
        best=None,
        diverged_at=7,
    )
    inspections.answer = lambda *_: broken

    async def steps(pilot: Pilot[int]) -> None:
        await pilot.press("tab")
        await until_shown(pilot, "hidden 1           –")
        await pilot.press("tab")
        await until_shown(pilot, "3 units   the weights are not finite")
        await pilot.press("tab")
        await until_shown(pilot, "200 without a prediction: not finite")
        await pilot.press("tab")
        await until_shown(pilot, " 0 of 200 validation images misclassified")

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps)


def test_the_line_of_snapshots_marks_the_shown_and_the_best_one() -> None:
    assert "".join(scrubber_parts((0, 5, 13), 1, 2)) == "  0  [ 5 ] 13* "
    assert "".join(scrubber_parts((0, 5), None, None)) == " 0   5  "


@pytest.mark.parametrize(
    ("shown", "room", "expected"),
    [
        (None, 50, range(10)),  # all fit
        (9, 49, range(1, 10)),
        (0, 21, range(4)),
        (5, 21, range(3, 7)),
        (9, 21, range(6, 10)),
        (4, 3, range(4, 5)),  # at least the shown one
    ],
)
def test_the_line_of_snapshots_has_those_around_the_shown_one(
    shown: int | None, room: int, expected: range
) -> None:
    assert window(scrubber_parts(range(90, 100), shown, None), shown, room) == expected


def test_of_many_snapshots_the_line_follows_the_shown_one_and_clicks_are_right(
    tmp_path: Path, inspections: StandIn
) -> None:
    many = replace(made_up(30, hidden=(3, 4)), epochs=tuple(range(100, 130)), best=28)
    inspections.answer = lambda run_id, part, say, stop: many

    async def steps(pilot: Pilot[int]) -> None:
        await pilot.press("tab")
        await until_shown(pilot, "Gradient norm")
        words = line_with(pilot, " snapshot").split()
        assert words[0] == "snapshot‹"
        assert words[1:9] == [str(epoch) for epoch in range(120, 128)]
        assert words[9:] == ["[128*]", "129", "*", "best"]
        await pilot.press(*["left_square_bracket"] * 14)
        line = line_with(pilot, " snapshot")
        assert line.startswith(" snapshot‹ 109 ")
        assert "[114 ]" in line
        assert line.endswith("›  * best")
        at = line.index(" 111")
        await pilot.click("Scrubber", offset=(at + 2, 0))
        assert "[111 ]" in line_with(pilot, " snapshot")
        await pilot.press(*["left_square_bracket"] * 20)
        line = line_with(pilot, " snapshot")
        assert line.startswith(" snapshot [100 ]")
        assert line.endswith("›  * best")

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps)


def test_keys_that_come_before_the_panels_are_known_lead_to_the_right_one(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        run_ids = ids(study)
        await pilot.app.push_screen(RunScreen(run_ids, "runs"))
        screen = pilot.app.screen
        assert isinstance(screen, RunScreen)
        assert not screen.runs
        screen.action_panel(-1)
        await until(pilot, lambda: screen.panel != "curves")
        assert screen.panel == "step"

    with filled(tmp_path, "finished") as study:
        drive(tmp_path, steps)
