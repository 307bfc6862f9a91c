"""Which epochs of a plot are looked at, and at which one its values are read: no drawing."""

import numpy as np

from tui.charts.lines import Floats

ZOOM = 1.5
MIN_SPAN = 4.0  # epochs


class View:
    """A window on the epochs and a cursor; both keep within the epochs that there are."""

    def __init__(self) -> None:
        self.epochs: Floats = np.empty(0)  # at which a curve has a value, rising
        self.zoomed: tuple[float, float] | None = None  # None: all epochs, which may grow
        self.cursor: float | None = None  # None: the last one, which may move on

    @property
    def all(self) -> tuple[float, float]:
        """The first and the last epoch."""
        if not self.epochs.size:
            return 0.0, 1.0
        return float(self.epochs[0]), float(max(self.epochs[-1], self.epochs[0] + 1))

    @property
    def shown(self) -> tuple[float, float]:
        """The window."""
        return self.zoomed or self.all

    @property
    def read_at(self) -> float | None:
        """The epoch whose values are read; None where there is no epoch."""
        if self.cursor is None and self.epochs.size:
            return float(self.epochs[-1])
        return self.cursor

    def step(self, by: int) -> None:
        """Moves the cursor to a neighbouring epoch; the window follows it."""
        if self.epochs.size:
            last = len(self.epochs) - 1
            at = last if self.cursor is None else int(np.abs(self.epochs - self.cursor).argmin())
            self.point(float(self.epochs[min(last, max(0, at + by))]))

    def point_near(self, epoch: float) -> None:
        """Moves the cursor to the nearest epoch with a value."""
        if self.epochs.size:
            self.point(float(self.epochs[np.abs(self.epochs - epoch).argmin()]))

    def point(self, epoch: float | None) -> None:
        """Moves the cursor; None: to the last epoch, whichever that will be."""
        self.cursor = epoch
        left, right = self.shown
        at = self.all[1] if epoch is None else epoch
        if at > right:
            self.shift(at - right)
        elif at < left:
            self.shift(at - left)

    def shift(self, by: float) -> None:
        """Moves the window by so many epochs."""
        if self.zoomed is not None:
            (left, right), (first, last) = self.zoomed, self.all
            by = max(first - left, min(last - right, by))
            self.zoomed = left + by, right + by

    def zoom(self, closer: bool, around: float | None = None) -> None:
        """Narrows or widens the window.

        Args:
            closer: narrows it.
            around: the epoch that stays where it is; else the cursor, else the middle.
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
        """All epochs, and no cursor."""
        self.zoomed = self.cursor = None

    def follow(self, other: "View") -> bool:
        """Looks at what another one looks at; whether anything has changed."""
        changed = (self.zoomed, self.cursor) != (other.zoomed, other.cursor)
        self.zoomed, self.cursor = other.zoomed, other.cursor
        return changed
