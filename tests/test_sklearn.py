"""The classifier behaves as scikit-learn's own, by scikit-learn's own checks and tools."""

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import jmlp
from jmlp.data.columns import Column
from jmlp.sklearn import DEFAULTS, JmlpClassifier
from jmlp.study.config import Hyperparams

SMALL: dict[str, Any] = {"hidden": (16,), "learning_rate": 0.1, "batch_size": 16, "epochs": 20}
WARNED = pytest.mark.filterwarnings("ignore::UserWarning")  # of parts with few examples


def expected_to_fail(estimator: Any) -> dict[str, str]:
    why = "mini-batches of repeated rows are others than those of weighted rows"
    return {
        "check_sample_weight_equivalence_on_dense_data": why,
        "check_sample_weight_equivalence_on_sparse_data": why,
    }


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(  # type: ignore[untyped-decorator]
    [JmlpClassifier(**SMALL, patience=5)], expected_failed_checks=expected_to_fail
)
def test_every_check_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)


def test_parameters_are_those_of_hyperparams_but_for_mistakes() -> None:
    known = {name for name in vars(Hyperparams()) if not name.endswith("_fault")}
    assert set(JmlpClassifier().get_params()) == known | {"validation_fraction", "random_state"}
    assert JmlpClassifier().get_params()["epochs"] == Hyperparams().epochs
    with pytest.raises(TypeError, match="JmlpClassifier has no parameter learning_rat"):
        JmlpClassifier(learning_rat=0.1)
    assert "backward_fault" not in DEFAULTS


def test_an_integer_is_the_seed_of_fit() -> None:
    X, y = load_iris(return_X_y=True)
    net = JmlpClassifier(**SMALL, random_state=3).fit(X, y)
    result = jmlp.fit(Hyperparams(**SMALL), X, y, seed=3)
    assert net.result_.run_id == result.run_id
    np.testing.assert_array_equal(net.predict_proba(X), result.network.predict_proba(X))
    assert net.n_iter_ == result.stopped_epoch
    np.testing.assert_allclose(
        net.predict_log_proba(X), np.log(result.network.predict_proba(X)), rtol=1e-6
    )


def test_labels_are_words_and_frames_have_words() -> None:
    rng = np.random.default_rng(0)
    colour = rng.choice(["red", "green", "blue"], 200)
    frame = pd.DataFrame({"size": rng.normal(size=200), "colour": colour})
    y = np.where((colour == "red") ^ (frame["size"] > 0), "yes", "no")
    net = JmlpClassifier(**SMALL, random_state=0).fit(frame, y)
    assert list(net.classes_) == ["no", "yes"]
    assert set(net.predict(frame)) <= {"no", "yes"}
    assert net.score(frame, y) > 0.9
    assert list(net.feature_names_in_) == ["size", "colour"]
    assert Column("colour", ("blue", "green", "red")) in net.network_.contract.row
    with pytest.raises(ValueError, match="feature names should match"):
        net.predict(frame.rename(columns={"size": "length"}))


def test_pixels_are_scaled_and_numbers_are_standardised() -> None:
    X, y = load_digits(return_X_y=True)
    pixels = (X * 15).astype(np.uint8)
    net = JmlpClassifier(**SMALL, random_state=0).fit(pixels, y)
    assert net.network_.contract.dtype == "uint8"
    assert net.score(pixels, y) > 0.9
    numbers = JmlpClassifier(**SMALL, random_state=0).fit(X, y)
    assert numbers.network_.contract.is_table
    np.testing.assert_array_equal(numbers.predict(X.astype(int)), numbers.predict(X))


@WARNED
def test_pipelines_searches_clones_and_pickles() -> None:
    X, y = load_iris(return_X_y=True)
    net = JmlpClassifier(**SMALL, random_state=0)
    scores = cross_val_score(make_pipeline(StandardScaler(), net), X, y, cv=3)
    assert scores.mean() > 0.8
    search = GridSearchCV(net, {"hidden": [(4,), (16,)], "drop_rate": [0.0, 0.2]}, cv=2).fit(X, y)
    assert set(search.best_params_) == {"hidden", "drop_rate"}
    assert clone(net).get_params() == net.get_params()
    fitted = net.fit(X, y)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))


def test_weights_of_classes_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    y = np.array(["a"] * 270 + ["b"] * 30)
    X = rng.normal((y == "b")[:, None] * 0.8, 1, (300, 2))
    shares = [
        np.mean(JmlpClassifier(**SMALL, random_state=0, class_weight=w).fit(X, y).predict(X) == "b")
        for w in (None, "balanced", {"a": 0.01, "b": 1})
    ]
    assert shares[0] < 0.1 < shares[1] < shares[2]
    balanced = JmlpClassifier(**SMALL, random_state=0, class_weight="balanced").fit(X, y)
    weights = np.where(y == "b", 5.0, 5 / 9)
    same = JmlpClassifier(**SMALL, random_state=0).fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(balanced.predict_proba(X), same.predict_proba(X), atol=1e-5)


def test_what_cannot_be_trained_is_a_value_error() -> None:
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match="hidden: must be a list"):
        JmlpClassifier(hidden=()).fit(X, y)
    with pytest.raises(ValueError, match="y has 1 class"):
        JmlpClassifier().fit(X, np.zeros(len(X)))
    with pytest.raises(ValueError, match="diverged at update"):
        JmlpClassifier(**{**SMALL, "learning_rate": 1e30}, random_state=0).fit(X, y)
    assert not hasattr(JmlpClassifier, "partial_fit")
