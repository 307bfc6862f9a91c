"""Checks and describes what a study would train."""

import math

from jmlp.results import crosschecks
from jmlp.study.config import Study
from jmlp.training import plan as planning
from jmlp.training.plan import DataFacts, Plan

# Seconds for compiling the programs of one group, at least and at most, on two cores of 2020 to
# 2025. It is reported only if there are many groups.
COMPILE_SECONDS = (1, 5)
MANY_GROUPS = 100

_NAMED = 3  # experiments named in front of a note


def facts_of(data: str) -> DataFacts:
    """What a plan needs to know about data; for MNIST, that is known without loading it.

    Args:
        data: the data as a study names them: "mnist", "synthetic", or a path.

    Raises:
        DataError: the data cannot be loaded.
    """
    from jmlp import data as datasets

    if data == "mnist":
        return planning.mnist_facts()
    return planning.data_facts(datasets.load(data))


def checked_plan(study: Study, facts: DataFacts, n_cores: int) -> Plan:
    """Plans a study, and checks that it can and should be trained.

    Args:
        study: the study to be trained.
        facts: the facts about its data.
        n_cores: number of CPU cores that will train.

    Raises:
        ConfigError: it does not fit its data or this machine, or part of it would be meaningless.
    """
    plan = planning.make_plan(study, facts)
    crosschecks.refuse(study, facts)
    planning.check_memory(plan, n_cores)
    return plan


def plan_notes(plan: Plan) -> list[str]:
    """Remarks that users should read before they train a plan."""
    experiments = plan.study.experiments
    notes = []
    for text, names in crosschecks.remarks_before(plan.study, plan.facts):
        some = ", ".join(names[:_NAMED]) + (" …" if len(names) > _NAMED else "")
        notes.append(text if len(names) == len(experiments) else f"{some}: {text}")
    return notes


def plan_lines(plan: Plan, n_cores: int) -> list[str]:
    """Describes a plan to users: experiments, then groups, then the resources they need.

    Args:
        plan: the plan of the study.
        n_cores: number of CPU cores that will train.
    """
    lines = [f"study {plan.study.name} on {plan.study.data}"]
    for experiment in plan.study.experiments:
        n, seeds = math.prod(map(len, experiment.axes.values())), len(experiment.seeds)
        grid = f"{_count(n, 'configuration')} x {_count(seeds, 'seed')}"
        lines.append(f"  {experiment.name}: {grid} = {_count(n * seeds, 'run')}")
    n_runs, n_groups = len(plan.runs), len(plan.groups)
    lines.append(f"{_count(n_runs, 'run')}, each once, in {_count(n_groups, 'group')}:")
    for group in plan.groups:
        sizes = [len(cohort.runs) for cohort in group.cohorts]
        lines.append(
            f"  {planning.group_name(group)}: {_count(sum(sizes), 'run')} in "
            f"{_count(len(group.cohorts), 'cohort')} of {_count(max(sizes), 'lane')}"
        )
    size = planning.size_text(planning.memory(plan, n_cores))
    lines.append(f"{_count(n_groups, 'training program')} to compile, about {size} of memory")
    if n_groups >= MANY_GROUPS:
        least, most = (_duration(n_groups * seconds) for seconds in COMPILE_SECONDS)
        lines.append(f"compiling alone takes from {least} to {most}, the first time")
    return lines + [f"note: {note}" for note in plan_notes(plan)]


def _duration(seconds: float) -> str:
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.0f} hours"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"
