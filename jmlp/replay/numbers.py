"""Numbers and texts as they stand in the page."""

import math
from collections.abc import Iterable

import numpy as np

MOST_LETTERS = 200  # of a name that users gave


def evenly(n: int, most: int) -> list[int]:
    """All indices from 0 to n - 1, or at most `most` (at least 2) that are evenly spaced.

    The first and the last one are always among them.
    """
    if n <= most:
        return list(range(n))
    return [int(k) for k in np.unique(np.rint(np.linspace(0, n - 1, most)))]


def number(value: float | None) -> float | int | None:
    """A number for JSON, with all its digits; None if it is missing or not finite."""
    if value is None or not math.isfinite(value):
        return None
    return int(value) if float(value).is_integer() else float(value)


def number_list(values: Iterable[float]) -> list[float | int | None]:
    """Several numbers, likewise."""
    return [number(float(value)) for value in values]


def short(text: str) -> str:
    """A name, cut off where it is too long for a page of bounded size."""
    return text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS - 1]}…"
