"""Builds the result table of an experiment from its runs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from statistics import fmean
from typing import Literal

from jmlp.results.crosschecks import remarks_after
from jmlp.results.search import staged
from jmlp.results.statistics import (
    Comparison,
    Interval,
    compare,
    mean_interval,
    prediction_interval,
)
from jmlp.results.tables.runs_by_configuration import (
    Arm,
    best_arm,
    collect,
    find,
    have_test_set,
    paired_differences,
)
from jmlp.results.tables.sentences import (
    ClaimAnswer,
    accuracy_notes,
    answer_claim,
    comparison_notes,
    confirmation_notes,
    design_notes,
    range_notes,
    run_notes,
    sampling_notes,
    search_notes,
)
from jmlp.results.tables.wording import (
    MISSING,
    Epochs,
    accuracy_text,
    p_text,
    percent,
    points,
    points_range,
    summarise_epochs,
    verdict_text,
)
from jmlp.study.config import Experiment, Hyperparams, Study, matches
from jmlp.study.rules import value_text
from jmlp.study.run_index import RunIndex
from jmlp.training.plan import DataFacts
from jmlp.training.records import RunResult


@dataclass(frozen=True)
class Column:
    """A column.

    A table that is too wide is split between groups; each part repeats the first columns, which
    name the configuration.
    """

    title: str
    align: Literal["left", "right"]
    group: Literal[
        "configuration", "seeds", "accuracy", "epochs", "counts", "original", "difference"
    ]


@dataclass(frozen=True)
class Original:
    """A published test accuracy, compared with our runs of the same configuration."""

    test_accuracy: float
    stopped: int | None
    # 95 %, for one further run; cut at 0 and 1. None for a single run, or two modes.
    interval: tuple[float, float] | None
    is_cut: bool  # whether the interval would pass 0 or 1
    place: Literal["inside", "below", "above"] | None  # None without an interval
    seeds_below: int  # our runs whose test accuracy is lower
    n: int


@dataclass(frozen=True)
class Row:
    """One configuration. Accuracies are fractions; None if no run has one yet."""

    label: str
    hyperparams: Hyperparams
    n: int  # finished runs, over which means and epochs are taken
    n_seeds: int  # runs planned
    training_accuracy: Interval | None
    validation_accuracy: Interval | None
    test_accuracy: Interval | None
    best_epoch: Epochs | None
    stopped_epoch: Epochs | None
    diverged: int
    collapsed: int
    original: Original | None
    is_baseline: bool
    is_best: bool
    cells: tuple[str, ...]

    @property
    def marked_label(self) -> str:
        """The label with the marks of the row, such as `batch size 128 (baseline, best)`."""
        return _with_marks(self.label, _marks(self.is_baseline, self.is_best))


@dataclass(frozen=True)
class DifferenceRow:
    """Test accuracy of one configuration minus that of the baseline, paired by seed."""

    label: str
    comparison: Comparison
    left_out: int  # pairs lost because one or both of their runs diverged
    cells: tuple[str, ...]


@dataclass(frozen=True, repr=False)
class ExperimentTable:
    """The complete results of an experiment, in the order in which they are shown."""

    name: str
    title: str
    n_runs: int  # planned
    n_ended: int
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    difference_columns: tuple[Column, ...]
    differences: tuple[DifferenceRow, ...]
    claims: tuple[ClaimAnswer, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        """The table as plain text, with comparisons, claims and notes below it."""
        blocks = [[self.title], _aligned(self.columns, self.rows)]
        if self.differences:
            blocks.append(_aligned(self.difference_columns, self.differences))
        blocks += [[claim.sentence for claim in self.claims], [*self.notes]]
        return "\n\n".join("\n".join(lines) for lines in blocks if lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """The same for a notebook, where the best row is bold."""
        best = [row.is_best for row in self.rows]
        blocks = [f"<h4>{escape(self.title)}</h4>", _html(self.columns, self.rows, best)]
        if self.differences:
            none = [False] * len(self.differences)
            blocks.append(_html(self.difference_columns, self.differences, none))
        for sentences in ([claim.sentence for claim in self.claims], self.notes):
            if sentences:
                items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
                blocks.append(f"<ul>{items}</ul>")
        return "\n".join(blocks)


def _html(
    columns: Sequence[Column], rows: Sequence[Row] | Sequence[DifferenceRow], bold: Sequence[bool]
) -> str:
    """A grid, headed by the titles of its columns."""
    sides = [f' style="text-align: {column.align}"' for column in columns]
    titles = "".join(
        f"<th{side}>{escape(column.title)}</th>"
        for side, column in zip(sides, columns, strict=True)
    )
    body = ""
    for texts, is_bold in zip([row.cells for row in rows], bold, strict=True):
        cells = "".join(
            f"<td{side}>{escape(text)}</td>" for side, text in zip(sides, texts, strict=True)
        )
        body += f'<tr style="font-weight: bold">{cells}</tr>' if is_bold else f"<tr>{cells}</tr>"
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"


def _aligned(columns: Sequence[Column], rows: Sequence[Row] | Sequence[DifferenceRow]) -> list[str]:
    """The lines of a grid, headed by the titles of its columns."""
    grid = [[column.title for column in columns], *(row.cells for row in rows)]
    widths = [max(map(len, cells)) for cells in zip(*grid, strict=True)]
    sides = [str.rjust if column.align == "right" else str.ljust for column in columns]
    return [
        "  ".join(pad(cell, n) for pad, cell, n in zip(sides, cells, widths, strict=True)).rstrip()
        for cells in grid
    ]


def name_columns(columns: Sequence[Column]) -> list[int]:
    """The indices of the first columns, which name the configuration of each row."""
    return [index for index, column in enumerate(columns) if column.group == CONFIGURATION.group]


def labelled(table: ExperimentTable) -> ExperimentTable:
    """The table with one column for the labels and marks in place of those of a grid's axes."""
    n, m = (len(name_columns(c)) for c in (table.columns, table.difference_columns))
    rows = [replace(row, cells=(row.marked_label, *row.cells[n:])) for row in table.rows]
    differences = [replace(row, cells=(row.label, *row.cells[m:])) for row in table.differences]
    return replace(
        table,
        columns=(CONFIGURATION, *table.columns[n:]),
        rows=tuple(rows),
        difference_columns=(CONFIGURATION, *table.difference_columns[m:]) if m else (),
        differences=tuple(differences),
    )


CONFIGURATION = Column("configuration", "left", "configuration")
MARK = Column("mark", "left", "configuration")
DIFFERENCE_COLUMNS = (
    Column("difference, points", "right", "difference"),
    Column("simultaneous 95 % interval", "right", "difference"),
    Column("p", "right", "difference"),
    Column("pairs", "right", "difference"),
    Column("left out", "right", "difference"),
    Column("verdict", "left", "difference"),
)


def study_tables(
    study: Study, results: Sequence[RunResult], facts: DataFacts | None = None
) -> tuple[ExperimentTable, ...]:
    """One table per experiment of the study, and one for each later stage of its searches.

    Arguments as in `experiment_table`.
    """
    index = RunIndex(results)
    study = staged(study, index)
    return tuple(experiment_table(study, e, index, facts) for e in study.experiments)


def experiment_table(
    study: Study,
    experiment: Experiment,
    results: Sequence[RunResult] | RunIndex[RunResult],
    facts: DataFacts | None = None,
) -> ExperimentTable:
    """The table of an experiment from the runs that have ended so far.

    Every comparison, including those of claims, is adjusted for the number of configurations other
    than the baseline, so that a pair shown twice has the same numbers. No claim needs more
    comparisons than that.

    The candidates of a search are shown in the order of their validation accuracies, and compared
    with nothing: neither their test accuracies nor any verdict on them is in the table.

    Args:
        study: provides the smallest difference that matters and how the data is split.
        experiment: its configurations × seeds are looked up in `results`.
        results: runs on the study's data, in any order; those of other experiments are ignored.
        facts: facts of the data, for remarks on settings unsuited to it; None if unknown.

    Raises:
        ConfigError: the baseline or a claim names no configuration of the experiment.
        ValueError: two different runs have the same (configuration, seed), or only some of the runs
            have a test accuracy.
    """
    index = results if isinstance(results, RunIndex) else RunIndex(results)
    arms = collect(experiment, index)
    has_test_set = have_test_set(arms)
    has_test = has_test_set and experiment.search is None
    baseline = find(experiment, arms, experiment.baseline, "baseline")
    family = max(1, len(arms) - 1)

    def compared(arm: Arm, other: Arm) -> tuple[Comparison, int]:
        """The comparison, and the number of pairs left out of it."""
        differences, left_out = paired_differences(
            arm, other, experiment.seeds, sequential=study.sequential
        )
        comparison = compare(
            differences,
            family,
            study.smallest_difference,
            failed=(arm.n_failed, other.n_failed),
            bimodal=arm.collapsed_in_part or other.collapsed_in_part,
            sequential=study.sequential,
        )
        return comparison, left_out

    def against(arm: Arm, other: Arm) -> Comparison:
        return compared(arm, other)[0]

    with_original = has_test and bool(experiment.reference)
    others = [arm for arm in arms if has_test and arm is not baseline]
    differences = tuple(
        _difference_row(study, experiment, arm, *compared(arm, baseline)) for arm in others
    )
    compared_with_baseline = [(row.label, row.comparison) for row in differences]
    several = len(arms) > 1  # a single configuration is marked neither baseline nor best
    best = best_arm(experiment, arms) if several else None
    rows = [
        _row(
            experiment,
            arm,
            is_baseline=several and arm is baseline,
            is_best=arm is best,
            with_marks=several,
            has_test=has_test,
            with_original=with_original,
        )
        for arm in arms
    ]
    accuracies = [
        accuracy
        for row in rows
        for accuracy in (row.training_accuracy, row.validation_accuracy, row.test_accuracy)
    ]
    return ExperimentTable(
        name=experiment.name,
        title=experiment.title or experiment.name,
        n_runs=len(arms) * len(experiment.seeds),
        n_ended=sum(len(arm.runs) for arm in arms),
        columns=tuple(_columns(experiment, has_test, with_original, with_marks=several)),
        rows=tuple(rows),
        difference_columns=(
            (*_axis_columns(experiment), *DIFFERENCE_COLUMNS) if differences else ()
        ),
        differences=differences,
        claims=tuple(
            answer_claim(study, experiment, arms, claim, against if has_test else None)
            for claim in experiment.claims
        ),
        notes=(
            *search_notes(experiment, best),
            *confirmation_notes(study, experiment, arms, compared_with_baseline, index),
            *run_notes(study, experiment, arms, best),
            *accuracy_notes(study, experiment, has_test, with_original),
            *range_notes(
                accuracies, any(row.original is not None and row.original.is_cut for row in rows)
            ),
            *(sampling_notes(baseline, facts) if has_test else ()),
            *comparison_notes(
                study, arms, baseline, [row.comparison for row in differences], has_test_set
            ),
            *design_notes(experiment, arms),
            *remarks_after(
                study, experiment, [(a.configuration, a.runs.values()) for a in arms], facts
            ),
        ),
    )


def _is_grid(experiment: Experiment) -> bool:
    """Whether the axes have a column each."""
    return len(experiment.axes) > 1


def _axis_columns(experiment: Experiment) -> Iterator[Column]:
    """The columns that name a configuration: one per axis of a grid, or one for its label."""
    if not _is_grid(experiment):
        yield CONFIGURATION
        return
    for name, values in experiment.axes.items():
        numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
        yield Column(name.replace("_", " "), "right" if numbers else "left", "configuration")


def _axis_cells(experiment: Experiment, arm: Arm) -> list[str]:
    """The cells of `_axis_columns`."""
    if not _is_grid(experiment):
        return [arm.label]
    return [value_text(value, name) for name, value in arm.configuration.cell.items()]


def _marks(is_baseline: bool, is_best: bool) -> str:
    marks = (("baseline", is_baseline), ("best", is_best))
    return ", ".join(mark for mark, is_marked in marks if is_marked)


def _with_marks(label: str, marks: str) -> str:
    return f"{label} ({marks})" if marks else label


def _columns(
    experiment: Experiment, has_test: bool, with_original: bool, with_marks: bool
) -> Iterator[Column]:
    yield from _axis_columns(experiment)
    if _is_grid(experiment) and with_marks:
        yield MARK
    yield Column("seeds", "right", "seeds")
    yield Column("training accuracy %", "right", "accuracy")
    yield Column("validation accuracy %", "right", "accuracy")
    if has_test:
        yield Column("test accuracy %", "right", "accuracy")
    yield Column("best epoch", "right", "epochs")
    yield Column("stopped epoch", "right", "epochs")
    yield Column("diverged", "right", "counts")
    yield Column("collapsed", "right", "counts")
    if with_original:
        yield Column("original test %", "right", "original")
        yield Column("prediction interval %", "right", "original")
        yield Column("original is", "left", "original")
        yield Column("seeds below it", "right", "original")
        yield Column("original stopped", "right", "original")


def _row(
    experiment: Experiment,
    arm: Arm,
    *,
    is_baseline: bool,
    is_best: bool,
    with_marks: bool,
    has_test: bool,
    with_original: bool,
) -> Row:
    runs = arm.finished
    training = _mean([run.training_accuracy for run in runs])
    validation = _mean([run.validation_accuracy for run in runs])
    test = _mean([run.test_accuracy for run in runs]) if has_test else None
    best_epoch = summarise_epochs(
        [
            (run.best_epoch, run.reached_limit and run.best_epoch == run.stopped_epoch)
            for run in runs
            if run.best_epoch is not None
        ]
    )
    stopped_epoch = summarise_epochs([(run.stopped_epoch, run.reached_limit) for run in runs])
    collapsed = sum(run.collapsed for run in runs)
    original = _original(experiment, arm)
    n, n_seeds = len(runs), len(experiment.seeds)
    marks = _marks(is_baseline, is_best)
    named = [_with_marks(arm.label, marks)]
    if _is_grid(experiment):
        named = [*_axis_cells(experiment, arm), *([marks] if with_marks else [])]
    cells = [
        *named,
        str(n) if n == n_seeds else f"{n} of {n_seeds}",
        *_accuracy_cells(arm, (training, validation, test)[: 3 if has_test else 2]),
        best_epoch.text if best_epoch else MISSING,
        stopped_epoch.text if stopped_epoch else MISSING,
        str(len(arm.diverged)),
        str(collapsed),
    ]
    if with_original:
        cells += _original_cells(original)
    return Row(
        label=arm.label,
        hyperparams=arm.hyperparams,
        n=n,
        n_seeds=n_seeds,
        training_accuracy=training,
        validation_accuracy=validation,
        test_accuracy=test,
        best_epoch=best_epoch,
        stopped_epoch=stopped_epoch,
        diverged=len(arm.diverged),
        collapsed=collapsed,
        original=original,
        is_baseline=is_baseline,
        is_best=is_best,
        cells=tuple(cells),
    )


def _accuracy_cells(arm: Arm, intervals: Sequence[Interval | None]) -> Iterator[str]:
    """Each mean with its interval; two means if only some of the runs collapsed."""
    parts = ("training_accuracy", "validation_accuracy", "test_accuracy")
    for part, interval in zip(parts, intervals, strict=False):
        if not arm.collapsed_in_part:
            yield accuracy_text(interval)
            continue
        groups = [[r for r in arm.finished if r.collapsed is it] for it in (False, True)]
        means = [fmean(getattr(run, part) for run in group) for group in groups]
        yield ", ".join(
            f"{percent(mean)} × {len(group)}" for mean, group in zip(means, groups, strict=True)
        )


def _mean(accuracies: Sequence[float | None]) -> Interval | None:
    known = [accuracy for accuracy in accuracies if accuracy is not None]
    return mean_interval(known) if known else None


def _original(experiment: Experiment, arm: Arm) -> Original | None:
    references = [r for r in experiment.reference if matches(arm.configuration, r.where)]
    if not references or references[0].test_accuracy is None:
        return None
    figure, stopped = references[0].test_accuracy, references[0].stopped
    ours = [run.test_accuracy for run in arm.finished if run.test_accuracy is not None]
    below = sum(accuracy < figure for accuracy in ours)
    interval = prediction_interval(ours) if ours and not arm.collapsed_in_part else None
    if interval is None:
        return Original(figure, stopped, None, False, None, below, len(ours))
    low, high = max(0.0, interval[0]), min(1.0, interval[1])
    place: Literal["inside", "below", "above"] = "inside"
    if not low <= figure <= high:
        place = "below" if figure < low else "above"
    is_cut = (low, high) != interval
    return Original(figure, stopped, (low, high), is_cut, place, below, len(ours))


def _original_cells(original: Original | None) -> list[str]:
    if original is None:
        return [MISSING] * 5
    return [
        percent(original.test_accuracy),
        " to ".join(map(percent, original.interval)) if original.interval else MISSING,
        original.place or MISSING,
        f"{original.seeds_below} of {original.n}" if original.n else MISSING,
        MISSING if original.stopped is None else str(original.stopped),
    ]


def _difference_row(
    study: Study, experiment: Experiment, arm: Arm, comparison: Comparison, left_out: int
) -> DifferenceRow:
    cells = (
        *_axis_cells(experiment, arm),
        MISSING if comparison.mean is None else points(comparison.mean),
        points_range(comparison),
        p_text(comparison.p),
        str(comparison.n),
        str(left_out),
        verdict_text(comparison, study.smallest_difference),
    )
    return DifferenceRow(arm.label, comparison, left_out, cells)
