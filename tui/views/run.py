"""Runs as the run screen shows them: their rows and their cost points."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jmlp.client.stored_data import read_data
from jmlp.data.contract import SMALLEST, Contract
from jmlp.errors import StoreError
from jmlp.inspection.boundary_records import plane_columns
from jmlp.results.curves import mean_curve
from jmlp.store import RunRow, Store
from jmlp.training.records import CostPoint
from tui.charts.lines import Series, XUnit
from tui.feed import StoreView

QUANTITIES = (("validation", 0), ("training", 1))  # part, style of its curve; its mark is v or t


@dataclass(frozen=True)
class SeenRun:
    """A run at one moment."""

    row: RunRow
    points: tuple[CostPoint, ...]
    is_plane: bool = False  # whether its data have two numerical inputs, and so a boundary
    # Height and width of its pictures; None: they are none that could be drawn by hand.
    sheet: tuple[int, int] | None = None

    @property
    def in_training(self) -> bool:
        """Whether the run is being trained, so that more points will come."""
        return self.row.state == "running"


class RunQuery:
    """A query for some runs, which reads cost points again only if they may have changed."""

    def __init__(self, run_ids: Sequence[str]) -> None:
        """Initialises the query.

        Args:
            run_ids: the runs' ids.
        """
        self.run_ids = tuple(run_ids)
        self._seen: dict[str, SeenRun] = {}

    def __call__(self, view: StoreView) -> tuple[SeenRun, ...]:
        """Reads the current state of the runs; none if there is no store."""
        if view.store is None:
            return ()
        return tuple(self._read(view.store, run_id) for run_id in self.run_ids)

    def _read(self, store: Store, run_id: str) -> SeenRun:
        row = store.run(run_id)
        before = self._seen.get(run_id)
        if before is None:
            contract = _contract(store, run_id)
            is_plane, sheet = _is_plane(contract), _sheet(contract)
        else:
            is_plane, sheet = before.is_plane, before.sheet
        is_same = before is not None and _place(before.row) == _place(row)
        points = before.points if before is not None and is_same else store.points(run_id)
        self._seen[run_id] = SeenRun(row, points, is_plane, sheet)
        return self._seen[run_id]


def _contract(store: Store, run_id: str) -> Contract | None:
    """What the networks of a run accept; None: an earlier version has not stored all of it."""
    try:
        return read_data(store.about_run(run_id)["data"], run_id).contract
    except StoreError:
        return None


def _is_plane(contract: Contract | None) -> bool:
    """Whether there are exactly two numerical inputs."""
    return contract is not None and bool(plane_columns(contract))


def _sheet(contract: Contract | None) -> tuple[int, int] | None:
    """Height and width of the pictures, if they can be drawn."""
    plane = None if contract is None else contract.plane
    return None if plane is None or min(plane) < SMALLEST else plane


def _place(row: RunRow) -> tuple[object, ...]:
    """Returns a value that changes whenever the run's points do."""
    return row.attempt, row.epoch, row.step, row.state, row.ended_at


def cost_series(runs: Sequence[SeenRun], unit: XUnit) -> list[Series]:
    """Returns the mean validation and training cost in nats, with bands from enough runs on."""
    return [_series(runs, f"{part}_cost", part, style, 1.0, unit) for part, style in QUANTITIES]


def accuracy_series(runs: Sequence[SeenRun], unit: XUnit) -> list[Series]:
    """Returns the mean validation and training accuracy in per cent, likewise."""
    return [
        _series(runs, f"{part}_accuracy", part, style, 100.0, unit) for part, style in QUANTITIES
    ]


def x_of(point: CostPoint, unit: XUnit) -> float:
    """Returns the position of a point on the x axis."""
    return point.epoch if unit == "epoch" else point.step


def _series(
    runs: Sequence[SeenRun], quantity: str, name: str, style: int, factor: float, unit: XUnit
) -> Series:
    curve = mean_curve([run.points for run in runs], quantity)
    known = curve.epoch if unit == "epoch" else curve.step
    means = dict(zip(known.tolist(), range(len(known)), strict=True))
    # A position at which no run has a finite value must be a gap, so it is not left out.
    reached = sorted({x_of(point, unit) for run in runs for point in run.points})
    last = max(means, default=-1.0)
    x = [e for e in reached if e in means or e < last]
    at = [means.get(position, -1) for position in x]

    def column(values: "np.typing.NDArray[np.float64]") -> "np.typing.NDArray[np.float64]":
        return factor * np.append(values, np.nan)[at] if at else np.empty(0)

    banded = bool(np.isfinite(curve.low).any())
    return Series(
        name,
        np.array(x, np.float64),
        column(curve.mean),
        column(curve.low) if banded else None,
        column(curve.high) if banded else None,
        style,
        name[0],
    )
