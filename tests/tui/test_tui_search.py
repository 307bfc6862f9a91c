"""A study with a search in the app: its candidates, its stages, its winner, and the form."""

from pathlib import Path

import store_runs
from store_runs import DATA, FACTS, HP
from study_texts import load
from textual.pilot import Pilot
from tui_pilot import drive, dump, ended_run, until, until_shown

from jmlp.client.choice import Choice
from jmlp.data.mnist import MNIST
from jmlp.results.search import staged_plan
from jmlp.store import Store, Submission
from jmlp.study.config import Experiment, Range, Search, Study
from jmlp.study.file import checked_study, to_toml
from jmlp.training.plan import Plan, Run, make_plan, published_facts
from jmlp.training.records import RunResult
from tui.feed import StoreView
from tui.views.form import Checked, Outline, check, choice_of
from tui.views.study import StudyQuery, StudyView

N_CANDIDATES = 200


def searched() -> Plan:
    """A search of many candidates with two seeds; the winner is confirmed with five."""
    search = Search({"learning_rate": Range("log", 1e-3, 1.0)}, N_CANDIDATES, (2, 3, 4, 5, 6))
    tuned = Experiment("tuned", HP, {}, (0, 1), {"learning_rate": 0.1}, search=search)
    return make_plan(checked_study(Study("small", (tuned,), data="small")), FACTS)


def submission(plan: Plan) -> Submission:
    return store_runs.submission(plan, data=DATA)


def result(run: Run) -> RunResult:
    """Larger learning rates are better here."""
    return ended_run(run, 0.5 + run.hyperparams.learning_rate / 4)


def train(store: Store, runs: tuple[Run, ...]) -> list[RunResult]:
    ended = [result(run) for run in runs]
    store.begin("small", [run.run_id for run in runs])
    store_runs.end(store, "small", ended)
    return ended


def view(folder: Path, query: StudyQuery) -> StudyView:
    with Store(folder, viewer=True) as store:
        seen = query(StoreView(folder, store, None))
    assert seen is not None
    return seen


def test_screen_follows_a_search_through_its_stages(tmp_path: Path) -> None:
    first, query = searched(), StudyQuery("small")
    with Store(tmp_path) as store:
        store.submit(submission(first))
        results = train(store, first.runs[:10])
        seen = view(tmp_path, query)
        assert [(e.title, len(e.lines)) for e in seen.experiments] == [
            ("tuned: searching", N_CANDIDATES + 1)
        ]
        assert (seen.n_done, seen.n_runs) == (10, 402)
        results += train(store, first.runs[10:])
        second = staged_plan(first, results)
        store.submit(submission(second))
        seen = view(tmp_path, query)
        assert [(e.title, len(e.lines)) for e in seen.experiments] == [
            ("tuned: searched", N_CANDIDATES + 1),
            ("Confirmation of tuned: confirming", 2),
        ]
        assert (seen.n_done, seen.n_runs) == (402, 412)
        train(store, tuple(run for run in second.runs if run.seed > 1))
        store.set_study("small", "done")
    seen = view(tmp_path, query)
    assert seen.experiments[1].title == "Confirmation of tuned: confirmed"
    baseline, winner = seen.experiments[1].lines
    assert (baseline.is_baseline, winner.is_baseline) == (True, False)
    rates = [line.hyperparams.learning_rate for line in seen.experiments[0].lines]
    assert winner.hyperparams.learning_rate == max(rates)
    assert [table.name for table in seen.tables] == ["tuned", "tuned-confirmation"]
    assert seen.tables[1].differences[0].comparison.verdict == "no spread"

    async def steps(pilot: Pilot[int]) -> None:
        await until_shown(pilot, "small")
        await pilot.press("enter")
        await until_shown(pilot, "tuned: searched")
        await pilot.press("end")
        await until_shown(pilot, "confirmed")
        await until(pilot, lambda: winner.label in dump(pilot.app))

    drive(tmp_path, steps, (120, 36))


def test_form_keeps_a_search_and_says_what_is_searched() -> None:
    text = """
    name = "s"
    seeds = 3
    [experiments.tuned]
    baseline = { learning_rate = 0.1, hidden = [20] }
    search = { configurations = 7, learning_rate = { log = [1e-4, 1] }, hidden = [[20], [9, 9]] }
    """
    outline = Outline(load(text))
    assert [part.text for part in outline.parts] == ["search, 8 configurations × 3 seeds"]
    assert outline.axes("tuned") == []
    assert outline.hint("learning_rate", ["tuned"]) == "searched: 0.0001 to 1 (logarithmic)"
    assert outline.hint("hidden", ["tuned"]) == "searched: 20 or 9–9"


def test_study_with_a_search_is_checked_and_changed_in_the_form(tmp_path: Path) -> None:
    plan = searched()
    path = tmp_path / "small.toml"
    path.write_text(to_toml(plan.study).replace('data = "small"', 'data = "mnist"'))
    origin = Choice(str(path))

    def checked(texts: dict[str, str]) -> Checked:
        return check(choice_of(origin, (), texts), origin, lambda data: published_facts(MNIST), 2)

    found = checked({"epochs": "7"})
    assert "201 configurations × 2 seeds" in found.plan[0]
    assert (
        "  then the winner of tuned and its baseline, each with 5 fresh seeds: 10 runs"
        in found.plan
    )
    assert found.changed is not None
    (experiment,) = found.changed.study.experiments
    assert experiment.search == plan.study.experiments[0].search
    (problem,) = checked({"learning_rate": "0.2"}).problems
    assert problem[0] == "learning_rate"
    assert "is searched in experiment tuned" in problem[1]
