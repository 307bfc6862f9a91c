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
