"""The gradient of a network with a mistake in it, for `mistake`, which asks for it."""

import math
from typing import Any

from jmlp.inspection.mistake import LeafGradient
from jmlp.nn.gradcheck import check_network
from jmlp.study import mistakes


def leaves_of(name: str) -> list[LeafGradient]:
    """The gradient with a mistake, array by array in the order of the layers."""
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
