"""Training on pictures that are shifted, turned and distorted at random."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from engine_checks import TRAINING, VALIDATION, assert_kept, assert_same_run, only, train_step
from helpers import N_CLASSES, N_EXAMPLES, N_STEPS, N_TRAINING, SMALL, arrays, experiment, plan

from jmlp.data import batch_order
from jmlp.data.dataset import Dataset, make_dataset
from jmlp.errors import ConfigError
from jmlp.nn import model
from jmlp.nn.augmentation import Augmentation
from jmlp.study.config import Hyperparams, identity
from jmlp.training import blocks, engine, group_training, program, single_run
from jmlp.training.blocks import Data
from jmlp.training.plan import DataFacts, as_compiled, data_facts
from jmlp.training.records import CohortState, RunResult
from jmlp.training.strategies import Interval, make_step

PLANE = (4, 5)


def small_pictures() -> Dataset:
    """The small data, as pictures of 4 x 5 pixels."""
    x, y = arrays(N_EXAMPLES)
    return make_dataset("small", {"x_train": x.reshape(-1, *PLANE), "y_train": y}, "small")


PICTURES = small_pictures()
FACTS = data_facts(PICTURES)
HOW = Augmentation(PLANE, 1, 30.0, 0.5)
CHANGES: dict[str, Any] = {
    "shift": 1,
    "rotation": 30.0,
    "elastic": 0.5,
    "hidden": (6,),
    "patience": None,
}
DROPPING = experiment({"drop_rate": (0.0, 0.3)}, seeds=(0, 1, 2), epochs=2, **CHANGES)


def train(made: Any, **options: Any) -> list[RunResult]:
    return [r for p in engine.Training(made, PICTURES, **options) for r in p.results]


@pytest.fixture(scope="module")
def dropping() -> list[RunResult]:
    return train(plan(DROPPING, facts=FACTS))


def root_of(seed: int) -> Any:
    return jax.random.wrap_key_data(jnp.asarray(program.root_key(seed)), impl="threefry2x32")


# What is trained


@pytest.mark.parametrize("drop_rate", [0.0, 0.3])
def test_batch_costs_are_those_of_a_plain_loop_over_changed_pictures(
    dropping: list[RunResult], drop_rate: float
) -> None:
    run, key = only(dropping, seed=2, drop_rate=drop_rate), root_of(2)
    lane = jax.tree.map(lambda a: jnp.asarray(a[0]), program.stack_hyperparams([run.hyperparams]))
    state = single_run.init(run.hyperparams, 20, N_CLASSES, key)
    changed = jax.jit(HOW.apply)
    for epoch in (1, 2):
        state = state._replace(batch_costs=jnp.float32(0))
        order = TRAINING[batch_order(2, epoch, N_TRAINING)]
        for number in range(N_STEPS):
            step = jnp.int32((epoch - 1) * N_STEPS + number + 1)
            rows = order[16 * number : 16 * (number + 1)]
            x = changed(PICTURES.x_train[rows], single_run.augmentation_key(key, step))
            y = jnp.asarray(PICTURES.y_train[rows])
            drop_key = single_run.dropout_key(key, step)
            state = train_step(state, lane, x, y, drop_key, step, n_steps=N_STEPS)
        found = run.costs[epoch].batch_cost
        assert found == pytest.approx(float(state.batch_costs) / N_STEPS, rel=1e-3)


def test_evaluations_and_predictions_see_the_pictures_as_they_are(
    dropping: list[RunResult],
) -> None:
    assert_kept(only(dropping, seed=1, drop_rate=0.3), PICTURES, TRAINING, VALIDATION)


def test_another_augmentation_is_another_run_with_other_numbers(dropping: list[RunResult]) -> None:
    (turned,) = train(plan(experiment(epochs=2, **CHANGES | {"shift": 0}), facts=FACTS))
    (plain,) = train(
        plan(
            experiment(epochs=2, **CHANGES | {"shift": 0, "rotation": 0.0, "elastic": 0.0}),
            facts=FACTS,
        )
    )
    both = only(dropping, seed=0, drop_rate=0.0)
    assert len({run.run_id for run in (turned, plain, both)}) == 3
    assert len({run.costs[2].batch_cost for run in (turned, plain, both)}) == 3
    assert turned.costs[0].validation_cost == plain.costs[0].validation_cost


@pytest.mark.parametrize(
    ("changes", "validation", "batch"),
    [
        ({"shift": 1}, [1.0976602, 1.0962691, 1.1011025], [1.1185586, 1.1107782]),
        ({"shift": 1, "rotation": 30.0}, [1.0976602, 1.0873326, 1.0884926], [1.1121277, 1.1200602]),
        (
            {"shift": 1, "rotation": 30.0, "elastic": 0.5},
            [1.0976602, 1.0732164, 1.0771350],
            [1.1271150, 1.1209027],
        ),
    ],
)
def test_golden_costs_of_augmented_runs(
    changes: dict[str, Any], validation: list[float], batch: list[float]
) -> None:
    made = plan(experiment(epochs=2, patience=None, hidden=(6,), **changes), facts=FACTS)
    (run,) = train(made)
    found = [point.validation_cost for point in run.costs]
    np.testing.assert_allclose(found, validation, rtol=1e-4)
    found = [point.batch_cost for point in run.costs[1:] if point.batch_cost is not None]
    np.testing.assert_allclose(found, batch, rtol=1e-4)


# On what it depends


def test_the_keys_of_all_steps_and_purposes_differ() -> None:
    key = root_of(0)
    steps = [jnp.int32(step) for step in (1, 2, 3)]
    keys = [f(key, s) for f in (single_run.augmentation_key, single_run.dropout_key) for s in steps]
    assert len({jax.random.key_data(k).tobytes() for k in keys}) == 6


def test_lanes_of_other_values_do_not_change_a_bit(dropping: list[RunResult]) -> None:
    others = experiment(
        {"drop_rate": (0.1, 0.3, 0.5)}, seeds=(1,), epochs=2, **CHANGES, learning_rate=0.1
    )
    found = only(train(plan(others, facts=FACTS)), drop_rate=0.3, seed=1)
    assert_same_run(found, only(dropping, seed=1, drop_rate=0.3))


def test_an_augmented_run_resumes_bitwise_identically_from_within_an_epoch(
    dropping: list[RunResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_training, "FIRST_CHUNK", 4)
    monkeypatch.setattr(group_training, "CHUNK_SECONDS", (0, 1e9))
    made = plan(DROPPING, facts=FACTS)
    training = engine.Training(made, PICTURES)
    begun = (record for record in training if record.phase != "compiling")
    copies: dict[tuple[str, ...], CohortState] = {}
    while not {copy.step for copy in copies.values()} & {4, 8}:  # within an epoch
        next(begun)
        copies = {copy.run_ids: copy for copy in training.copies()}
    begun.close()

    def saved(cohort: Any, width: int) -> CohortState | None:
        del width
        return copies.get(tuple(run.run_id for run in cohort.runs))

    for run in train(made, saved=saved):
        expected = only(dropping, seed=run.seed, drop_rate=run.hyperparams.drop_rate)
        assert_same_run(run, expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_blocks_and_whole_mini_batches_see_the_same_pictures(dtype: Any) -> None:
    x = (PICTURES.x_train if dtype is np.uint8 else PICTURES.x_train / np.float32(255))[:200]
    data = Data(jnp.asarray(x), jnp.asarray(PICTURES.y_train[:200]))

    def augment(x: Any) -> Any:
        return HOW.apply(x, single_run.augmentation_key(root_of(0), jnp.int32(7)))

    def mini_batch(*, batch_norm: bool) -> blocks.Batch:
        hp = replace(SMALL, batch_norm=batch_norm)
        params, _ = model.init(hp, 20, N_CLASSES, jax.random.key(0))
        found, _ = blocks.mini_batch(data, jnp.arange(160), params, augment)
        return found

    in_blocks, whole = mini_batch(batch_norm=False), mini_batch(batch_norm=True)
    assert isinstance(in_blocks, jax.Array)
    assert in_blocks.dtype == dtype
    assert isinstance(whole, model.Columns)
    np.testing.assert_array_equal(model.inputs(in_blocks, whole.A.dtype).A, whole.A)
    assert not np.array_equal(in_blocks, x[:160])


# What it costs when it is off


def step_as_text(augmentation: Augmentation | None) -> str:
    """All operations of one step."""
    lane = jax.tree.map(lambda a: jnp.asarray(a[0]), program.stack_hyperparams([SMALL]))
    state = single_run.init(SMALL, 20, N_CLASSES, jax.random.key(0))
    data = Data(jnp.asarray(PICTURES.x_train), jnp.asarray(PICTURES.y_train))
    lane, key = program.random_inputs(
        lane, program.root_key(0), can_drop=False, augments=augmentation is not None
    )
    order, zero = jnp.zeros((3, 16), jnp.int32), np.int32(0)
    interval = Interval(lane, key, order, zero, N_STEPS, augmentation=augmentation)

    def step(state: Any, index: Any) -> Any:
        return make_step(data, interval, index, state.params)(state, lane)

    return str(jax.make_jaxpr(step)(state, zero))


def test_without_augmentation_a_mini_batch_is_gathered_and_scaled_and_no_more() -> None:
    data = Data(jnp.asarray(PICTURES.x_train), jnp.asarray(PICTURES.y_train))
    params, _ = model.init(SMALL, 20, N_CLASSES, jax.random.key(0))
    rows = np.arange(16, dtype=np.int32)

    def plain(rows: Any) -> Any:
        x, y = data.x[rows], data.y[rows]
        return model.inputs(x, jnp.dtype(jnp.float32)), y

    found = jax.make_jaxpr(lambda rows: blocks.mini_batch(data, rows, params))(rows)
    assert str(found) == str(jax.make_jaxpr(plain)(rows))


def test_a_step_has_only_the_operations_of_what_is_on() -> None:
    drawn, turned = "random_bits", " cos "
    assert [word in step_as_text(None) for word in (drawn, turned)] == [False, False]
    shift = step_as_text(Augmentation(PLANE, 1, 0.0))
    assert [word in shift for word in (drawn, turned)] == [True, False]
    assert [word in step_as_text(HOW) for word in (drawn, turned)] == [True, True]


# Identity and plans


def test_only_a_run_with_augmentation_has_it_in_its_identity() -> None:
    assert not {"shift", "rotation", "elastic"} & identity(Hyperparams()).keys()
    assert identity(Hyperparams(shift=1)).keys() - identity(Hyperparams()).keys() == {"shift"}


def test_only_the_program_of_updates_depends_on_it() -> None:
    assert as_compiled(Hyperparams(shift=2, rotation=5.0, elastic=1.0)) == as_compiled(
        Hyperparams()
    )


@pytest.mark.parametrize(
    ("facts", "changes", "problems"),
    [
        (
            replace(FACTS, plane=None),
            {"shift": 1, "rotation": 2.0, "elastic": 1.0},
            [
                f"study: {name}: the examples of small are no pictures: they need a height and a "
                "width, (N, h, w), or a square number of uint8 pixels, (N, n); leave it out"
                for name in ("shift", "rotation", "elastic")
            ],
        ),
        (
            FACTS,
            {"shift": 4},
            [
                "study: shift: must be less than the 4 pixels of the shorter side of the pictures "
                "of small, got 4"
            ],
        ),
        (FACTS, {"shift": 3, "rotation": 180.0}, []),
        (replace(FACTS, plane=None), {}, []),
    ],
)
def test_pictures_that_cannot_be_moved_are_refused(
    facts: DataFacts, changes: dict[str, Any], problems: Sequence[str]
) -> None:
    if not problems:
        assert plan(experiment(**changes), facts=facts).runs
        return
    with pytest.raises(ConfigError) as caught:
        plan(experiment(**changes), facts=facts)
    assert list(caught.value.problems) == problems


@pytest.mark.parametrize(
    ("shape", "plane"),
    [
        ((4, 5), (4, 5)),
        ((4, 5, 1), (4, 5)),
        ((16,), (4, 4)),
        ((20,), None),
        ((1,), None),
        ((4, 5, 3), None),
    ],
)
def test_the_facts_of_a_data_set_say_whether_it_has_pictures(
    shape: tuple[int, ...], plane: tuple[int, int] | None
) -> None:
    x = np.arange(6 * np.prod(shape), dtype=np.float32).reshape(6, *shape)
    data = make_dataset("d", {"x_train": x, "y_train": np.array([0, 1] * 3)}, "d")
    assert data_facts(data).plane == plane
