"""Memory and cores of a process, as the operating system reports them."""

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from jmlp.system import process_usage
from jmlp.system.process_usage import Usage, UsageMeter, cpu_seconds

PAGE, TICKS = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set by the test."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made-up `/proc` without processes."""
    monkeypatch.setattr(process_usage, "_PROC", tmp_path)
    (tmp_path / "self").mkdir()
    return tmp_path


def put(proc: Path, pid: int, user: float, system: float, pages: int) -> None:
    """Writes what the kernel says of a process with an awkward name."""
    before = "S 1 7 7 0 -1 4194560 9 0 0 0"
    between = "0 0 20 0 4 0 12345 999999"
    (proc / str(pid)).mkdir(exist_ok=True)
    (proc / str(pid) / "stat").write_text(
        f"{pid} (a) b (c)) {before} {user * TICKS:.0f} {system * TICKS:.0f} {between} {pages} 0\n"
    )


def test_cores_are_the_cpu_seconds_per_second_between_two_looks(
    proc: Path, clock: list[float]
) -> None:
    meter = UsageMeter(7)
    put(proc, 7, 10.0, 2.0, 300)
    assert meter.usage() == Usage(300 * PAGE, None)
    put(proc, 7, 13.0, 3.0, 400)
    clock[0] += 1.9  # too soon: nothing is read
    assert meter.usage() == Usage(300 * PAGE, None)
    clock[0] += 0.6
    assert meter.usage() == Usage(400 * PAGE, 4 / 2.5)
    clock[0] += 2.0
    assert meter.usage() == Usage(400 * PAGE, 0.0)


def test_nothing_is_said_of_a_process_that_is_gone(proc: Path, clock: list[float]) -> None:
    meter = UsageMeter(7)
    assert meter.usage() == Usage()
    put(proc, 7, 10.0, 2.0, 300)
    clock[0] += 2
    assert meter.usage() == Usage(300 * PAGE, None)
    (proc / "7" / "stat").write_text("7 (python) S")
    clock[0] += 2
    assert meter.usage() == Usage()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")
def test_this_process_has_memory_and_uses_no_more_than_the_cores_there_are() -> None:
    first = process_usage._of_linux(os.getpid())
    sum(range(10**6))
    second = process_usage._of_linux(os.getpid())
    assert first is not None
    assert second is not None
    assert 10e6 < second[0] < 1e12
    assert 0 < first[1] <= second[1] <= time.process_time() + 1 / TICKS


def test_where_there_is_no_proc_ps_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    asked: list[Sequence[str]] = []

    def ps(command: Sequence[str], **options: Any) -> "subprocess.CompletedProcess[str]":
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, f" 2048   0:0{len(asked)}.50\n", "")

    monkeypatch.setattr(process_usage, "_PROC", tmp_path)
    monkeypatch.setattr(subprocess, "run", ps)
    meter = UsageMeter(7)
    assert meter.usage() == Usage(2048 * 1024, None)
    clock[0] += 2
    assert meter.usage() == Usage(2048 * 1024, 0.5)
    assert asked == [["ps", "-o", "rss=,time=", "-p", "7"]] * 2


@pytest.mark.parametrize("answer", ["", "2048", "much 0:01.00", "1 2 3"])
def test_an_answer_of_ps_that_is_not_understood_is_nothing(
    answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = subprocess.CompletedProcess(["ps"], 0, answer, "")
    monkeypatch.setattr(process_usage, "_PROC", tmp_path)
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: done)
    assert UsageMeter(7).usage() == Usage()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0:01.50", 1.5), ("12:01.50", 721.5), ("02:01:02", 7262), ("3-02:01:02", 266462)],
)
def test_cpu_times_of_ps_are_read(text: str, seconds: float) -> None:
    assert cpu_seconds(text) == seconds
