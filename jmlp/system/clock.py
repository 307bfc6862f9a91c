"""The wall clock: times to show and to store, never to compute a result with."""

import time


def now() -> int:
    """UTC in milliseconds since 1970."""
    return time.time_ns() // 1_000_000
