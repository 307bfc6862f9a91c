"""Every number of a pass: that of the pass itself, and the sum behind each of them."""

import itertools
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from traced_networks import KEY, NETWORKS, X, Y, network

import jmlp
from jmlp.errors import ConfigError, DataError
from jmlp.nn import batchnorm, cells, faults, model
from jmlp.nn import cost as nn_cost
from jmlp.nn.activations import of_function
from jmlp.nn.dense import DenseParams
from jmlp.nn.gradient import CostOptions, gradient
from jmlp.nn.model import Layer
from jmlp.nn.trace import Operation, Trace, trace, trace_prediction


def traced(name: str) -> Trace:
    changes, options = NETWORKS[name]
    return trace(*network(**changes), X, Y, KEY, options)


def every_cell(operation: Operation) -> list[cells.Explanation]:
    return [
        operation.explain(letter, i, j)
        for letter, array in operation.arrays.items()
        for i, j in np.ndindex(*array.shape)
    ]


# It is the record of the pass


@pytest.mark.parametrize("name", NETWORKS)
def test_cost_gradient_and_state_are_bitwise_those_of_the_pass_itself(name: str) -> None:
    changes, options = NETWORKS[name]
    params, state = network(**changes)
    cost, grads, new_state = gradient(params, state, X, Y, KEY, options)
    found = trace(params, state, X, Y, KEY, options)
    assert found.cost["cost"].item() == cost.item()
    jax.tree.map(np.testing.assert_array_equal, found.gradient, grads)
    jax.tree.map(np.testing.assert_array_equal, found.state, new_state)


@pytest.mark.parametrize("name", NETWORKS)
def test_what_an_operation_computes_is_bitwise_what_the_next_one_reads(name: str) -> None:
    outputs = {"dense": "Z", "batch norm": "Y", "activation": "A", "dropout": "D"}
    inputs = {"dense": "A", "batch norm": "Z", "activation": "Z", "dropout": "A", "cost": "logits"}
    found = traced(name).operations
    for before, after in itertools.pairwise(found):
        np.testing.assert_array_equal(before[outputs[before.kind]], after[inputs[after.kind]])
        at_output = f"d{outputs[before.kind]}"
        at_input = "dlogits" if after.kind == "cost" else f"d{inputs[after.kind]}"
        np.testing.assert_array_equal(before[at_output], after[at_input])


def test_the_gradient_of_the_parameters_stands_beside_them() -> None:
    found = traced("batch norm")
    for layer, grads in zip(found.layers, found.gradient, strict=True):
        dense = layer.operations[0]
        np.testing.assert_array_equal(dense["dW"], grads.dense.W)
        assert ("db" in dense.arrays) == (grads.dense.b is not None)
        if grads.batchnorm is not None:
            np.testing.assert_array_equal(layer.operations[1]["dgamma"], grads.batchnorm.gamma)
    assert [layer.name for layer in found.layers] == ["hidden 1", "hidden 2", "output"]


def test_a_mistake_in_the_backward_pass_is_recorded_as_it_is_made() -> None:
    params, state = network()
    wrong = faults.derivatives("relu_mask", learn_scale=True, rate=0.1)
    found = trace(params, state, X, Y, None, CostOptions(), wrong)
    relu = found.layers[0].operations[1]
    assert not np.array_equal(relu["dZ"], np.where(np.asarray(relu["Z"]) > 0, relu["dA"], 0))


@pytest.mark.parametrize("place", [None, "before", "after"])
def test_a_traced_prediction_is_that_of_predict_and_its_gradient_that_of_jax(
    place: str | None,
) -> None:
    changes = {} if place is None else {"batch_norm": True, "batch_norm_place": place}
    params, state = network(**changes)
    for _ in range(3):  # running statistics unlike those of the batch
        _, state, _ = model.forward(params, state, 2 * X + 1, None, None)
    found = trace_prediction(params, state, X, Y)

    def cost_of(params: model.Params) -> jax.Array:
        return nn_cost.forward(model.predict(params, state, X).T, Y)[0]

    np.testing.assert_array_equal(found.cost["logits"].T, model.predict(params, state, X))
    expected = jax.grad(cost_of)(params)
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6)
    jax.tree.map(close, found.gradient, expected)
    for operation in found.operations:
        for cell in every_cell(operation):
            assert cell.total == pytest.approx(cell.value, rel=2e-5, abs=2e-6), cell
    kinds = [operation.kind for operation in found.operations]
    assert ("running batch norm" in kinds) == (place is not None)


def test_a_part_of_a_mini_batch_has_its_share_of_cost_and_gradient() -> None:
    params, state = network()
    found = trace(params, state, X, Y, None, CostOptions(), share=0.25)
    cost, grads, _ = gradient(params, state, X, Y, None, CostOptions(), 0.25)
    assert found.cost["cost"].item() == cost.item()
    jax.tree.map(np.testing.assert_array_equal, found.gradient, grads)
    for letter in ("cost", "dlogits"):
        cell = found.cost.explain(letter, 0, 0)
        assert cell.total == pytest.approx(cell.value, rel=1e-5)
        assert "share" in cell.equation


# Every cell opens to its sum


@pytest.mark.parametrize("name", NETWORKS)
def test_every_number_is_the_sum_that_explains_it(name: str) -> None:
    given = {"A", "W", "b", "M", "T", "gamma", "beta", "logits", "dY", "dD", "w"}
    for operation in traced(name).operations:
        for cell in every_cell(operation):
            assert cell.total == pytest.approx(cell.value, rel=2e-5, abs=2e-6), cell
            assert cell.value == float(operation[cell.letter][cell.at])
            # What another operation computed is explained there.
            passed_on = {"activation": {"Z", "dA"}, "batch norm": {"Z"}, "dense": {"dZ"}}
            is_given = cell.letter in given - {"A"} | passed_on.get(operation.kind, set())
            if cell.letter == "A":
                is_given = operation.kind != "activation"
            if operation.kind == "batch norm" and cell.letter == "Z":
                is_given = True
            assert (not cell.terms) == is_given, (operation.kind, cell.letter)


@pytest.mark.parametrize("name", NETWORKS)
def test_factors_that_are_cells_have_the_numbers_of_these_cells(name: str) -> None:
    for operation in traced(name).operations:
        for cell in every_cell(operation):
            for term in cell.terms:
                for factor in term.factors:
                    if factor.at is not None and factor.letter in operation.arrays:
                        stored = float(operation[factor.letter][factor.at])
                        assert factor.value == pytest.approx(stored, rel=1e-5, abs=1e-6)


def test_an_activation_of_the_callers_is_recorded_without_a_sum() -> None:
    params, state = network()
    own = of_function(jnp.sin)
    params = tuple(layer._replace(activation=own) for layer in params[:-1]) + params[-1:]
    found = trace(params, state, X, Y).layers[0].operations[1]
    np.testing.assert_array_equal(found["A"], jnp.sin(found["Z"]))
    assert (found.equations, found.explain("A", 0, 0).terms) == ("", ())


def test_equations_are_those_of_the_file_of_the_operation() -> None:
    found = {operation.name: operation.equations for operation in traced("batch norm").operations}
    assert found["dense"].splitlines()[0].startswith("forward     Z  = W A + b ")
    for equations, module in ((found["batch norm"], batchnorm), (found["relu"], jmlp.nn.relu)):
        for line in equations.splitlines():
            assert line in (module.__doc__ or "")
        assert "Source" not in equations
    assert set(found) == {"dense", "batch norm", "relu", "dropout", "cost"}


# By hand: the worked example of docs/explanation/backpropagation.md

ZERO = jnp.zeros((2, 1))
WORKED = (
    Layer(DenseParams(W=jnp.array([[0.5, -1.0], [1.0, 0.5]]), b=ZERO), None),
    Layer(DenseParams(W=jnp.array([[1.0, 0.5], [-1.0, 0.0]]), b=ZERO), None),
)


def test_the_worked_example_in_numbers() -> None:
    found = jmlp.trace(WORKED, (None, None), np.array([1.0, 2.0], np.float32), 1)
    dense, relu, last, cost = found.operations
    assert str(dense.explain("Z", 0, 0)) == (
        "Z[0, 0] = -1.5, by Z[i, j] = sum_k W[i, k] A[k, j] + b[i]\n"
        "   -2 = W[0, 1] -1 * A[1, 0] 2\n"
        "  0.5 = W[0, 0] 0.5 * A[0, 0] 1\n"
        "    0 = b[0, 0] 0"
    )
    assert relu.explain("A", 0, 0).value == 0
    assert str(relu.explain("dZ", 1, 0)) == (
        "dZ[1, 0] = 0.365529, by dZ[i, j] = dA[i, j] f'(Z[i, j])\n"
        "  0.365529 = dA[1, 0] 0.365529 * f'(Z)[1, 0] 1"
    )
    assert str(last.explain("dW", 0, 1)) == (
        "dW[0, 1] = 1.46212, by dW[i, k] = sum_j dZ[i, j] A[k, j]\n"
        "  1.46212 = dZ[0, 0] 0.731059 * A[1, 0] 2"
    )
    assert str(cost.explain("dlogits", 1, 0)) == (
        "dlogits[1, 0] = -0.731059, by dlogits[i, j] = (P[i, j] - T[i, j]) / B\n"
        "        -1 = -1 * (1 / B) 1 * T[1, 0] 1\n"
        "  0.268941 = (1 / B) 1 * P[1, 0] 0.268941"
    )
    assert cost.explain("cost", 0, 0).value == pytest.approx(1.3133, abs=5e-5)
    assert str(dense.explain("W", 0, 1)) == "W[0, 1] = -1, as it is given"


def test_of_many_terms_the_largest_are_shown_and_the_others_added_up() -> None:
    cell = traced("plain").operations[0].explain("Z", 0, 0)
    lines = cell.lines(most=2)
    assert len(lines) == 4
    assert lines[-1].endswith("= 5 smaller terms together")
    shown = [float(line.split("=")[0]) for line in lines[1:]]
    assert sum(shown) == pytest.approx(cell.value, abs=1e-4)
    assert abs(shown[0]) >= abs(shown[1])


# What is refused


@pytest.mark.parametrize(
    ("changes", "kind", "told"),
    [
        ({"y": [0, 1]}, DataError, "trace: 2 labels in y, but x has 7 examples"),
        ({"y": [3] * 7}, DataError, "trace: y: label 3, but those of the network are 0 to 2"),
        ({"x": np.eye(3)}, DataError, "trace: x: "),
        ({"drop_rate": 1.0}, ConfigError, "drop_rate: must be from 0 to below 1"),
        ({"state": ()}, ConfigError, "trace: state has running statistics"),
    ],
)
def test_what_cannot_be_traced_is_refused(
    changes: dict[str, Any], kind: type[Exception], told: str
) -> None:
    params, state = network(batch_norm=True)
    arguments = {"params": params, "state": state, "x": X, "y": np.asarray(Y), **changes}
    with pytest.raises(kind, match=told):
        jmlp.trace(**arguments)


def test_a_cell_that_is_not_there_is_refused() -> None:
    dense = traced("plain").operations[0]
    with pytest.raises(KeyError):
        dense.explain("Q", 0, 0)
    for i, j in ((5, 0), (0, 7), (-1, 0)):
        with pytest.raises(IndexError, match=r"Z\[.*\]: Z is 5 by 7"):
            dense.explain("Z", i, j)


# One number after the other, back to the cost or to the inputs


@pytest.mark.parametrize("name", NETWORKS)
def test_a_chain_leads_from_a_weight_to_the_derivative_of_the_logits(name: str) -> None:
    found = traced(name)
    first = int(found.input_dropout is not None)
    chain = found.chain(first, "dW", 2, 1)
    assert (chain[0].operation, chain[0].explanation.letter) == (first, "dW")
    assert (chain[-1].operation, chain[-1].explanation.letter) == (
        len(found.operations) - 1,
        "dlogits",
    )
    for link, following in itertools.pairwise(chain):
        # The next number is a factor of the largest term, or is it under another letter.
        factors = link.explanation.largest_first[0].factors
        assert any(
            factor.cell is not None
            and factor.cell[1] == following.explanation.at
            and factor.value == pytest.approx(following.explanation.value, rel=1e-5)
            for factor in factors
        )
        assert following.operation >= link.operation


@pytest.mark.parametrize("name", NETWORKS)
def test_a_chain_leads_from_the_cost_of_an_example_to_the_inputs_or_a_parameter(name: str) -> None:
    found = traced(name)
    chain = found.chain(len(found.operations) - 1, "costs", 0, 3)
    assert [link.operation for link in chain] == sorted(
        (link.operation for link in chain), reverse=True
    )
    index, last = chain[-1]
    computed = [
        factor
        for factor in last.largest_first[0].factors
        if factor.cell is not None
        and found.operations[index].explain(factor.cell[0], *factor.cell[1]).terms
    ]
    assert computed == [], "it ends at numbers that are given"


def test_a_chain_of_a_number_that_is_given_is_that_number_alone() -> None:
    (link,) = traced("plain").chain(0, "W", 1, 2)
    assert (link.explanation.letter, link.explanation.terms) == ("W", ())


def test_an_array_originates_where_it_is_computed() -> None:
    found = traced("dropout")
    kinds = [operation.kind for operation in found.operations]
    assert kinds[:4] == ["dropout", "dense", "activation", "dropout"]
    assert found.origin(2, "Z") == (1, "Z")
    assert found.origin(2, "dA") == (3, "dA")
    assert found.origin(1, "dZ") == (2, "dZ")
    assert found.origin(1, "A") == (0, "D")
    assert found.origin(0, "A") == (0, "A")
    assert found.origin(1, "W") == (1, "W")
    last = len(kinds) - 1
    assert found.origin(last, "logits") == (last - 1, "Z")
    assert found.origin(last - 1, "dZ") == (last, "dlogits")


@pytest.mark.parametrize("name", NETWORKS)
def test_a_compiled_trace_has_the_same_operations_and_letters_in_the_same_order(name: str) -> None:
    changes, options = NETWORKS[name]
    params, state = network(**changes)

    def make(params: model.Params, state: model.State) -> Trace:
        return trace(params, state, X, Y, KEY, options)

    plain, compiled = make(params, state), jax.jit(make)(params, state)
    for a, b in zip(plain.operations, compiled.operations, strict=True):
        assert (a.kind, a.name, list(a.arrays)) == (b.kind, b.name, list(b.arrays))
        for letter, array in a.arrays.items():
            np.testing.assert_allclose(b[letter], array, rtol=1e-4, atol=1e-5)
