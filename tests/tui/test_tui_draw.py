"""Drawing by mouse and keys, and what all snapshots say of the drawing while it is made."""

import csv
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import store_runs
from draw_screen import (
    EPOCHS,
    StandIn,
    drag,
    drawn_seven,
    helper,
    made_up,
    opened,
    pixels,
    sheet,
)
from run_lines import typed
from run_screen import ids
from textual.pilot import Pilot
from textual.widgets import Input
from tui_pilot import PROGRESS, drive, dump, filled, until, until_shown

from jmlp.errors import DataError
from jmlp.inspection.answers import columns_of_all, from_bytes
from jmlp.store import Store
from tui.screens.draw import DrawScreen
from tui.screens.run import RunScreen
from tui.sketch import Sketch
from tui.widgets.strip import AnswerStrip

__all__ = ["helper"]  # a fixture, which pytest finds by its name
pytestmark = pytest.mark.usefixtures("helper")

SIZES = [(60, 20), (80, 24), (120, 40), (200, 60)]


def line_with(pilot: Pilot[int], text: str) -> str:
    (found,) = [line for line in dump(pilot.app).splitlines() if text in line]
    return found


# ---- the sheet


def test_keys_draw_the_pixels_that_the_mouse_draws(tmp_path: Path) -> None:
    found: list[Any] = []

    async def by_mouse(pilot: Pilot[int]) -> None:
        await drag(pilot, (14, 7), (14, 4), (19, 4))
        found.append(pixels(pilot))

    async def by_keys(pilot: Pilot[int]) -> None:
        # The pen begins in the middle; upwards, a cell is two steps.
        await pilot.press("space", *["up"] * 6, "shift+right", "right", "space", "right", "down")
        found.append(pixels(pilot))

    with filled(tmp_path, "finished") as study:
        for steps in (by_mouse, by_keys):
            opened(tmp_path, ids(study), steps)
    assert found[0].any()
    np.testing.assert_array_equal(*found)


def test_the_pen_continues_where_the_mouse_was(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await drag(pilot, (3, 3))
        before = pixels(pilot)
        await pilot.press("space", "right", "space")
        added = (pixels(pilot) > before).nonzero()
        assert (added[0].max() < 8 * 5, added[1].max() < 4 * 6) == (True, True)

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps)


def test_each_stroke_is_undone_as_a_whole_and_so_is_clearing(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        states = [pixels(pilot)]
        await drag(pilot, (4, 4), (9, 4), (9, 9))
        states.append(pixels(pilot))
        await pilot.press("space", "down", "right", "space")
        states.append(pixels(pilot))
        await pilot.press("delete")
        assert not pixels(pilot).any()
        for state in reversed(states):
            await pilot.press("z")
            np.testing.assert_array_equal(pixels(pilot), state)
        await pilot.press("z", "delete")
        assert not pixels(pilot).any()
        assert not sheet(pilot).sketch.can_undo

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps)


def test_undo_lifts_the_pen(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await pilot.press("space", "right")
        await until_shown(pilot, "pen 2 of 3, down")
        await pilot.press("z", "right", "right")
        assert not pixels(pilot).any()

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps)


@pytest.mark.parametrize("how", ["right button", "shift", "key"])
def test_ink_is_erased(how: str, tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await drag(pilot, (4, 6), (22, 6))
        whole = pixels(pilot)
        if how == "key":
            await pilot.press("e")
            await until_shown(pilot, "eraser")
        button = 3 if how == "right button" else 1
        await drag(pilot, (13, 4), (13, 8), button=button, shift=how == "shift")
        left = pixels(pilot)
        assert (left <= whole).all()
        assert not left[:, 13 * 4 : 14 * 4].any()
        assert left[:, 4 * 4 : 9 * 4].sum() == whole[:, 4 * 4 : 9 * 4].sum()

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps)


def test_there_are_three_pens(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        ink = []
        for _ in range(3):
            await pilot.press("b", "space", "space")
            ink.append(int(pixels(pilot).sum()))
            await pilot.press("delete")
        thick, thin, middle = ink
        assert thin < middle < thick
        await until_shown(pilot, "pen 2 of 3")

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps)


def test_a_drawing_survives_another_size_of_the_terminal(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await drawn_seven(pilot)
        before = pixels(pilot)
        for size in SIZES:
            await pilot.resize_terminal(*size)
            await until_shown(pilot, "answer")
        np.testing.assert_array_equal(pixels(pilot), before)

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps)


@pytest.mark.parametrize(
    ("plane", "size"), [((28, 28), (112, 112)), ((8, 8), (112, 112)), ((20, 30), (80, 120))]
)
def test_a_sheet_has_the_proportions_of_the_pictures(
    plane: tuple[int, int], size: tuple[int, int]
) -> None:
    assert Sketch(plane).shape == size


def test_a_line_in_two_parts_is_the_whole_line() -> None:
    one, two = Sketch((28, 28)), Sketch((28, 28))
    one.line((10, 20), (90, 60), 0.04)
    two.line((10, 20), (50, 40), 0.04)
    two.line((50, 40), (90, 60), 0.04)
    np.testing.assert_array_equal(one.pixels, two.pixels)
    rows, columns = np.nonzero(one.pixels)
    assert abs(rows.mean() - 39.5) < 0.5
    assert abs(columns.mean() - 49.5) < 0.5


# ---- what is asked


def test_a_blank_sheet_asks_nothing_and_says_so(tmp_path: Path, helper: StandIn) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await pilot.press("left", "b", "e", "left_square_bracket", "m", "a", "z", "delete")
        await until_shown(pilot, "Nothing is drawn yet.")
        assert helper.asked == []
        assert "eraser" not in dump(pilot.app), "a new sheet comes with the pen"
        await drawn_seven(pilot)
        await pilot.press("delete")
        await until_shown(pilot, "Nothing is drawn yet.")
        assert "answer" not in dump(pilot.app)

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps)


def test_what_is_on_the_sheet_is_asked_of_all_seeds(tmp_path: Path, helper: StandIn) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await drawn_seven(pilot)
        np.testing.assert_array_equal(from_bytes(helper.asked[-1]["pixels"]), pixels(pilot))
        assert helper.asked[-1]["run_ids"] == tuple(wanted)
        assert helper.asked[-1]["as_is"] is None
        await pilot.press("a")
        await until(pilot, lambda: helper.asked[-1]["as_is"] is True)

    with filled(tmp_path, "finished") as study:
        wanted = ids(study)
        opened(tmp_path, wanted, steps)


def test_of_the_drawings_made_while_one_is_asked_about_only_the_newest_is_asked(
    tmp_path: Path, helper: StandIn
) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        helper.go.clear()
        await drag(pilot, (2, 2), (3, 2))
        await until(pilot, lambda: len(helper.asked) == 1)
        await until_shown(pilot, "asking…")
        await drag(pilot, (6, 3), (8, 5), (9, 6), (10, 7))
        assert len(helper.asked) == 1
        helper.go.set()
        await until(pilot, lambda: len(helper.asked) == 2)
        np.testing.assert_array_equal(from_bytes(helper.asked[1]["pixels"]), pixels(pilot))
        await until(pilot, lambda: pilot.app.screen.questions.is_idle)  # type: ignore[attr-defined]
        assert len(helper.asked) == 2

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps)


def test_the_answer_about_a_sheet_that_was_cleared_is_dropped(
    tmp_path: Path, helper: StandIn
) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        helper.go.clear()
        await drag(pilot, (2, 2), (3, 2))
        await until(pilot, lambda: helper.asked)
        await pilot.press("delete")
        helper.go.set()
        await until(pilot, lambda: pilot.app.screen.questions.is_idle)  # type: ignore[attr-defined]
        await until_shown(pilot, "Nothing is drawn yet.")
        assert pilot.app.screen.heard is None  # type: ignore[attr-defined]

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps)


def test_an_answer_after_the_screen_was_left_harms_nothing(tmp_path: Path, helper: StandIn) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        helper.go.clear()
        await drag(pilot, (2, 2), (3, 2))
        await until(pilot, lambda: helper.asked)
        await pilot.press("escape")
        await until_shown(pilot, "6/6")
        helper.go.set()
        await pilot.pause(0.05)
        assert not isinstance(pilot.app.screen, DrawScreen)

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps)


def test_an_error_is_shown_in_place_of_the_answer(tmp_path: Path, helper: StandIn) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        helper.error = DataError("the drawing: no ink; use the picture as it is (--as-is)")
        await drag(pilot, (2, 2), (3, 2))
        await until_shown(pilot, "the drawing: no ink; use the picture as it is")
        assert "(key a)" in " ".join(dump(pilot.app).split())
        helper.error = None
        await drawn_seven(pilot)

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps)


# ---- pictures from elsewhere


def test_an_example_is_put_on_the_sheet_and_can_be_drawn_on(
    tmp_path: Path, helper: StandIn
) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await pilot.press("x")
        await until(pilot, lambda: pixels(pilot).any())
        np.testing.assert_array_equal(pixels(pilot)[::4, ::4], np.eye(28) * 255)
        await pilot.press("x")
        await until(pilot, lambda: helper.asked[-1].get("example") == 1)
        await until(pilot, lambda: sheet(pilot).sketch.content.loaded == {"example": 1})
        await drag(pilot, (20, 3), (24, 3))
        await until(pilot, lambda: "pixels" in helper.asked[-1])
        asked = from_bytes(helper.asked[-1]["pixels"])
        assert asked[::4, ::4].diagonal().min() == 255
        assert asked[30, 4 * 22] == 255
        await pilot.press("z")
        await until(pilot, lambda: helper.asked[-1].get("example") == 1)

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps)


def test_an_example_that_comes_after_a_stroke_leaves_the_sheet_alone(
    tmp_path: Path, helper: StandIn
) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        helper.go.clear()
        await pilot.press("x")
        await until(pilot, lambda: helper.asked)
        await drag(pilot, (20, 3), (24, 3))
        stroke = pixels(pilot)
        helper.go.set()
        await until(pilot, lambda: "pixels" in helper.asked[-1])
        await until_shown(pilot, "seen: light ink")
        np.testing.assert_array_equal(pixels(pilot), stroke)

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps)


def test_a_file_is_put_on_the_sheet_and_a_stroke_begins_a_new_one(
    tmp_path: Path, helper: StandIn
) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await pilot.press("o")
        await until_shown(pilot, "Take a picture")
        await typed(pilot, str(tmp_path / "digit.png"))
        await pilot.press("enter")
        await until(pilot, lambda: pixels(pilot).any())
        assert helper.asked[-1]["path"] == str(tmp_path / "digit.png")
        await drag(pilot, (20, 3), (24, 3))
        await until(pilot, lambda: "pixels" in helper.asked[-1])
        assert not from_bytes(helper.asked[-1]["pixels"])[:20].any()

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps)


def test_a_file_that_cannot_be_read_leaves_the_sheet_as_it_was(
    tmp_path: Path, helper: StandIn
) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await drawn_seven(pilot)
        before = pixels(pilot)
        helper.error = DataError("nothing.png: cannot be read")
        await pilot.press("o")
        await until_shown(pilot, "Take a picture")
        await typed(pilot, "nothing.png")
        await pilot.press("enter")
        await until_shown(pilot, "nothing.png: cannot be read")
        np.testing.assert_array_equal(pixels(pilot), before)
        assert "seen: light ink" in dump(pilot.app)  # the drawing's answers are still there
        helper.error = None
        await drag(pilot, (4, 4), (8, 4))
        await until(pilot, lambda: "nothing.png" not in dump(pilot.app))

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps)


def test_in_a_browser_no_files_are_offered(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        assert "x Example" in dump(pilot.app)
        assert "o Open" not in dump(pilot.app)
        await pilot.press("o")
        assert not pilot.app.screen.query(Input)
        assert isinstance(pilot.app.screen, DrawScreen)

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps, size=(160, 40), served=True)


# ---- the answers


def test_the_strip_is_that_of_all_seeds_or_of_one(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await drawn_seven(pilot)
        mean = columns_of_all(made_up(wanted).runs)[-1]
        sure = f"{100 * mean.probabilities[7]:.1f} %"
        assert line_with(pilot, "all 3 seeds").endswith(
            f"all 3 seeds   best epochs   7, {sure}, in 2 of 3"
        )
        await pilot.press("left_square_bracket")
        await until_shown(pilot, "epoch 8   7, ")
        await pilot.press("full_stop", "full_stop")
        await until_shown(pilot, "seed 2 (3 of 3)   epoch 8   9, 95.0 %")
        await pilot.press("left_square_bracket")
        await until_shown(pilot, "epoch 5 (best)")
        await pilot.press("m")
        await until_shown(pilot, "all 3 seeds   epoch 5")

    with filled(tmp_path, "finished") as study:
        wanted = ids(study)
        opened(tmp_path, wanted, steps)


def test_a_click_on_the_strip_chooses_a_snapshot(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await drawn_seven(pilot)
        header = line_with(pilot, "    0    1    2 ").index(" 2 ")
        strip = pilot.app.screen.query_one(AnswerStrip)
        await pilot.click(AnswerStrip, offset=(header + 1 - strip.region.x, 4))
        await until_shown(pilot, "epoch 2   7, ")

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps, size=(120, 40))


def test_runs_that_diverged_are_in_training_or_were_not_asked_are_named(
    tmp_path: Path, helper: StandIn
) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        found = made_up(wanted, left_out=1)
        states: tuple[dict[str, Any], ...] = (
            {"diverged_at": 1234, "best": None},
            {"state": "running"},
        )
        runs = tuple(replace(run, **c) for run, c in zip(found.runs, states, strict=True))
        helper.answers = lambda run_ids: replace(found, runs=runs)
        await drawn_seven(pilot)
        for text in (
            "seed 0 diverged at update 1,234: not among these",
            "in training: seed 1; its networks so far",
            f"run {wanted[2][:8]} was trained on other data",
        ):
            await until_shown(pilot, text)
        await pilot.press("comma")
        await until_shown(pilot, "seed 2 (3 of 3)")
        assert "diverged" not in dump(pilot.app)

    with filled(tmp_path, "finished") as study:
        wanted = ids(study)
        opened(tmp_path, wanted, steps, size=(120, 40))


def test_while_a_run_is_in_training_the_drawing_is_asked_about_again(
    tmp_path: Path, helper: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui.screens.draw.AGAIN_SECONDS", 0.02)

    async def steps(pilot: Pilot[int]) -> None:
        await drawn_seven(pilot)
        before = len(helper.asked)
        await until(pilot, lambda: len(helper.asked) > before + 1)

    with filled(tmp_path, "running") as study:
        opened(tmp_path, ids(study), steps)


def test_the_strip_can_be_copied(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        assert pilot.app.screen.excerpt() is None  # type: ignore[attr-defined]
        await drawn_seven(pilot)
        text = pilot.app.screen.excerpt().forms[".csv"]()  # type: ignore[attr-defined]
        title, *rows = csv.reader(text.splitlines())
        assert title == ["epoch", "answer", "seeds", *"0123456789"]
        assert [row[0] for row in rows] == [*map(str, EPOCHS), "best"]
        assert rows[-1][:3] == ["best", "7", "3"]

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("n_classes", [10, 100])
def test_everything_fits(
    size: tuple[int, int], n_classes: int, tmp_path: Path, helper: StandIn
) -> None:
    helper.answers = lambda run_ids: made_up(run_ids, n_classes)

    async def steps(pilot: Pilot[int]) -> None:
        await drawn_seven(pilot)
        lines = dump(pilot.app).splitlines()
        assert max(map(len, lines)) <= size[0]
        answer = next(line for line in lines if " answer " in line)
        assert answer.split()[-1] == "7"
        assert ("classes, none above" in "\n".join(lines)) == (n_classes == 100)

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps, size=size)


# ---- from the run screen


def store_of_pictures(folder: Path, shape: list[int]) -> list[str]:
    """A store with one study on data of this shape; the ids of its runs."""
    made = store_runs.plan()
    n_in = int(np.prod(shape))
    facts = {**asdict(store_runs.FACTS), "n_in": n_in}
    facts["digests"] = dict(store_runs.FACTS.digests)
    data = {**store_runs.DATA, "image_shape": shape, "facts": facts}
    with Store(folder) as store:
        store.submit(store_runs.submission(made, data=data))
        store.begin("small", [run.run_id for run in made.runs])
        points = [(run.run_id, p) for run in made.runs for p in store_runs.points(3)]
        store.record("small", points, PROGRESS)
    return ids(made)


@pytest.mark.parametrize(
    ("shape", "offered"), [([28, 28], True), ([64], True), ([4, 5], False), ([30], False)]
)
def test_the_key_is_offered_for_pictures_of_a_size_to_draw(
    shape: list[int], offered: bool, tmp_path: Path
) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await pilot.app.push_screen(RunScreen(run_ids, "studies › small"))
        await until_shown(pilot, "━━ validation ")
        await until(pilot, lambda: "esc Back" in dump(pilot.app))
        assert ("d Draw" in dump(pilot.app)) == offered
        await pilot.press("full_stop", "d")
        if offered:
            await until_shown(pilot, "small › draw")
            assert pilot.app.screen.chosen == 1  # type: ignore[attr-defined]
            await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, RunScreen))

    run_ids = store_of_pictures(tmp_path, shape)
    drive(tmp_path, steps, size=(140, 30))
