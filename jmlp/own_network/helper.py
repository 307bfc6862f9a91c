"""`python -m jmlp.own_network.helper`: runs the file of a user's network, in a process of its own.

The request has "file"; the last answer is a `records.Measured` as JSON, those before it are
`records.Progress`. What the file prints goes to stderr, and its stdin is empty. The file may do
anything that its user may do: it is the user's own.
"""

import json
import runpy
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from jmlp.errors import CheckFailed, ConfigError, DataError
from jmlp.own_network.records import FUNCTIONS, PRECISIONS, SIZES, Progress, of_derivative
from jmlp.study.rules import plain
from jmlp.system import helper_server
from jmlp.system.helper_server import Send

N_EXAMPLES = 7
# With it each unit of a ReLU network with `SIZES`, those of the output too, is above 0 for some
# examples and below for others, and never within 0.07 of it, where differences would not hold.
SEED = 140
# A relative change of the parameters that float32 rounds away, and float64 does not.
UNSEEN_BY_FLOAT32 = 1e-10
SECONDS_BETWEEN_REPORTS = 1.0
LARGE = 500.0  # parameters as large give logits at which exp overflows
Array = NDArray[np.float64]
CostAndGradient = Callable[[Any, Array, NDArray[np.int64]], tuple[Any, Any]]


def measure(request: Mapping[str, Any], send: Send) -> None:
    """Computes the cost of a user's network, its gradient and central differences.

    Raises:
        CheckFailed: a function of the file failed, or returned something else than it should.
        ConfigError: the file lacks functions, or `EXAMPLES` or `SIZES` is wrong.
        DataError: the file cannot be read, or is not Python.
    """
    path = Path(request["file"])
    names = _load(path)
    send({"progress": asdict(Progress())})
    send(_Network(path, names, send).measured())


def _load(path: Path) -> Mapping[str, Any]:
    sys.path.insert(0, str(path.resolve().parent))  # for its own imports
    try:
        return runpy.run_path(str(path), run_name="my_network")
    except SyntaxError as error:
        if error.lineno is None:  # a file that no editor wrote
            raise DataError(f"{path}: is no Python source: {plain(error.msg)}") from None
        raise DataError(f"{path}: line {error.lineno}: {plain(error.msg)}") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
    except BaseException as error:  # whatever it raises, SystemExit included
        if isinstance(error, ValueError) and not _own_lines(path, error):  # UnicodeDecodeError too
            raise DataError(f"{path}: is no Python source: {plain(str(error))}") from None
        _failed(path, "the file", error)


def _own_lines(path: Path, error: BaseException) -> list[int | None]:
    """The lines of the user's file that an exception came through, the innermost last."""
    frames = traceback.extract_tb(error.__traceback__)
    return [frame.lineno for frame in frames if frame.filename == str(path)]


def _failed(path: Path, what: str, error: BaseException) -> NoReturn:
    """Reports an exception in the user's code, with the line in their file."""
    own = _own_lines(path, error)
    where = f"line {own[-1]}: " if own else ""
    text = plain(f"{type(error).__name__}: {error}", limit=300)
    if isinstance(error, ValueError) and any(word in text for word in ("mismatch", "aligned")):
        text += ": the shapes of two matrices do not fit; is one of them to be transposed?"
    if isinstance(error, EOFError):
        text += ": no input is given to it; leave input() out"
    raise CheckFailed(f"{path}: {where}{what} failed: {text}") from None


class _Network:
    """The functions of the file, and the arrays with which they are called."""

    def __init__(self, path: Path, names: Mapping[str, Any], send: Send) -> None:
        self.path = path
        self.send = send
        self.n_calls, self.seconds, self.reported = 0, 0.0, 0.0
        self.compute = _cost_and_gradient(path, names)
        examples = names.get("EXAMPLES", "rows")
        if examples not in ("rows", "columns"):
            raise ConfigError(f"{path}: EXAMPLES: must be 'rows' or 'columns', got {examples!r}")
        sizes = names.get("SIZES", SIZES)
        if not (
            isinstance(sizes, list | tuple)
            and len(sizes) >= 2
            and all(isinstance(n, int) and 1 <= n <= 64 for n in sizes)
            and sizes[-1] >= 2
        ):
            raise ConfigError(
                f"{path}: SIZES: must be the numbers of inputs, hidden units and classes, each "
                f"from 1 to 64, as in {list(SIZES)}, got {sizes!r}"
            )
        self.sizes = list(sizes)
        rng = np.random.default_rng(SEED)
        # All numbers are float32's too, so that a network in float32 computes with the same ones.
        self.x = _rounded(rng.normal(size=(self.sizes[0], N_EXAMPLES)))
        # Every class once, then at random: shifted labels must differ from the right ones.
        self.y = np.arange(N_EXAMPLES) % self.sizes[-1]
        rng.shuffle(self.y)
        self.columns = examples == "columns"
        self.changes_params = False
        self.params = self._params(names, np.random.default_rng(0))
        for _, leaf in _leaves(self.params):
            leaf[...] = _rounded(rng.normal(size=leaf.shape))

    def _params(self, names: Mapping[str, Any], rng: np.random.Generator) -> Any:
        if "init" in names:
            try:
                params = names["init"](self.sizes, rng)
            except BaseException as error:
                _failed(self.path, "init(sizes, rng)", error)
        else:
            params = {}
            for layer, (a, b) in enumerate(zip(self.sizes, self.sizes[1:], strict=False), start=1):
                params[f"W{layer}"] = np.zeros((b, a) if self.columns else (a, b))
                params[f"b{layer}"] = np.zeros((b, 1) if self.columns else (b,))
        try:
            return _as_arrays(params)
        except (TypeError, ValueError):
            raise CheckFailed(
                f"{self.path}: init(sizes, rng): must return a dictionary, list or tuple of "
                f"arrays, got {plain(type(params).__name__)}"
            ) from None

    def call(self, params: Any) -> tuple[Any, Any]:
        """Cost and gradient, as the user's functions return them; they are given copies."""
        x = self.x if self.columns else self.x.T
        copy = _as_arrays(params)
        start = time.perf_counter()
        with np.errstate(all="ignore"):
            try:
                found = self.compute(copy, x.copy(), self.y.copy())
            except CheckFailed:
                raise
            except BaseException as error:
                _failed(self.path, "the network", error)
        self._count(time.perf_counter() - start)
        pairs = zip(_leaves(params), _leaves(copy), strict=False)
        if not all(np.array_equal(before, after) for (_, before), (_, after) in pairs):
            self.changes_params = True
        return found

    def _count(self, seconds: float) -> None:
        """Reports how far the check has come: after the first call, and then each second."""
        self.n_calls += 1
        self.seconds += seconds
        if self.n_calls == 1 or self.seconds - self.reported >= SECONDS_BETWEEN_REPORTS:
            self.reported = self.seconds
            n_numbers = sum(leaf.size for _, leaf in _leaves(self.params))
            # The cost, its gradient twice, its resolution, large logits, and the differences.
            progress = Progress(self.n_calls, 5 + 2 * n_numbers, self.seconds)
            self.send({"progress": asdict(progress)})

    def cost(self, params: Any) -> float:
        """The cost as a number.

        Raises:
            CheckFailed: it is not one.
        """
        found = self.call(params)[0]
        try:
            return float(_array(found).reshape(()))
        except (TypeError, ValueError):
            raise CheckFailed(
                f"{self.path}: the cost must be one number, the mean over the examples, got "
                f"{plain(repr(found), limit=80)}"
            ) from None

    def measured(self) -> dict[str, Any]:
        """All that is compared, see `records.Measured`."""
        cost = self.cost(self.params)
        if not np.isfinite(cost):
            raise CheckFailed(f"{self.path}: the cost is {cost} with small random numbers")
        returned = self.call(self.params)
        again = self.call(self.params)[1]
        gradient = {name: _listed(leaf) for name, leaf in _leaves(returned[1])}
        names = [name for name, _ in _leaves(self.params)]
        if not gradient.keys() & {*names, *map(of_derivative, names)}:
            found = ", ".join(map(plain, filter(None, gradient))) or _described(returned[1])
            raise CheckFailed(
                f"{self.path}: the gradient must have the form of the parameters "
                f"({', '.join(names)}), got {found}"
            )
        changes_params = self.changes_params
        repeats = json.dumps(gradient) == json.dumps(  # NaN is NaN there
            {name: _listed(leaf) for name, leaf in _leaves(again)}
        )
        precision = self._precision(returned, cost)
        step = PRECISIONS[precision].step
        differences = [self._differences(leaf, step) for _, leaf in _leaves(self.params)]
        params = [(name, _listed(leaf)) for name, leaf in _leaves(self.params)]
        for _, leaf in _leaves(self.params):
            np.multiply(leaf, LARGE, out=leaf)
        return {
            "sizes": self.sizes,
            "x": self.x.tolist(),
            "y": self.y.tolist(),
            "params": params,
            "columns": self.columns,
            "precision": precision,
            "cost": cost,
            "gradient": list(gradient.items()),
            "differences": [d.tolist() for d in differences],
            "repeats": repeats,
            "changes_params": changes_params,
            # A probability that is rounded to 0 gives infinity, which is not this mistake.
            "overflows": bool(np.isnan(self.cost(self.params))),
        }

    def _precision(self, returned: tuple[Any, Any], cost: float) -> str:
        """The type in which the cost and the gradient are computed, whichever is lower.

        Raises:
            CheckFailed: it has fewer digits than float32.
        """
        types = [kind for _, leaf in _leaves(returned) if (kind := _float_type(leaf))]
        if small := [kind.name for kind in types if kind.itemsize < 4]:
            raise CheckFailed(
                f"{self.path}: the network computes in {small[0]}, which has too few digits for a "
                "comparison: let it compute in float64 or float32"
            )
        if any(kind.itemsize == 4 for kind in types):
            return "float32"
        # The result may have been converted: then a small change of the parameters has no effect.
        signs = np.random.default_rng(SEED)
        changed = _as_arrays(self.params)
        for _, leaf in _leaves(changed):
            change = 1 + UNSEEN_BY_FLOAT32 * signs.choice((-1.0, 1.0), leaf.shape)
            np.multiply(leaf, change, out=leaf)
        return "float32" if self.cost(changed) == cost else "float64"

    def _differences(self, leaf: Array, step: float) -> Array:
        """The central differences of the cost at each number of a parameter."""
        found = np.zeros_like(leaf)
        for place in np.ndindex(*leaf.shape):
            number = float(leaf[place])
            leaf[place] = number + step
            above = self.cost(self.params)
            leaf[place] = number - step
            found[place] = (above - self.cost(self.params)) / (2 * step)
            leaf[place] = number
        return found


def _cost_and_gradient(path: Path, names: Mapping[str, Any]) -> CostAndGradient:
    """One function of the user's functions, whichever of the conventions they follow."""
    has = {name for name in FUNCTIONS if callable(names.get(name))}
    if "cost_and_gradient" in has:
        return lambda p, X, y: _pair(
            path,
            "cost_and_gradient(params, X, y): must return a pair (cost, gradient)",
            names["cost_and_gradient"](p, X, y),
        )
    if {"cost", "gradient"} <= has:
        return lambda p, X, y: (names["cost"](p, X, y), names["gradient"](p, X, y))
    if {"forward", "backward"} <= has:
        columns = names.get("EXAMPLES", "rows") == "columns"

        def both(params: Any, X: Array, y: NDArray[np.int64]) -> tuple[Any, Any]:
            probabilities, cache = _pair(
                path,
                "forward(params, X): must return a pair (probabilities, cache), where cache is "
                "whatever backward needs",
                names["forward"](params, X),
            )
            P = _array(probabilities).astype(np.float64)
            of_labels = (P if columns else P.T)[y, np.arange(len(y))]
            gradient = names["backward"](params, X, y, probabilities, cache)
            return -np.mean(np.log(of_labels)), gradient

        return both
    there = ", ".join(sorted(has)) or "none of them"
    raise ConfigError(
        f"{path}: must have cost_and_gradient(params, X, y); or cost(params, X, y) and "
        "gradient(params, X, y); or forward(params, X) and backward(params, X, y, probabilities, "
        f"cache): it has {there} (jmlp gradcheck --template prints a pattern)"
    )


def _pair(path: Path, wanted: str, returned: Any) -> tuple[Any, Any]:
    """What a function returned, if it is a pair.

    Raises:
        CheckFailed: it is something else.
    """
    if isinstance(returned, tuple | list) and len(returned) == 2:
        return returned[0], returned[1]
    raise CheckFailed(f"{path}: {wanted}, got {_described(returned)}")


def _described(value: Any) -> str:
    """A value in a few words, such as `one number (1.35)`."""
    if value is None:
        return "None"
    if isinstance(value, tuple | list | dict):
        return f"a {type(value).__name__} of {len(value)}"
    if (shape := getattr(value, "shape", None)) is not None and tuple(shape):
        return f"an array of shape {tuple(shape)}"
    try:
        return f"one number ({float(value):.4g})"
    except (TypeError, ValueError):
        return plain(f"a {type(value).__name__}")


def _rounded(array: Array) -> Array:
    return array.astype(np.float32).astype(np.float64)


def _array(leaf: Any) -> NDArray[Any]:
    """A leaf as an array; a tensor of PyTorch must forget how it was computed."""
    return np.asarray(leaf.detach() if hasattr(leaf, "detach") else leaf)


def _float_type(leaf: Any) -> np.dtype[Any] | None:
    """The type of a floating-point array; None if it is none."""
    try:
        found = _array(leaf).dtype
    except (TypeError, ValueError):
        return None
    return found if "float" in found.name else None


def _as_arrays(value: Any) -> Any:
    """The same structure with writable float64 arrays."""
    if isinstance(value, Mapping):
        return {key: _as_arrays(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(map(_as_arrays, value))
    if isinstance(value, str) or value is None:
        raise TypeError
    array = np.array(value, np.float64)
    if array.ndim == 0:
        array = array.reshape(1)
    return array


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The arrays in a structure with their names, such as `W1` or `0.1`."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, tuple | list) and not _is_matrix(value):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{name}.{index}" if name else str(index))
    else:
        yield name, value


def _is_matrix(value: Any) -> bool:
    """Whether nested lists are the numbers of one array."""
    return all(isinstance(item, int | float) for item in value)


def _listed(leaf: Any) -> Any:
    """A leaf as nested lists of numbers; a string that says what it is if it is no array."""
    if leaf is None:
        return "None"
    try:
        array = _array(leaf).astype(np.float64)
    except (TypeError, ValueError):
        return plain(f"a {type(leaf).__name__}")
    return array.tolist()


if __name__ == "__main__":
    sys.exit(helper_server.main(measure))
