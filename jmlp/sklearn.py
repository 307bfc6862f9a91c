"""A classifier of scikit-learn: `jmlp.sklearn.JmlpClassifier`, for pipelines and searches.

It trains as `jmlp.fit` does: a part of the examples is for validation, which stops the training and
chooses the network that is kept. `fit` takes `sample_weight`, and `class_weight` is that of
scikit-learn. There is no `partial_fit`: early stopping needs all examples at once.
"""

from dataclasses import fields
from inspect import Parameter, Signature
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)

from jmlp import api
from jmlp.data.frames import is_columns, read_columns
from jmlp.data.order import random_split, stratified_split
from jmlp.errors import ConfigError, DataError
from jmlp.results.weights import Network
from jmlp.study.config import Hyperparams, changed
from jmlp.training.records import RunResult

# Hyperparameters for studies about mistakes, and one that scikit-learn knows in another form.
LEFT_OUT = ("backward_fault", "training_fault", "class_weight")
OWN: dict[str, Any] = {"class_weight": None, "validation_fraction": 0.2, "random_state": None}
DEFAULTS = {
    **{known.name: known.default for known in fields(Hyperparams) if known.name not in LEFT_OUT},
    **OWN,
}
SEEDS = 2**31 - 1  # of `random_state`


class JmlpClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # without types
    """A multilayer perceptron written from scratch in JAX, with early stopping.

    Columns of numbers are standardised, as by a `StandardScaler` of the part that trains; arrays of
    `uint8` are pixels, scaled to 0-1. In frames of pandas or polars, columns of words are one-hot.

    Parameters
    ----------
    hidden : tuple of int
        Units of each hidden layer.
    batch_size : int
        Examples of a mini-batch; all that train if they are fewer.
    class_weight : dict, "balanced" or None, default=None
        As in scikit-learn: a factor of every example's weight, by its class.
    validation_fraction : float, default=0.2
        The part of the examples on which training is stopped and the best network is chosen, with
        equal shares of the classes. It is the same for every `random_state`.
    random_state : int, RandomState or None, default=None
        Determines initial weights, the order of the examples and dropout. An integer is the seed of
        `jmlp.fit`, with the same result.
    **hyperparameters
        All others of `jmlp.Hyperparams`, with their defaults: `activation`, `learning_rate`,
        `drop_rate`, `epochs`, `patience` and so on.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels.
    n_features_in_ : int
        The number of features.
    feature_names_in_ : ndarray of str
        The names of the features, if all of them are strings.
    n_iter_ : int
        The epochs that were trained.
    result_ : jmlp.RunResult
        The run: its costs by epoch, and the kept parameters.
    network_ : jmlp.Network
        The kept network, for `jmlp.trace`, `jmlp.save_onnx` and so on; its classes are 0, 1, 2 and
        so on, in the order of `classes_`.

    See Also
    --------
    sklearn.neural_network.MLPClassifier : scikit-learn's own.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from jmlp.sklearn import JmlpClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> net = JmlpClassifier(hidden=(16,), learning_rate=0.1, batch_size=16, random_state=0)
    >>> net.fit(X, y).score(X, y) > 0.9
    True
    """

    def __init__(self, **parameters: Any) -> None:
        if unknown := sorted(parameters.keys() - DEFAULTS.keys()):
            raise TypeError(f"JmlpClassifier has no parameter {unknown[0]}")
        for name, default in DEFAULTS.items():
            setattr(self, name, parameters.get(name, default))

    # scikit-learn reads the parameters from the signature.
    __init__.__signature__ = Signature(  # type: ignore[attr-defined]
        [
            Parameter("self", Parameter.POSITIONAL_OR_KEYWORD),
            *(
                Parameter(name, Parameter.KEYWORD_ONLY, default=default)
                for name, default in DEFAULTS.items()
            ),
        ]
    )

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Trains the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Numbers, pixels (`uint8`), or a frame with columns of numbers and words.
        y : array-like of shape (n_samples,)
            Labels of any kind.
        sample_weight : array-like of shape (n_samples,), default=None
            How much each example counts in every cost.

        Returns
        -------
        self : JmlpClassifier
            The fitted classifier.
        """
        X, y = self._examples(X, y)
        check_classification_targets(y)
        self.classes_, indices = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y has 1 class, {self.classes_[0]!r}: there is nothing to learn")
        weights = None
        if sample_weight is not None or self.class_weight is not None:
            weights = _check_sample_weight(sample_weight, X, dtype=np.float64)
            weights = weights * compute_sample_weight(self.class_weight, y)
        try:
            hp = self._hyperparams(X, indices)
            self.result_: RunResult = api.fit(
                hp,
                X,
                indices,
                self._seed(),
                self.validation_fraction,
                weights=weights,
            )
        except (ConfigError, DataError) as error:
            raise ValueError(str(error)) from error
        if self.result_.network is None:
            raise ValueError(
                f"the training diverged at update {self.result_.diverged_at}: lower learning_rate"
            )
        self.network_: Network = self.result_.network
        self.n_iter_ = int(np.ceil(self.result_.stopped_epoch))
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """The class with the highest probability.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Examples, as for `fit`.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            The labels.
        """
        chosen = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[chosen])

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """The probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Examples, as for `fit`.

        Returns
        -------
        p : ndarray of shape (n_samples, n_classes)
            The probabilities, in the order of `classes_`.
        """
        check_is_fitted(self)
        (X,) = self._examples(X)
        try:
            return self.network_.predict_proba(X)
        except DataError as error:
            raise ValueError(str(error)) from error

    def predict_log_proba(self, X: Any) -> NDArray[np.float32]:
        """The logarithm of the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Examples, as for `fit`.

        Returns
        -------
        log_p : ndarray of shape (n_samples, n_classes)
            The logarithms, in the order of `classes_`.
        """
        return np.asarray(np.log(self.predict_proba(X)))

    def _examples(self, X: Any, *y: Any) -> tuple[Any, ...]:
        """The examples as `jmlp.fit` takes them, and the labels if they are given."""
        in_fit = bool(y)
        if is_columns(X) and _has_words(X):
            checked = validate_data(self, X, *y, reset=in_fit, skip_check_array=True)
            return (checked[0], column_or_1d(checked[1], warn=True)) if in_fit else (checked,)
        least = 2 if in_fit else 1
        checked = validate_data(self, X, *y, reset=in_fit, ensure_min_samples=least)
        X, *labels = checked if in_fit else (checked,)
        return (X if X.dtype == np.uint8 else X.astype(np.float64), *labels)

    def _hyperparams(self, X: Any, indices: NDArray[Any]) -> Hyperparams:
        """The hyperparameters; mini-batches are no larger than the part that trains."""
        hp = Hyperparams(**{n: getattr(self, n) for n in DEFAULTS if n not in OWN})
        divide = random_split if getattr(X, "dtype", None) == np.uint8 else stratified_split
        training, _ = divide(indices, api.SPLIT_SEED, self.validation_fraction)
        return changed(hp, batch_size=min(hp.batch_size, len(training)))

    def _seed(self) -> int:
        if isinstance(self.random_state, int | np.integer):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(SEEDS))


def _has_words(X: Any) -> bool:
    """Whether a frame has columns that are no numbers."""
    return any(column.values.dtype == object for column in read_columns(X, "X").columns)
