"""The host's view of a cohort in training: its position, costs and snapshots.

Its arrays are in one slot of the compiled program. `CohortState` is a copy of both, from which
training resumes bitwise identically.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from jmlp.errors import CheckpointError
from jmlp.training.plan import SNAPSHOT_BYTES, Cohort
from jmlp.training.records import CohortState, CostPoint, Evaluations, Snapshot
from jmlp.training.single_run import TrainState

Rows = NDArray[np.int32]


@dataclass
class Slot:
    """One cohort in training, as the host sees it."""

    cohort: Cohort
    training: Rows  # rows of `Data`, as in `program.Parts`
    validation: Rows
    saved: CohortState | None = None  # state to resume from; None once it is on the device
    evaluation: int = 0  # the evaluation it trains for; between two intervals, the last one
    step: int = 0  # updates made in this interval; 0 between two intervals
    resume_step: int = 0  # the step within the next interval at which it joins the others
    costs: list[list[CostPoint]] = field(default_factory=list)  # by lane
    snapshots: list[list[Snapshot]] = field(default_factory=list)  # by lane; params by name
    training_lanes: list[bool] = field(default_factory=list)  # which lanes have not stopped
    seconds: list[float] | None = None  # in training, by lane; None if resumed without

    @property
    def fresh(self) -> bool:
        """Whether it has not been evaluated yet."""
        return not any(self.costs)

    @property
    def active(self) -> bool:
        """Whether any lane is still training."""
        return any(self.training_lanes)

    def add_seconds(self, elapsed: float) -> None:
        """Adds time to the lanes that are still training, unless it waits to resume."""
        if self.seconds is not None and self.saved is None:
            for lane, training in enumerate(self.training_lanes):
                self.seconds[lane] += elapsed * training


def new_slot(cohort: Cohort, training: Rows, validation: Rows, saved: CohortState | None) -> Slot:
    """A slot for a new cohort, or for one that resumes from its saved state.

    Raises:
        CheckpointError: the saved state belongs to other runs.
    """
    n = len(cohort.runs)
    if saved is None:
        empty: list[list[Any]] = [[] for _ in range(2 * n)]
        return Slot(
            cohort,
            training,
            validation,
            costs=empty[:n],
            snapshots=empty[n:],
            training_lanes=[True] * n,
            seconds=[0.0] * n,
        )
    if saved.run_ids != tuple(run.run_id for run in cohort.runs):
        raise CheckpointError("a saved state belongs to other runs than those of its cohort")
    return Slot(
        cohort,
        training,
        validation,
        saved,
        # A cohort saved within an interval joins that interval again at its step.
        evaluation=saved.evaluation - 1 if saved.step else saved.evaluation,
        resume_step=saved.step,
        costs=[list(costs) for costs in saved.costs],
        snapshots=[list(snapshots) for snapshots in saved.snapshots],
        training_lanes=[bool(active) for active in saved.arrays[".active"][:n]],
        seconds=None if saved.seconds is None else list(saved.seconds),
    )


def save_slot(
    slot: Slot, arrays: Mapping[str, NDArray[Any]], width: int, evaluations: Evaluations
) -> CohortState:
    """A copy of a cohort from which it can resume.

    Args:
        slot: the cohort's slot.
        arrays: its part of the training state, by name.
        width: lanes of the program.
        evaluations: when its runs are evaluated.
    """
    return CohortState(
        run_ids=tuple(run.run_id for run in slot.cohort.runs),
        width=width,
        evaluation=slot.evaluation,
        step=slot.step,
        evaluations=evaluations,
        arrays=arrays,
        costs=tuple(tuple(costs) for costs in slot.costs),
        snapshots=tuple(tuple(snapshots) for snapshots in slot.snapshots),
        seconds=None if slot.seconds is None else tuple(slot.seconds),
    )


def name_leaves(state: TrainState) -> dict[str, Any]:
    """The arrays of a training state by name, such as `.params[0].dense.W`."""
    named = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path): leaf for path, leaf in named}


def restore_slot(state: TrainState, index: int, saved: CohortState) -> TrainState:
    """Replaces one slot of a state on the host, `(slots, lanes, ...)`, by a saved state.

    Raises:
        CheckpointError: the arrays do not match this program.
    """
    named = name_leaves(state)
    expected = {name: (leaf.shape[1:], leaf.dtype) for name, leaf in named.items()}
    found = {name: (leaf.shape, leaf.dtype) for name, leaf in saved.arrays.items()}
    if found != expected:
        differing = sorted(n for n in expected | found if expected.get(n) != found.get(n))
        raise CheckpointError(
            f"a saved state does not fit the program: {', '.join(differing)} differ in shape "
            "or type"
        )
    leaves = []
    for name, leaf in named.items():
        new = np.array(leaf)
        new[index] = saved.arrays[name]
        leaves.append(new)
    restored: TrainState = jax.tree.unflatten(jax.tree.structure(state), leaves)
    return restored


def has_snapshot(evaluation: int) -> bool:
    """Whether parameters are kept at this evaluation: 0, 1, 2, 3, 5, 8, 13, 21 ..."""
    a, b = 0, 1
    while a < evaluation:
        a, b = b, a + b
    return a == evaluation


def add_snapshot(snapshots: list[Snapshot], new: Snapshot) -> None:
    """Adds a run's newest snapshot; beyond the limit, one in the middle is dropped.

    The first half and the latest ones remain. Which ones depends only on the run, not on whether it
    was interrupted.
    """
    snapshots.append(new)
    size = sum(array.nbytes for array in new.params.values())
    max_snapshots = SNAPSHOT_BYTES // max(size, 1)
    if len(snapshots) > max_snapshots:
        del snapshots[-(-max_snapshots // 2)]
