"""A terminal that is resized repeatedly while the app shows a live study."""

from itertools import zip_longest
from pathlib import Path

from live import SIZE, is_shown, open_study, shown, training
from measuring import Findings, Options, Row, say, workplace
from tui_terminal import Terminal

SIZES, PICTURES = 1000, 10
SAME_SECONDS = 10.0
MAX_COLUMNS, MAX_ROWS = 400, 120
LONG = 100_000  # epochs


def sizes(options: Options) -> Row:
    """Resizes randomly; then compares the pictures with those of a freshly opened app."""
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
            terminal.resize(random.randint(1, MAX_COLUMNS), random.randint(1, MAX_ROWS))
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
                    _matches_fresh(terminal, store, size), f"another picture at {size}"
                )
            terminal.press("q")
            findings.expect(terminal.wait() == 0, "the app did not end well")
            findings.expect(not terminal.odd(), f"left: {terminal.odd()}")
    return Row(
        f"{n:,} random sizes from 1×1 to {MAX_COLUMNS}×{MAX_ROWS} during a live study",
        "no exception; the picture is that of a freshly opened app",
        f"{same} of {n_pictures} pictures the same; {len(findings.found)} faults{findings}",
        ok=not findings.found,
    )


def _matches_fresh(terminal: Terminal, store: Path, size: tuple[int, int]) -> bool:
    with shown(store) as fresh:
        open_study(fresh)
        for each in (fresh, terminal):
            each.resize(*size)
        try:
            fresh.until(lambda: _same(terminal, fresh), SAME_SECONDS)
        except AssertionError:
            pairs = zip_longest(terminal.lines(), fresh.lines(), fillvalue="")
            say("\n".join(f"{a}\n  not {b}" for a, b in pairs if a != b))
            return False
        fresh.press("q")
        fresh.wait()
    return True


def _same(terminal: Terminal, fresh: Terminal) -> bool:
    terminal.read(0.0)
    return terminal.lines() == fresh.lines()
