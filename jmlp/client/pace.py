"""How long a study will train: a rule of thumb, corrected by the networks trained in this store."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jmlp.client.stored_data import read_data
from jmlp.errors import JmlpError
from jmlp.store import Store, StudyRow
from jmlp.study.config import Hyperparams
from jmlp.study.file import parse_study
from jmlp.system import environment
from jmlp.system.files import is_there
from jmlp.training.eta import EVALUATION_SHARE
from jmlp.training.plan import (
    TRAINING_SAMPLE,
    Group,
    Plan,
    cpu_slots,
    evaluations,
    make_plan,
    n_parameters,
)
from jmlp.training.records import RunResult

# The rule of thumb, in seconds of one core of the years 2020 to 2025. From the sweeps in
# docs/reference/performance.md: 40 epochs of 784-20-7-5-10 take 2 s of a core at batch size 128,
# and 5.1 s at batch size 16.
PER_EXAMPLE = 1e-7
PER_WEIGHT = 3e-11  # of every example
PER_UPDATE = 3.5e-5
STARTING = 5.0  # of the process
COMPILING = 2.0  # of the programs of a group

FEWEST_SECONDS = 10.0  # of training that the store must have for a measured pace
MOST_RUNS = 2000  # of a study that is looked at for it
STUDIES = 5  # that are looked at, the newest


@dataclass(frozen=True)
class Pace:
    """Seconds of a core, as a multiple of the rule of thumb."""

    factor: float = 1.0
    n_runs: int = 0  # that it was measured on; 0: it is the rule of thumb itself


def training_seconds(plan: Plan, n_cores: int, pace: Pace) -> float:
    """The time until a plan is trained in which every network goes to its limit of epochs.

    Args:
        plan: the plan.
        n_cores: the number of CPU cores.
        pace: as measured on this machine, or the rule of thumb.
    """
    seconds = STARTING
    for group in plan.groups:
        cohorts = [
            sum(_core_seconds(plan, run.hyperparams, run.hyperparams.epochs) for run in cohort.runs)
            for cohort in group.cohorts
        ]
        wall = max(*cohorts, sum(cohorts) / n_cores)
        seconds += COMPILING + pace.factor * wall
    return seconds


def at_a_time(plan: Plan, n_cores: int) -> int:
    """The largest number of networks in training at the same time."""
    most = 0
    for group in plan.groups:
        sizes = sorted((len(cohort.runs) for cohort in group.cohorts), reverse=True)
        most = max(most, sum(sizes[: n_cores * cpu_slots(plan, group, n_cores)]))
    return most


def measured_pace(folder: Path) -> Pace:
    """The pace of the newest studies that were trained in a store on CPU cores.

    Returns:
        The rule of thumb if the store has too few seconds of training, or cannot be read.
    """
    expected = measured = 0.0
    n_runs = 0
    try:
        if not is_there(folder):
            return Pace()
        with Store(folder, viewer=True) as store:
            done = [row for row in reversed(store.studies()) if row.state == "done"]
            for row in done[:STUDIES]:
                if store.counts(row.label)[1] <= MOST_RUNS:
                    results = [run.result for run in store.runs(row.label)]
                    by_id = {run.run_id: run for run in results if run is not None}
                    parts = _measured(row, by_id)
                    expected, measured = expected + parts[0], measured + parts[1]
                    n_runs += parts[2]
    except JmlpError:  # the screens say what is wrong with the store
        return Pace()
    if measured < FEWEST_SECONDS or expected <= 0:
        return Pace()
    return Pace(measured / expected, n_runs)


def _measured(row: StudyRow, results: Mapping[str, RunResult]) -> tuple[float, float, int]:
    """Core seconds by the rule of thumb, those that were measured, and the number of runs."""
    plan = make_plan(parse_study(row.toml, row.label), read_data(row.data, row.label).facts)
    n_cores = row.hardware["cores"] or environment.default_cores()
    expected = measured = 0.0
    n_runs = 0
    for group in plan.groups:
        runs = [results.get(run.run_id) for cohort in group.cohorts for run in cohort.runs]
        trained = [run for run in runs if run is not None and _is_measured(run)]
        if len(trained) < len(runs):
            continue  # some were never trained, on other hardware, or by an earlier version
        seconds = {run.run_id: run.training_seconds or 0.0 for run in trained}
        of_cohorts = [max(seconds[run.run_id] for run in c.runs) for c in group.cohorts]
        measured += _wall(plan, group, of_cohorts, n_cores) * min(n_cores, len(of_cohorts))
        expected += sum(_core_seconds(plan, run.hyperparams, run.stopped_epoch) for run in trained)
        n_runs += len(trained)
    return expected, measured, n_runs


def _is_measured(run: RunResult) -> bool:
    return run.training_seconds is not None and run.provenance.device.startswith("cpu")


def _wall(plan: Plan, group: Group, of_cohorts: list[float], n_cores: int) -> float:
    """Seconds of a group, given those of its cohorts, of which several train at a time."""
    side_by_side = min(len(of_cohorts), n_cores * cpu_slots(plan, group, n_cores))
    return max(*of_cohorts, sum(of_cohorts) / side_by_side)


def _core_seconds(plan: Plan, hp: Hyperparams, epochs: float) -> float:
    """Seconds of one core for one run, by the rule of thumb."""
    facts, when = plan.facts, evaluations(plan.n_training, hp)
    n_weights = n_parameters(hp, facts.n_in, facts.n_classes)
    evaluated = (min(plan.n_training, TRAINING_SAMPLE) + plan.n_validation) * EVALUATION_SHARE
    examples = plan.n_training + evaluated * when.n_steps / when.interval
    per_epoch = examples * (PER_EXAMPLE + PER_WEIGHT * n_weights) + PER_UPDATE * when.n_steps
    return epochs * per_epoch
