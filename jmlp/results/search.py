"""The two stages of a search: the winner among its candidates, and the confirmation of the winner.

The winner is a function of the results of the search, and so are the runs that confirm it: nothing
else is recorded of them, and whoever has the results finds the same winner.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from statistics import fmean

from jmlp.study.config import Cell, Experiment, Study
from jmlp.study.run_index import RunIndex
from jmlp.study.search import confirmation_name
from jmlp.training.plan import Plan, make_plan
from jmlp.training.records import RunResult

Standing = tuple[float, float]  # sorted by it, the best configuration is the first


def standing(runs: Collection[RunResult], n_seeds: int) -> Standing | None:
    """The place of a configuration among the candidates of a search.

    That is minus its mean validation accuracy, then its mean validation cost. Neither the test set
    nor the seeds of the confirmation have a part in it.

    Args:
        runs: the configuration's ended runs.
        n_seeds: the number of seeds of the search.

    Returns:
        None until all runs have ended, and if one of them diverged.
    """
    accuracies = [run.validation_accuracy for run in runs if run.validation_accuracy is not None]
    costs = [run.validation_cost for run in runs if run.validation_cost is not None]
    if len(accuracies) < n_seeds or len(costs) < n_seeds:
        return None
    return -fmean(accuracies), fmean(costs)


def winner(experiment: Experiment, results: RunIndex[RunResult]) -> Cell | None:
    """The candidate with the best standing; of equal ones, the first that was drawn.

    None while the search has not ended, and if each candidate has a run that diverged.
    """
    n_seeds = len(experiment.seeds)
    best: tuple[Standing, Cell] | None = None
    for configuration, runs in results.of(experiment):
        if len(runs) < n_seeds:
            return None
        place = standing(runs.values(), n_seeds)
        if configuration.cell == experiment.baseline or place is None:
            continue
        if best is None or place < best[0]:
            best = place, configuration.cell
    return best[1] if best else None


def staged(study: Study, results: Sequence[RunResult] | RunIndex[RunResult]) -> Study:
    """The study with an experiment that confirms the winner of each search, once it is known.

    Confirmations are added when all other runs have ended. Until then the groups of the plan, and
    so the bits of its runs, can't depend on how far the searches have come.

    Args:
        study: a study, with or without confirmations.
        results: the runs of the study that have ended, in any order.

    Raises:
        ValueError: two different runs have the same (configuration, seed).
    """
    planned = tuple(e for e in study.experiments if not e.confirms)
    if not any(experiment.search for experiment in planned):
        return study
    index = results if isinstance(results, RunIndex) else RunIndex(results)
    experiments: list[Experiment] = []
    for experiment in planned:
        if any(len(runs) < len(experiment.seeds) for _, runs in index.of(experiment)):
            return replace(study, experiments=planned)
        experiments.append(experiment)
        if experiment.search and (cell := winner(experiment, index)) is not None:
            experiments.append(confirmation(experiment, cell))
    return replace(study, experiments=tuple(experiments))


def staged_plan(plan: Plan, results: Collection[RunResult]) -> Plan:
    """The plan with the runs that confirm the winners of its searches, once these are known.

    Args:
        plan: the plan of a study, with or without confirmations.
        results: ended runs; those that are not in the plan are ignored.
    """
    if not any(experiment.search for experiment in plan.study.experiments):
        return plan
    planned = {run.run_id for run in plan.runs}
    study = staged(plan.study, [run for run in results if run.run_id in planned])
    return plan if study == plan.study else make_plan(study, plan.facts)


def confirmation(experiment: Experiment, cell: Cell) -> Experiment:
    """The experiment that compares the winner of a search with its baseline, on fresh seeds."""
    assert experiment.search is not None
    cells = (experiment.baseline, cell)
    return replace(
        experiment,
        name=confirmation_name(experiment.name),
        title=f"Confirmation of {experiment.title or experiment.name}",
        seeds=experiment.search.confirm,
        axes={name: tuple(dict.fromkeys(c[name] for c in cells)) for name in experiment.axes},
        search=None,
        cells=cells,
        confirms=experiment.name,
    )
