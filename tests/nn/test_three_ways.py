"""Derivatives by three ways: they agree, and where they do not, the reason is the real one."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray
from traced_networks import KEY, N_CLASSES, N_IN, NETWORKS, B, X, Y, network

from jmlp.nn import faults, model, rounding
from jmlp.nn.dense import DenseParams
from jmlp.nn.gradient import CostOptions
from jmlp.nn.model import Layer
from jmlp.nn.three_ways import ThreeWays
from jmlp.nn.trace import trace, trace_prediction
from jmlp.study.rules import BackwardFault


def three_ways(name: str, *, double: bool = False, **settings: Any) -> ThreeWays:
    changes, options = NETWORKS[name]
    params, state = network(**changes)
    derivatives = faults.derivatives(
        settings.get("fault", "none"), learn_scale=settings.get("learn_scale", True)
    )
    found = trace(params, state, X, Y, KEY, options, derivatives, settings.get("share", 1.0))
    return ThreeWays(found, params, state, Y, options, double=double, **settings)


@pytest.mark.parametrize("name", NETWORKS)
def test_in_float64_all_derivatives_of_a_pass_agree_in_three_ways(name: str) -> None:
    ways = three_ways(name, double=True)
    assert ways.type == "float64"
    for place in ways.places():
        found = ways.compare_array(*place)
        assert (found.n_mistakes, found.vjp_error < 1e-12) == (0, True), place
        assert found.difference_error < 1e-6, place
        assert found.n_checked == min(found.size, 64)


@pytest.mark.parametrize("name", ["plain", "dropout", "batch norm", "options of the cost"])
def test_in_float32_every_difference_has_a_reason(name: str) -> None:
    ways = three_ways(name)
    assert ways.type == "float32"
    for place in ways.places():
        found = ways.compare_array(*place)
        assert (found.n_mistakes, found.vjp_error < 1e-5) == (0, True), place


def test_each_array_of_derivatives_comes_once_and_all_parameters_are_among_them() -> None:
    ways = three_ways("batch norm")
    places = list(ways.places())
    assert len(set(places)) == len(places)
    operations = ways.trace.operations
    letters = [(operations[index].kind, letter) for index, letter in places]
    n_layers, n_norm = 3, 2
    assert letters.count(("dense", "dW")) == n_layers
    assert letters.count(("batch norm", "dgamma")) == n_norm
    assert letters.count(("batch norm", "dbeta")) == n_norm
    assert letters.count(("cost", "dlogits")) == 1
    # A dense layer before batch norm has no bias, and dZ is that of batch norm's input.
    assert letters.count(("dense", "db")) == 1
    assert ("dense", "dZ") not in letters


def test_the_derivative_of_an_input_is_that_of_what_the_operation_before_computed() -> None:
    ways = three_ways("dropout", double=True)
    index = 2  # the activation of the first hidden layer, after dropout of the inputs
    assert ways.trace.operations[index].kind == "activation"
    assert ways.compare(index - 1, "dZ", 1, 2) == ways.compare(index, "dZ", 1, 2)


def test_a_prediction_agrees_with_statistics_that_are_constants() -> None:
    params, state = network(batch_norm=True)
    state = jax.tree.map(lambda a: a + 0.3, state)
    found = trace_prediction(params, state, X, Y)
    ways = ThreeWays(found, params, state, Y, is_prediction=True, double=True)
    for place in ways.places():
        compared = ways.compare_array(*place)
        assert compared.vjp_error < 1e-12
        assert compared.difference_error < 1e-6


def test_the_share_of_a_block_scales_all_derivatives() -> None:
    whole, part = three_ways("plain", double=True), three_ways("plain", double=True, share=0.25)
    for place in part.places():
        found = part.compare_array(*place)
        assert (found.n_mistakes, found.vjp_error < 1e-12) == (0, True)
    a, b = (ways.compare(0, "dW", 1, 2).by_vjp for ways in (whole, part))
    assert b == pytest.approx(0.25 * a, rel=1e-12)


# Where the network is sure, and P - T has few digits left in float32


def sure_network(
    name: str, seed: int, scale: float
) -> tuple[model.Params, model.State, NDArray[np.float32], jax.Array]:
    """A network with large weights, and examples of which most have the class that it predicts."""
    changes, _ = NETWORKS[name]
    params, state = network(**changes)
    rng = np.random.default_rng(seed)
    leaves, structure = jax.tree.flatten(params)
    moved = [scale * (leaf + jnp.float32(rng.normal(0, 0.2, leaf.shape))) for leaf in leaves]
    params = jax.tree.unflatten(structure, moved)
    x = rng.normal(size=(B, N_IN)).astype(np.float32)
    predicted = np.asarray(model.predict(params, state, x)).argmax(axis=1)
    y = np.where(rng.random(B) < 0.8, predicted, rng.integers(0, N_CLASSES, B))
    return params, state, x, jnp.asarray(y, jnp.int32)


def sure(
    name: str, seed: int, scale: float, *, double: bool, fault: BackwardFault = "none"
) -> ThreeWays:
    params, state, x, y = sure_network(name, seed, scale)
    options, derivatives = NETWORKS[name][1], faults.derivatives(fault, rate=0.1)
    found = trace(params, state, x, y, KEY, options, derivatives)
    return ThreeWays(found, params, state, y, options, fault=fault, rate=0.1, double=double)


SURE = ("plain", "dropout", "batch norm", "options of the cost", "tanh", "gelu")


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("name", SURE)
def test_a_right_derivative_of_a_network_that_is_sure_is_never_called_wrong(
    name: str, double: bool
) -> None:
    for seed, scale in ((0, 2.0), (1, 5.0), (2, 10.0)):
        ways = sure(name, seed, scale, double=double)
        for place in ways.places():
            found = ways.compare_array(*place)
            assert found.n_mistakes == 0, (seed, scale, ways.trace.name(*place))
            assert "no reason was found" not in found.reasons


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("fault", faults.NAMES)
def test_every_mistake_is_found_where_the_network_is_sure(
    fault: BackwardFault, double: bool
) -> None:
    name = {"batch_norm": "batch norm", "weights_transposed": "square"}.get(fault, "dropout")
    for seed, scale in ((0, 1.5), (1, 3.0), (2, 3.0)):
        ways = sure(name, seed, scale, double=double, fault=fault)
        wrong = [place for place in ways.places() if ways.compare_array(*place).n_mistakes]
        assert wrong, (seed, scale)


def test_in_float32_a_probability_near_1_leaves_rounding_that_float64_names() -> None:
    """The logits are 11 and 0, so P - T is -1.7e-05 and float32 has two digits of it."""
    params, x, y = two_units(5.5)
    found = trace(params, (None, None), x, y)
    ways = ThreeWays(found, params, (None, None), y)
    (place,) = [p for p in ways.places() if p[1] == "dlogits"]
    compared = ways.compare(*place, 0, 0)
    assert compared.by_hand == pytest.approx(-1 / (1 + np.exp(11)), rel=0.02)
    assert not compared.is_mistake
    (reason,) = compared.reasons
    assert reason.startswith("rounding: with the same step in float64, its error is ")


def test_the_rounding_of_a_number_is_below_its_bound_in_float32() -> None:
    """The bound of `nn.rounding` against the derivatives of the same pass in float64."""
    for name in SURE:
        single = sure(name, 1, 5.0, double=False)
        allowed = rounding.bounds(single.trace)
        for index, letter in single.places():
            a, b = (
                np.asarray(ways.trace.operations[index][letter], np.float64)
                for ways in (single, single.doubled)
            )
            assert (np.abs(a - b) <= allowed[index][letter]).all(), (name, letter)


# Where they differ


@pytest.mark.parametrize("fault", faults.NAMES)
def test_a_mistake_in_the_backward_pass_is_found_without_a_reason_for_it(
    fault: BackwardFault,
) -> None:
    name = {"batch_norm": "batch norm", "weights_transposed": "square"}.get(fault, "dropout")
    ways = three_ways(name, double=True, fault=fault, rate=0.1)
    assert sum(ways.compare_array(*place).n_mistakes for place in ways.places()) > 0


def test_a_scale_that_is_not_learned_is_no_mistake() -> None:
    ways = three_ways("batch norm", double=True, learn_scale=False)
    (index,) = (
        k for k, op in enumerate(ways.trace.operations) if op.kind == "batch norm" and k < 4
    )
    found = ways.compare(index, "dgamma", 0, 0)
    assert (found.by_hand, found.by_vjp != 0, found.is_mistake) == (0, True, False)
    assert found.reasons[0].startswith("the scale and shift of batch norm are not learned")


def two_units(z: float) -> tuple[model.Params, np.ndarray[Any, Any], jax.Array]:
    """One input, one hidden unit whose Z is `z`, and two classes."""
    one = jnp.asarray([[1.0]])
    hidden = Layer(DenseParams(one, jnp.asarray([[z]])), None)
    last = Layer(DenseParams(jnp.asarray([[1.0], [-1.0]]), jnp.zeros((2, 1))), None)
    return (hidden, last), np.zeros((1, 1), np.float32), jnp.zeros(1, jnp.int32)


def of_two_units(z: float) -> ThreeWays:
    params, x, y = two_units(z)
    found = trace(params, (None, None), x, y)
    return ThreeWays(found, params, (None, None), y, double=True)


def test_a_kink_within_the_step_is_named_by_its_layer_unit_and_example() -> None:
    found = of_two_units(4e-6).compare(0, "db", 0, 0)  # h is 1e-5
    assert found.by_hand == found.by_vjp == pytest.approx(-1, rel=1e-4)
    assert found.by_differences == pytest.approx(-0.7, rel=1e-3)  # (1e-5 + 4e-6) / 2e-5
    assert found.reasons == ("a kink within the step: hidden 1.Z[0, 0] changes its sign",)
    assert not found.is_mistake


def test_at_a_tie_the_derivative_is_that_of_the_left_by_hand_and_the_mean_by_vjp() -> None:
    found = of_two_units(0.0).compare(0, "db", 0, 0)
    assert found.by_hand == 0
    assert found.by_vjp == pytest.approx(-0.5)
    assert found.by_differences == pytest.approx(-0.5, rel=1e-4)
    assert found.reasons[0].startswith(
        "a tie: hidden 1.Z[0, 0] is exactly 0, where there is no derivative"
    )
    assert not found.is_mistake


def test_at_a_tie_a_mistake_is_found_all_the_same() -> None:
    params, x, y = two_units(0.0)
    derivatives = faults.derivatives("relu_mask")
    found = trace(params, (None, None), x, y, derivatives=derivatives)
    for double in (False, True):
        ways = ThreeWays(found, params, (None, None), y, fault="relu_mask", double=double)
        compared = ways.compare(0, "db", 0, 0)
        assert (compared.by_hand, compared.is_mistake) == (-1, True)


def test_the_reasons_of_an_array_are_counted_by_their_kind() -> None:
    found = of_two_units(4e-6).compare_array(0, "db")
    assert (dict(found.reasons), found.n_mistakes) == ({"a kink within the step": 1}, 0)
    assert dict(of_two_units(0.5).compare_array(0, "db").reasons) == {}


def test_far_from_the_kink_nothing_needs_a_reason() -> None:
    found = of_two_units(0.5).compare(0, "db", 0, 0)
    assert (found.reasons, found.is_mistake) == ((), False)
    # dZ = (W1 - W0) dlogits, by hand: P0 = 1 / (1 + exp(-1)), so 2 (P0 - 1).
    assert found.by_hand == pytest.approx(2 * (1 / (1 + np.exp(-1)) - 1), rel=1e-6)


def test_float32_is_named_where_the_costs_are_too_nearly_equal() -> None:
    ways = three_ways("plain")
    place = next((index, letter) for index, letter in ways.places() if letter == "dW")
    array = np.abs(np.asarray(ways.trace.operations[place[0]]["dW"]))
    smallest = np.unravel_index(np.where(array > 0, array, np.inf).argmin(), array.shape)
    found = ways.compare(*place, *map(int, smallest))
    assert not found.is_mistake
    if found.difference_error > 1e-3:
        assert any(text.startswith(("rounding", "a kink", "curvature")) for text in found.reasons)


@pytest.mark.parametrize(("letter", "error"), [("Z", KeyError), ("dX", KeyError)])
def test_only_derivatives_are_compared(letter: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        three_ways("no hidden layer").compare(0, letter, 0, 0)


def test_a_place_that_is_not_there_is_refused() -> None:
    with pytest.raises(IndexError, match=r"dW\[3, 0\]: dW is 3 by 6"):
        three_ways("no hidden layer").compare(0, "dW", 3, 0)


def test_the_masks_of_a_trace_are_used_in_float64_as_well() -> None:
    single, double = (three_ways("dropout", double=double) for double in (False, True))
    for a, b in zip(single.trace.operations, double.trace.operations, strict=True):
        if a.kind == "dropout":
            np.testing.assert_array_equal(np.asarray(a["M"]) == 0, np.asarray(b["M"]) == 0)
    assert CostOptions(0.4, 0.3) == NETWORKS["dropout"][1]
