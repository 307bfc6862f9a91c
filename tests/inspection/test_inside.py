"""The views of a step: what the command and the app show of it."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import SMALL_DATA, experiment
from inspected_runs import train, write_data

from jmlp.errors import ConfigError
from jmlp.inspection import helper, inside, texts
from jmlp.inspection.inside import Inside, Steps, fresh_run
from jmlp.inspection.step import FreshRun, next_step
from jmlp.inspection.views import CellView, StepView, UpdateView, WaysView, Where
from jmlp.results import serialization
from jmlp.results.weights import restore
from jmlp.study.config import Hyperparams


def fresh(updates: int = 0, where: Where | None = None, **settings: Any) -> Inside:
    run = fresh_run(settings, print)
    stored, moments = run.after(updates)
    return Inside(where or Where(None, settings, updates), stored, run.dataset, moments)


DEEP: dict[str, Any] = {"data": "digits-8x8", "hidden": [6, 5], "batch_size": 8, "batch_norm": True}


def test_the_first_step_of_the_tiny_network_has_every_operation_in_order() -> None:
    view = fresh().view()
    assert [(op.layer, op.name) for op in view.operations] == [
        ("hidden 1", "dense"),
        ("hidden 1", "relu"),
        ("output", "dense"),
        ("cost", "cost"),
    ]
    assert (view.update, view.n_examples, view.epochs, view.best) == (1, 4, (0,), None)
    assert view.operations[0].shapes["W"] == (2, 2)
    assert view.operations[0].equations.startswith("forward     Z  = W A + b")
    assert view.knows_update


def test_the_numbers_of_the_tiny_network_are_those_of_a_hand_computation() -> None:
    """Z = W A + b, A = max(Z, 0), P = softmax, cost = -log P of the class, in float64."""
    found = fresh()
    dense, relu, output, cost = (found.units(k) for k in range(4))
    rows = [found.weights(0, unit) for unit in range(2)]
    a = np.array(rows[0]["A"])
    Z = np.array([row["W"] for row in rows]) @ a + dense["b"]
    np.testing.assert_allclose(dense["Z"], Z, rtol=1e-6)
    A = np.maximum(Z, 0)
    np.testing.assert_allclose(relu["A"], A, rtol=1e-6)
    W = np.array([found.weights(2, unit)["W"] for unit in range(2)])
    logits = W @ A + output["b"]
    P = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(cost["P"], P, rtol=1e-5)
    view = found.view()
    assert view.cost == pytest.approx(-np.log(P[view.label]), rel=1e-5)
    assert view.predicted == P.argmax()
    assert view.probability == pytest.approx(P.max(), rel=1e-5)
    dlogits = (P - np.eye(2)[view.label]) / 4
    np.testing.assert_allclose(cost["dlogits"], dlogits, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(dense["dZ"], (W.T @ dlogits) * (Z > 0), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_the_updates_of_a_fresh_run_are_those_that_its_steps_announce(optimizer: str) -> None:
    settings = {**DEEP, "optimizer": optimizer, "drop_rate": 0.2}
    run = fresh_run(settings, print)
    for updates in (0, 1, 2):
        stored, moments = run.after(updates)
        after, _ = run.after(updates + 1)
        step = next_step(stored, run.dataset, 0, 0, moments)
        assert step.update == updates + 1
        params, _ = restore(after.tensors[0], stored.hyperparams, 64, 10)
        for change in step.changes:
            index = {"hidden 1": 0, "hidden 2": 1, "output": 2}[change.layer]
            layer = params[index]
            expected = (
                getattr(layer.dense, change.letter)
                if change.letter in ("W", "b")
                else getattr(layer.batchnorm, change.letter)
            )
            assert change.new is not None
            np.testing.assert_allclose(change.new, expected, rtol=1e-4, atol=1e-6)


def test_a_fresh_run_can_go_back_and_gives_the_same_network_again() -> None:
    run = fresh_run(DEEP, print)
    first, _ = run.after(3)
    run.after(5)
    again, _ = run.after(3)
    for name, array in first.tensors[0].items():
        np.testing.assert_array_equal(again.tensors[0][name], array)


def test_a_fresh_run_has_as_many_updates_as_its_epochs() -> None:
    hp = Hyperparams(hidden=(3,), batch_size=16, epochs=2)
    run = FreshRun(hp, SMALL_DATA, 0, 0, 0.2)
    n_steps = len(SMALL_DATA.split(0, 0.2)[0]) // 16
    run.after(2 * n_steps - 1)
    with pytest.raises(ConfigError, match=f"has updates 1 to {2 * n_steps}$"):
        run.after(2 * n_steps)


def test_a_fresh_run_that_diverges_says_where() -> None:
    run = fresh_run({"learning_rate": 1e30, "batch_size": 16}, print)
    with pytest.raises(ConfigError, match="the run diverges at update"):
        run.after(4)


@pytest.mark.parametrize("split", [{"split_seed": 5}, {"validation_fraction": 0.4}])
def test_a_fresh_run_splits_the_data_as_its_study_says(split: dict[str, Any]) -> None:
    networks, _ = fresh_run(split, print).after(0)
    usual, _ = fresh_run({}, print).after(0)
    found = {"split_seed": 0, "validation_fraction": 0.2} | split
    assert (networks.split_seed, networks.validation_fraction) == tuple(found.values())
    data = fresh_run({}, print).dataset
    inputs = [Inside(Where(), one, data).weights(0, 0)["A"] for one in (networks, usual)]
    assert inputs[0] != inputs[1]


def test_the_mistakes_of_a_network_are_named() -> None:
    assert fresh(backward_fault="bias_mean").view().mistakes == ("bias_mean",)
    assert fresh().view().mistakes == ()


@pytest.mark.parametrize(
    ("place", "letter", "name"),
    [
        ("inputs", "A", "inputs.A"),
        ("hidden 1 dense", "A", "inputs.A"),
        ("hidden 1", "A", "hidden 1.A"),
        ("hidden 1", "Z", "hidden 1.Z"),
        ("hidden 1 batch norm", "Z", "hidden 1.Z"),
        ("hidden 1 relu", "Z", "hidden 1.Y"),
        ("hidden 1", "dY", "hidden 1 relu.dZ"),
        ("hidden 2", "A", "hidden 2.A"),
        ("output", "A", "hidden 2.A"),
    ],
)
def test_a_place_is_found_by_the_layer_or_by_the_operation(
    place: str, letter: str, name: str
) -> None:
    found = fresh(**DEEP)
    assert found.step.trace.name(*found.find(place, letter)) == name


def test_a_place_with_several_arrays_of_a_letter_is_refused_with_their_names() -> None:
    with pytest.raises(ConfigError, match=r"choose hidden 1 batch norm\.dZ or hidden 1 relu\.dZ"):
        fresh(**DEEP).find("hidden 1", "dZ")


@pytest.mark.parametrize("letter", ["Z", "dZ", "db"])
def test_a_cell_adds_up_and_leads_to_where_each_factor_is_computed(letter: str) -> None:
    found = fresh(**DEEP)
    index = next(
        k
        for k, op in enumerate(found.view().operations)
        if (op.layer, op.kind) == ("output", "dense")
    )
    cell = found.cell(index, letter, 1, 0)
    total = sum(term.value for term in cell.terms) + cell.rest
    assert total == pytest.approx(cell.value, rel=1e-4, abs=1e-7)
    values = [abs(term.value) for term in cell.terms]
    assert values == sorted(values, reverse=True)
    for term in cell.terms:
        for factor in term.factors:
            if factor.operation is not None and factor.name.startswith(factor.letter):
                there = found.cell(factor.operation, factor.letter, *factor.at)
                assert there.value == pytest.approx(factor.value, rel=1e-5)


def test_a_long_sum_has_its_largest_terms_and_the_sum_of_the_others() -> None:
    cell = fresh(**DEEP).cell(0, "Z", 0, 0)
    assert (len(cell.terms), cell.n_more) == (40, 24)
    total = sum(term.value for term in cell.terms) + cell.rest
    assert total == pytest.approx(cell.value, rel=1e-4, abs=1e-6)


def test_a_parameter_has_its_update_and_the_chain_of_its_derivative() -> None:
    found = fresh()
    cell = found.cell(0, "W", 1, 0)
    assert cell.equation is None
    assert cell.update is not None
    assert cell.update.new == pytest.approx(
        cell.update.old - 0.009 * cell.update.gradient, rel=1e-6
    )
    chain = found.chain(0, "W", 1, 0)
    assert [link.letter for link in chain] == ["dW", "dZ", "dA", "dlogits"]
    assert chain == found.chain(0, "dW", 1, 0)


def test_the_largest_changes_come_first() -> None:
    changes = fresh(**DEEP).changes()
    sizes = [abs((change.new or 0) - change.old) for change in changes]
    assert sizes == sorted(sizes, reverse=True)
    assert len(changes) == 200


def test_three_ways_of_a_cell_in_both_types() -> None:
    found = fresh()
    single, double = (found.ways(0, "dW", 0, 1, double=d) for d in (False, True))
    assert (single.type, double.type) == ("float32", "float64")
    assert double.by_hand == pytest.approx(single.by_hand, rel=1e-5)
    assert double.difference_error < 1e-8
    with pytest.raises(ConfigError, match="only a derivative has three ways: choose one of dZ, dW"):
        found.ways(0, "Z", 0, 0, double=False)


def test_a_cell_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"hidden 1\.Z\[2, 0\]: Z is 2 by 4"):
        fresh().cell(0, "Z", 2, 0)


# What the helper process answers


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("trained")
    (run,) = train(folder, write_data(folder), experiment(hidden=(4,), drop_rate=0.2))
    return folder, run.run_id


def asked(folder: Path, do: str, where: Where, **request: Any) -> Any:
    messages: list[Any] = []
    helper.answer(
        {"do": do, "store": str(folder), "where": asdict(where), **request}, messages.append
    )
    return messages[-1]["done"]


def test_answers_are_read_back_as_the_same_views(trained: tuple[Path, str]) -> None:
    folder, run_id = trained
    where = Where(run_id, snapshot=0, example=2)
    here = Steps().at(folder, where, print)
    assert serialization.read(StepView, asked(folder, "step", where)) == here.view()
    numbers = asked(folder, "units", where, operation=0)
    assert numbers == here.units(0)
    assert asked(folder, "weights", where, operation=0, unit=1) == here.weights(0, 1)
    cell = (0, "dW", 1, 2)
    assert serialization.read(CellView, asked(folder, "cell", where, cell=cell)) == here.cell(*cell)
    chain = serialization.read(tuple[CellView, ...], asked(folder, "chain", where, cell=cell))
    assert list(chain) == here.chain(*cell)
    ways = asked(folder, "ways", where, cell=cell, double=True)
    assert serialization.read(WaysView, ways) == here.ways(*cell, double=True)
    changes = asked(folder, "changes", where)
    assert list(serialization.read(tuple[UpdateView, ...], changes)) == here.changes()


def test_the_kept_network_is_the_default_and_predictions_know_no_update(
    trained: tuple[Path, str],
) -> None:
    folder, run_id = trained
    step = Steps().at(folder, Where(run_id), print)
    assert step.view().snapshot == step.networks.best
    prediction = Steps().at(folder, Where(run_id, part="validation", example=3), print).view()
    assert (prediction.update, prediction.knows_update, prediction.row) == (None, False, 3)
    assert "dropout" not in [operation.kind for operation in prediction.operations]


def test_a_step_is_computed_once_and_the_oldest_is_forgotten(
    trained: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, run_id = trained
    steps, made = Steps(), []
    build = inside.Inside.__init__

    def counted(self: Inside, where: Where, *rest: Any) -> None:
        made.append(where.example)
        build(self, where, *rest)

    monkeypatch.setattr(inside.Inside, "__init__", counted)
    where = Where(run_id, snapshot=0)
    for example in (0, 1, 0, 2, 3, 4, 0, 1):
        steps.at(folder, replace(where, example=example), print)
    assert made == [0, 1, 2, 3, 4, 1]


def test_a_network_that_is_not_there_is_refused(trained: tuple[Path, str]) -> None:
    folder, run_id = trained
    with pytest.raises(ConfigError, match="the run has networks 0 to"):
        Steps().at(folder, Where(run_id, snapshot=99), print)


# Lines of text


def test_the_lines_of_a_cell_name_its_largest_terms() -> None:
    lines = texts.cell_lines(fresh(**DEEP).cell(0, "Z", 0, 0), 3)
    assert lines[0].startswith("hidden 1: Z[0, 0] = ")
    assert lines[0].endswith(", by Z[i, j] = sum_k W[i, k] A[k, j]")
    assert len(lines) == 5
    assert lines[-1].endswith("= 61 smaller terms together")


def test_the_lines_of_three_ways_give_each_number_and_each_reason() -> None:
    ways = WaysView(0.5, 0.5, 0.25, 0.0, 0.5, 1e-5, "float64", ("a kink",), False)
    assert texts.ways_lines(ways) == [
        "in float64:",
        "  by hand                                0.5",
        "  by jax.vjp                             0.5  relative error 0.0e+00",
        "  by central differences                0.25  relative error 5.0e-01, with h = 1e-05",
        "  a kink",
    ]
    wrong = texts.ways_lines(replace(ways, reasons=(), is_mistake=True))
    assert wrong[-1] == "  they differ without a reason: the derivative by hand is wrong"
