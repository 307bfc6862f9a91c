"""Compares runs: their curves, and what they differ in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from jmlp.client import differences
from jmlp.client.texts import short_ids
from jmlp.store import RunRow, Store
from jmlp.store.states import RUN_ENDED
from jmlp.training.records import CostPoint
from tui.feed import StoreView
from tui.views.runs import run_state

LETTERS = "ABCDEFGH"  # names of the runs, in their order
Table = Mapping[str, Mapping[str, tuple[str, ...]]]  # section -> name -> a text for each run


@dataclass(frozen=True)
class Quantity:
    """A quantity that the curves can show."""

    title: str
    value: Callable[[CostPoint], float]
    most: float  # upper bound of the values
    is_cost: bool


QUANTITIES = (
    Quantity("validation cost", lambda p: p.validation_cost, float("inf"), True),
    Quantity("training cost", lambda p: p.training_cost, float("inf"), True),
    Quantity("validation accuracy %", lambda p: 100 * p.validation_accuracy, 100.0, False),
    Quantity("training accuracy %", lambda p: 100 * p.training_accuracy, 100.0, False),
)


@dataclass(frozen=True)
class ComparedRun:
    """One of the compared runs."""

    letter: str
    run_id: str
    short_id: str
    attempt: int
    has_ended: bool
    points: tuple[CostPoint, ...]


@dataclass(frozen=True)
class Comparison:
    """The compared runs and what they differ in."""

    runs: tuple[ComparedRun, ...]
    differing: Table
    everything: Table
    exact: Table  # everything, with all digits
    first_difference: str  # a sentence that says from where on the cost curves differ

    @property
    def have_ended(self) -> bool:
        """Whether all runs have ended, so that all numbers are known."""
        return all(run.has_ended for run in self.runs)


@dataclass(frozen=True)
class CompareQuery:
    """A query for the comparison of some runs."""

    run_ids: tuple[str, ...]

    def __call__(self, view: StoreView) -> Comparison | None:
        """Reads the runs and compares them; None if there is no store any more.

        Raises:
            StoreError: one of the runs does not exist.
        """
        if view.store is None:
            return None
        store, rows = view.store, [view.store.run(run_id) for run_id in self.run_ids]
        ids = short_ids(self.run_ids)
        runs = tuple(
            ComparedRun(
                letter=letter,
                run_id=row.run_id,
                short_id=ids[row.run_id],
                attempt=row.attempt,
                has_ended=row.state in RUN_ENDED,
                points=store.points(row.run_id),
            )
            for letter, row in zip(LETTERS, rows, strict=False)
        )
        exact = differences.side_by_side([_sections(store, row, view) for row in rows])
        everything = _readable(exact, rows)
        kept = differences.differing(exact)
        differing = {
            section: {name: everything[section][name] for name in names}
            for section, names in kept.items()
        }
        return Comparison(runs, differing, everything, exact, first_difference_text(runs))


def _sections(store: Store, row: RunRow, view: StoreView) -> dict[str, differences.Values]:
    found = differences.sections(store, row)
    state = {"state": run_state(row, view.owner)}
    return {**found, "Outcome": {**found["Outcome"], **state}}


def _readable(exact: Table, rows: Sequence[RunRow]) -> Table:
    """Rounds the numbers, except where rounding would make different ones look equal."""
    rounded = differences.side_by_side(
        [
            {"Outcome": differences.outcome_texts(row.result, exact=False) if row.result else {}}
            for row in rows
        ]
    )["Outcome"]
    outcome = {
        name: rounded[name]
        if name in rounded and len(set(rounded[name])) == len(set(texts))
        else texts
        for name, texts in exact["Outcome"].items()
    }
    return {**exact, "Outcome": outcome}


def first_difference_text(runs: Sequence[ComparedRun]) -> str:
    """Says where the cost curves part; of runs in training, up to the shortest curve."""
    curves = [run.points for run in runs]
    all_ended = all(run.has_ended for run in runs)
    if not all_ended:
        shortest = min(map(len, curves))
        curves = [points[:shortest] for points in curves]
        if not shortest:
            return "Not all runs have a cost curve yet."
    update = differences.first_difference(*curves)
    if update is not None:
        return differences.first_difference_text(update)
    return "Their cost curves are the same" + ("." if all_ended else " so far.")
