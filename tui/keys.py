"""The keys of a screen as its help, the palette and the documents show them.

A key is described by the tooltip of its binding. Bindings without one, such as those of a cursor
that moves in every list alike, are not listed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from textual.binding import Binding
from textual.dom import DOMNode
from textual.keys import format_key
from textual.screen import Screen

MOVE = Binding.Group("Move")  # keys that only move a cursor or scroll; the palette omits them
HELP = "Explain what is at the cursor, and all keys"
TEXTUAL = ("quit", "screen.copy_text")  # actions of Textual's own bindings


@dataclass(frozen=True)
class Key:
    """A key, or several with the same action, on a screen."""

    names: tuple[str, ...]  # as they are shown, such as `ctrl+s`
    text: str  # what it does
    action: str
    node: DOMNode  # that performs the action
    is_enabled: bool
    is_move: bool


def key_name(key: str) -> str:
    """Returns a key's name as it is shown, given that in its binding: `?` for `question_mark`."""
    *modifiers, last = key.split("+")
    return "+".join([*modifiers, "enter" if last == "enter" else format_key(last)])


def is_listed(binding: Binding) -> bool:
    """Whether a key is listed in help, palette and documents."""
    return bool(binding.tooltip) and not binding.system and binding.action not in TEXTUAL


def keys_of(screen: Screen[Any]) -> list[Key]:
    """Returns the keys that can be pressed on a screen now, the screen's own keys first."""
    found: dict[str, Key] = {}
    actives = screen.active_bindings.values()
    for active in sorted(actives, key=lambda active: active.node is not screen):
        binding, node = active.binding, active.node
        if is_listed(binding):
            known = found.get(binding.tooltip)
            names = (*(known.names if known else ()), key_name(binding.key))
            found[binding.tooltip] = Key(
                tuple(dict.fromkeys(names)),
                binding.tooltip,
                binding.action,
                node,
                active.enabled,
                binding.group == MOVE,
            )
    return list(found.values())


def bound_keys(bindings: Sequence[Any]) -> list[tuple[tuple[str, ...], str]]:
    """Returns the names of the keys in a class's `BINDINGS`, and what they do."""
    found: dict[str, list[str]] = {}
    for binding in Binding.make_bindings(bindings):
        if is_listed(binding):
            found.setdefault(binding.tooltip, []).append(key_name(binding.key))
    return [(tuple(names), text) for text, names in found.items()]
