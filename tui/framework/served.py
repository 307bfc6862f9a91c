"""The driver with which the app draws for a server, and leaves with it."""

import contextlib
import os
import threading
import time
from typing import Any

from textual import messages
from textual.drivers.web_driver import WebDriver

POLL_SECONDS = 0.5  # how often it is looked whether the server lives
GRACE_SECONDS = 3.0  # for the app to end as usual
SERVER_GONE = 129  # 128 + SIGHUP


class ServedDriver(WebDriver):
    """Ends the app when its server has died, where Textual's driver would run for ever.

    It is the server's end that is seen, by the end of stdin or a new parent process, whatever the
    app is doing at that moment.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._gone = threading.Event()
        self._parent = os.getppid()
        self._write = self._write_all  # type: ignore[assignment]

    def start_application_mode(self) -> None:
        """Begins to draw, and to look after the server."""
        threading.Thread(target=self._leave_with_server, daemon=True).start()
        super().start_application_mode()

    def run_input_thread(self) -> None:
        """Takes what the server sends, until it sends no more, which Textual tells nobody."""
        super().run_input_thread()
        if not self.exit_event.is_set():
            self._gone.set()

    def _write_all(self, data: bytes) -> None:
        """Writes the whole of it; a server that has gone is no error of the app.

        Textual writes once, whatever part of it the pipe takes, and raises where it is broken.
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
        with contextlib.suppress(RuntimeError):  # its loop has ended already
            self._app.post_message(messages.ExitApp())
        time.sleep(GRACE_SECONDS)
        os._exit(SERVER_GONE)
