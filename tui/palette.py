"""The commands of the palette: the actions that are possible now, each with its key."""

from collections.abc import Iterator
from functools import partial

from rich.text import Text
from textual.command import DiscoveryHit, Hit, Hits, Provider

from tui.keys import Key, keys_of
from tui.text import fit

KEYS = 10  # columns of the terminal
OMITTED = ("command_palette",)


class Actions(Provider):
    """The actions of the screen below the palette, then those of the app."""

    async def discover(self) -> Hits:
        """Yields all of them, in the order of the help."""
        for key in self.actions():
            yield DiscoveryHit(_line(key), partial(self.perform, key), key.text)

    async def search(self, query: str) -> Hits:
        """Yields those whose name matches what was typed, letter by letter."""
        matcher = self.matcher(query)
        for key in self.actions():
            if (score := matcher.match(key.text)) > 0:
                yield Hit(score, _line(key), partial(self.perform, key), key.text)

    def actions(self) -> Iterator[Key]:
        """Yields the keys that do more than move a cursor."""
        for key in keys_of(self.screen):
            if key.is_enabled and not key.is_move and key.action not in OMITTED:
                yield key

    def perform(self, key: Key) -> None:
        """Performs an action once the palette is closed."""
        self.app.call_later(self.app.run_action, key.action, key.node)


def _line(key: Key) -> Text:
    return Text.assemble((fit(" ".join(key.names), KEYS), "bold"), key.text)
