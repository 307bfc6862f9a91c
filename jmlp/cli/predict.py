"""`jmlp predict`: classifies a user's image, or rows of a table, with a trained network."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from jmlp.cli.hardware import Hardware
from jmlp.cli.output import Output
from jmlp.cli.paths import as_path
from jmlp.cli.store_option import StoreOption, find_one
from jmlp.errors import CheckpointError, ConfigError
from jmlp.study import mistakes
from jmlp.study.rules import plain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from jmlp.data.columns import Column
    from jmlp.data.contract import Contract
    from jmlp.data.image import Picture
    from jmlp.results.weights import Network

BAR_WIDTH = 40
PICTURE_WIDTH = 32  # columns, at most
SHADES, PLAIN_SHADES = " ░▒▓█", " .+*#"  # from black to white


def predict(
    network: Annotated[
        Path,
        Parameter(
            converter=as_path,
            help="A network saved by jmlp train --save or jmlp import, or a stored run: the first "
            "digits of its id, a tag, or last.",
        ),
    ],
    image: Annotated[
        str | None,
        Parameter(
            help="A picture (PNG, JPEG) or an array (.npy). For a network trained on a table: a "
            "table, an array of its features, or the values of one row, as in bill=39.1 "
            "island=Biscoe. For a network trained on points, such as moons: its numbers, as in "
            "0.5,-1."
        ),
    ] = None,
    /,
    *values: Annotated[str, Parameter(help="Further values of that row.")],
    invert: Annotated[
        bool,
        Parameter(negative=(), help="Take light areas for ink instead of dark ones, or reversed."),
    ] = False,
    as_is: Annotated[
        bool | None,
        Parameter(
            help="Only scale the picture, without finding, cropping and centring the ink. The "
            "default for a network whose training data are not strokes of one size on plain paper."
        ),
    ] = None,
    every: Annotated[
        bool,
        Parameter(
            negative=(),
            help="Of a stored run: ask all of its networks, the snapshots, the best and the last.",
        ),
    ] = False,
    seeds: Annotated[
        bool,
        Parameter(
            negative=(),
            help="Of a stored run: ask the runs of its configuration with all seeds as well.",
        ),
    ] = False,
    stored: StoreOption = StoreOption(),  # noqa: B008 - frozen
    hardware: Hardware = Hardware(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> None:
    """Classify an image or the rows of a table, and print how certain the network is."""
    if image is None:
        raise ConfigError(
            f"{network}: give what to classify: a picture (PNG, JPEG) or an array (.npy); for a "
            "network trained on a table, a table or the values of one row, as in bill=39.1 "
            "island=Biscoe; for one trained on points, its numbers, as in 0.5,-1"
        )
    if not image:
        raise ConfigError("a path: must not be empty; the current folder is .")
    hardware.start(out.say)
    if every or seeds:
        from jmlp.cli.predict_all import predict_all

        if _is_path(network):
            flag = "--every" if every else "--seeds"
            raise ConfigError(f"{flag}: {network} is a file, which has one network: give a run")
        predict_all(
            str(network),
            (image, *values),
            stored,
            out,
            every=every,
            seeds=seeds,
            invert=invert,
            as_is=as_is,
        )
        return
    found = _find(network, stored)
    if found.contract.is_table:
        _predict_rows(network, found, (image, *values), out)
    else:
        picture = read_example(network, (image, *values), found.contract, invert, as_is)
        _predict_picture(network, found, picture, " ".join((image, *values)), out)


def read_example(
    network: object,
    arguments: Sequence[str],
    contract: "Contract",
    invert: bool,
    as_is: bool | None,
) -> "Picture":
    """The example in the arguments: a picture or an array in a file, or the numbers of a row.

    Raises:
        ConfigError: there are further arguments, or other numbers than the network takes.
        DataError: the file cannot be read, see `read_picture`.
    """
    from jmlp.data.image import picture_of, read_picture

    if contract.row and not arguments[0].lower().endswith(".npy"):
        return picture_of(_numbers(arguments, contract), contract, "the row")
    if len(arguments) > 1:
        raise ConfigError(
            f"{plain(arguments[1])}: {network} was not trained on a table; give it one picture or "
            "array"
        )
    return read_picture(Path(arguments[0]), contract, invert=invert, as_is=as_is)


def _numbers(arguments: Sequence[str], contract: "Contract") -> "NDArray[np.float32]":
    """The numbers of one row without names, given as 0.5,-1 or as 0.5 -1: `(n_in,)`.

    Raises:
        ConfigError: they are not as many finite numbers as the network has inputs.
    """
    import numpy as np

    text = " ".join(arguments)
    try:
        row = np.array([float(number) for number in text.replace(",", " ").split()], np.float32)
    except ValueError:
        row = np.zeros(0, np.float32)
    if len(row) != contract.n_in or not np.isfinite(row).all():
        raise ConfigError(
            f"{plain(text)}: the network takes rows of {contract.n_in} numbers: give as many, as "
            f"in {','.join(['0.5'] * min(contract.n_in, 2))}{',…' * (contract.n_in > 2)}, or an "
            "array (.npy)"
        )
    return row


def _is_path(name: Path) -> bool:
    """Whether a name is that of a file, and not of a stored run."""
    return os.path.lexists(name) or os.sep in str(name) or bool(name.suffix)


def _find(name: Path, stored: StoreOption) -> "Network":
    """The network of a file or of a stored run.

    Raises:
        CheckpointError: there is no such file, or it cannot be used.
        ConfigError: the name refers to several runs.
        StoreError: the store cannot be read.
    """
    from jmlp.client.stored_data import read_data
    from jmlp.results import weights
    from jmlp.store import run_files

    if _is_path(name) or not stored.folder().is_dir():
        return weights.load(name)
    with stored.open(viewer=True) as store:
        row = find_one(store, str(name))
        if row.result is None or row.result.status == "diverged":
            raise CheckpointError(f"run {row.run_id[:8]}: {row.state}: it has no network to use")
        contract = read_data(store.about_run(row.run_id)["data"], row.run_id[:8]).contract
        return weights.of_stored(
            run_files.read(run_files.path_of(store.folder, row.run_id)), contract
        )


def _probabilities(
    name: Path, network: "Network", x: "NDArray[Any]", what: str
) -> "NDArray[np.float32]":
    """The probability of each class for examples `(N, n_in)`: `(N, C)`.

    Raises:
        CheckpointError: an output is not finite.
    """
    import numpy as np
    from scipy.special import softmax

    from jmlp.nn import model
    from jmlp.system import numerics

    with numerics.pinned():
        logits = np.asarray(model.predict(network.params, network.state, x))
    if not np.isfinite(logits).all():
        raise CheckpointError(
            f"{name}: its parameters are too large: the output for {what} is not finite; train it "
            "again"
        )
    return np.asarray(softmax(logits, axis=1))


def _predict_rows(name: Path, network: "Network", arguments: Sequence[str], out: Output) -> None:
    """Classifies the rows of a table, or one row given by its values."""
    from jmlp.data.files import shown

    contract = network.contract
    rows, source = read_rows(arguments)
    x, true = contract.inputs_of(rows, source), _labels(contract, rows)
    what = "the row" if len(x) == 1 else "some rows"
    cautions = [*contract.unusual(x), *_made_with(name, network)]
    probabilities = _probabilities(name, network, x, what)
    names = contract.class_names
    answers = [names[index] for index in probabilities.argmax(axis=1)]
    if out.json:
        out.print_json(
            {
                "classes": list(names),
                "rows": [
                    {"class": answer, "probabilities": [float(p) for p in row]}
                    for answer, row in zip(answers, probabilities, strict=True)
                ],
                "cautions": cautions,
            }
        )
        return
    for number, (answer, row) in enumerate(zip(answers, probabilities, strict=True), start=1):
        print(f"row {number}: {shown(answer)} ({row.max():.1%})")
    if len(answers) == 1 and not out.quiet:
        for line in _bars(names, probabilities[0], out.plain):
            print(line)
    if true is not None and contract.columns is not None:
        n_right = sum(a == b for a, b in zip(answers, true, strict=True))
        share, label = n_right / len(true), contract.columns.label
        out.say(f"{n_right:,} of {len(true):,} rows as in column {label} ({share:.1%})")
    for caution in cautions:
        out.say(f"warning: {caution}")


def read_rows(arguments: Sequence[str]) -> tuple[Any, str]:
    """Rows of a table as `Contract.inputs_of` takes them, and what they are.

    Args:
        arguments: the path of a table or an array, or the values of one row.

    Raises:
        ConfigError: an argument is not a value with its column.
        DataError: the file cannot be read.
    """
    from jmlp.data.files import shown
    from jmlp.data.npz import read_npy_file
    from jmlp.data.table_file import read_table

    path = Path(arguments[0])
    if len(arguments) > 1 or ("=" in arguments[0] and not arguments[0].lower().endswith(".npy")):
        return _row(arguments), "the row"
    if arguments[0].lower().endswith(".npy"):
        return read_npy_file(path), shown(path)
    return read_table(path), "rows"


def _labels(contract: "Contract", rows: Any) -> list[str] | None:
    """The labels in a table that was read from a file; None if it has none."""
    from jmlp.data.table import class_name
    from jmlp.data.table_file import RawTable

    assert contract.columns is not None
    if not isinstance(rows, RawTable):
        return None
    columns = [column for column in rows.columns if column.name == contract.columns.label]
    return [class_name(value) for value in columns[0].values] if columns else None


def _row(arguments: Sequence[str]) -> "dict[str, Any]":
    """The values of one row, by the names of their columns.

    Raises:
        ConfigError: an argument is not a name with a value, or a name is given twice.
    """
    values: dict[str, Any] = {}
    for argument in arguments:
        column, equals, text = argument.partition("=")
        if not equals or column in values:
            raise ConfigError(
                f"{plain(argument)}: give a table (.csv, .tsv, .parquet), or each value of a row "
                "once with its column, as in bill=39.1 island=Biscoe"
            )
        try:
            values[column] = float(text)
        except ValueError:
            values[column] = text
    return values


def _predict_picture(
    name: Path, network: "Network", picture: "Picture", what: str, out: Output
) -> None:
    """Classifies one picture, or one row without names, that was given as `what`."""
    contract = network.contract
    cautions = list(picture.cautions)
    if contract.dtype is None:
        cautions.append(
            f"{name} was written by an earlier version and does not record the range of its "
            "training data; pixels are scaled to 0-1"
        )
    cautions += _made_with(name, network)
    (probabilities,) = _probabilities(name, network, picture.x[None], what)
    answer = int(probabilities.argmax())
    names = contract.class_names
    if out.json:
        out.print_json(
            {
                "class": answer,
                **({"name": names[answer]} if contract.classes else {}),
                "probabilities": [float(p) for p in probabilities],
                "seen": (picture.x if contract.row else picture.seen).tolist(),
                "how": picture.how,
                "cautions": cautions,
            }
        )
        return
    print(f"{what}: {names[answer]} ({probabilities[answer]:.1%})")
    if not out.quiet:
        for line in _bars(names, probabilities, out.plain):
            print(line)
        print()
        for line in picture_lines(picture, contract, out.plain):
            print(line)
    for caution in cautions:
        out.say(f"warning: {caution}")


def _made_with(name: Path, network: "Network") -> list[str]:
    """The mistakes with which a network was trained on purpose."""
    return [
        f"{name} was trained with a mistake {where}: {mistake.name}"
        for mistake in mistakes.made_on_purpose(network.hyperparams)
        for where in ["in the backward pass" if mistake.checked else "in the training"]
    ]


def _bars(
    names: Sequence[str], probabilities: "NDArray[np.float32]", ascii_only: bool
) -> list[str]:
    """A line for each class, with its probability as a number and as a bar."""
    bar, width = "#" if ascii_only else "█", max(map(len, names))
    return [
        f"  {name:<{width}}  {p:6.1%}  {bar * round(p * BAR_WIDTH)}".rstrip()
        for name, p in zip(names, probabilities, strict=True)
    ]


def picture_lines(picture: "Picture", contract: "Contract", plain: bool) -> list[str]:
    """Lines that show a picture as read and as seen, or the numbers of a row that is none."""
    return _values(contract.row, picture) if contract.row else _side_by_side(picture, plain)


def _values(row: "Sequence[Column]", picture: "Picture") -> list[str]:
    """A line for each number of a row, which is no picture, as the network sees it."""
    from jmlp.data.columns import row_texts

    texts = row_texts(row, picture.x)
    names, numbers = (max(map(len, part)) for part in ([c.name for c in row], map(str, texts)))
    return [f"  {c.name:<{names}}  {t!s:>{numbers}}" for c, t in zip(row, texts, strict=True)]


def _side_by_side(picture: "Picture", plain: bool) -> list[str]:
    """Lines that show the picture as read and as the network sees it; light is a full block."""
    read, seen = _drawn(picture.read, plain), _drawn(picture.seen, plain)
    height, width = picture.read.shape
    left = f"  read: {width} x {height}"
    column = max(len(left), 2 + max(map(len, read))) + 3
    height, width = picture.seen.shape
    lines = [f"{left:<{column}}seen: {width} x {height}, {picture.how}"]
    for index in range(max(len(read), len(seen))):
        at_left = read[index] if index < len(read) else ""
        at_right = seen[index] if index < len(seen) else ""
        lines.append(f"  {at_left:<{column - 2}}{at_right}".rstrip())
    return lines


def has_unicode() -> bool:
    """Whether stdout can show all characters."""
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def _drawn(pixels: "NDArray[np.uint8]", plain: bool) -> list[str]:
    from math import ceil

    from tui.charts.picture import as_plane, shades, shrink

    plane = as_plane(pixels / 255.0, pixels.shape)
    lines = shades(shrink(plane, ceil(max(plane.shape) / PICTURE_WIDTH)))
    if plain or not has_unicode():
        lines = [line.translate(str.maketrans(SHADES, PLAIN_SHADES)) for line in lines]
    return lines
