"""`jmlp explain`: every number of a step, of a fresh network and of a stored run."""

import json
import re

import numpy as np
import pytest
from commands import Here

TRAIN = ["train", "--data", "small.npz", "--hidden", "5,4", "--batch-size", "16", "--quiet"]


def test_a_fresh_network_is_explained_from_its_inputs_to_its_update(here: Here) -> None:
    done = here("explain", "--seed", "1")
    assert (done.code, done.err) == (0, "")
    title, *_ = lines = done.out.splitlines()
    assert title.startswith(
        "a fresh network (hidden 2), after epoch 0: update 1, a mini-batch of 4, learning rate"
    )
    assert [line for line in lines if re.match(r"(hidden|output|cost|update)", line)] == [
        "hidden 1, dense",
        "hidden 1, relu",
        "output, dense",
        "cost",
        "update: old, gradient, step, new",
    ]
    assert "    forward     A  = max(Z, 0)                (n, B)" in lines
    spoken = here("explain", "--seed", "1", "--plain").out
    assert re.search(
        r"^Unit 0: Z is \S+, A is \S+, dA is \S+, and dZ is \S+\.$", spoken, re.MULTILINE
    )


def test_a_step_of_a_stored_run_is_consistent_with_itself(here: Here) -> None:
    train = [*TRAIN, "--epochs", "2", "--drop-rate", "0.3", "--lr", "0.1", "--patience", "none"]
    assert here(*train).code == 0
    said = json.loads(here("explain", "last", "--epoch", "1", "--json").out)
    assert (said["epoch"], said["update"], said["column"]) == (1, 11, 0)
    kinds = [[op["kind"] for op in layer["operations"]] for layer in said["layers"]]
    assert kinds == [["dense", "activation", "dropout"]] * 2 + [["dense"]]
    for change in said["changes"]:
        old, gradient = np.array(change["old"]), np.array(change["gradient"])
        np.testing.assert_allclose(change["new"], old - 0.1 * gradient, atol=1e-6)
    done = here("explain", "last", "--epoch", "1", "--cell", "hidden 1.Z[2]", "--json")
    cell = json.loads(done.out)
    assert sum(term["value"] for term in cell["terms"]) == pytest.approx(cell["value"], abs=1e-5)
    array = said["layers"][0]["operations"][0]["arrays"]["Z"]
    assert cell["value"] == array[2][0]
    done = here("explain", "last", "--epoch", "1", "--cell", "output.dW[0,3]")
    title, empty, first, *_ = done.out.splitlines()
    assert re.match(r"run \w{8} \(hidden 5-4\), after epoch 1: update 11, ", title)
    assert empty == ""
    assert first.startswith("output: dW[0, 3] = ")
    assert "sum_j dZ[i, j] A[k, j]" in done.out


def test_a_prediction_has_no_update(here: Here) -> None:
    assert here(*TRAIN, "--epochs", "1", "--batch-norm", "--optimizer", "adam").code == 0
    done = here("explain", "last", "--part", "test", "--example", "3")
    assert "its prediction of example 3 of the test part, class " in done.out
    assert "hidden 1, running batch norm" in done.out
    assert "as the running statistics are constants" in done.out
    assert "update" not in done.out
    done = here("explain", "last", "--epoch", "1")
    assert "the optimiser's moments are not stored" in done.out


def test_a_weight_has_its_update_and_its_chain_of_factors_from_the_cost(here: Here) -> None:
    done = here("explain", "--cell", "hidden 1.W[1,0]")
    _, _, first, update, empty, title, *chain = done.out.splitlines()
    assert re.fullmatch(r"hidden 1: W\[1, 0\] = \S+, as it is given", first)
    assert re.fullmatch(r"  update: \S+ [+-] \S+ = \S+, gradient \S+", update)
    assert (empty, title) == ("", "from the cost, by the largest term of each sum:")
    assert [line.split("[")[0].strip() for line in chain] == [
        "hidden 1.dW",
        "hidden 1.dZ",
        "output.dA",
        "cost.dlogits",
    ]


def test_a_later_update_of_a_fresh_network_is_that_of_its_training(here: Here) -> None:
    first, second = (
        json.loads(here("explain", "--update", str(n), "--optimizer", "adam", "--json").out)
        for n in (1, 2)
    )
    assert (first["update"], second["update"]) == (1, 2)
    for before, after in zip(first["changes"], second["changes"], strict=True):
        np.testing.assert_allclose(before["new"], after["old"], rtol=1e-5, atol=1e-8)


def test_the_check_compares_every_derivative_in_three_ways(here: Here) -> None:
    done = here("explain", "--check", "--float64")
    assert done.code == 0
    assert re.search(r"^hidden 1\.dW +4 +\S+ +\S+ +all$", done.out, re.MULTILINE)
    said = json.loads(here("explain", "--check", "--float64", "--json").out)
    assert {one["n_mistakes"] for one in said["arrays"]} == {0}
    assert max(one["vjp_error"] for one in said["arrays"]) < 1e-12
    one = json.loads(
        here("explain", "--cell", "output.db[1]", "--check", "--float64", "--json").out
    )
    assert one["ways"]["by_differences"] == pytest.approx(one["value"], rel=1e-5)
    assert one["chain"][-1]["letter"] == "dlogits"


def test_the_check_of_a_run_with_a_mistake_fails(here: Here) -> None:
    done = here("explain", "--check", "--float64", "--hidden", "4", "--backward-fault", "relu_mask")
    assert done.code == 7
    assert "wrong" in done.out
    assert "of the derivatives by hand differ from the others without a reason" in done.err


def test_a_mistake_is_named_and_a_number_that_it_changes_is_wrong(here: Here) -> None:
    mistake = ["--backward-fault", "bias_mean"]
    lines = here("explain", *mistake).out.splitlines()
    assert lines[1].startswith("with the mistake bias_mean: db = mean of dZ")
    done = here("explain", *mistake, "--cell", "output.db[1]")
    assert re.match(
        r"output: db\[1, 0\] = \S+, wrong: by db\[i\] = sum_j dZ\[i, j\] it is \S+$",
        done.out.splitlines()[3],
    )
    assert done.out.splitlines()[1] == lines[1], "the mistake is named beside one number too"
    right = here("explain", *mistake, "--cell", "output.dW[1,0]")
    assert (right.code, "wrong" in right.out) == (0, False)
    checked = here("explain", *mistake, "--cell", "output.db[1]", "--check", "--float64")
    assert checked.code == 7
    assert checked.err.strip().endswith("output.db[1, 0] by hand differs without a reason")


def test_an_epoch_without_a_network_is_answered_by_the_nearest_which_is_said(here: Here) -> None:
    assert here(*TRAIN, "--epochs", "2").code == 0
    done = here("explain", "last", "--epoch", "999", "--cell", "output.b[0]")
    assert done.err == "no network is stored after epoch 999: the nearest is that after epoch 2\n"
    assert ", after epoch 2: " in done.out
    assert here("explain", "last", "--epoch", "2", "--cell", "output.b[0]").err == ""


def test_each_array_of_a_layer_has_a_name_of_its_own_that_leads_to_it(here: Here) -> None:
    network = ["--hidden", "3", "--drop-rate", "0.4", "--batch-norm", "--batch-size", "8"]
    done = here("explain", *network, "--check", "--float64", "--json")
    arrays = json.loads(done.out)["arrays"]
    names = [f"{one['place']}.{one['letter']}" for one in arrays]
    assert len(set(names)) == len(names)
    assert {"hidden 1 dense.dA", "hidden 1 dropout.dA"} < set(names)
    assert {"hidden 1 batch norm.dZ", "hidden 1 relu.dZ"} < set(names)
    cells = {}
    for name in ("hidden 1 dense.dA", "hidden 1 dropout.dA"):
        done = here("explain", *network, "--cell", f"{name}[1,2]", "--json")
        cells[name] = json.loads(done.out)
        assert f"{cells[name]['place']}.{cells[name]['letter']}" == name
    assert cells["hidden 1 dropout.dA"]["equation"] == "dA[i, j] = dD[i, j] M[i, j]"
    assert cells["hidden 1 dense.dA"]["equation"] == "dA[k, j] = sum_i W[i, k] dZ[i, j]"
    chain = [f"{link['place']}.{link['letter']}" for link in cells["hidden 1 dense.dA"]["chain"]]
    assert len(set(chain)) == len(chain)


SENTENCE = re.compile(r"[A-Za-z].*[.]")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--cell", "hidden 1.W[1,0]"],
        ["--cell", "hidden 1.dW[1,0]", "--check"],
        ["--check", "--float64"],
        ["--batch-norm", "--drop-rate", "0.3", "--hidden", "14"],
        ["--label-smoothing", "0.1", "--update", "3"],
        ["--cell", "output.db[1]", "--backward-fault", "bias_mean"],
    ],
)
def test_plain_text_is_all_sentences(words: list[str], here: Here) -> None:
    done = here("explain", *words, "--plain")
    assert done.code == 0
    for line in done.out.splitlines():
        assert not line or SENTENCE.fullmatch(line), line
        assert "  " not in line
        assert "logits is" not in line
    assert done.out.startswith("This is a fresh network with ")


def test_the_sentences_have_the_numbers_of_the_tables(here: Here) -> None:
    place = ["--cell", "hidden 1.dW[1,0]", "--check", "--float64"]
    table, spoken = here("explain", *place).out, here("explain", *place, "--plain").out
    numbers = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
    assert set(numbers.findall(table)) <= set(numbers.findall(spoken))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--cell", "hidden", "1.dW[1,0]"], "--cell: quote it, because of its blank: --cell 'hid"),
        (["last", "--cell", "hidden", "1.Z[1]"], "of its blank: --cell 'hidden 1.Z[1]'"),
        (["last", "again"], "again: explain takes one run; leave this out"),
        (["--layer", "1"], "--layer: a layer stands in --cell, beside a letter and a unit"),
        (
            ["--cell", "hidden 1.dA[0]", "--drop-rate", "0.2"],
            "--cell: hidden 1 has several dA: choose hidden 1 dense.dA or hidden 1 dropout.dA",
        ),
        (["--cell", "Z"], "--cell: must be LAYER.LETTER[ROW] or LAYER.LETTER[ROW,COLUMN]"),
        (["--cell", "hidden 3.Z[0]"], "there is no such layer: it has hidden 1, output, cost"),
        (["--cell", "hidden 1.Y[0]"], "--cell: hidden 1 has no Y: it has A, W, b, Z, dZ, dW"),
        (["--cell", "hidden 1.Z[2]"], "--cell: hidden 1.Z[2, 0]: Z is 2 by 4"),
        (["--example", "4"], "--example: the mini-batch has examples 0 to 3, got 4"),
        (["--hidden", "0"], "--hidden: must be a list of 1 to 64 integers"),
        (["last", "--hidden", "3"], "--hidden: a run has its own; leave it out"),
        (["last", "--seed", "3"], "--seed: a run has its own; leave it out"),
        (["last", "--update", "3"], "--update: a run has its own; leave it out"),
        (["--epoch", "3"], "--epoch: only a stored run has several networks: give --update"),
        (["--update", "0"], "--update: must be at least 1, got 0"),
        (["--float64"], "--float64: is for --check; add it"),
        (["--check", "--cell", "hidden 1.Z[0]"], "only a derivative has three ways: choose one of"),
        (["--update", "9999999"], "update 9,999,999: a run of these settings has updates 1 to"),
    ],
)
def test_what_cannot_be_explained_is_refused(words: list[str], told: str, here: Here) -> None:
    done = here("explain", *words)
    assert (done.code, done.out) == (2, "")
    assert told in done.err
