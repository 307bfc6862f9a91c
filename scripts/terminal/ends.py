"""All ways in which the app can end, in real terminals, which must be restored."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import tui_pilot
from live import shown
from measuring import Findings, Options, Row, say, workplace
from tui_terminal import Terminal

TIMES = 100
SIGNALS = {"INT": signal.SIGINT, "TERM": signal.SIGTERM, "HUP": signal.SIGHUP}
KINDS = ("q", "exception", *SIGNALS, "worker killed")

BROKEN = """
from tui.app import JmlpApp
def broken(self):
    raise ValueError("of a test")
JmlpApp.action_help = broken
"""

# Holds the store's lock as a worker does, but trains nothing.
HOLDER = """
import sys, time
from pathlib import Path
from jmlp.store import Lock
lock = Lock(Path(sys.argv[1]))
assert lock.acquire()
lock.describe(sys.argv[2])
print(flush=True)
time.sleep(600)
"""


def ends(options: Options) -> Row:
    """Ends the app at random moments after its first picture, during training of a study."""
    random, findings, n = options.random(), Findings(), options.count(TIMES)
    back = 0
    with workplace() as folder:
        with tui_pilot.filled(folder / "store", "running") as made:
            label = made.study.name
        for kind in KINDS:
            for number in range(n):
                with _holder(folder / "store", label) as holder:
                    odd = _end(folder / "store", kind, holder, random)
                back += findings.expect(not odd, f"{kind} {number}: {odd}")
            say(f"{kind}: {back} so far")
    total = n * len(KINDS)
    return Row(
        f"end by {', '.join(KINDS)}; in a real terminal, {n} each",
        f"terminal restored {total} of {total} times, and the right exit code",
        f"{back} of {total}{findings}",
        ok=back == total,
    )


@contextlib.contextmanager
def _holder(store: Path, label: str) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(store), label], stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def _end(store: Path, kind: str, holder: "subprocess.Popen[bytes]", random: Random) -> list[str]:
    """Ends the app in this way; returns what is wrong with the terminal, output or exit code."""
    code = BROKEN if kind == "exception" else None
    with shown(store, code) as terminal:
        terminal.read(random.uniform(0.0, 0.5))
        if random.random() < 0.5:
            terminal.press("\r")
            terminal.read(random.uniform(0.0, 0.3))
        wanted = 0
        if kind in SIGNALS:
            terminal.send(SIGNALS[kind])
            wanted = 128 + SIGNALS[kind]
        elif kind == "exception":
            terminal.press("?")
            wanted = 1
        elif kind == "worker killed":
            holder.kill()
            terminal.until(lambda: "no worker" in terminal.text())
            terminal.press("q")
        else:
            terminal.press("q")
        found = terminal.wait()
        problems = terminal.odd() + _wrong_output(terminal, kind)
        return problems if found == wanted else [*problems, f"code {found}"]


def _wrong_output(terminal: Terminal, kind: str) -> list[str]:
    """Checks the final output: a bug's message; after `q`, what continues, if known; else none."""
    text = terminal.rest()
    if kind == "q" and text.endswith(" continues without the app: jmlp attach shows it\n"):
        return []
    wanted = "jmlp: error: this is a bug in jmlp: " if kind == "exception" else ""
    return [] if text.startswith(wanted) and bool(text) == bool(wanted) else [f"printed {text!r}"]
