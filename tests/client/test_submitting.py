"""A study that was begun is resumed as it was, or not at all."""

import signal
from dataclasses import replace

import numpy as np
import pytest
from commands import STUDY
from queues import Queue, ask, numbers, once, trains

from jmlp.client import submitting
from jmlp.client.plans import checked_plan
from jmlp.client.stored_data import read_data
from jmlp.store import Lock
from jmlp.study.config import Study
from jmlp.study.file import change_study, parse_study

REMEDY = (
    "  small is unfinished: resume it as it was (jmlp resume small), give the study another "
    "name, or train all of it as it is now (--fresh)\n"
)


@pytest.fixture
def begun(queue: Queue) -> Queue:
    """A study that was interrupted in the middle."""
    queue.submit()
    queue.disturbed(once(lambda: ask(signal.SIGTERM), trains))
    assert queue.study().state == "interrupted"
    return queue


def change(queue: Queue, *changes: tuple[str, str]) -> None:
    """Another text of the study."""
    text = STUDY
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (queue.here.folder / "small.toml").write_text(text, encoding="utf-8")


def change_data(queue: Queue, *names: str) -> None:
    path = queue.here.folder / "small.npz"
    with np.load(path) as found:
        arrays = {name: found[name][::-1] if name in names else found[name] for name in found}
    np.savez(path, allow_pickle=False, **arrays)


def test_changed_settings_of_an_unfinished_study_are_refused_and_each_named(begun: Queue) -> None:
    change(
        begun,
        ("learning_rate = 0.1", "learning_rate = 0.2\nvalidation_fraction = 0.3"),
        (
            "drop_rate = [0, 0.5]",
            "drop_rate = [0, 0.4]\naxes.optimizer = ['sgd', 'adam']\nbaseline.optimizer = 'sgd'",
        ),
        ("batch_size = 16", "batch_size = 16\npatience = 'none'"),
        ("hidden = [5, 4]", "hidden = [5]"),
    )
    done = begun.here("study", "small.toml")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "jmlp: error: small: validation_fraction: was 0.2, now 0.3\n"
        "  small: rate: hidden: was [5, 4], now [5]\n"
        "  small: rate: learning_rate: was 0.1, now 0.2\n"
        "  small: rate: patience: was 2, now none\n"
        "  small: rate: axes.drop_rate: was [0.0, 0.5], now [0.0, 0.4]\n"
        '  small: rate: axes.optimizer: was none, now ["sgd", "adam"]\n'
        "  small: norm: hidden: was [5, 4], now [5]\n"
        "  small: norm: learning_rate: was 0.1, now 0.2\n"
        f"  small: norm: patience: was 2, now none\n{REMEDY}"
    )
    assert begun.study().state == "interrupted"


def test_changed_data_of_an_unfinished_study_are_refused_and_each_named(begun: Queue) -> None:
    change_data(begun, "x_train", "y_test")
    assert begun.here("study", "small.toml") == (
        3,
        "",
        "jmlp: error: small: the data have changed since it began: x_train, y_test of small.npz "
        "have another SHA-256\n"
        "  small is unfinished: put the old ones back, give the study another name, or train all "
        "of it on the new ones (--fresh)\n",
    )
    done = begun.here("resume")
    assert (done.code, done.out) == (3, "")
    assert "small: the data have changed since it began (x_train, y_test of " in done.err


def test_changed_study_is_restarted_by_fresh(begun: Queue) -> None:
    change(begun, ("learning_rate = 0.1", "learning_rate = 0.2"))
    change_data(begun, "y_train")
    assert begun.here("study", "small.toml", "--fresh").code == 0
    with begun.store() as store:
        found = [(r.hyperparams.learning_rate, r.state) for r in store.runs("small")]
        every = store.runs()
    assert found == [(0.2, "finished")] * 6
    assert len(every) == 12  # nothing is deleted


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("seeds = 2", "seeds = 3"),
        ('title = "Drop rate"', 'title = "Another"'),
        ('data = "small.npz"', 'data = "./small.npz"'),
        ("[experiments.norm]", "[experiments.third]"),
    ],
)
def test_what_changes_no_run_is_no_change(
    old: str, new: str, begun: Queue, undisturbed: dict[str, str]
) -> None:
    change(begun, (old, new))
    done = begun.here("study", "small.toml")
    assert done.code == 0
    with begun.store() as store:
        kinds = [event.kind for event in store.events() if event.run_id]
    assert "resumed" in kinds
    found = numbers(begun.folder)
    assert {run_id: found[run_id] for run_id in undisturbed} == undisturbed


def test_finished_study_may_change(queue: Queue) -> None:
    queue.submit("--experiment", "rate")
    queue.train("small-rate")
    change(queue, ("learning_rate = 0.1", "learning_rate = 0.2"))
    done = queue.here("study", "small.toml", "--experiment", "rate")
    assert done.code == 0
    assert "training 4 runs in 1 group on " in done.err


def test_study_that_a_worker_has_in_hand_is_not_changed(queue: Queue) -> None:
    queue.submit()
    lock = Lock(queue.folder)
    assert lock.acquire()
    lock.describe("small")
    with queue.store() as store:
        store.set_study("small", "running")
    for options, what in ((["--fresh"], "restarted"), (["--seeds", "3"], "changed")):
        told = (
            f"small: a worker is training it, so it cannot be {what} now; stop it first "
            "(jmlp stop small)"
        )
        assert queue.here("study", "small.toml", *options) == (4, "", f"jmlp: error: {told}\n")
    lock.release()
    assert queue.here("study", "small.toml", "--seeds", "3").code == 0


def test_run_whose_file_is_gone_is_trained_again_when_its_finished_study_is_wanted(
    queue: Queue, undisturbed: dict[str, str]
) -> None:
    queue.submit()
    queue.train()
    lost = queue.path(seed=1, drop_rate=0.5)
    lost.unlink()
    done = queue.here("study", "small.toml")
    assert done.code == 0
    assert done.err.startswith(
        f"{lost}: is missing: the run will be trained again\n"
        f"5 of 6 runs are in {queue.folder} already (--fresh trains them again)\n"
        "training 1 run in 1 group on "
    )
    found = numbers(queue.folder)
    assert found.keys() == undisturbed.keys()


def test_seeds_added_to_a_completed_table_are_warned_of_unless_the_study_is_sequential(
    queue: Queue,
) -> None:
    options = ("--experiment", "rate", "--epochs", "1")
    done = queue.here("study", "small.toml", *options, "--seeds", "5")
    assert (done.code, "warning" in done.err) == (0, False)

    def warnings(*more: str) -> list[str]:
        found = queue.here("study", "small.toml", *options, *more)
        assert found.code == 0
        return [line for line in found.err.splitlines() if line.startswith("warning")]

    assert warnings("--seeds", "6") == [
        "warning: rate: 5 of its 6 seeds have ended already, and verdicts are for a number of "
        "seeds that was fixed before looking at any of them: if it was not, disregard the verdicts "
        "so far, and set sequential = true in the study"
    ]
    assert warnings("--seeds", "6") == []  # nothing is added
    assert warnings("--seeds", "4") == []
    assert warnings("--seeds", "7", "--set", "sequential=true") == []
    assert warnings("--seeds", "8", "--set", "learning_rate=0.2") == []  # other runs
    again = warnings("--seeds", "9", "--set", "title=again")  # under another label
    assert ["7 of its 9 seeds have ended already" in line for line in again] == [True]


def test_resuming_a_study_adds_no_seeds_and_an_unreadable_one_is_no_obstacle(queue: Queue) -> None:
    options = ("--experiment", "rate", "--epochs", "1")
    assert queue.here("study", "small.toml", *options, "--seeds", "5").code == 0
    with queue.store() as store:
        row = store.study("small-rate-epochs-1")
    plan = checked_plan(parse_study(row.toml, "small"), read_data(row.data, "small").facts, 2)
    ended = {run.run_id for run in plan.runs}
    more = change_study(row.toml, "small", seeds=8)
    larger = checked_plan(more, plan.facts, 2)

    def warned(before: Study | None) -> int:
        return len(list(submitting._looking_again(more, before, larger, ended)))

    assert warned(None) == warned(plan.study) == 1
    assert warned(more) == 0
    broken = replace(row, toml="name = 3")
    assert submitting._study_of(row) == plan.study
    assert (submitting._study_of(broken), submitting._study_of(None)) == (None, None)
