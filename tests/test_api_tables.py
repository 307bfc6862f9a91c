"""`fit` and `classify` on frames, and on labels of any kind."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from helpers import SMALL

import jmlp
from jmlp.errors import ConfigError, DataError

HP = replace(SMALL, hidden=(8,), batch_size=8, epochs=30, learning_rate=0.3, drop_rate=0.0)
N = 60
ROWS = np.arange(N)
FRAME = pl.DataFrame(
    {
        "mass": (3000 + 500 * (ROWS % 3) + ROWS % 7).tolist(),
        "island": [("Biscoe", "Dream")[i % 2] for i in range(N)],
        "species": [("Adelie", "Chinstrap", "Gentoo")[i % 3] for i in range(N)],
    }
)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_raw_row_goes_in_and_a_class_name_comes_out() -> None:
    result = jmlp.fit(HP, FRAME, label="species")
    names = result.predict(FRAME)
    assert (names == FRAME["species"].to_numpy()).mean() > 0.95
    one = result.predict({"mass": 4001, "island": "Dream"})
    assert one.tolist() == ["Gentoo"]
    logits = jmlp.predict(result.params, result.state, result.contract.inputs_of(FRAME))
    assert logits.shape == (N, 3)
    with pytest.raises(DataError, match="column island: row 1 is 'Mars'"):
        result.predict({"mass": 1, "island": "Mars"})


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_labels_of_an_array_are_classes_with_names() -> None:
    x = np.stack([ROWS % 3, ROWS % 2], axis=1).astype(np.float32)
    labels: list[Any] = [("low", "middle", "high")[i % 3] for i in range(N)]
    result = jmlp.fit(HP, x, labels)
    assert result.contract.class_names == ("high", "low", "middle")
    assert (result.predict(x) == np.array(labels)).mean() > 0.95
    numbered = jmlp.fit(HP, x, ROWS % 3)
    other = jmlp.fit(HP, x, [(1, 2, 0)[i % 3] for i in range(N)])
    # The classes high, low, middle in this order: equal numbers train equal networks.
    assert other.costs == result.costs != numbered.costs


@pytest.mark.parametrize(
    ("changes", "kind", "told"),
    [
        ({"x": FRAME}, ConfigError, "label: name the label column of the frame, or give the"),
        ({"x": FRAME, "label": "kind"}, DataError, "label: there is no column 'kind'; its columns"),
        ({"x": FRAME, "y": [1, 2], "label": "species"}, ConfigError, "label: name the label"),
        ({"x": FRAME, "y": [1, 2]}, DataError, "fit: x: 60 rows, but 2 labels"),
        ({"x": FRAME, "label": "species", "missing": "none"}, ConfigError, "missing: must be 'er"),
        ({"x": np.eye(3), "y": [0, 1, 2], "label": "a"}, ConfigError, "are for frames"),
        ({"x": np.eye(3)}, ConfigError, "y: give the labels"),
        ({"x": np.eye(3), "y": [0, 1, 2], "stratify": 0}, ConfigError, "stratify: must be true"),
        (
            {"x": np.uint8(9 * np.eye(4)), "y": [0, 1, 0, 1], "stratify": False},
            DataError,
            "fit: stratify: is only for tables",
        ),
        (
            {"x": 2000 * np.eye(4).reshape(4, 2, 2), "y": [0, 1, 0, 1]},
            ConfigError,
            "inputs as large as 2,000",
        ),
    ],
)
def test_what_cannot_be_fitted_is_refused(
    changes: dict[str, Any], kind: type[Exception], told: str
) -> None:
    with pytest.raises(kind) as error:
        jmlp.fit(**{"hp": replace(HP, batch_size=1), **changes})
    assert told in str(error.value)


BASE = replace(HP, hidden=(4,), epochs=3, patience=None)
FRAME_STUDY = jmlp.Study(
    "s",
    (jmlp.Experiment("a", BASE, {"learning_rate": (0.1, 0.3)}, (0, 1)),),
    label="species",
    leave_out=("island",),
    test=0.25,
)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_study_of_a_frame_reads_it_as_the_study_says() -> None:
    results = [run for p in jmlp.run_study(FRAME_STUDY, FRAME) for run in p.results]
    assert len(results) == 4
    assert {run.test_accuracy is not None for run in results} == {True}
    columns = results[0].contract.columns
    assert [column.name for column in columns.features] == ["mass"]
    tested = replace(FRAME_STUDY, test="")
    apart = [run for p in jmlp.run_study(tested, FRAME, FRAME) for run in p.results]
    assert {run.test_accuracy is not None for run in apart} == {True}
    pair = FRAME.drop("species"), FRAME["species"]
    by_pair = [run for p in jmlp.run_study(FRAME_STUDY, pair) for run in p.results]
    assert [run.costs for run in by_pair] == [run.costs for run in results]


@pytest.mark.parametrize(
    ("study", "data", "told"),
    [
        (replace(FRAME_STUDY, label=""), (FRAME,), "dataset: name the label column of the frame"),
        (FRAME_STUDY, (FRAME, np.eye(2)), "test: must be a frame, as dataset is one, got a value"),
        (FRAME_STUDY, (np.eye(3),), r"dataset: must be \(x, y\), or a frame with a label column"),
    ],
)
def test_data_of_a_study_that_are_no_frame_with_labels_are_refused(
    study: jmlp.Study, data: tuple[Any, ...], told: str
) -> None:
    with pytest.raises(ConfigError, match=f"^run_study: {told}") as error:
        list(jmlp.run_study(study, *data))
    assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_label_column_of_a_frame_is_what_a_score_compares_with() -> None:
    result = jmlp.fit(HP, FRAME, label="species")
    assert result.score(FRAME) == result.score(FRAME, FRAME["species"])
    assert result.score(FRAME, what="cost") == result.score(FRAME, FRAME["species"], "cost")
    with pytest.raises(DataError, match="or a frame with the column species as x"):
        result.score(FRAME.drop("species"))
    pixels = np.random.default_rng(0).integers(0, 256, (30, 5)).astype(np.uint8)
    pictures = jmlp.fit(HP, pixels, ROWS[:30] % 2)
    with pytest.raises(DataError, match=r"score: y: give the labels of x$"):
        pictures.score(pixels)
