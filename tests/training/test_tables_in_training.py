"""Training on tables: the scale of each split, and the network's own contract."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_equal_bits, experiment, study

from jmlp.data.columns import Column, Columns, no_scale
from jmlp.data.dataset import Dataset, digest, make_dataset
from jmlp.errors import ConfigError, DataError
from jmlp.nn import model
from jmlp.results import crosschecks
from jmlp.results.serialization import run_from_table, run_table
from jmlp.training import engine
from jmlp.training.plan import data_facts, make_plan, n_copies
from jmlp.training.records import RunResult

N = 40
SEEDS = (1, 2)


def table() -> Dataset:
    """Two numbers of other scales and a category; the first number has gaps."""
    rows = np.arange(N)
    y = (rows % 3 == 0).astype(np.int32)
    x = np.stack([1000 + 7.0 * (rows * 5 % 11) + 20 * y, 1e-3 * (rows * 3 % 7), y ^ 1, y], axis=1)
    x[::9, 0] = np.nan
    columns = Columns(
        (Column("a"), Column("b"), Column("c", ("r", "s"))), "y", ("no", "yes"), "mean"
    )
    digests = {"x_train": digest(x), "y_train": digest(y), "columns": "any"}
    return Dataset("t", x, y, x[:8] + 0.0, y[:8], 2, (4,), digests, "a table", columns)


LEVELS = np.array(["s" if row % 3 == 0 else "r" for row in range(8)])


def without_gaps() -> Dataset:
    """The same without missing values."""
    data = table()
    x = np.nan_to_num(data.x_train.astype(np.float64), nan=1000.0)
    return replace(data, x_train=x, x_test=x[:8])


def runs(data: Dataset, split_seed: int | str, seeds: tuple[int, ...]) -> list[RunResult]:
    made = study(experiment(seeds=seeds), **{"split_seed": split_seed}, validation_fraction=0.2)
    records = engine.run(make_plan(made, data_facts(data)), data)
    return sorted((r for record in records for r in record.results), key=lambda run: run.seed)


def test_runs_of_several_splits_train_as_each_does_on_its_own_standardised_array() -> None:
    data = table()
    found = runs(data, "seed", SEEDS)
    for run in found:
        rows = data.split(run.seed, 0.2)
        inputs = data.standardised(rows[0])
        assert inputs.x_test is not None
        assert inputs.y_test is not None
        arrays = make_dataset(
            "t",
            {
                "x_train": inputs.x_train,
                "y_train": inputs.y_train,
                "x_test": inputs.x_test,
                "y_test": inputs.y_test,
            },
            "arrays",
        )
        made = study(experiment(seeds=(run.seed,)), validation_fraction=0.2)
        plan = make_plan(made, data_facts(arrays))
        (alone,) = (r for p in engine.run(plan, arrays, split=rows) for r in p.results)
        assert_equal_bits(run.params, alone.params)
        assert (run.costs, run.test_cost) == (alone.costs, alone.test_cost)
        assert run.contract is not None
        assert run.contract.scale == data.scale(rows[0])
    first, second = found
    assert first.contract.scale != second.contract.scale
    # What is stored reads back as it was; other runs have no contract of their own.
    assert run_from_table(run_table(first)).contract == first.contract
    assert "contract" not in run_table(replace(first, contract=None))


def test_a_table_is_on_a_device_once_for_each_split() -> None:
    facts = data_facts(table())
    assert (facts.pixel_bytes, facts.is_table, facts.class_names) == (4, True, ("no", "yes"))
    several = study(experiment(seeds=SEEDS), **{"split_seed": "seed"})
    assert n_copies(make_plan(several, facts)) == 2
    assert n_copies(make_plan(study(experiment(seeds=SEEDS)), facts)) == 1
    arrays = replace(facts, digests={"x_train": "1"})
    assert n_copies(make_plan(several, arrays)) == 1


def test_raw_inputs_of_a_table_are_its_own_numbers_beside_standardised_ones() -> None:
    data = without_gaps()
    x_test = data.x_train[:8]
    made = study(
        experiment({"training_fault": ("none", "raw_inputs")}, epochs=1), validation_fraction=0.2
    )
    plan = make_plan(made, data_facts(data))
    assert n_copies(plan) == 2
    found = {r.hyperparams.training_fault: r for p in engine.run(plan, data) for r in p.results}
    rows = data.split(0, 0.2)
    for fault, run in found.items():
        inputs = data.standardised(rows[0], raw=fault == "raw_inputs")
        assert inputs.x_test is not None
        logits = np.asarray(model.predict(run.params, run.state, jnp.asarray(inputs.x_test)))
        assert float(np.mean(np.argmax(logits, axis=1) == data.y_test)) == run.test_accuracy
        assert run.contract is not None
        # What is stored with the network says how to give it rows.
        np.testing.assert_array_equal(
            run.contract.inputs_of({"a": x_test[:, 0], "b": x_test[:, 1], "c": LEVELS}),
            inputs.x_test,
        )
    raw = found["raw_inputs"].contract
    assert raw is not None
    assert raw.scale == no_scale(4)
    assert raw.unusual(np.full((1, 4), 1e6, np.float32)) == []
    (alone,) = (
        r
        for p in engine.run(
            make_plan(study(experiment(epochs=1), validation_fraction=0.2), data_facts(data)), data
        )
        for r in p.results
    )
    assert alone.costs == found["none"].costs


def test_raw_inputs_need_a_table_without_missing_values() -> None:
    data = table()
    with pytest.raises(DataError, match="needs a table without missing values"):
        data.standardised(data.split(0, 0.2)[0], raw=True)
    made = study(experiment(training_fault="raw_inputs"), **{"missing": "mean"})
    with pytest.raises(ConfigError, match="needs a table without missing values"):
        crosschecks.refuse(made, data_facts(data))
