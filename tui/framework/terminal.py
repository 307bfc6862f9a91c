"""A terminal driver that no input and no error of the terminal can crash or block."""

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
MAX_QUEUED = 500  # messages in the app's queue, above which reading pauses
WAIT_SECONDS = 0.05
READ_BYTES = 4096

# Undoes every mode that the driver may have set.
RESET = (
    "\x1b[?2004l\x1b[?7h\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1004l\x1b[<u"
    "\x1b[?2026l\x1b[?1049l\x1b[?25h\x1b[0m"
)


class Writer:
    """A file that writes to the terminal, and discards everything once the terminal is gone.

    Textual's file raises if the terminal is gone, and the app then waits for ever for its thread.
    It also raises if another program made the terminal non-blocking, and it cannot write ASCII.
    """

    def __init__(self, fileno: int, *, ascii_only: bool, on_gone: Callable[[], object]) -> None:
        """Initialises the writer.

        Args:
            fileno: the terminal's file descriptor.
            ascii_only: whether to convert all text to ASCII.
            on_gone: called once, in the thread that writes, when the terminal is gone.
        """
        self._fileno, self._ascii_only, self._on_gone = fileno, ascii_only, on_gone
        self._gone = False

    def fileno(self) -> int:
        """Returns the file descriptor."""
        return self._fileno

    def write(self, text: str) -> int:
        """Writes the text without buffering."""
        data = memoryview((to_ascii(text) if self._ascii_only else text).encode("utf-8", "replace"))
        while data and not self._gone:
            try:
                data = data[os.write(self._fileno, data) :]
            except BlockingIOError:  # another program made the terminal non-blocking
                select.select([], [self._fileno], [])
            except OSError:
                self._gone = True
                self._on_gone()
        return len(text)

    def flush(self) -> None:
        """Does nothing: there is no buffer."""


class TerminalDriver(LinuxDriver):
    """Draws on stderr's terminal and reads from stdin's."""

    ascii_only = False  # set on the class by `tui.launch`

    def __init__(self, app: Any, **options: Any) -> None:
        """Initialises the driver; takes the options of Textual's."""
        super().__init__(app, **options)
        assert sys.__stderr__ is not None
        writer = Writer(
            sys.__stderr__.fileno(), ascii_only=self.ascii_only, on_gone=self._leave_gone_terminal
        )
        self._file = cast(Any, writer)
        self._stopped = False  # with ctrl+z

    def _leave_gone_terminal(self) -> None:
        """Exits the app because its terminal is gone; may be called from any thread."""
        self._call_in_app(lambda: self._app.exit(return_code=128 + signal.SIGHUP))

    def _call_in_app(self, function: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop is closed
            self._loop.call_soon_threadsafe(function)

    # ---- size

    def _get_terminal_size(self) -> tuple[int, int]:
        # Textual prefers COLUMNS and LINES, which do not change when the terminal is resized, and
        # accepts any size: it would allocate 65,535 × 65,535 cells.
        try:
            columns, rows = os.get_terminal_size(self.fileno)
        except OSError:
            columns = rows = 0
        return min(columns or 80, MAX_COLUMNS), min(rows or 24, MAX_ROWS)

    def _query_in_band_window_resize(self) -> None:
        """Does not ask: Textual would trust any size in the input, which may be anything."""

    # ---- keys and mouse

    def _run_input_thread(self) -> None:
        """Ends the app on an error; Textual only prints a traceback."""
        try:
            self.run_input_thread()
        except Exception as error:
            self._call_in_app(lambda error=error: self._app._handle_exception(error))  # type: ignore[misc]

    def run_input_thread(self) -> None:
        """Reads until the app exits or the terminal is gone.

        Textual uses 100 % of a core once the terminal is gone, stops at invalid UTF-8, and reads
        faster than the app can handle messages, so that its queue grows without limit.
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
        """Drops responses to queries that were never sent, which Textual would act on."""
        unasked = (events.Resize, events.CursorPosition, messages.InBandWindowResize)
        if not isinstance(message, unasked):
            super().process_message(message)

    # ---- stopping and continuing (Ctrl-Z, fg)

    # Textual does both within signal handlers, which deadlock if the interrupted code holds a lock,
    # such as the writer's. After a SIGSTOP, which it cannot handle, it continues as if no other
    # program had used the terminal in the meantime.

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
        """Takes over the terminal again, which other programs may have used in the meantime."""
        if not self._auto_restart:
            return
        if not self._stopped:  # stopped by SIGSTOP, without a chance to release the terminal
            self.suspend_application_mode()
        self._key_thread = None
        self.resume_application_mode()
        if self._key_thread is not None:  # else the app is in the background and was stopped again
            self._stopped = False
            self._app.refresh(layout=True)


def saved_attributes(fileno: int) -> list[Any] | None:
    """Returns the terminal's attributes, for `restore_terminal`; None if the terminal is gone."""
    try:
        return termios.tcgetattr(fileno)
    except termios.error:
        return None


def restore_terminal(fileno: int, attributes: list[Any] | None) -> None:
    """Restores a terminal, whatever state the app has left it in; never blocks."""
    with contextlib.suppress(termios.error):
        if attributes is not None:
            termios.tcsetattr(fileno, termios.TCSANOW, attributes)
    with contextlib.suppress(OSError):
        if select.select([], [fileno], [], 0)[1]:
            os.write(fileno, RESET.encode())
