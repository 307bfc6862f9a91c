#!/usr/bin/env python
"""Makes the font of braille with which the page of `jmlp serve` draws curves.

    .venv/bin/python scripts/braille_font.py

The dots of other fonts are small and round, so that lines look dotted, and many systems have no
braille at all. These dots fill their eighths of the cell, so that lines are connected. It writes
tui/serving/page/braille.ttf, with the metrics of Roboto Mono, the font of everything else. It needs
fontTools, which comes with matplotlib.
"""

from pathlib import Path
from typing import Any

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

from tui.charts.glyphs import BRAILLE

PATH = Path(__file__).parent.parent / "tui" / "serving" / "page" / "braille.ttf"
FIRST = 0x2800
UNITS, WIDTH, ASCENT, DESCENT = 2048, 1229, 2146, -555  # of Roboto Mono


def glyph(bits: int) -> Any:
    """Draws the dots of which the bits are set."""
    pen = TTGlyphPen(None)
    for row, masks in enumerate(BRAILLE.bits):
        top, bottom = (round(ASCENT + (DESCENT - ASCENT) * (row + i) / 4) for i in (0, 1))
        for column, mask in enumerate(masks):
            left, right = (round(WIDTH * (column + i) / 2) for i in (0, 1))
            if bits & mask:
                pen.moveTo((left, bottom))
                for corner in ((left, top), (right, top), (right, bottom)):
                    pen.lineTo(corner)
                pen.closePath()
    return pen.glyph()


def main() -> None:
    """Writes the font."""
    names = {bits: f"braille{bits:02x}" for bits in range(256)}
    builder = FontBuilder(UNITS, isTTF=True)
    builder.setupGlyphOrder([".notdef", *names.values()])
    builder.setupCharacterMap({FIRST + bits: name for bits, name in names.items()})
    glyphs = {".notdef": glyph(0), **{name: glyph(bits) for bits, name in names.items()}}
    builder.setupGlyf(glyphs)
    # The second number is where a glyph begins, to which it would be moved otherwise.
    builder.setupHorizontalMetrics({name: (WIDTH, g.xMin) for name, g in glyphs.items()})
    builder.setupHorizontalHeader(ascent=ASCENT, descent=DESCENT)
    builder.setupNameTable({"familyName": "jmlp braille", "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=ASCENT, sTypoDescender=DESCENT, usWinAscent=ASCENT)
    builder.setupPost()
    builder.font["head"].created = builder.font["head"].modified = 0  # the same bytes every time
    builder.font.recalcTimestamp = False
    builder.save(PATH)
    print(f"{PATH.name}: {PATH.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
