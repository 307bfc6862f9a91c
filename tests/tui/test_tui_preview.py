"""The study screen by its room: a list, a list with a preview, a dashboard; and all curves."""

from pathlib import Path

import pytest
from textual.pilot import Pilot
from tui_pilot import Kind, drive, dump, filled, until, until_shown

from jmlp.store import Event
from jmlp.study.config import Hyperparams
from tui.charts.lines import letter
from tui.framework.texts import FittedText
from tui.screens.experiment import ExperimentScreen
from tui.screens.run import RunScreen
from tui.screens.studies import COLUMNS, fitting
from tui.screens.study import StudyScreen
from tui.theme import N_CURVES
from tui.views.details import EventLine, columns, event_lines, layer_texts, setting_texts
from tui.widgets.curves import Curves
from tui.widgets.preview import Preview

SIZES = {"list": (117, 40), "preview": (118, 34), "dashboard": (180, 50)}


def opened(folder: Path, steps: object, size: tuple[int, int], kind: Kind = "finished") -> None:
    async def begin(pilot: Pilot[int]) -> None:
        await until_shown(pilot, "studies › small")
        await until_shown(pilot, "3/3" if kind != "running" else "1/3")
        await steps(pilot)  # type: ignore[operator]

    with filled(folder, kind):
        drive(folder, begin, size=size, start="small")


@pytest.mark.parametrize("room", SIZES)
def test_a_terminal_shows_what_it_has_room_for(room: str, tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        for text in ("epoch 4", *(("verdict", "submitted") if room == "dashboard" else ())):
            await until_shown(pilot, text)
        shown = dump(pilot.app)
        assert ("layer 1" in shown) == (room != "list")
        assert ("verdict" in shown or "submitted" in shown) == (room == "dashboard")
        assert ("Training  Results" in shown) == (room != "dashboard")

    opened(tmp_path, steps, SIZES[room])


def test_the_preview_follows_the_cursor(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await until_shown(pilot, "learning rate 0.1: cost, nats")
        await until_shown(pilot, "learning rate 0.1   batch size 16")
        await pilot.press("down")
        await until_shown(pilot, "learning rate 0.2: cost, nats")
        await until_shown(pilot, "learning rate 0.2   batch size 16")
        first, *_ = pilot.app.screen.query(Curves)
        assert first.emphasis == 1
        # Its own curves are those of its three runs.
        await until_shown(pilot, "━━ validation 0.1000 ± 0.0000")

    opened(tmp_path, steps, (120, 40))


def test_the_preview_follows_the_cursor_of_the_result_table_in_a_dashboard(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await until_shown(pilot, "learning rate 0.1: cost, nats")
        await pilot.press("tab", "down")
        await until_shown(pilot, "learning rate 0.2: cost, nats")
        await pilot.press("tab")  # back to the list, whose cursor has stayed
        await until_shown(pilot, "learning rate 0.1: cost, nats")

    opened(tmp_path, steps, SIZES["dashboard"])


def test_a_dashboard_shows_what_the_worker_does(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await until_shown(pilot, "worker  process ")
        assert "speed   41,200 examples/s" in dump(pilot.app)
        assert "learning rate now 0.1" in dump(pilot.app)

    opened(tmp_path, steps, SIZES["dashboard"], "running")


def test_room_can_change_at_any_time(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        for room in ("dashboard", "list", "preview", "dashboard", "preview", "list"):
            await pilot.resize_terminal(*SIZES[room])
            screen = pilot.app.screen
            assert isinstance(screen, StudyScreen)
            while screen.room != room:
                await pilot.pause()
            await pilot.pause()
            assert screen.query_one(Preview).display == (room != "list")
            assert screen.focused is not None
            for text in screen.query(FittedText):
                lines = getattr(text.content, "plain", "").split("\n")
                assert text.size.height in (0, len(lines))

    opened(tmp_path, steps, (80, 24))


def test_all_curves_are_shown_over_each_other_and_one_stands_out(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await pilot.press("down", "v")
        await until(pilot, lambda: isinstance(pilot.app.screen, ExperimentScreen))
        await until_shown(pilot, "━━ B learning 0.2 0.1000")
        await pilot.press("up")
        await until_shown(pilot, "━━ A learning 0.1 0.1000")
        await pilot.press("a")
        await until_shown(pilot, "validation accuracy, %")
        await until_shown(pilot, "━━ A learning 0.1 20.00")
        await pilot.press("a", "y")
        await until_shown(pilot, "medians over seeds, log")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, RunScreen))
        await pilot.press("escape", "escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, StudyScreen))

    opened(tmp_path, steps, (80, 24))


# ---- texts


def test_settings_are_all_that_have_an_effect_the_most_important_first() -> None:
    hp = Hyperparams(hidden=(64, 32), optimizer="adam", batch_norm=False)
    texts = setting_texts(hp, "mnist", 5, ["hidden"])
    names = [text.name for text in texts]
    assert names[:4] == ["data", "hidden", "optimizer", "learning rate"]
    assert names[-1] == "seeds"
    assert not {"momentum", "weight std", "batch norm place", "backward fault"} & set(names)
    assert [text.name for text in texts if text.varied] == ["hidden"]
    assert ("hidden", "64–32", True) in texts


def test_layers_have_their_sizes_parameters_and_what_follows() -> None:
    hp = Hyperparams(hidden=(20, 7), batch_norm=True, drop_rate=(0.5, 0.0))
    assert layer_texts(hp, 784, 10) == [
        ("layer 1", "784 → 20", "15,720", "batch norm, ReLU, dropout 0.5"),
        ("layer 2", "20 → 7", "154", "batch norm, ReLU"),
        ("output", "7 → 10", "80", "softmax"),
    ]
    after = Hyperparams(hidden=(3,), batch_norm=True, batch_norm_place="after")
    assert layer_texts(after, 2, 2)[0] == ("layer 1", "2 → 3", "15", "ReLU, batch norm")


def test_cells_are_aligned_in_columns() -> None:
    assert columns([("a", "10", "x"), ("bbb", "5", "")], right=(1,)) == ["a    10  x", "bbb   5"]
    assert columns([]) == []


def test_events_of_runs_at_the_same_moment_are_one_line_and_the_newest_come_first() -> None:
    def event(number: int, at: int, run_id: str | None, kind: str, detail: str = "") -> Event:
        return Event(number, at, "small", run_id, kind, None, detail)

    events = [
        event(1, 1000, None, "submitted", "jmlp study small.toml"),
        event(2, 2000, "a", "started"),
        event(3, 2400, "b", "started"),
        event(4, 3000, "a", "failed", "no space"),
    ]
    assert event_lines(events, {"a": "rate 1, seed 0", "b": "rate 1, seed 1"}) == [
        EventLine(3000, "rate 1, seed 0: failed no space"),
        EventLine(2000, "rate 1, seed 0 and 1 more: started"),
        EventLine(1000, "submitted jmlp study small.toml"),
    ]


def test_the_list_of_studies_drops_the_least_important_columns_first() -> None:
    shown = [list(fitting(width, 20)) for width in (200, 140, 130, 80, 60)]
    assert shown == [
        list(COLUMNS),
        [key for key in COLUMNS if key != "data"],
        ["study", "title", "state", "bar", "runs", "left"],
        ["study", "state", "bar", "runs", "left"],
        ["study", "state", "runs", "left"],
    ]
    assert fitting(200, 20)["study"] >= 20


def test_curves_with_the_same_letter_have_different_colours() -> None:
    pairs = {(letter(index), index % N_CURVES) for index in range(100)}
    assert len(pairs) == 100
