"""Each derivative of a pass by three ways: by hand, by `jax.vjp`, and by central differences.

By hand is what a trace recorded (`nn.trace`). The other two differentiate the same forward pass
(`trace.compose`), with a number added to what each operation computes:

    C(t) = cost of the pass in which operation k computes Y + t, where t is 0 in the trace
    dY   = dC / dt                               by `jax.vjp`
    dY[i, j] = (C(h e) - C(-h e)) / 2h           by central differences; e is 1 at [i, j], else 0

and likewise with a number added to a parameter. They agree as far as the arithmetic allows. Where
they do not, `Comparison.reasons` says what was found: an input of ReLU that changes its sign within
the step, or is exactly 0, where there is no derivative; the rounding of two costs that are nearly
equal; the curvature of the cost within the step. A difference without a reason is a mistake in the
backward pass.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree
from numpy.typing import NDArray

from jmlp.nn import cost, faults, model
from jmlp.nn.activations import RELU
from jmlp.nn.gradient import CostOptions
from jmlp.nn.trace import INPUTS, OUTPUTS, Kind, Masks, Operation, Trace, compose, record
from jmlp.study.rules import BackwardFault
from jmlp.system import numerics

# The step of the central differences by type, near eps^(1/3) for numbers near 1, where rounding and
# curvature are both small (Press et al., "Numerical Recipes", 3rd ed. (2007), section 5.7).
STEPS = {"float32": 4e-3, "float64": 1e-5}
# Relative errors of a derivative that need a reason.
DIFFERENCE_TOLERANCES = {"float32": 1e-3, "float64": 1e-6}
VJP_TOLERANCES = {"float32": 1e-4, "float64": 1e-9}
ROUNDINGS = 8  # of a cost, that the error of a difference may consist of
SUMMED = 64  # roundings of the largest derivative of an array, in sums of its size
MOST_PLACES = 3  # that a reason names
MOST_CHECKED = 64  # numbers of an array that `ThreeWays.compare_array` checks by differences
KINKED = ("relu", "leaky_relu")

LogSoftmax = Callable[[Array], Array]


@dataclass(frozen=True)
class Comparison:
    """One derivative by three ways."""

    by_hand: float
    by_vjp: float
    by_differences: float
    step: float  # h
    reasons: tuple[str, ...]  # why they differ; empty: they agree
    is_mistake: bool  # they differ, and no reason explains it

    @property
    def vjp_error(self) -> float:
        """Relative to the larger of the two; 0 if both are 0."""
        return _relative(self.by_hand, self.by_vjp)

    @property
    def difference_error(self) -> float:
        """Relative to the larger of the two; 0 if both are 0."""
        return _relative(self.by_hand, self.by_differences)


@dataclass(frozen=True)
class ArrayComparison:
    """The derivatives of one array by three ways."""

    operation: int  # its index in `Trace.operations`
    letter: str
    size: int
    vjp_error: float  # |by hand - by vjp| / the larger of the two, by the Euclidean norm
    difference_error: float  # likewise, of the numbers that were checked
    n_checked: int  # by differences: all, or the largest ones
    reasons: Mapping[str, int]  # the kind of each reason, and of how many numbers it is one
    n_mistakes: int  # numbers that differ without a reason


class ThreeWays:
    """The derivatives of one pass by hand and by `jax.vjp`; by differences as they are asked for.

    Everything is in the type of the trace, or in float64: then the pass is made again in float64,
    from the same numbers and with the same masks of dropout, and `trace` is its record.
    """

    def __init__(
        self,
        found: Trace,
        params: model.Params,
        state: model.State,
        y: Array,
        options: CostOptions = CostOptions(),  # noqa: B008 - immutable
        *,
        fault: BackwardFault = "none",
        learn_scale: bool = True,
        rate: float = 0.0,
        share: float = 1.0,
        is_prediction: bool = False,
        double: bool = False,
    ) -> None:
        """Differentiates the pass by `jax.vjp`.

        Args:
            found: the trace of the pass.
            params: as given to `trace`, and so on.
            state: running statistics of the network.
            y: `(B,)`.
            options: of the cost.
            fault: the mistake in the derivatives by hand.
            learn_scale: whether the scale and shift of batch norm are learned.
            rate: the learning rate, for the fault "updated_weights".
            share: the fraction of the mini-batch that these examples make up.
            is_prediction: whether it is the result of `trace_prediction`.
            double: whether to compute in float64.
        """
        self._double, self._learn_scale = double, learn_scale
        # What is no number, and so part of what is compiled.
        self._static: dict[str, Any] = {
            "running": is_prediction,
            "log_softmax": options.log_softmax,
        }
        with self._settings():
            given = found.inputs, _masks(found), params, state, _numbers_of(options)
            if double:
                given = jax.tree.map(_as_double, jax.device_get(given))
                y = jnp.asarray(np.asarray(y))
            A, masks, params, state, options = given
            if double:
                found = _recorded(
                    params,
                    _Constants(A, masks, state, y, options, jnp.asarray(share, A.dtype)),
                    jnp.asarray(rate, A.dtype),
                    fault=fault,
                    learn_scale=learn_scale,
                    share=share,
                    **self._static,
                )
            self.trace = found
            self._variables = params, _taps(found)
            self._constants = _Constants(A, masks, state, y, options, jnp.asarray(share, A.dtype))
            by_vjp = _by_vjp(self._variables, self._constants, **self._static)
            self._by_vjp = jax.device_get(by_vjp)
        self.type = str(found.inputs.dtype)
        leaves, structure = jax.tree.flatten(self._variables)
        starts = np.cumsum([0, *(leaf.size for leaf in leaves)])[:-1]
        self._starts = jax.tree.unflatten(structure, starts.tolist())

    def _settings(self) -> contextlib.ExitStack:
        stack = contextlib.ExitStack()
        stack.enter_context(numerics.pinned())
        stack.enter_context(jax.enable_x64(self._double))
        return stack

    # ---- the derivatives of a trace

    def places(self) -> Iterator[tuple[int, str]]:
        """The operation and the letter of each array of derivatives, in the order of the pass.

        The derivative of what an operation reads is that of what the one before it computed, so
        each array comes once.
        """
        for index, operation in enumerate(self.trace.operations):
            for letter in operation.arrays:
                is_origin = self.trace.origin(index, letter) == (index, letter)
                if letter.startswith("d") and is_origin and self._leaf(index, letter):
                    yield index, letter

    def _leaf(self, index: int, letter: str) -> Callable[[Any], Any] | None:
        """What picks the array's variable from the pair of parameters and taps."""
        index, letter = self.trace.origin(index, letter)
        operations = self.trace.operations
        if letter == f"d{INPUTS[operations[index].kind]}":
            return lambda variables: variables[1][index]
        n_before = int(self.trace.input_dropout is not None)
        for number, layer in enumerate(self.trace.layers):
            within = index - n_before
            if within < len(layer.operations):
                before = layer.operations[:within]
                part = _part_of(operations[index].kind, before)
                name = letter.removeprefix("d")
                return lambda variables: getattr(getattr(variables[0][number], part), name)
            n_before += len(layer.operations)
        return None

    # ---- comparisons

    def compare(self, index: int, letter: str, i: int, j: int) -> Comparison:
        """One derivative by three ways.

        Args:
            index: of an operation in `trace.operations`.
            letter: of an array of its derivatives, such as "dZ".
            i: row of the number.
            j: its column.

        Raises:
            KeyError: the operation has no such derivative.
            IndexError: the array has no such place.
        """
        index, letter, leaf = self._found(index, letter)
        shape = self.trace.operations[index][letter].shape
        if not (0 <= i < shape[0] and 0 <= j < shape[1]):
            raise IndexError(f"{letter}[{i}, {j}]: {letter} is {shape[0]} by {shape[1]}")
        return self._compared(index, letter, leaf, np.array([i * shape[1] + j]))[0]

    def compare_array(self, index: int, letter: str) -> ArrayComparison:
        """All derivatives of one array; by differences the `MOST_CHECKED` largest ones.

        Args:
            index: of an operation in `trace.operations`.
            letter: of an array of its derivatives.

        Raises:
            KeyError: the operation has no such derivative.
        """
        index, letter, leaf = self._found(index, letter)
        by_hand = np.asarray(self.trace.operations[index][letter], np.float64)
        by_vjp = np.asarray(leaf(self._by_vjp), np.float64)
        largest = np.argsort(-np.abs(by_hand), axis=None, kind="stable")[:MOST_CHECKED]
        checked = self._compared(index, letter, leaf, largest)
        hand, differences = (
            np.array([getattr(one, way) for one in checked])
            for way in ("by_hand", "by_differences")
        )
        return ArrayComparison(
            operation=index,
            letter=letter,
            size=by_hand.size,
            vjp_error=_relative_norm(by_hand, by_vjp),
            difference_error=_relative_norm(hand, differences),
            n_checked=len(checked),
            reasons=_kinds(checked),
            n_mistakes=sum(one.is_mistake for one in checked),
        )

    def _found(self, index: int, letter: str) -> tuple[int, str, Callable[[Any], Any]]:
        if letter not in self.trace.operations[index].arrays or not letter.startswith("d"):
            raise KeyError(letter)
        leaf = self._leaf(index, letter)
        if leaf is None:
            raise KeyError(letter)
        return *self.trace.origin(index, letter), leaf

    def _compared(
        self, index: int, letter: str, leaf: Callable[[Any], Any], flat: NDArray[np.int64]
    ) -> list[Comparison]:
        """Comparisons of the numbers at these places of one array."""
        by_hand = np.asarray(self.trace.operations[index][letter], np.float64).ravel()[flat]
        by_vjp = np.asarray(leaf(self._by_vjp), np.float64).ravel()
        summed = SUMMED * float(np.finfo(self.type).eps) * float(np.max(np.abs(by_vjp)))
        by_vjp, step = by_vjp[flat], STEPS[self.type]
        # Of two sizes only, for each of which JAX compiles a program.
        padded = np.resize(flat, 1 if len(flat) == 1 else MOST_CHECKED)
        with self._settings():
            places = jnp.asarray(leaf(self._starts) + padded, jnp.int32)
            steps = jnp.asarray(step, self.trace.inputs.dtype)
            moved = jax.device_get(
                _moved(self._variables, self._constants, places, steps, **self._static)
            )
        costs = np.asarray(moved.costs, np.float64)[: len(flat)]
        wide = (costs[:, 0] - costs[:, 1]) / (2 * step)
        narrow = (costs[:, 2] - costs[:, 3]) / step
        rounding = ROUNDINGS * float(np.finfo(self.type).eps) * np.abs(costs[:, 0]) / (2 * step)
        kinks = self._kinks()
        return [
            self._judged(
                (float(by_hand[n]), float(by_vjp[n]), float(wide[n])),
                letter,
                float(abs(wide[n] - narrow[n])),
                (summed, float(rounding[n]) + summed),
                [
                    (where, np.argwhere(crossed[n]))
                    for where, crossed in zip(kinks, moved.crossed, strict=True)
                ],
            )
            for n in range(len(flat))
        ]

    def _judged(
        self,
        values: tuple[float, float, float],
        letter: str,
        curvature: float,
        rounding: tuple[float, float],
        crossed: Sequence[tuple[tuple[str, NDArray[Any]], NDArray[np.int64]]],
    ) -> Comparison:
        """A comparison with its reasons.

        Args:
            values: by hand, by vjp, by differences.
            letter: of the derivative.
            curvature: how much the difference changes when the step is halved.
            rounding: the error that rounding may have made, by hand and by differences.
            crossed: of each activation with a kink, its name and inputs; and the places where the
                input changes its sign within the step.
        """
        by_hand, by_vjp, by_differences = values
        reasons, is_mistake = [], False
        ties = [
            f"a tie: {name}.Z[{i}, {j}] is exactly 0, where there is no derivative: by hand it is "
            "that of the left side, by vjp the mean of both sides"
            for (name, Z), _ in crossed
            for i, j in np.argwhere(Z == 0)[:MOST_PLACES]
        ]
        if not self._learn_scale and letter in ("dgamma", "dbeta"):
            reasons.append("the scale and shift of batch norm are not learned: set to 0 by hand")
        elif _relative(by_hand, by_vjp) > VJP_TOLERANCES[self.type]:
            if ties:
                reasons += ties
            elif abs(by_hand - by_vjp) <= rounding[0]:
                reasons.append(f"rounding: sums of {self.type} in another order")
            else:
                is_mistake = True
        gap = abs(by_vjp - by_differences)
        if _relative(by_vjp, by_differences) > DIFFERENCE_TOLERANCES[self.type]:
            kinks = [
                f"a kink within the step: {name}.Z[{i}, {j}] changes its sign"
                for (name, _), places in crossed
                for i, j in places[:MOST_PLACES]
            ]
            explained = [*kinks, *(tie for tie in ties if tie not in reasons)]
            if gap <= rounding[1]:
                explained.append(
                    f"rounding: the difference of two costs in {self.type}, divided by 2h, is "
                    f"exact to {rounding[1]:.1g} at best"
                )
            if gap <= 4 * curvature and not kinks:
                explained.append(
                    f"curvature: with half the step the difference changes by {curvature:.1g}"
                )
            reasons += explained
            is_mistake = is_mistake or not explained
        step = STEPS[self.type]
        return Comparison(by_hand, by_vjp, by_differences, step, tuple(reasons), is_mistake)

    def _kinks(self) -> list[tuple[str, NDArray[Any]]]:
        """The layer's name and the inputs of each activation that has a kink at 0."""
        return [
            (layer.name, np.asarray(operation["Z"]))
            for layer in self.trace.layers
            for operation in layer.operations
            if operation.name in KINKED
        ]


class _Constants(NamedTuple):
    """What the cost depends on besides the variables, parameters and taps."""

    A: Array  # (n_in, B): the scaled inputs
    masks: Masks
    state: model.State
    y: Array
    options: CostOptions
    share: Array


class _Moved(NamedTuple):
    """What happens when one number is moved by a step in both directions."""

    costs: Array  # (n, 4): at h, -h, h / 2, -h / 2
    crossed: tuple[Array, ...]  # (n, units, B): whether an activation's input changes its sign


def _cost(
    variables: Any, constants: _Constants, running: bool, log_softmax: LogSoftmax | None
) -> tuple[Array, tuple[Array, ...]]:
    """The cost, and the inputs of the activations with a kink."""
    params, taps = variables
    A, masks, state, y, options, share = constants
    logits, caches = compose(params, state, A, masks, running=running, taps=taps)
    mean_cost, _ = cost.forward(
        logits, y, options.label_smoothing, options.class_weights, log_softmax
    )
    kinked = tuple(
        cache.activation.values
        for cache in caches
        if cache.activation is not None and (cache.activation.activation or RELU).name in KINKED
    )
    return share * mean_cost, kinked


@partial(jax.jit, static_argnames=("fault", "learn_scale", "share", "running", "log_softmax"))
def _recorded(
    params: model.Params,
    constants: _Constants,
    rate: Array,
    *,
    fault: BackwardFault,
    learn_scale: bool,
    share: float,
    running: bool,
    log_softmax: LogSoftmax | None,
) -> Trace:
    """The trace of the pass with these masks."""
    A, masks, state, y, options, _ = constants
    options = options._replace(log_softmax=log_softmax)
    return record(
        params,
        A,
        compose(params, state, A, masks, running=running),
        y,
        options,
        faults.derivatives(fault, learn_scale=learn_scale, rate=rate),
        share,
        input_mask=masks.inputs,
        running=state if running else None,
    )


@partial(jax.jit, static_argnames=("running", "log_softmax"))
def _by_vjp(
    variables: Any, constants: _Constants, *, running: bool, log_softmax: LogSoftmax | None
) -> Any:
    value, vjp = jax.vjp(lambda v: _cost(v, constants, running, log_softmax)[0], variables)
    return vjp(jnp.ones_like(value))[0]


@partial(jax.jit, static_argnames=("running", "log_softmax"))
def _moved(
    variables: Any,
    constants: _Constants,
    places: Array,
    step: Array,
    *,
    running: bool,
    log_softmax: LogSoftmax | None,
) -> _Moved:
    flat, unravel = ravel_pytree(variables)

    def at(place: Array, by: Array) -> tuple[Array, tuple[Array, ...]]:
        return _cost(unravel(flat.at[place].add(by)), constants, running, log_softmax)

    def of_place(place: Array) -> _Moved:
        up, down = at(place, step), at(place, -step)
        half = [at(place, sign * step / 2)[0] for sign in (1, -1)]
        crossed = tuple((a > 0) != (b > 0) for a, b in zip(up[1], down[1], strict=True))
        return _Moved(jnp.stack([up[0], down[0], *half]), crossed)

    moved: _Moved = jax.lax.map(of_place, places)
    return moved


def _part_of(kind: Kind, before: Sequence[Operation]) -> str:
    """The part of `model.Layer` with the parameters of an operation.

    Args:
        kind: of the operation.
        before: the operations of its layer before it.
    """
    if kind == "dense":
        return "dense"
    return "batchnorm_after" if any(op.kind == "activation" for op in before) else "batchnorm"


def _taps(found: Trace) -> tuple[Array, ...]:
    """Zeros, in the order of `compose`: of the inputs, then of what each operation computes."""
    computed = [op[OUTPUTS[op.kind]] for op in found.operations if op.kind != "cost"]
    return tuple(jnp.zeros_like(array) for array in (found.inputs, *computed))


def _masks(found: Trace) -> Masks:
    at_input = None if found.input_dropout is None else found.input_dropout["M"]
    of_layers = [
        next((op["M"] for op in layer.operations if op.kind == "dropout"), None)
        for layer in found.layers[:-1]
    ]
    return Masks(at_input, tuple(of_layers))


def _numbers_of(options: CostOptions) -> CostOptions:
    """The options without the rates, whose masks are drawn already, and without what is static."""
    return options._replace(drop_rate=None, input_drop_rate=None, log_softmax=None)


def _as_double(leaf: Any) -> Any:
    array = np.asarray(leaf)
    return jnp.asarray(array, jnp.float64) if array.dtype.kind == "f" else jnp.asarray(array)


def _kinds(found: Sequence[Comparison]) -> dict[str, int]:
    """How often each kind of reason, the words before its colon, is given; the usual first."""
    counts = Counter(kind for one in found for kind in {r.partition(":")[0] for r in one.reasons})
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _relative(a: float, b: float) -> float:
    largest = max(abs(a), abs(b))
    return abs(a - b) / largest if largest > 0 else abs(a - b)


def _relative_norm(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    largest = max(float(np.linalg.norm(a)), float(np.linalg.norm(b)))
    error = float(np.linalg.norm(a - b))
    return error / largest if largest > 0 else error
