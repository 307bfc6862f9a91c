"""The stages of a search: its rounds, the winner of the last one, and the winner's confirmation.

The candidates of a further round are a function of the results of the one before, and so are the
winner and the runs that confirm it: nothing else is recorded of them, and whoever has the results
finds the same ones.
"""

import itertools
from collections.abc import Collection, Sequence
from dataclasses import replace
from statistics import fmean

from jmlp.study.config import Cell, Experiment, Study
from jmlp.study.run_index import RunIndex
from jmlp.study.search import confirmation_name, round_name, rounds
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


def ranked(experiment: Experiment, results: RunIndex[RunResult]) -> tuple[Cell, ...]:
    """The candidates of a search that have a standing, the best first.

    Of equal ones, the first that was drawn comes first. Empty while the search, or this round of
    it, has not ended, and if each candidate has a run that diverged.
    """
    if not _has_ended(experiment, results):
        return ()
    n_seeds = len(experiment.seeds)
    placed = []
    for configuration, runs in results.of(experiment):
        place = standing(runs.values(), n_seeds)
        if configuration.cell != experiment.baseline and place is not None:
            placed.append((place, configuration.cell))
    placed.sort(key=lambda candidate: candidate[0])
    return tuple(cell for _, cell in placed)


def _has_ended(experiment: Experiment, results: RunIndex[RunResult]) -> bool:
    return all(len(runs) >= len(experiment.seeds) for _, runs in results.of(experiment))


def staged(study: Study, results: Sequence[RunResult] | RunIndex[RunResult]) -> Study:
    """The study with what its results add to its searches: further rounds, and confirmations.

    A stage is added when all runs of the stages before have ended, those of other experiments
    included. So the plan of a stage can't depend on how far single searches have come.

    Args:
        study: a study, with or without later stages.
        results: the runs of the study that have ended, in any order.

    Raises:
        ValueError: two different runs have the same (configuration, seed).
    """
    chains = [[experiment] for experiment in study.experiments if not experiment.search_name]
    if not any(search.search for (search,) in chains):
        return study
    index = results if isinstance(results, RunIndex) else RunIndex(results)
    n_before = 0
    while n_before < (n := sum(map(len, chains))):
        n_before = n
        if not all(_has_ended(experiment, index) for chain in chains for experiment in chain):
            break
        for chain in chains:
            search, last = chain[0], chain[-1]
            if last.search and (candidates := ranked(last, index)):
                chain.append(next_stage(search, last, candidates))
    return replace(study, experiments=tuple(itertools.chain.from_iterable(chains)))


def staged_plan(plan: Plan, results: Collection[RunResult]) -> Plan:
    """The plan with the runs that its results add to its searches.

    Args:
        plan: the plan of a study, with or without later stages.
        results: ended runs; those that are in no stage are ignored.
    """
    if not any(experiment.search for experiment in plan.study.experiments):
        return plan
    by_id = {result.run_id: result for result in results}
    while True:
        ended = [by_id[run.run_id] for run in plan.runs if run.run_id in by_id]
        study = staged(plan.study, ended)
        if study == plan.study:
            return plan
        plan = make_plan(study, plan.facts)


def next_stage(search: Experiment, last: Experiment, candidates: Sequence[Cell]) -> Experiment:
    """The round after the one that has ended, or the confirmation of the winner after the last.

    Args:
        search: the experiment in the study.
        last: its last stage so far, a round, or `search` itself.
        candidates: those of `last`, the best first.
    """
    assert last.search is not None
    title = search.title or search.name
    stage = replace(last, search_name=search.name, stage=last.stage + 1)
    if not last.search.halving:
        compared = (search.baseline, candidates[0])
        return replace(
            stage,
            name=confirmation_name(search.name),
            title=f"Confirmation of {title}",
            seeds=last.search.confirm,
            axes=_axes(search, compared),
            search=None,
            cells=compared,
        )
    _, (_, n), *_ = rounds(last.search, search.base.epochs)
    kept = tuple(candidates[:n])
    cells = (search.baseline, *kept)
    number = stage.stage + 1
    return replace(
        stage,
        name=round_name(search.name, number),
        title=f"Round {number} of {title}",
        axes=_axes(search, cells),
        search=replace(
            last.search, configurations=len(kept), halving=last.search.halving[1:], drawn=kept
        ),
        cells=cells,
    )


def _axes(search: Experiment, cells: Sequence[Cell]) -> dict[str, tuple[object, ...]]:
    """The values of each searched hyperparameter that occur in some cells."""
    return {name: tuple(dict.fromkeys(cell[name] for cell in cells)) for name in search.axes}
