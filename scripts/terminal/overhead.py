"""The app during training on all cores: whether they slow each other down."""

import contextlib
import statistics
import time
from itertools import pairwise
from pathlib import Path

from live import LARGE, open_study, shown, state, training, training_seconds
from measuring import Options, Row, say, workplace

GAP_SECONDS = 60
PERCENTILE, MAX_GAP = 0.100, 0.250  # seconds between two ticks
WIDTHS = ([64], [128, 64], [100, 50, 20], [32, 32], [64, 64], [200], [30, 20, 10], [80, 40])
PAIRS = 8
MAX_TRAINING = 600.0  # seconds
MAX_SLOWDOWN = 0.05
POLL_SECONDS = 0.5

# A timer of 50 ms in the real app, which records the times of its calls.
PROBE = """
import time, tui.launch
class Probed(tui.launch.TerminalApp):
    __module__ = "tui.launch"  # the styles are next to it
    def on_mount(self):
        self.ticks = open({path!r}, "w", buffering=1)
        self.set_interval(0.05, self.tick)
    def tick(self):
        print(time.monotonic(), file=self.ticks)
tui.launch.TerminalApp = Probed
"""


def gap(options: Options) -> Row:
    """Measures the gaps between ticks of the app while a study compiles and trains."""
    seconds = options.cases or (GAP_SECONDS if not options.quick else GAP_SECONDS // 6)
    with workplace() as folder:
        path = folder / "ticks"
        with (
            shown(folder / "store", PROBE.format(path=str(path)), size=LARGE) as terminal,
            training(folder, 60, WIDTHS) as store,
        ):
            started = time.monotonic()
            open_study(terminal)
            terminal.read(seconds)
            ended = time.monotonic()
            terminal.press("q")
            code = terminal.wait()
            still = state(store)
        ticks = [t for t in map(float, path.read_text().split()) if started <= t <= ended]
    gaps = sorted(b - a for a, b in pairwise(ticks))
    p99, longest = gaps[int(0.99 * (len(gaps) - 1))], gaps[-1]
    return Row(
        f"gap between two ticks of a 50 ms timer in the app, which shows a study that compiles and "
        f"trains on all cores, on {LARGE[0]}×{LARGE[1]}, {seconds} s",
        f"p99 ≤ {1000 * PERCENTILE:.0f} ms, max ≤ {1000 * MAX_GAP:.0f} ms",
        f"p99 {1000 * p99:.0f} ms, max {1000 * longest:.0f} ms ({len(gaps):,} gaps)",
        ok=p99 <= PERCENTILE and longest <= MAX_GAP and code == 0 and still == "running",
    )


def slowdown(options: Options) -> Row:
    """Trains the same study with the app open and without it, in turn."""
    pairs = options.count(PAIRS)
    seconds: dict[bool, list[float]] = {False: [], True: []}
    with workplace() as folder:
        _train(folder / "first", watched=False)  # compiles
        for number in range(pairs):
            for watched in (False, True) if number % 2 else (True, False):
                taken = _train(folder / f"{number}-{watched}", watched=watched)
                seconds[watched].append(taken)
                say(f"{'with' if watched else 'without'} the app: {taken:.2f} s")
    ratios = [w / b for w, b in zip(seconds[True], seconds[False], strict=True)]
    slower = statistics.median(ratios) - 1
    return Row(
        f"training with the app open on its study against without it, {pairs} pairs in turn",
        f"≤ {100 * MAX_SLOWDOWN:.0f} % slower",
        f"{100 * slower:+.1f} % (median; {100 * min(ratios) - 100:+.1f} to "
        f"{100 * max(ratios) - 100:+.1f}; {statistics.median(seconds[False]):.1f} s alone)",
        ok=slower <= MAX_SLOWDOWN,
    )


def _train(folder: Path, *, watched: bool) -> float:
    folder.mkdir()
    with contextlib.ExitStack() as stack:
        terminal = stack.enter_context(shown(folder / "store")) if watched else None
        store = stack.enter_context(training(folder, 100, WIDTHS[:1]))
        if terminal is not None:
            open_study(terminal)
        deadline = time.monotonic() + MAX_TRAINING
        while state(store) != "done" and time.monotonic() < deadline:
            if terminal is None:
                time.sleep(POLL_SECONDS)
            else:
                terminal.discard(POLL_SECONDS)
        return training_seconds(store)
