"""`jmlp microscope`: dropout, batch norm and the next step of a stored run, measured."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from jmlp.cli.hardware import Hardware
from jmlp.cli.output import Output
from jmlp.cli.runs import RUN
from jmlp.cli.store_option import StoreOption, find_one
from jmlp.inspection.microscope import texts
from jmlp.training.records import epoch_text

if TYPE_CHECKING:
    from jmlp.data.dataset import Dataset
    from jmlp.store.networks import Networks

WIDTH = 100  # columns of a mask
Epoch = Annotated[
    float | None,
    Parameter(help="The stored network nearest to this epoch; default: the one that is kept."),
]


def dropout(
    run: Annotated[str, RUN],
    /,
    *,
    epoch: Epoch = None,
    example: Annotated[
        int, Parameter(help="The number of the example in each mini-batch, from 0.")
    ] = 0,
    stored: StoreOption = StoreOption(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> None:
    """Print which units a run drops next, and the mean over many keys against no dropout."""
    networks, dataset, index = _opened(run, epoch, stored, out)
    from jmlp.inspection.microscope.dropout import dropout_view

    view = dropout_view(networks, dataset, index, example)
    masks = texts.masks_sentences(view) if out.plain else texts.masks_lines(view, WIDTH)
    _print(view, networks, index, [*masks, *texts.keys_lines(view)], out)


def batch_norm(
    run: Annotated[str, RUN],
    /,
    *,
    epoch: Epoch = None,
    stored: StoreOption = StoreOption(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> None:
    """Print the statistics of the batch, the running ones, and those that predictions need."""
    networks, dataset, index = _opened(run, epoch, stored, out)
    from jmlp.inspection.microscope.batch_norm import batch_norm_view

    view = batch_norm_view(networks, dataset, index)
    _print(view, networks, index, texts.norm_lines(view), out)


def step(
    run: Annotated[str, RUN],
    /,
    *,
    epoch: Epoch = None,
    stored: StoreOption = StoreOption(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> None:
    """Print the cost along the next step, the sharpness, and the noise of the gradient."""
    networks, dataset, index = _opened(run, epoch, stored, out)
    from jmlp.inspection.microscope.step import step_view

    view = step_view(networks, dataset, index)
    _print(view, networks, index, texts.step_lines(view), out)


def sizes(
    study: Annotated[str, Parameter(help="The name of a stored study that varies the batch size.")],
    /,
    *,
    stored: StoreOption = StoreOption(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> None:
    """Print noise scale, signal-to-noise ratio and sharpness beside the accuracy of each size."""
    Hardware(device="cpu", cores=1).start(out.say)
    from jmlp.inspection.microscope.sizes import sizes

    found = sizes(stored.folder(), study, out.say)
    if out.json:
        _print_json(found, out)
    else:
        _print_lines(texts.sizes_lines(found))


def _opened(
    run: str, epoch: float | None, stored: StoreOption, out: Output
) -> "tuple[Networks, Dataset, int]":
    """The networks of a run, its data, and the index of the chosen network.

    Raises:
        DataError: the data cannot be loaded, or have changed.
        StoreError: there is no such run, or it has no networks.
    """
    Hardware(device="cpu", cores=1).start(out.say)
    from jmlp.inspection.compute import data_of
    from jmlp.store import networks

    with stored.open(viewer=True) as store:
        found = networks.read(store, find_one(store, run).run_id)
    return found, data_of(found, out.say), found.index_of(epoch)


def _print(view: Any, networks: "Networks", index: int, lines: Sequence[str], out: Output) -> None:
    if out.json:
        _print_json(view, out)
        return
    hp = networks.hyperparams
    sizes = "-".join(map(str, hp.hidden))
    epoch = epoch_text(networks.epochs[index])
    print(f"run {networks.run_id[:8]} (hidden {sizes}), seed {networks.seed}, after epoch {epoch}")
    _print_lines(lines)


def _print_json(found: Any, out: Output) -> None:
    from jmlp.inspection.inside import as_json
    from jmlp.results import serialization

    out.print_json(serialization.strict(as_json(found)))


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)
