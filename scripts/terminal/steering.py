"""Pause and stop, pressed at random moments: the time until the screen shows the new state."""

import time
from pathlib import Path

from live import is_shown, open_study, shown, training
from measuring import Findings, Options, Row, say, workplace
from tui_terminal import Terminal

TIMES, COMPILING_TIMES = 100, 20
P95, MAX_COMPILING = 0.5, 2.0
LONG = 100_000  # epochs
KEYS = {"paused": " ", "stopped": "s"}


def steering(options: Options) -> Row:
    """Presses keys while a study trains."""
    random, n, findings = options.random(), options.count(TIMES), Findings()
    seconds: dict[str, list[float]] = {"paused": [], "stopped": []}
    with (
        workplace() as folder,
        shown(folder / "store") as terminal,
        training(folder, LONG, ([64],)),
    ):
        open_study(terminal)
        for number in range(n):
            _until_training(terminal)
            terminal.read(random.uniform(0.1, 1.5))
            wanted = "stopped" if number % 4 == 3 else "paused"
            seconds[wanted].append(_press(terminal, wanted))
            terminal.read(random.uniform(0.0, 0.3))
            terminal.press("r" if wanted == "stopped" else " ")
        terminal.press("q")
        findings.expect(terminal.wait() == 0, "the app did not end well")
    both = sorted(seconds["paused"] + seconds["stopped"])
    p95 = both[int(0.95 * (len(both) - 1))]
    parts = [
        f"{name} {len(found)} times, at most {max(found):.2f} s"
        for name, found in seconds.items()
        if found
    ]
    return Row(
        f"pause or stop pressed at {n} random moments of training: seconds to the state shown",
        f"p95 ≤ {P95} s",
        f"p95 {p95:.2f} s, max {both[-1]:.2f} s ({'; '.join(parts)}){findings}",
        ok=p95 <= P95 and not findings.found,
    )


def compiling(options: Options) -> Row:
    """Presses keys while a study compiles; each time with a new network, which is not cached."""
    random, n, findings = options.random(), options.count(COMPILING_TIMES), Findings()
    seconds = []
    with workplace() as folder:
        for number in range(n):
            wanted = ("paused", "stopped")[number % 2]
            place = folder / str(number)
            place.mkdir()
            taken = _while_compiling(place, 40 + number, wanted, random.uniform(0.0, 0.3))
            say(f"{wanted} after {taken:.2f} s")
            seconds.append(taken)
    return Row(
        f"the same while the study is compiled, {n} times",
        f"≤ {MAX_COMPILING} s",
        f"max {max(seconds):.2f} s, median {sorted(seconds)[n // 2]:.2f} s{findings}",
        ok=max(seconds) <= MAX_COMPILING,
    )


def _while_compiling(folder: Path, width: int, wanted: str, wait: float) -> float:
    environ = {"JMLP_HOME": str(folder / "home")}  # an empty cache of compiled programs
    with (
        shown(folder / "store", environ=environ) as terminal,
        training(folder, LONG, ([width, width, width],), **environ),
    ):
        open_study(terminal)
        terminal.until(lambda: is_shown(terminal, "running") and "compiling" in terminal.text())
        terminal.read(wait)
        taken = _press(terminal, wanted)
        terminal.press("q")
        terminal.wait()
    return taken


def _until_training(terminal: Terminal) -> None:
    terminal.until(lambda: is_shown(terminal, "running") and "training, epoch" in terminal.text())


def _press(terminal: Terminal, wanted: str) -> float:
    started = time.monotonic()
    terminal.press(KEYS[wanted])
    terminal.until(lambda: is_shown(terminal, wanted))
    return time.monotonic() - started
