"""A study in real processes: its terminal is closed, its worker killed, another one resumes."""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios

import pytest
from commands import ESCAPE, STUDY, Here, command, until
from queues import Queue, numbers

from jmlp.store import Lock

EPOCHS = 400
LONG = STUDY.replace("epochs = 3", f"epochs = {EPOCHS}\npatience = 'none'")
STUDY_COMMAND = ["study", "small.toml", "--experiment", "rate", "--seeds", "1"]
STUDY_COMMAND += ["--checkpoint-seconds", "0.1"]
LABEL = "small-rate"

# The terminal of a session leader is notified of its end, like a shell's.
IN_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "jmlp", *sys.argv[1:]])
"""


class Screen:
    """A terminal with a command in it."""

    def __init__(self, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 200, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", IN_TERMINAL, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env=os.environ | {"TERM": "xterm", "CI": ""},
        )
        os.close(theirs)
        self._text = ""

    def read_until(self, text: str) -> None:
        """Reads on until the command has written this, from where it was read to."""
        while text not in self._text:
            written = os.read(self._ours, 65536)
            assert written, self._text
            self._text += ESCAPE.sub("", written.decode())
        self._text = self._text.partition(text)[2]

    def close(self) -> int:
        """Ends the terminal; the exit code of the command."""
        os.close(self._ours)
        return self.process.wait(60)


@pytest.fixture
def study(here: Here) -> Here:
    (here.folder / "small.toml").write_text(LONG, encoding="utf-8")
    return here


def test_study_survives_the_end_of_its_worker_and_of_its_terminal(
    study: Here, queue: Queue
) -> None:
    screen = Screen(*STUDY_COMMAND)
    screen.read_until("group 1/1 epoch ")
    owner = Lock(queue.folder).owner()
    assert owner is not None
    os.kill(owner.pid, signal.SIGKILL)
    screen.read_until("was ended by signal 9 (SIGKILL): starts again from the last checkpoint")
    screen.read_until("training 2 runs in 1 group on ")
    screen.read_until("left")
    assert screen.close() == 129
    assert Lock(queue.folder).owner() is None
    assert queue.study(LABEL).state == "interrupted"
    assert queue.checkpoints()

    done = command("resume", cwd=study.folder / "store")
    assert done.code == 0
    assert done.err.startswith(f"{LABEL}: 0 of 2 runs are done\n")
    assert queue.study(LABEL).state == "done"
    with queue.store() as store:
        kinds = [event.kind for event in store.events() if event.run_id]
        epochs = [[p.epoch for p in store.points(run.run_id)] for run in store.runs()]
    assert kinds.count("resumed") >= 2
    assert epochs == [list(range(EPOCHS + 1))] * 2

    assert study(*STUDY_COMMAND, "--store", "undisturbed", "--quiet").code == 0
    assert numbers(queue.folder) == numbers(study.folder / "undisturbed")


def test_study_in_the_background_is_steered_from_other_terminals(study: Here, queue: Queue) -> None:
    detached = command(*STUDY_COMMAND, "--set", "epochs=100000", "--detach", cwd=study.folder)
    label = f"{LABEL}-epochs-100000"
    owner = Lock(queue.folder).owner()
    assert owner is not None
    told = (
        f"{label} trains in the background (process {owner.pid}): jmlp attach {label} shows it, "
        f"jmlp report {label} reports its completed runs\n"
    )
    try:
        assert detached == (0, "", told)
        until(lambda: bool(queue.checkpoints()))
        assert study("pause") == (0, "", f"{label}: paused\n")
        assert study("resume") == (0, "", f"{label}: running\n")
    finally:
        os.kill(owner.pid, signal.SIGTERM)
    until(lambda: Lock(queue.folder).owner() is None)
    assert queue.study(label).state == "interrupted"
    assert (queue.folder / "logs" / "worker.log").read_text().startswith("training 2 runs ")
