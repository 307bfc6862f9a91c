"""A drawing by hand: the pixels of a sheet, the strokes of a pen on it, and how to undo them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]  # (height, width): light ink on dark paper
Place = tuple[float, float]  # x to the right and y down, in pixels of the sheet

FINE = 112  # pixels of the longer side of a sheet, about: four to one of MNIST's
MOST_UNDONE = 100
# The pens' radii, and that of the eraser, as fractions of the sheet's longer side.
PENS = (0.028, 0.042, 0.06)
ERASER = 0.09


@dataclass(frozen=True, eq=False)
class Content:
    """What is on a sheet."""

    pixels: Pixels
    loaded: Mapping[str, Any] | None = None  # the request for what was loaded, if nothing was drawn
    can_continue: bool = True  # whether strokes are added to what was loaded


class Sketch:
    """A sheet in the proportions of a network's pictures."""

    def __init__(self, plane: tuple[int, int]) -> None:
        """Starts with a blank sheet.

        Args:
            plane: height and width of the network's pictures.
        """
        scale = max(1, round(FINE / max(plane)))
        self.blank = np.zeros((plane[0] * scale, plane[1] * scale), np.uint8)
        self.content = Content(self.blank)
        self._before: list[Content] = []
        rows, columns = np.indices(self.blank.shape)
        self._x, self._y = columns + 0.5, rows + 0.5  # the centres of the pixels

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the sheet in its own pixels."""
        return self.blank.shape[0], self.blank.shape[1]

    @property
    def pixels(self) -> Pixels:
        """What is on the sheet."""
        return self.content.pixels

    @property
    def is_blank(self) -> bool:
        """Whether nothing is on the sheet."""
        return self.content.loaded is None and not self.pixels.any()

    @property
    def can_undo(self) -> bool:
        """Whether there is something to undo."""
        return bool(self._before)

    def begin(self) -> None:
        """Begins a stroke, which is undone as a whole; a file makes room for a new drawing."""
        old = self.content
        self._change(Content(old.pixels if old.can_continue else self.blank))

    def line(self, start: Place, end: Place, radius: float, erase: bool = False) -> None:
        """Draws a line with a round pen.

        Args:
            start: where the middle of the pen begins.
            end: where it ends.
            radius: of the pen, as a fraction of the longer side.
            erase: whether to remove ink instead.
        """
        # Only what is within reach, which is little of the sheet.
        reach = radius * max(self.shape)
        rows, columns = (
            slice(max(0, int(min(a, b) - reach - 1)), max(0, int(max(a, b) + reach + 2)))
            for a, b in ((start[1], end[1]), (start[0], end[0]))
        )
        x, y = self._x[rows, columns], self._y[rows, columns]
        dx, dy = end[0] - start[0], end[1] - start[1]
        length = dx * dx + dy * dy
        along = 0.0 * x if length == 0 else ((x - start[0]) * dx + (y - start[1]) * dy) / length
        along = np.clip(along, 0, 1)
        distance = np.hypot(x - start[0] - along * dx, y - start[1] - along * dy)
        ink = np.rint(255 * np.clip(reach + 0.5 - distance, 0, 1)).astype(np.uint8)
        pixels = self.pixels.copy()
        old = pixels[rows, columns]
        pixels[rows, columns] = np.minimum(old, 255 - ink) if erase else np.maximum(old, ink)
        self.content = Content(pixels)

    def load(
        self, pixels: NDArray[np.uint8], request: Mapping[str, Any], can_continue: bool
    ) -> None:
        """Puts a picture on the sheet.

        Args:
            pixels: of any size.
            request: what the networks are asked as long as nothing is drawn over it.
            can_continue: whether strokes are added to it.
        """
        self._change(Content(_placed(pixels, self.shape), request, can_continue))

    def clear(self) -> None:
        """Takes a new sheet."""
        if not self.is_blank:
            self._change(Content(self.blank))

    def undo(self) -> None:
        """Takes back the last stroke, picture or clearing."""
        if self._before:
            self.content = self._before.pop()

    def _change(self, content: Content) -> None:
        self._before = [*self._before[1 - MOST_UNDONE :], self.content]
        self.content = content


def _placed(pixels: Pixels, shape: tuple[int, int]) -> Pixels:
    """A picture as large as it fits into the middle of a sheet."""
    scale = min(shape[0] / pixels.shape[0], shape[1] / pixels.shape[1])
    height, width = (max(1, round(n * scale)) for n in pixels.shape)
    rows, columns = (
        (np.arange(new) * old) // new
        for new, old in ((height, pixels.shape[0]), (width, pixels.shape[1]))
    )
    sheet = np.zeros(shape, np.uint8)
    top, left = (shape[0] - height) // 2, (shape[1] - width) // 2
    sheet[top : top + height, left : left + width] = pixels[np.ix_(rows, columns)]
    return sheet
