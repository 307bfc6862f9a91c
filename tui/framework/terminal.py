"""The terminal as the app's driver: nothing that it sends or fails at can end or block the app."""

import contextlib
import os
import select
import signal
import sys
import termios
import time
from codecs import getincrementaldecoder
from collections.abc import Callable
from typing import Any, cast

from textual import events, messages
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver

from tui.framework.ascii import to_ascii

MAX_COLUMNS, MAX_ROWS = 1000, 500
MAX_QUEUED = 500  # messages that the app has not handled yet: no more is read before
WAIT_SECONDS = 0.05
READ_BYTES = 4096

# Everything that the driver may have switched on.
RESET = (
    "\x1b[?2004l\x1b[?7h\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1004l\x1b[<u"
    "\x1b[?2026l\x1b[?1049l\x1b[?25h\x1b[0m"
)


class Writer:
    """What is written to the terminal; one that has gone takes everything and does nothing.

    The file that Textual writes to raises where the terminal has gone, in a thread that then ends:
    the app waits for that thread for ever. It raises too where another program has made the
    terminal non-blocking, and it cannot write ASCII.
    """

    def __init__(self, fileno: int, *, ascii_only: bool, on_gone: Callable[[], object]) -> None:
        """Writes nothing yet.

        Args:
            fileno: of the terminal.
            ascii_only: it knows no other signs.
            on_gone: called once, by whoever writes, when the terminal has gone.
        """
        self._fileno, self._ascii_only, self._on_gone = fileno, ascii_only, on_gone
        self._gone = False

    def fileno(self) -> int:
        """The number of its descriptor."""
        return self._fileno

    def write(self, text: str) -> int:
        """Writes all of it at once."""
        data = memoryview((to_ascii(text) if self._ascii_only else text).encode("utf-8", "replace"))
        while data and not self._gone:
            try:
                data = data[os.write(self._fileno, data) :]
            except BlockingIOError:  # another program made the terminal so
                select.select([], [self._fileno], [])
            except OSError:
                self._gone = True
                self._on_gone()
        return len(text)

    def flush(self) -> None:
        """Does nothing: nothing is kept back."""


class TerminalDriver(LinuxDriver):
    """Draws on the terminal of stderr, and reads the one of stdin."""

    ascii_only = False  # set by the launcher, for the class

    def __init__(self, app: Any, **options: Any) -> None:
        """Takes nothing of the terminal yet; options are those of Textual's driver."""
        super().__init__(app, **options)
        assert sys.__stderr__ is not None
        writer = Writer(
            sys.__stderr__.fileno(), ascii_only=self.ascii_only, on_gone=self._leave_gone_terminal
        )
        self._file = cast(Any, writer)
        self._stopped = False  # by the person at the terminal

    def _leave_gone_terminal(self) -> None:
        """Ends the app, from any thread."""
        self._call_in_app(lambda: self._app.exit(return_code=128 + signal.SIGHUP))

    def _call_in_app(self, function: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # the app has ended
            self._loop.call_soon_threadsafe(function)

    # ---- size

    def _get_terminal_size(self) -> tuple[int, int]:
        # Textual looks at COLUMNS and LINES first, which hold though the terminal is resized, and
        # takes any size: cells are made for every one of 65,535 × 65,535.
        try:
            columns, rows = os.get_terminal_size(self.fileno)
        except OSError:
            columns = rows = 0
        return min(columns or 80, MAX_COLUMNS), min(rows or 24, MAX_ROWS)

    def _query_in_band_window_resize(self) -> None:
        """Asks for none: Textual believes sizes in what it reads, and bytes may say any size."""

    # ---- keys and mouse

    def _run_input_thread(self) -> None:
        """Ends the app at an error, of which Textual prints a traceback and nothing else."""
        try:
            self.run_input_thread()
        except Exception as error:
            self._call_in_app(lambda error=error: self._app._handle_exception(error))  # type: ignore[misc]

    def run_input_thread(self) -> None:
        """Reads until the app ends or the terminal has gone.

        Textual reads on with 100 % of a core where it has gone, ends at bytes that are no UTF-8,
        and reads faster than the app can handle, so that memory fills.
        """
        parser = XTermParser(self._debug)
        decode = getincrementaldecoder("utf-8")("replace").decode
        while not self.exit_event.is_set():
            ready, _, _ = select.select([self.fileno], [], [], WAIT_SECONDS)
            if ready:
                try:
                    data = os.read(self.fileno, READ_BYTES)
                except BlockingIOError:
                    continue
                except OSError:
                    data = b""
                if not data:
                    self._leave_gone_terminal()
                    return
                for message in parser.feed(decode(data)):
                    self.process_message(message)
            for message in parser.tick():
                self.process_message(message)
            while self._app.message_queue_size > MAX_QUEUED and not self.exit_event.is_set():
                time.sleep(WAIT_SECONDS)

    def process_message(self, message: Any) -> None:
        """Hands it to the app, unless it answers what was never asked: Textual obeys that too."""
        unasked = (events.Resize, events.CursorPosition, messages.InBandWindowResize)
        if not isinstance(message, unasked):
            super().process_message(message)

    # ---- stopping and continuing (Ctrl-Z, fg)

    # Textual does both inside of handlers of signals, where locks may be held, such as that of its
    # writer: the app then waits for itself. After a SIGSTOP, of which it hears nothing, it goes on
    # as if others had not used the terminal meanwhile.

    def _sigtstp_application(self, *_: object) -> None:
        self._call_in_app(self._stop)

    def _sigcont_application(self, *_: object) -> None:
        self._call_in_app(self._continue)

    def _stop(self) -> None:
        if self._auto_restart and not self._stopped:
            self.suspend_application_mode()
            self._stopped = self._must_signal_resume = True
        os.kill(os.getpid(), signal.SIGSTOP)

    def _continue(self) -> None:
        """Takes the terminal again, which others have used meanwhile."""
        if not self._auto_restart:
            return
        if not self._stopped:  # it was stopped from outside, without a chance to give it back
            self.suspend_application_mode()
        self._key_thread = None
        self.resume_application_mode()
        if self._key_thread is not None:  # else it is in the background, and was stopped again
            self._stopped = False
            self._app.refresh(layout=True)


def saved_attributes(fileno: int) -> list[Any] | None:
    """How the terminal is set, for `give_back`; None where there is none any more."""
    try:
        return termios.tcgetattr(fileno)
    except termios.error:
        return None


def give_back(fileno: int, attributes: list[Any] | None) -> None:
    """Sets a terminal as it was, whatever the app has left there; never waits for it."""
    with contextlib.suppress(termios.error):
        if attributes is not None:
            termios.tcsetattr(fileno, termios.TCSANOW, attributes)
    with contextlib.suppress(OSError):
        if select.select([], [fileno], [], 0)[1]:
            os.write(fileno, RESET.encode())
