"""Everything about one configuration as texts: its settings, its layers; and a study's events."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from jmlp.client.texts import settings, text_of, words
from jmlp.study.config import OFF, Hyperparams, per_layer

if TYPE_CHECKING:
    from jmlp.store import Event

ACTIVATION_WORDS = {
    "relu": "ReLU",
    "leaky_relu": "leaky ReLU",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "gelu": "GELU",
    "silu": "SiLU",
}

# In this order; all others follow.
FIRST = ("hidden", "optimizer", "learning_rate", "batch_size", "epochs", "patience")


class Setting(NamedTuple):
    """One setting of a configuration."""

    name: str
    value: str
    varied: bool  # whether it is an axis of the experiment


def setting_texts(hp: Hyperparams, data: str, n_seeds: int, axes: Sequence[str]) -> list[Setting]:
    """Lists the data and every hyperparameter that has an effect, without those that are off.

    Args:
        hp: the configuration's hyperparameters.
        data: what the study calls its data.
        n_seeds: how many seeds it is trained with.
        axes: the names of the experiment's axes.
    """
    # What is off is not listed, unless it is varied; the layers show ReLU.
    none = dict.fromkeys(("backward_fault", "training_fault", "class_weight"), "none")
    off = {**OFF, "activation": "relu", **none}
    used = {n: v for n, v in settings(hp).items() if n in axes or n not in off or v != off[n]}
    names = [*(name for name in FIRST if name in used), *(n for n in used if n not in FIRST)]
    found = [Setting(words(n), text_of(n, used[n]), n in axes) for n in names]
    return [Setting("data", data, False), *found, Setting("seeds", str(n_seeds), False)]


def layer_texts(hp: Hyperparams, n_in: int, n_classes: int) -> list[tuple[str, str, str, str]]:
    """Describes each layer: its name, its inputs and outputs, its parameters, what follows it.

    Args:
        hp: the configuration's hyperparameters.
        n_in: the number of inputs.
        n_classes: the number of classes.
    """
    from jmlp.training.plan import parameters_by_layer

    sizes = (n_in, *hp.hidden, n_classes)
    n_layers = len(sizes) - 1
    rates, activations = (per_layer(v, hp.hidden) for v in (hp.drop_rate, hp.activation))
    rows = []
    for i, count in enumerate(parameters_by_layer(hp, n_in, n_classes)):
        follows = ["softmax"] if i == n_layers - 1 else [ACTIVATION_WORDS[activations[i]]]
        if i < n_layers - 1:
            if hp.batch_norm:
                at = 0 if hp.batch_norm_place == "before" else 1
                follows.insert(at, "batch norm")
            if rates[i]:
                follows.append(f"dropout {rates[i]:g}")
        name = "output" if i == n_layers - 1 else f"layer {i + 1}"
        size = f"{sizes[i]:,} → {sizes[i + 1]:,}"
        rows.append((name, size, f"{count:,}", ", ".join(follows)))
    return rows


def columns(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Aligns the cells of rows in columns, two spaces apart.

    Args:
        rows: of equal length.
        right: indices of the columns that are aligned at the right.
    """
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)] if rows else []
    return [
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


class EventLine(NamedTuple):
    """An event of a study."""

    at: int  # UTC, milliseconds
    text: str


def event_lines(events: Sequence["Event"], runs: Mapping[str, str]) -> list[EventLine]:
    """Describes events, the newest first; those of runs at the same moment are one line.

    Args:
        events: in order.
        runs: the title of each run, by its id.
    """
    lines: list[EventLine] = []
    groups: list[tuple[tuple[object, ...], list[Event]]] = []
    for event in events:
        key = (event.kind, event.detail, event.at // 1000, event.run_id is None)
        if groups and groups[-1][0] == key:
            groups[-1][1].append(event)
        else:
            groups.append((key, [event]))
    for _, same in reversed(groups):
        first = same[0]
        parts = [first.kind, first.detail]
        if first.run_id is not None:
            title = runs.get(first.run_id, first.run_id[:8])
            more = f" and {len(same) - 1} more" if len(same) > 1 else ""
            parts.insert(0, f"{title}{more}:")
        lines.append(EventLine(first.at, " ".join(filter(None, parts))))
    return lines
