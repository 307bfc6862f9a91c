"""The content of the report and its order, independent of the format (`markdown`, `page`)."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from jmlp.results.tables import MARK, Column, ExperimentTable, name_columns
from jmlp.study.config import Study, configurations
from jmlp.training import records
from jmlp.training.plan import DataFacts, n_validation
from jmlp.training.records import NUMERICS, RunResult

# The classes of grids by the widths of their axes in characters. Beside the axes that stay in view,
# at least half of the narrowest page of the class is left for numbers.
KEEPS_AXES = ((20, "keeps-all"), (45, "keeps-all-if-wide"))
FIGURE_SPACE = "\N{FIGURE SPACE}"  # as wide as a digit


@dataclass(frozen=True)
class Grid:
    """A table narrow enough for a page."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    best: int | None = None  # index of the row marked best

    @property
    def n_names(self) -> int:
        """The number of its first columns, which name the configuration."""
        return len(name_columns(self.columns))

    @cached_property  # the page asks for it in every cell
    def name_widths(self) -> list[int]:
        """The widths of these columns in characters, if their titles are wrapped."""
        return [
            max(map(len, [*column.title.split(), *(row[index] for row in self.rows)]))
            for index, column in enumerate(self.columns[: self.n_names])
        ]

    @property
    def mark(self) -> int | None:
        """The index of the column with the marks; None if it has none."""
        return self.columns.index(MARK) if MARK in self.columns else None

    @property
    def keeps_axes(self) -> str:
        """From which width of a page the columns of the axes stay in view, as a class."""
        widths = zip(self.columns, self.name_widths, strict=False)
        needed = sum(width for column, width in widths if column != MARK)
        return next((name for limit, name in KEEPS_AXES if needed <= limit), "keeps-first")


@dataclass(frozen=True)
class Plot:
    """A rendered plot: `png` and `svg` are the contents of files."""

    name: str  # file name without the suffix
    title: str
    caption: str
    png: bytes
    svg: bytes


@dataclass(frozen=True)
class Section:
    """The section of one experiment."""

    name: str  # used in links and file names
    table: ExperimentTable
    grids: Sequence[Grid]
    plots: Sequence[Plot]


@dataclass(frozen=True)
class Fact:
    """One fact about how the results were obtained, such as the data or the device."""

    name: str
    lines: Sequence[str]


@dataclass(frozen=True)
class Document:
    """The content of the whole report."""

    study: Study
    created: datetime  # UTC
    command: str
    summary: str
    sections: Sequence[Section]
    facts: Sequence[Fact]
    study_toml: str

    @property
    def title(self) -> str:
        """The study's title, or its name if it has none."""
        return self.study.title or self.study.name


def make_section(name: str, table: ExperimentTable, plots: Sequence[Plot]) -> Section:
    """The section of one experiment; `name` is used in links and file names."""
    return Section(name, table, tuple(grids(table)), plots)


def grids(table: ExperimentTable) -> Iterator[Grid]:
    """The parts of a result table, each narrow enough for a page."""
    ours = [i for i, column in enumerate(table.columns) if column.group != "original"]
    original = [i for i, column in enumerate(table.columns) if column.group == "original"]
    yield _grid("Results", table, range(len(table.rows)), ours)
    compared = [i for i, row in enumerate(table.rows) if row.original]
    if compared:
        columns = [*name_columns(table.columns), *original]
        yield _grid("Beside the original", table, compared, columns)
    if table.differences:
        cells = [row.cells for row in table.differences]
        yield Grid("Differences to the baseline", table.difference_columns, cells)


def _aligned(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Pads the parts after ± to equal width within each column, so that digits align."""
    columns = []
    for cells in zip(*rows, strict=True):
        parts = [cell.partition(" ± ") for cell in cells]
        width = max(len(half) for _, _, half in parts)
        columns.append(
            [
                mean + sign + (half.rjust(width, FIGURE_SPACE) if sign else "")
                for mean, sign, half in parts
            ]
        )
    return [list(row) for row in zip(*columns, strict=True)]


def _grid(title: str, table: ExperimentTable, rows: Sequence[int], columns: Sequence[int]) -> Grid:
    best = [index for index, row in enumerate(rows) if table.rows[row].is_best]
    return Grid(
        title,
        [table.columns[column] for column in columns],
        _aligned([[table.rows[row].cells[column] for column in columns] for row in rows]),
        best[0] if best else None,
    )


def summarise(study: Study, results: Sequence[RunResult]) -> str:
    """A sentence with the number of runs that have ended, finished and diverged."""
    planned = {
        (configuration.hyperparams, seed)
        for experiment in study.experiments
        for configuration in configurations(experiment)
        for seed in experiment.seeds
    }
    diverged = sum(run.status == "diverged" for run in results)
    ended = f"{len(results)} of {len(planned)} runs have ended"
    return f"{ended}: {len(results) - diverged} finished, {diverged} diverged."


def made_with(
    study: Study, results: Sequence[RunResult], facts: DataFacts, source: str
) -> list[Fact]:
    """How the results were obtained: data, split, devices, versions, with counts if runs differ."""
    n_valid = n_validation(facts.n_examples, study.validation_fraction)
    sizes = {"training": facts.n_examples - n_valid, "validation": n_valid, "test": facts.n_test}
    examples = ", ".join(f"{n:,} {part}" for part, n in sizes.items() if n)
    own_seed = study.split_seed == "seed"
    all_facts = [
        Fact("Data", [source, f"{examples} examples", *filter(None, [facts.about])]),
        Fact("Split", ["by each run's own seed" if own_seed else f"by seed {study.split_seed}"]),
        Fact("Digests, SHA-256", [f"{name} {digest}" for name, digest in facts.digests.items()]),
        *(
            Fact(f"{name[0].upper()}{name[1:]}", _counted(texts))
            for name, texts in records.made_with([run.provenance for run in results]).items()
        ),
        Fact("Numerics", [f"version {NUMERICS}"]),
    ]
    return [fact for fact in all_facts if fact.lines]


def _counted(values: Sequence[str]) -> list[str]:
    counts = Counter(values)
    if len(counts) == 1:
        return list(counts)
    return [f"{value} ({n} {'run' if n == 1 else 'runs'})" for value, n in sorted(counts.items())]
