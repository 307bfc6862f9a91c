"""Every way the app can end, in real terminals: each is given back as it was."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import tui_pilot
from live import shown
from measuring import Findings, Options, Row, tell, workplace
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

# Holds the store as a worker does, and trains nothing.
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
    """At random moments after the first picture, on a study in training."""
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
            tell(f"{kind}: {back} so far")
    total = n * len(KINDS)
    return Row(
        f"end by {', '.join(KINDS)}; in a real terminal, {n} each",
        f"terminal given back {total} of {total} times, and the right exit code",
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
    """Ends the app so; what is not as it has to be."""
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
        odd = terminal.odd() + _said(terminal, kind)
        return odd if found == wanted else [*odd, f"code {found}"]


def _said(terminal: Terminal, kind: str) -> list[str]:
    """A bug is described in words; after `q`, what continues, if that was known; nothing else."""
    told = terminal.rest()
    if kind == "q" and told.endswith(" continues without the app: jmlp attach shows it\n"):
        return []
    wanted = "jmlp: error: this is a bug in jmlp: " if kind == "exception" else ""
    return [] if told.startswith(wanted) and bool(told) == bool(wanted) else [f"said {told!r}"]
