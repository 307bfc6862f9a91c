"""Schedules of the learning rate: plain arithmetic, for numbers and arrays, without JAX.

The learning rate of update t of T, both counted from 1:

    constant    eta
    linear      eta (1 - (t - 1) / T)

A rate that decays to 0 averages out the noise of individual mini-batches (Defazio et al., "Optimal
Linear Decay Learning Rate Schedules and Further Refinements", 2023, arXiv:2310.07831).
"""

from typing import Any

Number = Any  # a float or an array of floats


def scheduled(schedule: str, eta: Number, updates: Number, n_steps: int, epochs: Number) -> Number:
    """The learning rate of the next update.

    Args:
        schedule: "constant" or "linear".
        eta: the learning rate of the first update.
        updates: the updates made so far, t - 1.
        n_steps: updates per epoch.
        epochs: maximum number of epochs, at the end of which a linear schedule reaches 0.
    """
    if schedule == "constant":
        return eta
    return eta * (1 - updates / n_steps / epochs)
