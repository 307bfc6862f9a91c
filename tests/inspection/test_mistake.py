"""The check of a gradient with a mistake: which arrays fail, and by which ratio and cosine."""

import contextlib
import threading
from pathlib import Path

import pytest

from jmlp.inspection import mistake as client
from jmlp.inspection.client import Inspector
from jmlp.inspection.mistake import LeafGradient
from jmlp.inspection.mistake_gradients import leaves_of
from jmlp.nn.gradcheck import BATCH
from jmlp.study import mistakes
from jmlp.study.mistakes import MISTAKES, Mistake

CHECKED = [mistake for mistake in MISTAKES if mistake.checked]

# The arrays that are right with each mistake, as `why` says in words.
RIGHT = {
    "relu_mask": ["output W", "output b"],
    "batch_mean": [],
    "weights_transposed": ["hidden 2 W", "hidden 2 b", "output W", "output b"],
    "bias_of_last": ["hidden 1 W", "hidden 2 W", "output W"],
    "bias_mean": ["hidden 1 W", "hidden 2 W", "output W"],
    "dropout_mask": ["output W", "output b"],
    "batch_norm": ["hidden 2 gamma", "hidden 2 beta", "output W", "output b"],
    "updated_weights": ["output W", "output b"],
}


def checked(name: str, stop: threading.Event | None = None) -> tuple[LeafGradient, ...]:
    with contextlib.closing(Inspector(Path())) as inspector:
        return client.check(mistakes.find(name), inspector, stop)


def names(leaves: list[LeafGradient], *, ok: bool) -> list[str]:
    return [f"{leaf.layer} {leaf.letter}" for leaf in leaves if leaf.ok == ok]


@pytest.mark.parametrize("mistake", CHECKED, ids=lambda mistake: mistake.name)
def test_the_arrays_that_the_words_call_right_are_right_and_all_others_wrong(
    mistake: Mistake,
) -> None:
    leaves = leaves_of(mistake.name)
    assert names(leaves, ok=True) == RIGHT[mistake.name]
    for leaf in leaves:
        if leaf.ok:
            assert leaf.ratio == pytest.approx(1)
            assert leaf.cosine == pytest.approx(1)


def test_a_constant_factor_has_the_right_direction() -> None:
    for leaf in leaves_of("batch_mean"):
        assert [leaf.ratio, leaf.cosine] == pytest.approx([BATCH, 1])
    for leaf in leaves_of("bias_mean"):
        if leaf.letter == "b":
            assert [leaf.ratio, leaf.cosine] == pytest.approx([1 / BATCH, 1])


def test_a_process_of_its_own_finds_the_same() -> None:
    here, there = leaves_of("relu_mask"), checked("relu_mask")
    assert [leaf.texts() for leaf in there] == [leaf.texts() for leaf in here]
    assert list(client.summary(there)) == [
        "4 of 6 gradients are wrong",
        "the first, going backward from the cost, in layer hidden 2",
    ]


def test_a_check_that_is_no_longer_wanted_finds_nothing() -> None:
    stop = threading.Event()
    stop.set()
    assert checked("relu_mask", stop) == ()


def test_texts_leave_out_what_there_is_not() -> None:
    leaf = LeafGradient("hidden 1", "W", 0.5, None, None, ok=False)
    assert leaf.texts() == ("hidden 1", "W", "WRONG", "5.0e-01", "", "")
