"""`jmlp import`: reads a network of another program, and writes it as one of jmlp's."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from jmlp.cli.hardware import Hardware
from jmlp.cli.output import Output
from jmlp.cli.paths import as_path
from jmlp.cli.table_flags import TableFlags
from jmlp.study import data_names
from jmlp.study.rules import BatchNormPlace
from jmlp.system import files

if TYPE_CHECKING:
    from jmlp.exchange.found import Reading
    from jmlp.exchange.reading import Imported, Scored


def import_(
    file: Annotated[
        Path,
        Parameter(
            converter=as_path,
            help="A state dict of PyTorch (.safetensors, .pt, .pth), a model of Keras (.keras), or "
            "weights and biases of NumPy (.npz).",
        ),
    ],
    /,
    *,
    output: Annotated[
        Path,
        Parameter(
            name=("--output", "-o"),
            converter=as_path,
            help="The file of the network (safetensors), for jmlp predict and jmlp.load.",
        ),
    ],
    data: Annotated[
        str, Parameter(help=f"The data that the network is for. {data_names.HELP}")
    ] = "mnist",
    table: TableFlags = TableFlags(),  # noqa: B008 - frozen
    activation: Annotated[
        str | None,
        Parameter(
            help="The activation function of the hidden layers, as in relu; or one per layer, as "
            "in tanh,relu. Needed where the file does not say it: all but .keras."
        ),
    ] = None,
    batch_norm_place: Annotated[
        BatchNormPlace | None,
        Parameter(
            help="Of PyTorch: batch norm before or after the activation. Default: as the numbers "
            "of the modules say, else before."
        ),
    ] = None,
    examples: Annotated[
        Literal["rows", "columns"] | None,
        Parameter(
            help="Of NumPy: whether examples are rows (Z = X W) or columns (Z = W X). Needed only "
            "if all weights are square."
        ),
    ] = None,
    raw: Annotated[
        bool,
        Parameter(
            negative=(),
            help="The network takes pixels from 0 to 255, or the values of a table unscaled.",
        ),
    ] = False,
    mean: Annotated[
        float,
        Parameter(help="The network takes (x - mean) / std, as after transforms.Normalize."),
    ] = 0.0,
    std: Annotated[float, Parameter(help="See --mean.")] = 1.0,
    force: Annotated[
        bool, Parameter(name=("--force", "-f"), negative=(), help="Replace an existing file.")
    ] = False,
    hardware: Hardware = Hardware(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> None:
    """Read a network of PyTorch, Keras or NumPy, and write it as one of jmlp's."""
    from jmlp.cli.data import table_options

    options = table_options(data, table)
    target = files.user_file(output, "--output", force=force)
    hardware.start(out.say)
    from jmlp import data as datasets
    from jmlp.exchange import reading
    from jmlp.exchange.found import Told

    told = Told(_names(activation), batch_norm_place, examples)
    reading.check_told(file, told, raw=raw, mean=mean, std=std)  # before data are fetched
    dataset = datasets.load(data, out.say, options)
    imported = reading.read(file, dataset, told, raw=raw, mean=mean, std=std)
    scored = reading.score(imported)
    imported.network.save(target)
    if out.json:
        out.print_json(_record(imported, scored, output))
        return
    for line in _lines(file, imported, scored):
        print(line)
    if scored.is_doubtful:
        out.say(
            "warning: that is little: if the network did better where it was trained, check its "
            "activation function (--activation), the scale of its inputs (--raw, --mean, --std), "
            "and the order of the classes"
        )
    out.say(f"wrote {output}")


def _names(text: str | None) -> Any:
    """The activation functions in an option; `read` checks them."""
    if text is None or "," not in text:
        return text
    return tuple(name.strip() for name in text.split(","))


def _lines(file: Path, imported: "Imported", scored: "Scored") -> Iterator[str]:
    from jmlp.data.files import shown

    network = imported.network
    sizes = (network.contract.n_in, *network.hyperparams.hidden, network.n_classes)
    yield f"{shown(file)}: {imported.program}, {'-'.join(map(str, sizes))}, {_form(imported)}"
    yield from _table(imported.readings)
    for note in imported.notes:
        yield f"note: {shown(note)}"
    yield (
        f"{scored.accuracy:.2%} of the {scored.n:,} {scored.part} examples of "
        f"{imported.dataset.name} are classified correctly, mean cost {scored.cost:.4f}"
    )


def _form(imported: "Imported") -> str:
    hp = imported.network.hyperparams
    names = hp.activation if isinstance(hp.activation, tuple) else (hp.activation,)
    norm = f"batch norm {hp.batch_norm_place} the activation" if hp.batch_norm else "no batch norm"
    return f"{', '.join(map(str, names))}, {norm}"


def _table(readings: "Sequence[Reading]") -> Iterator[str]:
    """A line for each array, in columns."""
    from jmlp.data.files import shown

    rows = [
        (shown(one.name), " x ".join(map(str, one.shape)), one.dtype, one.meaning)
        for one in readings
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        yield f"  {'  '.join(cells)}".rstrip()


def _record(imported: "Imported", scored: "Scored", output: Path) -> dict[str, Any]:
    from dataclasses import asdict

    hp, network = imported.network.hyperparams, imported.network
    return {
        "file": str(output),
        "program": imported.program,
        "sizes": [network.contract.n_in, *hp.hidden, network.n_classes],
        "activation": hp.activation,
        "batch_norm": hp.batch_norm_place if hp.batch_norm else None,
        "arrays": [{**asdict(one), "shape": list(one.shape)} for one in imported.readings],
        "notes": list(imported.notes),
        "data": imported.dataset.name,
        "part": scored.part,
        "examples": scored.n,
        "accuracy": scored.accuracy,
        "cost": scored.cost,
    }
