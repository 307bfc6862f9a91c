"""The boundary in the run screen: colours, seeds, lines, and a point moved by hand."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from boundaries import filled_plane, made_boundary, record_epoch
from run_screen import ids, line_with, shown
from textual.pilot import Pilot
from tui_pilot import drive, dump, filled, until, until_shown
from tui_snapshots import EXPECTED, check, picture, settled

from jmlp.errors import DataError
from jmlp.inspection.boundary_records import Boundary
from jmlp.store import Store
from jmlp.training.plan import Plan
from tui.panels.boundary import BoundaryPanel
from tui.screens.run import RunScreen
from tui.widgets.plane import Plane

Steps = Callable[[Pilot[int]], Awaitable[object]]


@pytest.fixture
def no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")


def opened(
    folder: Path,
    made: Plan,
    steps: Steps,
    size: tuple[int, int] = (80, 24),
    wait: str = "misclassified",
) -> None:
    """Runs `steps` on the boundary of all runs of a plan."""

    async def open_and_step(pilot: Pilot[int]) -> None:
        pilot.app.animation_level = "none"
        run_ids = [run.run_id for run in made.runs]
        await pilot.app.push_screen(RunScreen(run_ids, "studies › plane"))
        await until_shown(pilot, "Boundary")
        await pilot.press("shift+tab")
        await until_shown(pilot, wait)
        await steps(pilot)

    drive(folder, open_and_step, size)


def plane_of(pilot: Pilot[int]) -> Plane:
    return pilot.app.screen.query_one(Plane)


# ---- what it looks like


@pytest.mark.usefixtures("no_colours")
def test_the_boundary_without_colours_matches_its_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = filled_plane(tmp_path, monkeypatch)
    seen = []

    async def steps(pilot: Pilot[int]) -> None:
        for size in ((80, 24), (120, 40)):
            await pilot.resize_terminal(*size)
            seen.append(f"{size[0]} x {size[1]}\n{await settled(pilot)}\n")
        await pilot.resize_terminal(80, 24)
        await pilot.press("h", "up", "p")
        seen.append(f"lines, point, validation examples\n{await settled(pilot)}\n")
        await pilot.press("m")
        await until_shown(pilot, "mean probability of 3 seeds")
        seen.append(f"mean\n{await settled(pilot)}\n")
        await pilot.press("m")
        await until_shown(pilot, "where they disagree")
        seen.append(f"disagreement\n{await settled(pilot)}\n")

    opened(tmp_path, made, steps)
    check("\n".join(seen), EXPECTED / "boundary.txt")


@pytest.mark.parametrize(("theme", "size"), [("jmlp-dark", (80, 24)), ("jmlp-light", (120, 40))])
def test_the_boundary_in_colours_matches_its_picture(
    theme: str, size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = filled_plane(tmp_path, monkeypatch)
    seen = []

    async def steps(pilot: Pilot[int]) -> None:
        pilot.app.theme = theme
        await pilot.press("h", "h", "right")
        await settled(pilot)
        seen.append(picture(pilot.app))

    opened(tmp_path, made, steps, size)
    check(seen[0], EXPECTED / f"boundary-{theme}.svg")


def test_other_data_have_no_boundary(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await pilot.app.push_screen(RunScreen(run_ids, "studies › small"))
        await until_shown(pilot, "━━ validation ")
        assert "Mistakes" in shown(pilot)
        assert "Boundary" not in shown(pilot)
        await pilot.press("shift+tab")
        assert pilot.app.screen.query_one("Tabs").active == "step"  # type: ignore[attr-defined]

    with filled(tmp_path, "finished") as study:
        run_ids = ids(study)
        drive(tmp_path, steps)


# ---- snapshots, seeds, means


def test_snapshots_and_seeds_move_the_boundary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, stand_in = filled_plane(tmp_path, monkeypatch)

    async def steps(pilot: Pilot[int]) -> None:
        assert stand_in.asked == [0]
        assert "seed 0 (1 of 3)   epoch 2" in shown(pilot)
        assert line_with(pilot, " snapshot") == " snapshot  0   1  [2*] 3    * best"
        panel = pilot.app.screen.query_one(BoundaryPanel)
        for key, e in (("left_square_bracket", 1), ("left_square_bracket", 0)):
            await pilot.press(key)
            assert panel.shown is not None
            np.testing.assert_array_equal(panel.shown.probability, made_boundary().probability[e])
        await pilot.press("full_stop")
        await until_shown(pilot, "seed 1 (2 of 3)   epoch 0")
        assert stand_in.asked == [0, 1]
        assert panel.shown is not None
        np.testing.assert_array_equal(panel.shown.probability, made_boundary(1).probability[0])

    opened(tmp_path, made, steps)


def test_the_snapshots_are_played_to_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = filled_plane(tmp_path, monkeypatch)

    async def steps(pilot: Pilot[int]) -> None:
        screen = pilot.app.screen
        assert isinstance(screen, RunScreen)
        monkeypatch.setattr(screen, "set_interval", lambda *_: Timer())
        await pilot.press("right_square_bracket", "space")
        assert screen.epoch == 0
        seen = []
        while not stopped:
            screen.play_on()
            seen.append(screen.epoch)
        assert seen == [1, 2, 3]
        await pilot.press("left_square_bracket", "space", "space")
        assert (screen.epoch, len(stopped)) == (2, 2)

    stopped: list[bool] = []

    class Timer:
        def stop(self) -> None:
            stopped.append(True)

    opened(tmp_path, made, steps)


def test_the_mean_and_the_disagreement_are_those_of_all_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, stand_in = filled_plane(tmp_path, monkeypatch)
    probabilities = [made_boundary(seed).probability[2].astype(np.float64) for seed in range(3)]

    async def steps(pilot: Pilot[int]) -> None:
        panel = pilot.app.screen.query_one(BoundaryPanel)
        await pilot.press("m")
        await until_shown(pilot, "mean probability of 3 seeds, kept networks")
        assert stand_in.asked == [0, 1, 2]
        assert panel.shown is not None
        np.testing.assert_allclose(panel.shown.probability, np.mean(probabilities, axis=0))
        await pilot.press("m")
        await until_shown(pilot, "where they disagree: 3 seeds")
        votes = np.stack(probabilities)[..., 1] > 0.5
        share = np.minimum(votes.mean(axis=0), 1 - votes.mean(axis=0))
        np.testing.assert_allclose(panel.shown.share, share)
        assert "33 % of the runs disagree with the majority" in shown(pilot)
        await pilot.press("up")
        await until_shown(pilot, "votes: thin 3 of 3")
        await pilot.press("m")
        await until_shown(pilot, "seed 0 (1 of 3)")
        assert stand_in.asked == [0, 1, 2]

    opened(tmp_path, made, steps)


def test_a_diverged_seed_has_no_part_in_the_mean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, stand_in = filled_plane(tmp_path, monkeypatch)

    def answer(seed: int) -> Boundary:
        found = made_boundary(seed)
        if seed != 0:
            return found
        unknown = found.probability.copy()
        unknown[3, :, 20:] = np.nan
        return replace(found, best=None, diverged_at=36, probability=unknown)

    stand_in.answer = answer

    async def steps(pilot: Pilot[int]) -> None:
        await until_shown(pilot, "epoch 3, the last finite network: diverged at update 36")
        await pilot.press("right", *["right"] * 20)
        await until_shown(pilot, "the network's outputs are not finite")
        await pilot.press("m")
        await until_shown(pilot, "mean probability of 2 seeds")
        assert "1 diverged or without networks" in shown(pilot)

    opened(tmp_path, made, steps)


def test_where_all_seeds_have_diverged_there_is_no_mean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, stand_in = filled_plane(tmp_path, monkeypatch)
    stand_in.answer = lambda seed: replace(made_boundary(seed), best=None, diverged_at=36)

    async def steps(pilot: Pilot[int]) -> None:
        await pilot.press("m")
        await until_shown(pilot, "All seeds have diverged: m shows one of them.")
        await pilot.press("m", "m")
        await until_shown(pilot, "diverged at update 36")

    opened(tmp_path, made, steps)


# ---- lines, examples, the point


def test_the_lines_are_of_no_unit_of_all_and_of_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = filled_plane(tmp_path, monkeypatch)

    async def steps(pilot: Pilot[int]) -> None:
        panel = pilot.app.screen.query_one(BoundaryPanel)
        assert panel.lines() == ()
        await pilot.press("h")
        await until_shown(pilot, "Z = 0 of 3 units, each number where Z > 0")
        assert [line.unit for line in panel.lines()] == [0, 1, 2]
        await pilot.press("h")
        await until_shown(pilot, "unit 0: Z = 1 x -0.8 y -0.2, > 0 where its number is")
        await pilot.resize_terminal(80, 24)  # it is whole there too
        await until_shown(pilot, "unit 0: Z = 1 x -0.8 y -0.2, > 0 where its number is")
        assert "misclassified   arrows or a click: a point" in dump(pilot.app)
        copied = pilot.app.screen.excerpt()  # type: ignore[attr-defined]
        assert copied is not None
        assert copied.name == "boundary"
        await pilot.press("h", "h")
        await until_shown(pilot, "unit 2: Z = 0.5 everywhere, so it has no line")
        await pilot.press("h")
        assert panel.lines() == ()
        await pilot.press("H", "H")
        await until_shown(pilot, "unit 1: Z = 0 x +1 y +0")
        await pilot.press("m")
        await until_shown(pilot, "mean probability of 3 seeds")
        assert panel.lines() == ()
        await pilot.press("h")
        assert panel.unit == 1

    opened(tmp_path, made, steps, size=(120, 30))


def test_examples_are_of_the_training_or_validation_part_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = filled_plane(tmp_path, monkeypatch)
    found = made_boundary()
    wrong = found.predicted[2] != found.labels

    async def steps(pilot: Pilot[int]) -> None:
        n = int(wrong[:40].sum())
        assert f"{n} of 40 training examples misclassified" in shown(pilot)
        await pilot.press("p")
        n = int(wrong[40:].sum())
        await until_shown(pilot, f"{n} of 20 validation examples misclassified")
        await pilot.press("p")
        await until(pilot, lambda: "misclassified" not in shown(pilot))
        await pilot.press("p")
        await until_shown(pilot, "training examples misclassified")

    opened(tmp_path, made, steps)


def test_the_point_is_at_a_point_of_the_grid_with_its_probabilities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = filled_plane(tmp_path, monkeypatch)
    found = made_boundary()

    def text(ix: int, iy: int) -> str:
        thin, wide = 100 * found.probability[2, iy, ix]
        first, second = ("thin", thin), ("wide", wide)
        order = [second, first] if wide > thin else [first, second]
        place = f"({found.x[ix]:.2f}, {found.y[iy]:.3f})"
        return f"{place}  " + ", ".join(f"{name} {value:.2f} %" for name, value in order)

    async def steps(pilot: Pilot[int]) -> None:
        plane = plane_of(pilot)
        await pilot.press("left")  # the first time, in the middle
        assert plane.point == (16, 16)
        await until_shown(pilot, text(16, 16))
        await pilot.press("left", "left", "up")
        by_row = round(33 / plane.figure.y.cells)  # type: ignore[union-attr]
        assert plane.point == (14, 16 + by_row)
        await until_shown(pilot, text(14, 16 + by_row))
        await pilot.press(*["right"] * 40, *["down"] * 40)
        assert plane.point == (32, 0)
        figure = plane.figure
        assert figure is not None
        await pilot.click(Plane, offset=figure.cell(-1.0, 0.5))
        ix, iy = plane.point
        assert abs(found.x[ix] + 1) <= figure.x.per_cell + 0.07
        assert abs(found.y[iy] - 0.5) <= figure.y.per_cell + 0.04
        await until_shown(pilot, text(ix, iy))
        await pilot.click(Plane, offset=(0, 3))  # on the axis
        assert plane.point == (ix, iy)
        await pilot.press("0")
        assert plane.point is None
        await until_shown(pilot, "misclassified")

    opened(tmp_path, made, steps)


# ---- training, errors


def test_a_run_in_training_is_followed_and_the_picture_stays_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, stand_in = filled_plane(tmp_path, monkeypatch, in_training=True)

    def answer(seed: int) -> Boundary:
        n = stand_in.asked.count(seed) + 1
        whole = made_boundary(seed)
        arrays = {name: getattr(whole, name)[:n] for name in ("probability", "lines", "predicted")}
        return replace(whole, epochs=whole.epochs[:n], best=n - 1, **arrays)

    stand_in.answer = answer

    async def steps(pilot: Pilot[int]) -> None:
        await pilot.press("full_stop")
        await until_shown(pilot, "seed 1 (2 of 3)   epoch 1")
        with Store(tmp_path) as store:
            record_epoch(store, made, 3)
        await until_shown(pilot, "seed 1 (2 of 3)   epoch 2")
        assert stand_in.asked == [0, 1, 1]
        assert line_with(pilot, " snapshot") == " snapshot  0   1  [2*]  * best"

    opened(tmp_path, made, steps)


def test_an_error_is_shown_and_can_be_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, stand_in = filled_plane(tmp_path, monkeypatch)

    def fail(seed: int) -> Boundary:
        raise DataError("moons: the data have changed")

    stand_in.answer = fail

    async def steps(pilot: Pilot[int]) -> None:
        stand_in.answer = made_boundary
        await pilot.press("u")
        await until_shown(pilot, "misclassified")

    opened(tmp_path, made, steps, wait="moons: the data have changed")
