"""The views of a step: what `jmlp explain` prints and the app's screen *Inside* shows of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from jmlp import data as datasets
from jmlp.data.contract import contract_of
from jmlp.data.dataset import Dataset, plane_of
from jmlp.errors import ConfigError
from jmlp.inspection.compute import data_of
from jmlp.inspection.records import network_at
from jmlp.inspection.step import FreshRun, next_step, prediction
from jmlp.inspection.views import (
    MOST_CHANGES,
    MOST_TERMS,
    ArrayWaysView,
    CellView,
    FactorView,
    OperationView,
    StepView,
    TermView,
    UpdateView,
    WaysView,
    Where,
)
from jmlp.nn.cells import Explanation, Factor
from jmlp.nn.three_ways import ThreeWays
from jmlp.store import Store, networks
from jmlp.store.networks import Networks
from jmlp.study.mistakes import made_by
from jmlp.study.rules import plain
from jmlp.study.schema import study_of
from jmlp.training.plan import data_facts, make_plan

FRESH = {"seeds": [3], "data": "xor", "hidden": [2], "batch_size": 4}  # 2-2-2
MOST_STEPS = 4  # that are kept
PARAMETERS = ("W", "b", "gamma", "beta")
SAME = 1e-3  # relative error of a sum in float32

Say = Callable[[str], None]


class Inside:
    """One step with its views."""

    def __init__(
        self, where: Where, stored: Networks, dataset: Dataset, moments: Any = None
    ) -> None:
        """Computes the step.

        Args:
            where: which step.
            stored: the networks of the run, or the fresh one.
            dataset: the data that it was trained on.
            moments: the optimiser's state of a fresh network.

        Raises:
            ConfigError: there is no such network or example, or no update follows the network.
            DataError: there is no test set.
        """
        index = 0 if where.run_id is None else where.snapshot
        if index is None:
            index = network_at(stored.epochs, stored.best, None)
        if not 0 <= index < len(stored.epochs):
            raise ConfigError(f"the run has networks 0 to {len(stored.epochs) - 1}, got {index}")
        self.where, self.index, self.networks = where, index, stored
        self._dataset = dataset
        if where.part is None:
            self.step = next_step(stored, dataset, index, where.example, moments)
        else:
            self.step = prediction(stored, dataset, index, where.part, where.example)
        self.operations = self.step.trace.operations
        self._layers = self.step.trace.layer_names

    def view(self) -> StepView:
        """The step without the numbers of its operations."""
        step, cost = self.step, self.operations[-1]
        P = np.asarray(cost["P"][:, step.column])
        is_finite = bool(np.isfinite(P).all())
        predicted = int(P.argmax()) if is_finite else None
        return StepView(
            where=self.where,
            snapshot=self.index,
            epochs=self.networks.epochs,
            epoch=step.epoch,
            best=self.networks.best if self.where.run_id is not None else None,
            update=step.update or None,
            learning_rate=None if step.is_prediction else step.rate,
            n_examples=step.n_examples,
            row=step.row,
            part=step.part,
            column=step.column,
            label=step.label,
            class_names=step.class_names,
            predicted=predicted,
            probability=float(np.nan if predicted is None else P[predicted]),
            cost=float(cost["costs"][0, step.column]),
            batch_cost=float(cost["cost"][0, 0]),
            is_block="share" in cost.arrays,
            operations=tuple(
                OperationView(
                    layer,
                    operation.kind,
                    operation.name,
                    operation.equations,
                    {name: (a.shape[0], a.shape[1]) for name, a in operation.arrays.items()},
                )
                for layer, operation in zip(self._layers, self.operations, strict=True)
            ),
            knows_update=bool(step.changes) and step.changes[0].new is not None,
            input_names=tuple(n for c in contract_of(self._dataset).row for n in c.inputs),
            plane=plane_of(self._dataset.image_shape),
            mistakes=tuple(one.name for one in made_by(self.networks.hyperparams)),
        )

    def units(self, operation: int) -> dict[str, list[float]]:
        """The numbers of the example in an operation, by letter; weights are left out."""
        found = self.operations[operation]
        return {
            letter: _column(array, self.step.column)
            for letter, array in found.arrays.items()
            if letter not in ("W", "dW")
        }

    def weights(self, operation: int, unit: int) -> dict[str, list[float]]:
        """The weights of one unit of a dense layer, with their derivatives, by letter.

        "A" are the inputs; "gradient" and "new" belong to the update.
        """
        found = self.operations[operation]
        named = {
            "A": _column(found["A"], self.step.column),
            "W": np.asarray(found["W"][unit], np.float64).tolist(),
            "dW": np.asarray(found["dW"][unit], np.float64).tolist(),
        }
        for change in self.step.changes:
            if (change.layer, change.letter) == (self._layers[operation], "W"):
                named["gradient"] = change.gradient[unit].tolist()
                if change.new is not None:
                    named["new"] = change.new[unit].tolist()
        return named

    def find(self, place: str, letter: str) -> tuple[int, str]:
        """The operation that computed an array, and its letter there.

        Args:
            place: the layer, as in `CellView.place`; the operation may be added always.
            letter: of the array, or of the same array where another operation reads it.

        Raises:
            ConfigError: there is no such layer or letter, or several of this letter.
        """
        trace, names = self.step.trace, {}
        origins: dict[str, set[tuple[int, str]]] = {}  # of each letter in this place
        for k, operation in enumerate(self.operations):
            layer = self._layers[k]
            for name in operation.arrays:
                origin = trace.origin(k, name)
                if trace.place(k, name) == place and origin[1] == name:
                    names[name] = origin
                if place in (layer, f"{layer} {operation.title}"):
                    origins.setdefault(name, set()).add(origin)
        if letter in names:
            return names[letter]
        if not origins and not names:
            layers = ", ".join(dict.fromkeys(self._layers))
            raise ConfigError(f"{plain(place)}: there is no such layer: it has {layers}")
        found = origins.get(letter, set())
        if not found:
            raise ConfigError(f"{place} has no {letter}: it has {', '.join({**origins, **names})}")
        if len(found) > 1:
            several = " or ".join(sorted(trace.name(*origin) for origin in found))
            raise ConfigError(f"{place} has several {letter}: choose {several}")
        return next(iter(found))

    def cell(self, operation: int, letter: str, i: int, j: int) -> CellView:
        """One number and its sum, where it was computed.

        Raises:
            ConfigError: there is no such number.
        """
        try:
            operation, letter = self.step.trace.origin(operation, letter)
            return self._cell(operation, self.operations[operation].explain(letter, i, j))
        except (IndexError, KeyError) as error:
            place = self.step.trace.place(operation, letter)
            raise ConfigError(f"{place}.{error.args[0]}") from None

    def chain(self, operation: int, letter: str, i: int, j: int) -> list[CellView]:
        """A number, the largest number that it depends on, and so on; see `Trace.chain`.

        Of a parameter it is that of its derivative.
        """
        if letter in PARAMETERS and f"d{letter}" in self.operations[operation].arrays:
            letter = f"d{letter}"
        links = self.step.trace.chain(operation, letter, i, j)
        return [self._cell(link.operation, link.explanation) for link in links]

    def ways(self, operation: int, letter: str, i: int, j: int, *, double: bool) -> WaysView:
        """A derivative by three ways.

        Raises:
            ConfigError: there is no such derivative.
        """
        ways = self._three_ways(double)
        try:
            found = ways.compare(operation, letter, i, j)
        except (IndexError, KeyError):
            name = self.step.trace.name(operation, letter)
            raise ConfigError(
                f"{name}[{i}, {j}]: only a derivative has three ways: choose one of "
                f"{', '.join(self._derivatives(operation))}"
            ) from None
        return WaysView(
            by_hand=found.by_hand,
            by_vjp=found.by_vjp,
            by_differences=found.by_differences,
            vjp_error=found.vjp_error,
            difference_error=found.difference_error,
            step=found.step,
            type=ways.type,
            reasons=found.reasons,
            is_mistake=found.is_mistake,
        )

    def all_ways(self, *, double: bool) -> list[ArrayWaysView]:
        """The derivatives of every array by three ways, in the order of the pass."""
        ways = self._three_ways(double)
        found = [ways.compare_array(*place) for place in ways.places()]
        return [
            ArrayWaysView(
                layer=self._layers[one.operation],
                place=self.step.trace.place(one.operation, one.letter),
                letter=one.letter,
                size=one.size,
                vjp_error=one.vjp_error,
                difference_error=one.difference_error,
                n_checked=one.n_checked,
                reasons=one.reasons,
                n_mistakes=one.n_mistakes,
            )
            for one in found
        ]

    def changes(self) -> list[UpdateView]:
        """The parameters that the update changes most, or whose gradient is largest."""
        found = []
        for change in self.step.changes:
            by = change.gradient if change.new is None else change.new - change.old
            for flat in np.argsort(-np.abs(by), axis=None, kind="stable")[:MOST_CHANGES]:
                i, j = np.unravel_index(flat, by.shape)
                found.append((abs(by[i, j]), change.at(int(i), int(j))))
        found.sort(key=lambda pair: -pair[0])
        return [view for _, view in found[:MOST_CHANGES]]

    # ----

    def _three_ways(self, double: bool) -> ThreeWays:
        return self._ways.doubled if double else self._ways

    @cached_property
    def _ways(self) -> ThreeWays:
        return self.step.passed.three_ways(self.step.trace)

    def _derivatives(self, operation: int) -> list[str]:
        return [name for name in self.operations[operation].arrays if name.startswith("d")]

    def _cell(self, operation: int, found: Explanation) -> CellView:
        terms = found.largest_first
        update = None
        for change in self.step.changes:
            if (change.layer, change.letter) == (self._layers[operation], found.letter):
                update = change.at(*found.at)
        return CellView(
            operation=operation,
            layer=self._layers[operation],
            place=self.step.trace.place(operation, found.letter),
            letter=found.letter,
            at=found.at,
            value=found.value,
            equation=found.equation or None,
            terms=tuple(
                TermView(term.value, tuple(self._factor(operation, f) for f in term.factors))
                for term in terms[:MOST_TERMS]
            ),
            n_more=len(terms[MOST_TERMS:]),
            rest=float(np.sum([term.value for term in terms[MOST_TERMS:]])),
            update=update,
            total=self._other_total(found),
        )

    def _other_total(self, found: Explanation) -> float | None:
        """The sum of the terms if the network makes a mistake, and it is not the number."""
        largest = max((abs(term.value) for term in found.terms), default=0.0)
        is_same = abs(found.total - found.value) <= SAME * max(largest, abs(found.value))
        return None if is_same or not made_by(self.networks.hyperparams) else found.total

    def _factor(self, operation: int, factor: Factor) -> FactorView:
        if factor.cell is None:
            return FactorView(factor.name, factor.value)
        letter, at = factor.cell
        if letter not in self.operations[operation].arrays:  # such as a scale that is not learned
            return FactorView(factor.name, factor.value)
        origin, letter = self.step.trace.origin(operation, letter)
        return FactorView(factor.name, factor.value, origin, letter, at)


def _column(array: Any, column: int) -> list[float]:
    numbers = np.asarray(array[:, column if array.shape[1] > 1 else 0], np.float64)
    values: list[float] = numbers.tolist()
    return values


def fresh_run(settings: Mapping[str, Any], say: Say) -> FreshRun:
    """A run that no store has.

    Args:
        settings: as in a study file: hyperparameters, "data" and "seeds"; by default 2-2-2 with
            mini-batches of four examples of xor.
        say: called with one line for each slow step.

    Raises:
        ConfigError: a setting is wrong.
        DataError: the data cannot be loaded.
    """
    study = study_of("jmlp explain", {**FRESH, **settings})
    dataset = datasets.load(study.data, say)
    (run,) = make_plan(study, data_facts(dataset)).runs
    return FreshRun(run.hyperparams, dataset, run.seed, run.split_seed, study.validation_fraction)


class Steps:
    """The last steps that were looked at, for the requests that follow."""

    def __init__(self) -> None:
        self._steps: dict[tuple[str, Where], Inside] = {}
        self._run: tuple[str, Networks, Dataset] | None = None
        self._fresh: tuple[str, FreshRun] | None = None

    def at(self, folder: Path, where: Where, say: Say) -> Inside:
        """The step at a place.

        Args:
            folder: the store.
            where: which step.
            say: called with one line for each slow step.

        Raises:
            CheckpointError: a file of the run is missing or damaged.
            ConfigError: there is no such step.
            DataError: the data cannot be loaded, or are not those of the run.
            StoreError: there is no such run, or it has no networks.
        """
        if where.run_id is None:
            run = self._fresh_run(where.settings, say)
            key = repr(sorted(where.settings.items()))
        else:
            key, stored, dataset = self.stored(folder, where.run_id, say)
        found = self._steps.pop((key, where), None)
        if found is None:
            if where.run_id is None:
                stored, moments = run.after(where.snapshot or 0)
                found = Inside(where, stored, run.dataset, moments)
            else:
                found = Inside(where, stored, dataset)
        self._steps[key, where] = found  # the newest last
        for old in list(self._steps)[:-MOST_STEPS]:
            del self._steps[old]
        return found

    def _fresh_run(self, settings: Mapping[str, Any], say: Say) -> FreshRun:
        key = repr(sorted(settings.items()))
        if self._fresh is None or self._fresh[0] != key:
            self._fresh = key, fresh_run(settings, say)
        return self._fresh[1]

    def stored(self, folder: Path, run_id: str, say: Say) -> tuple[str, Networks, Dataset]:
        """The networks of a run after their digest, and its data; kept for the next request.

        Raises:
            CheckpointError: a file of the run is missing or damaged.
            DataError: the data cannot be loaded, or are not those of the run.
            StoreError: there is no such run, or it has no networks.
        """
        with Store(folder, viewer=True) as store:
            key = f"{folder} {networks.key_of(store, run_id)}"
            if self._run is not None and self._run[0] == key:
                return self._run
            stored = networks.read(store, run_id)
        known = self._run is not None and self._run[1].data == stored.data
        dataset = self._run[2] if self._run is not None and known else data_of(stored, say)
        self._run = f"{folder} {stored.key}", stored, dataset
        return self._run


def as_json(view: Any) -> Any:
    """A view, several of them, or numbers by letter, as JSON values."""
    if isinstance(view, Sequence):
        return [as_json(one) for one in view]
    return asdict(view) if is_dataclass(view) and not isinstance(view, type) else view
