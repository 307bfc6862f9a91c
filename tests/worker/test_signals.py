"""A worker that is asked to leave: why, when at the latest, and how a second signal ends it."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from jmlp.worker.signals import SIGNALS

# The child prints when it listens, and each request; then it waits for a line, or forever.
WAITING = """
import sys, threading
from jmlp.worker import signals
signals.LEAVE_SECONDS = {seconds}
asked = signals.Stopping(parent=0 if {attached} else None)
print("listening", flush=True)
while not asked.wait(60): pass
print("asked", asked.reason, asked.code, flush=True)
{then}
"""
FOR_EVER = "threading.Event().wait()"
SAVING = f"""
with asked.saving():
    threading.Event().wait(0.2)  # in which another request is heard
    print("saving", flush=True)
    {FOR_EVER}
"""
# The main thread never comes back to Python's own handlers, as in a long compile: the lock is
# taken in C.
BLOCKED = """
import threading
from jmlp.worker import signals
signals.LEAVE_SECONDS = 0.2
asked = signals.Stopping()
lock = threading.Lock()
lock.acquire()
print("listening", flush=True)
lock.acquire()
"""


@contextmanager
def child(code: str, *, ignored: str = "") -> "Iterator[subprocess.Popen[str]]":
    """A Python that has begun to listen; what `ignored` names was ignored when it started."""
    command = [sys.executable, "-W", "error", "-c", code]
    with subprocess.Popen(
        ["sh", "-c", f"trap '' {ignored}; exec \"$@\"", "sh", *command] if ignored else command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "listening\n"
        yield process


def waiting(then: str, seconds: float = 60.0, attached: bool = False) -> str:
    return WAITING.format(seconds=seconds, attached=attached, then=then)


def said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_these_signals_are_requests() -> None:
    names = {"SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1"}
    assert {signal.Signals(number).name for number in SIGNALS} == names


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_signal_is_the_reason_and_a_second_one_ends_the_process_at_once(
    number: signal.Signals,
) -> None:
    with child(waiting(FOR_EVER)) as process:
        process.send_signal(number)
        assert said(process) == f"asked {number:d} {128 + number}\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 143


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_signal_that_was_ignored_at_the_start_as_by_nohup_stays_ignored(
    number: signal.Signals,
) -> None:
    with child(waiting(FOR_EVER), ignored=number.name.removeprefix("SIG")) as process:
        process.send_signal(number)
        process.send_signal(signal.SIGTERM)
        assert said(process) == "asked 15 143\n"
        process.kill()


def test_end_of_the_starters_pipe_is_a_request() -> None:
    with child(waiting("", attached=True)) as process:
        process.communicate()
        assert process.returncode == 0
    with child(waiting(FOR_EVER, seconds=0.01, attached=True)) as process:
        out, err = process.communicate()
        assert (process.returncode, out) == (129, "asked 0 129\n")
        assert err == "stopped in the middle of a compilation\n"


@pytest.mark.parametrize("first", ["signal", "pipe"])
def test_signal_to_a_whole_job_and_the_end_of_the_pipe_are_one_request(first: str) -> None:
    with child(waiting(SAVING, attached=True)) as process:
        assert process.stdin is not None
        requests = [lambda: process.send_signal(signal.SIGTERM), process.stdin.close]
        one, other = requests if first == "signal" else reversed(requests)
        one()
        assert said(process) == ("asked 15 143\n" if first == "signal" else "asked 0 129\n")
        other()
        assert said(process) == "saving\n"
        process.send_signal(signal.SIGINT)  # a second signal
        assert process.wait() == 130


def test_request_in_the_middle_of_a_compile_ends_the_process_at_the_deadline() -> None:
    with child(BLOCKED) as process:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate()
    assert (process.returncode, out, err) == (143, "", "stopped in the middle of a compilation\n")


def test_saving_may_take_longer_than_the_deadline() -> None:
    then = """
with asked.saving():
    threading.Event().wait(0.3)
print("saved", flush=True)
"""
    with child(waiting(then, seconds=0.1)) as process:
        process.send_signal(signal.SIGUSR1)
        out, err = process.communicate()
    assert (process.returncode, out, err) == (0, "asked 10 138\nsaved\n", "")


def test_saving_without_a_request_leaves_the_deadline_to_later_ones() -> None:
    first, last = BLOCKED.split("print")
    with child(f"{first}with asked.saving(): pass\nprint{last}") as process:
        process.send_signal(signal.SIGTERM)
        process.communicate()
    assert process.returncode == 143


def test_what_the_starter_writes_is_no_request() -> None:
    with child(waiting("", attached=True)) as process:
        assert process.stdin is not None
        process.stdin.write("hello\n")
        process.stdin.flush()
        process.send_signal(signal.SIGTERM)
        assert said(process) == "asked 15 143\n"


DEFERRED = """
import os, signal, sys
from jmlp.worker.signals import Stopping
asked = Stopping()
if len(sys.argv) == 1:
    asked.defer()
    signal.raise_signal(signal.SIG{name})  # it waits in this thread, which has it blocked
    os.execv(sys.executable, [sys.executable, "-c", sys.orig_argv[-1], "again"])
print("listening", flush=True)
print(asked.wait(0.2), flush=True)
asked.take_deferred()
print(asked.wait(60), asked.reason, flush=True)
"""


@pytest.mark.parametrize("name", ["TERM", "INT"])
def test_request_between_two_processes_is_taken_by_the_one_that_follows(name: str) -> None:
    code = DEFERRED.replace("{name}", name)
    with child(code) as process:
        assert said(process) == "False\n"
        assert said(process) == f"True {getattr(signal, f'SIG{name}'):d}\n"
