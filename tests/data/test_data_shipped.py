"""The data sets in the wheel: their bytes, and the same values as where they come from."""

import csv
import hashlib
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits, load_iris

from jmlp.data import check, load
from jmlp.data.contract import contract_of
from jmlp.data.shipped_sets import FOLDER, SHIPPED_TABLES, table_file
from jmlp.data.table import TableOptions
from jmlp.errors import DataError

FILES = {
    "digits-8x8.npz": "b2dab7b501728c22e9119ad76740b2e17c77a231e42d1e592380d90886f1a05e",
    "iris.csv": "b6b8efc86732bc48c9fbddba53e2c191fd4f263c0ee98e2b1b7d3543e8d2121d",
    "penguins.csv": "f204db2c753b0937caac3cb35258562c14f073e4bbc76be24b4c51ce22767a93",
}


def test_the_files_have_the_known_bytes_and_a_line_about_their_source() -> None:
    about = (FOLDER / "README.md").read_text(encoding="utf-8")
    found = {path.name for path in FOLDER.iterdir()} - {"README.md"}
    assert found == FILES.keys()
    for name, sha256 in FILES.items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == sha256
        assert f"`{name}`" in about


def test_digits_are_those_of_scikit_learn_with_16_as_white() -> None:
    theirs, ours = load_digits(), load("digits-8x8")
    assert ours.x_test is not None
    assert ours.y_test is not None
    pixels: NDArray[Any] = np.concatenate((ours.x_train, ours.x_test))
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(np.rint(pixels / 255 * 16), theirs.data)
    np.testing.assert_array_equal(np.concatenate((ours.y_train, ours.y_test)), theirs.target)
    assert (len(ours.x_train), len(ours.x_test)) == (1437, 360)
    assert contract_of(ours).plane == (8, 8)


@pytest.mark.parametrize("name", ["digits-8x8", *SHIPPED_TABLES])
def test_shipped_data_have_the_known_digests(name: str) -> None:
    arrays = check(name)
    assert [array.sha256 for array in arrays] == [array.expected for array in arrays]


def test_iris_is_that_of_scikit_learn() -> None:
    theirs, ours = load_iris(), load("iris")
    assert ours.x_test is not None
    assert ours.columns is not None
    assert ours.columns.classes == tuple(theirs.target_names)
    rows = np.concatenate((ours.x_train, ours.x_test))
    assert sorted(map(tuple, rows.tolist())) == sorted(map(tuple, theirs.data.tolist()))
    assert (len(ours.x_train), len(ours.x_test)) == (105, 45)


def test_penguins_have_the_published_counts() -> None:
    with open(table_file("penguins"), encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    counts = Counter(row["species"] for row in rows)
    assert counts == {"Adelie": 152, "Gentoo": 124, "Chinstrap": 68}
    missing = {key: sum(row[key] == "NA" for row in rows) for key in rows[0]}
    assert {key: n for key, n in missing.items() if n} == {
        "bill_length_mm": 2,
        "bill_depth_mm": 2,
        "flipper_length_mm": 2,
        "body_mass_g": 2,
        "sex": 11,
    }


def test_a_study_may_read_a_shipped_table_otherwise() -> None:
    penguins = load("penguins")
    assert penguins.x_test is not None
    assert len(penguins.x_train) + len(penguins.x_test) == 333  # rows without a missing value
    filled = load("penguins", options=TableOptions(missing="mean", test=0.5))
    assert filled.x_test is not None
    assert len(filled.x_train) + len(filled.x_test) == 344
    by_island = load("penguins", options=TableOptions(label="island"))
    assert by_island.columns is not None
    assert by_island.columns.classes == ("Biscoe", "Dream", "Torgersen")


def test_a_column_that_a_shipped_table_lacks_is_refused() -> None:
    with pytest.raises(DataError, match="there is no column 'colour'"):
        load("iris", options=TableOptions(label="colour"))


def test_options_of_tables_are_refused_for_other_named_data() -> None:
    for name in ("moons", "digits-8x8", "mnist"):
        with pytest.raises(DataError, match="are only for tables"):
            load(name, options=replace(TableOptions(), label="x"))
