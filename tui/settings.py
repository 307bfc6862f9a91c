"""The user's choices that outlive the app: theme, scales, axes, the order of runs."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from jmlp.errors import JmlpError, StoreError
from jmlp.system import files

NAME = "app.toml"
MOST_BYTES = 64 * 1024
CLOSE_SECONDS = 1.0  # that quitting waits for the last write


@dataclass(frozen=True)
class Choices:
    """What is restored when the app is started again."""

    theme: str = ""  # empty: the default
    study_log: bool = False  # logarithmic sparklines
    curves_log: bool = False  # logarithmic costs
    curves_by_updates: bool = False  # instead of epochs
    curves_accuracy: bool = False  # instead of cost, where there is room for one of them
    compare_all_rows: bool = False  # instead of those that differ
    runs_by: str = "number"  # the column by which runs are sorted
    runs_descending: bool = False


class Settings:
    """The choices of a user, in a file that is read once and written with each change.

    A file that cannot be read or written is never an error: a line says so, and the choices hold
    until the app ends. If several apps change the same choice, the last one wins.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Initialises the settings without reading the file.

        Args:
            path: the file, which need not exist; None: nothing is read or written.
        """
        self.say: Callable[[str], object] = lambda _: None  # is called with a line for the user
        self._path = path
        self._changes: dict[str, Any] = {}  # all that this app has made
        self._writing = threading.Lock()
        self._thread: threading.Thread | None = None
        self._has_failed = False

    @classmethod
    def of_user(cls) -> "Settings":
        """The settings in the user's configuration folder."""
        try:
            return cls(files.config_dir() / NAME)
        except StoreError:  # there is no home folder; the store will say so
            return cls()

    @cached_property
    def choices(self) -> Choices:
        """The choices, read when they are first needed."""
        return _choices(self._read(self.say), self.say)

    def keep(self, **changes: Any) -> None:
        """Changes some choices, and writes them in a thread.

        Args:
            changes: fields of `Choices`.
        """
        before = self.choices
        self.choices = replace(before, **changes)
        if self.choices == before or self._path is None:
            return
        self._changes |= changes
        self._thread = threading.Thread(target=self._write, name="settings", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Waits for the last write, but not long: the folder may be on a disk that hangs."""
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)

    def _write(self) -> None:
        import tomli_w

        assert self._path is not None
        with self._writing:
            # Another app may have changed other choices, or a later version may have more.
            kept = {**self._read(lambda _: None), **self._changes}
            try:
                files.write_atomically(self._path, tomli_w.dumps(kept).encode())
            except JmlpError as error:
                if not self._has_failed:
                    self.say(f"warning: settings are not kept: {error}")
                self._has_failed = True

    def _read(self, say: Callable[[str], object]) -> Mapping[str, Any]:
        """Returns what is in the file; nothing if it is missing or damaged."""
        import tomllib

        if self._path is None:
            return {}
        try:
            with files.open_regular(self._path) as (file, size):
                if size > MOST_BYTES:
                    raise ValueError(f"more than {MOST_BYTES} bytes")
                return tomllib.loads(file.read(MOST_BYTES).decode())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError, files.NotRegularError) as error:
            reason = getattr(error, "strerror", None) or error
            say(f"warning: settings are ignored: {self._path}: {reason}")
            return {}


def _choices(stored: Mapping[str, Any], say: Callable[[str], object]) -> Choices:
    """Returns the stored choices; those of a wrong type keep their default."""
    known, wrong = {}, []
    for field in fields(Choices):
        if field.name in stored:
            value = stored[field.name]
            if type(value) is field.type:
                known[field.name] = value
            else:
                wrong.append(field.name)
    if wrong:
        say(f"warning: settings of a wrong type are ignored: {', '.join(wrong)}")
    return Choices(**known)
