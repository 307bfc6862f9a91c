"""The strip: columns of one run, and means and counts over several."""

import json
from collections.abc import Sequence

import numpy as np

from jmlp.inspection.answers import (
    Answers,
    LeftOut,
    RunAnswers,
    columns_of_all,
    columns_of_run,
    from_bytes,
    from_table,
    to_bytes,
    to_table,
)
from jmlp.store.states import RunState

NAN = float("nan")


def run(
    seed: int,
    epochs: Sequence[float],
    first: Sequence[float],
    best: int | None,
    diverged_at: int | None = None,
) -> RunAnswers:
    """A run with two classes, given the probability of the first in each network."""
    p = np.array(first, float)
    state: RunState = "diverged" if diverged_at else "finished"
    return RunAnswers(
        str(seed), seed, state, tuple(epochs), best, diverged_at, np.stack([p, 1 - p], axis=1)
    )


SHORT = run(0, (0, 1, 2, 4), (0.4, 0.8, 0.6, 0.9), best=2)
LONG = run(1, (0, 1, 2, 5, 6, 7), (0.2, 0.6, 0.3, 0.7, 0.2, 0.1), best=4)
DIVERGED = run(2, (0, 1), (0.9, 0.9), best=None, diverged_at=12)


def test_a_run_has_a_column_for_each_network_and_its_kept_one_is_marked() -> None:
    columns = columns_of_run(SHORT)
    assert [column.epoch for column in columns] == [0, 1, 2, 4]
    assert [column.is_best for column in columns] == [False, False, True, False]
    assert [column.answer for column in columns] == [1, 0, 0, 0]
    assert {column.n_runs for column in columns} == {1}
    np.testing.assert_array_equal(columns[1].probabilities, SHORT.probabilities[1])


def test_seeds_share_the_columns_of_epochs_that_all_of_them_reached_and_kept() -> None:
    columns = columns_of_all([SHORT, LONG])
    # After epoch 4 there is no network of the longer run; from 5 on, it is the only one.
    assert [column.epoch for column in columns] == [0, 1, 2, 5, 6, 7, None]
    assert [column.n_runs for column in columns] == [2, 2, 2, 1, 1, 1, 2]
    first = [column.probabilities[0] for column in columns]
    np.testing.assert_allclose(first, [0.3, 0.7, 0.45, 0.7, 0.2, 0.1, (0.6 + 0.2) / 2])
    assert [column.counts.tolist() for column in columns[:3]] == [[0, 2], [2, 0], [1, 1]]
    assert [column.is_best for column in columns] == [False] * 6 + [True]


def test_diverged_runs_are_in_no_mean() -> None:
    with_it, without = (columns_of_all([*runs, SHORT]) for runs in ([DIVERGED], []))
    for one, other in zip(with_it, without, strict=True):
        np.testing.assert_array_equal(one.probabilities, other.probabilities)
        assert one.n_runs == other.n_runs == 1
    assert columns_of_all([DIVERGED]) == ()
    assert [column.is_best for column in columns_of_run(DIVERGED)] == [False, False]


def test_an_output_that_is_not_finite_is_no_answer() -> None:
    broken = run(3, (0, 1, 2), (0.4, NAN, 0.6), best=2)
    assert [column.answer for column in columns_of_run(broken)] == [1, None, 0]
    together = columns_of_all([broken, run(4, (0, 1, 2), (0.4, 0.8, 0.6), best=2)])
    assert [column.n_runs for column in together] == [2, 1, 2, 2]
    np.testing.assert_allclose(together[1].probabilities, [0.8, 0.2])


def test_answers_come_back_from_their_json() -> None:
    broken = run(3, (0, 0.5), (0.1, NAN), best=1)
    answers = Answers(("a", "b"), (SHORT, broken), (LeftOut("4", 4, "queued"),))
    text = json.dumps(to_table(answers), allow_nan=False)
    again = from_table(json.loads(text))
    assert (again.classes, again.left_out) == (answers.classes, answers.left_out)
    for one, other in zip(again.runs, answers.runs, strict=True):
        np.testing.assert_array_equal(one.probabilities, other.probabilities)
        assert (one.epochs, one.best, one.seed) == (other.epochs, other.best, other.seed)


def test_pixels_come_back_from_their_json() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    again = from_bytes(json.loads(json.dumps(to_bytes(pixels))))
    np.testing.assert_array_equal(again, pixels, strict=True)
