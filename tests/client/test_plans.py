"""What a plan tells before a study is trained: how many networks, how long, how much memory."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import store_runs
from store_runs import FACTS, HP
from tui_pilot import ended_run

from jmlp.client import pace
from jmlp.client.choice import Choice, left_out
from jmlp.client.pace import Pace, measured_pace, training_seconds
from jmlp.client.plans import later_runs, plain_lines, plan_lines
from jmlp.data.mnist import MNIST
from jmlp.errors import ConfigError
from jmlp.results.search import next_stage
from jmlp.store import Store
from jmlp.study.config import Experiment, Range, Search, Study, configurations
from jmlp.study.file import checked_study, load_study
from jmlp.training.plan import Plan, make_plan, published_facts

RULE = Pace()


def plan_of(source: str, **changes: Any) -> Plan:
    return make_plan(load_study(source, **changes), published_facts(MNIST))


def told(plan: Plan, n_cores: int = 2, measured: Pace = RULE) -> list[str]:
    lines = plain_lines(plan, n_cores, measured)
    return [line for line in lines if not line.startswith("note: ")]


def test_plan_is_told_in_everyday_words() -> None:
    assert told(plan_of("original")) == [
        "95 networks to train",
        "  batch-size: 8 configurations × 5 seeds = 40",
        "  dropout: 10 configurations × 5 seeds = 50",
        "  final: 4 configurations × 5 seeds = 20",
        "  equal ones are trained once: 110 in the tables, 95 to train",
        "up to 50 at a time, on 2 cores",
        "up to about 6 minutes of training, by a rule of thumb",
        "  less where training stops early: see patience",
        "about 1.0 GB of memory",
    ]
    words = " ".join(plain_lines(plan_of("original"), 2, RULE))
    assert not {"cohort", "lane", "group", "compile"} & set(words.replace("s ", " ").split())


def test_study_without_early_stopping_takes_about_as_long_as_its_epochs() -> None:
    long = plan_of("demo", overrides=["patience=none"], epochs=1000)
    assert told(long)[2:] == [
        "about 16 minutes of training, by a rule of thumb",
        "about 0.9 GB of memory",
    ]


def seconds_of_core(plan: Plan, epochs: float, **changes: Any) -> float:
    hp = replace(plan.runs[0].hyperparams, **changes)
    return pace._core_seconds(plan, hp, epochs)


# In docs/reference/performance.md: trainings of 40 epochs per minute on two cores.
@pytest.mark.parametrize(
    ("batch_size", "drop_rate", "per_minute"),
    [(16, 0.0, 23.5), (128, 0.0, 38.1), (128, 0.5, 60.4), (2048, 0.0, 42.5)],
)
def test_rule_of_thumb_is_within_a_factor_of_2_of_the_sweeps_of_the_original(
    batch_size: int, drop_rate: float, per_minute: float
) -> None:
    found = seconds_of_core(plan_of("original"), 40, batch_size=batch_size, drop_rate=drop_rate)
    assert 0.5 < found / (120 / per_minute) < 2


def test_rule_of_thumb_is_within_a_factor_of_2_of_whole_studies() -> None:
    # In docs/reference/performance.md and docs/explanation/best.md, in minutes on two cores.
    for source, seeds, minutes in (("original", 10, 6.37), ("best", 2, 7.7)):
        found = training_seconds(plan_of(source, seeds=seeds), 2, RULE) / 60
        assert 0.5 < found / minutes < 2, source


def test_what_a_network_does_in_addition_takes_longer() -> None:
    best = plan_of("best", seeds=1, overrides=["drop_rate=0.1"])
    whole = seconds_of_core(best, 30)
    without: dict[str, Any] = {
        "drop_rate": 0.0,
        "elastic": 0.0,
        "optimizer": "sgd",
        "hidden": (512,),
        "evaluate_every": 10**6,
    }
    for name, value in without.items():
        assert seconds_of_core(best, 30, **{name: value}) < whole, name
    assert seconds_of_core(best, 30, optimizer="adam") > whole
    assert seconds_of_core(best, 30, input_drop_rate=0.2) > whole
    distorted = seconds_of_core(best, 30, shift=0, rotation=0.0)
    turned = seconds_of_core(best, 30, shift=0, elastic=0.0)
    shifted = seconds_of_core(best, 30, rotation=0.0, elastic=0.0)
    unchanged = seconds_of_core(best, 30, rotation=0.0, elastic=0.0, shift=0)
    assert distorted == whole > turned > shifted > unchanged


def test_measured_pace_scales_the_time_but_not_that_of_starting_and_compiling() -> None:
    plan = plan_of("original")
    fixed = pace.STARTING + pace.COMPILING * len(plan.groups)
    once, twice = (training_seconds(plan, 2, Pace(factor, 9)) for factor in (1.0, 2.0))
    assert twice - fixed == pytest.approx(2 * (once - fixed))
    assert "up to about 12 minutes of training, by the pace of 9 networks in this store" in told(
        plan, measured=Pace(2.0, 9)
    )


def test_experts_are_told_of_groups_and_lanes_too() -> None:
    assert plan_lines(plan_of("demo", epochs=1), 2, RULE)[:5] == [
        "study demo on synthetic",
        "  learning-rate: 4 configurations x 5 seeds = 20 runs",
        "20 runs, each once, in 1 group:",
        "  hidden 20-10, batch size 32: 20 runs in 5 cohorts of 4 lanes",
        "1 training program to compile, about 0.9 GB of memory",
    ]


def test_the_runs_that_confirm_a_search_are_counted_until_they_are_part_of_the_plan() -> None:
    search = Search({"learning_rate": Range("log", 1e-3, 1.0)}, 3, (2, 3, 4, 5, 6))
    tuned = Experiment("tuned", HP, {}, (0, 1), {"learning_rate": 0.1}, search=search)
    study = checked_study(Study("small", (tuned,), data="small"))
    made = make_plan(study, FACTS)
    assert later_runs(made) == 2 * 5
    assert "  then the winner of tuned and its baseline, each with 5 fresh seeds: 10 runs" in (
        plan_lines(made, 2, RULE)
    )
    (drawn,) = study.experiments
    cell = next(c.cell for c in configurations(drawn) if c.cell != drawn.baseline)
    staged = replace(study, experiments=(drawn, next_stage(drawn, drawn, [cell])))
    added = make_plan(staged, FACTS)
    assert later_runs(added) == 0
    assert len(added.runs) == len(made.runs) + 10


def test_the_runs_of_further_rounds_are_counted_before_the_first_has_begun() -> None:
    space = {"learning_rate": Range("log", 1e-4, 1.0)}
    search = Search(space, 9, (2, 3, 4, 5, 6), halving=(1, 3))
    hp = replace(HP, epochs=9)
    tuned = Experiment("tuned", hp, {}, (0, 1), {"learning_rate": 0.1}, search=search)
    made = make_plan(checked_study(Study("small", (tuned,), data="small")), FACTS)
    assert len(made.runs) == 10 * 2
    assert later_runs(made) == 4 * 2 + 2 * 2 + 2 * 5
    assert [line.strip() for line in plan_lines(made, 2, RULE) if "then the" in line] == [
        "then the best 3 candidates of tuned and the baseline for 3 epochs, each with 2 seeds: "
        "8 runs",
        "then the best candidate of tuned and the baseline for 9 epochs, each with 2 seeds: 4 runs",
        "then the winner of tuned and its baseline, each with 5 fresh seeds: 10 runs",
    ]


def test_many_programs_take_long_to_compile() -> None:
    sizes = " | ".join(f"{2 + n // 100} {2 + n % 100}" for n in range(1000))
    many = plan_of(
        "demo", overrides=[f"hidden={sizes}", "experiments.learning-rate.learning_rate=1"]
    )
    assert training_seconds(many, 2, RULE) > 1000 * pace.COMPILING


@pytest.mark.parametrize(("seconds", "measured"), [(100.0, True), (0.001, False), (None, False)])
def test_pace_is_that_of_the_networks_in_the_store(
    seconds: float | None, measured: bool, tmp_path: Path
) -> None:
    made = store_runs.plan()
    ended = [ended_run(run, training_seconds=seconds) for run in made.runs]
    cpu = [replace(run, provenance=replace(run.provenance, device="cpu: AMD")) for run in ended]
    with Store(tmp_path) as store:
        store.submit(store_runs.submission(made))
        store.begin("small", [run.run_id for run in made.runs])
        store_runs.end(store, "small", cpu)
        store.set_study("small", "done")
    found = measured_pace(tmp_path)
    assert found.n_runs == (len(made.runs) if measured else 0)
    if measured:  # three cohorts side by side on two cores, for 100 s: of the whole plan as well
        limits = training_seconds(made, 2, found) - pace.STARTING - pace.COMPILING
        assert limits == pytest.approx(100)


def test_pace_of_a_store_that_is_not_there_is_the_rule_of_thumb(tmp_path: Path) -> None:
    assert measured_pace(tmp_path / "none") == RULE
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("overrides", "label"),
    [
        (["hidden=64 | 64,32"], "demo-hidden-64-or-64-32"),
        (["hidden=64,64 | 32"], "demo-hidden-64-64-or-32"),
        (["hidden=[64, 32]"], "demo-hidden-64-32"),
        (
            ["experiments.learning-rate.learning_rate=0.01,0.03*"],
            "demo-learning-rate.learning-rate-0.01-0.03-baseline",
        ),
        (["batch_size=16..64 ×2"], "demo-batch-size-16..64-x2"),
        (["drop_rate=0..0.9 +0.1"], "demo-drop-rate-0..0.9-step-0.1"),
    ],
)
def test_changed_axes_are_in_the_label_so_that_no_two_studies_share_one(
    overrides: list[str], label: str
) -> None:
    assert Choice("demo", overrides=tuple(overrides)).label("demo") == label


def test_a_chosen_name_is_that_of_the_study_and_its_label() -> None:
    choice = Choice("demo", name="rates", epochs=3, overrides=("hidden=64 | 64,32",))
    assert choice.label("demo") == "rates"
    assert choice.study().name == "rates"
    assert choice.command() == "jmlp study demo --name rates --epochs 3 --set 'hidden=64 | 64,32'"


def test_a_name_that_no_folder_could_have_is_refused_with_all_other_problems() -> None:
    with pytest.raises(ConfigError) as error:
        Choice("demo", name="../rates", epochs=0).study()
    name, epochs = error.value.problems
    assert name.startswith("--name: must be ")
    assert name.endswith("got '../rates'")
    assert epochs.startswith("--epochs: must be ")


def test_what_no_longer_fits_the_axes_is_named() -> None:
    changed = load_study("original", overrides=["experiments.final.batch_norm=true"])
    assert left_out(load_study("original"), changed) == [
        "final: 2 claims and 4 published results left out: of other configurations"
    ]
    assert left_out(changed, changed) == []
