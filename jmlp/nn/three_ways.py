"""Each derivative of a pass by three ways: by hand, by `jax.vjp`, and by central differences.

By hand is what a trace recorded (`nn.trace`). The other two differentiate the same forward pass
(`trace.compose`), with a number added to what each operation computes:

    C(t) = cost of the pass in which operation k computes Y + t, where t is 0 in the trace
    dY   = dC / dt                               by `jax.vjp`
    dY[i, j] = (C(h e) - C(-h e)) / 2h           by central differences; e is 1 at [i, j], else 0

and likewise with a number added to a parameter. They agree as far as the arithmetic allows. Where
they do not, `Comparison.reasons` says what was found: an input of ReLU that changes its sign within
the step, or is exactly 0, where there is no derivative; the rounding of two costs that are nearly
equal; the curvature of the cost within the step.

In float32, a disagreement is decided by float64, where the same pass is made from the same numbers:
the derivative by hand is wrong if it is another one than by `jax.vjp` there too, by more than
rounding can move it (`nn.rounding`). By differences, what the same step gives in float64 tells the
rounding of float32 from the curvature and the kinks within the step.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree
from numpy.typing import ArrayLike, NDArray

from jmlp.nn import cost, faults, model, rounding
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
ROUNDINGS = 8  # of logits and cost, that the error of a difference may consist of
LEFT = {"float32": -1e-30, "float64": -1e-300}  # of a kink, and so near that no cost changes
MOST_PLACES = 3  # that a reason names
MOST_CHECKED = 64  # numbers of an array that `ThreeWays.compare_array` checks by differences
KINKED = ("relu", "leaky_relu")

LogSoftmax = Callable[[Array], Array]
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """One derivative by three ways."""

    by_hand: float
    by_vjp: float
    by_differences: float
    step: float  # h
    reasons: tuple[str, ...]  # why they differ; empty: they agree
    is_mistake: bool  # by hand it is another one than by vjp, and that without a reason

    @property
    def vjp_error(self) -> float:
        """Relative to the larger of the two; 0 if both are 0."""
        return float(_relative(self.by_hand, self.by_vjp))

    @property
    def difference_error(self) -> float:
        """Relative to the larger of the two; 0 if both are 0."""
        return float(_relative(self.by_hand, self.by_differences))


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
    n_mistakes: int  # numbers that are wrong by hand


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
        self._again = partial(
            ThreeWays,
            found,
            params,
            state,
            y,
            options,
            fault=fault,
            learn_scale=learn_scale,
            rate=rate,
            share=share,
            is_prediction=is_prediction,
            double=True,
        )
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

    @cached_property
    def doubled(self) -> "ThreeWays":
        """The same in float64."""
        return self if self._double else self._again()

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
        by_hand, by_vjp = self._by_hand(index, letter, flat), _numbers(leaf(self._by_vjp), flat)
        step = STEPS[self.type]
        moved = self._moved(leaf, flat, step)
        of_vjp = self._why_vjp_differs(index, letter, leaf, flat)
        of_difference = self._why_the_difference_differs(leaf, flat, moved)
        return [
            Comparison(
                by_hand=float(by_hand[n]),
                by_vjp=float(by_vjp[n]),
                by_differences=float(moved.wide[n]),
                step=step,
                reasons=(*(of_vjp[n] or ()), *of_difference[n]),
                is_mistake=of_vjp[n] is None,
            )
            for n in range(len(flat))
        ]

    def _by_hand(self, index: int, letter: str, flat: NDArray[np.int64]) -> Numbers:
        return _numbers(self.trace.operations[index][letter], flat)

    def _moved(
        self, leaf: Callable[[Any], Any], flat: NDArray[np.int64], step: float
    ) -> "_Differences":
        """The costs with each of these numbers moved by a step in both directions."""
        # Of two sizes only, for each of which JAX compiles a program.
        padded = np.resize(flat, 1 if len(flat) == 1 else MOST_CHECKED)
        with self._settings():
            places = jnp.asarray(leaf(self._starts) + padded, jnp.int32)
            steps = jnp.asarray(step, self.trace.inputs.dtype)
            moved = jax.device_get(
                _moved(self._variables, self._constants, places, steps, **self._static)
            )
        costs = np.asarray(moved.costs, np.float64)[: len(flat)]
        return _Differences(
            wide=(costs[:, 0] - costs[:, 1]) / (2 * step),
            narrow=(costs[:, 2] - costs[:, 3]) / step,
            cost=np.abs(costs[:, 0]),
            crossed=[crossed[: len(flat)] for crossed in moved.crossed],
        )

    def _why_vjp_differs(
        self, index: int, letter: str, leaf: Callable[[Any], Any], flat: NDArray[np.int64]
    ) -> list[tuple[str, ...] | None]:
        """The reasons of each number; None: by hand it is wrong; empty: by vjp it is the same."""
        if not self._learn_scale and letter in ("dgamma", "dbeta"):
            reason = "the scale and shift of batch norm are not learned: set to 0 by hand"
            return [(reason,)] * len(flat)
        tolerance, by_hand = VJP_TOLERANCES[self.type], self._by_hand(index, letter, flat)
        by_vjp, at_left = (_numbers(leaf(d), flat) for d in (self._by_vjp, self._left_by_vjp))
        differs = _relative(by_hand, by_vjp) > tolerance
        is_tied = differs & (_relative(at_left, by_vjp) > tolerance)
        is_rounded = differs & (~is_tied | (_relative(by_hand, at_left) > tolerance))
        is_wrong, texts = np.zeros(len(flat), bool), [""] * len(flat)
        if is_rounded.any():
            is_wrong, texts = self.doubled._judged(index, letter, leaf, flat, self.type)
        ties = tuple(
            f"a tie: {name}[{i}, {j}] is exactly 0, where there is no derivative: by hand it is "
            "that of the left side, by vjp the mean of both sides"
            for _, name, Z in self._kinks
            for i, j in np.argwhere(Z == 0)[:MOST_PLACES]
        )
        return [
            None
            if is_rounded[n] and is_wrong[n]
            else (*(ties if is_tied[n] else ()), *((texts[n],) if is_rounded[n] else ()))
            for n in range(len(flat))
        ]

    def _judged(
        self,
        index: int,
        letter: str,
        leaf: Callable[[Any], Any],
        flat: NDArray[np.int64],
        differ_in: str,
    ) -> tuple[NDArray[np.bool_], list[str]]:
        """Whether each number is wrong by hand, in float64; and else by what it differs.

        Args:
            index: of the operation.
            letter: of the array.
            leaf: what picks the array's variable.
            flat: the places in it.
            differ_in: the type in which the numbers differ.
        """
        by_hand, by_vjp = (
            self._by_hand(index, letter, flat),
            _numbers(leaf(self._left_by_vjp), flat),
        )
        errors, allowed = _relative(by_hand, by_vjp), self._rounding[index][letter].ravel()[flat]
        is_wrong = (errors > VJP_TOLERANCES[self.type]) & (np.abs(by_hand - by_vjp) > allowed)
        if differ_in != self.type:
            return is_wrong, [f"rounding: in {self.type} they agree to {e:.1e}" for e in errors]
        text = f"rounding: the sums and differences in {self.type} are exact to"
        return is_wrong, [f"{text} {bound:.1g} at best" for bound in allowed]

    def _why_the_difference_differs(
        self, leaf: Callable[[Any], Any], flat: NDArray[np.int64], moved: "_Differences"
    ) -> list[tuple[str, ...]]:
        """Why the difference at each place is another number than by vjp; empty: it is not."""
        by_vjp, step = _numbers(leaf(self._by_vjp), flat), STEPS[self.type]
        differs = _relative(by_vjp, moved.wide) > DIFFERENCE_TOLERANCES[self.type]
        if not differs.any():
            return [()] * len(flat)
        exact, exact_vjp = moved, by_vjp
        if not self._double:  # With the same step in float64, what is left is not rounding.
            exact = self.doubled._moved(leaf, flat, step)
            exact_vjp = _numbers(leaf(self.doubled._by_vjp), flat)
        gaps, rests = np.abs(by_vjp - moved.wide), np.abs(exact_vjp - exact.wide)
        # The rounding of float32 is known from float64; of that of float64 there is a bound.
        bounds = self.doubled._rounding_of_costs(exact, step)
        roundings = np.abs((moved.wide - by_vjp) - (exact.wide - exact_vjp)) + bounds
        errors, narrowing = _relative(exact.wide, exact_vjp), np.abs(exact.wide - exact.narrow)
        reasons: list[tuple[str, ...]] = []
        for n in range(len(flat)):
            kinks = self._kinks_within(exact, n)
            by_half = f"with half the step the difference changes by {narrowing[n]:.1g}"
            if not differs[n]:
                found: tuple[str, ...] = ()
            elif bounds[n] >= gaps[n] / 2:  # the larger part, here and below
                found = (
                    "rounding: the difference of two costs in float64, divided by 2h, is exact to "
                    f"{bounds[n]:.1g} at best",
                )
            elif roundings[n] >= gaps[n] / 2:
                found = (f"rounding: with the same step in float64, its error is {errors[n]:.1e}",)
            elif kinks:
                found = kinks
            elif rests[n] <= 4 * narrowing[n]:
                found = (f"curvature: {by_half}",)
            else:
                found = (f"no reason was found: {by_half}",)
            reasons.append(found)
        return reasons

    def _kinks_within(self, moved: "_Differences", n: int) -> tuple[str, ...]:
        """The inputs of activations that change their sign within the step of number n."""
        return tuple(
            f"a kink within the step: {name}[{i}, {j}] changes its sign"
            for (_, name, _), crossed in zip(self._kinks, moved.crossed, strict=True)
            for i, j in np.argwhere(crossed[n])[:MOST_PLACES]
        )

    def _rounding_of_costs(self, moved: "_Differences", step: float) -> Numbers:
        """The error at most that rounding makes in each difference.

        A cost is that of logits which are rounded themselves, so their size counts as well.
        """
        largest = float(np.max(np.abs(self.trace.cost["logits"])))
        return ROUNDINGS * float(np.finfo(self.type).eps) * (moved.cost + largest) / (2 * step)

    # ---- of the whole pass

    @cached_property
    def _rounding(self) -> tuple[dict[str, Numbers], ...]:
        return rounding.bounds(self.trace)

    @cached_property
    def _kinks(self) -> list[tuple[int, str, NDArray[Any]]]:
        """The index of each activation that has a kink at 0, and the name and numbers of its Z."""
        operations = self.trace.operations
        return [
            (index, self.trace.name(index, "Z"), np.asarray(operation["Z"]))
            for index, operation in enumerate(operations)
            if operation.name in KINKED
        ]

    @cached_property
    def _left_by_vjp(self) -> Any:
        """By vjp, with the derivative of the left side where an input of an activation is 0."""
        ties = {index: Z == 0 for index, _, Z in self._kinks if (Z == 0).any()}
        if not ties:
            return self._by_vjp
        params, taps = self._variables
        with self._settings():
            at_left = tuple(  # tap 0 is that of the inputs, so tap k is added to what k reads
                tap + (LEFT[self.type] * ties[k]).astype(tap.dtype) if k in ties else tap
                for k, tap in enumerate(taps)
            )
            return jax.device_get(_by_vjp((params, at_left), self._constants, **self._static))


class _Differences(NamedTuple):
    """What happens to the cost when numbers are moved by a step h; for n numbers."""

    wide: Numbers  # (n,): (C(h) - C(-h)) / 2h
    narrow: Numbers  # (n,): the same with half the step
    cost: Numbers  # (n,)
    crossed: list[NDArray[np.bool_]]  # (n, units, B): as in `_Moved`


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


def _relative(a: ArrayLike, b: ArrayLike) -> Numbers:
    """|a - b| / the larger of the two; 0 where both are 0."""
    error, largest = np.abs(np.subtract(a, b)), np.maximum(np.abs(a), np.abs(b))
    relative: Numbers = error / np.where(largest > 0, largest, 1)
    return relative


def _numbers(array: Any, flat: NDArray[np.int64]) -> Numbers:
    """The numbers at these places, in float64."""
    numbers: Numbers = np.asarray(array, np.float64).ravel()[flat]
    return numbers


def _relative_norm(a: Numbers, b: Numbers) -> float:
    largest = max(float(np.linalg.norm(a)), float(np.linalg.norm(b)))
    error = float(np.linalg.norm(a - b))
    return error / largest if largest > 0 else error
