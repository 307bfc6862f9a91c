"""The line of keys at the bottom of every screen."""

from dataclasses import dataclass
from typing import Any, ClassVar

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.reactive import reactive
from textual.screen import Screen
from textual.widget import Widget


@dataclass(frozen=True)
class ShownKey:
    """A key as the line shows it."""

    key: str  # to press it
    name: str  # such as `^s`
    description: str
    tooltip: str
    is_enabled: bool
    is_kept: bool  # help, quit and back are shown even without room for the others

    @property
    def width(self) -> int:
        """Columns of ` name description `."""
        return cell_len(self.name) + cell_len(self.description) + 3


class KeyLine(Widget):
    """The keys of the screen and of the focused widget; a click presses one.

    Textual's `Footer` has a widget for each key, and mounts all of them anew whenever a key becomes
    active: the screen is laid out twice more. This one is drawn. Without room for all keys, back,
    help and quit are kept.
    """

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "key-line--key",
        "key-line--description",
        "key-line--hover",
    }
    DEFAULT_CSS = """
    KeyLine {
        dock: bottom;
        height: 1;
        color: $footer-foreground;
        background: $footer-background;
        .key-line--key {
            color: $footer-key-foreground;
            background: $footer-key-background;
            text-style: bold;
        }
        .key-line--description {
            color: $footer-description-foreground;
            background: $footer-description-background;
        }
        .key-line--hover { background: $block-hover-background; }
    }
    """

    hovered: reactive[int | None] = reactive(None)  # the key below the mouse pointer
    keys: reactive[tuple[ShownKey, ...]] = reactive(())

    def on_mount(self) -> None:
        """Follows the keys that are active."""
        self.screen.bindings_updated_signal.subscribe(self, self._update)
        self._update(self.screen)

    def _update(self, screen: Screen[Any]) -> None:
        # From Python 3.12 on, where tasks start at once, a screen can be mounted before it is on
        # the stack, and has no bindings until then. The line follows when it becomes active.
        if not screen.is_active:
            return
        found: dict[str, ShownKey] = {}
        for active in screen.active_bindings.values():
            binding = active.binding
            if binding.show and binding.action not in found:
                found[binding.action] = ShownKey(
                    binding.key,
                    self.app.get_key_display(binding),
                    binding.description,
                    active.tooltip,
                    active.enabled,
                    active.node is self.app or binding.key == "escape",
                )
        self.keys = tuple(found.values())

    @property
    def shown(self) -> list[ShownKey]:
        """The keys that there is room for."""
        keys = list(self.keys)
        while len(keys) > 1 and sum(key.width for key in keys) > self.size.width:
            others = [i for i, key in enumerate(keys) if not key.is_kept]
            del keys[others[-1] if others else -1]
        return keys

    def render(self) -> Content:
        """Draws them."""
        key_style = self.get_visual_style("key-line--key")
        text_style = self.get_visual_style("key-line--description")
        hover_style = self.get_visual_style("key-line--hover")
        parts: list[Content] = []
        for i, key in enumerate(self.shown):
            part = Content.assemble(
                (f" {key.name} ", key_style), (f"{key.description} ", text_style)
            )
            if i == self.hovered:
                part = part.stylize(hover_style)
            parts.append(part if key.is_enabled else part.stylize("dim"))
        return Content("").join(parts)

    def key_at(self, column: int) -> int | None:
        """Returns the index of the key at a column of the line; None: there is none."""
        end = 0
        for i, key in enumerate(self.shown):
            end += key.width
            if column < end:
                return i
        return None

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Highlights the key below the pointer, and explains it after a while."""
        self.hovered = self.key_at(event.x)
        self.tooltip = None if self.hovered is None else self.shown[self.hovered].tooltip or None

    def on_leave(self) -> None:
        """Highlights no key."""
        self.hovered = None

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Presses a key."""
        index = self.key_at(event.x)
        if index is None:
            return
        key = self.shown[index]
        if key.is_enabled:
            self.app.simulate_key(key.key)
        else:
            self.app.bell()
