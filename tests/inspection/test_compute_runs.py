"""Which networks of a run are inspected, and which runs cannot be."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import experiment, leaves
from inspected_runs import IMAGE_SHAPE, inspect, save_midway, submit, train, trained, write_data
from store_runs import submission

from jmlp.data.dataset import Dataset
from jmlp.errors import CheckpointError, DataError, StoreError
from jmlp.store import Store, networks, run_files
from jmlp.study.rules import plain
from jmlp.training import group_training


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return write_data(tmp_path)


# ---- which networks


def test_the_networks_are_the_snapshots_the_kept_one_and_the_last_one(
    tmp_path: Path, dataset: Dataset
) -> None:
    run = trained(tmp_path, dataset, seeds=(2,), epochs=12, learning_rate=0.6)
    assert run.last is not None
    assert (run.best_epoch, run.last.epoch) == (10, 12)
    epochs = {s.epoch: s.params for s in run.snapshots}
    assert list(epochs) == [0, 1, 2, 3, 5, 8]
    epochs |= {10: run.params, 12: run.last.params}
    found = inspect(tmp_path, run.run_id)
    assert found.epochs == (0, 1, 2, 3, 5, 8, 10, 12)
    assert found.best == 6
    for e, epoch in enumerate(found.epochs):
        np.testing.assert_array_equal(found.weights[e], epochs[epoch][0].dense.W)
    assert (found.run_id, found.part, found.diverged_at) == (run.run_id, "validation", None)
    assert (found.layers, found.image_shape) == (("hidden 1", "hidden 2", "output"), IMAGE_SHAPE)


def test_a_run_in_training_shows_the_networks_of_its_newest_checkpoint(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_training, "FIRST_CHUNK", 4)
    monkeypatch.setattr(group_training, "CHUNK_SECONDS", (0, 1e9))
    rates = experiment({"learning_rate": (0.1, 0.05)}, batch_norm=True, drop_rate=0.2, epochs=6)
    wanted = {r.run_id: r for r in train(tmp_path / "whole", dataset, rates)}
    found = {}
    for epoch, step in ((1, 4), (4, 0), (4, 0), (5, 4)):
        with Store(tmp_path / "store") as store:
            made = submit(store, dataset, rates)
            save_midway(store, made, dataset, epoch=epoch, step=step)
            for run in made.runs:
                whole = inspect(tmp_path / "whole", run.run_id)
                seen = inspect(tmp_path / "store", run.run_id)
                at = [whole.epochs.index(e) for e in seen.epochs if e in whole.epochs]
                n = len(at)
                assert n >= min(epoch, 4)
                for name in ("gradient_norm", "update_ratio", "cost", "accuracy", "predicted"):
                    np.testing.assert_array_equal(
                        getattr(seen, name)[:n], getattr(whole, name)[at], err_msg=name
                    )
                found[epoch, step] = seen.epochs
                costs = wanted[run.run_id].costs
                assert seen.best is not None
                so_far = costs[: epoch if step else epoch + 1]
                best = min(so_far, key=lambda point: point.validation_cost)
                assert seen.epochs[seen.best] == best.epoch
    assert found == {(1, 4): (0,), (4, 0): (0, 1, 2, 3, 4), (5, 4): (0, 1, 2, 3, 4)}


def test_a_run_that_diverged_shows_its_last_finite_network_and_knows_no_update_from_there(
    tmp_path: Path, dataset: Dataset
) -> None:
    rates = experiment({"learning_rate": (0.1, 1e20)})
    run = next(r for r in train(tmp_path, dataset, rates) if r.status == "diverged")
    assert run.last is not None
    found = inspect(tmp_path, run.run_id)
    assert (found.best, found.diverged_at) == (None, run.diverged_at)
    assert found.epochs == (*(s.epoch for s in run.snapshots), run.stopped_epoch)
    np.testing.assert_array_equal(found.weights[-1], run.last.params[0].dense.W)
    assert np.isfinite(found.update_ratio[:-1]).all()
    assert np.isnan(found.update_ratio[-1]).all()
    assert found.update_words.endswith("own dropout; unknown for the last finite parameters.")
    unknown = found.predicted[-1] == -1
    np.testing.assert_array_equal(np.isnan(found.confidence[-1]), unknown)
    assert np.isnan(found.accuracy[-1]) == unknown.any()


def test_of_a_lane_that_diverged_before_its_cohort_ends_the_last_finite_network_is_shown(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_training, "FIRST_CHUNK", 4)
    monkeypatch.setattr(group_training, "CHUNK_SECONDS", (0, 1e9))
    rates = experiment({"learning_rate": (0.1, 1e20)})
    ended = next(r for r in train(tmp_path / "whole", dataset, rates) if r.status == "diverged")
    with Store(tmp_path / "store") as store:
        save_midway(store, submit(store, dataset, rates), dataset, epoch=3, step=0)
    whole = inspect(tmp_path / "whole", ended.run_id)
    found = inspect(tmp_path / "store", ended.run_id)
    assert (found.epochs, found.best) == (whole.epochs, None)
    assert found.diverged_at == ended.diverged_at
    np.testing.assert_array_equal(found.weights, whole.weights)


# ---- what cannot be inspected


def test_a_missing_test_set_is_reported_when_it_is_asked_for(tmp_path: Path) -> None:
    dataset = write_data(tmp_path, test_set=False)
    run = trained(tmp_path, dataset)
    assert inspect(tmp_path, run.run_id).part == "validation"
    with pytest.raises(DataError) as refused:
        inspect(tmp_path, run.run_id, "test")
    wanted = "there is no test set; look at the validation part"
    assert str(refused.value) == f"{tmp_path}/small.npz: {wanted}"


def test_data_that_have_changed_are_refused(tmp_path: Path, dataset: Dataset) -> None:
    run = trained(tmp_path, dataset)
    write_data(tmp_path, floats=True)
    with pytest.raises(DataError) as refused:
        inspect(tmp_path, run.run_id)
    assert str(refused.value) == (
        f"{tmp_path}/small.npz: the data have changed since the run was trained: the SHA-256 of "
        "x_test, x_train differs; restore the old data, and try again"
    )


def test_a_run_that_waits_has_no_snapshots_yet(tmp_path: Path, dataset: Dataset) -> None:
    with Store(tmp_path) as store:
        made = submit(store, dataset, experiment())
        store.set_runs([made.runs[0].run_id], "queued")
    run_id = made.runs[0].run_id
    with pytest.raises(StoreError) as refused:
        inspect(tmp_path, run_id)
    assert str(refused.value) == (
        f"run {run_id[:8]} has no snapshots yet (queued): try again when it has trained for some "
        "seconds"
    )


def test_a_run_that_was_queued_afresh_does_not_show_what_it_was_before(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_training, "FIRST_CHUNK", 4)
    with Store(tmp_path) as store:
        made = submit(store, dataset, experiment())
        save_midway(store, made, dataset, epoch=1, step=4)
        run_id = made.runs[0].run_id
        assert inspect(tmp_path, run_id).epochs == (0,)
        store.set_runs([run_id], "queued")
        store.submit(submission(made, data=store.study("study").data, fresh=True))
        assert store.run(run_id).attempt == 2
    with pytest.raises(StoreError, match="has no snapshots yet"):
        inspect(tmp_path, run_id)


def test_a_deleted_run_does_not_exist(tmp_path: Path, dataset: Dataset) -> None:
    run = trained(tmp_path, dataset)
    with Store(tmp_path) as store:
        store.remove([run.run_id])
    with pytest.raises(StoreError) as refused:
        inspect(tmp_path, run.run_id)
    assert str(refused.value) == f"{plain(run.run_id)}: there is no such run in {tmp_path}"


def test_a_run_whose_first_numbers_were_not_finite_has_nothing_to_show(
    tmp_path: Path, dataset: Dataset
) -> None:
    run = trained(tmp_path, dataset, initialization="normal", weight_std=1e38)
    assert run.diverged_at == 0
    with pytest.raises(StoreError) as refused:
        inspect(tmp_path, run.run_id)
    assert str(refused.value) == (
        f"run {run.run_id[:8]} produced non-finite numbers before its first step: there is "
        "nothing to inspect"
    )


def test_a_damaged_file_of_a_run_is_refused(tmp_path: Path, dataset: Dataset) -> None:
    run = trained(tmp_path, dataset)
    path = run_files.path_of(tmp_path, run.run_id)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(CheckpointError) as refused:
        inspect(tmp_path, run.run_id)
    assert str(refused.value) == f"{path}: damaged: its SHA-256 is not the one stored in it"
    path.unlink()
    with pytest.raises(CheckpointError) as refused:
        inspect(tmp_path, run.run_id)
    assert str(refused.value) == f"{path}: cannot be read: No such file or directory"


def test_a_run_that_ends_during_the_lookup_is_found_in_its_file(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(tmp_path, dataset)
    with Store(tmp_path) as store:
        ended = store.run(run.run_id)
        rows = iter([replace(ended, state="running"), ended])
        monkeypatch.setattr(store, "run", lambda run_id: next(rows))
        found = networks.read(store, run.run_id)
    assert (
        found.key == run_files.read(run_files.path_of(tmp_path, run.run_id)).about["numbers"][:32]
    )
    assert leaves(dict(found.tensors[-1]))
