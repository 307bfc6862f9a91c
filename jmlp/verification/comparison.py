"""Compares a retrained run with the stored one: equal bitwise, nearly, or up to which step.

Nothing is stored between two evaluations. So for a run that differs, only two steps are known: the
last evaluation at which all stored data is equal, and the first one at which it is not.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Context
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from jmlp.nn.tensors import name_tensors
from jmlp.results.serialization import FLAT_FIELDS
from jmlp.store.packing import pack_snapshots, unpack_snapshots
from jmlp.store.rows import point_values
from jmlp.store.run_files import StoredRun, numbers_of
from jmlp.training.records import CostPoint, RunResult, changes

Answer = Literal["bit-identical", "equal within", "differs"]

NEARLY = 1e-5  # relative; about a hundred rounding errors of float32

# Fields of the result that say which run it is and how long it took, not what it computed.
_NOT_COMPARED = ("run_id", "seed", "split_seed", "experiments", "training_seconds")
# Items that distinguish two runs if only one of them has it at a step.
_COSTS, _DIVERGED = "costs", "diverged"

_ROUNDED_UP = Context(prec=2, rounding=ROUND_CEILING)


@dataclass(frozen=True)
class Verdict:
    """The comparison of a retrained run with the stored one.

    A difference of costs is relative to the larger of the two; a difference of arrays is relative
    to the largest number in them, because parameters may be arbitrarily close to zero.
    """

    run_id: str
    answer: Answer
    equal_until: int | None  # updates made at the last equal evaluation; None: none is equal
    differs_at: int | None  # updates made at the first unequal evaluation; None: all are equal
    cost_difference: float  # the largest difference of all costs
    parameter_difference: float  # the largest of the kept parameters and batch-norm state
    largest_difference: float  # of these two and of all other stored parameters
    outcome: tuple[str, ...]  # differences of the result, such as "stopped epoch 7, now 8"
    made_with: tuple[str, ...]  # differences of the provenance: a likely reason

    @property
    def first_step(self) -> int | None:
        """The first update that may differ, counted from 1; 0: the initial state differs.

        None if all evaluations are equal.
        """
        if self.differs_at is None:
            return None
        return 0 if self.equal_until is None else self.equal_until + 1

    def rank(self) -> tuple[int, float]:
        """A sort key: smaller if the runs are closer."""
        return get_args(Answer).index(self.answer), self.largest_difference

    @property
    def text(self) -> str:
        """The answer, as shown to users."""
        if self.answer == "bit-identical":
            return self.answer
        if self.answer == "equal within":
            return f"equal within {difference_text(self.largest_difference)}"
        if self.first_step is None:
            return f"differs in what was measured at its end: {', '.join(self.outcome)}"
        if self.first_step == 0:
            return "differs before its first step"
        return f"differs from step {self.first_step} on"


def verdict_from(table: Mapping[str, Any]) -> Verdict:
    """The verdict from JSON of its `asdict`, which has arrays instead of tuples."""
    values: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
    return Verdict(**values)


def difference_text(difference: float) -> str:
    """A relative difference with two digits, rounded up."""
    return f"{float(_ROUNDED_UP.create_decimal_from_float(difference)):.2g}"


def as_stored(result: RunResult) -> StoredRun:
    """A run that was just trained, in the form in which its file would be read back."""
    assert result.last is not None
    networks = [name_tensors(s.params, s.state) for s in result.snapshots]
    packed = pack_snapshots(
        "snapshots",
        [s.epoch for s in result.snapshots],
        networks,
        result.hyperparams.evaluate_every,
    )
    epochs, snapshots = unpack_snapshots("snapshots", packed)
    return StoredRun(
        result=replace(result, params=None, state=None, last=None, snapshots=()),
        best=name_tensors(result.params, result.state),
        last=name_tensors(result.last.params, result.last.state),
        snapshots=snapshots,
        snapshot_epochs=epochs,
        about={},
    )


def compare(stored: StoredRun, new: StoredRun) -> Verdict:
    """Compares a stored run with a retrained run of the same id."""
    if stored.result.collapsed and not new.result.collapsed:
        # Earlier versions called a run collapsed even with few validation examples. The field
        # follows from predictions whose cost and accuracy are compared anyway.
        stored = replace(stored, result=replace(stored.result, collapsed=False))
    old_result, new_result = stored.result, new.result
    costs = max(_cost_differences(old_result, new_result), default=0.0)
    kept = max(_array_differences(stored.best, new.best))
    largest = max(
        costs,
        kept,
        *_array_differences(stored.last, new.last),
        *_array_differences(*_common_snapshots(stored, new)),
    )
    equal_until, differs_at = _first_difference(_observations(stored), _observations(new))
    if numbers_of(stored) == numbers_of(new):
        answer: Answer = "bit-identical"
    elif _discrete(stored) == _discrete(new) and largest <= NEARLY:
        answer = "equal within"
    else:
        answer = "differs"
    return Verdict(
        run_id=old_result.run_id,
        answer=answer,
        equal_until=equal_until,
        differs_at=differs_at,
        cost_difference=costs,
        parameter_difference=kept,
        largest_difference=largest,
        outcome=tuple(_outcome_changes(stored, new)),
        made_with=tuple(
            f"{name} {text}"
            for name, text in changes(old_result.provenance, new_result.provenance).items()
        ),
    )


def _observations(run: StoredRun) -> dict[int, dict[str, Any]]:
    """All stored data of a run in training, as bytes, by the number of updates made."""
    result = run.result
    steps = {point.epoch: point.step for point in result.costs}
    end = max(steps.values(), default=0)
    seen: dict[int, dict[str, Any]] = defaultdict(dict)
    for point in result.costs:
        seen[point.step][_COSTS] = point_values(point)
    for index, epoch in enumerate(run.snapshot_epochs):
        arrays = {name: array[index] for name, array in run.snapshots.items()}
        seen[steps.get(epoch, end)]["snapshot"] = _bytes(arrays)
    if result.diverged_at is None:
        seen[end]["last"] = _bytes(run.last)
        seen[steps.get(result.best_epoch or 0, end)]["best"] = _bytes(run.best)
    else:
        seen[result.diverged_at] |= {"last": _bytes(run.last), _DIVERGED: b""}
        # Its best epoch is not recorded, but the kept parameters are those of the lowest validation
        # cost.
        best = min(result.costs, key=lambda point: point.validation_cost, default=None)
        seen[best.step if best else 0]["best"] = _bytes(run.best)
    return seen


def _first_difference(
    stored: Mapping[int, Mapping[str, Any]], new: Mapping[int, Mapping[str, Any]]
) -> tuple[int | None, int | None]:
    """The steps of the last equal and the first unequal evaluation."""
    equal_until = None
    for step in sorted(stored.keys() | new.keys()):
        a, b = stored.get(step, {}), new.get(step, {})
        # Only one of the runs may end here, or have its best evaluation here.
        if any(a[name] != b[name] for name in a.keys() & b.keys()) or any(
            (name in a) != (name in b) for name in (_COSTS, _DIVERGED)
        ):
            return equal_until, step
        if _COSTS in a:
            equal_until = step
    return equal_until, None


def _discrete(run: StoredRun) -> Any:
    """All values without small differences: epochs, endings, accuracies."""
    result = run.result
    points = [
        (p.epoch, p.step, p.batch_cost is None, p.training_accuracy, p.validation_accuracy)
        for p in result.costs
    ]
    return {n: getattr(result, n) for n in _discrete_names()}, points, run.snapshot_epochs


def _discrete_names() -> list[str]:
    return [n for n in FLAT_FIELDS if n not in _NOT_COMPARED and not n.endswith("_cost")]


def _outcome_changes(stored: StoredRun, new: StoredRun) -> Iterator[str]:
    old_result, new_result = stored.result, new.result
    for name in FLAT_FIELDS:
        a, b = getattr(old_result, name), getattr(new_result, name)
        if name not in _NOT_COMPARED and repr(a) != repr(b):  # repr, so that NaN equals itself
            yield f"{name.replace('_', ' ')} {a}, now {b}"
    if stored.snapshot_epochs != new.snapshot_epochs:
        a, b = (", ".join(map(str, run.snapshot_epochs)) for run in (stored, new))
        yield f"snapshots at epochs {a}, now {b}"


def _cost_differences(old: RunResult, new: RunResult) -> Iterator[float]:
    """Relative differences of all costs that both have."""
    pairs = [
        pair
        for points in zip(old.costs, new.costs, strict=False)
        for pair in zip(*map(_costs_of, points), strict=True)
    ]
    pairs += [
        (getattr(old, f"{part}_cost"), getattr(new, f"{part}_cost"))
        for part in ("training", "validation", "test")
    ]
    for a, b in pairs:
        if a is not None and b is not None:
            yield _relative(np.array([a]), np.array([b]))


def _costs_of(point: CostPoint) -> tuple[float | None, float, float]:
    return point.batch_cost, point.training_cost, point.validation_cost


def _array_differences(
    old: Mapping[str, NDArray[Any]], new: Mapping[str, NDArray[Any]]
) -> Iterator[float]:
    for name in old:
        yield _relative(old[name].astype(np.float64), new[name].astype(np.float64))


def _common_snapshots(
    stored: StoredRun, new: StoredRun
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """The snapshots of both runs at their common epochs, with separate arrays per epoch."""
    epochs = sorted(set(stored.snapshot_epochs) & set(new.snapshot_epochs))
    found: list[dict[str, NDArray[Any]]] = []
    for run in (stored, new):
        at = {epoch: run.snapshot_epochs.index(epoch) for epoch in epochs}
        found.append(
            {f"{e}.{n}": array[at[e]] for e in epochs for n, array in run.snapshots.items()}
        )
    return found[0], found[1]


def _relative(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """The largest difference, relative to the largest number; NaN equals only NaN."""
    differ = ~((a == b) | (np.isnan(a) & np.isnan(b)))
    if not differ.any():
        return 0.0
    if not (np.isfinite(a[differ]) & np.isfinite(b[differ])).all():
        return math.inf
    sizes = np.abs([a, b])
    return float(np.abs(a[differ] - b[differ]).max() / sizes[np.isfinite(sizes)].max())


def _bytes(arrays: Mapping[str, NDArray[Any]]) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in arrays.items()}
