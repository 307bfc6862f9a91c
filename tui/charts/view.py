"""The zoom and the cursor of a plot, without any drawing."""

import numpy as np

from tui.charts.lines import Floats

ZOOM = 1.5
MIN_SPAN = 4.0  # epochs


class View:
    """A window of epochs and a cursor; both stay within the epochs of the data."""

    def __init__(self) -> None:
        self.epochs: Floats = np.empty(0)  # at which a curve has a value, ascending
        self.zoomed: tuple[float, float] | None = None  # None: all epochs, even as more come
        self.cursor: float | None = None  # None: the last epoch, even as more come

    @property
    def all(self) -> tuple[float, float]:
        """The first and the last epoch."""
        if not self.epochs.size:
            return 0.0, 1.0
        return float(self.epochs[0]), float(max(self.epochs[-1], self.epochs[0] + 1))

    @property
    def shown(self) -> tuple[float, float]:
        """The first and the last epoch of the window."""
        return self.zoomed or self.all

    @property
    def read_at(self) -> float | None:
        """The epoch whose values are displayed; None if there are no epochs."""
        if self.cursor is None and self.epochs.size:
            return float(self.epochs[-1])
        return self.cursor

    def step(self, by: int) -> None:
        """Moves the cursor by so many epochs with values; the window follows it."""
        if self.epochs.size:
            last = len(self.epochs) - 1
            at = last if self.cursor is None else int(np.abs(self.epochs - self.cursor).argmin())
            self.point(float(self.epochs[min(last, max(0, at + by))]))

    def point_near(self, epoch: float) -> None:
        """Moves the cursor to the nearest epoch with a value."""
        if self.epochs.size:
            self.point(float(self.epochs[np.abs(self.epochs - epoch).argmin()]))

    def point(self, epoch: float | None) -> None:
        """Moves the cursor, or with None makes it follow the last epoch."""
        self.cursor = epoch
        left, right = self.shown
        at = self.all[1] if epoch is None else epoch
        if at > right:
            self.shift(at - right)
        elif at < left:
            self.shift(at - left)

    def shift(self, by: float) -> None:
        """Moves the window by so many epochs, within the data."""
        if self.zoomed is not None:
            (left, right), (first, last) = self.zoomed, self.all
            by = max(first - left, min(last - right, by))
            self.zoomed = left + by, right + by

    def zoom(self, closer: bool, around: float | None = None) -> None:
        """Narrows or widens the window.

        Args:
            closer: whether to narrow it.
            around: the epoch that stays in place; default: the cursor, else the middle.
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
        """Shows all epochs, and removes the cursor."""
        self.zoomed = self.cursor = None

    def follow(self, other: "View") -> bool:
        """Copies another view's window and cursor; returns whether anything has changed."""
        changed = (self.zoomed, self.cursor) != (other.zoomed, other.cursor)
        self.zoomed, self.cursor = other.zoomed, other.cursor
        return changed
