"""How long a study will train: a rule of thumb, corrected by the networks trained in this store."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from jmlp.client.stored_data import read_data
from jmlp.errors import JmlpError
from jmlp.store import Store, StudyRow
from jmlp.study.config import Hyperparams, per_layer
from jmlp.study.file import parse_study
from jmlp.system import environment
from jmlp.system.files import is_there
from jmlp.training.plan import (
    MOMENTS,
    TRAINING_SAMPLE,
    Group,
    Plan,
    cpu_slots,
    evaluations,
    make_plan,
    n_parameters,
)
from jmlp.training.records import RunResult

# The rule of thumb, in seconds of one core of the years 2017 to 2025. From the sweeps in
# docs/reference/performance.md, where a core does about 65e9 operations per second, and the parts
# of a step in docs/explanation/best.md, measured on a core that did half as many.
PER_OPERATION = 1 / 65e9  # of the products
PER_NUMBER = 2e-9  # of the parameters that one pass of an update reads or writes in memory
CACHED = 200_000  # parameters whose passes take hardly any time
PER_RANDOM = 3e-9  # of the random numbers of dropout
PER_SHIFTED_PIXEL = 2.5e-9
PER_TURNED_PIXEL = 1.5e-8  # whether it is also shifted or not
PER_DISTORTED_PIXEL = 3e-8  # likewise, and whether it is also turned or not
PER_UPDATE = 2.5e-5  # whatever the size of the network
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
    when = evaluations(plan.n_training, hp)
    n_evaluated = min(plan.n_training, TRAINING_SAMPLE) + plan.n_validation
    evaluation = n_evaluated * PER_OPERATION * 2 * sum(_weights(plan, hp))
    update = hp.batch_size * _example_seconds(plan, hp) + _update_seconds(plan, hp)
    return epochs * when.n_steps * (update + evaluation / when.interval)


def _example_seconds(plan: Plan, hp: Hyperparams) -> float:
    """What an example of a mini-batch takes: products, dropout, augmentation.

    The mini-batch of a cohort is augmented once for all its lanes; here each lane pays for it.
    """
    first, *others = _weights(plan, hp)  # the gradient of the inputs is not computed
    operations = 2 * (2 * first + 3 * sum(others))
    rates = per_layer(hp.drop_rate, hp.hidden)
    n_random = sum(hp.hidden) * any(rates) + plan.facts.n_in * bool(hp.input_drop_rate)
    pixel = PER_SHIFTED_PIXEL if hp.shift else 0.0
    if hp.rotation or hp.elastic:
        pixel = PER_DISTORTED_PIXEL if hp.elastic else PER_TURNED_PIXEL
    return operations * PER_OPERATION + n_random * PER_RANDOM + plan.facts.n_in * pixel


def _update_seconds(plan: Plan, hp: Hyperparams) -> float:
    """What an update takes whatever the size of the mini-batch.

    It reads the gradient, and reads and writes the parameters and each moment of the optimiser.
    """
    n = n_parameters(hp, plan.facts.n_in, plan.facts.n_classes)
    passes = 3 + 2 * MOMENTS.get(hp.optimizer, 2)
    return PER_UPDATE + PER_NUMBER * passes * max(0, n - CACHED)


def _weights(plan: Plan, hp: Hyperparams) -> list[int]:
    """The number of weights of each layer."""
    sizes = (plan.facts.n_in, *hp.hidden, plan.facts.n_classes)
    return [fan_in * fan_out for fan_in, fan_out in pairwise(sizes)]
