"""`python -m jmlp.inspection.helper`: computes for the app what needs JAX.

It answers any number of requests, see `jmlp.system.helper_server.serve`. Each has "do", a name in
`ANSWERS`, and the folder "store"; the messages are {"say": text} and finally {"done": the answer}.
The store is only read, so no lock is taken.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jmlp.system import environment, helper_server
from jmlp.system.files import compile_cache_dir
from jmlp.system.helper_server import Send

if TYPE_CHECKING:
    from jmlp.data.dataset import Dataset
    from jmlp.inspection.asking import Drawings
    from jmlp.inspection.inside import Inside, Steps
    from jmlp.store.networks import Networks

Request = Mapping[str, Any]
Say = Callable[[str], None]


def inspect(request: Request, say: Say) -> str:
    """The path of the inspection of a run: its "run_id", and the "part" of the data."""
    from jmlp.inspection.compute import inspect

    return str(inspect(Path(request["store"]), request["run_id"], request["part"], say))


def at_step(answer: "Callable[[Inside, Request], Any]") -> Callable[[Request, Say], Any]:
    """The answer to a request about the step at its "where"."""

    def answered(request: Request, say: Say) -> Any:
        from jmlp.inspection.inside import as_json
        from jmlp.inspection.views import Where
        from jmlp.results import serialization

        where = serialization.read(Where, request["where"])
        found = answer(_steps().at(Path(request["store"]), where, say), request)
        return serialization.strict(as_json(found))

    return answered


def through(
    microscope: "Callable[[Networks, Dataset, int], Any]",
) -> Callable[[Request, Say], Any]:
    """The answer to a request about the network of "run_id" nearest to "epoch"."""

    def answered(request: Request, say: Say) -> Any:
        from jmlp.inspection.inside import as_json
        from jmlp.results import serialization

        _, stored, dataset = _steps().stored(Path(request["store"]), request["run_id"], say)
        found = microscope(stored, dataset, stored.index_of(request["epoch"]))
        return serialization.strict(as_json(found))

    return answered


def _dropout(stored: "Networks", dataset: "Dataset", index: int) -> Any:
    from jmlp.inspection.microscope.dropout import dropout_view

    return dropout_view(stored, dataset, index)


def _batch_norm(stored: "Networks", dataset: "Dataset", index: int) -> Any:
    from jmlp.inspection.microscope.batch_norm import batch_norm_view

    return batch_norm_view(stored, dataset, index)


def _step_quality(stored: "Networks", dataset: "Dataset", index: int) -> Any:
    from jmlp.inspection.microscope.step import step_view

    return step_view(stored, dataset, index)


@cache
def _steps() -> "Steps":
    from jmlp.inspection.inside import Steps

    return Steps()


def boundary(request: Request, say: Say) -> str:
    """The path of the boundary of a run: its "run_id", and the "size" of the grid."""
    from jmlp.inspection.boundary import boundary

    return str(boundary(Path(request["store"]), request["run_id"], say, request["size"]))


def mistake(request: Request, say: Say) -> Any:
    """The gradient with the mistake of this "name": the fields of each `mistake.LeafGradient`."""
    from jmlp.inspection.mistake_gradients import leaves_of

    del say
    return [asdict(leaf) for leaf in leaves_of(request["name"])]


def draw(request: Request, say: Say) -> dict[str, Any]:
    """What all networks of some runs say of a picture, see `asking.Drawings.answer`."""
    return _drawings().answer(request, say)


@cache
def _drawings() -> "Drawings":
    from jmlp.inspection.asking import Drawings

    return Drawings()


# By the name in a request: a function of the request and of one that is called with each line about
# a slow step; it returns the answer as JSON values, and raises a `JmlpError` if there is none.
ANSWERS: Mapping[str, Callable[[Request, Say], Any]] = {
    "draw": draw,
    "inspect": inspect,
    "step": at_step(lambda inside, _: inside.view()),
    "units": at_step(lambda inside, r: inside.units(r["operation"])),
    "weights": at_step(lambda inside, r: inside.weights(r["operation"], r["unit"])),
    "cell": at_step(lambda inside, r: inside.cell(*r["cell"])),
    "chain": at_step(lambda inside, r: inside.chain(*r["cell"])),
    "ways": at_step(lambda inside, r: inside.ways(*r["cell"], double=r["double"])),
    "changes": at_step(lambda inside, _: inside.changes()),
    "dropout": through(_dropout),
    "batch norm": through(_batch_norm),
    "step quality": through(_step_quality),
    "boundary": boundary,
    "mistake": mistake,
}


def prepare(send: Send) -> None:
    """Prepares this process for JAX.

    Args:
        send: called with messages, which precede the answers to the first request.
    """
    environment.report_warnings(lambda text: send({"say": text}))
    if warning := environment.prepare("cpu", None, compile_cache_dir()):
        send({"say": f"warning: {warning}"})


def answer(request: Request, send: Send) -> None:
    """Answers a request in this process, in which JAX may already have started.

    Args:
        request: the request.
        send: called with each message.

    Raises:
        JmlpError: there is no answer.
    """
    send({"done": ANSWERS[request["do"]](request, lambda text: send({"say": text}))})


if __name__ == "__main__":
    sys.exit(helper_server.serve(prepare, answer))
