"""The file of a run: it is restored bitwise, and its digest is that of its numbers."""

import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from helpers import assert_equal_bits
from safetensors.numpy import load_file
from table_runs import CPU, diverged, finished

from jmlp.errors import CheckpointError
from jmlp.nn import model
from jmlp.nn.tensors import Tensors, name_tensors
from jmlp.results import tensor_files
from jmlp.store import run_files
from jmlp.store.run_files import StoredRun, numbers_of
from jmlp.study.config import Hyperparams
from jmlp.training.records import CostPoint, RunResult, Snapshot

HP = Hyperparams(hidden=(2,), batch_norm=True, drop_rate=(0.5,), learning_rate=0.1 + 0.2)
NAN = struct.unpack("<d", b"\x01\x02\x03\x04\x05\x06\xf8\x7f")[0]  # one with a payload
COSTS = (
    CostPoint(0, 0, None, 2.5, 0.5, -0.0, 0.1),
    CostPoint(1, 10, NAN, math.inf, 0.5, -math.inf, 1 / 3),
    CostPoint(1, 2**40, 0.1, 5e-324, 1.0, 1e308, 0.0),
)
ABOUT: dict[str, Any] = {
    "data": {"name": "small", "source": "a shelf", "digests": {"x_train": "ab12"}},
    "validation_fraction": 0.2,
    "attempt": 0,
    "events": [{"at": 1, "study": "mine", "kind": "started", "step": None, "detail": "±"}],
    "studies": [
        {
            "label": "mine",
            "name": "mine",
            "toml": 'name = "mine"\n',
            "data": {"name": "small", "source": "a shelf", "digests": {"x_train": "ab12"}},
            "command": "jmlp study mine.toml",
            "hardware": {"device": "cpu", "cores": 2},
            "submitted_at": 1_770_000_000_000,
            "position": 0,
            "experiments": ["rate"],
        }
    ],
    "ended_at": 1_770_000_000_123,
}


def network(seed: int) -> tuple[Any, Any]:
    """Parameters and state of a network of 3 inputs and 2 classes."""
    params, state = jax.device_get(model.init(HP, 3, 2, jax.random.key(seed)))
    return params, state


def run(**changes: Any) -> RunResult:
    """A finished run with two snapshots."""
    params, state = network(0)
    return finished(
        HP,
        7,
        0.9,
        **{
            "run_id": "ab" * 32,
            "test_cost": math.inf,
            "costs": COSTS,
            "params": params,
            "state": state,
            "last": Snapshot(9, *network(1)),
            "snapshots": (Snapshot(0, *network(2)), Snapshot(5, *network(3))),
        }
        | changes,
    )


def stored(path: Path, result: RunResult, **changes: Any) -> StoredRun:
    """The run as it comes back from its file."""
    run_files.write(path, result, **ABOUT | changes)
    return run_files.read(path)


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as error:
        run_files.read(path)
    assert str(error.value).startswith(f"{path}: ")
    return str(error.value).removeprefix(f"{path}: ")


def test_a_run_is_restored_bitwise(tmp_path: Path) -> None:
    result = run()
    back = stored(tmp_path / "run", result)
    assert_equal_bits(back.best, name_tensors(*network(0)))
    assert_equal_bits(back.last, name_tensors(*network(1)))
    first, second = name_tensors(*network(2)), name_tensors(*network(3))
    assert_equal_bits(
        back.snapshots, {name: np.stack([first[name], second[name]]) for name in first}
    )
    assert back.snapshot_epochs == (0, 5)
    without: dict[str, Any] = {
        "params": None,
        "state": None,
        "last": None,
        "snapshots": (),
        "costs": (),
    }
    assert replace(back.result, costs=()) == replace(result, **without)


def test_a_run_of_before_there_were_schedules_had_a_constant_learning_rate(tmp_path: Path) -> None:
    path = tmp_path / "run"
    stored(path, run())
    tensors, about = tensor_files.read(path, run_files.FORMAT)
    del about["run"]["hyperparams"]["schedule"]
    tensor_files.write(path, tensors, about)
    assert run_files.read(path).result.hyperparams == run().hyperparams


def test_costs_are_restored_bitwise_and_none_as_none(tmp_path: Path) -> None:
    def bits(point: CostPoint) -> list[Any]:
        values = list(vars(point).values())
        return [struct.pack("<d", v) if isinstance(v, float) else (type(v), v) for v in values]

    back = stored(tmp_path / "run", run()).result.costs
    assert list(map(bits, back)) == list(map(bits, COSTS))


def test_the_header_says_where_the_run_comes_from(tmp_path: Path) -> None:
    about = stored(tmp_path / "run", run()).about
    assert {key: about[key] for key in ABOUT} == ABOUT
    assert (about["format"], about["last_epoch"]) == ("jmlp-run-1", 9)
    assert about["run"]["test_cost"] == "Infinity"
    assert "costs" not in about["run"]


def test_other_tools_find_the_arrays_by_their_places(tmp_path: Path) -> None:
    run_files.write(tmp_path / "run", run(), **ABOUT)
    shapes = {name: array.shape for name, array in load_file(tmp_path / "run").items()}
    of_network = {
        "params[0].dense.W": (2, 3),
        "params[0].batchnorm.gamma": (2, 1),
        "params[0].batchnorm.beta": (2, 1),
        "params[1].dense.W": (2, 2),
        "params[1].dense.b": (2, 1),
        "state[0].mean": (2, 1),
        "state[0].var": (2, 1),
    }
    assert shapes == {
        **{f"best.{name}": shape for name, shape in of_network.items()},
        **{f"last.{name}": shape for name, shape in of_network.items()},
        **{f"snapshots.{name}": (2, *shape) for name, shape in of_network.items()},
        "snapshots.epoch": (2,),
        **{f"costs.{name}": (3,) for name in (*vars(COSTS[0]), "has_batch_cost")},
    }


@pytest.mark.parametrize("changes", [{}, {"snapshots": ()}, {"costs": ()}])
def test_the_digest_of_the_numbers_is_computed_again_from_the_file(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    numbers = run_files.write(tmp_path / "run", run(**changes), **ABOUT)
    back = run_files.read(tmp_path / "run")
    assert numbers == back.about["numbers"] == numbers_of(back)


def test_a_diverged_run_is_kept_with_its_last_finite_parameters(tmp_path: Path) -> None:
    whole = run()
    fields = {name: getattr(whole, name) for name in ("params", "state", "last", "snapshots")}
    result = replace(diverged(HP, 7, 12), **fields)
    back = stored(tmp_path / "run", result)
    assert (back.result.status, back.result.diverged_at) == ("diverged", 12)
    assert_equal_bits(back.best, name_tensors(*network(0)))


def test_a_run_without_its_parameters_is_a_bug_and_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="was read back without its parameters"):
        run_files.write(tmp_path / "run", run(last=None), **ABOUT)


# The digest of the numbers


def test_the_digest_is_independent_of_how_the_numbers_came_about(tmp_path: Path) -> None:
    before = stored(tmp_path / "a", run())
    after = stored(
        tmp_path / "b",
        run(
            experiments=("other",),
            provenance=replace(CPU, device="gpu", versions={"jax": "1"}),
            training_seconds=12.5,
        ),
        data={"name": "other", "source": "a lake", "digests": {}},
        validation_fraction=0.5,
        attempt=3,
        events=[],
        studies=[],
        ended_at=None,
    )
    assert after.about["numbers"] == before.about["numbers"]
    assert numbers_of(after) == numbers_of(before)


def flipped(tensors: Tensors) -> Iterator[Tensors]:
    """The arrays with each of their bits flipped in turn."""
    for name, array in tensors.items():
        whole, size = int.from_bytes(array.tobytes()), array.nbytes
        for bit in range(8 * size):
            data = (whole ^ 1 << bit).to_bytes(size)
            yield tensors | {name: np.frombuffer(data, array.dtype).reshape(array.shape)}


def test_the_digest_changes_with_each_bit_of_every_array(tmp_path: Path) -> None:
    back = stored(tmp_path / "run", run(snapshots=(Snapshot(0, *network(2)),)))
    changed = [
        *(replace(back, best=tensors) for tensors in flipped(back.best)),
        *(replace(back, last=tensors) for tensors in flipped(back.last)),
        *(replace(back, snapshots=tensors) for tensors in flipped(back.snapshots)),
        replace(back, snapshot_epochs=(1,)),
    ]
    digests = {numbers_of(other) for other in changed}
    assert len(digests) == len(changed) > 3 * 8 * 4 * 20
    assert numbers_of(back) not in digests


def test_the_digest_changes_with_type_shape_and_place_of_equal_bytes(tmp_path: Path) -> None:
    back = stored(tmp_path / "run", run())
    name, array = next(iter(back.best.items()))
    rest = {other: back.best[other] for other in back.best if other != name}
    others = [
        {name: array.view(np.int32)} | rest,
        {name: array.reshape(-1)} | rest,
        {f"{name}2": array} | rest,
        rest,
    ]
    digests = {numbers_of(replace(back, best=best)) for best in others}
    assert len(digests | {numbers_of(back)}) == len(others) + 1


@pytest.mark.parametrize(
    "change",
    [
        {"run_id": "cd" * 32},
        {"hyperparams": replace(HP, epochs=99)},
        {"seed": 8},
        {"split_seed": 1},
        {"status": "diverged", "diverged_at": 3},
        {"diverged_at": 1},
        {"collapsed": True},
        {"best_epoch": None},
        {"stopped_epoch": 1},
        {"reached_limit": True},
        {"training_accuracy": 0.0},
        {"validation_accuracy": math.nextafter(0.91, 1)},
        {"test_accuracy": None},
        {"training_cost": -0.0},
        {"validation_cost": math.nan},
        {"test_cost": -math.inf},
        {"costs": COSTS[:2]},
        {"costs": (replace(COSTS[0], batch_cost=math.nan), *COSTS[1:])},
        {"costs": (replace(COSTS[0], validation_cost=0.0), *COSTS[1:])},
    ],
    ids=str,
)
def test_the_digest_changes_with_the_outcome(change: dict[str, Any], tmp_path: Path) -> None:
    back = stored(tmp_path / "run", run())
    assert numbers_of(replace(back, result=replace(back.result, **change))) != numbers_of(back)


def test_equal_runs_are_equal_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        run_files.write(tmp_path / name, run(), **ABOUT)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


# Refusals


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    run_files.write(tmp_path / "run", run(), **ABOUT)
    data = bytearray((tmp_path / "run").read_bytes())
    data[-1] ^= 1
    (tmp_path / "run").write_bytes(data)
    assert refusal(tmp_path / "run") == "damaged: its SHA-256 is not the one stored in it"


def wider(tensors: Tensors, about: dict[str, Any]) -> None:
    about["run"]["hyperparams"]["hidden"] = [3]


def in_double(tensors: Tensors, about: dict[str, Any]) -> None:
    tensors["last.state[0].var"] = np.ones((2, 1))


def one_epoch_less(tensors: Tensors, about: dict[str, Any]) -> None:
    tensors["snapshots.epoch"] = tensors["snapshots.epoch"][:1]


def epochs_of_floats(tensors: Tensors, about: dict[str, Any]) -> None:
    tensors["snapshots.epoch"] = np.zeros(2)


def one_cost_less(tensors: Tensors, about: dict[str, Any]) -> None:
    tensors["costs.step"] = tensors["costs.step"][:2]


def no_costs(tensors: Tensors, about: dict[str, Any]) -> None:
    del tensors["costs.epoch"]


def no_network(tensors: Tensors, about: dict[str, Any]) -> None:
    del tensors["best.params[0].dense.W"]


def scalar_weights(tensors: Tensors, about: dict[str, Any]) -> None:
    tensors["best.params[0].dense.W"] = np.array(1, np.float32)


def no_seed(tensors: Tensors, about: dict[str, Any]) -> None:
    del about["run"]["seed"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (wider, "params[0].dense.W is float32 (2, 3), expected float32 (3, 3)"),
        (in_double, "state[0].var is float64 (2, 1), expected float32 (2, 1)"),
        (one_epoch_less, "snapshots.params[0].batchnorm.beta is (2, 2, 1), wanted (1, …)"),
        (epochs_of_floats, "snapshots.epoch is missing, or is not one axis of int32"),
        (one_cost_less, "costs.step is int64 (2,), wanted int64 (3,)"),
        (no_costs, "costs.epoch is missing, or has no axis"),
        (no_network, "'params[0].dense.W'"),
        (scalar_weights, "tuple index out of range"),
        (no_seed, '"seed" is missing'),
    ],
)
def test_a_header_that_does_not_fit_its_numbers_is_refused(
    change: Callable[[Tensors, dict[str, Any]], None], told: str, tmp_path: Path
) -> None:
    path = tmp_path / "run"
    run_files.write(path, run(), **ABOUT)
    tensors, about = tensor_files.read(path, run_files.FORMAT)
    change(tensors, about)
    tensor_files.write(path, tensors, about)
    assert refusal(path) == f"its header does not fit its numbers: {told}"
