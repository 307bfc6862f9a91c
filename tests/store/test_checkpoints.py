"""Checkpoints: bitwise, in two generations; a damaged one is reported, the previous one used."""

import itertools
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import assert_equal_bits
from numpy.typing import NDArray

from jmlp.errors import CheckpointError, StoreError
from jmlp.results import tensor_files
from jmlp.store.checkpoints import FORMAT, Checkpoints, key_of, read_state
from jmlp.system import fault_injection, files
from jmlp.training.records import CohortState, CostPoint, Evaluations, Snapshot

IDS = ("b" * 64, "a" * 64)
KEY = key_of(IDS, 4)
ABOUT: dict[str, Any] = {
    "must": {"numerics": 1, "versions": {"jax": "0.10.0"}},
    "note": {"device": "cpu"},
}
N_STEPS = 10


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints")


def snapshot(epoch: int) -> Snapshot:
    return Snapshot(epoch, {"params[0].dense.W": np.full((2, 3), epoch, np.float32)}, None)


def state(epoch: int = 3, step: int = 4) -> CohortState:
    """Two runs in four lanes."""
    arrays: dict[str, NDArray[Any]] = {
        ".params[0].dense.W": np.array([[np.nan], [-0.0], [np.inf], [0.1]], np.float32),
        ".opt.moments": np.zeros((4, 0, 2), np.float32),
        ".active": np.array([True, False, True, False]),
        ".key": np.array([[0, 2**32 - 1]] * 4, np.uint32),
        ".step": np.full(4, epoch * N_STEPS + step, np.int32),
        ".seed": np.array([2**63 - 1, -(2**63), 0, 1]),
    }
    first = CostPoint(0, 0, None, 2.5, 0.5, -0.0, 0.1)
    second = CostPoint(1, 10, 0.1 + 0.2, 5e-324, 0.5, math.inf, 1 / 3)
    snapshots = ((snapshot(0), snapshot(1)), ())
    costs = ((first, second), (first,))
    return CohortState(IDS, 4, epoch, step, Evaluations(N_STEPS), arrays, costs, snapshots)


def assert_equal(found: CohortState | None, expected: CohortState) -> None:
    assert found is not None
    arrays: dict[str, Any] = {"arrays": {}, "snapshots": ()}
    assert replace(found, **arrays) == replace(expected, **arrays)
    assert_equal_bits(found.arrays, expected.arrays)
    assert_equal_bits(
        [[vars(s) for s in lane] for lane in found.snapshots],
        [[vars(s) for s in lane] for lane in expected.snapshots],
    )


def names(checkpoints: Checkpoints) -> list[str]:
    return sorted(os.listdir(checkpoints.folder / KEY))


def file_of(updates: int) -> str:
    return f"{updates:012d}.safetensors"


def test_a_state_is_restored_bitwise(checkpoints: Checkpoints) -> None:
    checkpoints.save(KEY, state(), ABOUT)
    found, messages = checkpoints.load(KEY, ABOUT)
    assert_equal(found, state())
    assert messages == []


def test_equal_states_are_equal_files(tmp_path: Path) -> None:
    paths = [Checkpoints(tmp_path / name).save(KEY, state(), ABOUT) for name in "ab"]
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize(
    ("epoch", "step", "updates"), [(0, 0, 0), (1, 3, 3), (1, 0, 10), (3, 4, 24), (3, 0, 30)]
)
def test_a_file_is_named_by_the_updates_made(
    epoch: int, step: int, updates: int, checkpoints: Checkpoints
) -> None:
    path = checkpoints.save(KEY, state(epoch, step), ABOUT)
    assert path == checkpoints.folder / KEY / file_of(updates)


def test_a_key_is_that_of_the_runs_in_any_order_and_of_the_width() -> None:
    assert len(KEY) == 32
    assert key_of(IDS[::-1], 4) == KEY
    assert len({KEY, key_of(IDS, 8), key_of(IDS[:1], 4), key_of([], 4)}) == 4


def test_a_cohort_without_a_checkpoint_has_none(checkpoints: Checkpoints) -> None:
    assert checkpoints.load(KEY, ABOUT) == (None, [])
    assert checkpoints.keys() == []


# Generations


def test_two_generations_are_kept_and_the_newest_is_used(checkpoints: Checkpoints) -> None:
    for step in (9, 0, 4):  # of epochs 1, 1 and 2
        checkpoints.save(KEY, state(1 if step != 4 else 2, step), ABOUT)
    assert names(checkpoints) == [file_of(10), file_of(14)]
    found, _ = checkpoints.load(KEY, ABOUT)
    assert_equal(found, state(2, 4))


@pytest.mark.parametrize("action", ["enospc", "eio"])
def test_after_any_failed_save_the_previous_or_the_new_one_is_used(
    action: str, tmp_path: Path
) -> None:
    found = []
    for k in itertools.count(1):
        checkpoints = Checkpoints(tmp_path / str(k))
        for epoch in (1, 2):
            checkpoints.save(KEY, state(epoch, 0), ABOUT)
        fault_injection.arm(f"any:{k}:{action}")
        failed = False
        try:
            checkpoints.save(KEY, state(3, 0), ABOUT)
        except StoreError:
            failed = True
        fault_injection.arm(None)
        loaded, messages = Checkpoints(tmp_path / str(k)).load(KEY, ABOUT)
        assert loaded is not None
        assert_equal(loaded, state(loaded.evaluation, 0))
        assert messages == []
        if not failed:
            break
        # The first is there as long as the third is not durable.
        assert names(checkpoints)[:2] == [file_of(10), file_of(20)]
        assert names(checkpoints)[2:] == [file_of(30)] * (loaded.evaluation == 3)
        found.append(loaded.evaluation)
    assert found == [2, 2, 2, 3]  # write, fsync, rename, flush of the folder
    assert names(checkpoints) == [file_of(20), file_of(30)]


def test_a_damaged_one_is_no_generation_to_keep(checkpoints: Checkpoints) -> None:
    checkpoints.save(KEY, state(1, 0), ABOUT)
    damaged = checkpoints.save(KEY, state(2, 0), ABOUT)
    damaged.write_bytes(b"")
    checkpoints.load(KEY, ABOUT)
    checkpoints.save(KEY, state(3, 0), ABOUT)
    assert names(checkpoints) == [file_of(10), file_of(30)]


def test_what_is_of_a_later_update_than_the_saved_one_was_given_up(
    checkpoints: Checkpoints,
) -> None:
    for epoch in (1, 4, 2):
        checkpoints.save(KEY, state(epoch, 0), ABOUT)
    assert names(checkpoints) == [file_of(10), file_of(20)]


def test_what_a_killed_process_had_begun_is_removed(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints.save(KEY, state(1, 0), ABOUT)
    (checkpoints.folder / KEY / f".{file_of(20)}.{os.getpid()}.0123abcd.tmp").touch()
    assert checkpoints.load(KEY, ABOUT)[1] == []
    monkeypatch.setattr(files, "_tidied", set())  # as in another process
    checkpoints.save(KEY, state(3, 0), ABOUT)
    assert names(checkpoints) == [file_of(10), file_of(30)]


def test_dropping_removes_all_of_one_cohort_and_nothing_that_others_put_there(
    checkpoints: Checkpoints,
) -> None:
    other = replace(state(), width=8, arrays={})
    checkpoints.save(KEY, state(), ABOUT)
    checkpoints.save(key_of(IDS, 8), other, ABOUT)
    (checkpoints.folder / "mine").mkdir()
    assert checkpoints.keys() == sorted([KEY, key_of(IDS, 8)])
    checkpoints.drop(KEY)
    checkpoints.drop(KEY)
    assert checkpoints.keys() == [key_of(IDS, 8)]
    assert not (checkpoints.folder / KEY).exists()
    note = checkpoints.folder / key_of(IDS, 8) / "note.txt"
    note.touch()
    checkpoints.drop(key_of(IDS, 8))
    assert os.listdir(note.parent) == ["note.txt"]


def test_failure_to_remove_is_reported(checkpoints: Checkpoints) -> None:
    (checkpoints.folder / KEY / file_of(10)).mkdir(parents=True)
    with pytest.raises(StoreError) as error:
        checkpoints.save(KEY, state(1, 5), ABOUT)
    path = checkpoints.folder / KEY / file_of(10)
    assert str(error.value).startswith(f"{path}: cannot be removed: ")
    assert_equal(checkpoints.load(KEY, ABOUT)[0], state(1, 5))


# Refusals

INSTEAD = "; the one of update 10 is used instead"
NONE_ELSE = "; there is no other one to resume from"


def test_after_any_flipped_bit_or_truncation_the_previous_one_is_used_and_reported(
    checkpoints: Checkpoints,
) -> None:
    ids, width = ("a",), 1
    key = key_of(ids, width)
    small = CohortState(
        ids, width, 1, 0, Evaluations(1), {"W": np.zeros(1, np.float32)}, ((),), ((),)
    )
    checkpoints.save(key, small, {"must": {}, "note": {}})
    path = checkpoints.save(key, replace(small, evaluation=2), {"must": {}, "note": {}})
    data = path.read_bytes()
    whole = int.from_bytes(data)

    def assert_refused(content: bytes) -> None:
        path.write_bytes(content)
        found, messages = checkpoints.load(key, {"must": {}})
        assert found is not None
        assert found.evaluation == 1
        (message,) = messages
        assert message.startswith(f"{path}: ")
        assert message.endswith("; the one of update 1 is used instead")

    for bit in range(8 * len(data)):
        assert_refused((whole ^ 1 << bit).to_bytes(len(data)))
    for length in range(len(data)):
        assert_refused(data[:length])


def folder(path: Path) -> None:
    path.mkdir()


def link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def hole(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10_000_000_000)


def random_bytes(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(5000))


def other_format(path: Path) -> None:
    tensor_files.write(path, {}, {"format": "jmlp-checkpoint-0"})


def other_width(path: Path) -> None:
    tensors, about = tensor_files.read(path.with_name(file_of(10)), FORMAT)
    tensor_files.write(path, tensors, about | {"width": 5})


def other_type(path: Path) -> None:
    tensors, about = tensor_files.read(path.with_name(file_of(10)), FORMAT)
    costs = tensors["costs[0].step"].astype(np.float32)
    tensor_files.write(path, tensors | {"costs[0].step": costs}, about)


def other_runs(path: Path) -> None:
    tensors, about = tensor_files.read(path.with_name(file_of(10)), FORMAT)
    tensor_files.write(path, tensors, about | {"run_ids": ["c" * 64, "d" * 64]})


NOT_FITTING = "its header does not fit its numbers: "


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (folder, "not a regular file"),
        (os.mkfifo, "not a regular file"),
        (link, "a symbolic link, not a regular file"),
        (hole, "10,000,000,000 bytes, at most 4,000,000,000"),
        (Path.touch, "damaged, or not a safetensors file: its header cannot be read"),
        (random_bytes, "damaged, or not a safetensors file: its header cannot be read"),
        (
            other_format,
            "of another program or another version of jmlp (format 'jmlp-checkpoint-0', expected "
            "'jmlp-checkpoint-1')",
        ),
        (other_width, f"{NOT_FITTING}arrays..active is (4,), wanted (5, …)"),
        (other_type, f"{NOT_FITTING}costs[0].step is float32 (2,), wanted int64 (2,)"),
        (other_runs, "has other runs or another width than its folder"),
    ],
)
def test_a_checkpoint_of_another_cohort_is_reported_and_the_previous_one_used(
    make: Any, told: str, checkpoints: Checkpoints
) -> None:
    checkpoints.save(KEY, state(1, 0), ABOUT)
    path = checkpoints.folder / KEY / file_of(20)
    make(path)
    found, messages = checkpoints.load(KEY, ABOUT)
    assert_equal(found, state(1, 0))
    assert messages == [f"{path}: {told}{INSTEAD}"]


def test_if_all_are_damaged_each_is_reported_and_none_used(checkpoints: Checkpoints) -> None:
    paths = [checkpoints.save(KEY, state(epoch, 0), ABOUT) for epoch in (1, 2)]
    for path in paths:
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    told = f"damaged: its SHA-256 is not the one stored in it{NONE_ELSE}"
    assert checkpoints.load(KEY, ABOUT) == (None, [f"{path}: {told}" for path in paths[::-1]])


def test_every_condition_that_differs_is_named_with_both_values(checkpoints: Checkpoints) -> None:
    was = {"equal": 1, "jax": "0.10", "n": 1, "list": [1, 2, 3], "nested": {"a": {}, "b": None}}
    now = {"equal": 1, "jax": "0.12", "n": 1.0, "list": (1, 5), "nested": {"a": [], "c": True}}
    path = checkpoints.save(KEY, state(), {"must": was, "note": {}})
    assert checkpoints.load(KEY, {"must": now}) == (
        None,
        [
            f'{path}: cannot be resumed from: jax was "0.10" and is now "0.12"; '
            "list[1] was 2 and is now 5; list[2] was 3 and is now not there; "
            "n was 1 and is now 1.0; nested.a was {} and is now []; "
            "nested.b was null and is now not there; nested.c was not there and is now true"
            + NONE_ELSE
        ],
    )


def test_an_older_one_of_the_same_conditions_is_used(checkpoints: Checkpoints) -> None:
    checkpoints.save(KEY, state(1, 0), ABOUT)
    path = checkpoints.save(KEY, state(2, 0), {"must": {"numerics": 2}, "note": {}})
    found, messages = checkpoints.load(KEY, {"must": ABOUT["must"]})
    assert_equal(found, state(1, 0))
    assert messages == [
        f"{path}: cannot be resumed from: numerics was 2 and is now 1; "
        f'versions.jax was not there and is now "0.10.0"{INSTEAD}'
    ]


def test_notes_and_the_order_of_conditions_do_not_matter(checkpoints: Checkpoints) -> None:
    checkpoints.save(KEY, state(), ABOUT)
    must = dict(reversed(ABOUT["must"].items()))
    assert checkpoints.load(KEY, {"must": must})[1] == []


def test_the_seconds_of_each_run_are_kept_and_may_be_unknown(checkpoints: Checkpoints) -> None:
    for seconds in ((1.5, 0.1, 2.25)[: len(IDS)], None):
        path = checkpoints.save(KEY, replace(state(), seconds=seconds), ABOUT)
        assert read_state(path)[0].seconds == seconds
    tensors, about = tensor_files.read(path, FORMAT)
    del about["seconds"]  # as an earlier version wrote it
    tensor_files.write(path, tensors, about)
    assert read_state(path)[0].seconds is None
    tensor_files.write(path, tensors, {**about, "seconds": [1.5]})
    with pytest.raises(CheckpointError, match="its lanes, or its position in the training"):
        read_state(path)


def test_a_checkpoint_of_an_earlier_version_counts_epochs(checkpoints: Checkpoints) -> None:
    path = checkpoints.save(KEY, state(3, 4), ABOUT)
    tensors, about = tensor_files.read(path, FORMAT)
    old = {k: v for k, v in about.items() if k not in ("evaluation", "evaluations")}
    old |= {"epoch": 3, "n_steps": N_STEPS}
    named = {"arrays..best_epoch": np.arange(4), "arrays..stopped_epoch": np.arange(4)}
    tensor_files.write(path, {**tensors, **named}, old)
    found, _ = read_state(path)
    assert (found.evaluation, found.step, found.updates) == (3, 4, 24)
    assert found.evaluations == Evaluations(N_STEPS, "epoch")
    assert {".best_evaluation", ".last_evaluation"} < found.arrays.keys()
    assert not {".best_epoch", ".stopped_epoch"} & found.arrays.keys()
