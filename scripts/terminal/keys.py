"""Random keys in the app on a store of synthetic runs: the app must keep running."""

import asyncio
import contextlib
import subprocess
import traceback
from collections.abc import Iterator
from pathlib import Path
from random import Random
from unittest import mock

import tui_pilot
from measuring import Findings, Options, Row, say, workplace
from textual import events
from textual.keys import _character_to_key
from textual.widgets import Input, TextArea

from jmlp.errors import StoreError
from tui.app import JmlpApp

N_KEYS, N_SEEDS = 10_000, 5
BURST = 20  # keys before the app gets time to handle them
SIZES = ((80, 24), (120, 40), (60, 20), (40, 10), (200, 60))
NAMED: list[str] = [
    *("enter", "escape", "tab", "shift+tab", "up", "down", "left", "right", "pageup", "pagedown"),
    *("home", "end", "backspace", "delete", "shift+up", "shift+down", "ctrl+home", "ctrl+end"),
    *("ctrl+a", "ctrl+k", "ctrl+p", "ctrl+u", "ctrl+w", "f1", *" ?+-.,_"),
]
CHARACTERS = {"enter": "\r", "escape": "\x1b", "tab": "\t"}
KINDS: tuple[tui_pilot.Kind, ...] = ("running", "finished", "diverged", "running", "empty")
LETTERS = list("abcdefghijklmnoprstuvwxyz0123456789[]()<>é三")  # without q, which ends the app


def keys(options: Options) -> Row:
    """Presses keys on a study in training, a diverged one, a finished one, and an empty store."""
    findings, n_keys, pressed = Findings(), options.count(N_KEYS, least=50), 0
    with workplace() as folder, contextlib.chdir(folder), _no_processes():
        for number in range(N_SEEDS):
            random = Random(f"{options.seed} {number}")
            kind = KINDS[number]
            store = folder / f"store-{number}"
            with tui_pilot.filled(store, kind):
                pressed += _press(store, random, n_keys, findings)
            say(f"seed {number} ({kind}): {len(findings.found)} faults")
    return Row(
        f"{n_keys:,} random keys × {N_SEEDS} seeds",
        "0 exceptions",
        f"{len(findings.found)} exceptions after {pressed:,} keys{findings}",
        ok=not findings.found,
    )


@contextlib.contextmanager
def _no_processes() -> Iterator[None]:
    """Prevents keys from starting training, which other tests cover."""

    def refuse(*arguments: object, **options: object) -> None:
        raise StoreError("no process is started here")

    with mock.patch.object(subprocess, "Popen", refuse):
        yield


def _press(store: Path, random: Random, n_keys: int, findings: Findings) -> int:
    """Presses `n_keys` keys, and reopens the app whenever it has ended."""
    pressed: list[str] = []
    while len(pressed) < n_keys:
        before = len(pressed)
        try:
            asyncio.run(_session(store, random, n_keys, pressed))
        except Exception as error:
            last = " ".join(pressed[-12:])
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(place.filename).name}:{place.lineno}"
            findings.expect(False, f"{type(error).__name__} in {where}: {error} after {last}")
        if len(pressed) == before:
            pressed.append("none")  # it did not even open
    return len(pressed)


async def _session(store: Path, random: Random, n_keys: int, pressed: list[str]) -> None:
    app = JmlpApp(store)
    async with app.run_test(size=random.choice(SIZES), notifications=True, tooltips=True) as pilot:
        await pilot.pause(0.2)
        while len(pressed) < n_keys and app.is_running and app._exception is None:
            for _ in range(BURST):
                pressed.append(_key(app, random))
                app.post_message(_event(pressed[-1]))
            await pilot.pause()
            if random.random() < 0.02:
                await pilot.resize_terminal(*random.choice(SIZES))


def _event(key: str) -> events.Key:
    """The event that the terminal's parser would produce for a key."""
    if len(key) == 1:
        return events.Key(_character_to_key(key), key)
    return events.Key(key, CHARACTERS.get(key))


def _key(app: JmlpApp, random: Random) -> str:
    if random.random() < 0.35:
        return random.choice(LETTERS)
    # No "/" in a text field: a path could name a folder outside of this one.
    typing = isinstance(app.focused, Input | TextArea)
    names = NAMED if typing else [*NAMED, "/"]
    return random.choice(names)
