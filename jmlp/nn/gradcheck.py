"""Checks the hand-written gradient against `jax.grad` and against central differences.

It runs in float64, leaf by leaf, over batch norm × dropout × depth; on a network with each other
activation in one of its layers; and with each option of the cost. The error of a leaf is

    |a - b| / max(|a|, |b|, 1e-8 |whole gradient|)        with the Euclidean norm

so each leaf is judged relative to its own norm, and a leaf that should be zero relative to the norm
of the whole gradient.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree
from numpy.typing import NDArray

from jmlp.nn import cost, faults, l2, model
from jmlp.nn.gradient import CostOptions, gradient
from jmlp.study.config import DEFAULTS, unchecked
from jmlp.study.rules import ActivationName, BackwardFault, BatchNormPlace
from jmlp.system import numerics

AUTODIFF_TOLERANCE = 1e-9
DIFFERENCE_TOLERANCE = 1e-6
STEP = 1e-5  # of the central differences
RATE = 0.1  # learning rate, for the fault "updated_weights"

N_IN, N_CLASSES, BATCH = 12, 10, 16
DEPTHS: tuple[tuple[int, ...], ...] = ((), (8,), (20, 7, 5))
SQUARE: tuple[tuple[int, ...], ...] = ((8, 8),)  # where "weights_transposed" has an effect
DROP_RATES = (0.0, 0.4)
PLACES: tuple[BatchNormPlace | None, ...] = (None, "before", "after")
ACTIVATIONS = tuple(name for name in get_args(ActivationName) if name != "relu")


class Option(NamedTuple):
    """What a network has in addition; the values here add nothing."""

    hidden: tuple[int, ...] = (8,)
    activation: ActivationName | tuple[ActivationName, ...] = "relu"
    input_drop_rate: float = 0.0
    label_smoothing: float = 0.0
    weighted: bool = False  # whether the classes have different weights
    l2: float = 0.0


OPTIONS: Mapping[str, Option] = {
    "each activation": Option(hidden=(8, 7, 6, 5, 4), activation=ACTIVATIONS),
    "input dropout": Option(input_drop_rate=0.4),
    "label smoothing": Option(label_smoothing=0.2),
    "class weights": Option(weighted=True),
    "l2": Option(l2=0.3),
}


@dataclass(frozen=True)
class LeafCheck:
    """The errors of the gradient of one parameter leaf of one network."""

    hidden: tuple[int, ...]
    batch_norm: BatchNormPlace | None  # before or after the activation
    drop_rate: float
    leaf: str  # such as "[0].dense.W"
    size: int  # number of elements
    autodiff_error: float
    difference_error: float
    # The norm of the hand-written gradient as a multiple of that of `jax.grad`, and the cosine of
    # the angle between them; NaN if one of them is 0.
    ratio: float
    cosine: float
    same_as: tuple[BackwardFault, ...] = ()  # faults that give this network's wrong gradient
    option: str | None = None  # of `OPTIONS`

    @property
    def ok(self) -> bool:
        """Whether both errors are within tolerance; NaN never is."""
        return (
            self.autodiff_error <= AUTODIFF_TOLERANCE
            and self.difference_error <= DIFFERENCE_TOLERANCE
        )


def check_gradients(
    seed: int = 0,
    fault: BackwardFault = "none",
    depths: Sequence[tuple[int, ...]] = DEPTHS,
) -> Iterator[LeafCheck]:
    """Checks every leaf of every combination of depth, batch norm and dropout, and each option.

    Args:
        seed: seed of the weights, examples, labels and dropout.
        fault: the fault in the gradient that is checked.
        depths: the hidden layers of each network; the options are checked only beside `DEPTHS`.
    """
    for hidden, place, drop_rate in product(depths, PLACES, DROP_RATES):
        if hidden or not (place or drop_rate):  # both need hidden layers
            yield from check_network(hidden, place, drop_rate, seed, fault)
    if depths is not DEPTHS:
        return
    for name, option in OPTIONS.items():
        yield from check_network(option.hidden, None, 0.0, seed, fault, name)


def check_network(
    hidden: tuple[int, ...],
    batch_norm: BatchNormPlace | None,
    drop_rate: float,
    seed: int,
    fault: BackwardFault = "none",
    option: str | None = None,
    *,
    names_faults: bool = True,
) -> Sequence[LeafCheck]:
    """Checks every leaf of one network on one random mini-batch, in float64.

    Args:
        hidden: units of the hidden layers.
        batch_norm: where it is; None: nowhere.
        drop_rate: of the hidden units.
        seed: seed of the weights, examples, labels and dropout.
        fault: the fault in the gradient that is checked.
        option: what the network has in addition, of `OPTIONS`.
        names_faults: whether to find out which faults give a wrong gradient.
    """
    rng = np.random.default_rng(seed)
    with_option = Option() if option is None else OPTIONS[option]
    settings = {
        "hidden": hidden,  # a run has at least one hidden layer, but the mathematics needs none
        "activation": with_option.activation,
        "batch_norm": batch_norm is not None,
        "batch_norm_place": batch_norm or DEFAULTS["batch_norm_place"],
    }
    hp = unchecked({**DEFAULTS, **settings})
    with numerics.pinned(), jax.enable_x64(True):
        params, state = model.init(hp, N_IN, N_CLASSES, jax.random.key(seed), jnp.float64)
        # Biases, scales and shifts start at 0 or 1, where a wrong factor could go unnoticed.
        params = jax.tree.map(lambda p: p + 0.1 * rng.standard_normal(p.shape), params)
        x, y = rng.standard_normal((BATCH, N_IN)), rng.integers(0, N_CLASSES, BATCH, np.int32)
        key, changed = jax.random.key(seed), _changed_cost(with_option, drop_rate, rng)
        by_hand, autodiff, differences = jax.device_get(
            gradients(params, state, x, y, key, changed, fault)
        )
        same_as: tuple[BackwardFault, ...] = ()
        if names_faults and not _equal(by_hand, autodiff):
            found = {
                name: jax.device_get(by_derivatives(params, state, x, y, key, changed, name))
                for name in (*faults.NAMES, "none")
            }
            # A fault without effect in this network explains nothing.
            same_as = tuple(
                name
                for name in faults.NAMES
                if _equal(by_hand, found[name]) and not _equal(found["none"], found[name])
            )
    whole_norm = _norm(autodiff)
    leaves = jax.tree.leaves_with_path(by_hand)
    others = zip(jax.tree.leaves(autodiff), jax.tree.leaves(differences), strict=True)
    return [
        LeafCheck(
            hidden=hidden,
            batch_norm=batch_norm,
            drop_rate=drop_rate,
            leaf=jax.tree_util.keystr(path),
            size=leaf.size,
            autodiff_error=relative_error(leaf, by_autodiff, whole_norm),
            difference_error=relative_error(leaf, by_difference, whole_norm),
            ratio=ratio(leaf, by_autodiff),
            cosine=cosine(leaf, by_autodiff),
            same_as=same_as,
            option=option,
        )
        for (path, leaf), (by_autodiff, by_difference) in zip(leaves, others, strict=True)
    ]


class ChangedCost(NamedTuple):
    """What changes the cost: its options, and the L2 penalty; None: not in the program."""

    options: CostOptions
    l2: Array | np.float64 | None


def _changed_cost(option: Option, drop_rate: float, rng: np.random.Generator) -> ChangedCost:
    """The cost of a network, whose options are all in the program if one of them is."""
    if option == Option(option.hidden, option.activation):
        return ChangedCost(CostOptions(np.float64(drop_rate)), None)
    weights = rng.uniform(0.5, 2, N_CLASSES) if option.weighted else np.ones(N_CLASSES)
    options = CostOptions(
        np.float64(drop_rate),
        np.float64(option.input_drop_rate),
        np.float64(option.label_smoothing),
        jnp.asarray(weights),
    )
    return ChangedCost(options, np.float64(option.l2))


def _equal(a: model.Params, b: model.Params) -> bool:
    """Whether two gradients agree within the tolerance, in every leaf."""
    whole_norm = _norm(b)
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(relative_error(x, y, whole_norm) <= AUTODIFF_TOLERANCE for x, y in pairs)


def _norm(gradient: model.Params) -> float:
    """The Euclidean norm of a whole gradient."""
    return float(np.linalg.norm([np.linalg.norm(leaf) for leaf in jax.tree.leaves(gradient)]))


@partial(jax.jit, static_argnames="fault")
def by_derivatives(
    params: model.Params,
    state: model.State,
    x: Array,
    y: Array,
    key: Array,
    changed: ChangedCost,
    fault: BackwardFault,
) -> model.Params:
    """The gradient by the hand-written derivatives, with a fault in them."""
    derivatives = faults.derivatives(fault, rate=RATE)
    grads = gradient(params, state, x, y, key, changed.options, derivatives=derivatives)[1]
    return grads if changed.l2 is None else l2.add_gradient(grads, params, changed.l2)


@partial(jax.jit, static_argnames="fault")
def gradients(
    params: model.Params,
    state: model.State,
    x: Array,
    y: Array,
    key: Array,
    changed: ChangedCost,
    fault: BackwardFault = "none",
) -> tuple[model.Params, model.Params, model.Params]:
    """The gradient of one network on one mini-batch: hand-written, `jax.grad`, differences."""
    flat, unravel = ravel_pytree(params)
    options = changed.options

    def flat_cost(flat: Array) -> Array:
        params = unravel(flat)
        logits, _, _ = model.forward(
            params, state, x, key, options.drop_rate, options.input_drop_rate
        )
        mean_cost, _ = cost.forward(logits, y, options.label_smoothing, options.class_weights)
        return mean_cost if changed.l2 is None else mean_cost + l2.penalty(params, changed.l2)

    by_hand = by_derivatives(params, state, x, y, key, changed, fault)
    autodiff = jax.grad(flat_cost)(flat)
    steps = STEP * jnp.eye(flat.size, dtype=flat.dtype)
    up, down = jnp.split(jax.vmap(flat_cost)(jnp.concatenate([flat + steps, flat - steps])), 2)
    return by_hand, unravel(autodiff), unravel((up - down) / (2 * STEP))


def relative_error(a: NDArray[Any], b: NDArray[Any], whole_norm: float) -> float:
    """The error of a leaf, relative to its norm or to 1e-8 of the whole gradient's if larger."""
    scale = max(float(np.linalg.norm(a)), float(np.linalg.norm(b)), 1e-8 * whole_norm)
    return float(np.linalg.norm(a - b) / scale)


def ratio(a: NDArray[Any], b: NDArray[Any]) -> float:
    """The norm of `a` as a multiple of that of `b`; NaN if both are 0, infinite if only `b` is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.divide(np.linalg.norm(a), np.linalg.norm(b)))


def cosine(a: NDArray[Any], b: NDArray[Any]) -> float:
    """The cosine of the angle between two arrays; NaN if one of them is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.divide(np.sum(a * b), np.linalg.norm(a) * np.linalg.norm(b)))
