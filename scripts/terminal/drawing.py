"""The time until the app's first picture, and the time to redraw."""

import statistics
import time
from pathlib import Path

import store_runs
import tui_pilot
from live import LARGE, SIZE, shown
from measuring import Options, Row, workplace
from tui_terminal import READY, Terminal

from jmlp.store import Store

STARTS = 20
MAX_SECONDS = 0.6
N_RATES, N_SEEDS, N_POINTS = 50, 10, 100
CHANGES = 40
MAX_REDRAW = 0.050

# What Textual needs for itself on this machine: an app with one key.
EMPTY = """
from textual.app import App
from textual.widgets import Footer
class Empty(App):
    BINDINGS = [("q", "quit", "Quit")]
    def compose(self):
        yield Footer()
Empty().run()
"""

KEEP_BYTECODE = {"PYTHONDONTWRITEBYTECODE": ""}  # as Python does where nothing is set

# Measures the time from the notification of a screen about a change until its picture is written.
PROBE = """
import time, tui.launch
from tui.screens.{module} import {screen} as Screen
class Probed(tui.launch.TerminalApp):
    __module__ = "tui.launch"  # the styles are next to it
    begun = None
    def post_display_hook(self):
        if Probed.begun is not None and isinstance(self.screen, Screen):
            with open({path!r}, "a") as file:
                print(time.perf_counter() - Probed.begun, file=file)
            Probed.begun = None
tui.launch.TerminalApp = Probed
on_feed_update = Screen.on_feed_update
def probed(self, event):
    Probed.begun = time.perf_counter()
    on_feed_update(self, event)
Screen.on_feed_update = probed
"""


def paint(options: Options) -> Row:
    """Measures the time from the start of `jmlp` to its first picture, without a store."""
    n = options.count(STARTS)
    ours, of_empty = [], []
    with workplace() as folder:
        for _ in range(n + 1):
            ours.append(_seconds_to_picture(folder / "store"))
            of_empty.append(_seconds_to_picture(folder / "store", "-c", EMPTY))
    # The first start reads files from the disk, and compiles the modules.
    found, textual = ours[1:], statistics.median(of_empty[1:])
    median = statistics.median(found)
    return Row(
        f"from the start of jmlp to its first picture, {n} times",
        f"median ≤ {MAX_SECONDS} s",
        f"median {median:.2f} s, max {max(found):.2f} s (an empty Textual app: {textual:.2f} s)",
        ok=median <= MAX_SECONDS,
    )


def _seconds_to_picture(store: Path, *arguments: str) -> float:
    started = time.monotonic()
    with Terminal(*arguments, store=store, environ=KEEP_BYTECODE) as terminal:
        terminal.until(lambda: READY.encode() in terminal.written)
        return time.monotonic() - started


def redraw(options: Options) -> Row:
    """Measures redraws of a study's screen and of the list of runs when a point is recorded."""
    n = options.count(CHANGES)
    with workplace() as folder:
        label, run_ids = _fill(folder / "store")
        taken = {
            "study": _redraws(folder, "study", "StudyScreen", "\r", label, run_ids, n, SIZE),
            "dashboard": _redraws(folder, "study", "StudyScreen", "\r", label, run_ids, n, LARGE),
            "runs": _redraws(folder, "runs", "RunsScreen", "2", label, run_ids, n, SIZE),
        }
    longest = max(max(found) for found in taken.values())
    parts = [
        f"{name} {1000 * statistics.median(found):.0f} ms, max {1000 * max(found):.0f} ms"
        for name, found in taken.items()
    ]
    return Row(
        f"redraw at a change, {N_RATES * N_SEEDS} runs of {N_POINTS} points in the store, {n} "
        "changes each",
        f"≤ {1000 * MAX_REDRAW:.0f} ms",
        "; ".join(parts),
        ok=longest <= MAX_REDRAW,
    )


def _fill(store: Path) -> tuple[str, list[str]]:
    made = store_runs.plan("large", [0.001 * (i + 1) for i in range(N_RATES)], N_SEEDS)
    run_ids = [run.run_id for run in made.runs]
    with Store(store) as opened:
        opened.submit(store_runs.submission(made))
        opened.begin("large", run_ids)
        for run_id in run_ids:
            points = [(run_id, point) for point in store_runs.points(N_POINTS)]
            opened.record("large", points, tui_pilot.PROGRESS)
    return "large", run_ids


def _redraws(
    folder: Path,
    module: str,
    screen: str,
    key: str,
    label: str,
    run_ids: list[str],
    n: int,
    size: tuple[int, int],
) -> list[float]:
    path, store = folder / f"{module}-{size[0]}", folder / "store"
    code = PROBE.format(module=module, screen=screen, path=str(path))
    with shown(store, code, size=size) as terminal, Store(store) as opened:
        terminal.until_shown(label)
        terminal.press(key)
        terminal.until(path.exists)
        terminal.read(1.0)
        n_before = len(path.read_text().split())
        epoch = len(opened.points(run_ids[0]))
        for number in range(n):
            run_id = run_ids[number % len(run_ids)]
            point = (run_id, store_runs.point(epoch + N_POINTS + number))
            opened.record(label, [point], tui_pilot.PROGRESS)
            terminal.read(0.4)
        terminal.press("q")
        terminal.wait()
    return [float(text) for text in path.read_text().split()[n_before:]]
