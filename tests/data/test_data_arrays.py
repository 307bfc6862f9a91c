"""Arrays of a user's own: which are pictures, and which are the rows of a table."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import jmlp
from jmlp.data import Dataset, TableOptions, load
from jmlp.data.contract import contract_of
from jmlp.errors import ConfigError
from jmlp.training.plan import data_facts

N = 40
Y = np.arange(N) % 2
BRIGHT = np.random.default_rng(0).uniform(size=(N, 16))
HP = jmlp.Hyperparams(hidden=(4,), learning_rate=0.3, batch_size=8, epochs=20)


def written(folder: Path, x: NDArray[Any]) -> Path:
    path = folder / "own.npz"
    np.savez(path, x_train=x, y_train=Y, x_test=x[:10], y_test=Y[:10])
    return path


def loaded(folder: Path, x: NDArray[Any]) -> Dataset:
    return load(written(folder, x))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("n_in", [3, 4, 16])
def test_flat_floating_point_numbers_are_a_table_whatever_their_range_and_number(
    tmp_path: Path, dtype: Any, n_in: int
) -> None:
    for x in (BRIGHT[:, :n_in], 100 * BRIGHT[:, :n_in] - 50):
        dataset = loaded(tmp_path, x.astype(dtype))
        contract, facts = contract_of(dataset), data_facts(dataset)
        assert (contract.is_table, contract.plane, facts.is_table, facts.plane) == (
            (True, None) * 2
        )
        assert facts.about.startswith(f"2 classes, {n_in} features: {n_in} numbers standardised")


@pytest.mark.parametrize(
    ("x", "plane"),
    [
        (BRIGHT.reshape(N, 4, 4), (4, 4)),
        (BRIGHT.reshape(N, 4, 4).astype(np.float32), (4, 4)),
        (BRIGHT.reshape(N, 2, 8, 1), (2, 8)),
        ((255 * BRIGHT).astype(np.uint8), (4, 4)),
        ((255 * BRIGHT).astype(np.uint8).reshape(N, 4, 4), (4, 4)),
    ],
)
def test_numbers_in_a_plane_and_bytes_are_pictures(
    tmp_path: Path, x: NDArray[Any], plane: tuple[int, int]
) -> None:
    dataset = loaded(tmp_path, x)
    contract, facts = contract_of(dataset), data_facts(dataset)
    assert (contract.is_table, contract.plane, facts.is_table, facts.plane) == ((False, plane) * 2)
    assert set(dataset.digests) == {"x_train", "y_train", "x_test", "y_test"}


def test_an_array_is_standardised_as_a_file_with_the_same_numbers(tmp_path: Path) -> None:
    x = 1e9 + BRIGHT[:, :3]  # float32 would make all of them equal
    array = loaded(tmp_path, x)
    path = tmp_path / "own.csv"
    rows = (",".join(map(repr, map(float, row))) + f",{y}" for row, y in zip(x, Y, strict=True))
    path.write_text("a,b,c,kind\n" + "\n".join(rows), encoding="utf-8")
    table = load(path, options=TableOptions("kind"))
    parts = array.split(0, 0.2), table.split(0, 0.2)
    np.testing.assert_array_equal(parts[0][0], parts[1][0])
    inputs = array.standardised(parts[0][0])
    np.testing.assert_array_equal(
        inputs.x_train, table.standardised(parts[1][0]).x_train, strict=True
    )
    assert inputs.x_test is not None
    np.testing.assert_array_equal(inputs.x_test, inputs.x_train[:10])
    assert abs(inputs.x_train[parts[0][0]].mean()) < 1e-6


def test_a_constant_column_of_an_array_is_not_refused_and_its_input_is_0(tmp_path: Path) -> None:
    x = BRIGHT.copy()
    x[:, 5] = 7
    dataset = loaded(tmp_path, x)
    inputs = dataset.standardised(dataset.split(0, 0.2)[0])
    assert (inputs.x_train[:, 5] == 0).all()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_integers_are_answered_by_integers_and_a_row_goes_in_as_it_is() -> None:
    x = np.stack([1000 + 50 * Y, np.arange(N) % 5], axis=1).astype(np.float64)
    result = jmlp.fit(HP, x, Y)
    assert result.predict(x).dtype.kind == "i"
    assert result.score(x, Y) == 1
    assert result.predict(x[1]) == 1
    assert result.contract is not None
    logits = jmlp.predict(result.params, result.state, result.contract.inputs_of(x))
    np.testing.assert_array_equal(np.argmax(logits, axis=1), Y)
    with pytest.raises(ConfigError, match="are no pictures"):
        jmlp.fit(jmlp.Hyperparams(hidden=(4,), batch_size=8, shift=1), BRIGHT, Y)
