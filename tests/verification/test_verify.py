"""A run that was trained again against the stored one: the same, nearly, or up to which step."""

import json
import math
import struct
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from store_runs import DATA, diverged_result, plan, points, result

from jmlp.nn.tensors import Tensors
from jmlp.store import run_files
from jmlp.store.run_files import StoredRun, numbers_of
from jmlp.training.records import CostPoint, Provenance, RunResult
from jmlp.verification.comparison import Verdict, as_stored, compare, difference_text, verdict_from

RUN = plan().runs[0]
# Evaluated at epochs 0 to 4, which end at steps 0, 10, 20, 30 and 40; snapshots at epochs 0 and 1.
TRAINED = result(RUN, best_epoch=3, stopped_epoch=4, reached_limit=True)
NAN, OTHER_NAN = (struct.unpack("<d", struct.pack("<Q", 0x7FF8 << 48 | n))[0] for n in (1, 2))

SIGN, LAST = 1 << 31, 1  # bits of a float32
DIFFERS_AT_ONCE = "differs before its first step"


def run(**changes: Any) -> StoredRun:
    return as_stored(replace(TRAINED, **changes))


def costs(epoch: int, **changes: Any) -> tuple[CostPoint, ...]:
    """The costs of the run with those of one epoch changed."""
    return tuple(replace(p, **changes) if p.epoch == epoch else p for p in TRAINED.costs)


def flipped(tensors: Tensors, at: tuple[int, ...], bit: int) -> Tensors:
    """The same arrays with one bit of one number in the first weights turned over."""
    W = tensors["params[0].dense.W"].copy()
    W.view(np.uint32)[at] ^= bit
    return {**tensors, "params[0].dense.W": W}


def best(bit: int) -> StoredRun:
    return replace(run(), best=flipped(run().best, (0, 0), bit))


def last(bit: int) -> StoredRun:
    return replace(run(), last=flipped(run().last, (0, 0), bit))


def snapshot(index: int) -> Callable[[int], StoredRun]:
    return lambda bit: replace(run(), snapshots=flipped(run().snapshots, (index, 0, 0), bit))


CHANGES = pytest.mark.parametrize(
    ("change", "equal_until", "differs_at", "first"),
    [
        (snapshot(0), None, 0, 0),
        (snapshot(1), 0, 10, 1),
        (best, 20, 30, 21),
        (last, 30, 40, 31),
    ],
    ids=["snapshot of epoch 0", "snapshot of epoch 1", "kept in epoch 3", "last"],
)


def test_a_run_just_trained_is_what_comes_back_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    run_files.write(
        path, TRAINED, data=DATA, validation_fraction=0.2, attempt=1, events=(), studies=()
    )
    read = run_files.read(path)
    assert numbers_of(run()) == numbers_of(read) == read.about["numbers"]
    verdict = compare(read, run())
    assert (verdict.answer, verdict.text) == ("bit-identical", "bit-identical")
    assert (verdict.first_step, verdict.equal_until, verdict.differs_at) == (None, 40, None)
    assert (verdict.cost_difference, verdict.parameter_difference) == (0, 0)
    assert verdict.largest_difference == 0


@CHANGES
def test_another_sign_of_one_parameter_differs_after_the_evaluation_before(
    change: Callable[[int], StoredRun], equal_until: int | None, differs_at: int, first: int
) -> None:
    verdict = compare(change(SIGN), run())
    assert verdict.answer == "differs"
    assert (verdict.equal_until, verdict.differs_at) == (equal_until, differs_at)
    assert verdict.first_step == first
    assert verdict.text == (f"differs from step {first} on" if first else DIFFERS_AT_ONCE)


@CHANGES
def test_another_last_bit_of_one_parameter_is_equal_within_a_rounding_and_not_identical(
    change: Callable[[int], StoredRun], equal_until: int | None, differs_at: int, first: int
) -> None:
    verdict = compare(change(LAST), run())
    assert verdict.answer == "equal within"
    assert 0 < verdict.largest_difference <= 2**-23
    assert (verdict.equal_until, verdict.differs_at) == (equal_until, differs_at)
    assert verdict.text == f"equal within {difference_text(verdict.largest_difference)}"


def test_only_kept_parameters_count_as_the_difference_of_parameters() -> None:
    assert compare(last(LAST), run()).parameter_difference == 0
    assert compare(best(LAST), run()).parameter_difference > 0


@pytest.mark.parametrize("name", ["batch_cost", "training_cost", "validation_cost"])
def test_another_cost_differs_after_the_evaluation_before(name: str) -> None:
    verdict = compare(run(costs=costs(2, **{name: 4.0})), run(costs=costs(2, **{name: 3.0})))
    assert (verdict.answer, verdict.first_step) == ("differs", 11)
    assert verdict.cost_difference == 0.25  # of the larger one


def test_the_earliest_of_several_differences_counts() -> None:
    both = replace(last(SIGN), result=replace(TRAINED, costs=costs(2, training_cost=9.0)))
    assert compare(both, run()).first_step == 11


def test_costs_within_a_hundred_thousandth_are_equal_within_what_they_differ_by() -> None:
    old = run(costs=costs(2, training_cost=0.5))
    near = compare(old, run(costs=costs(2, training_cost=0.5 / (1 - 2**-18))))
    assert near.answer == "equal within"
    assert near.cost_difference == pytest.approx(2**-18)
    assert near.text == "equal within 3.9e-06"
    far = compare(old, run(costs=costs(2, training_cost=0.5 / (1 - 2**-16))))
    assert (far.answer, far.text) == ("differs", "differs from step 11 on")


def test_a_difference_of_parameters_is_by_the_largest_of_their_array() -> None:
    first, second = run(), run()
    old = {**first.best, "params[0].dense.b": np.array([[1e-9], [0], [-0.5]], np.float32)}
    new = {**second.best, "params[0].dense.b": np.array([[2e-9], [0], [-0.5]], np.float32)}
    verdict = compare(replace(first, best=old), replace(second, best=new))
    assert verdict.answer == "equal within"
    assert verdict.parameter_difference == pytest.approx(2e-9)


@pytest.mark.parametrize("name", ["training_accuracy", "validation_accuracy"])
def test_another_number_of_correct_predictions_differs_even_with_equal_costs(name: str) -> None:
    near = {name: getattr(TRAINED.costs[2], name) + 1e-7}
    verdict = compare(run(costs=costs(2, **near)), run())
    assert (verdict.answer, verdict.first_step) == ("differs", 11)
    assert verdict.largest_difference == 0


def test_equal_nans_are_equal_and_a_nan_is_no_number() -> None:
    nan = run(costs=costs(2, batch_cost=NAN))
    assert compare(nan, nan).answer == "bit-identical"
    verdict = compare(nan, run())
    assert (verdict.answer, verdict.first_step) == ("differs", 11)
    assert verdict.cost_difference == math.inf


def test_another_nan_or_sign_of_zero_is_equal_within_nothing_and_not_identical() -> None:
    for a, b in ((NAN, OTHER_NAN), (0.0, -0.0)):
        verdict = compare(run(costs=costs(2, batch_cost=a)), run(costs=costs(2, batch_cost=b)))
        assert (verdict.answer, verdict.differs_at) == ("equal within", 20)
        assert verdict.text == "equal within 0"


def test_no_mini_batch_cost_is_not_the_same_as_one() -> None:
    assert compare(run(costs=costs(2, batch_cost=None)), run()).first_step == 11


def test_a_run_that_was_called_collapsed_by_a_rule_of_before_is_identical() -> None:
    assert compare(run(collapsed=True), run()).answer == "bit-identical"
    assert compare(run(), run(collapsed=True)).outcome == ("collapsed False, now True",)
    changed = run(collapsed=True, validation_accuracy=0.25)
    assert compare(changed, run()).answer == "differs"


@pytest.mark.parametrize("swapped", [False, True])
def test_a_run_that_stops_earlier_differs_from_its_end_on(swapped: bool) -> None:
    pair = [run(costs=points(4), stopped_epoch=3), run()]
    verdict = compare(*(reversed(pair) if swapped else pair))
    assert (verdict.answer, verdict.text) == ("differs", "differs from step 31 on")
    assert verdict.outcome == (
        ("stopped epoch 4, now 3",) if swapped else ("stopped epoch 3, now 4",)
    )


def diverged(step: int, n_points: int = 2, **changes: Any) -> RunResult:
    return replace(diverged_result(RUN, step), costs=points(n_points), **changes)


def test_a_run_that_diverges_at_the_same_step_is_identical_its_costs_not_finite() -> None:
    old = as_stored(diverged_result(RUN))
    assert not math.isfinite(old.result.costs[-1].training_cost)
    assert compare(old, as_stored(diverged_result(RUN))).answer == "bit-identical"


@pytest.mark.parametrize(("old", "new"), [(17, 18), (18, 17)])
def test_a_run_that_diverges_at_another_step_differs_after_its_last_evaluation(
    old: int, new: int
) -> None:
    verdict = compare(as_stored(diverged(old)), as_stored(diverged(new)))
    assert (verdict.answer, verdict.first_step, verdict.differs_at) == ("differs", 11, 17)
    assert verdict.outcome == (f"diverged at {old}, now {new}",)


def test_a_run_that_diverges_no_more_differs_after_its_last_evaluation() -> None:
    verdict = compare(as_stored(diverged(17)), run())
    assert (verdict.answer, verdict.text) == ("differs", "differs from step 11 on")
    assert verdict.outcome[:2] == ("status diverged, now finished", "diverged at 17, now None")


def test_kept_parameters_of_a_diverged_run_are_those_of_its_lowest_validation_cost() -> None:
    old = as_stored(diverged(27, n_points=3))  # falling costs: lowest at epoch 2, step 20
    verdict = compare(replace(old, best=flipped(old.best, (0, 0), SIGN)), old)
    assert (verdict.equal_until, verdict.differs_at) == (10, 20)


def test_what_differs_only_in_its_final_accuracy_says_so() -> None:
    verdict = compare(run(), run(test_accuracy=0.91))
    assert (verdict.answer, verdict.first_step) == ("differs", None)
    assert verdict.text == "differs in what was measured at its end: test accuracy 0.9, now 0.91"


def test_snapshots_of_other_epochs_are_named() -> None:
    verdict = compare(run(), run(snapshots=TRAINED.snapshots[:1]))
    assert verdict.text == (
        "differs in what was measured at its end: snapshots at epochs 0, 1, now 0"
    )


def test_other_settings_and_another_source_are_named() -> None:
    then = Provenance("cpu", 8, "", {}, False, {"ONEDNN_MAX_CPU_ISA": "AVX2"}, "00ff")
    now = Provenance("cpu", 8, "", {}, False, {"jax_optimization_level": "O1"}, "11ff")
    assert compare(run(provenance=then), run(provenance=now)).made_with == (
        "source 00ff, now 11ff",
        "ONEDNN_MAX_CPU_ISA AVX2, now as usual",
        "jax_optimization_level as usual, now O1",
    )


def test_other_devices_and_versions_are_named_with_every_answer() -> None:
    then = Provenance("cpu: A", 8, "", {"jax": "0.10.0", "numpy": "2.3"}, False)
    now = Provenance("cpu: B", 8, "--fast", {"jax": "0.10.1", "numpy": "2.3", "new": "1"}, False)
    verdict = compare(run(provenance=then), run(provenance=now))
    assert verdict.answer == "bit-identical"
    assert verdict.made_with == (
        "device cpu: A, now cpu: B",
        "XLA flags none, now --fast",
        "version of jax 0.10.0, now 0.10.1",
        "version of new unknown, now 1",
    )


@pytest.mark.parametrize(
    ("difference", "text"),
    [(0.0, "0"), (1.21e-8, "1.3e-08"), (2.0**-23, "1.2e-07"), (0.25, "0.25"), (math.inf, "inf")],
)
def test_a_difference_is_never_shown_smaller_than_it_is(difference: float, text: str) -> None:
    assert difference_text(difference) == text
    assert float(text) >= difference


def test_a_closer_run_has_a_lower_rank() -> None:
    verdicts = [compare(other, run()) for other in (run(), last(LAST), last(SIGN))]
    assert sorted(reversed(verdicts), key=Verdict.rank) == verdicts


def test_a_verdict_comes_back_from_json() -> None:
    verdict = compare(run(costs=costs(0, training_cost=math.inf), test_accuracy=None), run())
    assert verdict_from(json.loads(json.dumps(asdict(verdict)))) == verdict
