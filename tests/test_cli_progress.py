"""What the command shows while it trains, and how it stops."""

import io
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from commands import ESCAPE, Terminal
from helpers import experiment, plan
from table_runs import finished

from jmlp.cli.output import Output
from jmlp.cli.training import Stop, duration, watch
from jmlp.config import Hyperparams
from jmlp.results import CostPoint, Progress

PLAN = plan(experiment({"batch_size": (16, 32)}, seeds=(0, 1)))
RESULT = finished(Hyperparams(), 0, 0.9)
COMPILING = Progress("compiling", 1, 2, 0, 4, 0, {}, (), 0.0, None)


def point(epoch: int, cost: float) -> CostPoint:
    return CostPoint(epoch, 10 * epoch, None, cost, 0.5, cost + 0.1, 0.4)


RECORDS = [
    COMPILING,
    replace(COMPILING, phase="training", points={"a": point(0, 2.0), "b": point(0, 3.0)}),
    replace(COMPILING, phase="training", epoch=1),  # a chunk within the epoch
    replace(
        COMPILING,
        phase="training",
        runs_done=1,
        epoch=1,
        points={"a": point(1, 1.0), "b": point(1, 2.0), "c": point(0, 9.0)},
        results=(RESULT,),
        remaining=61.0,
    ),
    replace(COMPILING, group=2, runs_done=2, remaining=30.0),
    replace(COMPILING, phase="finished", group=2, runs_done=4, remaining=0.0),
]
LINES = """\
group 1/2 compiling hidden 5-4, batch size 16
group 1/2 epoch 0 lanes 2 training_cost 2.5000 validation_cost 2.6000 validation_accuracy 0.4000 \
runs 0/4
group 1/2 epoch 0-1 lanes 3 training_cost 2.0000 validation_cost 2.1000 validation_accuracy 0.4000 \
runs 1/4 about 1 min left
group 2/2 compiling hidden 5-4, batch size 32
"""


def test_pipe_gets_one_line_for_each_group_and_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    assert watch(iter(RECORDS), PLAN, Output(), keep=lambda ended: None) is None
    assert capsys.readouterr() == ("", LINES)


def test_plain_terminal_gets_the_lines_of_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream := Terminal())
    watch(iter(RECORDS), PLAN, Output(plain=True), keep=lambda ended: None)
    assert stream.getvalue() == LINES


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["pipe", "terminal"])
def test_quiet_training_shows_nothing(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", stream)
    watch(iter(RECORDS), PLAN, Output(quiet=True), keep=lambda ended: None)
    assert stream.getvalue() == ""


def test_runs_that_end_are_kept_at_once() -> None:
    kept: list[object] = []

    def records() -> Iterator[Progress]:
        for record in RECORDS:
            yield record
            assert kept == [RESULT] * (record.runs_done > 0)

    watch(records(), PLAN, Output(quiet=True), keep=kept.extend)
    assert kept == [RESULT]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (3569, "59 min"),
        (3570, "1 h 0 min"),
        (8999, "2 h 30 min"),
    ],
)
def test_duration_has_the_digits_of_an_estimate(seconds: float, text: str) -> None:
    assert duration(seconds) == text


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

    def records() -> Iterator[Progress]:
        yield from RECORDS[:4]
        bar = "━━━━━╺━━━━━━━━━━━━━━"
        assert screen.wait_for(f"group 1/2 epoch 1 {bar} 1/4 runs about 1 min left")
        yield from RECORDS[4:]

    watch(records(), PLAN, Output(), keep=lambda ended: None)
    lines = ESCAPE.sub("", screen.getvalue()).replace("\r", "\n").split("\n")
    assert max(map(len, lines)) <= 80
    for above in ("group 1/2: hidden 5-4, batch size 16", "group 2/2: hidden 5-4, batch size 32"):
        assert lines.count(above) == 1
    assert screen.getvalue().endswith("\x1b[1A\x1b[2K")  # the bar is gone in the end
    assert "\x1b[?25h" in screen.getvalue()  # and the cursor back


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_stops_the_training_after_what_it_is_doing(number: signal.Signals) -> None:
    kept: list[object] = []
    closed = []

    def records() -> Iterator[Progress]:
        try:
            yield RECORDS[0]
            signal.raise_signal(number)
            yield RECORDS[3]
            raise AssertionError("went on")
        finally:
            closed.append(True)

    before = signal.getsignal(number)
    assert watch(records(), PLAN, Output(quiet=True), kept.extend) == number
    assert kept == [RESULT]
    assert closed == [True]
    assert signal.getsignal(number) == before


def test_second_signal_within_two_seconds_leaves_now(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []
    now = iter([100.0, 102.1, 104.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    monkeypatch.setattr(os, "_exit", left.append)
    stop = Stop()
    stop.request(signal.SIGINT, None)
    stop.request(signal.SIGINT, None)
    assert left == []
    stop.request(signal.SIGTERM, None)
    assert left == [128 + 15]
