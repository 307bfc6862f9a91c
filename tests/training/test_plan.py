"""From a study to runs, cohorts and groups; what the data or the memory does not allow."""

from dataclasses import replace

import jax
import pytest
from helpers import FACTS, SMALL, experiment, plan

from jmlp.errors import ConfigError
from jmlp.nn import model
from jmlp.study.config import Hyperparams, Value
from jmlp.training import plan as planning
from jmlp.training.plan import DataFacts, Plan

MNIST = DataFacts(60_000, 10_000, 784, 10, {"x_train": "1", "y_train": "2"})
DROP_RATES = tuple(i / 10 for i in range(10))
REAL_RUN_ID = planning.run_id


def shape(made: Plan) -> list[tuple[int, list[int]]]:
    """Of each group its width and the runs of its cohorts."""
    return [(g.width, [len(c.runs) for c in g.cohorts]) for g in made.groups]


def test_swept_hyperparameters_are_lanes_of_one_group_and_seeds_are_its_cohorts() -> None:
    made = plan(experiment({"drop_rate": DROP_RATES, "patience": (1, None)}, seeds=(4, 5, 6)))
    assert shape(made) == [(20, [20, 20, 20])]
    assert [c.seed for c in made.groups[0].cohorts] == [4, 5, 6]
    assert {run.seed for run in made.groups[0].cohorts[1].runs} == {5}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("hidden", ((5, 4), (4, 5))),
        ("batch_size", (16, 32)),
        ("batch_norm", (False, True)),
        ("optimizer", ("sgd", "adam")),
        ("initialization", ("he", "normal")),
        ("activation", ("relu", "tanh", ("relu", "tanh"))),
        ("class_weight", ("none", "balanced")),
    ],
)
def test_each_value_of_a_static_hyperparameter_is_a_group(
    name: str, values: tuple[object, ...]
) -> None:
    made = plan(experiment({name: values}, seeds=(0, 1)))
    assert shape(made) == [(1, [1, 1])] * len(values)
    assert [getattr(group.hyperparams, name) for group in made.groups] == list(values)


def test_equal_runs_of_two_experiments_are_one_run_of_both() -> None:
    made = plan(
        experiment({"drop_rate": (0.0, 0.5)}, seeds=(0, 1), name="first"),
        experiment({"batch_norm": (False, True)}, seeds=(1, 2), name="second"),
    )
    both = {
        (r.seed, r.hyperparams.drop_rate, r.hyperparams.batch_norm): r.experiments
        for r in made.runs
    }
    assert both == {
        (0, 0.0, False): ("first",),
        (0, 0.5, False): ("first",),
        (1, 0.5, False): ("first",),
        (1, 0.0, False): ("first", "second"),
        (2, 0.0, False): ("second",),
        (1, 0.0, True): ("second",),
        (2, 0.0, True): ("second",),
    }


def test_equal_drop_rates_of_all_layers_are_one_run_with_the_single_rate() -> None:
    made = plan(experiment({"drop_rate": (0.5, (0.5, 0.5), (0.5, 0.4))}))
    assert sorted(str(run.hyperparams.drop_rate) for run in made.runs) == ["(0.5, 0.4)", "0.5"]


def test_groups_with_most_runs_come_first_and_lanes_are_sorted_by_id() -> None:
    made = plan(
        experiment(name="small", batch_norm=True),
        experiment({"drop_rate": DROP_RATES}, name="large"),
    )
    assert shape(made) == [(10, [10]), (1, [1])]
    ids = [run.run_id for run in made.groups[0].cohorts[0].runs]
    assert ids == sorted(ids)


@pytest.mark.parametrize(
    ("lanes", "width"),
    [(1, 1), (2, 4), (3, 4), (4, 4), (5, 8), (8, 8), (9, 10), (13, 14), (20, 20)],
)
def test_widths_are_1_4_8_and_then_the_next_even_number(lanes: int, width: int) -> None:
    assert planning.width(lanes) == width


@pytest.mark.parametrize(
    ("lanes", "expected"), [(20, (20, [20])), (21, (12, [11, 10])), (41, (14, [14, 14, 13]))]
)
def test_more_than_20_lanes_are_split_evenly(lanes: int, expected: tuple[int, list[int]]) -> None:
    made = plan(experiment({"learning_rate": tuple((1 + i) / 100 for i in range(lanes))}))
    assert shape(made) == [expected]
    assert len({run.run_id for run in made.runs}) == lanes


def test_the_width_of_a_group_is_that_of_its_largest_cohort() -> None:
    made = plan(
        experiment({"drop_rate": DROP_RATES}, seeds=(0,), name="wide"),
        experiment(seeds=(0, 1), name="narrow"),
    )
    assert shape(made) == [(10, [10, 1])]


def test_the_rest_of_a_plan_keeps_its_programs() -> None:
    made = plan(
        experiment({"drop_rate": (0.0, 0.5)}, name="with"),
        experiment({"learning_rate": (0.1, 0.2)}, seeds=(0, 1), name="without"),
    )
    (group,) = made.groups
    dropping = {r.run_id for c in group.cohorts for r in c.runs if r.hyperparams.drop_rate}
    (left,) = planning.without(made, dropping).groups
    assert left.can_drop
    assert left.width == group.width


def test_the_rest_of_a_plan_keeps_its_widths() -> None:
    made = plan(experiment({"drop_rate": DROP_RATES}, seeds=(0, 1)), experiment(batch_norm=True))
    first, second = made.groups[0].cohorts
    done = {run.run_id for run in (*first.runs, *second.runs[:7], *made.groups[1].cohorts[0].runs)}
    left = planning.without(made, done)
    assert shape(left) == [(10, [3])]
    assert left.groups[0].cohorts[0].runs == second.runs[7:]


def test_a_group_drops_units_if_any_of_its_lanes_does() -> None:
    groups = plan(
        experiment({"batch_norm": (False, True), "drop_rate": (0.0, 0.3)}, name="with"),
        experiment(name="without", batch_size=8, drop_rate=(0.0, 0.0)),
    ).groups
    assert [group.can_drop for group in groups] == [True, True, False]


def test_split_seed_is_the_studys_or_the_runs_own() -> None:
    assert [r.split_seed for r in plan(experiment(seeds=(3, 4))).runs] == [0, 0]
    assert [r.split_seed for r in plan(experiment(seeds=(3, 4)), split_seed=9).runs] == [9, 9]
    assert [r.split_seed for r in plan(experiment(seeds=(3, 4)), split_seed="seed").runs] == [3, 4]


def test_a_run_id_depends_on_all_that_decides_its_numbers_and_on_nothing_else() -> None:
    base = plan(experiment()).runs[0].run_id
    others = [
        *(plan(experiment(learning_rate=0.2)).runs),
        *(plan(experiment(seeds=(1,))).runs),
        *(plan(experiment(), split_seed=1).runs),
        *(plan(experiment(), validation_fraction=0.3).runs),
        *(plan(experiment(), facts=replace(FACTS, digests={"x_train": "other"})).runs),
    ]
    assert len({base, *(run.run_id for run in others)}) == 6
    assert plan(experiment(name="other", seeds=(0, 1)), data="elsewhere").runs[0].run_id == base
    assert len(base) == 64


def test_parts_and_steps_are_those_of_the_original_study() -> None:
    made = plan(experiment(), facts=MNIST)
    assert (made.n_training, made.n_validation) == (48_000, 12_000)
    sizes = (16, 32, 64, 128, 256, 512, 1024, 2048)
    assert [planning.n_steps(48_000, size) for size in sizes] == [
        3000,
        1500,
        750,
        375,
        187,
        93,
        46,
        23,
    ]


def test_a_batch_of_the_whole_training_part_is_allowed_and_a_larger_one_refused() -> None:
    assert shape(plan(experiment(batch_size=166))) == [(1, [1])]
    with pytest.raises(ConfigError) as error:
        plan(experiment({"batch_size": (166, 167, 1000), "drop_rate": (0.0, 0.5)}))
    assert str(error.value) == (
        "study: batch_size: must be at most the 166 examples of the training part of small, "
        "got 167: choose a smaller one, such as 32\n"
        "study: batch_size: must be at most the 166 examples of the training part of small, "
        "got 1000: choose a smaller one, such as 32"
    )


def test_an_empty_part_is_refused() -> None:
    with pytest.raises(ConfigError) as error:
        plan(experiment(batch_size=1), validation_fraction=0.001)
    assert str(error.value) == (
        "study: validation_fraction: 0.001 of the 208 examples of small leaves one part empty"
    )


def test_more_updates_than_can_be_counted_are_refused_once_for_all_swept_values() -> None:
    made = experiment({"drop_rate": DROP_RATES}, batch_size=1, epochs=100_000)
    assert shape(plan(made)) == [(10, [10])]
    with pytest.raises(ConfigError) as error:
        plan(made, facts=MNIST)
    assert str(error.value) == (
        "study: epochs: 100000 epochs at batch_size 1 are 4800000000 updates, at most 2147483647 "
        "are counted; use fewer epochs"
    )


def test_what_does_not_fit_into_memory_is_refused_with_both_sizes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = plan(experiment(hidden=(2**20, 2**20)), facts=MNIST)
    monkeypatch.setattr(planning, "total_memory", lambda: 16_000_000_000)
    with pytest.raises(ConfigError) as error:
        planning.check_memory(made, 2)
    needed = planning.size_text(planning.memory(made, 2))
    assert str(error.value) == (
        f"study: needs about {needed} of memory, this machine has 16.0 GB; use smaller layers or "
        "batches, or fewer cores"
    )
    # At least the weights, the best ones and the gradients, on each device.
    assert planning.memory(made, 2) > 2 * 3 * 4 * 2**40


def test_the_estimate_grows_with_devices_lanes_batches_and_optimisers_memory() -> None:
    def memory(n_devices: int = 1, rates: int = 1, **hyperparams: Value) -> int:
        axes = {"drop_rate": DROP_RATES[:rates]}
        return planning.memory(plan(experiment(axes, **hyperparams), facts=MNIST), n_devices)

    more = [memory(2), memory(rates=10), memory(batch_size=4096), memory(optimizer="adam")]
    assert all(estimate > memory() for estimate in more)
    original = replace(SMALL, hidden=(20, 7, 5), batch_size=128)
    assert memory(2, 10, hidden=original.hidden, batch_size=128) < 1_500_000_000


def test_the_estimate_counts_the_records_of_every_run() -> None:
    sizes = tuple((units, 4) for units in range(2, 1002))
    one = planning.memory(plan(experiment({"hidden": sizes[-1:]}), facts=MNIST), 2)
    many = planning.memory(plan(experiment({"hidden": sizes}), facts=MNIST), 2)
    assert many - one == 999 * planning.RUN_MEMORY


def test_groups_that_share_programs_follow_each_other_the_largest_of_them_first() -> None:
    sweep = experiment({"batch_size": (16, 32), "hidden": ((5, 4), (6, 4))}, batch_norm=True)
    made = plan(sweep, experiment(hidden=(7, 4), seeds=(0, 1)), experiment(hidden=(6, 4)))
    found = [(g.hyperparams.hidden, g.hyperparams.batch_size) for g in made.groups]
    assert found == [
        ((7, 4), 16),
        ((5, 4), 16),
        ((5, 4), 32),
        ((6, 4), 16),
        ((6, 4), 32),
        ((6, 4), 16),  # without batch norm
    ]


@pytest.mark.parametrize(
    ("seeds", "hidden", "n_devices", "slots"),
    [
        (1, (5, 4), 2, 1),
        (4, (5, 4), 2, 2),
        (5, (5, 4), 2, 3),
        (100, (5, 4), 2, 4),
        (100, (5, 4), 1, 4),
        (100, (128,), 2, 3),  # 102,000 parameters twice: 0.8 MB a lane, 3.3 a cohort of four
        (100, (4096,), 2, 1),
    ],
)
def test_a_core_has_up_to_four_cohorts_but_not_too_much_state(
    seeds: int, hidden: tuple[int, ...], n_devices: int, slots: int
) -> None:
    rates = experiment({"drop_rate": DROP_RATES[:4]}, seeds=range(seeds), hidden=hidden)
    made = plan(rates, facts=MNIST)
    assert planning.cpu_slots(made, made.groups[0], n_devices) == slots


def test_total_memory_is_that_of_a_machine() -> None:
    assert 2**28 < planning.total_memory() < 2**50


@pytest.mark.parametrize("batch_norm", [False, True])
def test_parameters_are_counted_as_the_model_creates_them(batch_norm: bool) -> None:
    hp = Hyperparams(hidden=(5, 4), batch_norm=batch_norm)
    params, _ = model.init(hp, 7, 3, jax.random.key(0))
    made = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert planning.n_parameters(hp, 7, 3) == made


def test_a_group_is_named_by_its_distinguishing_hyperparameters() -> None:
    made = plan(
        experiment({"batch_norm": (False, True)}),
        experiment(optimizer="adam", hidden=(9,)),
        experiment(activation=("tanh", "leaky_relu"), class_weight="balanced"),
        experiment(optimizer="adamw", l2=0.1, clip_norm=1.0),
    )
    assert [planning.group_name(group) for group in made.groups] == [
        "hidden 5-4, batch size 16",
        "hidden 5-4, batch size 16, batch norm",
        "hidden 9, batch size 16, adam",
        "hidden 5-4, batch size 16, tanh-leaky relu, balanced class weight",
        "hidden 5-4, batch size 16, adamw, with weight decay and l2 and clip norm",
    ]


def test_an_experiment_of_equal_runs_costs_as_much_as_one_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[str] = []

    def run_id(*values: object) -> str:
        made.append(REAL_RUN_ID(*values))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr(planning, "run_id", run_id)
    (run,) = plan(*(experiment(name=f"e{i}") for i in range(200))).runs
    assert made == [run.run_id]  # once, not once for each experiment
    assert run.experiments == tuple(f"e{i}" for i in range(200))
