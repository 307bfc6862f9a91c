"""The zoom and the cursor of a plot, without any drawing."""

import numpy as np

from tui.charts.axes import Floats

ZOOM = 1.5
MIN_SPAN = 4.0  # epochs or updates


class View:
    """A window of the x axis and a cursor; both stay within the data."""

    def __init__(self) -> None:
        self.x: Floats = np.empty(0)  # where a curve has a value, ascending
        self.zoomed: tuple[float, float] | None = None  # None: everything, even as more comes
        self.cursor: float | None = None  # None: the last position, even as more come

    @property
    def all(self) -> tuple[float, float]:
        """The first and the last position of the data."""
        if not self.x.size:
            return 0.0, 1.0
        return float(self.x[0]), float(max(self.x[-1], self.x[0] + 1))

    @property
    def shown(self) -> tuple[float, float]:
        """The ends of the window."""
        return self.zoomed or self.all

    @property
    def read_at(self) -> float | None:
        """The position whose values are displayed; None without data."""
        if self.cursor is None and self.x.size:
            return float(self.x[-1])
        return self.cursor

    def step(self, by: int) -> None:
        """Moves the cursor by so many positions with values; the window follows it."""
        if self.x.size:
            last = len(self.x) - 1
            at = last if self.cursor is None else int(np.abs(self.x - self.cursor).argmin())
            self.point(float(self.x[min(last, max(0, at + by))]))

    def point_near(self, x: float) -> None:
        """Moves the cursor to the nearest position with a value."""
        if self.x.size:
            self.point(float(self.x[np.abs(self.x - x).argmin()]))

    def point(self, x: float | None) -> None:
        """Moves the cursor, or with None makes it follow the last position."""
        self.cursor = x
        left, right = self.shown
        at = self.all[1] if x is None else x
        if at > right:
            self.shift(at - right)
        elif at < left:
            self.shift(at - left)

    def shift(self, by: float) -> None:
        """Moves the window by so much, within the data."""
        if self.zoomed is not None:
            (left, right), (first, last) = self.zoomed, self.all
            by = max(first - left, min(last - right, by))
            self.zoomed = left + by, right + by

    def zoom(self, closer: bool, around: float | None = None) -> None:
        """Narrows or widens the window.

        Args:
            closer: whether to narrow it.
            around: the position that stays in place; default: the cursor, else the middle.
        """
        (left, right), (first, last) = self.shown, self.all
        if around is None:
            around = (left + right) / 2 if self.cursor is None else self.cursor
        around = min(right, max(left, around))
        span = (right - left) * (1 / ZOOM if closer else ZOOM)
        span = max(min(MIN_SPAN, last - first), span)
        if span >= last - first:
            self.zoomed = None
        else:
            share = (around - left) / (right - left)
            start = max(first, min(last - span, around - share * span))
            self.zoomed = start, start + span

    def reset(self) -> None:
        """Shows everything, and removes the cursor."""
        self.zoomed = self.cursor = None

    def follow(self, other: "View") -> bool:
        """Copies another view's window and cursor; returns whether anything has changed."""
        changed = (self.zoomed, self.cursor) != (other.zoomed, other.cursor)
        self.zoomed, self.cursor = other.zoomed, other.cursor
        return changed
