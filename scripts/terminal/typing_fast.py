"""Random edits in the form for a new study, typed fast: the fields must hold what was typed."""

import time

from measuring import Findings, Options, Row, say, workplace
from tui_terminal import READY, WAIT_SECONDS, Terminal
from typed import CODES, Model, edits

from tui.views import form

N_EDITS = 100
PAUSES = (0.01, 0.001, 0.0)  # seconds after each key
CASES = 5  # forms for each pause
SIZE = (140, 100)  # every field with its problems
MARK = "~"
KEYS = form.KEYS[form.KEYS.index("learning_rate") :]


def typing(options: Options) -> Row:
    """Types in a fresh form for each case, and reads its fields from the screen."""
    random, findings = options.random(), Findings()
    n_cases, right = options.count(CASES, least=1), {pause: 0 for pause in PAUSES}
    for pause in PAUSES:
        for _ in range(n_cases):
            model = Model(len(KEYS))
            pressed = edits(random, model, N_EDITS)
            wanted = [model.texts.get(i, "") for i in range(len(KEYS))]
            found = _typed(pressed, pause, wanted)
            right[pause] += findings.expect(
                found == [], f"{1000 * pause:g} ms: {found} after {' '.join(pressed)}"
            )
        say(f"{1000 * pause:g} ms: {right[pause]} of {n_cases}")
    return Row(
        f"{N_EDITS} random edits in the form × {n_cases}, at 10 ms, 1 ms and 0 ms a key",
        "the text of a reference model",
        f"{sum(right.values())} of {len(PAUSES) * n_cases}{findings}",
        ok=not findings.found,
    )


def _typed(pressed: list[str], pause: float, wanted: list[str]) -> list[str]:
    """Types these keys in a fresh form; returns the fields that do not hold the wanted texts."""
    with workplace() as folder, Terminal(store=folder / "store", size=SIZE) as terminal:
        terminal.until_shown(READY)
        terminal.press("n")
        terminal.until_shown("Start from")
        terminal.press("\r")
        terminal.until_shown("Start (ctrl+s)")
        terminal.until(lambda: "GB" in terminal.text())
        empty = {key: _field(terminal, key) for key in KEYS}
        while MARK not in _field(terminal, KEYS[0]):
            terminal.press(f"\x7f\t{MARK}")
            terminal.read(0.5)
        terminal.press("\x7f")
        for key in pressed:
            text = CODES.get(key, key)
            terminal.press(f"\x1b[200~{text}\x1b[201~" if len(key) > 1 and text == key else text)
            time.sleep(pause)
        hoped = {key: text.strip() or empty[key] for key, text in zip(KEYS, wanted, strict=True)}
        deadline = time.monotonic() + WAIT_SECONDS
        while (found := {key: _field(terminal, key) for key in KEYS}) != hoped:
            if time.monotonic() > deadline:
                break
            terminal.read(0.2)
    return [f"{key} {found[key]!r}, not {hoped[key]!r}" for key in KEYS if found[key] != hoped[key]]


def _field(terminal: Terminal, key: str) -> str:
    """The text in a field, or its hint, as the screen shows it."""
    lines = [line for line in terminal.lines() if line[2:18].strip() == form.title(key)]
    return lines[-1][19:].partition("│")[0].strip() if lines else ""
