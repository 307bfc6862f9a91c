"""The font with which the page of `jmlp serve` draws braille."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from tui.serving.server import PAGE, STATICS

COLUMN, ROW = 30, 33  # pixels of a dot
# The dots of a character by its bits, as Unicode numbers them: 1, 2, 3, 4, 5, 6, 7, 8.
PLACES = ((0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1), (3, 0), (3, 1))


@pytest.fixture(scope="module")
def font() -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(PAGE / "braille.ttf", 100)  # 60 × 131.9 pixels


def dots(font: ImageFont.FreeTypeFont, character: str) -> np.ndarray:
    """Draws a character by FreeType; returns which of its eighths are filled: wholly, or not."""
    picture = Image.new("L", (2 * COLUMN, 4 * ROW))
    ImageDraw.Draw(picture).text((0, 0), character, fill=255, font=font)
    eighths = np.asarray(picture).reshape(4, ROW, 2, COLUMN)
    inner = eighths[:, 3:-3, :, 3:-3]  # without the pixels that an edge may cut
    assert ((inner == 0) | (inner == 255)).all()
    filled = np.asarray(inner.all(axis=(1, 3)))
    assert (filled == inner.any(axis=(1, 3))).all()
    return filled


def test_each_dot_of_each_character_fills_its_eighth_of_the_cell(
    font: ImageFont.FreeTypeFont,
) -> None:
    for bits in range(256):
        expected = np.zeros((4, 2), bool)
        for bit, place in enumerate(PLACES):
            expected[place] = bits & 1 << bit
        np.testing.assert_array_equal(dots(font, chr(0x2800 + bits)), expected)


def test_the_cell_is_that_of_the_letters(font: ImageFont.FreeTypeFont) -> None:
    letters = ImageFont.truetype(STATICS / "fonts" / "RobotoMono-VariableFont_wght.ttf", 100)
    assert font.getmetrics() == letters.getmetrics()
    assert font.getlength("⣿") == letters.getlength("W")
