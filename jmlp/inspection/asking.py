"""Asks every stored network of some runs about one example: a drawing, a picture, or a row.

The networks are kept in memory for the next question, because whoever draws asks several times
a second.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from jmlp.client.stored_data import read_data
from jmlp.data.contract import Contract
from jmlp.data.dataset import Labels, Pixels
from jmlp.data.image import Picture, picture_of, read_picture
from jmlp.errors import CheckpointError, StoreError
from jmlp.inspection.answers import (
    Answers,
    Floats,
    LeftOut,
    RunAnswers,
    from_bytes,
    to_bytes,
    to_table,
)
from jmlp.inspection.compute import data_of
from jmlp.nn import model
from jmlp.results.weights import restore
from jmlp.store import RunRow, Store, networks
from jmlp.store.states import RunState
from jmlp.system import numerics

MOST_BYTES = 500_000_000  # of networks that are kept in memory

Network = tuple[model.Params, model.State]


@dataclass(frozen=True, eq=False)
class Asked:
    """A run with its networks on the device."""

    run_id: str
    key: str  # of the file that was read, see `networks.key_of`
    seed: int
    state: RunState
    contract: Contract
    epochs: tuple[float, ...]
    best: int | None
    diverged_at: int | None
    networks: tuple[Network, ...]  # one per epoch

    @property
    def n_bytes(self) -> int:
        """The size of the networks in memory."""
        return sum(leaf.nbytes for leaf in jax.tree.leaves(self.networks))


class Kept:
    """The runs that were asked last, until their networks take more than `MOST_BYTES`."""

    def __init__(self) -> None:
        """Starts empty."""
        self._known: dict[tuple[Path, str], Asked] = {}  # the least recently asked one first

    def read(self, store: Store, row: RunRow) -> Asked:
        """The networks of a run as they are stored now.

        Raises:
            CheckpointError: a file of the run is missing or damaged.
            StoreError: it has no networks yet, or they do not fit its data.
        """
        known = self._known.pop((store.folder, row.run_id), None)
        if known is None or known.key != networks.key_of(store, row.run_id):
            known = read(store, row)
        elif known.state != row.state:
            known = replace(known, state=row.state)
        self._known[store.folder, row.run_id] = known
        sizes = [one.n_bytes for one in self._known.values()]
        while sum(sizes) > MOST_BYTES and len(sizes) > 1:
            del self._known[next(iter(self._known))], sizes[0]
        return known


def read(store: Store, row: RunRow) -> Asked:
    """The networks of a run, and what they take.

    Raises:
        CheckpointError: a file of the run is missing or damaged.
        StoreError: it has no networks yet, or they do not fit its data.
    """
    stored = networks.read(store, row.run_id)
    contract = row.result.contract if row.result is not None else None
    if contract is None:  # not a table; or in training, when its scale is not stored yet
        contract = read_data(stored.data, f"run {row.run_id[:8]}").contract
    if contract.is_table and contract.scale is None:
        raise StoreError(
            f"run {row.run_id[:8]}: the means and spreads of its table are stored when it ends: "
            "try again then"
        )
    try:
        restored = [
            restore(tensors, stored.hyperparams, contract.n_in, contract.n_classes)
            for tensors in stored.tensors
        ]
    except ValueError as error:
        raise StoreError(f"run {row.run_id[:8]} does not fit its data: {error}") from error
    return Asked(
        row.run_id,
        stored.key,
        row.seed,
        row.state,
        contract,
        stored.epochs,
        stored.best,
        stored.diverged_at,
        tuple(jax.tree.map(jnp.asarray, network) for network in restored),
    )


def gather(
    store: Store, rows: Sequence[RunRow], kept: Kept | None = None
) -> tuple[list[Asked], list[LeftOut]]:
    """The runs whose networks can be asked together, and the others.

    Args:
        store: of the runs.
        rows: the runs; what the first of them with networks takes decides.
        kept: the networks that are in memory already.

    Raises:
        CheckpointError: the file of the only run is missing or damaged.
        StoreError: none of the runs has networks.
    """
    kept = kept or Kept()
    asked: list[Asked] = []
    left_out: list[LeftOut] = []
    errors: list[CheckpointError | StoreError] = []
    for row in rows:
        try:
            one = kept.read(store, row)
        except (CheckpointError, StoreError) as error:
            errors.append(error)
            left_out.append(LeftOut(row.run_id, row.seed, str(error)))
            continue
        if asked and _form(one.contract) != _form(asked[0].contract):
            why = f"run {row.run_id[:8]} was trained on other data"
            left_out.append(LeftOut(row.run_id, row.seed, why))
        else:
            asked.append(one)
    if not asked:
        if errors:
            raise errors[0]
        raise StoreError(f"{store.folder}: there are no runs to ask")
    return asked, left_out


def _form(contract: Contract) -> Contract:
    """A contract without what depends on the split: the scale of a table."""
    return replace(contract, scale=None)


@numerics.pinned_call
def answers(
    asked: Sequence[Asked],
    inputs_of: Callable[[Contract], NDArray[Any]],
    left_out: Sequence[LeftOut] = (),
) -> Answers:
    """What every network says of one example.

    Args:
        asked: runs whose networks take the same examples.
        inputs_of: returns the example, `(1, n_in)`, as the networks with that contract take it.
        left_out: runs that could not be asked.
    """
    runs = []
    for run in asked:
        x = jnp.asarray(inputs_of(run.contract))
        # One by one, so that each number is the one that `jmlp.predict` gives.
        logits = np.concatenate([np.asarray(_logits(*network, x)) for network in run.networks])
        found: Floats = np.full(logits.shape, np.nan)
        finite = np.isfinite(logits).all(axis=1)
        found[finite] = softmax(logits[finite], axis=1)
        runs.append(
            RunAnswers(
                run.run_id,
                run.seed,
                run.state,
                run.epochs,
                run.best,
                run.diverged_at,
                found,
            )
        )
    return Answers(asked[0].contract.class_names, tuple(runs), tuple(left_out))


_logits = jax.jit(model.predict)


# ---- requests of the app


class Drawings:
    """Answers the app's questions about drawings, files and examples of the data."""

    def __init__(self) -> None:
        """Reads nothing yet."""
        self._kept = Kept()
        self._examples: tuple[object, tuple[Pixels, Labels]] | None = None  # of which run

    def answer(self, request: Mapping[str, Any], say: Callable[[str], None]) -> dict[str, Any]:
        """The answer to a request, as JSON values.

        Args:
            request: the "store", the "run_ids", and what they are asked about: a drawing, light ink
                on dark paper ("pixels", see `to_bytes`), a "path", or the number of an "example" of
                the validation part; and "as_is", see `read_picture`.
            say: called with one line for each slow step.

        Raises:
            CheckpointError: the file of the only run is missing or damaged.
            DataError: the picture cannot be read, or is blank; or the data cannot be loaded.
            StoreError: none of the runs has networks.
        """
        with Store(Path(request["store"]), viewer=True) as store:
            rows = [store.run(run_id) for run_id in request["run_ids"]]
            asked, left_out = gather(store, rows, self._kept)
            contract = asked[0].contract
            if "example" in request:
                picture = self._example(store, asked[0], request["example"], say)
            elif "path" in request:
                picture = read_picture(Path(request["path"]), contract, as_is=request["as_is"])
            else:
                pixels = from_bytes(request["pixels"])
                picture = read_drawing(pixels, contract, as_is=request["as_is"])
        found = answers(asked, lambda _: picture.x[None], left_out)
        return {
            "answers": to_table(found),
            "read": to_bytes(shrunk(picture.read)),
            "seen": to_bytes(picture.seen),
            "how": picture.how,
            "cautions": list(picture.cautions),
        }

    def _example(
        self, store: Store, run: Asked, number: int, say: Callable[[str], None]
    ) -> Picture:
        """An example of the validation part of a run; after the last comes the first again."""
        which = store.folder, run.run_id, run.key
        if self._examples is None or self._examples[0] != which:
            stored = networks.read(store, run.run_id)
            dataset = data_of(stored, say)
            _, rows = dataset.split(stored.split_seed, stored.validation_fraction)
            self._examples = which, (dataset.x_train[rows], dataset.y_train[rows])
        x, y = self._examples[1]
        at = number % len(y)
        array = x[at].reshape(run.contract.image_shape)
        picture = picture_of(array, run.contract, f"example {at}", as_is=True)
        name = run.contract.class_names[int(y[at])]
        how = f"example {at:,} of the validation part, class {name}"
        # An example that differs from most others is one of the data all the same.
        return replace(picture, read=picture.seen, how=how, cautions=())


def read_drawing(
    pixels: NDArray[np.uint8], contract: Contract, *, as_is: bool | None = None
) -> Picture:
    """Converts a drawing to a network's input.

    Args:
        pixels: light ink on dark paper, `(height, width)`.
        contract: the input contract of the network.
        as_is: see `read_picture`.

    Raises:
        DataError: nothing is drawn, or the network does not take pictures.
    """
    # Where the picture is used as it is, its ink must be that of the data.
    as_is = not contract.has_placed_strokes if as_is is None else as_is
    invert = as_is and contract.looks is not None and contract.looks.paper == "light"
    return picture_of(pixels, contract, "the drawing", invert=invert, as_is=as_is)


LARGEST_SHOWN = 256  # pixels of the longer side of a picture that the app is sent


def shrunk(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture of which the longer side has at most `LARGEST_SHOWN` pixels."""
    from PIL import Image

    picture = Image.fromarray(pixels)
    picture.thumbnail((LARGEST_SHOWN, LARGEST_SHOWN), Image.Resampling.BOX)
    return np.asarray(picture)
