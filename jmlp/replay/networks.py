"""The networks of a run for the script of a replay, as JSON values of bounded size."""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jmlp.inspection.boundary_records import UNKNOWN, Boundary, classes
from jmlp.inspection.records import WITHIN, Inspection
from jmlp.replay.numbers import evenly, number_list, short
from jmlp.training.records import epoch_text

MOST_SNAPSHOTS = 24
MOST_UNITS = 100  # of the first layer
MOST_INPUTS = 60  # columns of a table
MOST_CLASSES = 40  # of a confusion matrix
LEVELS = 127  # of a positive or negative weight
MOST_EXAMPLES = 200  # that are drawn on a boundary
COARSEST = 4  # every fourth point of a boundary's grid in each direction
COUNT_BYTES = 7  # of a number in a confusion matrix, with its comma

Weights = NDArray[np.float64]


def network(
    i: Inspection, boundary: Boundary | None, about: Mapping[str, Any], room: int
) -> tuple[dict[str, Any], list[str]]:
    """The measurements on a run's networks, and sentences about what was left out.

    Args:
        i: the inspection of the run.
        boundary: of the same networks, if their inputs are two numbers.
        about: what else the page says of the run.
        room: bytes of the page that it may take; statistics are never left out.
    """
    kept = snapshots(i)
    epochs = [i.epochs[e] for e in kept]
    left_out = []
    if len(kept) < len(i.epochs):
        left_out.append(f"{len(kept)} of {len(i.epochs)} snapshots are shown.")
    confusion, unknown, why = _confusion(i, kept, room // 2)
    left_out += why
    left = room - _size(i, kept) - _confusion_bytes(i, kept, confusion)
    plane, why = (None, []) if boundary is None else _plane(boundary, kept, left)
    left_out += why
    left -= 0 if plane is None else len(plane["bytes"])
    weights, why = _weights(i, kept, left)
    left_out += why
    values = {
        **about,
        "part": i.part,
        "what": i.what,
        "examples": len(i.labels),
        "epochs": epochs,
        "names": [epoch_text(epoch) for epoch in epochs],
        "best": None if i.best is None else kept.index(i.best),
        "diverged_at": i.diverged_at,
        "cost": number_list(i.cost[kept]),
        "accuracy": number_list(i.accuracy[kept]),
        "layers": i.layers,
        "units": i.n_units.tolist(),
        "relu": i.relu_layers,
        "gradient_norm": [number_list(row) for row in i.gradient_norm[kept]],
        "update_ratio": [number_list(row) for row in i.update_ratio[kept]],
        "dead_units": i.dead_units[kept].tolist(),
        "update_words": i.update_words,
        "classes": [short(i.name_of(label)) for label in range(min(i.n_classes, MOST_CLASSES))],
        "confusion": confusion,
        "unknown": unknown,
        "boundary": plane,
        "weights": weights,
    }
    return values, left_out


def snapshots(i: Inspection) -> list[int]:
    """The networks that are shown, as indices: all, or evenly chosen ones with the kept one."""
    chosen = set(evenly(len(i.epochs), MOST_SNAPSHOTS - 1))
    return sorted(chosen | ({i.best} if i.best is not None else set()))


def _size(i: Inspection, kept: list[int]) -> int:
    """About how many bytes the statistics take."""
    return 75 * len(kept) * len(i.layers)


def _confusion(
    i: Inspection, kept: list[int], room: int
) -> tuple[list[list[int]] | None, list[int], list[str]]:
    """The matrices, row by row, if there is room; and how many examples have no prediction."""
    unknown = [int((i.predicted[e] < 0).sum()) for e in kept]
    if i.n_classes > MOST_CLASSES:
        why = f"A confusion matrix of {i.n_classes} classes is too large for this page."
        return None, unknown, [why]
    if len(kept) * i.n_classes**2 * COUNT_BYTES > room:
        return None, unknown, ["There was no room for the confusion matrices."]
    return [i.confusion(e).ravel().tolist() for e in kept], unknown, []


def _confusion_bytes(i: Inspection, kept: list[int], confusion: object) -> int:
    return 0 if confusion is None else len(kept) * i.n_classes**2 * COUNT_BYTES


def _plane(b: Boundary, kept: list[int], room: int) -> tuple[dict[str, Any] | None, list[str]]:
    """The predictions in the plane of the two inputs, of as fine a grid as there is room for.

    Each point has two bytes: the class, counted from 1, or 0 if it is unknown; and its probability
    in 255ths. They are in the order (E, class or probability, y, x).
    """
    if b.n_classes > MOST_CLASSES:
        return None, [f"A boundary of {b.n_classes} classes is not shown."]
    step = 1
    while len(kept) * 2 * len(b.x[::step]) * len(b.y[::step]) * 4 // 3 > room and step < len(b.x):
        step *= 2
    if step > COARSEST:
        return None, ["There was no room for the decision boundary."]
    probability = b.probability[kept][:, ::step, ::step]
    found = classes(probability)
    known = found != UNKNOWN
    sure = np.where(known, probability.max(axis=-1), 0)
    planes = np.stack([found + 1, np.rint(255 * sure)], axis=1).astype(np.uint8)
    rows = np.flatnonzero(~b.is_training)
    rows = rows[evenly(len(rows), MOST_EXAMPLES)]
    return {
        "columns": [short(name) for name in b.columns],
        "x": number_list(b.x[::step]),
        "y": number_list(b.y[::step]),
        "bytes": base64.b64encode(planes.tobytes()).decode("ascii"),
        "examples": b.n_validation,
        "points": [number_list(point) for point in b.points[rows]],
        "labels": b.labels[rows].tolist(),
        "predicted": b.predicted[kept][:, rows].tolist(),
    }, []


def _weights(i: Inspection, kept: list[int], room: int) -> tuple[dict[str, Any] | None, list[str]]:
    """The first layer's weights as bytes: of as many units as there is room for.

    A byte b stands for (b - 128) / 127 of the scale of its network, at most 1 in size, to within
    half a step; 0 stands for a weight that is not finite. The scale is that of the app.
    """
    of = int(i.n_units[0]) if len(i.n_units) else i.n_classes
    names = [short(name) for name in i.input_names[:MOST_INPUTS]]
    planes = _planes(i, kept)
    height, width = planes.shape[2:]
    fit = room // (len(kept) * height * width * 4 // 3 + 1)
    units = max(0, min(planes.shape[1], MOST_UNITS, fit))
    if not units:
        return None, ["There was no room for the weights of the first layer."]
    left_out = []
    if units < of:
        left_out.append(f"Weights are shown of the first {units:,} of {of:,} units.")
    if len(names) < len(i.input_names):
        shown = f"the first {len(names)} of {len(i.input_names):,} inputs"
        left_out.append(f"Weights are shown of {shown}.")
    scales = np.array([i.weight_scale(e) for e in kept])
    return {
        "units": units,
        "of": of,
        "height": height,
        "width": width,
        "inputs": names,
        "scale": number_list(scales),
        "within": None if names else WITHIN,
        "bytes": base64.b64encode(to_bytes(planes[:, :units], scales).tobytes()).decode("ascii"),
    }, left_out


def _planes(i: Inspection, kept: list[int]) -> Weights:
    """The weights of each network and unit as a picture, `(E, units, height, width)`.

    Of a picture with channels it is their mean; of a table a single row.
    """
    weights = i.weights[kept][:, :MOST_UNITS].astype(np.float64)
    E, units = weights.shape[:2]
    if i.columns:
        return weights[:, :, None, :MOST_INPUTS]
    if len(i.image_shape) == 3:
        return np.asarray(weights.reshape(E, units, *i.image_shape).mean(axis=4))
    return weights.reshape(E, units, i.image_shape[0], -1)


def to_bytes(planes: Weights, scales: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Weights as bytes: see `_weights`.

    Args:
        planes: the weights of each network, `(E, …)`.
        scales: the weight of each network that is drawn in full, `(E,)`; NaN if none is finite.
    """
    usable = np.where(np.isfinite(scales) & (scales > 0), scales, 1.0)
    shares = planes / usable.reshape(-1, *(1,) * (planes.ndim - 1))
    levels = np.rint(LEVELS * np.clip(np.nan_to_num(shares), -1.0, 1.0)) + LEVELS + 1
    return np.where(np.isfinite(planes), levels, 0).astype(np.uint8)
