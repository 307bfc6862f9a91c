"""Digits drawn by hand, as lines of a pen."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tui.sketch import PENS, Place, Sketch

SEVEN: tuple[Place, ...] = ((0, 0), (50, 0), (20, 80))  # in pixels of a sheet of 112 x 112


def drawn(
    *points: Place, at: Place = (30, 16), size: float = 1.0, pen: float = PENS[1]
) -> NDArray[np.uint8]:
    """The pixels of a sheet for MNIST with lines through these points, by default a seven.

    Args:
        points: of the lines, from their corner.
        at: the place of this corner.
        size: a factor of all lengths, but not of the pen.
        pen: its radius.
    """
    places = [(at[0] + size * x, at[1] + size * y) for x, y in points or SEVEN]
    sketch = Sketch((28, 28))
    sketch.begin()
    for start, end in pairwise(places):
        sketch.line(start, end, pen)
    return sketch.pixels
