"""What a study is doing: the record and its texts, for a worker of this machine and of another."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tui_pilot import PROGRESS, drive, dump, filled, until, until_shown

from jmlp.store import Owner, Store, StudyRow, StudyState
from jmlp.system.process_usage import Usage
from jmlp.training.records import Progress
from tui.screens import study as screen
from tui.views.activity import (
    Activity,
    Worker,
    WorkerWatch,
    activity_lines,
    study_activity,
    two_lines,
)

AT = 1_000_000_000_000  # 2001-09-09 01:46:40 UTC
LATER = AT + 8_000
RUNNING = Progress(
    phase="training",
    group=2,
    n_groups=3,
    name="hidden 20, batch size 128",
    epoch=7,
    at=AT,
    phase_began=AT - 4_000,
    elapsed=190.0,
    remaining=245.0,
    share=0.4399,
    examples_per_second=411_980.0,
    runs_per_minute=3.21,
    batch_costs={"a": 0.25, "b": 0.75, "c": 0.5},
)
LOCAL = Owner(4711, "here", "boot", AT - 200_000, "small")
WORKER = Worker(4711, "here", AT - 200_000, Usage(623_456_789, 1.96))


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "here")
    monkeypatch.setattr("jmlp.store.lock._boot_id", lambda: "boot")


def activity(
    progress: Progress = RUNNING,
    state: StudyState = "running",
    owner: Owner | None = LOCAL,
    worker: Worker | None = WORKER,
    n_done: int = 12,
    **row: Any,
) -> Activity:
    made: dict[str, Any] = dict.fromkeys(StudyRow.__dataclass_fields__)
    made |= {"label": "small", "state": state, "progress": progress} | row
    return study_activity(StudyRow(**made), owner, worker, n_done, 30)


def shown(made: Activity, width: int = 80, now: int = LATER) -> list[str]:
    return [f"{label}: {value}" for label, value in activity_lines(made, width, now)]


def test_a_training_study_is_described_in_full() -> None:
    assert shown(activity()) == [
        "state: running   training, epoch 7",
        "group: 2 of 3   hidden 20, batch size 128",
        "work: 43 %   12 of 30 runs",
        "time: 3:18 elapsed   about 4 min left",
        "speed: 412,000 examples/s   3.2 runs/min",
        "batch cost: 0.5000",
        "worker: process 4711 on here   since 01:43 UTC",
        "uses: 2.0 cores   623 MB of memory",
    ]


def test_a_compile_has_a_clock_and_no_speed() -> None:
    compiling = replace(RUNNING, phase="compiling", batch_costs={}, epoch=0)
    assert shown(activity(compiling))[:5] == [
        "state: running   compiling 0:12",
        "group: 2 of 3   hidden 20, batch size 128",
        "work: 43 %   12 of 30 runs",
        "time: 3:18 elapsed   about 4 min left",
        "speed: 3.2 runs/min",
    ]
    later = shown(activity(compiling), now=LATER + 61_000)
    assert later[0] == "state: running   compiling 1:13"
    assert later[3] == "time: 4:19 elapsed   about 4 min left"


def test_of_a_worker_elsewhere_only_its_note_and_its_own_clock_are_shown() -> None:
    for owner in (replace(LOCAL, host="there"), replace(LOCAL, boot_id="other")):
        worker = WorkerWatch().worker(owner)
        compiling = replace(RUNNING, phase="compiling", batch_costs={})
        assert shown(activity(compiling, owner=owner, worker=worker)) == [
            "state: running   compiling",
            "group: 2 of 3   hidden 20, batch size 128",
            "work: 43 %   12 of 30 runs",
            "time: 3:10 elapsed   about 4 min left",
            "speed: 3.2 runs/min",
            f"worker: process 4711 on {owner.host}   since 01:43 UTC",
        ]


@pytest.mark.parametrize(
    ("changes", "what", "far"),
    [
        ({"state": "paused"}, "paused", "43 %   12 of 30 runs   3:18 elapsed"),
        (
            {"worker": None},
            "its worker died   r resumes from the last checkpoint",
            "43 %   12 of 30 runs",
        ),
        (
            {"state": "stopped", "worker": None},
            "stopped   r resumes the training",
            "43 %   12 of 30 runs",
        ),
        (
            {"state": "queued", "worker": None, "owner": None, "progress": Progress()},
            "queued   waits for a worker",
            "40 %   12 of 30 runs",
        ),
        (
            {"state": "queued", "worker": None, "owner": replace(LOCAL, study="other")},
            "queued   waits for other",
            "40 %   12 of 30 runs",
        ),
        (
            {"state": "failed", "worker": None, "failure": "no\nmemory"},
            r"failed   no\nmemory",
            "40 %   12 of 30 runs",
        ),
        (
            {"state": "done", "worker": None},
            "done   runs are missing: r trains them",
            "40 %   12 of 30 runs",
        ),
        ({"state": "done", "worker": None, "n_done": 30}, "done", "100 %   30 of 30 runs"),
        (
            {"progress": replace(RUNNING, phase="finished", share=1.0)},
            "running   saving the results",
            "100 %   12 of 30 runs   3:18 elapsed",
        ),
        ({"progress": Progress()}, "running   starting", "40 %   12 of 30 runs"),
        (  # of an earlier version
            {"progress": replace(PROGRESS, share=None, examples_per_second=None)},
            "running   training, epoch 2   group 1 of 1   hidden 3, batch size 16",
            "40 %   12 of 30 runs   about 12 s left",
        ),
    ],
)
def test_every_state_has_its_lines(changes: dict[str, Any], what: str, far: str) -> None:
    assert two_lines(activity(**changes), (100, 100), LATER) == (what, far)


def test_two_lines_say_what_is_done_and_how_far_it_is() -> None:
    assert two_lines(activity(), (80, 80), LATER) == (
        "running   training, epoch 7   group 2 of 3   hidden 20, batch size 128",
        "43 %   12 of 30 runs   about 4 min left   412,000 examples/s   3:18 elapsed",
    )
    assert two_lines(activity(), (50, 40), LATER) == (
        "running   training, epoch 7   group 2 of 3",
        "43 %   12 of 30 runs   about 4 min left",
    )
    assert two_lines(activity(), (10, 4), LATER) == ("running", "43 %")
    assert two_lines(activity(), (4, 3), LATER) == ("run…", "43…")


def test_values_fit_beside_their_labels_whatever_the_width() -> None:
    for width in (20, 40, 60, 200):
        for label, value in activity_lines(activity(), width, LATER):
            assert len(label) <= len("batch cost")
            assert len(value) <= width - len("batch cost") - 2


def test_all_work_is_done_only_when_it_is() -> None:
    almost = activity(replace(RUNNING, share=0.99999))
    assert two_lines(almost, (80, 80), LATER)[1].startswith("99 %")


def test_the_worker_of_this_process_is_looked_at_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([Usage(1, None), Usage(2, 1.5)])
    monkeypatch.setattr("tui.views.activity.UsageMeter.usage", lambda meter: next(looks))
    watch = WorkerWatch()
    assert watch.worker(LOCAL).usage == Usage(1, None)
    assert watch.worker(LOCAL) == Worker(4711, "here", LOCAL.started, Usage(2, 1.5))


def test_clocks_advance_on_the_screen_while_the_store_does_not_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [AT * 1_000_000]
    monkeypatch.setattr("time.time_ns", lambda: clock[0])
    monkeypatch.setattr(screen, "TICK_SECONDS", 0.02)
    compiling = replace(RUNNING, phase="compiling")

    with filled(tmp_path, "running"), Store(tmp_path) as store:
        store.record("small", [], compiling)
        version = []

        async def steps(pilot: Any) -> None:
            await until_shown(pilot, "small")
            await pilot.press("enter")
            await until_shown(pilot, "compiling 0:04")
            version.append(store.version())
            for seconds in (5, 65):
                clock[0] = (AT + 1000 * (seconds - 4)) * 1_000_000
                await until_shown(pilot, f"compiling {seconds // 60}:{seconds % 60:02}")
            assert "4:11 elapsed" in dump(pilot.app)
            version.append(store.version())

        drive(tmp_path, steps, size=(120, 40))
    assert version[0] == version[1]


def test_the_screen_of_a_study_without_a_worker_stands_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screen, "TICK_SECONDS", 0.001)
    drawn: list[object] = []
    ticks: list[object] = []
    show, tick = screen.StudyScreen._show_activity, screen.StudyScreen.tick

    def count_drawn(self: screen.StudyScreen, activity: Activity) -> None:
        drawn.append(activity)
        show(self, activity)

    def count_ticks(self: screen.StudyScreen) -> None:
        ticks.append(self)
        tick(self)

    monkeypatch.setattr(screen.StudyScreen, "_show_activity", count_drawn)
    monkeypatch.setattr(screen.StudyScreen, "tick", count_ticks)
    with filled(tmp_path, "finished"):

        async def steps(pilot: Any) -> None:
            await until_shown(pilot, "small")
            await pilot.press("enter")
            await until_shown(pilot, "100 %   6 of 6 runs")
            before = len(drawn)
            ticks.clear()
            await until(pilot, lambda: len(ticks) > 5)
            assert len(drawn) == before

        drive(tmp_path, steps)


def test_an_owner_is_of_this_machine_only_since_its_last_start() -> None:
    assert LOCAL.is_local
    assert not replace(LOCAL, host="there").is_local
    assert not replace(LOCAL, boot_id="").is_local
    assert not replace(LOCAL, pid=0).is_local  # its note could not be read
