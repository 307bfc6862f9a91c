"""Inspections of networks that never were, made without JAX."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from jmlp.data.columns import Column
from jmlp.inspection.records import Inspection, Part

N_CLASSES = 10
COLUMNS = (Column("island", ("Biscoe", "[b]Dream[/b]")), Column("bill_mm"), Column("mass_g"))


def made_up(
    n_snapshots: int = 4,
    n: int = 200,
    hidden: Sequence[int] = (3,),
    shape: tuple[int, ...] = (28, 28),
    part: Part = "validation",
) -> Inspection:
    """An inspection whose numbers are made by a formula; later networks make fewer mistakes.

    Args:
        n_snapshots: networks; the kept one is the last but one, where there are two.
        n: examples of the part.
        hidden: units of the hidden layers.
        shape: of a picture.
        part: of the data.
    """
    n_layers, n_in = len(hidden) + 1, int(np.prod(shape))
    epochs = [0, 1]
    while len(epochs) < n_snapshots:
        epochs.append(epochs[-1] + epochs[-2])
    network, example = np.arange(n_snapshots)[:, None], np.arange(n)
    layer = np.arange(n_layers)
    labels = example * 7 % N_CLASSES
    wrong = (example * 31 + network) % 10 < 6 - np.minimum(5, 2 * network)
    predicted = np.where(wrong, (labels + 1 + example % 9) % N_CLASSES, labels)
    confidence = 0.2 + 0.79 * ((example * 37 + network * 11) % 101 / 100)
    unit, pixel = np.arange(hidden[0])[:, None], np.arange(n_in)
    waves = np.sin(pixel * (unit + 1) / 9.0) * (1 + network[:, :, None]) / 4
    examples = np.flatnonzero(wrong.any(axis=0))[:120]
    images = (examples[:, None] * 13 + pixel * 5) % 256
    ratio = 1e-3 / (1 + network + layer)
    return Inspection(
        run_id="a1b2c3d4" * 8,
        part=part,
        epochs=tuple(epochs[:n_snapshots]),
        best=max(0, n_snapshots - 2),
        diverged_at=None,
        image_shape=shape,
        n_classes=N_CLASSES,
        layers=(*(f"hidden {i + 1}" for i in range(len(hidden))), "output"),
        activations=("relu",) * len(hidden),
        update_words="‖Δθ‖/‖θ‖ of a network that never was, made by a formula.",
        gradient_norm=np.array(0.1 / (1 + network + 2 * layer), np.float64),
        update_ratio=ratio,
        n_units=np.array(hidden, np.int64),
        dead_units=np.minimum(network, np.array(hidden, np.int64)).astype(np.int64),
        weights=waves.astype(np.float32),
        cost=np.array(2.3 / (1 + network[:, 0]), np.float64),
        accuracy=np.mean(predicted == labels, axis=1),
        labels=labels.astype(np.int16),
        predicted=predicted.astype(np.int16),
        confidence=confidence.astype(np.float32),
        examples=examples.astype(np.int64),
        images=images.astype(np.uint8).reshape(-1, *shape),
        rows=np.empty((0, n_in)),
    )


def of_table(n_snapshots: int = 4, hidden: Sequence[int] = (3, 4)) -> Inspection:
    """The same networks on a table; every seventh kept row lacks its island and its mass."""
    made = made_up(n_snapshots, hidden=hidden, shape=(4,))
    k = np.arange(len(made.examples))
    rows = np.stack([k % 2, 1 - k % 2, (391 + k) / 10, 3750 + k], axis=1).astype(np.float64)
    rows[::7, [0, 1, 3]] = np.nan
    return replace(made, images=np.empty((0, 4), np.uint8), rows=rows, columns=COLUMNS)
