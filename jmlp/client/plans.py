"""Checks and describes what a study would train."""

from collections.abc import Iterator, Sequence

from jmlp.client.pace import Pace, at_a_time, training_seconds
from jmlp.results import crosschecks
from jmlp.study.config import Experiment, Study, n_configurations
from jmlp.study.search import rounds
from jmlp.training import plan as planning
from jmlp.training.plan import DataFacts, Plan

_NAMED = 3  # experiments named in front of a note


def facts_of(study: Study) -> DataFacts:
    """What a plan needs to know about a study's data; published ones need not be loaded for it.

    Args:
        study: the study; what counts is its data, and what it says about a table.

    Raises:
        DataError: the data cannot be loaded.
    """
    from jmlp import data as datasets
    from jmlp.data.sources import PUBLISHED, check_options

    options = planning.table_options(study)
    if study.data in PUBLISHED:
        check_options(study.data, options)
        return planning.published_facts(PUBLISHED[study.data])
    return planning.data_facts(datasets.load(study.data, options=options))


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


def plan_notes(plan: Plan, *, urgent: bool = False) -> list[str]:
    """Remarks that users should read before they train a plan.

    Args:
        plan: the plan.
        urgent: only those that are also said when training begins.
    """
    experiments = plan.study.experiments
    notes = []
    for text, names in crosschecks.remarks_before(plan.study, plan.facts, urgent=urgent):
        some = ", ".join(names[:_NAMED]) + (" …" if len(names) > _NAMED else "")
        notes.append(text if len(names) == len(experiments) else f"{some}: {text}")
    return notes


def plain_lines(plan: Plan, n_cores: int, pace: Pace) -> list[str]:
    """Describes a plan in everyday words: how many networks, how long, and how much memory.

    Args:
        plan: the plan of the study.
        n_cores: number of CPU cores that will train.
        pace: as measured on this machine, or the rule of thumb.
    """
    n_runs, experiments = len(plan.runs), plan.study.experiments
    grids = [(e.name, n_configurations(e), len(e.seeds)) for e in experiments]
    networks = _count(n_runs, "network")
    if len(grids) == 1:
        ((_, n, seeds),) = grids
        lines = [f"{networks} to train: {_count(n, 'configuration')} × {_count(seeds, 'seed')}"]
    else:
        lines = [f"{networks} to train"]
        for name, n, seeds in grids:
            grid = f"{_count(n, 'configuration')} × {_count(seeds, 'seed')}"
            lines.append(f"  {name}: {grid} = {n * seeds:,}")
    lines += [f"  {line}" for line in _later_lines(experiments)]
    if (n_all := sum(n * seeds for _, n, seeds in grids)) > n_runs:
        lines.append(f"  equal ones are trained once: {n_all:,} in the tables, {n_runs:,} to train")
    lines += [plan.facts.about] if plan.facts.about else []
    lines.append(f"up to {at_a_time(plan, n_cores):,} at a time, on {_count(n_cores, 'core')}")
    lines.append(f"{time_text(plan, n_cores, pace)} of training, {_source(pace)}")
    if _may_stop(plan):
        lines.append("  less where training stops early: see patience")
    lines.append(f"about {planning.size_text(planning.memory(plan, n_cores))} of memory")
    return lines + [f"note: {note}" for note in plan_notes(plan)]


def time_text(plan: Plan, n_cores: int, pace: Pace) -> str:
    """How long a plan takes, such as `up to about 9 minutes`; "up to" where it may stop early."""
    seconds = training_seconds(plan, n_cores, pace)
    if seconds < 60:
        return "less than a minute"
    for unit, length in (("minute", 60), ("hour", 3600), ("day", 86400)):
        if seconds < 100 * length or unit == "day":
            about = f"about {_count(round(seconds / length), unit)}"
            break
    return f"up to {about}" if _may_stop(plan) else about


def plan_lines(plan: Plan, n_cores: int, pace: Pace) -> list[str]:
    """Describes a plan to experts: experiments, then groups, then the resources they need.

    Args:
        plan: the plan of the study.
        n_cores: number of CPU cores that will train.
        pace: as measured on this machine, or the rule of thumb.
    """
    lines = [f"study {plan.study.name} on {plan.study.data}"]
    lines += [f"  {plan.facts.about}"] if plan.facts.about else []
    for experiment in plan.study.experiments:
        n, seeds = n_configurations(experiment), len(experiment.seeds)
        grid = f"{_count(n, 'configuration')} x {_count(seeds, 'seed')}"
        lines.append(f"  {experiment.name}: {grid} = {_count(n * seeds, 'run')}")
    lines += [f"  {line}" for line in _later_lines(plan.study.experiments)]
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
    lines.append(f"{time_text(plan, n_cores, pace)} on {_count(n_cores, 'core')}, {_source(pace)}")
    return lines + [f"note: {note}" for note in plan_notes(plan)]


def later_runs(plan: Plan) -> int:
    """The number of runs that the results of a plan's searches will add to it.

    These are further rounds, and the confirmation of each winner. There are fewer of them where
    candidates diverge.
    """
    return sum(n for _, n in _later_stages(plan.study.experiments))


def _later_lines(experiments: Sequence[Experiment]) -> Iterator[str]:
    for text, n_runs in _later_stages(experiments):
        yield f"{text}: {_count(n_runs, 'run')}"


def _later_stages(experiments: Sequence[Experiment]) -> Iterator[tuple[str, int]]:
    """What is trained when searches have ended, unless the plan has it already; and its runs."""
    latest = {e.search_name or e.name: e for e in experiments}  # the last stage comes last
    for name, experiment in latest.items():
        search = experiment.search
        if search is None:
            continue
        n_seeds = len(experiment.seeds)
        for epochs, n in rounds(search, experiment.base.epochs)[1:]:
            best = "the best candidate" if n == 1 else f"the best {n} candidates"
            again = f"for {_count(epochs, 'epoch')}, each with {_count(n_seeds, 'seed')}"
            yield f"then {best} of {name} and the baseline {again}", (n + 1) * n_seeds
        n_fresh = len(search.confirm)
        fresh = f"each with {_count(n_fresh, 'fresh seed')}"
        yield f"then the winner of {name} and its baseline, {fresh}", 2 * n_fresh


def _may_stop(plan: Plan) -> bool:
    """Whether some network may stop before its limit of epochs."""
    return any(run.hyperparams.patience is not None for run in plan.runs)


def _source(pace: Pace) -> str:
    if pace.n_runs:
        return f"by the pace of {_count(pace.n_runs, 'network')} in this store"
    return "by a rule of thumb"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"
