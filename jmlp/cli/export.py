"""`jmlp export`: stored runs as files that other programs read."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from jmlp.cli.output import Output
from jmlp.cli.runs import RUNS
from jmlp.cli.storing import StoreOption, find
from jmlp.control.words import SHORT_ID, configuration_texts, short_ids
from jmlp.errors import ConfigError, StoreError
from jmlp.places import write_atomically

if TYPE_CHECKING:
    from jmlp.results import RunResult
    from jmlp.store import RunRow, Store

Format = Literal["json", "csv", "parquet", "safetensors", "tensorboard"]
SUFFIX = ".safetensors"
LONGEST_NAME = 100  # of a run's file, before its seed and id


def export(
    runs: Annotated[list[str], RUNS],
    /,
    *,
    as_: Annotated[Format, Parameter(name="--as", help="What to write.")],
    output: Annotated[
        Path,
        Parameter(
            name=("--output", "-o"),
            help="The file; for safetensors and tensorboard the folder, with a file for each run.",
        ),
    ],
    force: Annotated[
        bool, Parameter(name=("--force", "-f"), negative=(), help="Replace files that are there.")
    ] = False,
    store: StoreOption = StoreOption(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> None:
    """Write runs that have ended, with their costs, for other programs."""
    folder = as_ == "tensorboard" or (as_ == "safetensors" and output.suffix != SUFFIX)
    _check_target(output, folder, force)
    with store.open(viewer=True) as opened:
        rows = _ended(find(opened, runs), out)
        if as_ == "safetensors":
            rows = _trained(rows, out)
            if not folder and len(rows) > 1:
                raise ConfigError(
                    f"--output {output}: one file holds one network, and there are {len(rows)}; "
                    "give the name of a folder"
                )
        if as_ == "safetensors":
            written = _networks(opened, rows, output, folder)
        elif as_ == "tensorboard":
            written = _event_files(opened, rows, output)
        else:
            write_atomically(output, _table(as_, opened, rows))
            written = [output]
        if out.json:
            out.print_json({"runs": [row.run_id for row in rows], "files": list(map(str, written))})
        else:
            out.say(f"wrote {output}: {_count(len(rows))}")


def _networks(store: "Store", rows: Sequence["RunRow"], output: Path, folder: bool) -> list[Path]:
    """Writes one network a run, each as `jmlp train --save` does.

    Raises:
        CheckpointError: a run's file is damaged.
        StoreError: what is stored of the data does not do, or nothing can be written.
    """
    from jmlp import weights
    from jmlp.control.stored_data import read_data
    from jmlp.store import run_files
    from jmlp.store.paths import path_of

    written = []
    for row, name in _named(rows):
        data = read_data(store.about_run(row.run_id)["data"], row.run_id[:SHORT_ID])
        target = output / f"{name}{SUFFIX}" if folder else output
        stored = run_files.read(path_of(store.folder, row.run_id))
        weights.save_stored(target, stored, data.image_shape, data.facts.n_classes)
        written.append(target)
    return written


def _event_files(store: "Store", rows: Sequence["RunRow"], output: Path) -> list[Path]:
    """Writes one event file a run, in a folder with the run's name."""
    from jmlp.cli.export_tensorboard import event_file

    written = []
    for row, name in _named(rows):
        target = output / name / "events.out.tfevents.jmlp"
        write_atomically(target, event_file(row, store.points(row.run_id)))
        written.append(target)
    return written


def _table(as_: Format, store: "Store", rows: Sequence["RunRow"]) -> bytes:
    from jmlp.cli import export_tables

    results = [_result(store, row) for row in rows]
    if as_ == "parquet":
        return export_tables.parquet(rows, results)
    return export_tables.csv(results) if as_ == "csv" else export_tables.json(store, rows, results)


def _result(store: "Store", row: "RunRow") -> "RunResult":
    assert row.result is not None
    return replace(row.result, costs=store.points(row.run_id))


def _ended(rows: Sequence["RunRow"], out: Output) -> list["RunRow"]:
    """The runs that have a result.

    Raises:
        StoreError: none has.
    """
    ended = [row for row in rows if row.result is not None]
    if not ended:
        raise StoreError(f"nothing to export: none of {_count(len(rows))} has ended")
    if len(ended) < len(rows):
        out.say(f"left out: {_count(len(rows) - len(ended))} not ended")
    return ended


def _trained(rows: Sequence["RunRow"], out: Output) -> list["RunRow"]:
    """The runs that have a network to predict with.

    Raises:
        StoreError: none has.
    """
    trained = [row for row in rows if row.state != "diverged"]
    if not trained:
        raise StoreError(
            "nothing to export: every run diverged, and has no network to predict with"
        )
    if len(trained) < len(rows):
        out.say(f"left out: {_count(len(rows) - len(trained))} diverged")
    return trained


def _named(rows: Sequence["RunRow"]) -> Iterator[tuple["RunRow", str]]:
    """Each run with a name that people know it by, and that fits a file."""
    ids, texts = short_ids([row.run_id for row in rows]), configuration_texts(rows)
    for row in rows:
        words = re.sub(r"[^A-Za-z0-9.]+", "-", texts[row.run_id]).strip("-.")[:LONGEST_NAME]
        yield row, f"{words}-seed-{row.seed}-{ids[row.run_id]}"


def _check_target(output: Path, folder: bool, force: bool) -> None:
    """Tells at once that nothing can be written there, or may.

    Raises:
        StoreError: with the reason.
    """
    try:
        if folder:
            if output.exists() and not output.is_dir():
                raise StoreError(f"{output}: is a file; give --output the name of a folder")
            if not force and output.exists() and any(output.iterdir()):
                raise StoreError(
                    f"{output}: holds files already; give another folder (--output PATH), or "
                    "write into it all the same (--force)"
                )
        elif output.is_dir():
            raise StoreError(f"{output}: is a folder; give --output the name of a file")
        elif not force and output.exists():
            raise StoreError(
                f"{output}: exists; give another name (--output PATH), or replace it (--force)"
            )
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL
        reason = getattr(error, "strerror", None) or str(error)
        raise StoreError(f"{output}: cannot be written: {reason}") from error


def _count(n: int) -> str:
    return "1 run" if n == 1 else f"{n} runs"
