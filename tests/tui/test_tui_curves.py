"""The curves of the run screen: the cursor, zoom, and live updates."""

import re
from pathlib import Path

import pytest
import store_runs
from run_screen import ids, line_with, opened, reading, shown
from textual.color import Color
from textual.events import MouseMove, MouseScrollUp
from textual.geometry import Offset
from textual.pilot import Pilot
from tui_pilot import filled, until, until_shown

from jmlp.store import Store
from jmlp.training.plan import Plan
from tui.app import JmlpApp
from tui.widgets.curves import Curves
from tui.widgets.plot import COLOURS, Plot


def test_curves_of_three_seeds_are_means_with_their_intervals(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        # The costs of `points` are the same for all seeds, so the interval has no width.
        expected = " epoch 4   ━━ validation 0.1000 ± 0.0000   ━━ training 0.2000 ± 0.0000"
        assert reading(pilot) == expected
        assert "mean of 3 seeds, band: 95 % interval of the mean" in shown(pilot)
        # Each curve has its name at its end.
        await until_shown(pilot, " training\n")
        await until_shown(pilot, " validation\n")

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps)


def test_one_run_has_curves_without_a_band_and_a_mark_at_its_best_epoch(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        assert reading(pilot) == " epoch 4   ━━ validation 0.1000   ━━ training 0.2000"
        assert "best epoch 3" in line_with(pilot, "seed 0")
        line = line_with(pilot, "cost, nats")
        # Epoch 3 of 0 to 4 is at three quarters of the columns between the axes.
        figure = pilot.app.screen.query("#curves-page Plot").first(Plot).figure
        assert figure is not None
        assert line.index("best") + 2 == figure.column(3.0)

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study)[:1], steps)


def test_keys_move_a_cursor_that_reads_the_values(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await pilot.press("left", "left")
        assert reading(pilot).startswith(" epoch 2   ━━ validation 0.1667")
        assert shown(pilot).count("●") == 2  # a point on each curve
        await pilot.press("home", "left")
        assert reading(pilot).startswith(" epoch 0   ")
        await pilot.press("end", "right")
        assert reading(pilot).startswith(" epoch 4   ")

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps)


def test_the_mouse_reads_zooms_and_drags(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        curves = pilot.app.screen.query_one("#cost", Curves)
        plot = curves.query_one(Plot)
        assert plot.figure is not None
        over = plot.figure.column(20), 5
        await pilot.hover("#cost Plot", offset=over)
        assert reading(pilot).startswith(" epoch 20  ")
        position = plot.region.offset + Offset(*over)
        for _ in range(3):
            await pilot._post_mouse_events([MouseScrollUp], offset=position, button=0)
        left, right = curves.view.zoomed or (0, 40)
        assert right - left == pytest.approx(40 / 1.5**3)
        assert left < 20 < right
        x, y = position
        drag = MouseMove(None, x, y, 4, 0, 1, False, False, False, screen_x=x, screen_y=y)
        pilot.app.screen._forward_event(drag)  # four cells to the right, with the button held
        assert plot.figure is not None
        by = 4 * plot.figure.x.per_cell
        await until(pilot, lambda: curves.view.shown == pytest.approx((left - by, right - by)))

    with filled(tmp_path, "finished") as study:
        long_run(tmp_path, study, 41)
        opened(tmp_path, ids(study), steps)


def long_run(folder: Path, study: Plan, n_points: int) -> None:
    """Adds evaluations to the runs of the first configuration."""
    with Store(folder) as store:
        points = [(run_id, p) for run_id in ids(study) for p in store_runs.points(n_points)]
        store.record("small", points, None)


def axis(pilot: Pilot[int]) -> list[str]:
    """Returns the epochs below the plot."""
    lines = [line.split() for line in shown(pilot).splitlines()]
    return next(words for words in lines if words and all(map(str.isdigit, words)))


def test_keys_zoom_and_show_all_again(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        view = pilot.app.screen.query_one("#cost", Curves).view
        await pilot.press("home", "plus", "plus", "minus")
        assert view.shown == pytest.approx((0, 40 / 1.5))
        await until(pilot, lambda: axis(pilot) == ["0", "10", "20"])
        await pilot.press("0")
        assert (view.zoomed, view.cursor) == (None, None)
        await until(pilot, lambda: axis(pilot) == ["0", "10", "20", "30", "40"])

    with filled(tmp_path, "finished") as study:
        long_run(tmp_path, study, 41)
        opened(tmp_path, ids(study), steps)


def test_both_plots_show_the_same_epochs_where_both_fit(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        cost, accuracy = pilot.app.screen.query(Curves)
        assert cost.display
        assert accuracy.display
        await pilot.press("home", "right")
        assert cost.view.cursor == accuracy.view.cursor == 1
        assert "validation 5.00 ± 0.00" in shown(pilot)

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps, (120, 40))


def test_the_cost_has_a_logarithmic_scale_and_a_key_shows_the_accuracy(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await pilot.press("y")
        assert "cost, nats, log" in shown(pilot)
        assert re.findall(r"^ *(\S+) ┤", shown(pilot), re.M) == ["1", "0.5", "0.2", "0.1"]
        await pilot.press("a")
        assert "accuracy, %" in shown(pilot)
        assert "cost, nats" not in shown(pilot)

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps)


def test_costs_that_are_not_finite_are_gaps(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        assert reading(pilot) == " epoch 0   ━━ validation 0.5000   ━━ training 1.0000"
        assert "diverged @7" in line_with(pilot, "seed 0")

    with filled(tmp_path, "diverged") as study:
        opened(tmp_path, ids(study, 0.2)[:1], steps)


def test_keys_choose_a_seed_and_all_of_them_again(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await pilot.press("full_stop")
        assert "seed 1 (2 of 3)   finished" in shown(pilot)
        await pilot.press("comma", "comma")
        assert "seed 2 (3 of 3)   finished" in shown(pilot)
        await pilot.press("m")
        assert "mean of 3 seeds" in shown(pilot)

    with filled(tmp_path, "finished") as study:
        opened(tmp_path, ids(study), steps)


def test_curves_of_a_run_in_training_grow(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        assert reading(pilot).startswith(" epoch 2   ")
        assert "running, epoch 2" in line_with(pilot, "seed 1")
        with Store(tmp_path) as store:
            store.record("small", [(running, store_runs.point(3, 0.25))], None)
        await until_shown(pilot, " epoch 3   ━━ validation 0.1250")

    with filled(tmp_path, "running") as study:
        running = ids(study)[1]
        opened(tmp_path, [running], steps)


def test_every_theme_that_can_be_chosen_has_the_colours_of_plots(tmp_path: Path) -> None:
    app = JmlpApp(tmp_path)
    for name in app.available_themes:
        app.theme = name
        variables = app.get_css_variables()
        for variable in COLOURS.values():
            Color.parse(variables[variable])
