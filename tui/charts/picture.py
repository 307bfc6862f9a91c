"""Pictures as characters: half blocks with two pixels per cell, or shades for ASCII.

A plane is an array (height, width), NaN where there is no pixel. Its values are from 0 (paper) to
1 (ink), or from -1 to 1, where 0 is paper.
"""

import math

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float64]
Levels = NDArray[np.int64]

N_LEVELS = 31  # of ink: enough for the eye, and few enough to cache a style for each pair
NO_PIXEL = -99  # in place of a level

SHADES = " ░▒▓█"
NEGATIVE = " ,-~="  # strokes, so that they are not mistaken for blocks


def as_plane(values: NDArray[np.generic], shape: tuple[int, ...]) -> Plane:
    """Arranges the values of one picture as a plane.

    Args:
        values: the pixels, in an array of any shape.
        shape: (height, width), or (height, width, channels), of which the mean over channels is
            taken; for any other shape the values are wrapped to roughly a square.
    """
    pixels = np.asarray(values, np.float64)
    if len(shape) == 2:
        return pixels.reshape(shape)
    if len(shape) == 3:
        return np.asarray(pixels.reshape(shape).mean(axis=2))
    width = math.ceil(math.sqrt(pixels.size))
    height = math.ceil(pixels.size / width)
    plane = np.full(height * width, np.nan)
    plane[: pixels.size] = pixels.ravel()
    return plane.reshape(height, width)


def shrink(plane: Plane, factor: int) -> Plane:
    """Averages squares of `factor` × `factor` pixels; those at the edge may be smaller."""
    if factor == 1:
        return plane
    height, width = (math.ceil(n / factor) for n in plane.shape)
    padded = np.full((height * factor, width * factor), np.nan)
    padded[: plane.shape[0], : plane.shape[1]] = plane
    squares = padded.reshape(height, factor, width, factor).transpose(0, 2, 1, 3)
    return _mean(squares.reshape(height, width, -1))


def half_blocks(plane: Plane) -> tuple[Levels, Levels]:
    """Returns how much ink the upper and the lower half of each cell have.

    Returns:
        Two arrays (rows, columns) of integers from -`N_LEVELS` to `N_LEVELS`, or `NO_PIXEL`.
    """
    height, width = plane.shape
    even = np.full((height + height % 2, width), np.nan)
    even[:height] = plane
    known = np.isfinite(even)
    inks = np.rint(np.clip(np.where(known, even, 0.0), -1, 1) * N_LEVELS).astype(np.int64)
    levels = np.where(known, inks, NO_PIXEL)
    return levels[0::2], levels[1::2]


def shades(plane: Plane) -> list[str]:
    """Draws two lines of pixels per line of text; negative values are strokes."""
    height, width = plane.shape
    even = np.full((height + height % 2, width), np.nan)
    even[:height] = plane
    means = _mean(np.stack([even[0::2], even[1::2]], axis=-1))
    return ["".join(_sign(value) for value in row) for row in means]


def _sign(value: float) -> str:
    if not math.isfinite(value):
        return " "
    signs = NEGATIVE if value < 0 else SHADES
    return signs[round(min(1.0, abs(value)) * (len(signs) - 1))]


def _mean(values: NDArray[np.float64]) -> Plane:
    """Averages the last axis, ignoring NaN; NaN where there is nothing else."""
    known = np.isfinite(values)
    sums = np.where(known, values, 0.0).sum(axis=-1)
    counts = known.sum(axis=-1)
    return np.asarray(np.where(counts > 0, sums / np.maximum(counts, 1), np.nan))
