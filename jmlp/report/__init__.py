"""The report folder of a study: raw results, tables, plots, and two documents made of them.

What takes time to import, such as matplotlib, is imported only where a report is written.
"""

import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from jmlp.checks import is_name
from jmlp.config import Study
from jmlp.errors import StoreError
from jmlp.lookup import RunIndex
from jmlp.places import write_atomically
from jmlp.plan import DataFacts
from jmlp.report.files import read_csv, read_results, results_csv, results_head, results_json
from jmlp.results import RunResult

if TYPE_CHECKING:
    from jmlp.tables import ExperimentTable

__all__ = ["check_output", "in_order", "read_csv", "read_results", "write_report"]

PLOTS = "plots"  # the folder of the plots in that of the report


def check_output(folder: Path, force: bool, of: str | None = None) -> None:
    """Make the folder of a report and see that it can be written to, before hours of training.

    Args:
        folder: where the report will be.
        force: whether a report may replace files that are there.
        of: the name of a study: its own report may be replaced without `force`.

    Raises:
        StoreError: it cannot be made or written to, or it is not empty without `force`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not force and any(folder.iterdir()) and not _is_report(folder, of):
            raise StoreError(
                f"{folder}: holds other files; give another folder (--output DIR), or write into "
                "it all the same (--force)"
            )
        # Only writing tells whether one can: permissions say nothing of quotas and foreign disks.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL
        reason = getattr(error, "strerror", None) or str(error)
        raise StoreError(
            f"{folder}: no report can be written there: {reason}; give another folder "
            "(--output DIR)"
        ) from error


def _is_report(folder: Path, of: str | None) -> bool:
    """Whether the folder holds the report of this study."""
    try:
        return of is not None and read_results(folder / "results.json")[0] == of
    except StoreError:
        return False


def write_report(
    folder: Path,
    study: Study,
    results: Sequence[RunResult],
    tables: "Sequence[ExperimentTable]",
    *,
    facts: DataFacts,
    source: str,
    study_toml: str,
    command: str,
    force: bool = False,
    created: datetime | None = None,
) -> list[Path]:
    """Write the whole folder, the results first: no later fault can lose them.

    With `force` every file of the report is replaced; what else is in the folder stays.

    Args:
        folder: where to; it is made where it is missing.
        study: what was run.
        results: its runs, in any order.
        tables: those of `jmlp.tables.study_tables` for these runs.
        facts: sizes and digests of the data.
        source: where the data came from, for people.
        study_toml: the text of the expanded study file.
        command: what makes this report again.
        force: whether the folder may hold files already.
        created: when, in UTC; now where it is not given.

    Returns:
        The files, in the order in which they were written.

    Raises:
        StoreError: the folder is refused, or a file cannot be written.
    """
    check_output(folder, force)
    created = created or datetime.now(UTC)
    results = in_order(study, results)
    written: list[Path] = []

    def write(name: str, data: str | bytes) -> None:
        # Bytes of a command that are no text came in as surrogates, and UTF-8 has none.
        raw = data if isinstance(data, bytes) else data.encode("utf-8", "backslashreplace")
        write_atomically(folder / name, raw)
        written.append(folder / name)

    head = results_head(study, source, facts.digests, command, created)
    write("results.json", results_json(head, results))
    write("results.csv", results_csv(results))
    write("study.toml", study_toml)

    from jmlp.report.document import Document, made_with, make_section, summarise
    from jmlp.report.markdown import markdown
    from jmlp.report.page import page
    from jmlp.report.plots import experiment_plots

    sections = []
    for number, (experiment, table) in enumerate(zip(study.experiments, tables, strict=True), 1):
        # A study file gives names that fit a file; a study made by hand may not.
        name = experiment.name if is_name(experiment.name) else f"experiment-{number}"
        plots = experiment_plots(experiment, table, results, name)
        for plot in plots:
            write(f"{PLOTS}/{plot.name}.png", plot.png)
            write(f"{PLOTS}/{plot.name}.svg", plot.svg)
        sections.append(make_section(name, table, plots))
    document = Document(
        study=study,
        created=created,
        command=command,
        summary=summarise(study, results),
        sections=sections,
        facts=made_with(study, results, facts, source),
        study_toml=study_toml,
    )
    write("report.md", markdown(document, PLOTS))
    write("report.html", page(document))
    return written


def in_order(study: Study, results: Sequence[RunResult]) -> list[RunResult]:
    """Every run once, as the tables have them: runs end in an order that no one can foresee."""
    from jmlp.tables.arms import collect

    index = RunIndex(results)
    arms = [arm for experiment in study.experiments for arm in collect(experiment, index)]
    known = {run.run_id: run for arm in arms for run in arm.runs.values()}
    return list((known | {run.run_id: run for run in results}).values())
