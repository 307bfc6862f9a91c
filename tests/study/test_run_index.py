"""Every run of an accepted study is in a row, every row has its runs, every claim an answer."""

from dataclasses import replace
from typing import Any

import pytest
import tomli_w
from helpers import FACTS
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from study_texts import load
from table_runs import SEEDS, finished, runs

from jmlp.errors import ConfigError
from jmlp.report import in_order
from jmlp.report.document import summarise
from jmlp.results.crosschecks import refuse
from jmlp.results.tables import ExperimentTable, study_tables
from jmlp.study.config import Claim, Experiment, Hyperparams, Reference, Study
from jmlp.study.file import parse_study, to_toml
from jmlp.study.run_index import RunIndex
from jmlp.training.plan import Run, make_plan
from jmlp.training.records import RunResult

RATES = st.sampled_from([0, 0.0, -0.0, 0.1, 0.5])
# Values that can be written in several ways, and those that have an effect only beside others.
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "drop_rate": RATES | st.lists(RATES, min_size=1, max_size=2),
    "hidden": st.sampled_from([[5], [5, 4], [4, 5]]),
    "optimizer": st.sampled_from(["sgd", "momentum", "adam"]),
    "initialization": st.sampled_from(["he", "normal"]),
    "learning_rate": st.sampled_from([1, 1.0, 1e-3, 0.001, 0.01]),
    "patience": st.sampled_from([1, 2, "none"]),
    "batch_norm": st.booleans(),
    "batch_size": st.sampled_from([4, 16]),
}
IDLE = {"momentum": ("optimizer", "momentum"), "weight_std": ("initialization", "normal")}


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Any]:
    """An experiment: axes, values beside them, and claims across some of the axes."""
    names = draw(st.lists(st.sampled_from(sorted(VALUES)), unique=True, max_size=5))
    n_axes = draw(st.integers(0, min(3, len(names))))
    axes = {
        name: draw(st.lists(VALUES[name], min_size=1, max_size=3, unique_by=repr))
        for name in names[:n_axes]
    }
    own: dict[str, Any] = {name: draw(VALUES[name]) for name in names[n_axes:]}
    if "batch_size" not in axes:
        own.setdefault("batch_size", 16)
    for idle, (other, needed) in IDLE.items():
        if needed in axes.get(other, [own.get(other)]) and draw(st.booleans()):
            own[idle] = draw(st.sampled_from([0, 0.5, 1e-3]))
    table: dict[str, Any] = {**own, "axes": axes}
    if axes:
        cells = st.fixed_dictionaries({name: st.sampled_from(v) for name, v in axes.items()})
        table["baseline"] = draw(cells)
        crossed = draw(st.lists(st.sampled_from(sorted(axes)), min_size=1, unique=True))
        one, two = draw(cells), draw(cells)
        table["claims"] = [
            {"text": "best", "best": draw(cells)},
            {
                "text": "across",
                "not_higher": {name: one[name] for name in crossed},
                "than": {name: two[name] for name in crossed},
            },
        ]
        table["reference"] = [{**draw(cells), "test_accuracy": 0.5}]
    return table


def ended(run: Run) -> RunResult:
    accuracy = 0.5 + run.seed / 100 + int(run.run_id[:4], 16) / 2**18
    return finished(
        run.hyperparams, run.seed, accuracy, run_id=run.run_id, split_seed=run.split_seed
    )


def assert_all_is_shown(study: Study, results: list[RunResult]) -> tuple[ExperimentTable, ...]:
    made = study_tables(study, results)
    for experiment, table in zip(study.experiments, made, strict=True):
        n = len(experiment.seeds)
        assert [(row.n, row.n_seeds) for row in table.rows] == [(n, n)] * len(table.rows)
        assert len({row.label for row in table.rows}) == len(table.rows)
        assert sum(row.is_baseline for row in table.rows) == (len(table.rows) > 1)
        assert len(table.claims) == len(experiment.claims)
        # Rows of one configuration, written in two forms, all show its reference.
        referenced = {row.hyperparams for row in table.rows if row.original}
        assert len(referenced) == len(experiment.reference)
        assert not any(note.startswith("Incomplete") for note in table.notes)
    index = RunIndex(results)
    found = {run.run_id for e in study.experiments for _, by in index.of(e) for run in by.values()}
    assert found == {run.run_id for run in results}
    n_runs = len(results)
    assert summarise(study, results).startswith(f"{n_runs} of {n_runs} runs have ended")
    assert len(in_order(study, results)) == n_runs
    return made


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.sampled_from("abc"), tables(), min_size=1),
    st.sampled_from([1, 3, [4, 9, 2**40]]),
    st.sampled_from([0, "seed"]),
)
def test_everything_accepted_before_training_is_shown_after_it(
    experiments: dict[str, Any], seeds: Any, split_seed: Any
) -> None:
    document = {
        "name": "s",
        "seeds": seeds,
        "split_seed": split_seed,
        "hidden": [5, 4],
        "experiments": experiments,
    }
    try:
        study = load(tomli_w.dumps(document))
        refuse(study, FACTS)
    except ConfigError:
        assume(False)
    plan = make_plan(study, FACTS)
    results = [ended(run) for run in plan.runs]
    made = assert_all_is_shown(study, results)
    # As stored, and for any order in which its runs ended.
    stored = parse_study(to_toml(study), "s")
    assert make_plan(stored, FACTS).runs == plan.runs
    assert assert_all_is_shown(stored, results[::-1]) == made


TOP = 'name = "s"\nseeds = 2\nbatch_size = 16\n'


@pytest.mark.parametrize(
    "text",
    [
        "hidden = [5, 4, 3]\n[experiments.e]\naxes.drop_rate = [0, 0.1, [0.5, 0.5, 0.5]]\n"
        "baseline.drop_rate = 0",
        "hidden = [5, 4]\ndrop_rate = [0.2, 0.2]\n[experiments.e]\naxes.patience = [1, 2]\n"
        "baseline.patience = 1",
        "hidden = [5, 4]\n[experiments.e]\naxes.drop_rate = [0.3, [0, 0.0]]\n"
        "baseline.drop_rate = [0, 0]",
        "hidden = [5, 4]\n[experiments.e]\naxes.drop_rate = [0.3, [0, 0.0]]\n"
        "baseline.drop_rate = -0.0",
        "hidden = [5]\n[experiments.e]\naxes.drop_rate = [0.1, [0.2]]\nbaseline.drop_rate = 0.2",
        "drop_rate = [0.2, 0.2]\n[experiments.e]\naxes.hidden = [[5, 4], [4, 5]]\n"
        "baseline.hidden = [4, 5]",
        "hidden = [6, 5]\ndrop_rate = [0.2, 0.2]\n[experiments.e]",
    ],
)
def test_drop_rates_may_be_written_as_one_number_or_as_a_list(text: str) -> None:
    study = load(TOP + text)
    assert_all_is_shown(study, [ended(run) for run in make_plan(study, FACTS).runs])


def test_a_drop_rate_not_on_the_axis_is_refused_in_any_notation() -> None:
    text = "hidden = [5, 4]\n[experiments.e]\naxes.drop_rate = [0.1, 0.2]\n"
    for value in ("0.3", "[0.3, 0.3]", "[0.1, 0.2]", "[0.1, 0.1, 0.1]"):
        with pytest.raises(ConfigError, match="must be a value of its axis"):
            load(f"{TOP}{text}baseline.drop_rate = {value}")


@pytest.mark.parametrize(
    ("changes", "one", "other"),
    [
        ({"weight_std": 0.3}, {"initialization": "normal"}, {"initialization": "he"}),
        ({"weight_std": 0.3}, {"initialization": "he"}, {"initialization": "normal"}),
        ({"momentum": 0.5}, {"optimizer": "momentum"}, {"optimizer": "sgd"}),
        ({"momentum": 0.5}, {"optimizer": "sgd"}, {"optimizer": "momentum"}),
    ],
)
def test_a_claim_across_what_switches_another_hyperparameter_on_is_answered(
    changes: dict[str, Any], one: dict[str, Any], other: dict[str, Any]
) -> None:
    (name,) = one
    axes = {name: (one[name], other[name])}
    claim = Claim("x", not_higher=one, than=other)
    base = replace(Hyperparams(batch_size=16), **changes, **other)
    study = Study("s", (Experiment("e", base, axes, SEEDS, other, (claim,)),))
    results = [ended(run) for run in make_plan(study, FACTS).runs]
    (table,) = study_tables(study, results)
    (answer,) = table.claims
    left, right = (f"{name} {cell[name]}" for cell in (one, other))
    assert f"{left} against {right}" in answer.sentence


def test_results_and_cells_from_python_are_found_in_any_notation() -> None:
    base = Hyperparams(learning_rate=1, drop_rate=(0.1, 0.1, 0.1))
    cells = {"drop_rate": ((0.1, 0.1, 0.1), 0)}
    experiment = Experiment(
        "e",
        base,
        cells,
        SEEDS,
        {"drop_rate": 0.1},
        (Claim("x", best={"drop_rate": [0, 0, 0]}),),
        (Reference({"drop_rate": (0, 0, 0)}, test_accuracy=0.5),),
    )
    rates: list[Any] = [[0.1] * 3, 0.0]
    written = [replace(base, drop_rate=rate) for rate in rates]
    results = [run for hp in written for run in runs(hp, [0.9] * 5)]
    (table,) = study_tables(Study("s", (experiment,)), results)
    assert [(row.n, row.is_baseline, row.original is None) for row in table.rows] == [
        (5, True, True),
        (5, False, False),
    ]
    assert len(table.claims) == 1
