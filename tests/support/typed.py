"""Random edits of a form's fields, and a reference model of what they should give."""

from dataclasses import dataclass, field
from random import Random

CHARACTERS = "abz059.,|[]* "
MOVES = ("left", "right", "home", "end", "backspace", "delete", "ctrl+k", "ctrl+u")
NEXT, PREVIOUS = ("tab", "down", "enter"), ("shift+tab", "up")
SHORT = 24  # characters that any field shows at once

# What a terminal sends for them; a paste is in brackets.
CODES = {
    **{"left": "\x1b[D", "right": "\x1b[C", "home": "\x1b[H", "end": "\x1b[F", "up": "\x1b[A"},
    **{"backspace": "\x7f", "delete": "\x1b[3~", "ctrl+k": "\x0b", "ctrl+u": "\x15"},
    **{"tab": "\t", "shift+tab": "\x1b[Z", "down": "\x1b[B", "enter": "\r"},
}


@dataclass
class Model:
    """A column of fields, each a text with a cursor."""

    n: int
    at: int = 0  # the field with the focus
    texts: dict[int, str] = field(default_factory=dict)
    cursors: dict[int, int] = field(default_factory=dict)

    def press(self, key: str) -> None:
        """Changes the fields as this key should; anything that is no key's name is text."""
        if key in NEXT or key in PREVIOUS:
            self.at += 1 if key in NEXT else -1
            return
        text, cursor = self.texts.get(self.at, ""), self.cursors.get(self.at, 0)
        match key:
            case "left":
                cursor = max(cursor - 1, 0)
            case "right":
                cursor = min(cursor + 1, len(text))
            case "home":
                cursor = 0
            case "end":
                cursor = len(text)
            case "backspace":
                text, cursor = text[: max(cursor - 1, 0)] + text[cursor:], max(cursor - 1, 0)
            case "delete":
                text = text[:cursor] + text[cursor + 1 :]
            case "ctrl+k":
                text = text[:cursor]
            case "ctrl+u":
                text, cursor = text[cursor:], 0
            case _:
                text, cursor = text[:cursor] + key + text[cursor:], cursor + len(key)
        self.texts[self.at], self.cursors[self.at] = text, cursor


def edits(random: Random, model: Model, n: int) -> list[str]:
    """Presses `n` random keys in the model, which never leave its fields; returns them."""
    pressed = []
    for _ in range(n):
        kind = random.random()
        moves = (*(NEXT if model.at < model.n - 1 else ()), *(PREVIOUS if model.at else ()))
        if len(model.texts.get(model.at, "")) > SHORT - 9:
            key = "ctrl+u" if kind < 0.5 else "backspace"
        elif kind < 0.15:
            key = random.choice(moves)
        elif kind < 0.2:
            key = "".join(random.choices("xyz78", k=random.randint(2, 9)))
        else:
            key = random.choice(MOVES if kind < 0.5 else CHARACTERS)
        model.press(key)
        pressed.append(key)
    return pressed
