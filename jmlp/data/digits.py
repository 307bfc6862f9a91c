"""Synthetic digits: no download, no file, and the same bytes on every machine.

A digit is a glyph of straight strokes. Each image moves the glyph's corners a little, turns,
slants, scales and shifts it, and draws it with a pen of its own width, darkness and noise.

Only +, -, *, /, the square root and comparisons are used, element by element. IEEE 754 fixes each
of them exactly; sine, a normal variate, a sum or a matrix product may differ between machines.
"""

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator, Philox
from numpy.typing import NDArray

from jmlp.data.dataset import Dataset, make_dataset
from jmlp.errors import DataError

SIZE = 28  # pixels
N_CLASSES = 10
CHUNK = 64  # images drawn at once: their distances fit in the processor's cache

# One line per style, "digit: strokes"; a stroke is a list of corners x,y in a 14 x 20 box, y down.
GLYPHS = """
0: 7,0 11,2 13,7 13,13 11,18 7,20 3,18 1,13 1,7 3,2 7,0
1: 7,0 7,20
1: 4,4 8,0 8,20
1: 4,4 7,0 7,20 | 3,20 11,20
2: 1,5 3,1 7,0 11,1 13,5 12,8 8,12 1,20 13,20
2: 1,4 4,0 10,0 13,4 11,10 4,17 2,20 3,17 6,17 9,20 13,19
3: 1,2 5,0 10,1 12,4 11,8 6,10 11,11 13,15 11,19 6,20 1,18
3: 1,0 12,0 6,8 11,9 13,14 10,19 5,20 1,18
4: 10,20 10,0 1,13 13,13
4: 2,0 2,10 12,10 | 11,0 11,20
5: 12,0 3,0 2,9 8,8 12,11 13,15 10,19 6,20 1,18
6: 11,0 6,3 2,9 1,14 3,19 7,20 11,19 13,15 11,11 7,10 3,12 1,15
7: 1,0 13,0 5,20
7: 1,0 13,0 6,20 | 4,10 12,10
8: 7,10 3,8 2,4 4,1 7,0 10,1 12,4 11,8 7,10 2,13 1,16 3,19 7,20 11,19 13,16 12,13 7,10
9: 13,5 10,9 6,10 2,8 1,5 3,1 7,0 11,1 13,5 12,12 9,20
9: 12,5 10,9 6,10 2,8 1,5 3,1 7,0 11,1 12,5 12,20
"""
# Of `synthetic()` with default arguments.
SYNTHETIC_DIGESTS = {
    "x_train": "c3a11ed9885f13b402b554c779239171a34d3a1248534ec67466c1457ef490df",
    "y_train": "9fa8abcb8b5193a0c4cc3d911fd7a7ccbc53147c07da634cfbf9826d64da6d2b",
    "x_test": "3413e785cc1003bc7b23765e598882ae4385ac52a894458f564afbc8c4d0197f",
    "y_test": "6602652d798fb83b2e2f75e2475eb4f54c7e689ff36bad1d513eac9de69caabd",
}

CENTRE = np.array((7, 10), np.float32)  # of the box of `GLYPHS`

# How far an image may differ from its glyph, in units of the box unless noted.
CORNER = 1.2  # each corner, either way
TURN = 0.1  # tangent of half the angle, either way: 11 degrees
SLANT = 0.25  # either way
SCALE = (0.7, 1.0)  # pixels per unit, independent in x and y
SHIFT = 2.0  # pixels, either way
PEN = (0.6, 1.5)  # half the width of a stroke, pixels
INK = (150.0, 255.0)  # brightness of a stroke
NOISE = 50  # brightness added to every pixel, at most


def synthetic(n_train: int = 6000, n_test: int = 1000, seed: int = 0) -> Dataset:
    """Draw a data set of the digits 0-9, as many of each as the numbers allow.

    Args:
        n_train: Training images, at least 10.
        n_test: Test images; 0 for no test set.
        seed: 0 to 2**64 - 1; the test images do not depend on `n_train`.

    Returns:
        Images of 28 x 28 `uint8`, light on dark, named "synthetic".

    Raises:
        DataError: Too few images.
    """
    if n_train < N_CLASSES or n_test < 0:
        raise DataError(
            f"synthetic digits: n_train must be at least {N_CLASSES} and n_test at least 0, got "
            f"{n_train} and {n_test}"
        )
    arrays: dict[str, NDArray[Any]] = {}
    for purpose, (part, n) in enumerate((("train", n_train), ("test", n_test))):
        if n:
            random = Generator(Philox(key=np.array([seed, purpose], np.uint64)))
            arrays[f"x_{part}"], arrays[f"y_{part}"] = _draw(random, n)
    return make_dataset("synthetic", arrays, f"synthetic digits, drawn with seed {seed}")


class Glyph(NamedTuple):
    """One style of one digit. Strokes that share a corner still share it after it moves."""

    corners: NDArray[np.float32]  # (V, 2), x and y, centred on the origin
    segments: NDArray[np.intp]  # (S, 2), corner indices of both ends


def _parse(text: str) -> Mapping[int, list[Glyph]]:
    glyphs: dict[int, list[Glyph]] = {digit: [] for digit in range(N_CLASSES)}
    for line in text.strip().splitlines():
        digit, strokes = line.split(":")
        corner_ids: dict[str, int] = {}
        segments = []
        for stroke in strokes.split("|"):
            path = [corner_ids.setdefault(corner, len(corner_ids)) for corner in stroke.split()]
            segments += list(itertools.pairwise(path))
        corners = np.array([corner.split(",") for corner in corner_ids], np.float32)
        glyphs[int(digit)].append(Glyph(corners - CENTRE, np.array(segments)))
    return glyphs


STYLES = _parse(GLYPHS)
MOST_CORNERS = max(len(glyph.corners) for glyphs in STYLES.values() for glyph in glyphs)


def _draw(random: Generator, n: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images (n, 28, 28) and labels (n,)."""
    labels = random.permutation(np.arange(n, dtype=np.uint8) % N_CLASSES)
    style = random.random(n, np.float32)
    moves = CORNER * (2 * random.random((n, MOST_CORNERS, 2), np.float32) - 1)
    shape = random.random((n, 6), np.float32)  # turn, slant, scale x and y, shift x and y
    pen = random.random((n, 3), np.float32)  # width, ink, noise
    images = random.integers(0, 256, (n, SIZE, SIZE), np.uint8)  # noise, replaced below
    for digit, glyphs in STYLES.items():
        chosen = (style * len(glyphs)).astype(np.intp)
        for number, glyph in enumerate(glyphs):
            rows = np.flatnonzero((labels == digit) & (chosen == number))
            for start in range(0, len(rows), CHUNK):
                part = rows[start : start + CHUNK]
                corners = glyph.corners + moves[part, : len(glyph.corners)]
                placed = _place(corners, shape[part])
                distance = _distance(placed[:, glyph.segments])
                images[part] = _ink(distance, images[part], pen[part])
    return images, labels


def _place(corners: NDArray[np.float32], shape: NDArray[np.float32]) -> NDArray[np.float32]:
    """Corners in pixels (B, V, 2) of glyphs scaled, slanted, rotated and shifted, in this order."""
    turn, slant, scale_x, scale_y, shift_x, shift_y = shape.T[:, :, None]
    x = corners[..., 0] * _between(SCALE, scale_x)
    y = corners[..., 1] * _between(SCALE, scale_y)
    x = x + y * _between((-SLANT, SLANT), slant)
    t = _between((-TURN, TURN), turn)
    cosine, sine = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
    middle = np.float32((SIZE - 1) / 2)
    return np.stack(
        (
            cosine * x - sine * y + middle + _between((-SHIFT, SHIFT), shift_x),
            sine * x + cosine * y + middle + _between((-SHIFT, SHIFT), shift_y),
        ),
        axis=-1,
    )


def _distance(segments: NDArray[np.float32]) -> NDArray[np.float32]:
    """Distance from pixels (B, 28, 28) to the nearest segment; segments are (B, S, 2 ends, 2)."""
    pixel = np.arange(SIZE, dtype=np.float32)
    nearest = np.full((len(segments), SIZE, SIZE), np.inf, np.float32)
    for segment in segments.swapaxes(0, 1):
        start, step = segment[:, 0], segment[:, 1] - segment[:, 0]
        step_x, step_y = step[:, 0, None], step[:, 1, None]
        from_x, from_y = pixel - start[:, 0, None], pixel - start[:, 1, None]  # (B, 28)
        length = np.maximum(step_x * step_x + step_y * step_y, np.float32(1e-6))
        # How far along the segment the nearest point is, from 0 at its start to 1 at its end.
        along = (from_x * step_x / length)[:, None, :] + (from_y * step_y / length)[:, :, None]
        np.clip(along, 0, 1, out=along)
        dx = from_x[:, None, :] - along * step_x[:, :, None]
        dy = from_y[:, :, None] - along * step_y[:, :, None]
        dx *= dx
        dy *= dy
        dx += dy
        np.minimum(nearest, dx, out=nearest)
    return np.sqrt(nearest)


def _ink(
    distance: NDArray[np.float32], noise: NDArray[np.uint8], pen: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Brightness (B, 28, 28) of strokes with soft edges plus scaled `noise` of 0 to 255."""
    width, ink, grain = pen.T[:, :, None, None]
    covered = np.clip(_between(PEN, width) + np.float32(0.5) - distance, 0, 1)
    light = covered * _between(INK, ink) + noise * (grain * np.float32(NOISE / 255))
    bright: NDArray[np.uint8] = np.minimum(light, 255).astype(np.uint8)
    return bright


def _between(limits: tuple[float, float], unit: NDArray[np.float32]) -> NDArray[np.float32]:
    """Maps 0-1 linearly to the range `limits`."""
    low, high = limits
    return np.float32(low) + np.float32(high - low) * unit
