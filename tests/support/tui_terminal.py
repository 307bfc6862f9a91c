"""A terminal in memory with the app in it: keys go in, a screen comes out, and how it was left."""

import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pyte

READY = "Quit"  # the last word of the first picture: the keys
WAIT_SECONDS = 60.0
APP = ("-m", "jmlp")

# The terminal of a session leader is notified of its end, like a shell's. The environment is handed
# on as it is given: Python changes its own in the locale C. Signals that this process ignores, as
# in the background of a script, are not ignored in a new terminal.
IN_TERMINAL = """
import fcntl, json, os, signal, sys, termios
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execve(sys.executable, [sys.executable, *sys.argv[2:]], json.loads(sys.argv[1]))
"""
# What says whether the app draws colours or signs is up to the test, not to who runs it.
FORGOTTEN = ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "COLUMNS", "LINES", "LC_ALL", "LC_CTYPE")

MODE = re.compile(rb"\x1b\[\?([0-9;]+)([hl])")
KITTY = re.compile(rb"\x1b\[[<>][0-9]*u")
STYLE = re.compile(rb"\x1b\[([0-9;]*)m")
COLOUR = re.compile(rb"[349][0-9]|10[0-9]")
CURSOR, WRAP = b"25", b"7"  # the modes that are on in a fresh terminal


class Terminal:
    """A process in its own terminal."""

    def __init__(
        self,
        *arguments: str,
        store: Path,
        size: tuple[int, int] = (80, 24),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Starts it.

        Args:
            arguments: of Python; none: the app.
            store: the folder of runs.
            size: columns and rows.
            environ: variables beside those of this process.
        """
        self._ours, self._theirs = pty.openpty()
        self.resize(*size)
        self.attributes = termios.tcgetattr(self._theirs)
        kept = {name: text for name, text in os.environ.items() if name not in FORGOTTEN}
        given = {"TERM": "xterm-256color", "LANG": "C.UTF-8", "JMLP_RUNS": str(store)}
        given["JMLP_CONFIG"] = str(store.parent / "config")  # no test's choices are another's
        env = json.dumps({**kept, **given, **(environ or {})})
        self.process = subprocess.Popen(
            [sys.executable, "-c", IN_TERMINAL, env, *(arguments or APP)],
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=self._theirs,
            start_new_session=True,
        )
        self.written = b""
        self._screen = pyte.Screen(*size)
        self._stream = pyte.ByteStream(self._screen)
        self._pending = b""

    # ---- in and out

    def press(self, keys: str | bytes) -> None:
        """Types something, read or not."""
        data = memoryview(keys.encode() if isinstance(keys, str) else keys)
        while data:
            self.read(0.0)
            if select.select([], [self._ours], [], 1.0)[1]:
                data = data[os.write(self._ours, data[:1024]) :]

    def resize(self, columns: int, rows: int) -> None:
        """Resizes the screen, then notifies the app, whose next picture has the new size."""
        if hasattr(self, "_screen") and columns and rows:
            self.read(0.0)
            self._screen.resize(rows, columns)
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def discard(self, seconds: float) -> None:
        """Takes what is written within this time, and draws nothing: that would cost more."""
        deadline = time.monotonic() + seconds
        while select.select([self._ours], [], [], max(0.0, deadline - time.monotonic()))[0]:
            os.read(self._ours, 65536)

    def read(self, seconds: float) -> bytes:
        """What is written within this time."""
        deadline, found = time.monotonic() + seconds, b""
        while select.select([self._ours], [], [], max(0.0, deadline - time.monotonic()))[0]:
            try:
                data = os.read(self._ours, 65536)
            except OSError:  # no process has the terminal open any more
                break
            found += data
            if seconds == 0.0 and len(found) > 1 << 20:
                break
        self.written += found
        self._feed(found)
        return found

    def _feed(self, data: bytes) -> None:
        data = self._pending + data
        whole = data.rfind(b"\x1b")  # a sequence may continue in the next piece
        whole = len(data) if whole < 0 or re.search(rb"[a-zA-Z\x07]", data[whole:]) else whole
        self._pending = data[whole:]
        self._stream.feed(KITTY.sub(b"", data[:whole]))  # pyte would show them

    def lines(self) -> list[str]:
        """What the screen shows."""
        return [line.rstrip() for line in self._screen.display]

    def text(self) -> str:
        """The same in one piece."""
        return "\n".join(self.lines())

    def until(self, condition: Callable[[], object], seconds: float = WAIT_SECONDS) -> None:
        """Reads on until this holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.text()
            ended = self.process.poll() is not None
            self.read(0.02)
            assert not ended or condition(), self.text()

    def until_shown(self, *texts: str) -> None:
        """Reads on until one of these is on the screen."""
        self.until(lambda: any(text in self.text() for text in texts))

    # ---- ends

    def send(self, number: int) -> None:
        """Sends a signal to the process."""
        self.process.send_signal(number)

    def close_window(self) -> None:
        """The terminal goes away while the process is in it."""
        os.close(self._theirs)
        os.close(self._ours)
        self._ours = self._theirs = -1

    def wait(self, seconds: float = WAIT_SECONDS) -> int:
        """The exit code; what is written on the way is read."""
        if self._ours >= 0:
            self.until(lambda: self.process.poll() is not None, seconds)
            self.read(0.0)
        return self.process.wait(seconds)

    def odd(self) -> list[str]:
        """What is not as it was before the process had the terminal."""
        found = []
        if termios.tcgetattr(self._theirs) != self.attributes:
            found.append("its settings")
        modes = {CURSOR: True, WRAP: True}
        for names, state in MODE.findall(self.written):
            modes |= dict.fromkeys(names.split(b";"), state == b"h")
        wanted = {CURSOR: True, WRAP: True}
        changed = [name.decode() for name, on in modes.items() if on != wanted.get(name, False)]
        found += [f"mode {name}" for name in changed]
        kitty = KITTY.findall(self.written)
        if sum(1 if b">" in sequence else -1 for sequence in kitty) > 0:
            found.append("the keyboard's protocol")
        return found

    def rest(self) -> str:
        """What was written after the app had given its screen back, without escapes."""
        text = self.written.rpartition(b"\x1b[?1049l")[2].decode()
        return re.sub(r"\x1b\[[0-9;?<>]*[A-Za-z]", "", text).replace("\r\n", "\n")

    def colours(self) -> set[bytes]:
        """Every code of a colour that was written."""
        codes = {code for found in STYLE.findall(self.written) for code in found.split(b";")}
        return {
            code for code in codes if (code[:1] in b"349" and len(code) > 1) or code[:2] == b"10"
        }

    def cpu_seconds(self) -> float:
        """Of the process, until now."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        """Ends everything, at the end of a test."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for descriptor in (self._ours, self._theirs):
            if descriptor >= 0:
                os.close(descriptor)
        self._ours = self._theirs = -1

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
