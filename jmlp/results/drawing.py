"""Curves to be drawn: what a screen shows, as plain records that another process can read."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """A curve; a value that is not finite is a gap."""

    name: str
    style: int  # index of its colour and dashes
    x: tuple[float, ...]
    values: tuple[float, ...]
    low: tuple[float, ...] | None  # of the band
    high: tuple[float, ...] | None


@dataclass(frozen=True)
class Panel:
    """Curves on common axes, and the part of the x axis that is drawn."""

    title: str  # the name and unit of the values
    x_title: str
    lines: tuple[Line, ...]
    left: float
    right: float
    log: bool  # whether the scale of the values is logarithmic
    bounds: tuple[float, float]  # the lowest and highest possible value
    marks: tuple[tuple[float, str], ...]  # labelled positions on the x axis


@dataclass(frozen=True)
class Drawing:
    """A picture: panels below each other."""

    title: str
    panels: tuple[Panel, ...]
