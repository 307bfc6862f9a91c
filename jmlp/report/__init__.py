"""The report folder of a study: raw results, tables, plots, and two documents made of them.

What takes time to import, such as matplotlib, is imported only where a report is written.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from jmlp.errors import StoreError
from jmlp.report.files import (
    read_csv,
    read_results,
    results_csv,
    results_head,
    results_json,
)
from jmlp.study.config import Study
from jmlp.study.rules import is_name
from jmlp.study.run_index import RunIndex
from jmlp.system.files import is_leftover, write_together
from jmlp.training.plan import DataFacts
from jmlp.training.records import RunResult

if TYPE_CHECKING:
    from jmlp.results.tables import ExperimentTable

__all__ = ["check_output", "in_order", "read_csv", "read_results", "write_report"]

PLOTS = "plots"  # the folder of the plots in that of the report
PAGE = "report.html"  # vouches for all other files


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
        if not force and not _is_free(folder) and not _is_report(folder, of):
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


def _is_free(folder: Path) -> bool:
    """Whether a folder holds nothing but what a report that was killed had begun to write."""
    others = {name for name in os.listdir(folder) if not is_leftover(name)}
    plots = folder / PLOTS
    # Before the first file of a report is in its place, plots are there as leftovers only.
    if others == {PLOTS} and plots.is_dir() and not plots.is_symlink():
        return all(is_leftover(name) for name in os.listdir(plots))
    return not others


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
    """Write the whole folder; where `report.html` is there, all the others belong to it.

    No file takes its place before all of them are on the disk, `report.html` last. If plots or
    documents cannot be made, the results are written without them. With `force` every file of the
    report is replaced; what else is in the folder stays.

    Args:
        folder: where to; it is made where it is missing.
        study: what was run.
        results: its runs, in any order.
        tables: those of `jmlp.results.tables.study_tables` for these runs.
        facts: sizes and digests of the data.
        source: where the data came from, for people.
        study_toml: the text of the expanded study file.
        command: what makes this report again.
        force: whether the folder may hold files already.
        created: when, in UTC; now where it is not given.

    Returns:
        The files, in the order in which they were written.

    Raises:
        StoreError: the folder is refused, or a file cannot be written: then an older report is as
            it was, or is without its `report.html`.
    """
    check_output(folder, force)
    created = created or datetime.now(UTC)
    results = in_order(study, results)
    head = results_head(study, source, facts.digests, command, created)
    raw = {
        "results.json": results_json(head, results),
        "results.csv": results_csv(results),
        "study.toml": study_toml,
    }
    try:
        files = raw | _documents(
            study, results, tables, facts, source, study_toml, command, created
        )
    except Exception:
        _write(folder, raw)
        raise
    return _write(folder, files)


def _write(folder: Path, files: Mapping[str, str | bytes]) -> list[Path]:
    """Writes the files of a report by their names."""
    # Bytes of a command that are no text came in as surrogates, and UTF-8 has none.
    each = (
        (
            folder / name,
            data if isinstance(data, bytes) else data.encode("utf-8", "backslashreplace"),
        )
        for name, data in files.items()
    )
    return write_together(each, last=folder / PAGE)


def _documents(
    study: Study,
    results: Sequence[RunResult],
    tables: "Sequence[ExperimentTable]",
    facts: DataFacts,
    source: str,
    study_toml: str,
    command: str,
    created: datetime,
) -> dict[str, str | bytes]:
    """The plots and the documents that hold them, by their names in the folder; the page last."""
    load_matplotlib()
    from jmlp.report.document import Document, made_with, make_section, summarise
    from jmlp.report.markdown import markdown
    from jmlp.report.page import page
    from jmlp.report.plots import experiment_plots

    files: dict[str, str | bytes] = {}
    sections = []
    for number, (experiment, table) in enumerate(zip(study.experiments, tables, strict=True), 1):
        # A study file gives names that fit a file; a study made by hand may not.
        name = experiment.name if is_name(experiment.name) else f"experiment-{number}"
        plots = experiment_plots(experiment, table, results, name)
        for plot in plots:
            files[f"{PLOTS}/{plot.name}.png"] = plot.png
            files[f"{PLOTS}/{plot.name}.svg"] = plot.svg
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
    files["report.md"] = markdown(document, PLOTS)
    files[PAGE] = page(document)
    return files


def load_matplotlib() -> None:
    """Imports matplotlib, whatever backend another program has set in the environment.

    A notebook sets one for all that it starts, and where that is not installed, matplotlib cannot
    be imported. Plots of a report are only saved, which takes no backend. Whoever shows plots of
    their own in this process gets the one that was chosen.
    """
    if "matplotlib" in sys.modules:
        return
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    if backend:
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = backend


def in_order(study: Study, results: Sequence[RunResult]) -> list[RunResult]:
    """Every run once, as the tables have them: runs end in an order that no one can foresee."""
    from jmlp.results.tables.runs_by_configuration import collect

    index = RunIndex(results)
    arms = [arm for experiment in study.experiments for arm in collect(experiment, index)]
    known = {run.run_id: run for arm in arms for run in arm.runs.values()}
    return list((known | {run.run_id: run for run in results}).values())
