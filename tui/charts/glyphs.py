"""How the dots of plots are drawn: braille, octants, half blocks or ASCII."""

from collections.abc import Mapping
from dataclasses import dataclass

from jmlp.errors import ConfigError
from jmlp.study.rules import plain

VARIABLE = "JMLP_GLYPHS"  # of the environment, which names glyphs that the font has


@dataclass(frozen=True)
class Glyphs:
    """How the dots of a cell are drawn."""

    columns: int  # dots per cell
    rows: int
    bits: tuple[tuple[int, ...], ...]  # of each dot, by row and column
    signs: str  # by the sum of the bits
    halftone: tuple[str, str]  # for areas without colour: the signs of alternate cells


# Octants that are not among those of Unicode 16, since other blocks look the same.
_BLOCKS = {
    0: " ", 1: "\U0001cea8", 2: "\U0001ceab", 3: "\U0001fb82", 5: "▘", 10: "▝", 15: "▀",
    20: "\U0001fbe6", 40: "\U0001fbe7", 63: "\U0001fb85", 64: "\U0001cea3", 80: "▖", 85: "▌",
    90: "▞", 95: "▛", 128: "\U0001cea0", 160: "▗", 165: "▚", 170: "▐", 175: "▜", 192: "▂",
    240: "▄", 245: "▙", 250: "▟", 252: "▆", 255: "█",
}  # fmt: skip


def _octants() -> str:
    others = (chr(code) for code in range(0x1CD00, 0x1CDE6))  # in order of their bits
    return "".join(_BLOCKS[bits] if bits in _BLOCKS else next(others) for bits in range(256))


BRAILLE = Glyphs(
    2,
    4,
    ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80)),
    " " + "".join(map(chr, range(0x2801, 0x2900))),
    ("⠂", "⠐"),
)
OCTANTS = Glyphs(2, 4, ((1, 2), (4, 8), (16, 32), (64, 128)), _octants(), ("░", "░"))
HALF_BLOCKS = Glyphs(1, 2, ((1,), (2,)), " ▀▄█", ("░", "░"))
ASCII = Glyphs(1, 2, ((1,), (2,)), " '.:", (",", " "))

GLYPHS = {"braille": BRAILLE, "octants": OCTANTS, "blocks": HALF_BLOCKS, "ascii": ASCII}


def glyphs_of(environ: Mapping[str, str]) -> Glyphs:
    """Returns the glyphs that an environment names, or else those that its terminal should have.

    Raises:
        ConfigError: it names none that there are.
    """
    name = environ.get(VARIABLE)
    if name and name not in GLYPHS:
        raise ConfigError(f"{VARIABLE}: must be one of {', '.join(GLYPHS)}, got {plain(name)}")
    # The fonts of the Linux console have 512 characters at most, and no braille.
    return GLYPHS[name] if name else HALF_BLOCKS if environ.get("TERM") == "linux" else BRAILLE
