"""`jmlp export`: writes stored runs to files for other programs."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from jmlp.cli.extras import needs
from jmlp.cli.output import Output
from jmlp.cli.paths import as_path
from jmlp.cli.runs import RUNS
from jmlp.cli.store_option import StoreOption, find
from jmlp.client.texts import SHORT_ID, configuration_texts, short_ids
from jmlp.errors import ConfigError, StoreError
from jmlp.system import files

if TYPE_CHECKING:
    from jmlp.store import RunRow, Store
    from jmlp.training.records import RunResult

Format = Literal["json", "csv", "parquet", "safetensors", "pytorch", "onnx", "tensorboard"]
NETWORKS = ("safetensors", "pytorch", "onnx")
SUFFIXES = {"safetensors": ".safetensors", "onnx": ".onnx"}  # of forms with a file per run
FOLDERS = ("tensorboard", "pytorch")  # forms with a folder per run
EVENTS = "events.out.tfevents.jmlp"  # in a folder by whose name TensorBoard shows the run
MAX_NAME_LENGTH = 100  # of a run's file, before its seed and id


def export(
    runs: Annotated[list[str], RUNS],
    /,
    *,
    as_: Annotated[Format, Parameter(name="--as", help="What to write.")],
    output: Annotated[
        Path,
        Parameter(
            name=("--output", "-o"),
            converter=as_path,
            help="The file; the folder for pytorch and tensorboard, and for safetensors and onnx "
            "of several runs.",
        ),
    ],
    force: Annotated[
        bool, Parameter(name=("--force", "-f"), negative=(), help="Replace existing files.")
    ] = False,
    store: StoreOption = StoreOption(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> None:
    """Write completed runs, with their costs, to files for other programs."""
    folder = as_ in FOLDERS or (as_ in SUFFIXES and output.suffix != SUFFIXES[as_])
    if folder and os.path.exists(output) and not output.is_dir():
        raise StoreError(f"{output}: is a file; give --output the name of a folder")
    target = output if folder else files.user_file(output, "--output", force=force)
    with store.open(viewer=True) as opened:
        rows = _ended(opened, find(opened, runs), out)
        if as_ in NETWORKS:
            rows = _trained(rows, out)
            if not folder and len(rows) > 1:
                raise ConfigError(
                    f"--output {output}: a file holds one network, but there are {len(rows)}; "
                    "give the name of a folder"
                )
        targets = [output / name for name in _names(rows, as_)] if folder else [target]
        if folder and not force:
            _check_folder(output, targets)
        if as_ in NETWORKS:
            contents = _networks(as_, opened, rows, targets)
        elif as_ == "tensorboard":
            contents = _event_files(opened, rows)
        else:
            contents = iter([_table(as_, opened, rows)])
        files.write_together(zip(targets, contents, strict=True))
        if out.json:
            written = targets if folder else [output]
            out.print_json({"runs": [row.run_id for row in rows], "files": list(map(str, written))})
        else:
            out.say(f"wrote {output}: {_count(len(rows))}")


def _networks(
    as_: Format, store: "Store", rows: Sequence["RunRow"], targets: Sequence[Path]
) -> Iterator[bytes]:
    """The content of the files of each run's network; safetensors is as `jmlp train --save`.

    Raises:
        CheckpointError: a run's file is damaged.
        ConfigError: the package onnx is needed, and not installed.
        StoreError: what is stored about the data is incomplete, or a network is too large.
    """
    from jmlp.client.stored_data import read_data
    from jmlp.results import weights
    from jmlp.store import run_files
    from jmlp.store.paths import path_of

    for index, row in enumerate(rows):
        data = read_data(store.about_run(row.run_id)["data"], row.run_id[:SHORT_ID])
        stored = run_files.read(path_of(store.folder, row.run_id))
        if as_ == "safetensors":
            yield weights.stored_content(targets[index], stored, data.contract)
            continue
        from jmlp.exchange import onnx_model, operations, pytorch

        network = operations.of_network(weights.of_stored(stored, data.contract))
        if as_ == "pytorch":
            yield from pytorch.files(network).values()
        else:
            with needs("onnx", "--as onnx"):
                yield onnx_model.content(network)


def _event_files(store: "Store", rows: Sequence["RunRow"]) -> Iterator[bytes]:
    """The content of one event file per run."""
    from jmlp.cli.export_tensorboard import event_file

    for row in rows:
        yield event_file(row, store.points(row.run_id))


def _table(as_: Format, store: "Store", rows: Sequence["RunRow"]) -> bytes:
    from jmlp.cli import export_tables

    results = [_result(store, row) for row in rows]
    if as_ == "parquet":
        return export_tables.parquet(store, rows, results)
    if as_ == "csv":
        return export_tables.csv(store, rows, results)
    return export_tables.json(store, rows, results)


def _result(store: "Store", row: "RunRow") -> "RunResult":
    assert row.result is not None
    return replace(row.result, costs=store.points(row.run_id))


def _ended(store: "Store", rows: Sequence["RunRow"], out: Output) -> list["RunRow"]:
    """The runs that have a result.

    Raises:
        StoreError: none has, or the file of one disagrees with the database.
    """
    ended = [row for row in rows if row.result is not None]
    if not ended:
        raise StoreError(f"nothing to export: none of {_count(len(rows))} has ended")
    for row in ended:
        assert row.result is not None
        store.confirm(row.result)
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
            "nothing to export: every run diverged, so there is no network to predict with"
        )
    if len(trained) < len(rows):
        out.say(f"left out: {_count(len(rows) - len(trained))} diverged")
    return trained


def _names(rows: Sequence["RunRow"], as_: Format) -> Iterator[str]:
    """The names of each run's files in the folder: its configuration, seed and id."""
    ids, texts = short_ids([row.run_id for row in rows]), configuration_texts(rows)
    for row in rows:
        words = re.sub(r"[^A-Za-z0-9.]+", "-", texts[row.run_id]).strip("-.")[:MAX_NAME_LENGTH]
        name = f"{words}-seed-{row.seed}-{ids[row.run_id]}"
        if as_ == "tensorboard":
            yield f"{name}/{EVENTS}"
        elif as_ == "pytorch":
            from jmlp.exchange.pytorch import NAMES

            yield from (f"{name}/{part}" for part in NAMES)
        else:
            yield f"{name}{SUFFIXES[as_]}"


def _check_folder(output: Path, targets: Sequence[Path]) -> None:
    """Checks that a folder contains no files except those of an earlier export of the same runs.

    Raises:
        StoreError: it contains other files, or cannot be listed.
    """
    own = {target.relative_to(output).parts[0] for target in targets}
    try:
        names = os.listdir(output) if os.path.exists(output) else []
    except OSError as error:
        raise StoreError(f"{output}: cannot be written: {error.strerror}") from error
    if any(name not in own and not files.is_leftover(name) for name in names):
        raise StoreError(
            f"{output}: already contains files; give another folder (--output PATH), or write into "
            "it anyway (--force)"
        )


def _count(n: int) -> str:
    return "1 run" if n == 1 else f"{n} runs"
