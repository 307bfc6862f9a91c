"""Finds a drawn or photographed digit and converts it to the form of MNIST's digits.

MNIST's pictures were made like this: the ink's bounding box is scaled into 20 × 20, its proportions
kept, and placed in 28 × 28 with its centre of mass in the middle. A network trained on such
pictures needs the same steps for any other picture. Before them, the ink must be found:

- Two readings are tried, dark ink and light ink. In each, the ink at a pixel is its difference from
  the paper around it; the paper is a high percentile of a wide neighbourhood, so that uneven light
  and shadows do not count as ink.
- Ink at least half as strong as the strongest is split into connected pieces. Lines from edge to
  edge are those of ruled paper. The piece most like a pen's stroke (long, thin, not at the border)
  is taken, with nearby pieces that are not much smaller: other strokes, but not dust.
- Strokes of a very thin or thick pen are made as wide as those of MNIST, and wider or thinner still
  until they have as much ink as the pictures that the network was trained on. Of pictures as coarse
  as 8 × 8, whose pixels are means over strokes and paper, this tells the width best.

Other data of strokes need the same steps with their own box and their own amount of ink.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.float32]  # (height, width)
Mask = NDArray[np.bool_]  # (height, width)

LARGE = 100  # pixels of the longer side from which noise is considered
MOST_PIECES = 50  # considered, the largest first
FINE = 160  # least pixels of a digit's longer side, so that strokes are widened smoothly
BOX, FRAME = 20, 28  # of MNIST
STROKE = (1.9, 4.2)  # pixels in MNIST's box: strokes of another width are adjusted
WIDEST = 7.0  # pixels in MNIST's box: strokes are not widened further for more ink
HALVINGS = 8  # of the range of widths in which the right amount of ink is searched
THICKEST = 0.35  # stroke width, as a fraction of the digit
LINE_FACTOR = 0.05  # score of a line, relative to that of a stroke
MIN_LIKENESS = 0.2  # to a digit, 0 to 1: anything below is not ink; digits have 0.6 or more
FAINTEST = 0.06  # of the paper's brightness: anything fainter is paper
NOISE = 7.0  # times the noise: likewise, anything fainter is paper


class Ink(NamedTuple):
    """The digit found on a picture."""

    strength: Grey  # of the digit's box only: 0 to 1 in the digit's pixels, 0 elsewhere
    is_dark: bool  # dark ink on light paper
    share: float  # the digit's share of all ink on the picture


class _Piece(NamedTuple):
    label: int
    place: tuple[slice, slice]
    area: int
    extent: int  # the longer side of its box
    thickness: float  # at its thickest point, as a fraction of `extent`
    strength: float  # mean strength of its ink
    score: float  # how much it is like a stroke; less than 0 for surroundings
    is_line: bool  # such as a margin, an underline, or the frame of a screenshot

    @property
    def rank(self) -> float:
        """The score for ranking: a line is taken for a digit only if there is nothing else."""
        return self.score * LINE_FACTOR if self.is_line else self.score


class _Reading(NamedTuple):
    """The best digit under one reading of the picture."""

    score: float  # how much it is like a digit
    thickness: float  # at its thickest point, as a fraction of its longer side
    place: tuple[slice, slice]
    mask: Mask  # its own pixels within `place`
    ink: Ink


def find_ink(picture: Grey, other: bool = False) -> Ink | None:
    """Finds the digit on a picture.

    Args:
        picture: brightness 0 to 255, (height, width, channels) or (height, width).
        other: use the reading that is not the best: light ink for dark ink, or the reverse.

    Returns:
        None if there is nothing but paper.
    """
    channels = _smooth(picture if picture.ndim == 3 else picture[..., None])
    readings = _readings(channels)
    if not readings:
        return None
    best = max(readings, key=lambda reading: reading.score)
    sheet = _crop_sheet(best, channels)
    within = [] if sheet is None else _readings(sheet)
    on_sheet = [r for r in within if r.thickness < THICKEST and r.ink.is_dark != best.ink.is_dark]
    if on_sheet:
        readings, best = within, max(on_sheet, key=lambda reading: reading.score)
    if other:
        others = [reading for reading in readings if reading.ink.is_dark != best.ink.is_dark]
        return max(others, key=lambda reading: reading.score).ink if others else None
    return best.ink


def _readings(channels: Grey) -> list[_Reading]:
    found = (_reading(channels, dark, wide) for dark in (True, False) for wide in (True, False))
    return [reading for reading in found if reading is not None]


def _crop_sheet(reading: _Reading, channels: Grey) -> Grey | None:
    """The area inside a sheet of paper, if a reading took the sheet for the digit; else None."""
    from scipy import ndimage

    filled = ndimage.binary_fill_holes(reading.mask)
    if reading.thickness < 0.2 or min(filled.shape) < LARGE // 2 or _rectangularity(filled) < 0.85:
        return None
    inside = ndimage.binary_erosion(filled, iterations=max(2, max(filled.shape) // 40))
    if not inside.any():
        return None
    paper = np.median(channels[reading.place][reading.mask], axis=0)
    return np.where(inside[..., None], channels[reading.place], paper).astype(np.float32)


def _rectangularity(mask: Mask) -> float:
    """The fraction of its bounding rectangle that a shape fills; it may be slightly rotated."""
    rows, columns = np.nonzero(mask)
    best = 0.0
    for degrees in range(-20, 21, 4):
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        box = float(np.ptp(c * rows + s * columns) + 1) * float(np.ptp(c * columns - s * rows) + 1)
        best = max(best, len(rows) / box)
    return best


def normalise(
    strength: Grey,
    shape: tuple[int, int],
    fraction: float = BOX / FRAME,
    ink: tuple[float, float] = (0.0, 1.0),
) -> NDArray[np.uint8]:
    """The digit in a picture of `shape`, placed as in MNIST's 28 × 28 pictures: light on black.

    Args:
        strength: `Ink.strength`.
        shape: height and width.
        fraction: the fraction of each side that the digit's bounding box may take.
        ink: the least and the greatest mean brightness of the picture, 0 to 1. Strokes are made
            wider or thinner to reach it, as far as their width stays that of a pen; a blot, which
            is wider than any, stays one.
    """
    box = tuple(max(1, round(side * fraction)) for side in shape)
    strength = _enlarged(strength)
    own = stroke_width(strength > 0.5) * BOX / max(strength.shape)  # in pixels of MNIST's box
    width = float(np.clip(own, *STROKE))
    placed = _placed(_with_stroke_width(strength, own, width), shape, box)
    found = float(placed.mean()) / 255
    if ink[0] <= found <= ink[1] or (found > ink[1] and own > STROKE[1]):
        return placed
    thin, thick = (width, WIDEST) if found < ink[0] else (STROKE[0], width)
    for _ in range(HALVINGS):
        middle = (thin + thick) / 2
        placed = _placed(_with_stroke_width(strength, own, middle), shape, box)
        if placed.mean() / 255 < (ink[0] if found < ink[0] else ink[1]):
            thin = middle
        else:
            thick = middle
    return placed


def _placed(strength: Grey, shape: tuple[int, int], box: tuple[int, ...]) -> NDArray[np.uint8]:
    """The digit scaled into the box, its centre of mass in the middle of a picture of `shape`."""
    from PIL import Image

    height, width = shape
    scale = min(box[0] / strength.shape[0], box[1] / strength.shape[1])
    size = [max(1, round(n * scale)) for n in strength.shape]
    digit = np.asarray(
        Image.fromarray(strength).resize((size[1], size[0]), Image.Resampling.BOX), np.float32
    )
    digit = np.clip(digit / max(float(np.percentile(digit, 98)), 1e-6), 0, 1)
    rows, columns = np.indices(digit.shape)
    mass = float(digit.sum())
    top = _centred_start(height, size[0], float((digit * rows).sum()) / mass)
    left = _centred_start(width, size[1], float((digit * columns).sum()) / mass)
    frame = np.zeros(shape, np.uint8)
    frame[top : top + size[0], left : left + size[1]] = np.rint(255 * digit).astype(np.uint8)
    return frame


def _centred_start(frame: int, size: int, centre: float) -> int:
    """Where the digit starts so that its centre of mass is in the middle, as far as it fits."""
    return int(np.clip(round(frame / 2 - 0.5 - centre), 0, frame - size))


def stroke_width(mask: Mask) -> float:
    """The mean width of strokes, in pixels; 0 where there are none."""
    from scipy import ndimage

    if not mask.any():
        return 0.0
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))
    # Across a stroke of width w the distance to its edge rises from 0 to w/2: its mean is w/4.
    return float(4 * (depth[depth > 0].mean() - 0.25))


def _smooth(channels: Grey) -> Grey:
    """Removes fine noise if there are enough pixels; reduces grey pictures to one channel."""
    from scipy import ndimage

    if (channels == channels[..., :1]).all():
        channels = channels[..., :1]
    longer = max(channels.shape[:2])
    if longer <= LARGE:
        return channels
    sigma = longer / 600
    return np.asarray(ndimage.gaussian_filter(channels, (sigma, sigma, 0)), np.float32)


def _reading(channels: Grey, dark: bool, wide: bool) -> _Reading | None:
    """The best digit for dark or light ink; `wide` as in `_paper`."""
    from scipy import ndimage

    longer = max(channels.shape[:2])
    paper = _paper(channels, dark, wide)
    # Coloured ink differs from the paper most in one of the three channels.
    ratio = (paper - channels) / np.maximum(paper, 32) if dark else (channels - paper) / 255
    depth = np.clip(ratio.max(axis=2), 0, 1).astype(np.float32)
    noise = _noise(depth) if longer > LARGE else 0.0
    floor = max(FAINTEST, NOISE * noise)
    usable = np.ones(depth.shape, bool)
    for _ in range(3):
        strongest = _strongest(depth[usable])
        if strongest < floor:
            return None
        limit = max((0.45 if wide else 0.6) * strongest, floor / 2)
        faint = (depth > max(0.3 * strongest, floor / 2)) & usable
        mask = _without_lines((depth > limit) & usable, faint)
        # The strokes of a dry pen are interrupted.
        joined = ndimage.binary_dilation(mask, np.ones((3, 3)), iterations=max(1, longer // 200))
        labels = ndimage.label(joined)[0] * mask
        if not mask.any():
            return None
        pieces = sorted(_pieces(labels, depth), key=lambda p: -p.rank)
        if not pieces:
            return None
        outer = [p for p in pieces if p.score < 0]
        if not outer:
            break
        # Surroundings may be darker than any ink: repeat on the rest.
        around = np.isin(labels, [p.label for p in outer])
        if not (usable & ~around).any() or (len(outer) == len(pieces) and around.mean() < 0.3):
            break
        usable &= ~ndimage.binary_dilation(around, iterations=max(1, longer // 150))
    best = _best_or_framed(pieces, labels)
    chosen = _with_neighbours(best, pieces)
    own = np.isin(labels, [p.label for p in chosen])
    near = ndimage.binary_dilation(own, iterations=max(1, longer // 300))
    strong = float(np.median(depth[own]))
    low = max(0.2 * strong, min(2 * noise, 0.4 * strong))
    strength = np.where(near, np.clip((depth - low) / (0.9 * strong - low), 0, 1), 0)
    strength = strength.astype(np.float32)
    (place,) = ndimage.find_objects(own.astype(np.uint8))
    share = float(own.sum() / max(1, mask.sum()))
    channel = int(np.argmax(ratio[own].mean(axis=0)))
    isolation = _isolation(own, channels[..., channel], paper[..., channel])
    likeness = (0.3 + 0.7 * share) * isolation**3
    if likeness * best.score / (best.extent / longer * math.sqrt(best.strength)) < MIN_LIKENESS:
        return None
    score = best.rank * min(1.0, strong / 0.25) * likeness * (1.1 if wide else 1.0)
    return _Reading(score, best.thickness, place, own[place], Ink(strength[place], dark, share))


def _isolation(own: Mask, value: Grey, paper: Grey) -> float:
    """The fraction of the ink's surroundings whose brightness differs from the ink's, 0 to 1.

    It is low where the paper was misjudged: at the edge of a shadow, inside a broad stroke, or
    around the digit under the wrong reading.
    """
    from scipy import ndimage

    longer = max(own.shape)
    (box,) = ndimage.find_objects(own.astype(np.uint8))
    reach = longer // 60 + longer // 120 + 3
    place = tuple(slice(max(0, s.start - reach), s.stop + reach) for s in box)
    own, value, paper = own[place], value[place], paper[place]
    edge = ndimage.binary_dilation(own, np.ones((3, 3)), iterations=max(1, longer // 120))
    around = ndimage.binary_dilation(edge, np.ones((3, 3)), iterations=max(1, longer // 60)) & ~edge
    if not around.any():
        return 0.5
    ink, ground = float(np.median(value[own])), float(np.median(paper[own]))
    return float(np.mean((value[around] - ink) / (ground - ink) > 0.4)) if ground != ink else 0.0


def _strongest(depth: Grey) -> float:
    """The strength of the strongest ink, ignoring a few outliers; there may be very little ink."""
    if depth.size == 0:
        return 0.0
    few = max(1, min(50, depth.size // 1000))
    return float(np.partition(depth, -few)[-few])


def _paper(channels: Grey, dark: bool, wide: bool) -> Grey:
    """The brightness of the paper at each pixel, in each channel.

    Args:
        channels: brightness.
        dark: whether ink is darker than paper.
        wide: whether the window around each pixel is half of the picture, most of which may be ink;
            a narrow one follows the edge of a shadow, but takes a broad stroke for paper.
    """
    from PIL import Image
    from scipy import ndimage

    height, width, _ = channels.shape
    scale = min(1.0, (32 if wide else 48) / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    window = max(3, max(size) // 2) if wide else max(3, max(size) // 5)
    percentile = (80 if dark else 20) if wide else (60 if dark else 40)
    papers = []
    for channel in np.moveaxis(channels, 2, 0):
        image = Image.fromarray(np.ascontiguousarray(channel))
        small = np.asarray(image.resize(size, Image.Resampling.BOX))
        paper = ndimage.percentile_filter(small, percentile, window, mode="nearest")
        paper = ndimage.gaussian_filter(paper, window / 6 if wide else 0.7, mode="nearest")
        large = Image.fromarray(paper).resize((width, height), Image.Resampling.BILINEAR)
        papers.append(np.asarray(large, np.float32))
    return np.stack(papers, axis=2)


def _noise(depth: Grey) -> float:
    """The standard deviation of the noise, from differences between neighbouring pixels."""
    steps = np.abs(np.diff(depth, axis=1))
    return float(1.4826 * np.median(steps) / math.sqrt(2))


def _without_lines(mask: Mask, faint: Mask) -> Mask:
    """Removes lines from edge to edge, as on ruled paper; in `faint` they are unbroken."""
    from scipy import ndimage

    found = np.zeros(mask.shape, bool)
    n_lines = 0
    for axis in (0, 1):
        length = mask.shape[1 - axis]
        run = max(9, length // 6)
        shape = (1, run) if axis == 0 else (run, 1)
        runs = ndimage.binary_opening(faint, np.ones(shape))
        labels, _ = ndimage.label(runs, np.ones((3, 3)))
        for number, place in enumerate(ndimage.find_objects(labels), 1):
            along, across = place[1 - axis], place[axis]
            if along.stop - along.start >= 0.9 * length and (
                across.stop - across.start < 0.1 * length
            ):
                found[place] |= labels[place] == number
                n_lines += 1
    # A 4 may have two such lines. Lines fainter than ink are not in the mask at all.
    if n_lines < 3 or (found & mask).sum() < 0.2 * found.sum():
        return mask
    thick = ndimage.binary_dilation(found, iterations=1)
    rest = mask & ~thick
    # A stroke that crosses a line continues on both sides of it.
    width = max(3, math.ceil(stroke_width(found)) + 4)
    closed = ndimage.binary_closing(np.pad(rest, width), np.ones((width, width)))
    crossed = closed[width:-width, width:-width] & thick & mask
    cleaned: Mask = rest | crossed
    return cleaned


def _pieces(labels: NDArray[np.int32], depth: Grey) -> Iterator[_Piece]:
    """The connected pieces, each scored by likeness to a stroke; below 0 for surroundings."""
    from scipy import ndimage

    height, width = labels.shape
    rim = np.concatenate((labels[0], labels[-1], labels[1:-1, 0], labels[1:-1, -1]))
    at_rim = np.bincount(rim, minlength=labels.max() + 1) / len(rim)
    areas = np.bincount(labels.ravel())
    largest = np.sort(areas[1:])[::-1]
    smallest = max(4.0, largest[0] * 0.003, largest[:MOST_PIECES][-1])
    for label, place in enumerate(ndimage.find_objects(labels), 1):
        area = int(areas[label])
        if area < smallest:
            continue
        sides = [s.stop - s.start for s in place]
        extent = max(sides)
        own = labels[place] == label
        thick = 2 * float(ndimage.distance_transform_edt(np.pad(own, 1)).max()) / extent
        thin = float(np.clip((0.75 - thick) / 0.35, 0.05, 1))
        strength = float(depth[place][own].mean())
        rim_share = float(at_rim[label])
        score = extent / max(height, width) * thin * math.sqrt(strength)
        score *= max(0.05, 1 - 2.5 * rim_share)
        touches = sum(
            (
                place[0].start == 0,
                place[0].stop == height,
                place[1].start == 0,
                place[1].stop == width,
            )
        )
        if touches and rim_share > 0.2 and area > 0.1 * own.size and thick > 0.1:
            score = -score
        is_line = _is_bar(*sides) or (sides[0] >= 0.95 * height and sides[1] < 0.05 * width)
        yield _Piece(label, place, area, extent, thick, strength, score, is_line)


def _is_bar(height: int, width: int) -> bool:
    """Whether a shape is much wider than any digit."""
    return width > 3 * height


def _best_or_framed(pieces: list[_Piece], labels: NDArray[np.int32]) -> _Piece:
    """The best piece or, if that is a frame drawn around others, the best piece inside it."""
    from scipy import ndimage

    best = pieces[0]
    filled = ndimage.binary_fill_holes(labels[best.place] == best.label)
    top, left = best.place[0].start, best.place[1].start
    for piece in pieces[1:]:
        rows, columns = piece.place
        if piece.extent < 0.3 * best.extent or piece.score <= 0:
            continue
        if (
            rows.start > top
            and columns.start > left
            and rows.stop < best.place[0].stop
            and columns.stop < best.place[1].stop
        ):
            inside = filled[
                rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
            ]
            if inside[labels[piece.place] == piece.label].all():
                return piece
    return best


def _with_neighbours(best: _Piece, pieces: list[_Piece]) -> list[_Piece]:
    """The best piece and the nearby pieces that belong to the same digit."""
    chosen = [best]
    top, bottom = best.place[0].start, best.place[0].stop
    left, right = best.place[1].start, best.place[1].stop
    reach = 0.35 * best.extent
    for piece in pieces:
        if piece is best or piece.score < 0 or piece.extent < 0.12 * best.extent:
            continue
        rows, columns = piece.place
        gap = max(top - rows.stop, rows.start - bottom, left - columns.stop, columns.start - right)
        is_underline = piece.is_line and rows.start > bottom + 0.08 * best.extent
        if gap <= reach and piece.extent <= best.extent * 1.2 and not is_underline:
            chosen.append(piece)
    return chosen


def _enlarged(strength: Grey) -> Grey:
    """A digit of which the longer side has at least `FINE` pixels."""
    from PIL import Image

    height, width = strength.shape
    scale = FINE / max(height, width)
    if scale <= 1:
        return strength
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(strength).resize(size, Image.Resampling.BICUBIC))


def _with_stroke_width(strength: Grey, own: float, width: float) -> Grey:
    """The digit with strokes of another width, cropped to its ink; unchanged if it has no strokes.

    Args:
        strength: of the digit.
        own: the width of its strokes, in pixels of MNIST's box.
        width: the new width, likewise.
    """
    from scipy import ndimage

    mask = strength > 0.5
    if not mask.any():
        return strength
    radius = abs(width - own) / 2 * max(strength.shape) / BOX
    if width > own:
        padded = np.pad(mask, math.ceil(radius) + 1)
        away = ndimage.distance_transform_edt(~padded)
        strength = np.clip(radius + 0.5 - away, 0, 1).astype(np.float32)
    elif width < own:
        depth = ndimage.distance_transform_edt(np.pad(mask, 1))
        strength = np.clip(depth - radius + 0.5, 0, 1).astype(np.float32)
    rows, columns = (
        np.flatnonzero((strength > 0.5).any(axis=1)),
        np.flatnonzero((strength > 0.5).any(axis=0)),
    )
    if not len(rows):
        return strength
    return np.ascontiguousarray(strength[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
