"""A user's own network: what is wrong with its gradient is found, and the mistake is named."""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import Here

from jmlp.errors import CheckFailed, ConfigError, DataError, JmlpError
from jmlp.own_network import client, helper, reference, template
from jmlp.own_network.diagnosis import Diagnosis, diagnose
from jmlp.own_network.explanation import Search
from jmlp.own_network.notation import Notation
from jmlp.own_network.records import PRECISIONS, Progress, from_answer
from jmlp.own_network.reference import ACTIVATIONS, MISTAKES, Network, everywhere

TEMPLATE = Path(template.__file__).read_text(encoding="utf-8")

OUTPUT = "dZ = (probabilities - T) / B"
ONE_HOT = "T = np.eye(len(probabilities))[:, y]"
SLOPE = "dZ = dA * (Z_before > 0)"
BIAS = "dZ.sum(axis=1, keepdims=True)"
WEIGHTS = 'gradient[f"W{layer}"] = dZ @ A.T'
PASSED = 'dA = params[f"W{layer}"].T @ dZ'
ACTIVATED = "A = np.maximum(Z, 0)"
OWN_ACTIVATION = """\
        if layer == 2:
            gradient["W2"] = dZ @ np.maximum(cache[1][1], 0).T"""
TANH = ((ACTIVATED, "A = np.tanh(Z)"),)
SIGMOID = ((ACTIVATED, "A = 1 / (1 + np.exp(-Z))"),)


def written(folder: Path, *changes: tuple[str, str]) -> Path:
    """The template with changes, as a file."""
    text = TEMPLATE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "mine.py"
    path.write_text(text, encoding="utf-8")
    return path


def diagnosed(path: Path) -> Diagnosis:
    """Diagnosed in this process, by way of the JSON that goes from one to the other."""
    answers: list[Any] = []
    helper.measure({"file": str(path)}, lambda answer: answers.append(json.dumps(answer)))
    return diagnose(from_answer(json.loads(answers[-1])))


def of(folder: Path, *changes: tuple[str, str]) -> Diagnosis:
    return diagnosed(written(folder, *changes))


# The network with which it is compared


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradient_of_the_reference_is_that_of_jax(activation: str) -> None:
    import jax
    import jax.numpy as jnp

    rng = np.random.default_rng(1)
    sizes = (6, 4, 4, 3)
    W = [rng.normal(size=(b, a)) for a, b in pairwise(sizes)]
    b = [rng.normal(size=(n, 1)) for n in sizes[1:]]
    network = Network(W, b, rng.normal(size=(6, 7)), rng.integers(0, 3, 7), activation)
    functions = {
        "relu": jax.nn.relu,
        "tanh": jnp.tanh,
        "sigmoid": jax.nn.sigmoid,
        "leaky_relu": jax.nn.leaky_relu,
    }

    def cost(leaves: Sequence[Any]) -> Any:
        A = jnp.asarray(network.x)
        for layer in range(3):
            Z = leaves[2 * layer] @ A + leaves[2 * layer + 1]
            A = functions[activation](Z)
        return -jnp.mean(jax.nn.log_softmax(Z, axis=0)[network.labels, jnp.arange(7)])

    with jax.enable_x64(True):
        leaves = [leaf for pair in zip(W, b, strict=True) for leaf in pair]
        value, expected = jax.value_and_grad(cost)([jnp.asarray(leaf) for leaf in leaves])
    assert network.cost() == pytest.approx(float(value))
    for found, right in zip(reference.gradient(network), expected, strict=True):
        np.testing.assert_allclose(found, right, atol=1e-12)


def test_every_mistake_changes_the_gradient_of_some_network_and_has_a_remedy() -> None:
    rng = np.random.default_rng(1)
    sizes = (5, 4, 4, 3)
    W = [rng.normal(size=(b, a)) for a, b in pairwise(sizes)]
    b = [rng.normal(size=(n, 1)) for n in sizes[1:]]
    x, y = rng.normal(size=(5, 7)), np.arange(7) % 3
    for mistake in MISTAKES:
        changed = []
        for activation in ACTIVATIONS:
            network = Network(W, b, x, y, activation)
            pairs = zip(
                reference.gradient(network, everywhere(network, mistake)),
                reference.gradient(network),
                strict=True,
            )
            changed.append(any(not np.allclose(found, right) for found, right in pairs))
        assert any(changed), mistake.name
        assert mistake.what
        assert mistake.remedy
    assert len({mistake.name for mistake in MISTAKES}) == len(MISTAKES) >= 15


# Mistakes in the backward pass


def test_the_template_is_right(tmp_path: Path) -> None:
    found = of(tmp_path)
    assert (found.ok, found.activation, found.findings, found.remarks) == (True, "relu", (), ())
    assert [leaf.name for leaf in found.leaves] == ["W1", "b1", "W2", "b2", "W3", "b3"]
    assert max(leaf.error or 0 for leaf in found.leaves) < 1e-8


@pytest.mark.parametrize(
    ("name", "changes", "first"),
    [
        ("summed", [(OUTPUT, "dZ = probabilities - T")], "b3"),
        ("mean_twice", [(OUTPUT, "dZ = (probabilities - T) / B**2")], "b3"),
        ("sign", [(OUTPUT, "dZ = (T - probabilities) / B")], "b3"),
        ("no_one_hot", [(OUTPUT, "dZ = probabilities / B")], "b3"),
        ("labels_shifted", [(ONE_HOT, "T = np.eye(3)[:, (y + 1) % 3]")], "b3"),
        ("labels_before", [(ONE_HOT, "T = np.eye(3)[:, y - 1]")], "b3"),
        (
            "softmax_slope",
            [(OUTPUT, "dZ = (probabilities - T) * probabilities * (1 - probabilities) / B")],
            "b3",
        ),
        (
            "softmax_jacobian",
            [
                (
                    OUTPUT,
                    "E = (probabilities - T) / B\n    "
                    "dZ = probabilities * (E - (probabilities * E).sum(axis=0))",
                )
            ],
            "b3",
        ),
        ("no_slope", [(SLOPE, "dZ = dA")], "b2"),
        ("slope_inverted", [(SLOPE, "dZ = dA * (Z_before < 0)")], "b2"),
        ("slope_is_z", [(SLOPE, "dZ = dA * Z_before")], "b2"),
        ("slope_is_a", [(SLOPE, "dZ = dA * A")], "b2"),
        ("slope_of_derivative", [(SLOPE, "dZ = dA * (dA > 0)")], "b2"),
        (
            "slope at layer -1",
            [(SLOPE, "dZ = dA * (cache[layer - 3 if layer > 2 else 0][1] > 0)")],
            "b2",
        ),
        ("slope at layer +1", [(SLOPE, "dZ = dA * (cache[1][1] > 0)")], "b1"),
        (
            "slope_at_output",
            [(OUTPUT, "dZ = (probabilities - T) / B * (cache[-1][1] > 0)")],
            "b3",
        ),
        ("slope of relu", [*TANH], "b2"),
        (
            "slope_of_activated",
            [*TANH, (SLOPE, "dZ = dA * (1 - np.tanh(np.tanh(Z_before)) ** 2)")],
            "b2",
        ),
        ("slope_from_z", [*TANH, (SLOPE, "dZ = dA * (1 - Z_before**2)")], "b2"),
        ("slope_from_z", [*SIGMOID, (SLOPE, "dZ = dA * Z_before * (1 - Z_before)")], "b2"),
        ("bias_of_last", [(BIAS, "dZ[:, -1:]")], "b3"),
        ("bias_of_first", [(BIAS, "dZ[:, :1]")], "b3"),
        ("bias_mean", [(BIAS, "dZ.mean(axis=1, keepdims=True)")], "b3"),
        ("bias_total", [(BIAS, "np.full((len(dZ), 1), dZ.sum())")], "b3"),
        ("bias_zero", [(BIAS, "np.zeros((len(dZ), 1))")], "b3"),
        ("bias_total", [(BIAS, "dZ.sum()")], "b3"),
        ("bias_summed", [(BIAS, f"B * {BIAS}")], "b3"),
        ("bias_over_units", [(BIAS, "dZ.sum(axis=1, keepdims=True) / len(dZ)")], "b3"),
        ("bias_over_inputs", [(BIAS, "dZ.sum(axis=1, keepdims=True) / len(A)")], "b3"),
        (
            "bias_over_next",
            [(BIAS, f"{BIAS} / (4 if layer == 1 else 3 if layer == 2 else 1)")],
            "b2",
        ),
        ("bias_over_classes", [(BIAS, f"{BIAS} / 3")], "b3"),
        ("weights_mean", [(WEIGHTS, f"{WEIGHTS} / B")], "W3"),
        ("weights_summed", [(WEIGHTS, f"{WEIGHTS} * B")], "W3"),
        ("own_activation", [(WEIGHTS, f"{WEIGHTS}\n{OWN_ACTIVATION}")], "W2"),
        ("mean_again", [(SLOPE, f"{SLOPE} / B")], "b2"),
        (
            "before_activation",
            [(WEIGHTS, 'gradient[f"W{layer}"] = dZ @ (cache[layer - 2][1] if layer > 1 else A).T')],
            "W3",
        ),
        ("last_example", [(OUTPUT, "dZ = (probabilities - T) * (np.arange(B) == B - 1)")], "b3"),
        ("first_example", [(OUTPUT, "dZ = (probabilities - T) * (np.arange(B) == 0)")], "b3"),
        (
            "weights_transposed",
            [(PASSED, 'W = params[f"W{layer}"]\n            dA = (W if layer == 2 else W.T) @ dZ')],
            "b1",
        ),
        (
            "updated_weights",
            [(PASSED, 'dA = (params[f"W{layer}"] - 0.03 * gradient[f"W{layer}"]).T @ dZ')],
            "b2",
        ),
    ],
)
def test_the_mistake_is_named_and_the_first_parameter_that_it_makes_wrong(
    name: str, changes: list[tuple[str, str]], first: str, tmp_path: Path
) -> None:
    found = of(tmp_path, *changes)
    assert not found.ok
    (finding,) = found.findings
    assert finding.mistakes[0].name == name
    assert (found.first_wrong, found.unexplained) == (first, ())
    assert finding.explains[0] == first
    assert set(finding.explains) == {leaf.name for leaf in found.leaves if not leaf.ok}


def test_the_mistakes_of_the_table_above_are_all_that_are_known() -> None:
    marks = test_the_mistake_is_named_and_the_first_parameter_that_it_makes_wrong.pytestmark  # type: ignore[attr-defined]
    tested = {case[0] for case in marks[0].args[1]}
    assert {mistake.name for mistake in MISTAKES} <= tested


def test_a_mistake_in_one_layer_is_named_too(tmp_path: Path) -> None:
    changes = (
        f'gradient[f"b{{layer}}"] = {BIAS}',
        "db = dZ.sum(axis=1, keepdims=True)\n        "
        'gradient[f"b{layer}"] = dZ[:, -1:] if layer == 1 else db',
    )
    found = of(tmp_path, changes)
    assert [leaf.name for leaf in found.leaves if not leaf.ok] == ["b1"]
    (finding,) = found.findings
    assert (finding.mistakes[0].name, finding.layers) == ("bias_of_last", (1,))
    assert finding.subject == "In db of layer 1, it"


# Layers that are written out, examples as rows: a mistake is in one of them, or there are several

STUDENT = """
import numpy as np

def cost_and_gradient(params, X, y):
    p, n = params, len(y)
    z1 = X.dot(p["W1"]) + p["b1"]
    h1 = np.where(z1 > 0, z1, 0)
    z2 = h1.dot(p["W2"]) + p["b2"]
    h2 = np.where(z2 > 0, z2, 0)
    s = h2.dot(p["W3"]) + p["b3"]
    e = np.exp(s - s.max(1, keepdims=True))
    P = e / e.sum(1, keepdims=True)
    d3 = P.copy()
    d3[np.arange(n), y] -= 1
    d3 /= n
    d2 = d3.dot(p["W3"].T) * (z2 > 0)
    d1 = d2.dot(p["W2"].T) * (z1 > 0)
    return -np.log(P[np.arange(n), y]).mean(), {
        "W1": X.T.dot(d1), "b1": d1.sum(0),
        "W2": h1.T.dot(d2), "b2": d2.sum(0),
        "W3": h2.T.dot(d3), "b3": d3.sum(0),
    }
"""
NO_MASK_1 = ("* (z1 > 0)", "")
NO_MEAN = ("d3 /= n", "")
BIASES_MEAN = (".sum(0)", ".mean(0)")


def of_student(folder: Path, *changes: tuple[str, str], before: str = "") -> Diagnosis:
    text = STUDENT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "mine.py"
    path.write_text(before + text, encoding="utf-8")
    return diagnosed(path)


@pytest.mark.parametrize(
    ("old", "new", "name", "subject"),
    [
        (*NO_MASK_1, "no_slope", "In dZ of layer 1, it"),
        ("* (z2 > 0)", "", "no_slope", "In dZ of layer 2, it"),
        ("(z2 > 0)\n", "(z1 > 0)\n", "slope at layer -1", "In dZ of layer 2, it"),
        ("(z1 > 0)\n", "(z2 > 0)\n", "slope at layer +1", "In dZ of layer 1, it"),
        ("(z1 > 0)\n", "(z1 < 0)\n", "slope_inverted", "In dZ of layer 1, it"),
        ("(z2 > 0)\n", "(z2 < 0)\n", "slope_inverted", "In dZ of layer 2, it"),
        ("* (z1 > 0)", "* z1", "slope_is_z", "In dZ of layer 1, it"),
        ("* (z1 > 0)", "* h1", "slope_is_a", "In dZ of layer 1, it"),
        ('d2.dot(p["W2"].T)', 'd2.dot(p["W2"])', "weights_transposed", "In dA of layer 1, it"),
        ("h1.T.dot(d2)", "z1.T.dot(d2)", "before_activation", "In dW of layer 2, it"),
        ("X.T.dot(d1)", "X.T.dot(d1) / n", "weights_mean", "In dW of layer 1, it"),
        ("d2.sum(0)", "d2.mean(0)", "bias_mean", "In db of layer 2, it"),
    ],
)
def test_a_mistake_in_one_layer_that_is_written_out_is_named_with_its_layer(
    old: str, new: str, name: str, subject: str, tmp_path: Path
) -> None:
    found = of_student(tmp_path, (old, new))
    (finding,) = found.findings
    assert (finding.mistakes[0].name, finding.subject) == (name, subject)
    assert found.unexplained == ()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            [BIASES_MEAN, NO_MASK_1],
            [("bias_mean", ("b3", "b2")), ("no_slope", ("b1", "W1"))],
        ),
        (
            [NO_MEAN, NO_MASK_1],
            [("summed", ("b3", "W3", "b2", "W2")), ("no_slope", ("b1", "W1"))],
        ),
        (
            [NO_MEAN, ("h2.T.dot(d3)", "s.T.dot(d3).T[:, [0, 1, 2, 0]].T"), NO_MASK_1],
            [("summed", ("b3", "b2", "W2")), ("no_slope", ("b1", "W1"))],
        ),
        (
            [("* (z2 > 0)", ""), ("* (z1 > 0)", "* (z1 < 0)"), ("d2.sum(0)", "d2[-1]")],
            [
                ("no_slope", ("W2",)),
                ("bias_of_last", ("b2",)),
                ("slope_inverted", ("b1", "W1")),
            ],
        ),
    ],
)
def test_several_mistakes_are_named_in_the_order_in_which_they_are_to_be_mended(
    changes: list[tuple[str, str]], expected: list[tuple[str, tuple[str, ...]]], tmp_path: Path
) -> None:
    found = of_student(tmp_path, *changes)
    named = [(finding.mistakes[0].name, finding.explains) for finding in found.findings]
    assert named == expected
    explained = {name for _, names in expected for name in names}
    wrong = {leaf.name for leaf in found.leaves if not leaf.ok}
    assert set(found.unexplained) == wrong - explained


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_every_mistake_in_every_single_layer_is_named_and_explains_all_that_is_wrong(
    activation: str,
) -> None:
    rng = np.random.default_rng(140)
    sizes = (5, 4, 4, 3)
    W = [rng.normal(size=(b, a)) for a, b in pairwise(sizes)]
    b = [rng.normal(size=(n, 1)) for n in sizes[1:]]
    network = Network(W, b, rng.normal(size=(5, 7)), np.arange(7) % 3, activation)
    known = reference.mistakes(network, Notation(columns=True, outputs_first=True))
    names, right = ["W1", "b1", "W2", "b2", "W3", "b3"], reference.gradient(network)
    n_named = 0
    for mistake in known:
        for site in reference.sites(network, mistake):
            gradient = reference.gradient(network, {site: mistake.name})
            wrong = [
                name
                for name, one, other in zip(names, gradient, right, strict=True)
                if not np.allclose(one, other, rtol=1e-6, atol=1e-12)
            ]
            if not wrong:
                continue  # such as tanh's slope at -Z, which is that at Z
            (finding,) = Search(network, gradient, known, 1e-6).findings(names, wrong)
            assert mistake in finding.mistakes, (mistake.name, site)
            assert sorted(finding.explains) == sorted(wrong)
            assert finding.layers in ((site.layer,), ())
            n_named += 1
    assert n_named > 50


def test_what_no_known_mistake_gives_is_said_beside_what_is_explained(tmp_path: Path) -> None:
    found = of_student(tmp_path, BIASES_MEAN, ("* (z1 > 0)", "* np.sin(z1)"))
    (finding,) = found.findings
    assert (finding.mistakes[0].name, finding.explains) == ("bias_mean", ("b3", "b2"))
    assert (found.first_wrong, found.unexplained) == ("b3", ("W1", "b1"))


def test_a_bias_over_a_number_of_units_is_named_with_all_numbers_that_it_may_be(
    tmp_path: Path,
) -> None:
    for change, names, subject in [
        ("d2.sum(0) / 4", ["bias_over_units", "bias_over_inputs"], "In db of layer 2, it"),
        ("d2.sum(0) / 3", ["bias_over_next", "bias_over_classes"], "In db of layer 2, it"),
    ]:
        found = of_student(tmp_path, ("d2.sum(0)", change))
        (finding,) = found.findings
        assert [mistake.name for mistake in finding.mistakes] == names
        assert finding.subject == subject


# Remedies in the notation of the file


@pytest.mark.parametrize(
    ("columns", "outputs_first", "Z", "dA", "dW"),
    [
        (True, True, "W A + b", "W^T dZ", "dZ A^T"),
        (True, False, "W^T A + b", "W dZ", "A dZ^T"),
        (False, False, "A W + b", "dZ W^T", "A^T dZ"),
        (False, True, "A W^T + b", "dZ W", "dZ^T A"),
    ],
)
def test_the_equations_of_a_notation_fit_its_shapes(
    columns: bool, outputs_first: bool, Z: str, dA: str, dW: str
) -> None:
    notation = Notation(columns, outputs_first)
    assert (notation.Z, notation.dA, notation.dW) == (Z, dA, dW)
    n_in, n_out, B = 3, 4, 5
    shapes = {
        "A": (n_in, B) if columns else (B, n_in),
        "dZ": (n_out, B) if columns else (B, n_out),
        "W": (n_out, n_in) if outputs_first else (n_in, n_out),
    }

    def product(equation: str) -> tuple[int, int]:
        left, right = [
            shapes[name.removesuffix("^T")][:: -1 if name.endswith("^T") else 1]
            for name in equation.removesuffix(" + b").split()
        ]
        assert left[1] == right[0]
        return left[0], right[1]

    assert (product(Z), product(dA), product(dW)) == (shapes["dZ"], shapes["A"], shapes["W"])


def test_remedies_are_in_the_notation_of_the_file(tmp_path: Path) -> None:
    def remedy(found: Diagnosis) -> str:
        return found.findings[0].mistakes[0].remedy

    W2, A1 = 'd2.dot(p["W2"].T)', "h1.T.dot(d2)"
    found = of_student(tmp_path, (W2, 'd2.dot(p["W2"])'))
    assert remedy(found) == "dA = dZ W^T"
    assert found.findings[0].mistakes[0].what == "multiplies dZ by W instead of W^T"
    assert remedy(of_student(tmp_path, (A1, "z1.T.dot(d2)"))).startswith("dW = A^T dZ, with")
    assert remedy(of_student(tmp_path, ("d2.sum(0)", "d2.sum()"))).endswith("only (axis=0)")
    transposed = PASSED, 'W = params[f"W{layer}"]\n            dA = (W if layer == 2 else W.T) @ dZ'
    assert remedy(of(tmp_path, transposed)) == "dA = W^T dZ"
    assert remedy(of(tmp_path, (BIAS, "dZ.sum()"))).endswith("only (axis=1, keepdims=True)")


def test_words_are_those_of_a_sum_where_the_cost_is_one(tmp_path: Path) -> None:
    sum_of_costs = (".mean(), {", ".sum(), {")
    found = of_student(tmp_path, sum_of_costs)
    (mistake,) = found.findings[0].mistakes
    assert mistake.what == "divides by the number of examples, although the cost is their sum"
    assert of_student(tmp_path, sum_of_costs, NO_MEAN).ok


# Networks that compute in float32

CAST = (
    "p, n = params, len(y)",
    "p, n = {k: v.astype(np.float32) for k, v in params.items()}, len(y)\n"
    "    X = X.astype(np.float32)",
)


@pytest.mark.parametrize("mean", [".mean()", ".mean().item()"])
def test_a_right_network_in_float32_passes_and_its_precision_is_said(
    mean: str, tmp_path: Path
) -> None:
    found = of_student(tmp_path, CAST, (".mean(), {", f"{mean}, {{"))
    assert found.ok
    assert (found.precision, found.activation) == (PRECISIONS["float32"], "relu")
    (remark,) = found.remarks
    assert "computed in float32, which has 7 digits" in remark
    assert "errors of less than 0.5% of a gradient go unnoticed" in remark
    assert max(leaf.error or 0 for leaf in found.leaves) < found.precision.tolerance / 3


def test_float32_is_noticed_though_all_results_are_converted(tmp_path: Path) -> None:
    convert = """
_in_float32 = cost_and_gradient
def cost_and_gradient(params, X, y):
    cost, gradient = _in_float32(params, X, y)
    return float(cost), {name: leaf.astype(np.float64) for name, leaf in gradient.items()}
"""
    path = tmp_path / "mine.py"
    path.write_text(STUDENT.replace(*CAST) + convert, encoding="utf-8")
    found = diagnosed(path)
    assert (found.ok, found.precision.name) == (True, "float32")


@pytest.mark.parametrize(
    ("changes", "name", "first"),
    [
        ([NO_MEAN], "summed", "b3"),
        ([NO_MASK_1], "no_slope", "b1"),
        ([('d2.dot(p["W2"].T)', 'd2.dot(p["W2"])')], "weights_transposed", "b1"),
        ([("d2.sum(0)", "d2.mean(0)")], "bias_mean", "b2"),
        ([("h1.T.dot(d2)", "z1.T.dot(d2)")], "before_activation", "W2"),
    ],
)
def test_a_mistake_in_float32_is_named(
    changes: list[tuple[str, str]], name: str, first: str, tmp_path: Path
) -> None:
    found = of_student(tmp_path, CAST, *changes)
    assert (found.ok, found.first_wrong, found.precision.name) == (False, first, "float32")
    (finding,) = found.findings
    assert (finding.mistakes[0].name, found.unexplained) == (name, ())


# Patterns, also of networks that are none of these


@pytest.mark.parametrize(
    ("old", "new", "parameter", "pattern"),
    [
        (WEIGHTS, 'gradient[f"W{layer}"] = A @ dZ.T', "W1", "it is transposed"),
        (WEIGHTS, 'gradient[f"W{layer}"] = A @ dZ.T', "W2", "it is transposed"),
        (WEIGHTS, 'gradient[f"W{layer}"] = 3 * dZ @ A.T', "W3", "it is 3 times the right one"),
        (WEIGHTS, 'gradient[f"W{layer}"] = 2 * dZ @ A.T', "W3", "a factor of 2: 2 times the right"),
        (OUTPUT, "dZ = probabilities - T", "W1", "7 (B, the number of examples) times the right"),
        (BIAS, "dZ", "b1", "it is not summed over the 7 examples"),
        (BIAS, "dZ.sum()", "b1", "it is added up over the units as well as the examples"),
        (BIAS, "dZ.sum(axis=0)", "b1", "it is summed over units instead of the 7 examples"),
        (
            OUTPUT,
            "dZ = T - probabilities",
            "b3",
            "it is -7 (-B, where B is the number of examples)",
        ),
        (BIAS, "np.zeros((len(dZ), 1))", "b2", "it is 0 everywhere"),
        (BIAS, "np.full((len(dZ), 1), np.nan)", "b2", "4 of its numbers are not finite"),
        (BIAS, "'none'", "b2", "it is a str, not an array of numbers"),
        ("return gradient", 'del gradient["W2"]\n    return gradient', "W2", "it is missing"),
        ("return gradient", 'gradient["W2"][1] += 1\n    return gradient', "W2", "only row 1 is"),
        (
            "return gradient",
            'gradient["W2"][:, 1] += 1\n    return gradient',
            "W2",
            "only column 1",
        ),
        (
            "return gradient",
            'gradient["W2"] -= 0.3 * params["W2"]\n    return gradient',
            "W2",
            "it lacks 0.3 times the parameter: the derivative of an L2 penalty",
        ),
        (
            "return gradient",
            'gradient["W2"] = np.abs(gradient["W2"])\n    return gradient',
            "W2",
            "numbers have the wrong sign",
        ),
    ],
)
def test_the_pattern_of_an_error_is_said(
    old: str, new: str, parameter: str, pattern: str, tmp_path: Path
) -> None:
    found = of(tmp_path, (old, new))
    (leaf,) = [leaf for leaf in found.leaves if leaf.name == parameter]
    assert pattern in leaf.pattern


LINEAR = """
import numpy as np
SIZES = [4, 3]
def init(sizes, rng):
    return [np.zeros((4, 3), np.float32), [np.zeros(3)]]
def cost(params, X, y):
    Z = X @ params[0] + params[1][0]
    return float(np.mean((Z - np.eye(3)[y]) ** 2))
def gradient(params, X, y):
    Z = X @ params[0] + params[1][0]
    E = 2 * (Z - np.eye(3)[y]) / Z.size
    return [X.T @ E, [E.sum(axis=0)]]
"""


def test_any_network_with_a_cost_and_a_gradient_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(LINEAR, encoding="utf-8")
    found = diagnosed(path)
    assert found.ok
    assert [(leaf.name, leaf.shape) for leaf in found.leaves] == [("0", (4, 3)), ("1.0", (3,))]
    assert found.activation == ""
    path.write_text(LINEAR.replace("2 * (Z", "(Z"), encoding="utf-8")
    found = diagnosed(path)
    assert {leaf.pattern for leaf in found.leaves} == {
        "it is a factor of 1/2: 0.5 times the right one everywhere"
    }
    assert (found.first_wrong, found.findings, found.unexplained) == ("1.0", (), ("0", "1.0"))


ROWS = """
import numpy as np
def cost_and_gradient(params, X, y):
    Z1 = X @ params["W1"] + params["b1"]
    Z2 = np.tanh(Z1) @ params["W2"] + params["b2"]
    Z3 = np.tanh(Z2) @ params["W3"] + params["b3"]
    P = np.exp(Z3 - Z3.max(axis=1, keepdims=True))
    P /= P.sum(axis=1, keepdims=True)
    n = np.arange(len(y))
    d3 = P - np.eye(3)[y]
    d2 = d3 @ params["W3"].T * (1 - np.tanh(Z2) ** 2)
    d1 = d2 @ params["W2"].T * (1 - np.tanh(Z1) ** 2)
    grads = {"dW3": np.tanh(Z2).T @ d3, "db3": d3.sum(axis=0), "dW2": np.tanh(Z1).T @ d2,
             "db2": d2.sum(axis=0), "dW1": X.T @ d1, "db1": d1.sum(axis=0)}
    return -np.log(P[n, y]).sum(), grads
"""


def test_examples_may_be_rows_the_cost_a_sum_and_derivatives_called_dW(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(ROWS, encoding="utf-8")
    found = diagnosed(path)
    assert (found.ok, found.activation) == (True, "tanh")
    assert found.remarks == (
        "The cost is the sum over the 7 examples, not their mean: the step then grows with the "
        "size of the mini-batch.",
    )
    path.write_text(ROWS.replace("* (1 - np.tanh(Z2) ** 2)", ""), encoding="utf-8")
    found = diagnosed(path)
    assert [leaf.name for leaf in found.leaves if not leaf.ok] == ["W1", "b1", "W2", "b2"]


def test_a_parameter_without_influence_is_not_called_wrong_because_of_rounding(
    tmp_path: Path,
) -> None:
    no_influence = 'p["W3"]) + p["b3"]', 'p["W3"]) + p["b3"] - p["b3"]'
    found = of_student(tmp_path, no_influence, ("d3.sum(0)", "0 * d3.sum(0)"))
    assert [leaf.name for leaf in found.leaves if not leaf.ok] == []


def test_numbers_that_are_not_finite_hide_no_other_mistake(tmp_path: Path) -> None:
    found = of_student(tmp_path, NO_MASK_1, ("h1.T.dot(d2)", "h1.T.dot(d2) * np.inf"))
    assert [finding.explains for finding in found.findings] == [("b1", "W1")]
    assert found.unexplained == ("W2",)


def test_square_weights_are_read_in_the_notation_of_the_file(tmp_path: Path) -> None:
    found = of_student(tmp_path, NO_MASK_1, before="SIZES = [3, 3, 3, 3]\n")
    assert [finding.mistakes[0].name for finding in found.findings] == ["no_slope"]


def test_tensors_that_record_how_they_were_computed_are_read(tmp_path: Path) -> None:
    tensors = """
class Tensor:
    def __init__(self, array):
        self.array = array
    def detach(self):
        return self.array
    def __array__(self, *arguments, **keywords):
        raise RuntimeError("call detach()")
_arrays = cost_and_gradient
def cost_and_gradient(params, X, y):
    cost, gradient = _arrays(params, X, y)
    return Tensor(cost), {name: Tensor(leaf) for name, leaf in gradient.items()}
"""
    path = tmp_path / "mine.py"
    path.write_text(STUDENT + tensors, encoding="utf-8")
    assert diagnosed(path).ok


# What no gradient shows


@pytest.mark.parametrize(
    ("old", "new", "remark"),
    [
        ("Z - Z.max(axis=0)", "Z", "With large logits the cost is NaN, because exp overflows"),
        ('@ A + params[f"b{layer}"]', "@ A", "The forward pass does not add the biases"),
        ("shifted.sum(axis=0)", "shifted.sum(axis=1, keepdims=True)", "over the examples instead"),
        (
            "shifted = np.exp(Z - Z.max(axis=0))",
            "shifted = np.exp(A - A.max(axis=0))",
            "The activation is applied to the output layer too",
        ),
        (
            PASSED,
            f'params[f"W{{layer}}"] -= 0.1 * gradient[f"W{{layer}}"]\n            {PASSED}',
            "Computing the cost and the gradient changes the parameters",
        ),
        (SLOPE, "dZ = dA * np.random.default_rng().random()", "is another one when it is computed"),
    ],
)
def test_what_no_gradient_shows_is_remarked(
    old: str, new: str, remark: str, tmp_path: Path
) -> None:
    found = of(tmp_path, (old, new))
    assert any(remark in text for text in found.remarks), found.remarks


@pytest.mark.parametrize(
    ("cost", "remark"),
    [
        ("-np.mean(np.log2(P[y, n]))", "logarithms to base 2"),
        ("-np.mean(np.log10(P[y, n]))", "logarithms to base 10"),
        ("-np.mean(np.log(P[(y + 1) % 3, n]))", "the class after the label"),
        ("-np.mean(np.log(P[y - 1, n]))", "the class before the label"),
        ("np.sum((P - np.eye(3)[:, y]) ** 2) / 2 / len(y)", "half of the squared error"),
    ],
)
def test_another_cost_is_remarked(cost: str, remark: str, tmp_path: Path) -> None:
    functions = f"""
def cost(params, X, y):
    P, _ = forward(params, X)
    n = np.arange(len(y))
    return {cost}

def gradient(params, X, y):
    P, cache = forward(params, X)
    return backward(params, X, y, P, cache)
"""
    path = written(tmp_path)
    path.write_text(TEMPLATE + functions, encoding="utf-8")
    assert any(remark in text for text in diagnosed(path).remarks)


# Files that cannot be checked


@pytest.mark.parametrize(
    ("text", "kind", "told"),
    [
        ("def f(:\n", DataError, "line 1: invalid syntax"),
        ("x = 1\n", ConfigError, "must have cost_and_gradient(params, X, y); or cost"),
        ("def forward(p, X): pass\n", ConfigError, "it has forward (jmlp gradcheck --template"),
        ("1 / 0\n", CheckFailed, "line 1: the file failed: ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)\n", CheckFailed, "line 1: the file failed: SystemExit: 3"),
        ("EXAMPLES = 'colums'\n" + ROWS, ConfigError, "EXAMPLES: must be 'rows' or 'columns'"),
        ("SIZES = [5]\n" + ROWS, ConfigError, "SIZES: must be the numbers of inputs"),
        (
            ROWS.replace("P[n, y]", "Q[n, y]"),
            CheckFailed,
            "the network failed: NameError: name 'Q'",
        ),
        (ROWS.replace(".sum(), grads", ", grads"), CheckFailed, "the cost must be one number"),
        (ROWS.replace("np.log(P", "np.log(0 * P"), CheckFailed, "the cost is inf with small"),
        (
            ROWS.replace('@ params["W3"].T', '@ params["W3"]'),
            CheckFailed,
            "the shapes of two matrices do not fit; is one of them to be transposed?",
        ),
        ("def init(s, r): return None\n" + ROWS, CheckFailed, "init(sizes, rng): must return a"),
        (
            ROWS.replace("sum(), grads", "sum(), None"),
            CheckFailed,
            "(W1, b1, W2, b2, W3, b3), got None",
        ),
        (ROWS.replace("sum(), grads", "sum(), {}"), CheckFailed, "W3, b3), got a dict of 0"),
        (
            ROWS.replace("sum(), grads", "sum()"),
            CheckFailed,
            "cost_and_gradient(params, X, y): must return a pair (cost, gradient), got one number ",
        ),
        (
            TEMPLATE.replace("axis=0), cache", "axis=0)"),
            CheckFailed,
            "forward(params, X): must return a pair (probabilities, cache), where cache is "
            "whatever backward needs, got an array of shape (3, 7)",
        ),
        (
            ROWS.replace(".sum(), grads", ".sum().astype(np.float16), grads"),
            CheckFailed,
            "the network computes in float16, which has too few digits for a comparison",
        ),
        ("\0\0", DataError, "is no Python source: source code string cannot contain null bytes"),
        (ROWS.replace("sum(), grads", "sum(), {'A': 1}"), CheckFailed, "b2, W3, b3), got A"),
    ],
)
def test_a_file_that_cannot_be_checked_is_refused_with_its_line(
    text: str, kind: type[JmlpError], told: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(kind) as error:
        diagnosed(path)
    assert str(error.value).startswith(f"{path}: ")
    assert told in str(error.value)


def test_a_file_that_is_no_text_is_called_so(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_bytes(b"! \x98\n")
    with pytest.raises(DataError, match="is no Python source: 'utf-8' codec can't decode byte"):
        diagnosed(path)
    path.write_bytes(b"'a'.encode().decode('utf-16')\n")  # an error of the same kind in the file
    with pytest.raises(CheckFailed, match="line 1: the file failed: UnicodeDecodeError"):
        diagnosed(path)


def test_a_file_that_never_ends_is_said_once_to_run_still_and_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.py"
    path.write_text("while True: pass\n", encoding="utf-8")
    monkeypatch.setattr(client, "QUIET_SECONDS", 0.5)
    said: list[str] = []
    with pytest.raises(CheckFailed, match=r"took more than 2 s, and was ended: the file itself"):
        client.check(path, said.append, seconds=2)
    assert said == [f"{path}: still running, for 0.5 s; at most 2 s"]


@pytest.mark.parametrize(
    ("progress", "told"),
    [
        (None, "the file itself had not been read to its end"),
        (Progress(), "the first call of its functions had not returned; the arrays are small"),
        (
            Progress(40, 123, 20.0),
            "it is slow: a call takes 0.5 s, and 123 calls are needed",
        ),
        (Progress(1, 123, 0.001), "after 1 of 123 calls one did not return; a loop that does not"),
    ],
)
def test_what_took_too_long_is_said(progress: Progress | None, told: str) -> None:
    assert told in client._why_late(progress, 60.0)


def test_the_helper_reports_when_the_file_is_read_and_how_long_the_first_call_took(
    tmp_path: Path,
) -> None:
    answers: list[Any] = []
    helper.measure({"file": str(written(tmp_path))}, answers.append)
    first, second, *_, last = [answer.get("progress") for answer in answers]
    assert (first["n_calls"], second["n_calls"], last) == (0, 1, None)
    n_numbers = 4 * 5 + 4 + 4 * 4 + 4 + 3 * 4 + 3
    assert second["n_needed"] == 5 + 2 * n_numbers
    assert second["seconds"] > 0


def test_a_file_that_asks_for_input_is_told_its_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("x = 1\ninput('go?')\n", encoding="utf-8")
    with pytest.raises(
        JmlpError, match=r"line 2: the file failed: EOFError: .*leave input"
    ) as error:
        client.check(path)
    assert error.value.exit_code == CheckFailed.exit_code


def test_a_folder_is_called_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is a folder; name the Python file"):
        client.check(tmp_path)


@pytest.mark.parametrize(
    ("last", "told"),
    [
        ("os._exit(0)", "its process ended by itself, before it answered"),
        ("os._exit(3)", "ended with code 3"),
        ("os.kill(os.getpid(), 9)", "was ended by signal 9"),
    ],
)
def test_a_file_that_ends_its_process_is_reported(last: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(f"import os\n{last}\n", encoding="utf-8")
    with pytest.raises(CheckFailed, match=told) as error:
        client.check(path)
    assert str(error.value).startswith(f"{path}: its process ")


# The command


def test_command_explains_a_wrong_file_and_ends_with_code_7(here: Here) -> None:
    done = here("gradcheck", "--template")
    (here.folder / "mine.py").write_text(done.out, encoding="utf-8")
    done = here("gradcheck", "mine.py")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("6 of 6 gradients agree with central differences")
    written(here.folder, (SLOPE, "dZ = dA"))
    done = here("gradcheck", "mine.py")
    assert done.code == 7
    assert "One mistake gives exactly these numbers:" in done.out
    assert "It leaves out the derivative of the activation." in done.out
    assert done.err.startswith("jmlp: error: mine.py: 4 of 6 gradients are wrong")
    said = json.loads(here("gradcheck", "mine.py", "--json").out)
    assert (said["ok"], said["first_wrong"], said["unexplained"]) == (False, "b2", [])
    assert said["findings"][0]["mistakes"][0]["name"] == "no_slope"
    assert said["findings"][0]["explains"] == ["b2", "W2", "b1", "W1"]
    assert (said["precision"], said["tolerance"]) == ("float64", 1e-5)
    assert here("gradcheck", "absent.py").code == 3
    assert here("gradcheck", "mine.py", "--fault", "relu_mask").code == 2
    done = here("gradcheck", "--template", "mine.py")
    assert (done.code, done.out) == (2, "")
    assert "--template: prints a file and checks nothing; leave mine.py out" in done.err


def test_command_says_which_mistake_to_mend_first(here: Here) -> None:
    written(
        here.folder, (BIAS, f"{BIAS} / B"), (SLOPE, "dZ = dA * (Z_before > 0 if layer > 2 else 1)")
    )
    done = here("gradcheck", "mine.py")
    lines = done.out.splitlines()
    assert lines[lines.index("One mistake gives exactly the numbers of b3, b2:") :] == [
        "One mistake gives exactly the numbers of b3, b2:",
        "  It takes the mean of dZ for the biases, which divides by B twice.",
        "    Remedy: dZ has the factor 1 / B already: take the sum.",
        "With it, another one gives exactly the numbers of b1, W1:",
        "  In dZ of layer 1, it leaves out the derivative of the activation.",
        "    Remedy: multiply dA by f'(Z): for ReLU, set it to 0 where Z <= 0.",
        "Mend the first one, then check again.",
    ]


def test_command_says_what_is_not_explained_and_what_is_part_of_several(here: Here) -> None:
    student = STUDENT.replace(*BIASES_MEAN).replace("* (z1 > 0)", "* np.sin(z1)")
    (here.folder / "mine.py").write_text(student, encoding="utf-8")
    assert here("gradcheck", "mine.py").out.splitlines()[-3:] == [
        "    Remedy: dZ has the factor 1 / B already: take the sum.",
        "Not yet explained, except by the table: W1, b1.",
        "Mend this one, then check again.",
    ]
    student = STUDENT.replace("* (z2 > 0)", "").replace("* (z1 > 0)", "* np.sin(z1)")
    student = student.replace("d2.sum(0)", "d2[-1]").replace("h1.T.dot", "np.sin(h1).T.dot")
    (here.folder / "mine.py").write_text(student, encoding="utf-8")
    lines = here("gradcheck", "mine.py").out.splitlines()
    assert "One mistake is part of what follows:" in lines
    assert "With it, another one gives exactly the numbers of b2:" in lines


def test_command_says_in_which_precision_it_compares(here: Here) -> None:
    (here.folder / "mine.py").write_text(STUDENT.replace(*CAST), encoding="utf-8")
    done = here("gradcheck", "mine.py")
    assert done.code == 0
    assert "central differences of the cost in float32 (relative error up to 0.005)" in done.out
    assert done.err.startswith("note: The cost or the gradient is computed in float32")


def test_command_counts_a_single_wrong_gradient_in_the_singular(here: Here) -> None:
    written(here.folder, ("return gradient", 'gradient["W2"][1] += 1\n    return gradient'))
    done = here("gradcheck", "mine.py")
    assert done.err.startswith("jmlp: error: mine.py: 1 of 6 gradients is wrong; going backward")
