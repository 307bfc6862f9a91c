"""A small data set, small studies, and trees of arrays by name, for the tests of the engine."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from jmlp.data.dataset import Dataset, make_dataset
from jmlp.study.config import Experiment, Hyperparams, Study, Value
from jmlp.training import engine
from jmlp.training.plan import DataFacts, Plan, data_facts, make_plan
from jmlp.training.records import Progress, RunResult

N_EXAMPLES, N_TEST, N_IN, N_CLASSES = 208, 60, 20, 3
N_TRAINING, N_VALIDATION = 166, 42  # of a split by 0.2
N_STEPS = 10  # of an epoch at batch size 16; 6 examples are left over

# The hyperparameters of most tests, so that they share compiled programs.
SMALL = Hyperparams(hidden=(5, 4), batch_size=16, learning_rate=0.1, epochs=4)


def arrays(n: int, first: int = 0, n_classes: int = N_CLASSES) -> tuple[NDArray[Any], NDArray[Any]]:
    """Images and labels that can be learned, made by a formula: no generator can change them."""
    row, column = np.arange(first, first + n)[:, None], np.arange(N_IN)
    labels = row[:, 0] % n_classes
    noise = (row * row * 31 + row * column * 17 + column * 7) % 101
    return (noise + 100 * (column % n_classes == labels[:, None])).astype(np.uint8), labels


def dataset() -> Dataset:
    """The small data set."""
    (x_train, y_train), (x_test, y_test) = arrays(N_EXAMPLES), arrays(N_TEST, first=N_EXAMPLES)
    named = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
    return make_dataset("small", named, "small")


SMALL_DATA = dataset()
FACTS = data_facts(SMALL_DATA)


def experiment(
    axes: Mapping[str, tuple[Value, ...]] | None = None,
    seeds: Iterable[int] = (0,),
    name: str = "one",
    **hyperparams: Value,
) -> Experiment:
    """An experiment around `SMALL`."""
    axes = axes or {}
    base = replace(SMALL, **hyperparams)
    return Experiment(name, base, axes, tuple(seeds), {key: axes[key][0] for key in axes})


def study(*experiments: Experiment, **changes: Any) -> Study:
    """A study on the small data set."""
    return Study("study", experiments, **{"data": "small"} | changes)


def plan(*experiments: Experiment, facts: DataFacts = FACTS, **changes: Any) -> Plan:
    """The plan of such a study."""
    return make_plan(study(*experiments, **changes), facts)


def progress(
    *experiments: Experiment,
    data: Dataset = SMALL_DATA,
    devices: Sequence[jax.Device] | None = None,
    **changes: Any,
) -> list[Progress]:
    """All that the engine says while it trains such a study."""
    made = plan(*experiments, facts=data_facts(data), **changes)
    return list(engine.run(made, data, devices))


def results(records: Iterable[Progress]) -> list[RunResult]:
    """The runs that ended, in the order of their ends."""
    return [result for record in records for result in record.results]


def trained(*experiments: Experiment, **options: Any) -> list[RunResult]:
    """Every run of such a study."""
    return results(progress(*experiments, **options))


def leaves(tree: Any) -> dict[str, NDArray[Any]]:
    """The arrays of a tree by name, such as `[0].dense.W`."""
    found = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in found}


def assert_equal_bits(tree: Any, expected: Any) -> None:
    """Every array has the same type, shape and bytes: NaNs and signs of zero count."""
    found, wanted = leaves(tree), leaves(expected)
    assert found.keys() == wanted.keys()
    for name, leaf in found.items():
        assert (leaf.dtype, leaf.shape) == (wanted[name].dtype, wanted[name].shape), name
        assert leaf.tobytes() == wanted[name].tobytes(), f"{name}: {leaf} is not {wanted[name]}"


def gradient_errors(found: Any, expected: Any) -> dict[str, float]:
    """Of each leaf: the distance by its own norm, but at least by 1e-8 of the whole gradient's."""
    a, b = leaves(found), leaves(expected)
    assert a.keys() == b.keys()
    whole = np.sqrt(sum(np.sum(np.square(leaf)) for leaf in b.values()))
    return {
        name: float(
            np.linalg.norm(a[name] - b[name])
            / max(np.linalg.norm(a[name]), np.linalg.norm(b[name]), 1e-8 * whole)
        )
        for name in a
    }
