"""Schedules of the learning rate: plain arithmetic, for numbers and arrays, without JAX.

The learning rate of update t of T, both counted from 1, after a warm-up of W updates:

    p = max(0, t - 1 - W) / (T - W)             from 0 on, the part of the schedule that is over

    constant    min(1, t / W) eta
    linear      min(1, t / W) eta (1 - p)
    cosine      min(1, t / W) eta (1 + cos(pi p)) / 2

Without a warm-up, W = 0 and the first factor is 1. W and T are whole epochs' updates times `warmup`
and `epochs`. The first update of a warm-up has the rate eta / W and update W the rate eta; the
schedule begins after it.

A rate that decays to 0 averages out the noise of individual mini-batches (Defazio et al., "Optimal
Linear Decay Learning Rate Schedules and Further Refinements", 2023, arXiv:2310.07831). The cosine
is one period of Loshchilov & Hutter, "SGDR", ICLR 2017 (arXiv:1608.03983), equation 5, down to 0.
A warm-up avoids large steps while the network changes fast (Goyal et al., "Accurate, Large
Minibatch SGD", 2017, arXiv:1706.02677, section 2.2).
"""

import math
from types import SimpleNamespace
from typing import Any

Number = Any  # a float or an array of floats

# The app shows learning rates, and starts without NumPy.
_PLAIN = SimpleNamespace(minimum=min, maximum=max, cos=math.cos)


def scheduled(
    schedule: str,
    eta: Number,
    updates: Number,
    n_steps: int,
    epochs: Number,
    warmup: Number | None = None,
    xp: Any = _PLAIN,
) -> Number:
    """The learning rate of the next update.

    Args:
        schedule: "constant", "linear" or "cosine".
        eta: the learning rate before it decays.
        updates: the updates made so far, t - 1.
        n_steps: updates per epoch.
        epochs: maximum number of epochs, at the end of which a schedule reaches 0.
        warmup: epochs of the warm-up, at most `epochs`; None: there is none.
        xp: `numpy` or `jax.numpy` if any of these is an array.
    """
    if warmup is not None:
        first = warmup * n_steps
        eta = eta * xp.minimum(1, (updates + 1) / first)
        # Within the warm-up p is 0, whatever its denominator.
        updates, epochs = xp.maximum(0, updates - first), xp.maximum(1 / n_steps, epochs - warmup)
    if schedule == "constant":
        return eta
    p = updates / n_steps / epochs
    return eta * (1 - p) if schedule == "linear" else eta * (1 + xp.cos(math.pi * p)) / 2
