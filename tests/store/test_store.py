"""The store: how a study gets in, and with what texts and numbers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from store_checks import refusal, told
from store_runs import DATA, end, fill, plan, points, result, submission

from jmlp.store import Store
from jmlp.training.plan import Plan
from jmlp.training.records import Progress


def test_a_study_that_is_submitted_is_queued_with_its_runs(store: Store, made: Plan) -> None:
    (study,) = store.studies()
    assert study == store.study("small")
    wanted = submission(made)
    assert (study.label, study.name, study.toml) == ("small", "small", wanted.toml)
    assert (study.data, study.hardware) == (DATA, {"device": "cpu", "cores": 2})
    assert (study.state, study.code, study.failure, study.progress) == (
        "queued",
        None,
        None,
        Progress(),
    )
    rows = store.runs("small")
    assert [r.run_id for r in rows] == [run.run_id for run in made.runs]
    assert [(r.hyperparams, r.seed, r.split_seed) for r in rows] == [
        (run.hyperparams, run.seed, run.split_seed) for run in made.runs
    ]
    assert {(r.state, r.attempt, r.epoch, r.ended_at, r.result) for r in rows} == {
        ("queued", 1, None, None, None)
    }
    assert {(r.tags, r.studies) for r in rows} == {((), ("small",))}
    assert store.counts("small") == (0, 6)
    assert told(store) == [("small", None, "submitted", None, "jmlp study small.toml")]


def test_the_same_submission_again_changes_nothing(store: Store, made: Plan) -> None:
    before = store.studies(), store.runs(), store.events()
    store.submit(submission(made))
    assert (store.studies(), store.runs(), store.events()) == before


def test_what_was_stopped_or_failed_is_queued_again_and_what_ended_stays(
    store: Store, made: Plan
) -> None:
    first, second, third, fourth, *_ = (run.run_id for run in made.runs)
    end(store, "small", [result(made.runs[0])])
    store.fail("small", [second], 6, "out of memory")
    store.set_runs([third], "stopped")
    store.set_runs([fourth], "running")
    store.set_study("small", "failed", code=6, failure="1 run failed")
    assert [(r.state, r.code, r.failure) for r in store.runs()][:2] == [
        ("finished", None, None),
        ("failed", 6, "out of memory"),
    ]
    store.submit(submission(made))
    study = store.study("small")
    assert (study.state, study.code, study.failure) == ("queued", None, None)
    assert [r.state for r in store.runs()] == [
        *("finished", "queued", "queued", "running", "queued", "queued")
    ]
    assert {(r.code, r.failure, r.attempt) for r in store.runs()} == {(None, None, 1)}
    assert store.points(first) == points(5)


@pytest.mark.parametrize("state", ["stopped", "interrupted", "failed", "paused", "queued"])
def test_a_study_that_was_left_is_queued_and_its_old_commands_are_void(
    state: Any, store: Store, made: Plan
) -> None:
    store.set_study("small", state)
    store.command("small", "stop")
    store.submit(submission(made))
    assert store.study("small").state == "queued"
    assert store.take_commands("small") == []


def test_a_study_in_training_stays_in_training_with_its_commands(store: Store, made: Plan) -> None:
    store.set_study("small", "running")
    store.command("small", "stop")
    store.submit(submission(made))
    assert store.study("small").state == "running"
    assert store.take_commands("small") == ["stop"]


def test_a_study_that_is_done_stays_done_unless_runs_are_missing(tmp_path: Path) -> None:
    made = plan()
    fill(tmp_path, made)
    with Store(tmp_path) as store:
        store.submit(submission(made))
        assert store.study("small").state == "done"
        store.remove([made.runs[0].run_id])
        assert store.counts("small") == (5, 5)
        store.submit(submission(made))
        assert store.study("small").state == "queued"
        assert store.counts("small") == (5, 6)


def test_fresh_queues_all_runs_as_another_attempt(tmp_path: Path) -> None:
    made = plan()
    fill(tmp_path, made, n_left=1)
    with Store(tmp_path) as store:
        store.submit(submission(made, fresh=True))
        assert {(r.state, r.attempt, r.epoch, r.step, r.result) for r in store.runs()} == {
            ("queued", 2, None, None, None)
        }
        assert store.results("small") == []
        assert store.points(made.runs[0].run_id) == ()
        assert store.study("small").state == "queued"
        assert store.counts("small") == (0, 6)


def test_a_label_that_means_another_study_keeps_the_runs_of_both(tmp_path: Path) -> None:
    old, new = plan(rates=(0.1, 0.2)), plan(rates=(0.2, 0.3))
    ended = fill(tmp_path, old)
    with Store(tmp_path) as store:
        store.submit(submission(plan("other")))
        store.submit(submission(new))
        assert [s.label for s in store.studies()] == ["other", "small"]  # by submission
        assert [r.run_id for r in store.runs("small")] == [run.run_id for run in new.runs]
        assert len(store.runs()) == 9
        shared = {run.run_id for run in new.runs} & {run.run_id for run in ended}
        assert [r.run_id for r in store.results("small")] == [
            run.run_id for run in new.runs if run.run_id in shared
        ]
        store.submit(submission(new, data={**DATA, "digests": {"x_train": "other"}}))
        assert store.study("small").data["digests"] == {"x_train": "other"}


def test_other_hardware_and_another_command_are_taken_over(store: Store, made: Plan) -> None:
    store.submit(submission(made, hardware={"device": "cpu", "cores": 1}, command="jmlp resume"))
    study = store.study("small")
    assert (study.hardware, study.command) == ({"device": "cpu", "cores": 1}, "jmlp resume")


def test_a_run_of_two_studies_is_one_run_with_each_one_s_experiments(tmp_path: Path) -> None:
    made = plan()
    renamed = [replace(run, experiments=("x", "y")) for run in reversed(made.runs)]
    with Store(tmp_path) as store:
        store.submit(submission(made))
        store.submit(submission(made, label="again", runs=renamed))
        assert len(store.runs()) == 6
        assert {r.studies for r in store.runs()} == {("small", "again")}
        end(store, "small", [result(run) for run in made.runs])
        assert [r.run_id for r in store.results("again")] == [run.run_id for run in renamed]
        assert {r.experiments for r in store.results("again")} == {("x", "y")}
        assert {r.experiments for r in store.results("small")} == {("rates",)}


@pytest.mark.parametrize("seed", [2**63 - 1, 0])
def test_seeds_of_64_bits_are_kept(seed: int, tmp_path: Path, made: Plan) -> None:
    run = replace(made.runs[0], seed=seed, split_seed=seed)
    with Store(tmp_path) as store:
        store.submit(submission(made, runs=[run]))
        (row,) = store.runs()
        assert (row.seed, row.split_seed) == (seed, seed)
        end(store, "small", [result(run, best_epoch=3, stopped_epoch=4)])
        assert store.results("small")[0].seed == seed


TEXTS = (
    "=cmd",
    "[red]",
    "[/",
    "../../x",
    "a\0b\n\x1b[31m",
    "-rf",
    "\u202egnp",
    "😀",
    "'; --",
    "x" * 300,
)


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_is_a_label_and_a_tag(text: str, tmp_path: Path) -> None:
    made = plan()
    with Store(tmp_path) as store:
        store.submit(submission(made, label=text))
        store.tag(made.runs[1].run_id, text)
        assert store.study(text).label == text
        assert store.runs(text)[1].tags == (text,)
        assert [r.run_id for r in store.find_runs(text)] == [made.runs[1].run_id]
        store.untag(made.runs[1].run_id, text)
        assert len(store.find_runs(text)) == 6
    assert not [p for p in tmp_path.parent.iterdir() if p.name == "x"]


def test_a_lone_surrogate_is_refused_with_what_to_do(store: Store, made: Plan) -> None:
    message = "'a\\udc80': a lone surrogate is not a character and cannot be stored; remove it"
    assert refusal(store.tag, made.runs[0].run_id, "a\udc80") == message
    assert refusal(store.submit, submission(made, label="a\udc80")) == message
    assert refusal(store.study, "a\udc80") == message
