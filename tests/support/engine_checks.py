"""Independent checks of the engine: plain loops, NumPy, and JAX's own events."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import N_STEPS, N_TRAINING, assert_equal_bits
from numpy.typing import NDArray

from jmlp.data import batch_order, split
from jmlp.data.dataset import Dataset
from jmlp.nn import model
from jmlp.study.config import Hyperparams, changed
from jmlp.training import program, single_run
from jmlp.training.records import RunResult

TRAINING, VALIDATION = split(208, 0, 0.2)


@contextmanager
def compiled() -> Iterator[Counter[str]]:
    """Counts what XLA compiles, by name: "jit(advance)"."""
    found: Counter[str] = Counter()

    def listener(event: str, duration_secs: float, **kwargs: str | int) -> None:
        del duration_secs
        if event == "/jax/core/compile/backend_compile_duration":
            found[str(kwargs["fun_name"])] += 1

    jax.monitoring.register_event_duration_secs_listener(listener)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_duration_listener(listener)


def only(found: Sequence[RunResult], seed: int = 0, **hyperparams: Any) -> RunResult:
    """The one result of a seed with those hyperparameters."""
    (result,) = (
        r
        for r in found
        if r.seed == seed
        and all(getattr(r.hyperparams, key) == value for key, value in hyperparams.items())
    )
    return result


def logits(result: RunResult, x: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(model.predict(result.params, result.state, jnp.asarray(x)))


def cost_and_accuracy(result: RunResult, x: NDArray[Any], y: NDArray[Any]) -> tuple[float, float]:
    """By NumPy, from the logits of the kept parameters."""
    found = logits(result, x).astype(np.float64)
    log_shares = found - np.log(np.exp(found).sum(axis=1, keepdims=True))
    return -log_shares[np.arange(len(y)), y].mean(), np.mean(found.argmax(axis=1) == y)


def assert_kept(result: RunResult, data: Dataset, training: Any, validation: Any) -> None:
    """The kept parameters have the recorded costs and accuracies on every part."""
    assert result.best_epoch is not None
    (best,) = (point for point in result.costs if point.epoch == result.best_epoch)
    x, y = data.x_train, data.y_train
    cost, accuracy = cost_and_accuracy(result, x[validation], y[validation])
    assert result.validation_accuracy == best.validation_accuracy == accuracy
    # Of float32 logits, so a cost near 0 has an absolute error.
    assert result.validation_cost == pytest.approx(cost, rel=1e-5, abs=1e-6)
    assert best.validation_cost == pytest.approx(cost, rel=1e-5, abs=1e-6)
    cost, accuracy = cost_and_accuracy(result, x[training], y[training])
    assert result.training_accuracy == best.training_accuracy == accuracy
    assert result.training_cost == pytest.approx(cost, rel=1e-5, abs=1e-6)
    assert best.training_cost == pytest.approx(cost, rel=1e-5, abs=1e-6)
    if data.x_test is None or data.y_test is None:
        assert (result.test_accuracy, result.test_cost) == (None, None)
    else:
        cost, accuracy = cost_and_accuracy(result, data.x_test, data.y_test)
        assert result.test_accuracy == accuracy
        assert result.test_cost == pytest.approx(cost, rel=1e-5, abs=1e-6)


train_step = jax.jit(single_run.train_step, static_argnames="n_steps")


def by_hand(
    hp: Hyperparams, seed: int, data: Dataset, updates: int, *, dropout: bool
) -> Iterator[single_run.TrainState]:
    """One lane, step after step, as the definitions say."""
    swept = jax.tree.map(lambda a: jnp.asarray(a[0]), program.stack_hyperparams([hp]))
    key = jax.random.wrap_key_data(jnp.asarray(program.root_key(seed)), impl="threefry2x32")
    state = single_run.init(hp, data.n_in, data.n_classes, key)
    for update in range(updates):
        epoch, number = divmod(update, N_STEPS)
        order = TRAINING[batch_order(seed, epoch + 1, N_TRAINING)]
        rows = order[16 * number : 16 * (number + 1)]
        step = jnp.int32(update + 1)
        step_key = single_run.dropout_key(key, step) if dropout else None
        x, y = jnp.asarray(data.x_train[rows]), jnp.asarray(data.y_train[rows])
        fraction = 1.0 if hp.schedule == "constant" else 1 - (step - 1) / (N_STEPS * hp.epochs)
        rate = swept.learning_rate * fraction
        now = changed(swept, learning_rate=rate, schedule="constant")
        state = train_step(state, now, x, y, step_key, step, n_steps=N_STEPS)
        yield state


def assert_same_run(found: RunResult, expected: RunResult) -> None:
    """All numbers bitwise; device, width and versions may differ."""
    assert_equal_bits((found.params, found.state), (expected.params, expected.state))
    assert found.costs == expected.costs
    mine, its = (found.last, *found.snapshots), (expected.last, *expected.snapshots)
    assert [s and s.epoch for s in mine] == [s and s.epoch for s in its]
    assert_equal_bits(
        [(s.params, s.state) for s in mine if s], [(s.params, s.state) for s in its if s]
    )
    plain: dict[str, Any] = {"params": None, "state": None, "provenance": expected.provenance}
    plain |= {"last": None, "snapshots": ()}
    assert replace(found, **plain) == replace(expected, **plain)
