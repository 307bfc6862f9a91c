"""The driver of the app in a browser: it exits when its server does."""

import contextlib
import os
import threading
import time
from typing import Any

from textual import messages
from textual.drivers.web_driver import WebDriver

POLL_SECONDS = 0.5  # between two checks whether the server is alive
GRACE_SECONDS = 3.0  # for the app to exit normally
SERVER_GONE = 129  # 128 + SIGHUP


class ServedDriver(WebDriver):
    """Ends the app when its server dies; with Textual's driver it would run for ever.

    A thread notices the end of the server by the end of stdin or a new parent process, even if the
    app is blocked.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._gone = threading.Event()
        self._parent = os.getppid()
        self._write = self._write_all  # type: ignore[assignment]

    def start_application_mode(self) -> None:
        """Starts drawing and watching the server."""
        threading.Thread(target=self._leave_with_server, daemon=True).start()
        super().start_application_mode()
        self._app.theme_changed_signal.subscribe(self._app, self.send_background)
        self.send_background()

    def send_background(self, theme: object = None) -> None:
        """Tells the page the app's background, which surrounds the terminal there (OSC 11)."""
        del theme
        colour = self._app.get_css_variables()["background"]
        if colour.startswith("#"):  # not "ansi_default"
            self.write(f"\x1b]11;{colour}\x07")

    def run_input_thread(self) -> None:
        """Reads input, and notes its end, which Textual ignores."""
        super().run_input_thread()
        if not self.exit_event.is_set():
            self._gone.set()

    def _write_all(self, data: bytes) -> None:
        """Writes all of the data; a dead server is not an error of the app.

        Textual writes once, even if the pipe accepts only a part, and raises if the pipe is broken.
        """
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self.fileno, rest) :]
        except OSError:
            self._gone.set()

    def _leave_with_server(self) -> None:
        while not self._gone.wait(POLL_SECONDS) and os.getppid() == self._parent:
            pass
        with contextlib.suppress(RuntimeError):  # the event loop is closed
            self._app.post_message(messages.ExitApp())
        time.sleep(GRACE_SECONDS)
        os._exit(SERVER_GONE)
