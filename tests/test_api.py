"""The library's face: its names, `fit` and `run_study`."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from commands import write_inputs
from helpers import (
    N_STEPS,
    N_TRAINING,
    SMALL,
    SMALL_DATA,
    arrays,
    assert_equal_bits,
    experiment,
    results,
    study,
)

import jmlp
from jmlp.errors import ConfigError, DataError, JmlpError
from jmlp.nn import model
from jmlp.results.tables import study_tables
from jmlp.study.config import Experiment, Hyperparams, Search
from jmlp.study.file import checked_study
from jmlp.training import engine, program

X, Y = SMALL_DATA.x_train, SMALL_DATA.y_train
X_NEW, Y_NEW = arrays(40, first=1000)
FLOATS: Any = (1.5,)


def accuracy(result: jmlp.RunResult, x: Any, y: Any) -> float:
    """Of the kept parameters, by `predict`."""
    logits = np.asarray(jmlp.predict(result.params, result.state, np.asarray(x)))
    return float(np.mean(logits.argmax(axis=1) == y))


def test_public_names_are_these() -> None:
    names: list[str] = jmlp.__all__  # type: ignore[attr-defined]
    assert sorted(names) == [
        "Dataset",
        "Experiment",
        "Hyperparams",
        "Network",
        "Progress",
        "RunResult",
        "Study",
        "backward",
        "cost",
        "fit",
        "forward",
        "init",
        "load",
        "load_mnist",
        "load_study",
        "model",
        "plots",
        "predict",
        "read_network",
        "run_study",
        "save_onnx",
        "save_pytorch",
        "show_progress",
        "tables",
        "trace",
        "weights",
    ]


# fit


def test_fitted_network_generalises() -> None:
    result = jmlp.fit(replace(SMALL, epochs=40, patience=None), X, Y)
    assert accuracy(result, X_NEW, Y_NEW) > 0.9
    assert (result.status, result.seed, result.stopped_epoch) == ("finished", 0, 40)
    assert result.training_accuracy is not None
    assert result.training_accuracy > 0.9
    assert (result.test_accuracy, result.test_cost) == (None, None)


def test_accuracies_of_the_result_are_those_of_its_parameters() -> None:
    result = jmlp.fit(SMALL, X, Y, validation=(X_NEW, Y_NEW))
    assert result.training_accuracy == pytest.approx(accuracy(result, X, Y))
    assert result.validation_accuracy == pytest.approx(accuracy(result, X_NEW, Y_NEW))


def test_separate_validation_set_decides_when_to_stop_and_is_not_trained_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[Any] = []
    run = engine.run

    def seen(*arguments: Any, **options: Any) -> Iterator[jmlp.Progress]:
        calls.append((*arguments, options["split"]))
        return run(*arguments, **options)

    monkeypatch.setattr(engine, "run", seen)
    jmlp.fit(SMALL, X, Y, validation=(X_NEW, Y_NEW))
    ((plan, dataset, (training, validation)),) = calls
    np.testing.assert_array_equal(dataset.x_train[training], X)
    np.testing.assert_array_equal(dataset.x_train[validation], X_NEW)
    np.testing.assert_array_equal(dataset.y_train[validation], Y_NEW)
    assert (plan.n_training, plan.n_validation) == (len(X), len(X_NEW))


def test_validation_part_is_the_same_for_every_seed_and_the_network_is_not() -> None:
    first, second = (jmlp.fit(SMALL, X, Y, seed=seed) for seed in (1, 2))
    assert first.split_seed == second.split_seed == 0
    assert not np.array_equal(first.params[0].dense.W, second.params[0].dense.W)


def test_same_call_gives_the_same_bits() -> None:
    first, second = (jmlp.fit(SMALL, X, Y, seed=3) for _ in range(2))
    assert_equal_bits(first.params, second.params)
    assert first.costs == second.costs
    assert first.run_id == second.run_id


def test_lists_and_floats_are_taken_as_they_are() -> None:
    scaled = (X / np.float32(255)).astype(np.float32)[:, :, None]  # pictures of one column
    from_bytes, from_floats = jmlp.fit(SMALL, X, Y), jmlp.fit(SMALL, scaled.tolist(), Y.tolist())
    assert from_floats.costs[-1].training_cost == pytest.approx(
        from_bytes.costs[-1].training_cost, rel=1e-5
    )


def test_diverged_network_is_a_result() -> None:
    result = jmlp.fit(replace(SMALL, learning_rate=1e30), X, Y)
    assert (result.status, result.validation_accuracy) == ("diverged", None)
    assert result.diverged_at is not None


SEED = "seed: must be an integer from 0 to 2**63 - 1, got"
FRACTION = "validation: must be a finite number > 0 and < 1, got"


@pytest.mark.parametrize(
    ("changes", "kind", "told"),
    [
        (
            {"hp": replace(SMALL, momentum=0.5, weight_std=0.5)},
            ConfigError,
            "momentum: has no effect without optimizer = 'momentum' or 'nesterov': set that, or "
            "leave momentum out\nweight_std: has no effect without initialization = 'normal': set "
            "that, or leave weight_std out",
        ),
        (
            {"hp": replace(SMALL, batch_size=N_TRAINING + 1)},
            ConfigError,
            "fit: batch_size: must be at most the 166 examples of the training part of x, got 167: "
            "choose a smaller one, such as 32",
        ),
        ({"seed": -1}, ConfigError, f"{SEED} -1"),
        ({"seed": 2**63}, ConfigError, f"{SEED} 9223372036854775808"),
        ({"seed": 1.5}, ConfigError, f"{SEED} 1.5 (a float)"),
        ({"validation": 0.0}, ConfigError, f"{FRACTION} 0.0"),
        ({"validation": 1}, ConfigError, f"{FRACTION} 1"),
        ({"validation": float("nan")}, ConfigError, f"{FRACTION} nan"),
        (
            {"validation": 1e-9},
            ConfigError,
            "fit: validation_fraction: 1e-09 of the 208 examples of x leaves one part empty",
        ),
        (
            {"validation": (X_NEW / 255, Y_NEW)},
            DataError,
            "validation: float64 examples of shape (20,), but those of x are uint8 of (20,)",
        ),
        (
            {"validation": (X_NEW[:, :5], Y_NEW)},
            DataError,
            "validation: uint8 examples of shape (5,), but those of x are uint8 of (20,)",
        ),
        (
            {"validation": (X_NEW, Y_NEW[1:])},
            DataError,
            "validation: 40 examples and labels of shape (39,); there must be at "
            "least one example, and one label per example",
        ),
        (
            {"validation": (X_NEW[:0], Y_NEW[:0])},
            DataError,
            "validation: 0 examples and labels of shape (0,); there must be at "
            "least one example, and one label per example",
        ),
        ({"y": Y[1:]}, DataError, "fit: 208 images in x, 207 labels in y"),
        (
            {"y": Y + 0.5},
            DataError,
            "fit: y: label y: row 1 is 0.5: labels that are not whole numbers look like "
            "regression, and jmlp predicts classes: make classes of them (low, middle, high)",
        ),
        (
            {"x": X.astype(int)},
            DataError,
            "fit: x: type int64; allowed are uint8 (0 to 255) and float32: convert pixels to "
            "uint8, and numbers to be used unscaled to float32",
        ),
        ({"x": 3, "y": 3}, DataError, "fit: x: shape (); must be one image per row, (N, ...)"),
        ({"y": 3}, DataError, "fit: y: shape (); must be one label per image, (N,)"),
        (
            {"y": Y[:, None]},
            DataError,
            "fit: y: shape (208, 1); must be one label per image, (N,): use the only column, "
            "y[:, 0]",
        ),
        (
            {"y": ["three"] * 208},
            DataError,
            "fit: y: label y: every label is three: at least 2 classes are needed",
        ),
        ({"x": None}, DataError, "fit: x: type object; must be numbers"),
        (
            {"x": np.ma.masked_equal(X, X[0, 0])},
            DataError,
            f"fit: x: {np.count_nonzero(X[0, 0] == X)} values are masked; fill them (x.filled(0)), "
            "or leave those examples out",
        ),
        (
            {"validation": (X_NEW,)},
            ConfigError,
            "validation: must be a fraction or (x, y), got 1 values",
        ),
        (
            {"x": X[Y != 1], "y": Y[Y != 1], "validation": (X_NEW, Y_NEW)},
            DataError,
            "validation: y: label 1, but x has no example of it: a network cannot learn a class "
            "that it never sees; leave it out, or train on it too",
        ),
        (
            {"validation": ((X_NEW > 100).astype(np.uint8), Y_NEW)},
            DataError,
            f"validation: x: numbers from 0 to 1, but those of x are from {X.min()} to {X.max()}: "
            "bring both to one scale",
        ),
        (
            {"x": (X > 100).astype(np.uint8)},
            DataError,
            "fit: x: uint8 of 0 and 1 only; uint8 is scaled from 0-255 to 0-1, and almost nothing "
            "would be left: multiply it by 255, or pass it as float32",
        ),
        (
            {"validation": (X_NEW, Y_NEW.astype(str))},
            DataError,
            "validation: y: labels of another type than those of y",
        ),
        (
            {"x": X / np.float32(255), "validation": (X_NEW * 1.0, Y_NEW)},
            DataError,
            f"validation: x: numbers from 0 to {X_NEW.max()}, but those of x are from 0 to "
            f"{X.max() / 255:g}: bring both to one scale",
        ),
        ({"hp": {"hidden": (3,)}}, ConfigError, "hp: must be jmlp.Hyperparams, got a table"),
    ],
)
def test_what_cannot_be_fitted_is_refused(
    changes: dict[str, Any], kind: type[JmlpError], told: str
) -> None:
    with pytest.raises(kind) as error:
        jmlp.fit(**{"hp": SMALL, "x": X, "y": Y} | changes)
    assert str(error.value) == told


@pytest.mark.parametrize("ragged", ["x", "y", "validation"])
def test_ragged_lists_are_refused_with_a_data_error(ragged: str) -> None:
    rows = [[1, 2], [3]]
    given: dict[str, Any] = {"x": X, "y": Y, ragged: rows}
    if ragged == "validation":
        given[ragged] = (rows, Y_NEW)
    where = "validation: x" if ragged == "validation" else f"fit: {ragged}"
    with pytest.raises(DataError, match=rf"^{where}: cannot be converted to an array of numbers: "):
        jmlp.fit(SMALL, **given)


def _as_memmap(x: Any, folder: Path) -> Any:
    np.save(folder / "x.npy", x)
    return np.load(folder / "x.npy", mmap_mode="r")


@pytest.mark.parametrize(
    "form",
    [
        lambda x, folder: np.asfortranarray(x),
        lambda x, folder: np.ascontiguousarray(x[::-1])[::-1],
        lambda x, folder: np.repeat(x, 2, axis=1)[:, ::2],
        lambda x, folder: x.astype(">f4"),
        lambda x, folder: np.ma.array(x),
        lambda x, folder: jnp.asarray(x),
        lambda x, folder: x.astype(np.float64),
        lambda x, folder: x.astype(np.longdouble),
        _as_memmap,
    ],
)
def test_equal_content_in_any_layout_gives_the_same_network(form: Any, tmp_path: Path) -> None:
    x = (X / 256).astype(np.float32)  # exact in every type
    assert_equal_bits(jmlp.fit(SMALL, form(x, tmp_path), Y).params, jmlp.fit(SMALL, x, Y).params)


def test_scalars_of_numpy_are_numbers_as_any() -> None:
    expected = jmlp.fit(SMALL, X, Y, seed=3, validation=0.25)
    found = jmlp.fit(SMALL, X, Y, seed=np.int64(3), validation=np.float64(0.25))  # type: ignore[arg-type]
    assert_equal_bits(found.params, expected.params)
    assert (found.run_id, type(found.seed)) == (expected.run_id, int)


# predict and forward


KEY = jax.random.key(0)
NORMED = Hyperparams(hidden=(3,), batch_norm=True)
PARAMS, STATE = jmlp.init(NORMED, 6, 4, KEY)
ROWS = np.random.default_rng(0).integers(0, 256, (5, 6), np.uint8)


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (ROWS, ROWS),
        (ROWS.reshape(5, 2, 3), ROWS),
        (ROWS.reshape(5, 2, 3, 1), ROWS),
        (ROWS[:1], ROWS[:1]),
        (ROWS[:0], ROWS[:0]),
        (jnp.asarray(ROWS), ROWS),
        (ROWS.astype(np.float64), ROWS.astype(np.float32)),
        (ROWS.astype(np.float32).tolist(), ROWS.astype(np.float32)),
        (jnp.asarray(ROWS, jnp.bfloat16), jnp.asarray(ROWS, jnp.bfloat16)),
    ],
)
def test_prediction_of_examples_in_any_shape_is_the_model_s(x: Any, expected: Any) -> None:
    logits = np.asarray(model.predict(PARAMS, STATE, expected))
    np.testing.assert_array_equal(jmlp.predict(PARAMS, STATE, x), logits, strict=True)
    if len(logits):
        columns, *of_training = model.forward(PARAMS, STATE, expected, KEY, 0.5)
        assert_equal_bits(jmlp.forward(PARAMS, STATE, x, KEY, 0.5), (columns.T, *of_training))


@pytest.mark.parametrize("shape", [(6,), (2, 3), (3, 2), (6, 1), (2, 3, 1)])
def test_one_example_without_an_axis_for_examples_has_logits_without_one(
    shape: tuple[int, ...],
) -> None:
    logits = np.asarray(model.predict(PARAMS, STATE, ROWS[:1]))
    found = jmlp.predict(PARAMS, STATE, ROWS[0].reshape(shape))
    np.testing.assert_array_equal(found, logits[0], strict=True)
    of_training = jmlp.forward(PARAMS, STATE, ROWS[0].reshape(shape), None, 0.0)[0]
    assert of_training.shape == (1, 4)


def test_prediction_goes_through_jit_vmap_and_grad() -> None:
    x = (ROWS / 256).astype(np.float32)
    logits = np.asarray(jmlp.predict(PARAMS, STATE, x))
    jitted = jax.jit(jmlp.predict)(PARAMS, STATE, x.reshape(5, 2, 3))
    np.testing.assert_allclose(jitted, logits, rtol=1e-5)
    mapped = jax.vmap(jmlp.predict, (None, None, 0))(PARAMS, STATE, x)
    np.testing.assert_allclose(mapped, logits, rtol=1e-5)
    slope = jax.grad(lambda x: jmlp.predict(PARAMS, STATE, [x, x]).sum())(jnp.asarray(x[0]))
    assert slope.shape == (6,)
    assert jnp.any(slope != 0)


WRONG_SHAPE = (
    "the network expects 6 numbers per example: (N, 6), or (N, ...) with 6 numbers after the "
    "first axis, or one example of 6"
)


@pytest.mark.parametrize(
    ("x", "told"),
    [
        (ROWS[:, :5], f"shape (5, 5); {WRONG_SHAPE}"),
        (ROWS.T, f"shape (6, 5); {WRONG_SHAPE}"),
        (np.uint8(3), f"shape (); {WRONG_SHAPE}"),
        (
            ROWS.astype(np.int64),
            "type int64; allowed are uint8 (0 to 255) and float32: convert pixels to uint8, and "
            "numbers to be used unscaled to float32",
        ),
        (
            ["a"] * 6,
            "type <U1; must be numbers: for text labels, use "
            "numpy.unique(labels, return_inverse=True)[1]",
        ),
        ([None] * 6, "type object; must be numbers"),
        (
            np.where(ROWS[2, 2] == ROWS, np.nan, 0.5),
            "1 of 5 examples hold numbers that are not finite in float32, the first is example 2",
        ),
        (
            np.full(6, 1e300),
            "1 of 1 examples hold numbers that are not finite in float32, the first is example 0",
        ),
    ],
)
def test_what_a_network_cannot_take_is_refused(x: Any, told: str) -> None:
    for name, ask in (
        ("predict", lambda: jmlp.predict(PARAMS, STATE, x)),
        ("forward", lambda: jmlp.forward(PARAMS, STATE, x, None, 0.0)),
    ):
        with pytest.raises(DataError) as error:
            ask()
        assert str(error.value) == f"{name}: x: {told}"


def test_ragged_examples_are_refused_with_a_data_error() -> None:
    with pytest.raises(DataError, match=r"^predict: x: cannot be converted to an array of "):
        jmlp.predict(PARAMS, STATE, [[1.0] * 6, [1.0]])


NO_NETWORK = (
    "params and state must come from jmlp.init or from a result (result.params, result.state)"
)


@pytest.mark.parametrize(
    ("params", "state", "told"),
    [
        (None, STATE, NO_NETWORK),
        (PARAMS, None, NO_NETWORK),
        (
            PARAMS,
            (None, None),
            "state has running statistics for layers none, but params normalise layers 0: pass "
            "both from the same network",
        ),
    ],
)
def test_a_file_that_is_not_a_network_is_refused(params: Any, state: Any, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        jmlp.predict(params, state, ROWS)
    assert str(error.value) == f"predict: {told}"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"hp": 3}, "hp: must be jmlp.Hyperparams, got 3 (an integer)"),
        ({"hp": Hyperparams(momentum=0.5)}, "momentum: has no effect"),
        ({"n_in": 0}, "n_in: must be an integer from 1 to"),
        ({"n_classes": 1}, "n_classes: must be an integer from 2 to"),
        ({"n_in": jax.random.key(0), "key": 20}, "n_in: must be an integer from 1 to"),
    ],
)
def test_network_that_cannot_be_is_not_drawn(change: Any, told: str) -> None:
    wanted: Any = {"hp": SMALL, "n_in": 20, "n_classes": 3, "key": jax.random.key(0)}
    with pytest.raises(ConfigError, match=re.escape(told)):
        jmlp.init(**wanted | change)


@pytest.mark.parametrize("drop_rate", ["a", (0.1, (0.1, 0.1))])
def test_drop_rate_that_is_no_number_is_refused_by_forward_as_a_setting(drop_rate: Any) -> None:
    params, state = jmlp.init(SMALL, 20, 3, jax.random.key(0))
    with pytest.raises(ConfigError, match="forward: drop_rate: "):
        jmlp.forward(params, state, X[:4], jax.random.key(1), drop_rate)


@pytest.mark.parametrize("drop_rate", [1.0, -0.5, (0.1,) * 9, float("nan")])
def test_drop_rate_that_is_none_is_refused_by_forward(drop_rate: Any) -> None:
    params, state = jmlp.init(SMALL, 20, 3, jax.random.key(0))
    with pytest.raises(ConfigError, match="drop_rate: must be from 0 to below 1"):
        jmlp.forward(params, state, X[:4], jax.random.key(1), drop_rate)


# run_study


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"split_seed": "x"}, "split_seed: must be"),
        ({"smallest_difference": float("nan")}, "smallest_difference: must be"),
        ({"name": "a/b"}, "name: must be"),
        ({"experiments": ()}, "experiments: is missing"),
        ({"experiments": (experiment(), experiment())}, "is the name of several experiments"),
        ({"experiments": (replace(experiment(), seeds=()),)}, "seeds: must be"),
        ({"experiments": (replace(experiment(), seeds=(1, 1)),)}, "more than once"),
        ({"experiments": (replace(experiment(), seeds=FLOATS),)}, "got 1.5 (a float)"),
        ({"experiments": (replace(experiment(), axes={"lr": (1,)}),)}, "unknown key"),
        ({"experiments": 3}, "must be a jmlp.study.config.Study"),
    ],
)
def test_study_that_no_file_could_hold_is_refused(change: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)):
        next(jmlp.run_study(replace(study(experiment()), **change), SMALL_DATA))


def test_study_with_numbers_of_numpy_is_the_one_with_those_of_python() -> None:
    one = replace(experiment({"learning_rate": (0.5, 0.25)}), seeds=(0, 1))
    others: Any = {"axes": {"learning_rate": np.array([0.5, 0.25])}, "seeds": np.arange(2)}
    other = replace(one, **others)
    found = [
        sorted(r.run_id for p in jmlp.run_study(study(e), SMALL_DATA) for r in p.results)
        for e in (one, other)
    ]
    assert found[0] == found[1]
    assert len(found[0]) == 4


def test_study_is_an_iterator_of_what_is_new_until_all_runs_ended() -> None:
    two = study(experiment({"drop_rate": (0.0, 0.5)}, seeds=(0, 1)))
    records = list(jmlp.run_study(two, SMALL_DATA))
    assert records[0].phase == "compiling"
    assert records[-1].phase == "finished"
    ended = [result for record in records for result in record.results]
    assert len({result.run_id for result in ended}) == 4
    assert (records[-1].runs_done, records[-1].n_runs, records[-1].remaining) == (4, 4, 0)


def test_study_loads_the_data_that_it_names(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    loaded = jmlp.load_study(tmp_path / "small.toml", data=str(tmp_path / "small.npz"), seeds=1)
    results = [result for record in jmlp.run_study(loaded) for result in record.results]
    assert sorted(result.experiments for result in results) == [
        ("norm",),
        ("rate",),
        ("rate", "norm"),
    ]
    assert all(result.test_accuracy is not None for result in results)


def test_nothing_happens_before_the_first_record_is_asked_for() -> None:
    records = jmlp.run_study(study(experiment(), data="nowhere"))
    with pytest.raises(DataError, match="no data named 'nowhere'"):
        next(records)


def test_training_stops_when_the_consumer_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    chunks: list[object] = []
    advance = program.advance

    def counted(*arguments: Any) -> Any:
        chunks.append(arguments[0])
        return advance(*arguments)

    monkeypatch.setattr(program, "advance", counted)
    endless = study(experiment(epochs=100_000, patience=None))
    records = jmlp.run_study(endless, SMALL_DATA)
    for record in records:
        if record.epoch == 2:
            break
    trained = len(chunks)
    assert trained <= 3 * N_STEPS
    records.close()  # type: ignore[attr-defined]
    assert list(records) == []
    assert len(chunks) == trained


def test_study_with_a_search_is_trained_in_two_stages() -> None:
    space = {"learning_rate": (0.5, 0.25, 1e-6)}
    search = Search(space, configurations=2, confirm=(7, 3), method="random")
    tuned = Experiment(
        "tuned",
        replace(SMALL, learning_rate=0.5),
        {},
        (0, 1),
        {"learning_rate": 0.5},
        search=search,
    )
    runs = results(jmlp.run_study(study(tuned), SMALL_DATA))
    assert sorted(run.seed for run in runs) == [0, 0, 0, 1, 1, 1, 3, 3, 7, 7]
    second = [run for run in runs if run.seed in (3, 7)]
    # A learning rate of 1e-6 learns nothing, so the other candidate wins.
    assert {run.hyperparams.learning_rate for run in second} == {0.5, 0.25}
    assert {run.experiments for run in second} == {("tuned-confirmation",)}
    first, confirmation = study_tables(checked_study(study(tuned)), runs)
    assert [row.marked_label for row in first.rows][-1] == "learning rate 1e-06"
    assert [row.n for row in confirmation.rows] == [2, 2]
