"""The stages of a search in the worker, and what a kill between or within them changes."""

import signal
from pathlib import Path
from typing import Any

import pytest
from commands import Died, Here
from queues import Queue, numbers, numbers_undisturbed, once

from jmlp.training.records import Progress
from jmlp.worker import full_disk

SEARCH = """
name = "small"
data = "small.npz"
seeds = 2
epochs = 3
hidden = [5, 4]
batch_size = 16

[experiments.tuned]
baseline = { learning_rate = 0.1, drop_rate = 0 }

[experiments.tuned.search]
configurations = 3
confirm = 2
learning_rate = { log = [0.01, 1] }
drop_rate = [0, 0.5]
"""


@pytest.fixture(autouse=True)
def search(here: Here) -> None:
    Path(here.folder / "small.toml").write_text(SEARCH)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The numbers of the whole study, trained in one go."""
    return numbers_undisturbed(tmp_path_factory.mktemp("undisturbed"), SEARCH)


def seeds(queue: Queue) -> list[int]:
    """Of the runs of the study that have ended."""
    with queue.store() as store:
        return [run.seed for run in store.runs("small") if run.result is not None]


def confirmed(queue: Queue) -> set[tuple[float, object]]:
    """Learning rates and drop rates of the confirmation."""
    with queue.store() as store:
        return {
            (run.hyperparams.learning_rate, run.hyperparams.drop_rate)
            for run in store.runs("small")
            if run.seed >= 2
        }


def second_stage(progress: Progress) -> bool:
    return progress.phase == "training" and progress.n_runs == 4 and progress.epoch >= 2


def test_winner_is_confirmed_when_the_search_has_ended(
    queue: Queue, undisturbed: dict[str, str]
) -> None:
    queue.submit()
    with queue.store() as store:
        assert {run.seed for run in store.runs("small")} == {0, 1}
    ended = queue.train()
    assert ended.returncode == 0
    (said,) = [line for line in ended.said if "winner" in line]
    assert said.startswith("tuned: the winner is learning rate ")
    assert queue.study().state == "done"
    assert sorted(seeds(queue)) == [0] * 4 + [1] * 4 + [2] * 2 + [3] * 2
    assert numbers(queue.folder) == undisturbed
    with queue.store() as store:
        of_confirmation = [e for _, e in store.links("small") if e == ("tuned-confirmation",)]
        assert len(of_confirmation) == 4


def test_kill_between_the_stages_changes_no_bit(
    queue: Queue, undisturbed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.submit()

    def die(self: Any, submission: Any) -> None:
        raise Died(signal.SIGKILL)

    with monkeypatch.context() as patch:
        # The winner is known, but its runs are not queued yet.
        patch.setattr(full_disk.RetryingStore, "submit", die)
        queue.train()
    assert sorted(seeds(queue)) == [0] * 4 + [1] * 4
    assert queue.study().state == "running"
    queue.submit()
    queue.train()
    assert queue.study().state == "done"
    assert numbers(queue.folder) == undisturbed


def test_kill_within_the_second_stage_changes_no_bit(
    queue: Queue, undisturbed: dict[str, str]
) -> None:
    queue.submit()

    def die() -> None:
        raise Died(signal.SIGKILL)

    queue.disturbed(once(die, second_stage))
    chosen = confirmed(queue)
    assert len(chosen) == 2
    queue.submit()
    queue.train()
    assert queue.study().state == "done"
    assert confirmed(queue) == chosen
    assert numbers(queue.folder) == undisturbed


def test_study_that_is_submitted_again_keeps_its_confirmation(
    queue: Queue, undisturbed: dict[str, str]
) -> None:
    queue.submit()
    queue.train()
    queue.submit()
    assert len(seeds(queue)) == 12
    assert queue.study().state == "done"
    assert numbers(queue.folder) == undisturbed


def test_fresh_training_repeats_both_stages(queue: Queue, undisturbed: dict[str, str]) -> None:
    queue.submit()
    queue.train()
    queue.submit("--fresh")
    with queue.store() as store:
        assert {(run.attempt, run.state) for run in store.runs("small")} == {(2, "queued")}
    queue.train()
    with queue.store() as store:
        assert {(run.attempt, run.state) for run in store.runs("small")} == {(2, "finished")}
    assert numbers(queue.folder) == undisturbed


def test_failure_in_the_search_ends_the_study_without_a_confirmation(queue: Queue) -> None:
    queue.submit()
    queue.train()
    queue.submit("--fresh")  # the runs of the confirmation are in the queue as well
    with queue.store() as store:
        failing = next(run.run_id for run in store.runs("small") if run.seed == 0)
        store.fail("small", [failing], 6, "the device is on fire")
    assert queue.train().returncode == 0
    assert queue.study().state == "failed"
    with queue.store() as store:
        assert {run.state for run in store.runs("small") if run.seed >= 2} == {"queued"}


def test_rounds_follow_each_other_and_a_kill_between_any_two_stages_changes_no_bit(
    queue: Queue, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    halved = SEARCH.replace("confirm = 2", "confirm = 2\nhalving = [1, 2]")
    whole = numbers_undisturbed(tmp_path_factory.mktemp("rounds"), halved)
    Path(queue.here.folder, "small.toml").write_text(halved)
    queue.submit()

    def die(self: Any, submission: Any) -> None:
        raise Died(signal.SIGKILL)

    n_runs = []
    for _ in range(3):
        with monkeypatch.context() as patch:
            patch.setattr(full_disk.RetryingStore, "submit", die)
            queue.train()
        n_runs.append(len(seeds(queue)))
        with queue.store() as store:
            n_queued = sum(run.state == "queued" for run in store.runs("small"))
        assert n_queued == 0
        queue.submit()
        with queue.store() as store:
            assert any(run.state == "queued" for run in store.runs("small"))
    queue.train()
    assert queue.study().state == "done"
    # Two seeds each of 3 candidates, then 1 and 1, and the baseline; then two of two.
    assert [*n_runs, len(seeds(queue))] == [8, 12, 16, 20]
    assert numbers(queue.folder) == whole
