"""Pictures as lines of segments: half blocks in colours, or shades where there are none."""

from functools import lru_cache
from typing import Any

from rich.segment import Segment
from rich.style import Style
from textual.app import App
from textual.color import Color

from tui.charts.picture import N_LEVELS, NO_PIXEL, Plane, half_blocks, shades

POSITIVE, NEGATIVE = Color.parse("#f0883e"), Color.parse("#3f8cff")


def picture_lines(
    app: App[Any], plane: Plane, *, signed: bool = False, signs: bool = False
) -> list[list[Segment]]:
    """Draws a picture, two pixels to a cell; every cell is a segment if there are colours.

    Args:
        app: whose theme and terminal it is drawn for.
        plane: see `tui.charts.picture`.
        signed: whether its values may be negative.
        signs: whether to draw characters even if there are colours.
    """
    # An ASCII terminal can show shades but not half blocks.
    if signs or app.no_color or getattr(app.driver_class, "ascii_only", False):
        return [[Segment(line)] for line in shades(plane)]
    variables = app.theme_variables
    paper, ink = variables["surface"], variables["foreground"]
    return [
        [
            Segment("▀", _cell_style(paper, ink, signed, *levels))
            for levels in zip(above.tolist(), below.tolist(), strict=True)
        ]
        for above, below in zip(*half_blocks(plane), strict=True)
    ]


@lru_cache(8192)
def _cell_style(paper: str, ink: str, signed: bool, above: int, below: int) -> Style:
    """Returns the style of a cell from the levels of its two halves."""
    halves = [_colour(paper, ink, signed, level).rich_color for level in (above, below)]
    return Style(color=halves[0], bgcolor=halves[1])


def _colour(paper: str, ink: str, signed: bool, level: int) -> Color:
    blank = Color.parse(paper)
    if level == NO_PIXEL:
        return blank
    full = Color.parse(ink) if not signed else NEGATIVE if level < 0 else POSITIVE
    return blank.blend(full, abs(level) / N_LEVELS)
