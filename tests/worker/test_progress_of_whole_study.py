"""The progress of a study of which only some runs are left to train."""

import pytest
from helpers import experiment, plan

from jmlp.training import plan as planning
from jmlp.training.records import Progress
from jmlp.worker.train_study import OfWholeStudy

# Two groups of equal work: four cohorts of one run each.
WHOLE = plan(
    experiment(seeds=(0, 1), name="first", patience=None),
    experiment(seeds=(0, 1), name="second", patience=None, optimizer="adam"),
)


def left(n: int) -> planning.Plan:
    """The plan of the last so many runs."""
    return planning.without(WHOLE, {run.run_id for run in WHOLE.runs[: len(WHOLE.runs) - n]})


@pytest.mark.parametrize(
    ("n_left", "share", "of_whole"),
    [(4, 0.0, 0.0), (4, 0.5, 0.5), (2, 0.0, 0.5), (2, 0.5, 0.75), (1, 0.0, 0.75), (1, 1.0, 1.0)],
)
def test_work_of_runs_that_have_ended_is_done(n_left: int, share: float, of_whole: float) -> None:
    of_study = OfWholeStudy(WHOLE, left(n_left), Progress())
    assert of_study(Progress(share=share)).share == pytest.approx(of_whole)


def test_groups_and_runs_are_counted_in_the_whole_study() -> None:
    of_study = OfWholeStudy(WHOLE, left(1), Progress())
    record = of_study(Progress(group=1, n_groups=1, runs_done=1, n_runs=1))
    assert (record.group, record.n_groups, record.runs_done, record.n_runs) == (2, 2, 4, 4)


def test_a_process_that_replaces_another_goes_on_where_it_was() -> None:
    before = Progress(elapsed=100.0, share=0.625)
    of_study = OfWholeStudy(WHOLE, left(2), before)
    record = of_study(Progress(elapsed=3.0, share=0.0))
    assert (record.elapsed, record.share) == (103.0, 0.625)
    assert of_study(Progress(elapsed=9.0, share=0.5)).share == pytest.approx(0.75)
