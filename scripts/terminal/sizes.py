"""A terminal that changes its size again and again while the app shows a live study."""

from itertools import zip_longest
from pathlib import Path

from live import SIZE, is_shown, open_study, shown, training
from measuring import Findings, Options, Row, tell, workplace
from tui_terminal import Terminal

SIZES, PICTURES = 1000, 10
SAME_SECONDS = 10.0
MOST_COLUMNS, MOST_ROWS = 400, 120
LONG = 100_000  # epochs


def sizes(options: Options) -> Row:
    """Random sizes; then the pictures are compared with those of an app that was just opened."""
    random, findings = options.random(), Findings()
    n = options.count(SIZES)
    n_pictures = min(n, PICTURES)
    same = 0
    with (
        workplace() as folder,
        shown(folder / "store") as terminal,
        training(folder, LONG, ([64], [32, 32])) as store,
    ):
        open_study(terminal)
        for _ in range(n):
            terminal.resize(random.randint(1, MOST_COLUMNS), random.randint(1, MOST_ROWS))
            terminal.read(random.choice((0.0, 0.005, 0.02, 0.1)))
            if terminal.process.poll() is not None:
                break
        if findings.expect(terminal.process.poll() is None, f"ended: {terminal.rest()}"):
            terminal.resize(*SIZE)
            terminal.until(lambda: is_shown(terminal, "running"))
            terminal.press(" ")
            terminal.until(lambda: is_shown(terminal, "paused"))
            terminal.read(1.0)
            for _ in range(n_pictures):
                size = (random.randint(60, 200), random.randint(20, 60))
                same += findings.expect(
                    _is_as_new(terminal, store, size), f"another picture at {size}"
                )
            terminal.press("q")
            findings.expect(terminal.wait() == 0, "the app did not end well")
            findings.expect(not terminal.odd(), f"left: {terminal.odd()}")
    return Row(
        f"{n:,} random sizes from 1×1 to {MOST_COLUMNS}×{MOST_ROWS} during a live study",
        "no exception; the picture is that of an app just opened",
        f"{same} of {n_pictures} pictures the same; {len(findings.found)} faults{findings}",
        ok=not findings.found,
    )


def _is_as_new(terminal: Terminal, store: Path, size: tuple[int, int]) -> bool:
    with shown(store) as fresh:
        open_study(fresh)
        for each in (fresh, terminal):
            each.resize(*size)
        try:
            fresh.until(lambda: _same(terminal, fresh), SAME_SECONDS)
        except AssertionError:
            pairs = zip_longest(terminal.lines(), fresh.lines(), fillvalue="")
            tell("\n".join(f"{a}\n  not {b}" for a, b in pairs if a != b))
            return False
        fresh.press("q")
        fresh.wait()
    return True


def _same(terminal: Terminal, fresh: Terminal) -> bool:
    terminal.read(0.0)
    return terminal.lines() == fresh.lines()
