"""A study that is chosen in the app is the one that the command means, and a worker trains it."""

from dataclasses import replace
from pathlib import Path

import pytest
from commands import Here
from queues import Queue

from jmlp.client import workers
from jmlp.client.choice import Choice
from jmlp.client.starting import resume, start
from jmlp.errors import ConfigError
from jmlp.store import Lock, Store
from jmlp.training import plan


def quiet(text: str) -> None:
    """Fails if anything is reported."""
    raise AssertionError(text)


@pytest.fixture
def detached(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, str]]:
    """Records started workers without starting them."""
    begun: list[tuple[Path, str]] = []
    monkeypatch.setattr(workers, "detach", lambda folder, label: begun.append((folder, label)))
    return begun


def test_choice_and_command_of_the_same_words_are_one_study_in_the_store(
    queue: Queue, detached: list[tuple[Path, str]]
) -> None:
    words = ["--experiment", "rate", "--seeds", "3", "--epochs", "2", "--set", "hidden=[5]"]
    queue.submit(*words)
    choice = Choice(
        "small.toml", experiments=("rate",), seeds=3, epochs=2, overrides=("hidden=[5]",)
    )
    label = start(queue.folder, choice, quiet)
    assert label == "small-rate-epochs-2-hidden-5"
    with Store(queue.folder) as store:
        (by_both,) = store.studies()
        assert len(store.runs(label)) == 6
    assert by_both.label == label
    assert choice.command() == (
        "jmlp study small.toml --experiment rate --seeds 3 --epochs 2 --set 'hidden=[5]'"
    )
    assert detached == [(queue.folder, label)]


def test_study_of_the_store_is_changed_under_a_name_that_the_command_would_give(
    queue: Queue, detached: list[tuple[Path, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del detached
    start(queue.folder, Choice("small.toml", epochs=2), quiet)
    row = queue.study("small-epochs-2")
    monkeypatch.chdir(tmp_path.parent)  # where its data are no more at small.npz
    again = Choice(row=row, overrides=("batch_size=32",))
    assert start(queue.folder, again, quiet) == "small-epochs-2-batch-size-32"
    made = queue.study("small-epochs-2-batch-size-32")
    assert made.data["digests"] == row.data["digests"]
    assert made.command == ("jmlp study --again small-epochs-2 --set batch_size=32")
    assert Choice(row=row).label(row.name) == row.label


def test_a_chosen_name_is_never_that_of_another_study(
    queue: Queue, detached: list[tuple[Path, str]]
) -> None:
    del detached
    named = Choice("small.toml", name="mine", epochs=2)
    assert start(queue.folder, named, quiet) == "mine"
    row = queue.study("mine")
    assert (row.name, row.command) == ("mine", "jmlp study small.toml --name mine --epochs 2")
    with Store(queue.folder) as store:
        store.set_study("mine", "done")
    assert start(queue.folder, replace(named, seeds=3), quiet) == "mine"  # seeds may be added
    for other in (replace(named, epochs=3), Choice("demo", name="mine", data="small.npz")):
        with Store(queue.folder) as store:
            store.set_study("mine", "done")
        with pytest.raises(ConfigError, match="--name: mine is another study in the store"):
            start(queue.folder, other, quiet)
    assert queue.study("mine").command == "jmlp study small.toml --name mine --seeds 3 --epochs 2"


@pytest.mark.parametrize(
    ("has", "n_started"), [("small", 0), ("another", 1)], ids=["this study", "another study"]
)
def test_worker_is_started_unless_one_has_this_very_study(
    here: Here, detached: list[tuple[Path, str]], has: str, n_started: int
) -> None:
    folder = here.folder / "store"
    lock = Lock(folder)
    lock.acquire()
    lock.describe(has)
    try:
        start(folder, Choice("small.toml"), quiet)
    finally:
        lock.release()
    assert len(detached) == n_started


def test_stopped_study_is_in_the_queue_again_and_has_a_worker(
    queue: Queue, detached: list[tuple[Path, str]]
) -> None:
    queue.submit()
    assert queue.here("stop", "small", "--store", str(queue.folder)).code == 0
    said: list[str] = []
    assert resume(queue.folder, queue.study(), said.append) == "small"
    assert queue.study().state == "queued"
    assert said == ["small: 0 of 6 runs are done"]
    assert detached == [(queue.folder, "small")]


def test_study_that_does_not_fit_this_machine_leaves_nothing_in_the_store(
    here: Here, detached: list[tuple[Path, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "total_memory", lambda: 1_000)
    with pytest.raises(ConfigError) as error:
        start(here.folder / "store", Choice("small.toml"), quiet)
    assert str(error.value).startswith("small: needs about ")
    assert not (here.folder / "store").exists()
    assert detached == []
