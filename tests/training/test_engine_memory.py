"""What training leaves behind in its process: compiled programs, and the caches of others."""

import gc
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import MagicMock

import jax
import pytest
from engine_checks import assert_same_run, compiled
from helpers import SMALL_DATA, experiment, plan, results

from jmlp.training import engine, program
from jmlp.training.records import RunResult
from jmlp.worker import __main__ as worker

# Four groups; layers of this file alone.
SIZES = ((9, 4), (10, 4), (11, 4), (12, 4))
GROUPS = experiment({"hidden": SIZES}, epochs=1)


class Trained(NamedTuple):
    """What a training did."""

    runs: dict[str, RunResult]
    programs: list[int]  # as each run ended, how many there were more than before
    cleared_in: list[int]  # the groups in which all of JAX's caches were cleared
    user_compiled: int  # recompiles of a user's function that it caused


@pytest.fixture(autouse=True, scope="module")
def _nothing_compiled() -> Iterator[None]:
    """No programs of other tests, which would be freed in the middle of one of these."""
    with pytest.MonkeyPatch.context() as patch:
        functions: Any = (program.refill, program.evaluate, program.advance, program.finals)
        for function in functions:
            function.clear_cache()
        patch.setattr(program, "_signatures", defaultdict(set))
        patch.setattr(engine, "KEPT_PROGRAMS", 2)
        yield


@pytest.fixture(scope="module")
def train() -> Callable[[bool], Trained]:
    """Trains the four groups: in a process of others, or in one that only trains."""
    own = jax.jit(lambda x: 3 * x)

    def train(alone: bool) -> Trained:
        own(1.5)
        clear = jax.clear_caches
        before, group = n_programs(), 0
        cleared_in: list[int] = []
        programs: list[int] = []
        runs: dict[str, RunResult] = {}

        def clear_caches() -> None:
            cleared_in.append(group)
            clear()  # type: ignore[no-untyped-call]  # JAX does not annotate it

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(jax, "clear_caches", clear_caches)
            for record in engine.Training(plan(GROUPS), SMALL_DATA, alone=alone):
                group = record.group
                if record.results:
                    programs.append(n_programs() - before)
                    runs |= {run.run_id: run for run in record.results}
        with compiled() as counts:
            own(1.5)
        return Trained(runs, programs, cleared_in, counts.total())

    return train


def n_programs() -> int:
    """Compiled programs in the memory of this process."""
    gc.collect()
    return len(jax.devices()[0].client.live_executables())


def test_library_holds_the_programs_of_few_groups_and_leaves_those_of_others(
    train: Callable[[bool], Trained],
) -> None:
    found = train(False)
    assert found.programs == [4, 8, 4, 8]
    assert (found.cleared_in, found.user_compiled) == ([], 0)


def test_process_that_only_trains_holds_the_programs_of_one_group_and_clears_the_rest(
    train: Callable[[bool], Trained],
) -> None:
    jax.clear_caches()  # type: ignore[no-untyped-call]  # JAX does not annotate it
    found = train(True)
    # A function of this test is gone with the first clearing.
    assert found.programs == [3, 3, 3, 3]
    assert found.cleared_in == [1, 4]
    expected = train(False).runs
    assert found.runs.keys() == expected.keys()
    for run_id, run in found.runs.items():
        assert_same_run(run, expected[run_id])


def test_many_trainings_one_after_the_other_hold_no_more_programs_than_one() -> None:
    before = n_programs()
    for size in SIZES:
        list(engine.run(plan(experiment(hidden=size, epochs=1)), SMALL_DATA))
        assert n_programs() - before <= 8


def test_batch_sizes_in_a_process_that_only_trains_share_three_of_four_programs() -> None:
    made = plan(experiment({"batch_size": (16, 40)}, hidden=SIZES[0], epochs=1))
    with compiled() as counts:
        results(engine.Training(made, SMALL_DATA, alone=True))
    assert counts == {f"jit({name})": 1 for name in ("refill", "evaluate", "finals")} | {
        "jit(advance)": 2
    }


@pytest.mark.parametrize("loaded", [True, False])
def test_worker_is_alone_where_jax_was_not_imported_before(
    loaded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [SimpleNamespace(label="one", hardware={"device": "cpu", "cores": None})]
    store, lock, stopping = MagicMock(), MagicMock(), MagicMock(reason=None)
    found = []

    def train(*arguments: Any) -> bool:
        found.append(arguments[-1].alone)
        return True

    monkeypatch.setattr(worker, "_next_study", lambda *_: rows.pop() if rows else None)
    monkeypatch.setattr(worker, "_train", train)
    if not loaded:
        monkeypatch.delitem(sys.modules, "jax")
    assert worker._work(store, lock, "one", stopping, "") is False
    assert found == [not loaded]
