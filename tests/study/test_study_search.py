"""Searches in study files: what is drawn, and that it stays the same."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from study_texts import load, problems

from jmlp.study.config import Experiment, Method, Search, canonical, configurations
from jmlp.study.file import change_study, checked_study, parse_study, to_toml
from jmlp.study.search import METHODS

STUDY = """
name = "s"
seeds = 3
hidden = [16]
[experiments.tuned]
baseline = { learning_rate = 0.1, drop_rate = 0, hidden = [32] }
[experiments.tuned.search]
configurations = 6
learning_rate = { log = [1e-4, 1] }
drop_rate = { uniform = [0, 0.6] }
hidden = [[32], [32, 16]]
"""


def tuned(text: str = STUDY, **flags: object) -> Experiment:
    return load(text, **flags).experiments[0]


def search(text: str = STUDY, **flags: object) -> Search:
    found = tuned(text, **flags).search
    assert found is not None
    return found


def drawn(name: str, line: str, n: int, method: Method, baseline: str = "0.1") -> list[float]:
    """The values of one searched hyperparameter."""
    text = f"""
    name = "s"
    seeds = 1
    [experiments.tuned]
    baseline.{name} = {baseline}
    search = {{ configurations = {n}, method = "{method}", seed = 7, {name} = {line} }}
    """
    return [cell[name] for cell in search(text).drawn]


# What is drawn


def test_candidates_follow_the_baseline_in_the_order_in_which_they_are_drawn() -> None:
    # From scipy.stats.qmc.Sobol(3, scramble=True, rng=numpy.random.default_rng(0)) by hand: the
    # first point, with a dimension for each of hidden, learning rate and drop rate, is
    # (0.4099, 0.9641, 0.8577), so hidden is the first of two, and 1e-4 ** (1 - 0.9641) = 0.7186.
    experiment = tuned()
    assert experiment.cells == (
        {"hidden": (32,), "learning_rate": 0.1, "drop_rate": 0.0},
        {"hidden": (32,), "learning_rate": 0.7186, "drop_rate": 0.5146},
        {"hidden": (32, 16), "learning_rate": 0.0004956, "drop_rate": 0.1699},
        {"hidden": (32, 16), "learning_rate": 0.02202, "drop_rate": 0.3826},
        {"hidden": (32,), "learning_rate": 0.001732, "drop_rate": 0.1144},
        {"hidden": (32,), "learning_rate": 0.0758, "drop_rate": 0.2306},
        {"hidden": (32, 16), "learning_rate": 0.003507, "drop_rate": 0.5662},
    )
    assert [c.cell for c in configurations(experiment)] == list(experiment.cells)
    assert (experiment.base.learning_rate, experiment.base.hidden) == (0.1, (32,))


@pytest.mark.parametrize("method", METHODS)
def test_logarithmic_range_is_uniform_in_the_logarithm(method: Method) -> None:
    values = np.log(drawn("learning_rate", "{ log = [1e-4, 1] }", 500, method))
    uniform = stats.uniform(math.log(1e-4), -math.log(1e-4))
    assert stats.kstest(values, uniform.cdf).pvalue > 0.01
    # Neither the values themselves nor another range would pass.
    assert stats.kstest(np.exp(values), uniform.cdf).pvalue < 1e-6
    assert stats.kstest(values, stats.uniform(math.log(1e-3), -math.log(1e-3)).cdf).pvalue < 1e-6


@pytest.mark.parametrize("method", METHODS)
def test_uniform_range_is_uniform(method: Method) -> None:
    values = drawn("drop_rate", "{ uniform = [0.2, 0.6] }", 500, method)
    assert 0.2 <= min(values) < 0.202
    assert 0.598 < max(values) <= 0.6
    assert stats.kstest(values, stats.uniform(0.2, 0.4).cdf).pvalue > 0.01


def test_integers_of_a_range_are_equally_probable_and_include_both_ends() -> None:
    text = STUDY.replace("hidden = [[32], [32, 16]]", "patience = { uniform = [1, 4] }")
    text = text.replace("hidden = [32] }", "patience = 2 }").replace("= 6", "= 400")
    values = [cell["patience"] for cell in search(text).drawn]
    assert {type(value) for value in values} == {int}
    assert np.bincount(values, minlength=5).tolist() == [0, 100, 100, 100, 100]


def test_integers_of_a_logarithmic_range_have_the_probability_of_the_reals_up_to_the_next() -> None:
    text = STUDY.replace("hidden = [[32], [32, 16]]", "batch_size = { log = [1, 7] }")
    text = text.replace("hidden = [32] }", "batch_size = 2 }").replace("= 6", "= 960")
    values = [cell["batch_size"] for cell in search(text).drawn]
    # 960 log2((i + 1) / i) / log2(8): 320 for 1, 187 for 2, 133 for 3 ...
    expected = [960 * math.log((i + 1) / i) / math.log(8) for i in range(1, 8)]
    assert np.bincount(values, minlength=8)[1:] == pytest.approx(expected, abs=6)


def test_choices_are_equally_probable() -> None:
    values = [cell["hidden"] for cell in search(STUDY.replace("= 6", "= 128")).drawn]
    assert abs(values.count((32,)) - 64) <= 1


@pytest.mark.parametrize("method", METHODS)
def test_more_candidates_begin_with_the_same_ones(method: Method) -> None:
    text = STUDY.replace("= 6", f'= 6\nmethod = "{method}"')
    few = search(text).drawn
    assert search(text.replace("= 6", "= 70")).drawn[:6] == few
    assert search(text.replace("= 6", "= 6\nseed = 1")).drawn != few


def test_candidates_are_different_networks_and_none_is_the_baseline() -> None:
    text = """
    name = "s"
    seeds = 1
    [experiments.tuned]
    baseline = { batch_size = 2, patience = 3 }
    search = { configurations = 11, batch_size = [1, 2, 3], patience = { uniform = [1, 4] } }
    """
    experiment = tuned(text)
    networks = {canonical(replace(experiment.base, **cell)) for cell in experiment.cells}
    assert len(networks) == len(experiment.cells) == 12  # all there are


def test_order_of_the_keys_does_not_matter() -> None:
    lines = STUDY.strip().splitlines()
    assert tuned("\n".join([*lines[:-3], *reversed(lines[-3:])])) == tuned()


# Seeds


def test_seeds_of_the_confirmation_are_the_smallest_that_the_search_does_not_use() -> None:
    assert search().confirm == tuple(range(3, 13))
    assert search(STUDY.replace("= 6", "= 6\nconfirm = 2")).confirm == (3, 4)
    assert search(STUDY.replace("seeds = 3", "seeds = [1, 3]")).confirm[:4] == (0, 2, 4, 5)
    assert search(seeds=5).confirm == tuple(range(5, 15))
    assert search(STUDY.replace("= 6", "= 6\nconfirm = [99, 5]")).confirm == (99, 5)


def test_runs_are_counted_with_those_of_the_confirmation() -> None:
    text = STUDY.replace("seeds = 3", "seeds = 90000").replace("= 6", "= 1\nconfirm = 10001")
    assert problems(text)[0].startswith("experiments.tuned: 200,002 runs ")


# Studies in the store


def test_written_study_lists_its_candidates_and_is_read_back_as_an_equal_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = load(STUDY)
    text = to_toml(study)
    # Another version of SciPy may draw others, so nothing is drawn again.
    monkeypatch.setattr("jmlp.study.search._points", lambda search: iter(()))
    assert parse_study(text, "stored") == study
    assert to_toml(parse_study(text, "stored")) == text


@pytest.mark.parametrize("key", ["seed=1", "configurations=7", "drop_rate={uniform=[0,0.1]}"])
def test_changed_search_in_a_stored_study_draws_new_candidates(key: str) -> None:
    stored = to_toml(load(STUDY))
    flag = f"experiments.tuned.search.{key}"
    assert change_study(stored, "s", overrides=[flag]) == load(STUDY, overrides=[flag])


def test_other_seeds_for_the_confirmation_keep_the_candidates() -> None:
    changed = change_study(to_toml(load(STUDY)), "s", seeds=5, overrides=["epochs=7"])
    assert changed.experiments[0].search == replace(search(), confirm=tuple(range(5, 15)))


def test_search_built_in_python_is_checked_and_drawn_like_one_in_a_file() -> None:
    study = load(STUDY)
    (experiment,) = study.experiments
    built = replace(experiment, cells=(), search=replace(search(), drawn=()))
    assert checked_study(replace(study, experiments=(built,))) == study


def test_value_for_all_experiments_is_refused_where_it_is_searched() -> None:
    assert problems(STUDY, overrides=["learning_rate=0.2"]) == [
        "--set learning_rate: learning_rate is searched in experiment tuned: change that, as in "
        "--set experiments.tuned.baseline.learning_rate=VALUE, or choose other experiments with "
        "--experiment"
    ]
    changed = tuned(overrides=["experiments.tuned.baseline.learning_rate=0.2"])
    assert changed.base.learning_rate == 0.2
