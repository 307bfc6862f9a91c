"""The check of the gradient finds what is wrong, in the leaf where it is, and only there."""

from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest

from jmlp.nn import faults, gradcheck, model
from jmlp.nn.activations import ACTIVATIONS
from jmlp.nn.gradcheck import LeafCheck, check_network, cosine, ratio, relative_error

LEAVES = ["[0].dense.W", "[0].batchnorm.gamma", "[0].batchnorm.beta", "[1].dense.W", "[1].dense.b"]


def test_right_gradient_of_batch_norm_and_dropout_is_within_tolerance_in_every_leaf() -> None:
    checks = check_network((8,), "before", 0.4, seed=0)
    assert [check.leaf for check in checks] == LEAVES
    assert all(check.size == size for check, size in zip(checks, (96, 8, 8, 80, 10), strict=True))
    for check in checks:
        assert (check.hidden, check.batch_norm, check.drop_rate) == ((8,), "before", 0.4)
        assert 0 < check.autodiff_error < 1e-14
        assert 0 < check.difference_error < 1e-8
        assert check.ok


@pytest.mark.usefixtures("gradients_compiled_anew")
@pytest.mark.parametrize("wrong", LEAVES)
def test_leaf_that_is_wrong_by_a_millionth_is_found(
    wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backward = model.backward

    def broken(dlogits: Any, caches: Any, derivatives: Any) -> Any:
        def scaled(path: Any, leaf: Any) -> Any:
            return leaf * (1 + 3e-6) if jax.tree_util.keystr(path) == wrong else leaf

        return jax.tree_util.tree_map_with_path(scaled, backward(dlogits, caches, derivatives))

    monkeypatch.setattr(model, "backward", broken)
    checks = check_network((8,), "before", 0.4, seed=0)
    assert [check.leaf for check in checks if not check.ok] == [wrong]
    (found,) = (check for check in checks if check.leaf == wrong)
    assert found.autodiff_error == pytest.approx(3e-6, rel=1e-3)
    assert found.difference_error == pytest.approx(3e-6, rel=1e-2)


def test_everything_is_checked_over_depth_batch_norm_and_dropout_and_each_option_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checked: list[Any] = []

    def check(*arguments: Any) -> list[Any]:
        checked.append(arguments)
        return [arguments]

    monkeypatch.setattr(gradcheck, "check_network", check)
    assert list(gradcheck.check_gradients(seed=3)) == checked
    assert checked == [
        ((), None, 0.0, 3, "none"),
        *[
            (hidden, batch_norm, drop_rate, 3, "none")
            for hidden in ((8,), (20, 7, 5))
            for batch_norm in (None, "before", "after")
            for drop_rate in (0.0, 0.4)
        ],
        *[
            (hidden, None, 0.0, 3, "none", option)
            for hidden, option in (
                ((8, 7, 6, 5, 4), "each activation"),
                ((8,), "input dropout"),
                ((8,), "label smoothing"),
                ((8,), "class weights"),
                ((8,), "l2"),
            )
        ],
    ]


def test_each_option_changes_the_gradient_and_is_within_tolerance_in_every_leaf() -> None:
    plain = check_network((8,), None, 0.0, seed=0)
    for name, option in gradcheck.OPTIONS.items():
        checks = check_network(option.hidden, None, 0.0, 0, "none", name)
        assert len(checks) == 2 * len(option.hidden) + 2
        assert all(check.ok and check.option == name for check in checks)
        errors = [check.difference_error for check in checks]
        assert errors != [check.difference_error for check in plain], name
    assert set(gradcheck.ACTIVATIONS) == set(ACTIVATIONS) - {"relu"}


@pytest.mark.usefixtures("gradients_compiled_anew")
def test_wrong_activation_is_found_in_the_layers_up_to_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    number, name = 2, gradcheck.ACTIVATIONS[2]
    right = ACTIVATIONS[name]
    monkeypatch.setattr(faults, "NAMES", ())  # no comparison with the known mistakes
    wrong = replace(right, backward=lambda dA, cache: 1.01 * right.backward(dA, cache))
    monkeypatch.setitem(ACTIVATIONS, name, wrong)
    checks = check_network((8, 7, 6, 5, 4), None, 0.0, 0, "none", "each activation")
    found = {int(check.leaf[1]) for check in checks if not check.ok}
    assert found == set(range(number + 1))


def test_error_is_relative_to_the_larger_norm_and_at_least_a_fraction_of_the_whole() -> None:
    a, b = np.array([3.0, 4.0]), np.array([0.0, 10.0])
    assert relative_error(a, b, whole_norm=1.0) == pytest.approx(np.sqrt(45) / 10)
    assert relative_error(b, a, whole_norm=1.0) == pytest.approx(np.sqrt(45) / 10)
    tiny = np.array([1e-12])
    assert relative_error(tiny, 0 * tiny, whole_norm=1.0) == pytest.approx(1e-4)
    assert relative_error(tiny, 0 * tiny, whole_norm=0.0) == 1


@pytest.mark.parametrize(
    ("autodiff", "difference", "ok"),
    [
        (1e-9, 1e-6, True),
        (1.1e-9, 0.0, False),
        (0.0, 1.1e-6, False),
        (float("nan"), 0.0, False),
        (0.0, float("nan"), False),
    ],
)
def test_leaf_is_right_where_both_errors_are_within_tolerance(
    autodiff: float, difference: float, ok: bool
) -> None:
    assert LeafCheck((), None, 0.0, "[0].dense.W", 1, autodiff, difference, 1.0, 1.0).ok is ok


def test_ratio_and_cosine_are_hand_computed() -> None:
    a, b = np.array([[3.0, 4.0]]), np.array([[0.0, 10.0]])
    assert (ratio(a, b), cosine(a, b)) == (0.5, 0.8)
    assert (ratio(-2 * b, b), cosine(-2 * b, b)) == (2.0, -1.0)
    assert (ratio(0 * a, b), ratio(a, 0 * b)) == (0.0, np.inf)
    assert all(map(np.isnan, (ratio(0 * a, 0 * b), cosine(0 * a, b), cosine(a, 0 * b))))
