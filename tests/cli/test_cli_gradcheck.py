"""`jmlp gradcheck`: every leaf in a row, and code 7 where one is wrong."""

import json
from dataclasses import replace

import jax
import pytest
from commands import Here

from jmlp.nn import gradcheck, model
from jmlp.nn.gradcheck import LeafCheck

RIGHT = LeafCheck((20, 7, 5), "before", 0.4, "[0].batchnorm.gamma", 20, 1.2e-16, 3.4e-10, 1.0, 1.0)
WRONG = LeafCheck((8,), None, 0.0, "[1].dense.b", 10, 2e-3, 2e-3, 1.002, 0.9)
OPTION = replace(RIGHT, hidden=(8,), batch_norm=None, drop_rate=0.0, option="label smoothing")
NAN = LeafCheck((), None, 0.0, "[0].dense.W", 120, float("nan"), 1e-10, float("inf"), float("nan"))

TABLE = """\
          batch    drop                          against       against
 hidden   norm     rate   leaf                  jax.grad   differences
 ──────────────────────────────────────────────────────────────────────────
 20-7-5   before   0.4    [0].batchnorm.gamma    1.2e-16       3.4e-10   ok
"""


SUMMARY = (
    "{} of {} gradients agree, one for each array of parameters. Largest error: {} against "
    "jax.grad (tolerance 1e-09), {} against central differences (tolerance 1e-06).\n"
    "An error is the norm of the difference, relative to the larger gradient. float64 has 16 "
    "digits, and jax.grad loses few of them; differences over a step of 1e-05 keep about nine.\n"
)


def found(monkeypatch: pytest.MonkeyPatch, *checks: LeafCheck) -> None:
    monkeypatch.setattr(gradcheck, "check_gradients", lambda seed, fault, depths: iter(checks))


def test_right_gradient_is_a_table_that_fits_80_columns(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    found(monkeypatch, RIGHT)
    assert here("gradcheck") == (0, SUMMARY.format(1, 1, "1.2e-16", "3.4e-10") + TABLE, "")


def test_options_are_a_table_of_their_own(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    found(monkeypatch, RIGHT, OPTION, replace(OPTION, autodiff_error=1.0))
    done = here("gradcheck")
    head = SUMMARY.format(2, 3, "1.0e+00", "3.4e-10") + TABLE
    assert done.out.startswith(head)
    rows = [line.split("  ") for line in done.out[len(head) :].splitlines()]
    assert [[cell.strip() for cell in row if cell.strip()] for row in rows[-2:]] == [
        ["8", "label smoothing", "[0].batchnorm.gamma", "1.2e-16", "3.4e-10", "ok"],
        ["8", "label smoothing", "[0].batchnorm.gamma", "1.0e+00", "3.4e-10", "WRONG"],
    ]
    assert done.err.endswith(
        "at hidden 8, no batch norm, drop rate 0, label smoothing, [0].batchnorm.gamma\n"
    )


def test_wrong_leaf_is_named_and_ends_with_code_7(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    found(monkeypatch, RIGHT, WRONG)
    done = here("gradcheck", "--plain")
    assert done.out.splitlines()[5].split() == (
        ["8", "no", "none", "[1].dense.b", "2.0e-03", "2.0e-03", "WRONG"]
    )
    assert (done.code, done.err) == (
        7,
        "jmlp: error: the hand-written gradient exceeds its tolerance at hidden 8, no batch "
        "norm, drop rate 0, [1].dense.b\n",
    )


def test_batch_norm_is_before_or_after_the_activation_whichever_it_is(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    found(monkeypatch, replace(WRONG, batch_norm="before"), replace(WRONG, batch_norm="after"))
    told = here("gradcheck").err
    assert "hidden 8, batch norm before the activation, drop rate 0, [1].dense.b" in told
    assert "hidden 8, batch norm after the activation, drop rate 0, [1].dense.b" in told


def test_only_the_first_wrong_leaves_are_named(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    found(monkeypatch, *[WRONG] * 7)
    assert here("gradcheck").err.endswith("drop rate 0, [1].dense.b and 2 more\n")


def test_json_holds_both_errors_of_every_leaf(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    found(monkeypatch, RIGHT, NAN)
    done = here("gradcheck", "--json", "--quiet")
    assert done.code == 7
    assert json.loads(done.out) == {
        "ok": False,
        "autodiff_tolerance": 1e-9,
        "difference_tolerance": 1e-6,
        "leaves": [
            {
                "hidden": [20, 7, 5],
                "batch_norm": "before",
                "drop_rate": 0.4,
                "leaf": "[0].batchnorm.gamma",
                "size": 20,
                "autodiff_error": 1.2e-16,
                "difference_error": 3.4e-10,
                "ratio": 1.0,
                "cosine": 1.0,
                "same_as": [],
                "option": None,
                "ok": True,
            },
            {
                "hidden": [],
                "batch_norm": None,
                "drop_rate": 0.0,
                "leaf": "[0].dense.W",
                "size": 120,
                "autodiff_error": None,
                "difference_error": 1e-10,
                "ratio": None,
                "cosine": None,
                "same_as": [],
                "option": None,
                "ok": False,
            },
        ],
    }


def test_seed_reaches_the_check(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        gradcheck, "check_gradients", lambda seed, *_: [replace(RIGHT, leaf=f"seed {seed}")]
    )
    assert " seed 5 " in here("gradcheck", "--seed", "5").out


def test_hidden_layers_of_the_users_choice_are_checked(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        gradcheck, "check_gradients", lambda seed, fault, depths: [replace(RIGHT, hidden=depths[0])]
    )
    assert " 6-4 " in here("gradcheck", "--hidden", "6,4").out
    for text, told in (
        ("0", "must be a list of 1 to 64 integers from 1 to"),
        ("6,x", "must be a list of 1 to 64 integers from 1 to"),
        ("6 | 4", "must be a list of 1 to 64 integers from 1 to"),
        ("60,5", "must have at most 64 units in all, got 65: central differences"),
    ):
        done = here("gradcheck", "--hidden", text)
        assert (done.code, done.out) == (2, "")
        assert f"--hidden: {told}" in done.err


def test_real_gradient_is_right(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradcheck, "DEPTHS", ((), (8,)))
    done = here("gradcheck", "--json")
    assert (done.code, done.err) == (0, "")
    document = json.loads(done.out)
    assert document["ok"]
    assert len(document["leaves"]) == 2 + 2 * 4 + 2 * 5 + 2 * 6 + 12 + 4 * 4


@pytest.mark.usefixtures("gradients_compiled_anew")
def test_broken_backward_pass_ends_with_code_7(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    backward = model.backward
    monkeypatch.setattr(gradcheck, "DEPTHS", ((),))
    monkeypatch.setattr(gradcheck, "OPTIONS", {})
    monkeypatch.setattr(
        model, "backward", lambda *args: jax.tree.map(lambda g: 2 * g, backward(*args))
    )
    done = here("gradcheck")
    network = "hidden none, no batch norm, drop rate 0,"
    assert (done.code, done.err) == (
        7,
        "jmlp: error: the hand-written gradient exceeds its tolerance at "
        f"{network} [0].dense.W, {network} [0].dense.b\n",
    )
