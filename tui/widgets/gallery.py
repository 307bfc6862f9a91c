"""A gallery: pictures or lists with captions, in as many columns as fit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.reactive import var
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.charts.lists import Line
from tui.charts.picture import Plane, shrink
from tui.text import fit
from tui.widgets.pixels import NEGATIVE, POSITIVE, picture_lines

GAPS = (1, 2)  # columns between cards: the minimum, and the gap if as many cards still fit
MARGIN = 1
NO_PICTURE: Plane = np.empty((0, 0))


@dataclass(frozen=True)
class Listed:
    """Lines of a card, which are made when they are drawn: a large gallery has very many."""

    size: Size  # of all of them, in cells
    lines: Callable[[], list[Line]]


@dataclass(frozen=True, eq=False)
class Card:
    """A picture above its caption, or a list below it."""

    plane: Plane  # see `tui.charts.picture`
    words: tuple[str, ...]
    signed: bool = False
    listed: Listed | None = None  # in place of a picture


class Gallery(ScrollView, can_focus=True):
    """A scrolling grid of cards of equal size."""

    ALLOW_SELECT = False  # pictures have no text

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "plus,equals_sign",
            "reduce(1)",
            "Larger",
            key_display="+",
            show=False,
            tooltip="Larger pictures",
        ),
        Binding("minus", "reduce(2)", "Smaller", show=False, tooltip="Smaller pictures"),
        Binding(
            "g", "toggle('signs')", "Signs", show=False, tooltip="Draw with characters or colours"
        ),
    ]
    DEFAULT_CSS = """
    Gallery { overflow-y: scroll; scrollbar-size-vertical: 1; scrollbar-background: $background; }
    """

    cards: var[Sequence[Card]] = var((), init=False)  # new cards keep the scroll position
    reduced: var[int | None] = var(None, init=False)  # the chosen `factor`; None: automatic
    signs = var(False, init=False)  # whether to draw characters even if there are colours
    _card_size = Size(0, 0)

    def on_resize(self, event: events.Resize) -> None:
        """Lays out the cards in the new width."""
        del event
        self._lay_out()

    def notify_style_update(self) -> None:
        """Redraws the pictures in the colours of a new theme."""
        super().notify_style_update()
        self._lay_out()

    def action_reduce(self, factor: int) -> None:
        """Sets how many pixels are averaged."""
        self.reduced = factor

    # ---- layout

    @property
    def factor(self) -> int:
        """How many pixels, in each direction, are averaged to one."""
        if self.cards and self.cards[0].listed is not None:
            return 1
        if self.reduced is not None or not self.cards:
            return self.reduced or 1
        height, width = self.cards[0].plane.shape
        room = self.scrollable_content_region
        high = -(-height // 2) + len(self.cards[0].words)
        return 1 if high <= room.height and width <= room.width - MARGIN else 2

    @property
    def card_size(self) -> Size:
        """The size of one card in cells, without the gap around it."""
        return self._card_size

    def _measure(self) -> Size:
        """The largest size of a card."""
        planes = [shrink(card.plane, self.factor).shape for card in self.cards[:1]]
        height, width = planes[0] if planes else (0, 0)
        lists = [card.listed.size for card in self.cards if card.listed is not None]
        width = max(
            [
                width,
                *(size.width for size in lists),
                *(cell_len(word) for card in self.cards for word in card.words),
            ]
        )
        words = max((len(card.words) for card in self.cards), default=0)
        listed = max((size.height for size in lists), default=0)
        return Size(width, (height + 1) // 2 + words + listed)

    def _fitting(self, gap: int) -> int:
        room = self.scrollable_content_region.width - 2 * MARGIN
        return max(1, (room + gap) // (self.card_size.width + gap))

    @property
    def per_row(self) -> int:
        """The number of cards in a row."""
        return self._fitting(GAPS[0])

    @property
    def gap(self) -> int:
        """The number of columns between cards."""
        return GAPS[1] if self._fitting(GAPS[1]) == self.per_row else GAPS[0]

    def _lay_out(self) -> None:
        size = self._card_size = self._measure()
        rows = -(-len(self.cards) // self.per_row)
        width = 2 * MARGIN + min(self.per_row, len(self.cards)) * (size.width + self.gap)
        width -= self.gap
        self._drawn: dict[int, list[list[Segment]]] = {}
        self.virtual_size = Size(max(0, width), rows * (size.height + 1))
        self.refresh()

    watch_cards = watch_reduced = watch_signs = _lay_out

    # ---- drawing

    def render_line(self, y: int) -> Strip:
        """Draws one line of a row of cards."""
        scroll_x, scroll_y = self.scroll_offset
        size, per_row, width = self.card_size, self.per_row, self.size.width
        base = self.visual_style.rich_style
        row, line = divmod(y + scroll_y, size.height + 1)
        cards = range(row * per_row, min(len(self.cards), (row + 1) * per_row))
        if line == size.height or not cards:
            return Strip.blank(width, base)
        segments = [Segment(" " * MARGIN, base)]
        for i in cards:
            segments += [*self._card(i, size)[line], Segment(" " * self.gap, base)]
        strip = Strip(Segment.apply_style(segments, base))
        return strip.crop_extend(scroll_x, scroll_x + width, base)

    def _card(self, i: int, size: Size) -> list[list[Segment]]:
        if i not in self._drawn:
            card = self.cards[i]
            words = [[Segment(fit(word, size.width))] for word in card.words]
            if card.listed is None:
                lines = self._picture(card, size.width) + words
            else:
                lines = words + self._list(card.listed, size.width)
            blank = [Segment(" " * size.width)]
            self._drawn[i] = lines + [blank] * (size.height - len(lines))
        return self._drawn[i]

    def _picture(self, card: Card, width: int) -> list[list[Segment]]:
        plane = shrink(card.plane, self.factor)
        lines = picture_lines(self.app, plane, signed=card.signed, signs=self.signs)
        pad = Segment(" " * (width - plane.shape[1]))
        return [[*line, pad] for line in lines]

    def _list(self, listed: Listed, width: int) -> list[list[Segment]]:
        inks = {0: None, 1: Style(color=POSITIVE.rich_color), -1: Style(color=NEGATIVE.rich_color)}
        pad = Segment(" " * (width - listed.size.width))
        lines = listed.lines()
        return [[*(Segment(text, inks[sign]) for text, sign in line), pad] for line in lines]
