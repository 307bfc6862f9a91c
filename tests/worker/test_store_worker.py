"""What the worker writes into the store, bitwise, and which commands it accepts."""

import math
import struct
from collections.abc import Callable
from dataclasses import replace

from store_checks import refusal, told
from store_runs import DATA, diverged_result, end, plan, point, points, result, submission

from jmlp.store import Event, Store
from jmlp.store.states import ACTIONS
from jmlp.training.plan import Plan
from jmlp.training.records import CostPoint, Progress, RunResult


def without_arrays(run: RunResult) -> str:
    """All but parameters; a text, because NaN is not equal to itself."""
    return repr(replace(run, params=None, state=None, last=None, snapshots=()))


def test_a_study_says_how_it_stands(store: Store) -> None:
    store.set_study("small", "running", event="started")
    store.set_study("small", "failed", code=3, failure="no data", event="failed", detail="why")
    study = store.study("small")
    assert (study.state, study.code, study.failure) == ("failed", 3, "no data")
    store.event("small", None, "checkpoint refused", detail="damaged")
    assert told(store)[1:] == [
        ("small", None, "started", None, ""),
        ("small", None, "failed", None, "why"),
        ("small", None, "checkpoint refused", None, "damaged"),
    ]


def test_training_that_begins_is_reported_as_started_or_resumed(store: Store, made: Plan) -> None:
    first, second, *_ = (run.run_id for run in made.runs)
    store.begin("small", [first])
    store.begin("small", [second], step=25)
    assert [r.state for r in store.runs()][:3] == ["running", "running", "queued"]
    assert told(store)[1:] == [
        ("small", first, "started", 0, ""),
        ("small", second, "resumed", 25, ""),
    ]


def test_cost_points_are_kept_once_for_each_epoch(store: Store, made: Plan) -> None:
    first, second, *_ = (run.run_id for run in made.runs)
    store.record(
        "small", [(first, point(0)), (second, point(0)), (first, point(1))], Progress(epoch=1)
    )
    store.record("small", [(first, point(1, 9.0))], None)
    assert store.points(first) == (point(0), point(1, 9.0))
    assert store.points(second) == (point(0),)
    assert [(r.epoch, r.step) for r in store.runs()][:3] == [(1, 10), (0, 0), (None, None)]
    assert store.study("small").progress == Progress(epoch=1)


def test_new_points_are_reported_once(store: Store, made: Plan) -> None:
    store.submit(submission(plan("other", rates=(0.5,))))
    foreign = plan("other", rates=(0.5,)).runs[0].run_id
    run_id = made.runs[0].run_id
    assert store.new_points("small", 0) == (0, [])
    store.record("small", [(run_id, point(0)), (run_id, point(1))], None)
    last, new = store.new_points("small", 0)
    assert new == [(run_id, point(0)), (run_id, point(1))]
    assert store.new_points("small", last) == (last, [])
    assert store.last_point() == last
    store.record("other", [(foreign, point(0))], None)
    store.cut(run_id, 1)  # an id that is free again is not given again
    store.record("small", [(run_id, point(1, 9.0))], None)
    assert store.new_points("small", last)[1] == [(run_id, point(1, 9.0))]


def test_points_that_will_be_made_again_are_cut(store: Store, made: Plan) -> None:
    first, second, *_ = (run.run_id for run in made.runs)
    store.record("small", [(run_id, p) for run_id in (first, second) for p in points(4)], None)
    store.cut(first, 2)
    assert (store.points(first), store.points(second)) == (points(2), points(4))
    assert (store.run(first).epoch, store.run(first).step) == (1, 10)
    store.cut(first, 9)
    assert store.points(first) == points(2)
    store.cut(first, 0)
    assert (store.points(first), store.run(first).epoch) == ((), None)


def test_a_run_that_ended_is_read_back_whole(store: Store, made: Plan) -> None:
    stopped, limit, diverged, *_ = made.runs
    at_limit = {"best_epoch": 4, "stopped_epoch": 4, "reached_limit": True}
    results = [result(stopped), result(limit, **at_limit), diverged_result(diverged)]
    store.begin("small", [run.run_id for run in made.runs])
    end(store, "small", results)
    assert list(map(without_arrays, store.results("small"))) == list(map(without_arrays, results))
    rows = store.runs()
    assert [r.state for r in rows][:4] == ["finished", "finished", "diverged", "running"]
    assert [(r.epoch, r.step) for r in rows][:3] == [(4, 40), (4, 40), (1, 10)]
    assert all((r.ended_at is None) == (r.result is None) for r in rows)
    assert rows[0].result is not None
    assert without_arrays(rows[0].result) == without_arrays(replace(results[0], costs=()))
    assert told(store)[-3:] == [
        ("small", stopped.run_id, "stopped early", 40, ""),
        ("small", limit.run_id, "finished", 40, ""),
        ("small", diverged.run_id, "diverged", 7, ""),
    ]
    assert store.counts("small") == (3, 6)


def test_the_points_of_a_run_that_ended_are_exactly_those_of_its_result(
    store: Store, made: Plan
) -> None:
    run = made.runs[0]
    live = [(run.run_id, p) for p in (*points(3), point(9))]
    store.record("small", live, None)
    last = store.last_point()
    store.end("small", [result(run)])
    assert store.points(run.run_id) == points(5)
    # A viewer gets only what is new.
    assert store.new_points("small", last)[1] == [(run.run_id, p) for p in points(5)[3:]]


def bits(p: CostPoint) -> bytes:
    return struct.pack(
        "<5d",
        *(p.batch_cost or 0.0, p.training_cost, p.training_accuracy),
        *(p.validation_cost, p.validation_accuracy),
    )


def test_costs_are_stored_bitwise(store: Store, made: Plan) -> None:
    payload = struct.unpack("<d", bytes.fromhex("efbeaddeefbefd7f"))[0]
    numbers = (math.nan, payload, math.inf, -math.inf, -0.0, 5e-324, 0.1 + 0.2)
    costs = tuple(CostPoint(i, i, n, n, n, n, n) for i, n in enumerate(numbers))
    costs += (CostPoint(9, 9, None, 1.0, 0.0, 1.0, 0.0),)
    run = made.runs[0]
    store.record("small", [(run.run_id, c) for c in costs], None)
    assert list(map(bits, store.points(run.run_id))) == list(map(bits, costs))
    assert store.points(run.run_id)[-1].batch_cost is None
    store.end("small", [result(run, costs=costs)])
    assert list(map(bits, store.results("small")[0].costs)) == list(map(bits, costs))


def test_a_run_without_a_result_has_none_left(store: Store, made: Plan) -> None:
    run_id = made.runs[0].run_id
    ways: list[Callable[[], None]] = [
        lambda: store.set_runs([run_id], "queued"),
        lambda: store.fail("small", [run_id], 6, "gone"),
        lambda: store.begin("small", [run_id]),
    ]
    for undo in ways:
        store.end("small", [result(made.runs[0])])
        assert store.counts("small") == (1, 6)
        undo()
        assert (store.counts("small"), store.results("small")) == ((0, 6), [])


def test_states_and_commands_are_complete(store: Store, made: Plan) -> None:
    states = "queued, running, paused, stopped, interrupted, done, failed"
    assert refusal(store.set_study, "small", "idle") == f"'idle': must be one of {states}"
    assert refusal(store.command, "small", "go") == "'go': must be one of pause, resume, stop"
    ids = [made.runs[0].run_id]
    wanted = "'finished': must be one of queued, running, stopped, failed"
    assert refusal(store.set_runs, ids, "finished") == wanted


def test_commands_are_taken_once_in_their_order(store: Store) -> None:
    store.submit(submission(plan("other")))
    for action in ACTIONS:
        store.command("small", action)
    store.command("other", "pause")
    assert store.take_commands("small") == ["pause", "resume", "stop"]
    assert store.take_commands("small") == []
    assert store.take_commands("other") == ["pause"]


def test_events_are_given_in_order_and_by_what_they_are_about(store: Store, made: Plan) -> None:
    first, second, *_ = (run.run_id for run in made.runs)
    store.submit(submission(plan("other")))
    store.begin("small", [first, second])
    events = store.events()
    assert [e.id for e in events] == sorted({e.id for e in events})
    assert {type(e) for e in events} == {Event}
    assert [e.kind for e in store.events("other")] == ["submitted"]
    assert [e.run_id for e in store.events(run_id=second)] == [second]
    assert store.events(after=events[1].id) == events[2:]
    assert store.events("other", run_id=first) == []


def test_a_run_s_file_is_given_all_that_is_known_of_it(store: Store, made: Plan) -> None:
    run_id = made.runs[1].run_id
    store.submit(submission(made, label="again", runs=made.runs[1:]))
    store.begin("small", [run_id])
    about = store.about_run(run_id)
    assert (about["data"], about["validation_fraction"], about["attempt"]) == (DATA, 0.2, 1)
    assert [(e["kind"], e["study"], e["step"]) for e in about["events"]] == [
        ("started", "small", 0)
    ]
    assert [(s["label"], s["position"], s["experiments"]) for s in about["studies"]] == [
        ("small", 1, ("rates",)),
        ("again", 0, ("rates",)),
    ]
    assert {s["toml"] for s in about["studies"]} == {submission(made).toml}
    store.end("small", [result(made.runs[1])])
    assert store.about_run(run_id)["ended_at"] == store.run(run_id).ended_at


def test_a_study_s_own_validation_fraction_is_that_of_its_runs(store: Store) -> None:
    made = plan("halves")
    toml = submission(made).toml.replace("validation_fraction = 0.2", "validation_fraction = 0.5")
    digests = {"x_train": "other"}
    runs = [replace(run, run_id=run.run_id[::-1]) for run in made.runs]
    store.submit(submission(made, toml=toml, data={**DATA, "digests": digests}, runs=runs))
    assert store.about_run(runs[0].run_id)["validation_fraction"] == 0.5
