"""The report folder of a study: raw results, tables, plots, and two documents that combine them.

Slow imports, such as matplotlib, are made only when a report is written.
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
    tables_csv,
    tables_json,
    tables_values,
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

PLOTS = "plots"  # the subfolder of the plots
PAGE = "report.html"  # written last: if it exists, all other files belong to it


def check_output(folder: Path, force: bool, of: str | None = None) -> None:
    """Create the folder of a report and check that it is writable, before hours of training.

    Args:
        folder: the folder of the report.
        force: whether a report may replace existing files.
        of: the name of a study whose own report may be replaced without `force`.

    Raises:
        StoreError: the folder cannot be created or written to, or it is not empty and `force` is
            False.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not force and not _is_free(folder) and not _is_report(folder, of):
            raise StoreError(
                f"{folder}: holds other files; give another folder (--output DIR), or write into "
                "it anyway (--force)"
            )
        # Only an attempt shows whether writing works: permissions do not cover quotas.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL
        reason = getattr(error, "strerror", None) or str(error)
        raise StoreError(
            f"{folder}: no report can be written there: {reason}; give another folder "
            "(--output DIR)"
        ) from error


def _is_free(folder: Path) -> bool:
    """Whether a folder is empty, apart from leftovers of a report that was killed while writing."""
    others = {name for name in os.listdir(folder) if not is_leftover(name)}
    plots = folder / PLOTS
    # Until the first file of a report is in place, plots exist only as leftovers.
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
    """Write the whole folder; if `report.html` exists, all other files belong to it.

    No file is moved into place before all of them are on disk; `report.html` is the last. If plots
    or documents cannot be created, the results are written without them. With `force` every file of
    the report is replaced; other files in the folder are kept.

    Args:
        folder: the folder of the report, created if missing.
        study: the study that was run.
        results: its runs, in any order.
        tables: the result of `jmlp.results.tables.study_tables` for these runs.
        facts: sizes and digests of the data.
        source: where the data came from, as shown to users.
        study_toml: the text of the expanded study file.
        command: the command that reproduces this report.
        force: whether the folder may already contain files.
        created: time of creation in UTC; default: now.

    Returns:
        The files, in the order in which they were written.

    Raises:
        StoreError: the folder is refused, or a file cannot be written; an older report is then
            unchanged, or lacks its `report.html`.
    """
    from jmlp.results.search import staged

    check_output(folder, force)
    study = staged(study, results)
    created = created or datetime.now(UTC)
    results = in_order(study, results)
    head = results_head(study, source, facts.digests, command, created)
    head["tables"] = tables_values(tables)
    raw = {
        "results.json": results_json(head, results),
        "results.csv": results_csv(results, [head["data"]] * len(results)),
        "tables.json": tables_json(head),
        "tables.csv": tables_csv(tables),
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
    """Writes the files of a report, given by name."""
    # Undecodable bytes of a command are surrogates, which UTF-8 cannot encode.
    named_bytes = (
        (
            folder / name,
            data if isinstance(data, bytes) else data.encode("utf-8", "backslashreplace"),
        )
        for name, data in files.items()
    )
    return write_together(named_bytes, last=folder / PAGE)


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
    """The plots and the documents that contain them, by name in the folder; the page last."""
    load_matplotlib()
    from jmlp.report.document import Document, made_with, make_section, summarise
    from jmlp.report.markdown import markdown
    from jmlp.report.page import page
    from jmlp.report.plots import experiment_plots

    files: dict[str, str | bytes] = {}
    sections = []
    for number, (experiment, table) in enumerate(zip(study.experiments, tables, strict=True), 1):
        # Names in a study file are valid file names; those of a study built in Python may not be.
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
    """Imports matplotlib independently of the backend set in the environment.

    A notebook sets a backend for all processes it starts; if it is not installed, matplotlib cannot
    be imported. The plots of a report are only saved, which needs no backend. Afterwards the chosen
    backend is in force again, for other plots shown by this process.
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
    """Every run once, in the order of the tables, since the order in which runs end is random."""
    from jmlp.results.tables.runs_by_configuration import collect

    index = RunIndex(results)
    arms = [arm for experiment in study.experiments for arm in collect(experiment, index)]
    known = {run.run_id: run for arm in arms for run in arm.runs.values()}
    return list((known | {run.run_id: run for run in results}).values())
