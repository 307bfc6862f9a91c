"""What the command shows while a study is in training, and how a signal ends its watching."""

import io
import os
import signal
import sys
import threading
import time
from dataclasses import replace

import pytest
from commands import ESCAPE, Terminal

from jmlp.cli.output import Output
from jmlp.cli.progress import Stop, display, stoppable
from jmlp.training.records import CostPoint, Progress

FIRST = Progress("training", group=1, n_groups=2, name="batch size 16", n_runs=4)
SECOND = replace(FIRST, group=2, name="batch size 32")


def point(epoch: int, cost: float) -> CostPoint:
    return CostPoint(epoch, 10 * epoch, None, cost, 0.5, cost + 0.1, 0.4)


# The state of the study, how far it is, and what was measured since the look before.
LOOKS: list[tuple[str, Progress, list[CostPoint]]] = [
    ("queued", Progress(n_runs=4), []),
    ("running", Progress(n_runs=4), []),  # a worker has it, and loads data
    ("running", replace(FIRST, phase="compiling"), []),
    ("running", FIRST, [point(0, 2.0), point(0, 3.0)]),
    ("running", replace(FIRST, epoch=1), []),
    (
        "running",
        replace(FIRST, runs_done=1, epoch=1, remaining=61.0),
        [point(2, 1.0), point(1, 2.0), point(1, 9.0)],
    ),
    ("paused", replace(FIRST, epoch=1), []),
    ("paused", replace(FIRST, epoch=1), []),
    ("running", replace(SECOND, phase="compiling", runs_done=2, remaining=30.0), []),
    ("running", replace(SECOND, phase="finished", runs_done=4, remaining=0.0), []),
    ("done", Progress("finished", group=2, n_groups=2, runs_done=4, n_runs=4), []),
]
LINES = """\
group 1/2: batch size 16
epoch 0 (median of 2 runs) training_cost 2.5000 validation_cost 2.6000 \
validation_accuracy 0.4000 runs 0/4
epoch 2 training_cost 1.0000 validation_cost 1.1000 validation_accuracy 0.4000 runs 1/4 \
about 1 min left
paused
group 2/2: batch size 32
done runs 4/4
"""


def show_all(out: Output) -> None:
    """A whole study."""
    with display(out) as show:
        for look in LOOKS:
            show.show(*look)


def test_pipe_gets_a_line_for_each_group_for_new_epochs_and_for_a_pause(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_all(Output())
    assert capsys.readouterr() == ("", LINES)


def test_plain_terminal_gets_the_lines_of_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream := Terminal())
    show_all(Output(plain=True))
    assert stream.getvalue() == LINES


@pytest.mark.parametrize("ci", ["", "true"])
@pytest.mark.parametrize("term", ["xterm-256color", "dumb"])
def test_pipe_that_colour_is_forced_on_gets_the_lines_of_a_pipe(
    ci: str, term: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("TERM", term)
    show_all(Output())
    assert capsys.readouterr() == ("", LINES)


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["pipe", "terminal"])
def test_quiet_training_shows_nothing(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", stream)
    show_all(Output(quiet=True))
    assert stream.getvalue() == ""


class Screen(Terminal):
    """A terminal that others can wait for: the bar is drawn by a thread, ten times a second."""

    def __init__(self) -> None:
        super().__init__()
        self._drawn = threading.Condition()

    def write(self, text: str) -> int:
        with self._drawn:
            self._drawn.notify_all()
            return super().write(text)

    def wait_for(self, text: str) -> bool:
        with self._drawn:
            return self._drawn.wait_for(lambda: text in ESCAPE.sub("", self.getvalue()), timeout=60)


def test_terminal_gets_a_bar_with_the_time_left_within_its_width(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "stderr", screen := Screen())
    empty, begun = "━" * 20, "━━━━━╺━━━━━━━━━━━━━━"
    drawn = {
        0: f"waiting {empty} 0/4 runs",
        1: f"starting {empty} 0/4 runs",
        2: f"group 1/2 compiling {empty} 0/4 runs",
        5: f"group 1/2 epoch 1 {begun} 1/4 runs about 1 min left",
        6: f"paused {empty} 0/4 runs",
    }
    with display(Output()) as show:
        for index, look in enumerate(LOOKS):
            show.show(*look)
            assert screen.wait_for(drawn.get(index, ""))
    lines = ESCAPE.sub("", screen.getvalue()).replace("\r", "\n").split("\n")
    assert max(map(len, lines)) <= 80
    for above in ("group 1/2: batch size 16", "group 2/2: batch size 32"):
        assert lines.count(above) == 1
    assert screen.getvalue().endswith("\x1b[1A\x1b[2K")  # the bar is gone in the end
    assert "\x1b[?25h" in screen.getvalue()  # and the cursor back


def test_wide_terminal_gets_a_bar_of_the_work_the_speed_and_a_clock_of_compiles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "stderr", screen := Screen())
    at = [1_000_000_000]
    monkeypatch.setattr(time, "time_ns", lambda: at[0] * 1_000_000)
    training = replace(FIRST, epoch=1, share=0.5, remaining=61.0, examples_per_second=411_980.0)
    compiling = replace(FIRST, phase="compiling", phase_began=at[0], examples_per_second=1.0)
    with display(Output()) as show:
        at[0] += 12_999
        show.show("running", compiling)
        assert screen.wait_for(f"group 1/2 compiling 12 s {'━' * 20} 0/4 runs")
        at[0] += 1
        assert screen.wait_for("group 1/2 compiling 13 s")  # without another record
        show.show("running", training)
        bar = f"{'━' * 10}╺{'━' * 9}"
        assert screen.wait_for(
            f"group 1/2 epoch 1 {bar} 0/4 runs about 1 min left   412,000 examples/s"
        )
    assert "1 examples/s" not in screen.getvalue()


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1]
)
def test_signal_asks_to_stop_and_the_handlers_are_put_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stoppable() as stop:
        assert stop.signal is None
        signal.raise_signal(number)
        assert stop.signal == number
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_signal_that_is_ignored_as_by_nohup_stays_ignored(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with stoppable() as stop:
            signal.raise_signal(number)
            assert stop.signal is None
            signal.raise_signal(signal.SIGTERM)
            assert stop.signal == signal.SIGTERM
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_second_signal_within_two_seconds_leaves_now(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []
    now = iter([100.0, 102.1, 104.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    monkeypatch.setattr(os, "_exit", left.append)
    stop = Stop()
    stop.before_leaving = lambda: left.append(0)
    stop.request(signal.SIGINT, None)
    stop.request(signal.SIGINT, None)
    assert left == []
    stop.request(signal.SIGTERM, None)
    assert left == [0, 128 + 15]
