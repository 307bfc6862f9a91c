"""`python -m jmlp.inspection.mistake_helper`: checks a gradient with a mistake in it.

The request has "mistake", the name of one; the message is {"leaves": the fields of each
`mistake.LeafGradient`}.
"""

import math
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from jmlp.inspection.mistake import LeafGradient
from jmlp.study import mistakes
from jmlp.system import environment, helper_server
from jmlp.system.files import compile_cache_dir
from jmlp.system.helper_server import Send


def look(request: Mapping[str, Any], send: Send) -> None:
    """Answers a request in a process where JAX has not started."""
    environment.prepare("cpu", None, compile_cache_dir())
    answer(request, send)


def answer(request: Mapping[str, Any], send: Send) -> None:
    """Answers a request in this process, in which JAX may already have started.

    Args:
        request: the request.
        send: called with the message.
    """
    send({"leaves": [asdict(leaf) for leaf in leaves_of(request["mistake"])]})


def leaves_of(name: str) -> list[LeafGradient]:
    """The gradient with a mistake, array by array in the order of the layers."""
    from jmlp.nn.gradcheck import check_network

    mistake = mistakes.find(name)
    checked = mistake.checked
    assert checked is not None
    fault: Any = mistake.setting_value
    found = check_network(
        checked.hidden, checked.batch_norm, checked.drop_rate, 0, fault, names_faults=False
    )
    return [
        LeafGradient(
            layer=_layer(check.leaf, len(checked.hidden)),
            letter=check.leaf.rpartition(".")[2],
            error=check.autodiff_error,
            ratio=check.ratio if math.isfinite(check.ratio) else None,
            cosine=check.cosine if math.isfinite(check.cosine) else None,
            ok=check.ok,
        )
        for check in found
    ]


def _layer(leaf: str, n_hidden: int) -> str:
    index = int(leaf[1 : leaf.index("]")])
    return "output" if index == n_hidden else f"hidden {index + 1}"


if __name__ == "__main__":
    sys.exit(helper_server.main(look))
