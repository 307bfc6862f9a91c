"""The record of an inspection, its file, and the cache of such files."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from inspections import COLUMNS, made_up, of_table
from sklearn.metrics import confusion_matrix

from jmlp.errors import CheckpointError
from jmlp.inspection import records
from jmlp.inspection.records import Inspection
from jmlp.results import tensor_files
from jmlp.system import files


@pytest.fixture
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JMLP_HOME", str(tmp_path))


def with_unknown(n_unknown: int = 30) -> Inspection:
    """The networks gave numbers that are not finite for the last examples."""
    made = made_up()
    predicted, confidence = made.predicted.copy(), made.confidence.copy()
    predicted[:, -n_unknown:], confidence[:, -n_unknown:] = -1, np.nan
    return replace(made, predicted=predicted, confidence=confidence)


@pytest.mark.parametrize("made", [with_unknown(), made_up(hidden=(4, 2)), of_table()])
def test_what_is_read_is_what_was_written(made: Inspection, tmp_path: Path) -> None:
    written = made
    records.write(tmp_path / "it", written)
    read = records.read(tmp_path / "it")
    for name, value in vars(written).items():
        found = getattr(read, name)
        if isinstance(value, np.ndarray):
            assert (found.dtype, found.shape) == (value.dtype, value.shape), name
            assert found.tobytes() == value.tobytes(), name
            assert not found.flags.writeable
        else:
            assert found == value, name


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("cost", np.zeros(3), "cost is float64 (3,), expected float64 (4,)"),
        ("labels", np.zeros(200, np.int32), "labels is int32 (200,), expected int16 (200,)"),
        (
            "images",
            np.zeros((1, 28, 28), np.uint8),
            "images is uint8 (1, 28, 28), expected uint8 (120, 28, 28)",
        ),
        ("rows", np.zeros((120, 784)), "rows is float64 (120, 784), expected float64 (0, 784)"),
        ("activations", ("relu", "tanh"), "2 activations of 1 hidden layers"),
        ("columns", COLUMNS, "4 inputs have names, expected 784"),
    ],
)
def test_arrays_that_do_not_fit_the_record_are_refused(
    name: str, value: Any, what: str, tmp_path: Path
) -> None:
    path = tmp_path / "it"
    records.write(path, replace(made_up(), **{name: value}))
    with pytest.raises(CheckpointError) as refused:
        records.read(path)
    assert str(refused.value) == f"{path}: its header does not fit its numbers: {what}"


def test_a_file_without_one_of_the_arrays_is_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "it"
    records.write(path, made_up())
    tensors, about = tensor_files.read(path, records.FORMAT)
    del tensors["cost"]
    tensor_files.write(path, tensors, about)
    monkeypatch.delattr(tensor_files, "from_bytes")  # what looks at the arrays once they are read
    with pytest.raises(CheckpointError, match=r"does not fit its numbers: .*'cost'"):
        records.read(path)


@pytest.mark.parametrize("e", range(4))
def test_the_confusion_matrix_is_that_of_scikit_learn(e: int) -> None:
    made = made_up()
    wanted = confusion_matrix(made.labels, made.predicted[e], labels=range(10))
    np.testing.assert_array_equal(made.confusion(e), wanted)


def test_an_example_without_a_prediction_is_in_no_confusion_and_no_mistake() -> None:
    made = with_unknown()
    known = confusion_matrix(made.labels[:-30], made.predicted[2][:-30], labels=range(10))
    np.testing.assert_array_equal(made.confusion(2), known)
    assert made.mistakes(0).max() < 170


def test_mistakes_are_the_misclassified_examples_most_confident_first() -> None:
    made = replace(
        made_up(n_snapshots=1, n=6),
        labels=np.array([0, 1, 2, 3, 4, 5], np.int16),
        predicted=np.array([[1, 1, 0, 0, 4, 0]], np.int16),
        confidence=np.array([[0.4, 0.99, 0.7, 0.4, 0.98, 0.9]], np.float32),
    )
    assert made.mistakes(0).tolist() == [5, 2, 0, 3]


def test_a_picture_belongs_to_its_example_and_others_have_none() -> None:
    made = made_up()
    for at, example in enumerate(made.examples):
        np.testing.assert_array_equal(made.image_of(int(example)), made.images[at])
    without = sorted(set(range(200)) - set(made.examples.tolist()))
    assert [made.image_of(example) for example in without] == [None] * len(without)


def test_a_row_belongs_to_its_example_with_its_raw_values() -> None:
    made = of_table()
    first, second = made.examples[:2].tolist()
    assert made.row_of(first) == (None, "39.1", None)
    assert made.row_of(second) == ("Biscoe", "39.2", "3751")
    assert made.row_of(int(made.examples.max()) + 1) is None
    assert made.image_of(first) is None
    assert made_up().row_of(first) is None
    assert made.input_names == ("island = Biscoe", "island = [b]Dream[/b]", "bill_mm", "mass_g")
    assert (made.what, made_up().what) == ("row", "image")


@pytest.mark.usefixtures("_own_cache")
def test_a_new_inspection_takes_the_place_of_those_of_its_run_and_part() -> None:
    path_of = records.path_of
    paths = [path_of("a", "test", "1"), path_of("a", "validation", "1"), path_of("b", "test", "1")]
    new = path_of("a", "test", "2")
    for path in (*paths, new):
        files.write_atomically(path, b"")
    records.tidy(new)
    assert {p.name for p in new.parent.iterdir()} == {p.name for p in (*paths[1:], new)}


@pytest.mark.usefixtures("_own_cache")
def test_of_too_many_inspections_the_oldest_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MOST_FILES", 3)
    paths = [records.path_of(run_id, "test", "1") for run_id in "vwxyz"]
    for age, path in enumerate(paths):
        files.write_atomically(path, b"")
        os.utime(path, (1000 - age, 1000 - age))
    records.tidy(paths[-1])
    assert [path.exists() for path in paths] == [True, True, False, False, True]
