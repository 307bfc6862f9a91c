"""Hyperparameters and studies as frozen dataclasses.

Imports no JAX, so that reading and checking a study is instant. `Hyperparams` checks itself by the
rules in `rules`; code that has checked the values already builds it by `unchecked` and `changed`.
`file` reads TOML into these types, `jmlp.training.single_run` registers `Hyperparams` as a pytree.
"""

import contextlib
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args, get_type_hints

from jmlp.errors import ConfigError
from jmlp.study.rules import (
    HYPERPARAMETERS,
    MAX_EXACT_INTEGER,
    MISMATCHES,
    PER_LAYER,
    ActivationName,
    BackwardFault,
    BatchNormPlace,
    ClassWeight,
    EvaluateEvery,
    Initialization,
    Missing,
    Optimizer,
    Refused,
    Schedule,
    TrainingFault,
    python_number,
    shown,
    toml_value,
    value_text,
    with_kind,
)

Value = Any  # a TOML value: str, int, float, bool, or a tuple of them
Cell = Mapping[str, Value]  # part of a configuration: {"batch_size": 128}


_NEVER = object()  # the "off" of what is always part of the program


def _metadata(
    text: str,
    *,
    static: bool = False,
    added: bool = False,
    optional: bool = False,
    off: object = _NEVER,
) -> Mapping[str, Any]:
    """Metadata of a hyperparameter, in addition to its type and default.

    Args:
        text: its description in `--help`.
        static: whether it is compiled into the program; otherwise it is an input of the program.
        added: whether files of earlier versions lack it; they are read with its default.
        optional: whether `identity` omits its default, so that ids of earlier versions still hold.
        off: the value, if there is one, at which a swept field is left out of the program.
    """
    kept = {} if off is _NEVER else {"off": off}
    return {
        "help": text,
        "static": static,
        "added": added or optional,
        "optional": optional,
        **kept,
    }


@dataclass(frozen=True)
class Hyperparams:
    """All hyperparameters of one run; its seed and its data are separate.

    Static fields are compiled into the program: one compile per combination of values. Swept
    fields are inputs of the program: runs that differ only in these train side by side in it. A
    swept field that is off (`features`) is left out of the program, so it costs nothing.

    Numbers may be those of NumPy or JAX, and lists may stand for tuples; the fields hold Python's
    own.

    Raises:
        ConfigError: values are not allowed; with all such problems, one per line.
    """

    hidden: tuple[int, ...] = field(
        default=(20, 7, 5), metadata=_metadata("Units of each hidden layer.", static=True)
    )
    activation: ActivationName | tuple[ActivationName, ...] = field(
        default="relu",
        metadata=_metadata(
            "The activation function of the hidden layers; one, or one per hidden layer.",
            static=True,
            optional=True,
        ),
    )
    batch_size: int = field(
        default=128, metadata=_metadata("Examples per mini-batch.", static=True)
    )
    batch_norm: bool = field(default=False, metadata=_metadata("Batch normalisation.", static=True))
    batch_norm_place: BatchNormPlace = field(
        default="before",
        metadata=_metadata(
            "Batch norm before or after the activation.", static=True, optional=True
        ),
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
        metadata=_metadata(
            "Initial weights: by He, Glorot or LeCun, normal with weight_std, or zero.", static=True
        ),
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
    input_drop_rate: float = field(
        default=0.0,
        metadata=_metadata("Fraction of the inputs dropped in training.", optional=True, off=0.0),
    )
    momentum: float = field(default=0.9, metadata=_metadata("The weight of the old velocity."))
    weight_decay: float = field(
        default=0.01,
        metadata=_metadata(
            "Each update shrinks the weights by this times the learning rate.",
            optional=True,
            off=0.0,
        ),
    )
    l2: float = field(
        default=0.0,
        metadata=_metadata(
            "L2 penalty: half of this times the sum of the squared weights is added to the cost.",
            optional=True,
            off=0.0,
        ),
    )
    max_norm: float | None = field(
        default=None,
        metadata=_metadata(
            'The largest norm of a hidden unit\'s weights, or "none".', optional=True, off=None
        ),
    )
    clip_norm: float | None = field(
        default=None,
        metadata=_metadata(
            'The largest norm of the gradient, to which longer ones are scaled, or "none".',
            optional=True,
            off=None,
        ),
    )
    label_smoothing: float = field(
        default=0.0,
        metadata=_metadata(
            "Share of each label that is spread over all classes in training.",
            optional=True,
            off=0.0,
        ),
    )
    class_weight: ClassWeight = field(
        default="none",
        metadata=_metadata(
            "Weights of the classes in the training cost: none, or balanced by their frequency.",
            static=True,
            optional=True,
        ),
    )
    warmup: float = field(
        default=0.0,
        metadata=_metadata(
            "Epochs in which the learning rate rises linearly to its full value.",
            optional=True,
            off=0.0,
        ),
    )
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
    shift: int = field(
        default=0,
        metadata=_metadata(
            "Training images are moved by up to this many pixels, at random.",
            static=True,
            optional=True,
        ),
    )
    rotation: float = field(
        default=0.0,
        metadata=_metadata(
            "Training images are turned by up to this many degrees, at random.",
            static=True,
            optional=True,
        ),
    )
    elastic: float = field(
        default=0.0,
        metadata=_metadata(
            "Training images are distorted: the spread of their pixels' displacements in pixels.",
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
    training_fault: TrainingFault = field(
        default="none",
        metadata=_metadata(
            "A mistake in the training outside the backward pass, likewise.",
            static=True,
            optional=True,
        ),
    )

    def __post_init__(self) -> None:
        """Converts the values to Python's own types, and checks them.

        Not that each has an effect: an axis of an experiment may be what gives it one.
        """
        self.__dict__.update(_python_values(self))  # the fields are frozen from here on
        _raise(_problems(self.__dict__))


STATIC_FIELDS = tuple(f.name for f in fields(Hyperparams) if f.metadata.get("static"))
SWEPT_FIELDS = tuple(f.name for f in fields(Hyperparams) if not f.metadata.get("static"))
DEFAULTS: Mapping[str, Value] = {f.name: f.default for f in fields(Hyperparams)}
FLOAT_FIELDS = tuple(
    name for name, hint in get_type_hints(Hyperparams).items() if float in (hint, *get_args(hint))
)
OFF: Mapping[str, Value] = {
    f.name: f.metadata["off"] for f in fields(Hyperparams) if "off" in f.metadata
}

# Hyperparameters that have an effect only where another one has one of these values.
USED_ONLY_WITH: Mapping[str, tuple[str, tuple[Value, ...]]] = {
    "momentum": ("optimizer", ("momentum", "nesterov")),
    "weight_decay": ("optimizer", ("adamw",)),
    "weight_std": ("initialization", ("normal",)),
    "batch_norm_place": ("batch_norm", (True,)),
    "batch_norm_scale": ("batch_norm", (True,)),
}


def unchecked(values: Mapping[str, Any]) -> Hyperparams:
    """Hyperparameters that are not checked: checked already, or arrays or tracers in a program.

    Args:
        values: a value for every field.
    """
    hp = object.__new__(Hyperparams)
    hp.__dict__.update(values)
    return hp


def changed(hp: Hyperparams, **changes: Any) -> Hyperparams:
    """`dataclasses.replace`, unchecked."""
    return unchecked({**hp.__dict__, **changes})


def python_value(name: str, value: Any) -> Value:
    """A value of a hyperparameter in Python's own types: no NumPy scalars, no lists, no -0.0.

    An integer becomes a float if the hyperparameter is one.
    """
    value = python_number(value)
    if isinstance(value, tuple | list):
        return tuple(python_value(name, v) for v in value)
    if name in FLOAT_FIELDS and type(value) is int and abs(value) <= MAX_EXACT_INTEGER:
        return float(value)
    return value + 0.0 if isinstance(value, float) else value


def one_for_all(value: Value, hidden: tuple[int, ...]) -> Value:
    """Replaces equal values of all hidden layers (see `PER_LAYER`) by a single one."""
    if isinstance(value, tuple) and len(value) == len(hidden) and len({*value}) == 1:
        return value[0]
    return value


def per_layer(value: Value, hidden: tuple[int, ...]) -> tuple[Value, ...]:
    """A value of `PER_LAYER` for each hidden layer."""
    return value if isinstance(value, tuple) else (value,) * len(hidden)


def canonical(hp: Hyperparams) -> Hyperparams:
    """The canonical form of all hyperparameters that train the same network; it identifies runs.

    It has Python's own types, a single drop rate or activation if all layers have the same one, and
    defaults for hyperparameters without effect.
    """
    hp = unchecked(_python_values(hp))
    unused = {name: DEFAULTS[name] for name in USED_ONLY_WITH if not in_use(name, hp)}
    single = {name: one_for_all(getattr(hp, name), hp.hidden) for name in PER_LAYER}
    return changed(hp, **single, **unused)


def features(hp: Hyperparams) -> tuple[str, ...]:
    """The swept hyperparameters that can be off and are on, such as an L2 penalty.

    What is off is no input of the program, so runs that differ in this train in different programs.
    """
    return tuple(name for name, off in OFF.items() if in_use(name, hp) and getattr(hp, name) != off)


def compiled_in(hp: Hyperparams) -> tuple[Value, ...]:
    """What determines the program of a run: its static hyperparameters and its features."""
    return (*(getattr(hp, name) for name in STATIC_FIELDS), features(hp))


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
    # Epochs of the rounds before the last one, whose epochs are the experiment's; rising. Empty:
    # there is one round.
    halving: tuple[int, ...] = ()
    drawn: tuple[Cell, ...] = ()


@dataclass(frozen=True, repr=False)
class Experiment:
    """Hyperparameters, axes and seeds; gives one result table.

    `base` holds the hyperparameters of the baseline, including its value on each axis; a `baseline`
    that is left out is read from it. The configurations are the full grid of the axes, or those
    listed in `cells`: the baseline and the candidates of a search, or the baseline and the winner
    of the search that it confirms.

    The further rounds of a search and the confirmation of its winner are experiments too, which
    only results can make (`results.search.staged`).
    """

    name: str
    base: Hyperparams
    axes: Mapping[str, Sequence[Value]] = field(default_factory=dict)  # values by hyperparameter
    seeds: Sequence[int] = ()  # at least one
    baseline: Cell = field(default_factory=dict)  # a value for every axis
    claims: tuple[Claim, ...] = ()
    reference: tuple[Reference, ...] = ()
    title: str = ""
    search: Search | None = None
    cells: tuple[Cell, ...] = ()
    search_name: str = ""  # of such an experiment: that of the search in the study
    stage: int = 0  # of such an experiment: the number of those before it, the search included

    def __post_init__(self) -> None:
        # Only conversions: `file.checked_study` checks it, together with the rest of its study.
        with contextlib.suppress(TypeError):
            self.__dict__["seeds"] = tuple(map(python_number, self.seeds))
        if self.axes and not self.baseline:
            on_axes = {name: getattr(self.base, name) for name in self.axes if name in DEFAULTS}
            self.__dict__["baseline"] = on_axes

    @property
    def confirms(self) -> str:
        """The name of the search whose winner it confirms; empty if it does not."""
        return "" if self.search else self.search_name

    def __repr__(self) -> str:
        axes = " x ".join(f"{len(values)} {name}" for name, values in self.axes.items())
        n_seeds = f"{len(self.seeds):,} {'seed' if len(self.seeds) == 1 else 'seeds'}"
        return f"Experiment({self.name}: {axes or '1 configuration'}, {n_seeds})"


@dataclass(frozen=True, repr=False)
class Study:
    """A set of experiments on one data set."""

    name: str
    experiments: tuple[Experiment, ...]
    data: str = "mnist"  # a name (see study.data_names) or a path
    validation_fraction: float = 0.2
    split_seed: int | Literal["seed"] = 0  # "seed": every run splits by its own seed
    smallest_difference: float = 0.005  # in accuracy; smaller differences count as none
    sequential: bool = False  # whether verdicts stay valid if seeds are added after looking
    title: str = ""
    notes: tuple[str, ...] = ()  # sentences for the report, such as how hyperparameters were chosen
    # The following are about a table; see `data.table.TableOptions`.
    label: str = ""  # the name of the label column
    missing: Missing | None = None  # None: that of the data; an error, if they have none
    leave_out: tuple[str, ...] = ()  # columns that are not features
    header: bool | None = (
        None  # whether the first line has the names of the columns; None: find out
    )
    test: str | float = ""  # a table with the test examples, or the fraction to hold out as such
    stratify: bool = True  # whether all parts have the same shares of the classes

    def __repr__(self) -> str:
        return f"Study({self.name}: {', '.join(map(repr, self.experiments))})"


TABLE_KEYS = (
    "label",
    "missing",
    "leave_out",
    "header",
    "test",
    "stratify",
)  # of `Study`, about a table


@dataclass(frozen=True)
class Configuration:
    """One cell of an experiment."""

    cell: Cell  # a value for every axis; empty without axes
    hyperparams: Hyperparams  # in canonical form
    label: str


def in_use(name: str, base: Hyperparams, axes: Mapping[str, Sequence[Value]] | None = None) -> bool:
    """Whether a hyperparameter has an effect; with `axes`, in at least one cell."""
    if name not in USED_ONLY_WITH:
        return True
    other, needed = USED_ONLY_WITH[name]
    return any(value in needed for value in (axes or {}).get(other, (getattr(base, other),)))


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
    base = experiment.base
    if experiment.search and experiment.search.halving:
        base = changed(base, epochs=experiment.search.halving[0])
    return tuple(
        Configuration(cell, canonical(changed(base, **cell)), label(cell)) for cell in cells
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
    return one_for_all(value, hp.hidden) if name in PER_LAYER else value


def label(cell: Cell) -> str:
    """The name of a configuration as shown to users, such as `batch norm no, drop rate 0.5`."""
    parts = [f"{name.replace('_', ' ')} {value_text(value, name)}" for name, value in cell.items()]
    return ", ".join(parts) or "all runs"


def no_effect(name: str) -> str:
    """The error message for setting a hyperparameter without effect."""
    other, needed = USED_ONLY_WITH[name]
    values = " or ".join(map(shown, needed))
    return f"has no effect without {other} = {values}: set that, or leave {name} out"


def check(hp: Hyperparams) -> None:
    """Check the hyperparameters of one run, including that each one set has an effect.

    Raises:
        ConfigError: with one problem per invalid field.
    """
    problems = _problems(_python_values(hp))
    for name in USED_ONLY_WITH:
        if getattr(hp, name) != DEFAULTS[name] and not in_use(name, hp):
            problems.setdefault(name, no_effect(name))
    _raise(problems)


def _python_values(hp: Hyperparams) -> dict[str, Value]:
    """All values by field, in Python's own types."""
    return {name: python_value(name, getattr(hp, name)) for name in DEFAULTS}


def _problems(values: Mapping[str, Value]) -> dict[str, str]:
    """Problems of single values, and of those that depend on each other, by field."""
    problems = {}
    for name, rule in HYPERPARAMETERS.items():
        value = values[name]
        try:
            read = rule.read(toml_value(value))
        except Refused as refused:
            problems[name] = f"must be {rule.wanted}, got {refused}"
        else:
            if read != value:  # the TOML form: "none"
                problems[name] = f"write it as {read!r} in Python, got {with_kind(value)}"
    for (name, other), mismatch in MISMATCHES.items():
        if not problems.keys() & {name, other} and (
            problem := mismatch(values[name], values[other])
        ):
            problems[name] = problem
    return problems


def _raise(problems: Mapping[str, str]) -> None:
    if problems:
        raise ConfigError([f"{name}: {problem}" for name, problem in problems.items()])
