"""The app in tests: driven by keys without a terminal, its screen read as lines of text."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import store_runs
from textual.app import App
from textual.pilot import Pilot

from jmlp.store import Lock, Store
from jmlp.training.plan import Plan, Run
from jmlp.training.records import Progress, RunResult
from tui.app import JmlpApp

WAIT_SECONDS = 60.0
POLL_SECONDS = 0.02

Kind = Literal["empty", "running", "diverged", "finished"]

# As reported by a worker in the third epoch of its first group.
PROGRESS = Progress(
    phase="training",
    group=1,
    n_groups=1,
    name="hidden 3, batch size 16",
    runs_done=2,
    n_runs=6,
    epoch=2,
    elapsed=4.0,
    remaining=12.0,
    share=0.42,
    examples_per_second=41_200.0,
)


def drive(
    folder: Path,
    steps: Callable[[Pilot[int]], Awaitable[object]],
    size: tuple[int, int] = (80, 24),
    **options: Any,
) -> JmlpApp:
    """Runs the app on a store's folder while `steps` presses its keys; returns the app, ended."""
    app = JmlpApp(folder, **options)

    async def run() -> None:
        async with app.run_test(size=size, notifications=True) as pilot:
            await steps(pilot)
            await pilot.pause()

    asyncio.run(run())
    return app


def dump(app: App[Any]) -> str:
    """What the screen shows, a line of text a row."""
    width = app.size.width
    lines = [
        "".join(segment.text for segment in strip)
        for strip in app.screen._compositor.render_strips(app.size)
    ]
    return "\n".join(line[:width].rstrip() for line in lines)


async def until(pilot: Pilot[int], condition: Callable[[], object]) -> None:
    """Waits for what a thread or another process does."""
    deadline = asyncio.get_running_loop().time() + WAIT_SECONDS
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, dump(pilot.app)
        await pilot.pause(POLL_SECONDS)


async def until_shown(pilot: Pilot[int], text: str) -> None:
    """Waits until a text is on the screen, and the screen has its final layout."""
    await until(pilot, lambda: text in dump(pilot.app))
    await pilot.pause()


def ended_run(run: Run, accuracy: float = 0.9, **changes: Any) -> RunResult:
    """A run that went to its limit of four epochs and was best after the third."""
    outcome: dict[str, Any] = {"best_epoch": 3, "stopped_epoch": 4, "reached_limit": True}
    return replace(store_runs.result(run, accuracy), **(outcome | changes))


@contextmanager
def filled(folder: Path, kind: Kind, **hyperparams: Any) -> Iterator[Plan]:
    """A store for the app, with one study of made-up runs; its plan.

    Args:
        folder: of the store.
        kind: "empty": there is none; "running": seed 0 is done, seed 1 in training in the hands of
            a worker, seed 2 in the queue; "diverged": all runs of the learning rate 0.2 have
            diverged; "finished": all runs have ended well.
        hyperparams: of all runs, where they are not the usual ones.
    """
    made = store_runs.plan(**hyperparams)
    if kind == "empty":
        yield made
        return
    label = made.study.name
    done = [run for run in made.runs if run.seed == 0 or kind != "running"]
    training = [run.run_id for run in made.runs if run.seed == 1 and kind == "running"]
    with Store(folder) as store:
        store.submit(store_runs.submission(made))
        store.begin(label, [run.run_id for run in done] + training)
        ended = [
            store_runs.diverged_result(run)
            if kind == "diverged" and run.hyperparams.learning_rate == 0.2
            else ended_run(run, 0.9 + i / 1000)
            for i, run in enumerate(done)
        ]
        store_runs.end(store, label, ended)
        points = [(run_id, p) for run_id in training for p in store_runs.points(3)]
        store.record(label, points, PROGRESS)
        store.set_study(label, "running" if training else "done")
    if not training:
        yield made
        return
    lock = Lock(folder)
    assert lock.acquire()
    lock.describe(label)
    try:
        yield made
    finally:
        lock.release()
