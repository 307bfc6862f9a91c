"""The library's face: its names, `fit` and `run_study`."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

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
    study,
)

import jmlp
from jmlp import engine, program
from jmlp.errors import ConfigError, DataError, JmlpError

X, Y = SMALL_DATA.x_train, SMALL_DATA.y_train
X_NEW, Y_NEW = arrays(40, first=1000)


def accuracy(result: jmlp.RunResult, x: Any, y: Any) -> float:
    """Of the kept parameters, by `predict`."""
    logits = np.asarray(jmlp.predict(result.params, result.state, np.asarray(x)))
    return float(np.mean(logits.argmax(axis=1) == y))


def test_public_names_are_these() -> None:
    names: list[str] = jmlp.__all__  # type: ignore[attr-defined]
    assert sorted(names) == [
        "Hyperparams",
        "Progress",
        "RunResult",
        "backward",
        "fit",
        "forward",
        "init",
        "load_mnist",
        "load_study",
        "predict",
        "run_study",
    ]


# fit


def test_fitted_network_predicts_what_it_has_not_seen() -> None:
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


def test_own_validation_set_decides_when_to_stop_and_is_not_trained_on(
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
    scaled = (X / np.float32(255)).astype(np.float32)
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
            {"hp": replace(SMALL, batch_size=0, learning_rate=float("nan"))},
            ConfigError,
            "batch_size: must be an integer from 1 to 1,048,576, got 0\n"
            "learning_rate: must be a finite number > 0, got nan",
        ),
        (
            {"hp": replace(SMALL, batch_size=N_TRAINING + 1)},
            ConfigError,
            "fit: batch_size: must be at most the 166 examples of the training part of x, got 167",
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
            "validation: 40 examples and labels of shape (39,); at least one example, and one "
            "label each are wanted",
        ),
        (
            {"validation": (X_NEW[:0], Y_NEW[:0])},
            DataError,
            "validation: 0 examples and labels of shape (0,); at least one example, and one label "
            "each are wanted",
        ),
        ({"y": Y[1:]}, DataError, "fit: 208 images in x_train, 207 labels in y_train"),
        (
            {"y": Y.astype(float)},
            DataError,
            "fit: y_train: type float64; labels are integers, 0 for the first class",
        ),
        (
            {"x": X.astype(int)},
            DataError,
            "fit: x_train: type int64; allowed are uint8 (0 to 255) and float32",
        ),
        ({"x": 3, "y": 3}, DataError, "fit: x_train: shape (); one image a row is wanted"),
    ],
)
def test_what_cannot_be_fitted_is_refused(
    changes: dict[str, Any], kind: type[JmlpError], told: str
) -> None:
    with pytest.raises(kind) as error:
        jmlp.fit(**{"hp": SMALL, "x": X, "y": Y} | changes)
    assert str(error.value) == told


# run_study


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


def test_who_stops_consuming_stops_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
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
