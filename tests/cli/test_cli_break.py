"""`jmlp break`: the mistakes, the gradient of each, and its training beside the right network."""

import json

import pytest
from commands import Here

from jmlp.errors import ConfigError
from jmlp.inspection import mistake as gradients
from jmlp.inspection.mistake_gradients import leaves_of
from jmlp.study import mistakes
from jmlp.study.config import DEFAULTS
from jmlp.study.file import change_study
from jmlp.study.mistakes import MISTAKES, Mistake

QUICK = ["--data", "small.npz", "--hidden", "5,4", "--epochs", "6", "--set", "batch_size=16"]


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        gradients, "check", lambda mistake, inspector: tuple(leaves_of(mistake.name))
    )


# Words and studies


def test_every_mistake_has_a_line_of_what_people_write(here: Here) -> None:
    done = here("break")
    assert done.code == 0
    lines = done.out.splitlines()
    for mistake in MISTAKES:
        line = f"{mistake.name} {mistake.wrong}: it {mistake.what}"
        assert [found for found in lines if found.split() == line.split()]
    found = lines.index("Found by the check of the gradient")
    not_found = lines.index("Found by no check of the gradient")
    assert found < not_found
    assert [line.split()[0] for line in lines[not_found + 1 :] if line] == [
        *("step_sign", "raw_softmax", "labels_off_by_one", "no_shuffle", "raw_inputs"),
        "zero_weights",
    ]


def test_list_as_json(here: Here) -> None:
    found = json.loads(here("break", "--json").out)
    assert [record["name"] for record in found] == list(mistakes.NAMES)
    assert found[0]["backward_fault"] == "relu_mask"
    assert found[-1]["initialization"] == "zero"
    assert [r["found_by_gradient_check"] for r in found] == [bool(m.checked) for m in MISTAKES]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_the_study_of_a_mistake_compares_it_with_the_right_network(mistake: Mistake) -> None:
    study = change_study(mistakes.study_text(mistake), mistakes.study_name(mistake))
    (made,) = study.experiments
    right, wrong = made.axes[mistake.setting]
    assert (right, wrong) == (DEFAULTS[mistake.setting], mistake.setting_value)
    assert dict(made.baseline) == {mistake.setting: right}
    assert len(made.seeds) >= 5, "fewer give no verdict"


def test_a_name_that_is_nearly_right_is_answered_by_the_right_one(here: Here) -> None:
    done = here("break", "relu_maks")
    assert (done.code, done.out) == (2, "")
    assert "there is no mistake of that name; did you mean relu_mask?" in done.err
    with pytest.raises(ConfigError, match="jmlp break lists them"):
        mistakes.find("x")


# The check


def test_check_only_prints_the_equations_and_the_gradient_of_each_array(here: Here) -> None:
    done = here("break", "bias_mean", "--check-only", "--plain")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert "  right   db = sum of dZ over the examples" in lines
    assert "  wrong   db = mean of dZ over the examples" in lines
    assert "Found by the check of the gradient: hidden 8-8" in lines
    table = [line.split() for line in lines if line.startswith(("hidden ", "output "))]
    assert [row[:4] for row in table[1::2]] == [
        ["hidden", "1", "b", "WRONG"],
        ["hidden", "2", "b", "WRONG"],
        ["output", "b", "WRONG", "9.4e-01"],
    ]
    assert [row[-2:] for row in table[1::2]] == [["0.0625", "1.0000"]] * 3
    assert "3 of 6 gradients are wrong" in done.out
    assert not (here.folder / "store").exists()


def test_a_mistake_that_no_check_finds_is_said_to_be_one_and_why(here: Here) -> None:
    done = here("break", "no_shuffle", "--check-only")
    assert "Found by no check of the gradient\n" in done.out
    assert "The gradient of every mini-batch is right." in done.out
    found = json.loads(here("break", "no_shuffle", "--check-only", "--json").out)
    assert found["leaves"] == []
    assert found["mistake"]["found_by_gradient_check"] is False


# The training


def test_both_networks_are_trained_with_the_same_seeds_and_compared(here: Here) -> None:
    rate = ["--set", "learning_rate=0.1"]
    done = here("break", "labels_off_by_one", *QUICK, *rate)
    assert done.code == 0
    assert "\nbroken\n" in done.out
    assert "Differences to the baseline" in done.out
    assert done.out.splitlines()[-1].startswith("In test accuracy, the broken network is lower (-")
    assert done.out.splitlines()[-1].endswith("): the mistake shows.")
    assert "break-labels_off_by_one" in here("runs", "ls").out
    again = here("break", "labels_off_by_one", *QUICK, *rate, "--json")
    found = json.loads(again.out)
    assert found["in_words"] == done.out.splitlines()[-1]
    assert len(found["study"]["runs"]) == 16
    assert {run["seed"] for run in found["study"]["runs"]} == set(range(8))


def test_a_mistake_without_effect_is_refused_before_anything_is_trained(here: Here) -> None:
    done = here("break", "weights_transposed", *QUICK)
    assert done.code == 2
    assert "weights_transposed has no effect where no W after the first layer is square" in done.err
    assert here("break", "relu_mask", "--set", "nothing=1").code == 2
