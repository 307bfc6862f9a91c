"""Converts a parsed TOML document to a `Study`: which keys belong where, and how values combine.

`jmlp.study.rules` defines the allowed values; `jmlp.study.file` reads files and applies overrides.
All problems of a document are collected before any is reported.
"""

import contextlib
import math
from collections.abc import Sequence
from itertools import product
from typing import Any

from jmlp.errors import ConfigError
from jmlp.study import data_names, rules
from jmlp.study.config import (
    DEFAULTS,
    USED_ONLY_WITH,
    Cell,
    Claim,
    Experiment,
    Reference,
    Search,
    Study,
    Value,
    changed,
    in_use,
    label,
    no_effect,
    one_for_all,
    unchecked,
)
from jmlp.study.rules import HYPERPARAMETERS, PER_LAYER, Refused, shown, toml_value
from jmlp.study.search import later_names, read_search, rounds
from jmlp.study.toml_reader import Document, Key, Reader

EXPERIMENT_RULES = {"title": rules.TITLE, "seeds": rules.SEEDS, **HYPERPARAMETERS}
EXPERIMENT_TABLES = ("axes", "baseline", "search", "claims", "reference")
STUDY_RULES = {
    "name": rules.NAME,
    "title": rules.TITLE,
    "data": data_names.DATA,
    "seeds": rules.SEEDS,
    "split_seed": rules.SPLIT_SEED,
    "validation_fraction": rules.FRACTION,
    "smallest_difference": rules.DIFFERENCE,
    "sequential": rules.BOOLEAN,
    "notes": rules.SENTENCES,
    "label": rules.COLUMN,
    "missing": rules.MISSING,
    "leave_out": rules.COLUMNS,
    "header": rules.BOOLEAN,
    "test": rules.TEST,
    "stratify": rules.BOOLEAN,
    **HYPERPARAMETERS,
}
CLAIM_CELLS = ("best", "not_higher", "than")
FIGURES = {
    "training_accuracy": rules.ACCURACY,
    "validation_accuracy": rules.ACCURACY,
    "test_accuracy": rules.ACCURACY,
    "stopped": rules.EPOCHS,
}
_TOP_ONLY = {key: "at the top of the file" for key in STUDY_RULES if key not in EXPERIMENT_RULES}
_EXPERIMENT_ONLY = dict.fromkeys(EXPERIMENT_TABLES, "in an [experiments.NAME] table")
_RUN_LIMIT = f"the limit is {rules.MAX_RUNS:,}"


def study_of(command: str, settings: dict[str, Any]) -> Study:
    """Makes a study of one configuration, and checks it by the rules of study files.

    Args:
        command: the command, for messages.
        settings: the values of its options, by their names in study files.

    Raises:
        ConfigError: an option is wrong; the message has every problem, with its flag.
    """
    flags: dict[tuple[str | int, ...], str] = {}
    for name in settings:
        flag = f"--{name.replace('_', '-')}"
        flags |= {(name,): flag, ("experiments", "train", name): flag}
    reader = Reader(command, flags)
    study = read_study({"name": "train", **settings, "experiments": {"train": {}}}, reader)
    if study is None:
        raise ConfigError(reader.problems)
    return study


def read_study(document: Document, reader: Reader) -> Study | None:
    """The study described by a document; None if the reader recorded problems."""
    if not document:
        reader.problem((), "is empty: a study needs a name, seeds and an [experiments.NAME]")
        return None
    top = reader.fields(document, (), STUDY_RULES, ("experiments",), _EXPERIMENT_ONLY)
    if "name" not in document:
        reader.problem(("name",), "is missing: give the study a short one, as in name = 'mine'")
    tables = reader.table(document.get("experiments", {}), ("experiments",))
    if not tables and not reader.refused(("experiments",)):
        reader.problem(("experiments",), "is missing: a study needs at least one experiment")
    _check_names(tables, reader)
    drafts = [_Draft(name, table, document, top, reader) for name, table in tables.items()]
    for name, (other, _) in USED_ONLY_WITH.items():
        if name in top and all(d.is_sound(other) and not d.uses(name) for d in drafts):
            reader.problem((name,), no_effect(name))
    n_runs = sum(draft.n_runs for draft in drafts)
    if n_runs > rules.MAX_RUNS and not reader.n_problems:
        reader.problem(("experiments",), f"{n_runs:,} runs in all; {_RUN_LIMIT}")
    if reader.n_problems:
        return None
    study_fields = {k: value for k, value in top.items() if k in _TOP_ONLY or k == "title"}
    return Study(**study_fields, experiments=tuple(draft.experiment() for draft in drafts))


def _later_names(name: str, table: Any) -> tuple[str, ...]:
    """The names of the experiments that an experiment with a search can add to its study."""
    if not isinstance(table, dict) or "search" not in table:
        return ()
    halving = table["search"].get("halving") if isinstance(table["search"], dict) else None
    return later_names(name, 1 + len(halving) if isinstance(halving, list) else 1)


def _check_names(tables: Document, reader: Reader) -> None:
    first: dict[str, str] = {}
    searches = {later: n for n, table in tables.items() for later in _later_names(n, table)}
    for name in tables:
        if not rules.is_name(name):
            reader.problem(("experiments", name), f"a name must be {rules.NAME.wanted}")
        if name in searches:
            reader.problem(
                ("experiments", name),
                f"is the name of an experiment that the search of {searches[name]} adds: use "
                "another one",
            )
        # Names become file names, and some file systems ignore case.
        other = first.setdefault(name.lower(), name)
        if other != name:
            reader.problem(
                ("experiments", name), f"differs from {other} only in upper and lower case"
            )


class _Draft:
    """An experiment being read; problems go to the reader, and invalid parts are left out."""

    def __init__(
        self, name: str, table: Any, document: Document, top: Document, reader: Reader
    ) -> None:
        self._name = name
        self._at: Key = ("experiments", name)
        self._reader = reader
        self._table = reader.table(table, self._at)
        self._own = reader.fields(
            self._table, self._at, EXPERIMENT_RULES, EXPERIMENT_TABLES, _TOP_ONLY
        )
        values = {**DEFAULTS, **top, **self._own}
        self._base = unchecked({key: values[key] for key in HYPERPARAMETERS})
        self._seeds: Sequence[int] = values.get("seeds", ())
        if "seeds" not in self._table and "seeds" not in document:
            self._problem("seeds", "is missing: give them here or at the top, as in seeds = 5")
        self._axes = self._read_axes()
        self._search = self._read_search()
        self._on_axis = {
            name: {self._normalised(name, value): value for value in values}
            for name, values in self._axes.items()
        }
        self._baseline = self._read_baseline()
        self._claims = self._read_claims()
        self._reference = self._read_reference()
        self._check_effects()
        if self.n_runs <= rules.MAX_RUNS:
            self._check_mismatches()
        else:
            n_seeds = len(self._seeds)
            grid = f"{self.n_runs // n_seeds:,} configurations x {n_seeds:,} seeds"
            reader.problem(self._at, f"{self.n_runs:,} runs ({grid}); {_RUN_LIMIT}")

    @property
    def n_runs(self) -> int:
        """Configurations x seeds, counted without building the runs."""
        if (search := self._search) is not None:
            n_searched = sum(1 + n for _, n in rounds(search, self._base.epochs))
            return n_searched * len(self._seeds) + 2 * len(search.confirm)
        return math.prod(map(len, self._axes.values())) * len(self._seeds)

    @property
    def _varied(self) -> str:
        """The key of the table that has the values of what varies."""
        return "search" if "search" in self._table else "axes"

    def is_sound(self, name: str) -> bool:
        """Whether no key that can set this hyperparameter has a problem."""
        keys: tuple[Key, ...] = ((name,), (*self._at, name), (*self._at, "axes", name))
        return not any(map(self._reader.refused, keys))

    def uses(self, name: str) -> bool:
        """Whether a hyperparameter has an effect in some configuration."""
        return in_use(name, self._base, self._axes)

    def experiment(self) -> Experiment:
        """The experiment; valid only if there were no problems."""
        unused = {name: DEFAULTS[name] for name in USED_ONLY_WITH if not self.uses(name)}
        base = changed(self._base, **{**unused, **self._baseline})
        single = {name: one_for_all(getattr(base, name), base.hidden) for name in PER_LAYER}
        return Experiment(
            name=self._name,
            base=changed(base, **single),
            axes=self._axes,
            seeds=tuple(self._seeds),
            baseline=self._baseline,
            claims=self._claims,
            reference=self._reference,
            title=self._own.get("title", ""),
            search=self._search,
            cells=(self._baseline, *self._search.drawn) if self._search else (),
        )

    def _problem(self, key: str, text: str) -> None:
        self._reader.problem((*self._at, key), text)

    def _read_axes(self) -> dict[str, tuple[Value, ...]]:
        """The values of each axis; empty for an axis with a problem."""
        at = (*self._at, "axes")
        axes: dict[str, tuple[Value, ...]] = {}
        for name, values in self._reader.table(self._table.get("axes", {}), at).items():
            if name not in HYPERPARAMETERS:
                self._reader.unknown((*at, name), HYPERPARAMETERS)
                continue
            read: Document = {}
            self._reader.value(values, (*at, name), rules.axis(name), read)
            axes[name] = read.get(name, ())
            if name in self._table:
                self._problem(name, "is an axis of this experiment as well: leave one of them out")
        return axes

    def _read_search(self) -> Search | None:
        """The search; its hyperparameters become axes, with all values that occur.

        An axis is empty if there is a problem with the search or with its baseline.
        """
        if "search" not in self._table:
            return None
        at = (*self._at, "search")
        table = self._reader.table(self._table["search"], at)
        searched = [name for name in HYPERPARAMETERS if name in table]
        for name in ("axes", "claims", "reference"):
            if name not in self._table:
                continue
            both = [key for key in searched if name == "axes" and key in self._axes]
            what = f"{', '.join(both)} would be both an axis and searched: " if both else ""
            self._problem(
                name, f"{what}an experiment with a search has no {name}: use another experiment"
            )
        for name in searched:
            if name in self._own:
                self._problem(
                    name,
                    "is searched in this experiment as well: leave one of them out, or write "
                    f"baseline.{name}",
                )
        baseline: Document = {}
        given = self._table.get("baseline")
        for name in searched:
            if isinstance(given, dict) and name in given:
                with contextlib.suppress(Refused):  # reported with the baseline
                    baseline[name] = HYPERPARAMETERS[name].read(given[name])
        n_problems = self._reader.n_problems
        base = changed(self._base, **baseline)
        search = read_search(table, at, self._seeds, base, self._reader)
        self._axes = dict.fromkeys(searched, ())
        if search is None or len(baseline) < len(searched) or self._reader.n_problems > n_problems:
            return None
        for name in searched:
            values = (baseline[name], *(cell[name] for cell in search.drawn))
            different: dict[Value, Value] = {}
            for value in values:
                different.setdefault(self._normalised(name, value), value)
            self._axes[name] = tuple(different.values())
        return search

    def _normalised(self, name: str, value: Value) -> Value:
        """Normalises equivalent values: equal ones of all layers become a single one."""
        shapes = self._axes.get("hidden", (self._base.hidden,))
        one_depth = len({len(shape) for shape in shapes}) == 1
        return one_for_all(value, shapes[0]) if name in PER_LAYER and one_depth else value

    def _read_baseline(self) -> Cell:
        at = (*self._at, "baseline")
        if "search" in self._table and not self._axes:
            return {}  # the search varies nothing
        if "baseline" in self._table and not self._axes:
            self._problem("baseline", "has no meaning without axes: leave it out")
        elif "baseline" in self._table:
            return self._read_cell(self._reader.table(self._table["baseline"], at), at)
        elif "search" in self._table:
            names = [name for name in HYPERPARAMETERS if name in self._axes]
            example = ", ".join(f"{name} = …" for name in names)
            self._problem(
                "baseline",
                "is missing: it needs a value of every searched hyperparameter, as in "
                f"baseline = {{ {example} }}",
            )
        elif all(self._axes.values()) and self._axes:
            name, values = next(iter(self._axes.items()))
            example = f"baseline.{name} = {shown(toml_value(values[0]))}"
            self._problem(
                "baseline", f"is missing: it needs a value of every axis, as in {example}"
            )
        return {}

    def _read_cell(self, table: Document, at: Key, *, whole: bool = True) -> Cell:
        """A value for every axis, or for some unless `whole`, in the order of the axes."""
        cell: Document = {}
        for name, value in table.items():
            key = (*at, name)
            if name not in HYPERPARAMETERS:
                self._reader.unknown(key, [*self._axes, *(FIGURES if "reference" in at else ())])
            elif name not in self._axes:
                axes = ", ".join(self._axes) or "none"
                self._reader.problem(key, f"is not an axis of this experiment (its axes: {axes})")
            else:
                self._reader.value(value, key, HYPERPARAMETERS[name], cell)
                on_axis = self._on_axis[name]
                if name in cell and on_axis:
                    value_key = self._normalised(name, cell[name])
                    if value_key in on_axis:
                        cell[name] = on_axis[value_key]  # in the form used on the axis
                    else:
                        values = shown([toml_value(v) for v in self._axes[name]])
                        self._reader.problem(
                            key, f"must be a value of its axis, {values}, got {shown(value)}"
                        )
        missing = [name for name in self._axes if name not in table]
        if whole and missing:
            self._reader.problem(at, f"needs a value of every axis: add {', '.join(missing)}")
        return {name: cell[name] for name in self._axes if name in cell}

    def _read_claims(self) -> tuple[Claim, ...]:
        if "claims" not in self._table:
            return ()
        if not self._axes:
            self._problem("claims", "compare configurations, and without axes there is only one")
        tables = self._reader.tables(self._table["claims"], (*self._at, "claims"))
        return tuple(self._read_claim(table, at) for table, at in tables)

    def _read_claim(self, table: Document, at: Key) -> Claim:
        text = self._reader.fields(table, at, {"text": rules.SENTENCE}, CLAIM_CELLS)
        if "text" not in table:
            self._reader.problem(at, "needs a text: the sentence that results are to answer")
        n_problems = self._reader.n_problems
        cells = {
            key: self._read_cell(
                self._reader.table(table[key], (*at, key)), (*at, key), whole=key == "best"
            )
            for key in CLAIM_CELLS
            if key in table
        }
        if cells.keys() not in ({"best"}, {"not_higher", "than"}):
            self._reader.problem(at, "needs either best, or not_higher and than")
        elif "than" in cells and self._reader.n_problems == n_problems:
            one, other = cells["not_higher"], cells["than"]
            if one.keys() != other.keys() or one == other:
                self._reader.problem(
                    at, "not_higher and than must name the same axes with different values"
                )
        return Claim(text.get("text", ""), **cells)

    def _read_reference(self) -> tuple[Reference, ...]:
        if "reference" not in self._table:
            return ()
        tables = self._reader.tables(self._table["reference"], (*self._at, "reference"))
        references: dict[str, Reference] = {}
        for table, at in tables:
            n_problems = self._reader.n_problems
            figures = {key: value for key, value in table.items() if key in FIGURES}
            where = {key: value for key, value in table.items() if key not in FIGURES}
            reference = Reference(
                self._read_cell(where, at), **self._reader.fields(figures, at, FIGURES)
            )
            if not figures:
                self._reader.problem(at, f"needs a figure: {', '.join(FIGURES)}")
            name = label(reference.where)
            if name in references and self._reader.n_problems == n_problems:
                self._reader.problem(at, f"is a second one for {name}")
            references[name] = reference
        return tuple(references.values())

    def _check_mismatches(self) -> None:
        for (name, other), mismatch in rules.MISMATCHES.items():
            if not (self.is_sound(name) and self.is_sound(other)):
                continue
            values, others = (
                self._axes.get(key, (getattr(self._base, key),)) for key in (name, other)
            )
            found = (mismatch(value, fixed) for value, fixed in product(values, others))
            if problem := next(filter(None, found), None):
                axis = (self._varied,) if name in self._axes else ()
                self._reader.problem((*self._at, *axis, name), problem)

    def _check_effects(self) -> None:
        for name, (other, needed) in USED_ONLY_WITH.items():
            if not self.is_sound(other):
                continue
            others = self._axes.get(other, (getattr(self._base, other),))
            if name in self._axes and not all(value in needed for value in others):
                self._reader.problem((*self._at, self._varied, name), no_effect(name))
            elif name in self._own and not self.uses(name):
                self._problem(name, no_effect(name))
