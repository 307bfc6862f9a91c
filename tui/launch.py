"""Runs the app on a terminal: limited terminals, signals, and the exit code."""

import gc
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import ClassVar

from textual.binding import Binding, BindingType

from tui.app import JmlpApp, find
from tui.framework.app import CommandApp
from tui.framework.ascii import is_ascii_wanted
from tui.framework.terminal import TerminalDriver, restore_terminal, saved_attributes
from tui.settings import Settings
from tui.text import visible

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)
LEAVE_SECONDS = 3.0  # that the app has to exit after a signal


class TerminalApp(CommandApp, JmlpApp):
    """The app on a terminal, as opposed to a browser or a test."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+z", "suspend_process", "Suspend", show=False, tooltip="Suspend; fg resumes")
    ]

    def __init__(self, folder: Path, *, start: str | None) -> None:
        super().__init__(folder, start=start, settings=Settings.of_user())
        self.driver_class = TerminalDriver

    def on_ready(self) -> None:
        """Collects garbage from now on: the first picture is there."""
        gc.freeze()
        gc.enable()

    def prefetched(self, _: None) -> None:
        """Leaves all that was imported out of garbage collections, which would take 0.1 s each."""
        gc.freeze()


def run(folder: Path, start: str | None) -> int:
    """Runs the app and returns its exit code, 128 + n after signal n.

    Raises:
        StoreError: `start` is not in the store.
        Exception: a bug has ended the app; the terminal is restored.
    """
    if start is not None:
        find(folder, start)  # report a wrong name before anything is drawn
    TerminalDriver.ascii_only = is_ascii_wanted()
    app = TerminalApp(folder, start=start)
    assert sys.__stdin__ is not None
    fileno = sys.__stdin__.fileno()
    attributes = saved_attributes(fileno)

    def end_now(code: int) -> None:
        restore_terminal(fileno, attributes)
        os._exit(code)

    def end(number: int, frame: FrameType | None) -> None:
        del frame
        for other in ENDING:
            signal.signal(other, signal.SIG_IGN)
        code = 128 + number
        emergency = threading.Timer(LEAVE_SECONDS, end_now, [code])
        emergency.daemon = True
        emergency.start()
        app.end(code)

    # Ignored signals stay ignored, as under `nohup`; the app still ends with its terminal.
    handled = [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, end) for number in handled}
    try:
        app.run()
    except BaseException:
        restore_terminal(fileno, attributes)
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if app.error is not None:
        raise app.error
    if not app.return_code and app.active_study is not None:
        label = visible(app.active_study)
        print(f"{label} continues without the app: jmlp attach shows it", file=sys.stderr)
    return app.return_code or 0
