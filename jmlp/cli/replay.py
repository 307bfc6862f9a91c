"""`jmlp replay`: writes one HTML page that plays a stored run or a study, snapshot by snapshot."""

import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace as changed
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from jmlp.cli.output import Output
from jmlp.cli.paths import as_path
from jmlp.cli.store_option import StoreOption, find_one
from jmlp.client.texts import SHORT_ID
from jmlp.errors import ConfigError, StoreError
from jmlp.study.rules import did_you_mean, is_name, plain
from jmlp.system import files

if TYPE_CHECKING:
    from jmlp.inspection.boundary_records import Boundary
    from jmlp.inspection.client import Inspector
    from jmlp.inspection.records import Inspection
    from jmlp.replay.content import Replay
    from jmlp.store import RunRow, Store

FOLDER = "replays"  # in the current folder
TRIES = 3  # a worker may save new networks of a run between two readings


def replay(
    name: Annotated[
        str, Parameter(help="The first digits of a run's id, a tag, last, or the name of a study.")
    ],
    /,
    *,
    experiment: Annotated[
        list[str] | None,
        Parameter(
            negative=(), help="Of a study, only this experiment; may be given several times."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        Parameter(
            name=("--output", "-o"),
            converter=as_path,
            help="The HTML file; default: replays/NAME.html, NAME the study or the run's id.",
        ),
    ] = None,
    force: Annotated[
        bool, Parameter(name=("--force", "-f"), negative=(), help="Replace an existing file.")
    ] = False,
    store: StoreOption = StoreOption(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> None:
    """Write one HTML page that plays a stored run or a study; nothing is trained."""
    with store.open(viewer=True) as opened:
        label = _study_of(opened, name)
        row = None if label is not None else find_one(opened, name)
        if row is not None and experiment:
            raise ConfigError(f"--experiment: {plain(name)} is a run; leave it out")
        file = label if row is None else row.run_id[:SHORT_ID]
        assert file is not None
        path = output or _default(file)
        target = files.user_file(path, "--output", force=force)
        made = (
            _of_study(opened, file, experiment or (), out)
            if row is None
            else _of_run(opened, row, out)
        )
        from jmlp.replay.page import page

        content = page(made).encode("utf-8")
        files.write_atomically(target, content)
        if out.json:
            shown = [network["run"] for network in made.data["networks"]]
            out.print_json({"file": str(path), "bytes": len(content), "networks": shown})
        out.say(f"replay: {path}, {len(content) / 1e6:.2f} MB")


def _default(name: str) -> Path:
    """The file if none is given.

    Raises:
        ConfigError: the name of the study fits no file.
    """
    if not is_name(name):
        raise ConfigError(f"{plain(name)}: not a valid name for a file; give one with --output")
    return Path(FOLDER) / f"{name}.html"


def _study_of(store: "Store", name: str) -> str | None:
    """The label of the study that a name means; None if it means runs.

    Raises:
        StoreError: it means nothing.
    """
    from jmlp.store.finding import ALL, LAST

    if name in (ALL, LAST):
        return None
    if any(name in row.tags for row in store.find_runs(name)):
        return None  # a tag comes first, as in all commands
    return name if any(row.label == name for row in store.studies()) else None


def _of_run(store: "Store", row: "RunRow", out: Output) -> "Replay":
    """The replay of a run.

    Raises:
        CheckpointError: a file of the run is missing or damaged.
        DataError: its data cannot be loaded, or have changed.
        StoreError: it has no networks yet.
    """
    from jmlp.inspection.client import Inspector
    from jmlp.replay.content import of_run

    with closing(Inspector(store.folder)) as inspector:
        inspection, boundary = _inspect(inspector, row.run_id, out)
        now = store.run(row.run_id)
        if now.ended_at != row.ended_at:  # meanwhile: its last networks are in another file
            inspection, boundary = _inspect(inspector, row.run_id, out)
    if now.result is not None:
        store.confirm(now.result)
    data = store.about_run(row.run_id)["data"]
    return of_run(now, store.points(row.run_id), inspection, boundary, data)


def _of_study(store: "Store", label: str, experiments: Sequence[str], out: Output) -> "Replay":
    """The replay of a study, or of some of its experiments.

    Raises:
        CheckpointError: a file of a run is missing or damaged.
        ConfigError: there is no such experiment.
        DataError: the data cannot be loaded, or have changed.
        StoreError: no run has ended yet.
    """
    row = store.study(label)
    results = store.results(label)
    if not results:
        raise StoreError(f"{plain(label)}: there is nothing to replay: no run has ended yet")

    from jmlp.client.stored_data import read_data
    from jmlp.inspection.client import Inspector
    from jmlp.replay.content import chosen_runs, of_study
    from jmlp.results.search import staged
    from jmlp.results.tables import study_tables
    from jmlp.study.file import parse_study
    from jmlp.training.plan import make_plan

    study = staged(parse_study(row.toml, label), results)
    data = read_data(row.data, label)
    tables = study_tables(study, results, data.facts)
    known = [experiment.name for experiment in study.experiments]
    for wanted in experiments:
        if wanted not in known:
            near = did_you_mean(wanted, known) or f"; it has {', '.join(known)}"
            raise ConfigError(f"--experiment: {plain(label)} has no {plain(wanted)}{near}")
    if experiments:
        kept = [k for k, experiment in enumerate(known) if experiment in experiments]
        study = changed(study, experiments=tuple(study.experiments[k] for k in kept))
        tables = tuple(tables[k] for k in kept)
        results = [run for run in results if set(run.experiments) & set(experiments)]
        if not results:
            raise StoreError(f"{plain(label)}: there is nothing to replay: no run has ended yet")
    n_runs = len(make_plan(study, data.facts).runs)
    if len(results) < n_runs:
        out.say(f"{len(results)} of {n_runs} runs have ended; the replay covers only those")
    chosen = chosen_runs(study, results)
    inspections = {}
    with closing(Inspector(store.folder)) as inspector:
        for number, run in enumerate(chosen, 1):
            out.say(f"networks of run {run.run_id[:SHORT_ID]}, {number} of {len(chosen)}")
            inspections[run.run_id] = _inspect(inspector, run.run_id, out)
    rows = {stored.run_id: stored for stored in store.runs(label)}
    return of_study(
        study, label, results, tables, rows, inspections, data.facts, data.source, row.toml
    )


def _inspect(
    inspector: "Inspector", run_id: str, out: Output
) -> "tuple[Inspection, Boundary | None]":
    """The inspection of a run, and its boundary if its inputs are two numbers.

    Raises:
        CheckpointError: a file of the run is missing or damaged.
        DataError: its data cannot be loaded, or have changed.
        StoreError: it has no networks yet, or has new ones whenever it is read.
    """
    for _ in range(TRIES):
        inspection = inspector.inspect(run_id, "validation", out.say, threading.Event())
        assert inspection is not None  # it is never stopped
        if not inspection.is_plane:
            return inspection, None
        boundary = inspector.boundary(run_id, out.say)
        if boundary is not None and boundary.epochs == inspection.epochs:
            return inspection, boundary
    raise StoreError(f"run {run_id[:SHORT_ID]}: was trained on while it was read: try again")
