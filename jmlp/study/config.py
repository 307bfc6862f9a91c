"""Hyperparameters and studies as frozen dataclasses.

Imports no JAX, so that reading and checking a study is instant. `rules` defines what is allowed,
`file` reads TOML into these types, `jmlp.training.single_run` registers `Hyperparams` as a pytree.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

Value = Any  # a TOML value: str, int, float, bool, or a tuple of them
Cell = Mapping[str, Value]  # part of a configuration: {"batch_size": 128}

Optimizer = Literal["sgd", "momentum", "adam"]
Initialization = Literal["he", "normal"]
Schedule = Literal["constant", "linear"]  # of the learning rate
BatchNormPlace = Literal["before", "after"]  # ReLU
BackwardFault = Literal[
    "none", "batch_norm", "dropout_mask", "relu_mask", "batch_mean", "updated_weights"
]
EvaluateEvery = int | Literal["epoch"]  # a number of updates, or after every epoch


def _metadata(
    text: str, *, static: bool = False, added: bool = False, optional: bool = False
) -> Mapping[str, Any]:
    """Metadata of a hyperparameter, in addition to its type and default.

    Args:
        text: its description in `--help`.
        static: whether it is compiled into the program; otherwise it is an input of the program.
        added: whether files of earlier versions lack it; they are read with its default.
        optional: whether `identity` omits its default, so that ids of earlier versions still hold.
    """
    return {"help": text, "static": static, "added": added or optional, "optional": optional}


@dataclass(frozen=True)
class Hyperparams:
    """All hyperparameters of one run; its seed and its data are separate.

    Static fields are compiled into the program: one compile per combination of values. Swept
    fields are inputs of the program: runs that differ only in these train side by side in it.
    """

    hidden: tuple[int, ...] = field(
        default=(20, 7, 5), metadata=_metadata("Units of each hidden layer.", static=True)
    )
    batch_size: int = field(
        default=128, metadata=_metadata("Examples per mini-batch.", static=True)
    )
    batch_norm: bool = field(default=False, metadata=_metadata("Batch normalisation.", static=True))
    batch_norm_place: BatchNormPlace = field(
        default="before",
        metadata=_metadata("Batch norm before or after ReLU.", static=True, optional=True),
    )
    batch_norm_scale: bool = field(
        default=True,
        metadata=_metadata(
            "Whether batch norm learns a scale and a shift.", static=True, optional=True
        ),
    )
    optimizer: Optimizer = field(default="sgd", metadata=_metadata("The update rule.", static=True))
    initialization: Initialization = field(
        default="he",
        metadata=_metadata("Initial weights: He et al., or normal with weight_std.", static=True),
    )
    schedule: Schedule = field(
        default="constant",
        metadata=_metadata(
            "The learning rate: constant, or falling to 0 over epochs.", static=True, added=True
        ),
    )
    learning_rate: float = field(default=0.009, metadata=_metadata("The step size."))
    drop_rate: float | tuple[float, ...] = field(
        default=0.0,
        metadata=_metadata("Fraction of hidden units dropped; one, or one per hidden layer."),
    )
    momentum: float = field(default=0.9, metadata=_metadata("The weight of the old velocity."))
    weight_std: float = field(
        default=0.15, metadata=_metadata("The standard deviation of initial weights.")
    )
    epochs: int = field(default=100, metadata=_metadata("The maximum number of epochs."))
    patience: int | None = field(
        default=2,
        metadata=_metadata(
            'Evaluations without a new best validation cost, or "none": train to the limit.'
        ),
    )
    min_delta: float = field(
        default=0.0,
        metadata=_metadata(
            "A validation cost is a new best only if it is lower by more than this, in nats.",
            optional=True,
        ),
    )
    evaluate_every: EvaluateEvery = field(
        default="epoch",
        metadata=_metadata(
            'Updates from one evaluation to the next, or "epoch": after every epoch.',
            static=True,
            optional=True,
        ),
    )
    backward_fault: BackwardFault = field(
        default="none",
        metadata=_metadata(
            "A mistake in the backward pass, for studies about mistakes.",
            static=True,
            optional=True,
        ),
    )


STATIC_FIELDS = tuple(f.name for f in fields(Hyperparams) if f.metadata.get("static"))
SWEPT_FIELDS = tuple(f.name for f in fields(Hyperparams) if not f.metadata.get("static"))
DEFAULTS: Mapping[str, Value] = {f.name: f.default for f in fields(Hyperparams)}
FLOAT_FIELDS = tuple(name for name, default in DEFAULTS.items() if isinstance(default, float))

# Hyperparameters that have an effect only where another one has this value.
USED_ONLY_WITH: Mapping[str, tuple[str, Value]] = {
    "momentum": ("optimizer", "momentum"),
    "weight_std": ("initialization", "normal"),
    "batch_norm_place": ("batch_norm", True),
    "batch_norm_scale": ("batch_norm", True),
}


# Integers up to this magnitude are exactly representable as floats.
MAX_EXACT_INTEGER = 2**53
MAX_UPDATES = 2**31 - 1  # of a run; the update counter is 32 bits wide


def in_python_types(hp: Hyperparams) -> Hyperparams:
    """Converts all values to Python's own types: no NumPy scalars, no lists, no -0.0."""
    return Hyperparams(**{name: python_value(name, getattr(hp, name)) for name in DEFAULTS})


def python_value(name: str, value: Any) -> Value:
    """Converts one value likewise, and an integer to a float if the hyperparameter is a float."""
    if hasattr(value, "tolist"):  # from NumPy or JAX; float32 becomes the equal float
        value = value.tolist()
    if isinstance(value, tuple | list):
        return tuple(python_value(name, v) for v in value)
    if name in FLOAT_FIELDS and type(value) is int and abs(value) <= MAX_EXACT_INTEGER:
        return float(value)
    return value + 0.0 if isinstance(value, float) else value


def one_rate(drop_rate: Value, hidden: tuple[int, ...]) -> Value:
    """Replaces equal drop rates of all hidden layers by a single one."""
    if isinstance(drop_rate, tuple) and len(drop_rate) == len(hidden) and len({*drop_rate}) == 1:
        return drop_rate[0]
    return drop_rate


def canonical(hp: Hyperparams) -> Hyperparams:
    """The canonical form of all hyperparameters that train the same network; it identifies runs.

    It has Python's own types, a single drop rate if all layers have the same one, and defaults for
    hyperparameters without effect.
    """
    hp = in_python_types(hp)
    unused = {name: DEFAULTS[name] for name in USED_ONLY_WITH if not in_use(name, hp)}
    return replace(hp, drop_rate=one_rate(hp.drop_rate, hp.hidden), **unused)


def identity(hp: Hyperparams) -> dict[str, Value]:
    """The hyperparameters that identify a run, by name.

    Those marked "optional" in their metadata are included only if they differ from their default.
    """
    values = asdict(hp)
    optional = [f.name for f in fields(Hyperparams) if f.metadata.get("optional")]
    return {n: v for n, v in values.items() if n not in optional or v != DEFAULTS[n]}


@dataclass(frozen=True)
class Claim:
    """A claim of the original study, in a form that results can confirm or contradict.

    It has one of two forms: `best` names the configuration claimed to be the best of its
    experiment; or `not_higher` is claimed not to beat `than`, all else being equal.
    """

    text: str
    best: Cell | None = None
    not_higher: Cell | None = None
    than: Cell | None = None


@dataclass(frozen=True)
class Reference:
    """Published results for one configuration (accuracies from 0 to 1)."""

    where: Cell
    training_accuracy: float | None = None
    validation_accuracy: float | None = None
    test_accuracy: float | None = None
    stopped: int | None = None  # epochs


Law = Literal["log", "uniform"]
Method = Literal["random", "sobol", "halton"]


@dataclass(frozen=True)
class Range:
    """The values of a hyperparameter that a search draws from: `low` and `high` are included."""

    law: Law  # uniform, or uniform in the logarithm
    low: float  # two integers if the hyperparameter is one
    high: float


@dataclass(frozen=True)
class Search:
    """How the candidates of an experiment are drawn, and with which seeds its winner is confirmed.

    `drawn` are the candidates. Left empty in Python, they are drawn when the study is checked.
    """

    space: Mapping[str, Range | tuple[Value, ...]]  # of each searched hyperparameter
    configurations: int  # the number of candidates
    confirm: tuple[int, ...]  # seeds that the search does not use
    method: Method = "sobol"
    seed: int = 0  # of the draw
    drawn: tuple[Cell, ...] = ()


@dataclass(frozen=True)
class Experiment:
    """Hyperparameters, axes and seeds; gives one result table.

    `base` holds the hyperparameters of the baseline, including its value on each axis. The
    configurations are the full grid of the axes, or those listed in `cells`: the baseline and the
    candidates of a search, or the baseline and the winner of the search that it confirms.
    """

    name: str
    base: Hyperparams
    axes: Mapping[str, tuple[Value, ...]]
    seeds: tuple[int, ...]
    baseline: Cell  # a value for every axis
    claims: tuple[Claim, ...] = ()
    reference: tuple[Reference, ...] = ()
    title: str = ""
    search: Search | None = None
    cells: tuple[Cell, ...] = ()
    confirms: str = ""  # the experiment whose winner it confirms; only results make one


@dataclass(frozen=True)
class Study:
    """A set of experiments on one data set."""

    name: str
    experiments: tuple[Experiment, ...]
    data: str = "mnist"  # "mnist", "synthetic", or a path
    validation_fraction: float = 0.2
    split_seed: int | Literal["seed"] = 0  # "seed": every run splits by its own seed
    smallest_difference: float = 0.005  # in accuracy; smaller differences count as none
    sequential: bool = False  # whether verdicts stay valid if seeds are added after looking
    title: str = ""
    notes: tuple[str, ...] = ()  # sentences for the report, such as how hyperparameters were chosen


@dataclass(frozen=True)
class Configuration:
    """One cell of an experiment."""

    cell: Cell  # a value for every axis; empty without axes
    hyperparams: Hyperparams  # in canonical form
    label: str


def in_use(
    name: str, base: Hyperparams, axes: Mapping[str, tuple[Value, ...]] | None = None
) -> bool:
    """Whether a hyperparameter has an effect; with `axes`, in at least one cell."""
    if name not in USED_ONLY_WITH:
        return True
    other, needed = USED_ONLY_WITH[name]
    return needed in (axes or {}).get(other, (getattr(base, other),))


def n_configurations(experiment: Experiment) -> int:
    """The number of configurations, counted without building them."""
    return len(experiment.cells) or math.prod(map(len, experiment.axes.values()))


def configurations(experiment: Experiment) -> tuple[Configuration, ...]:
    """The listed cells; or those of the grid in the order of the axes, the last varying fastest."""
    cells: Sequence[Cell] = experiment.cells
    if not cells:
        names = tuple(experiment.axes)
        axes = [[python_value(n, v) for v in values] for n, values in experiment.axes.items()]
        cells = [dict(zip(names, cell, strict=True)) for cell in itertools.product(*axes)]
    return tuple(
        Configuration(cell, canonical(replace(experiment.base, **cell)), label(cell))
        for cell in cells
    )


def matches(configuration: Configuration, cell: Cell) -> bool:
    """Whether a configuration has all of the cell's values, in any equivalent form."""
    hp = configuration.hyperparams
    for name, value in cell.items():
        actual = configuration.cell.get(name, getattr(hp, name))
        if actual != value and _normalised(name, actual, hp) != _normalised(name, value, hp):
            return False
    return True


def _normalised(name: str, value: Value, hp: Hyperparams) -> Value:
    value = python_value(name, value)
    return one_rate(value, hp.hidden) if name == "drop_rate" else value


def label(cell: Cell) -> str:
    """The name of a configuration as shown to users, such as `batch norm no, drop rate 0.5`."""
    parts = [f"{name.replace('_', ' ')} {value_text(value, name)}" for name, value in cell.items()]
    return ", ".join(parts) or "all runs"


def value_text(value: Value, name: str = "") -> str:
    """A value as shown to users; different values of one hyperparameter have different texts.

    If `name` is "drop_rate", 0 is shown as "none".
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or (name == "drop_rate" and value == 0):
        return "none"
    if isinstance(value, tuple):
        return "\N{EN DASH}".join(value_text(v) for v in value)
    return repr(float(value)).removesuffix(".0") if isinstance(value, float) else str(value)
