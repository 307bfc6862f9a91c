"""Digits as people bring them: drawn on sheets, photographed, cropped, in any ink."""

import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]
Colour = tuple[int, int, int]

PAPER, PEN = (245, 243, 238), (30, 32, 40)


def drawn(digit: Pixels, size: int) -> Floats:
    """The digit (28, 28) as crisp ink, 0 to 1, of `size` pixels."""
    large = Image.fromarray(digit).resize((size, size), Image.Resampling.BICUBIC)
    ink: Floats = np.clip((np.asarray(large, np.float64) - 110) / 40 + 0.5, 0, 1)
    return ink


def on_sheet(digit: Pixels, rng: Generator, size: tuple[int, int] = (240, 320)) -> Floats:
    """Ink somewhere on a sheet, of some size."""
    side = int(rng.integers(size[0] // 3, 2 * size[0] // 3))
    top, left = (int(rng.integers(4, n - side - 4)) for n in size)
    ink = np.zeros(size)
    ink[top : top + side, left : left + side] = drawn(digit, side)
    return ink


def painted(ink: Floats, paper: Colour = PAPER, pen: Colour = PEN) -> Floats:
    """In colour, (height, width, 3)."""
    share = ink[..., None]
    colour: Floats = (1 - share) * np.array(paper, float) + share * np.array(pen, float)
    return colour


def png(colour: Floats) -> bytes:
    return _file(Image.fromarray(_bytes(colour)), "PNG")


def jpeg(colour: Floats) -> bytes:
    return _file(Image.fromarray(_bytes(colour)), "JPEG", quality=60)


def _bytes(colour: Floats) -> Pixels:
    rounded: Pixels = np.clip(np.rint(colour), 0, 255).astype(np.uint8)
    return rounded


def _file(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def cropped(digit: Pixels, margin: int) -> Floats:
    ink = drawn(digit, 200)
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return np.pad(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], margin)


def in_falling_light(colour: Floats, rng: Generator) -> Floats:
    height, width, _ = colour.shape
    y, x = np.mgrid[0:height, 0:width]
    angle = rng.uniform(0, 2 * np.pi)
    slope = np.cos(angle) * x / width + np.sin(angle) * y / height
    slope = (slope - slope.min()) / np.ptp(slope)
    lit: Floats = colour * (0.4 + 0.6 * slope)[..., None]
    return lit


def in_shadow(colour: Floats, rng: Generator) -> Floats:
    height, width, _ = colour.shape
    y, x = np.mgrid[0:height, 0:width]
    angle = rng.uniform(0, 2 * np.pi)
    far = np.cos(angle) * (x - width / 2) + np.sin(angle) * (y - height / 2)
    lit: Floats = colour * (0.7 + 0.3 * np.clip(far / 12 + 0.5, 0, 1))[..., None]
    return lit


def noisy(colour: Floats, rng: Generator, amount: float = 15) -> Floats:
    return colour + rng.normal(0, amount, colour.shape)


def ruled(colour: Floats, gap: int, line: Colour, squared: bool = False) -> Floats:
    height, width, _ = colour.shape
    y, x = np.mgrid[0:height, 0:width]
    lines = (y % gap < 2) | (squared & (x % gap < 2))
    return np.where(lines[..., None], np.minimum(colour, np.array(line, float)), colour)


def beside_lines(digit: Pixels, *places: tuple[slice, slice], line: Colour = PEN) -> Floats:
    """Drawn in the middle of a sheet of 340 x 340, beside lines or bars."""
    ink = np.zeros((340, 340))
    ink[90:250, 90:250] = drawn(digit, 160)
    colour = painted(ink)
    for place in places:
        colour[place] = line
    return colour


def on_table(digit: Pixels, rng: Generator) -> Floats:
    table = np.empty((240, 320, 3))
    table[:] = (60, 45, 35)
    table[30:215, 50:280] = painted(on_sheet(digit, rng, (185, 230)))
    return noisy(table, rng, 4)


def dusty(colour: Floats, rng: Generator) -> Floats:
    for _ in range(25):
        top, left = (int(rng.integers(0, n - 2)) for n in colour.shape[:2])
        colour[top : top + 2, left : left + 2] = 20
    return colour


def at_the_rim(digit: Pixels, rng: Generator) -> Floats:
    ink = on_sheet(digit, rng)
    return ink[:, np.flatnonzero((ink > 0.5).any(axis=0))[0] + 1 :]


def on_nothing(digit: Pixels, rng: Generator, pen: Colour) -> bytes:
    ink = on_sheet(digit, rng)
    layers = np.concatenate([np.broadcast_to(pen, (*ink.shape, 3)), 255 * ink[..., None]], axis=2)
    return _file(Image.fromarray(_bytes(layers)), "PNG")


def turned_by_the_camera(digit: Pixels, rng: Generator) -> bytes:
    """It lies on its side in the file, whose EXIF data say so."""
    lying = np.rot90(_bytes(painted(on_sheet(digit, rng))), 1)
    exif = Image.Exif()
    exif[0x0112] = 6
    return _file(Image.fromarray(np.ascontiguousarray(lying)), "JPEG", quality=90, exif=exif)


def of_sixteen_bits(digit: Pixels, rng: Generator) -> bytes:
    values = 3 - np.rint(3 * on_sheet(digit, rng)).astype(np.uint16)
    return _file(Image.fromarray(values), "PNG")


KINDS: Mapping[str, Callable[[Pixels, Generator], bytes]] = {
    "of its own size": lambda digit, rng: _file(Image.fromarray(digit), "PNG"),
    "dark on light": lambda digit, rng: png(painted(drawn(digit, 200))),
    "white on black": lambda digit, rng: png(
        painted(on_sheet(digit, rng), (0, 0, 0), (255, 255, 255))
    ),
    "cropped tight": lambda digit, rng: png(painted(cropped(digit, 4))),
    "cropped to the last pixel": lambda digit, rng: png(painted(cropped(digit, 0))),
    "on a wide sheet": lambda digit, rng: png(painted(on_sheet(digit, rng, (150, 450)))),
    "on a sheet": lambda digit, rng: png(painted(on_sheet(digit, rng))),
    "falling light": lambda digit, rng: jpeg(in_falling_light(painted(on_sheet(digit, rng)), rng)),
    "a shadow": lambda digit, rng: jpeg(in_shadow(painted(on_sheet(digit, rng)), rng)),
    "noise": lambda digit, rng: jpeg(noisy(painted(on_sheet(digit, rng)), rng)),
    "ruled paper": lambda digit, rng: png(
        ruled(painted(on_sheet(digit, rng)), 24, (170, 190, 220))
    ),
    "dark squares": lambda digit, rng: png(
        ruled(painted(on_sheet(digit, rng)), 30, (90, 90, 100), squared=True)
    ),
    "over a line": lambda digit, rng: png(
        beside_lines(digit, (slice(280, 283), slice(None)), line=(60, 60, 70))
    ),
    "underlined": lambda digit, rng: png(beside_lines(digit, (slice(275, 282), slice(110, 230)))),
    "beside a margin": lambda digit, rng: png(
        beside_lines(digit, (slice(None), slice(40, 43)), line=(220, 60, 60))
    ),
    "between bars of a screen": lambda digit, rng: png(
        beside_lines(
            digit,
            (slice(0, 24), slice(None)),
            (slice(300, 325), slice(40, 300)),
            line=(40, 90, 200),
        )
    ),
    "red ink": lambda digit, rng: png(painted(on_sheet(digit, rng), pen=(215, 40, 40))),
    "yellow ink": lambda digit, rng: png(painted(on_sheet(digit, rng), pen=(250, 225, 60))),
    "white on blue": lambda digit, rng: png(
        painted(on_sheet(digit, rng), (90, 160, 240), (250, 250, 250))
    ),
    "pencil on grey": lambda digit, rng: png(
        noisy(painted(on_sheet(digit, rng), (150, 150, 150), (100, 100, 100)), rng, 4)
    ),
    "on a table": lambda digit, rng: png(on_table(digit, rng)),
    "dust": lambda digit, rng: png(dusty(painted(on_sheet(digit, rng)), rng)),
    "at the rim": lambda digit, rng: png(painted(at_the_rim(digit, rng))),
    "black on nothing": lambda digit, rng: on_nothing(digit, rng, (0, 0, 0)),
    "white on nothing": lambda digit, rng: on_nothing(digit, rng, (255, 255, 255)),
    "turned by the camera": turned_by_the_camera,
    "16 bits, of which 2 are used": of_sixteen_bits,
}
