"""`jmlp runs show` and `jmlp runs diff`: all of one run, and what two runs differ in."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import Here
from run_lists import cells, short
from store_runs import end, fill, plan, points, result, submission

from jmlp.store import Store
from jmlp.training.plan import Run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a store of six runs: one diverged, four finished, one is not done yet."""
    monkeypatch.setenv("JMLP_RUNS", str(tmp_path / "store"))
    fill(tmp_path / "store", n_left=1)
    return tmp_path / "store"


@pytest.fixture
def runs(folder: Path) -> tuple[Run, ...]:
    """The runs of that store in its order."""
    return plan().runs


# show


def test_show_prints_everything_known(runs: tuple[Run, ...], here: Here) -> None:
    done = here("runs", "show", runs[1].run_id[:6])
    assert (done.code, done.err) == (0, "")
    pairs = [line.strip().split("  ", 1) for line in done.out.splitlines() if line.startswith("  ")]
    told = {pair[0]: pair[1].strip() for pair in pairs if len(pair) == 2}
    expected = {
        "state": "stopped early",
        "experiments": "rates",
        "learning rate": "0.1",
        "test accuracy": "90.10 %",
        "validation cost": "0.0990",
        "lane width": "8",
        "version of jax": "0.10.0",
        "SHA-256 of x_train": "a1",
        "source": "made up",
    }
    assert {name: told[name] for name in expected} == expected
    assert told["file"].endswith(f"/store/runs/{runs[1].run_id}.safetensors")
    assert " UTC  started at update 0\n" in done.out
    assert " UTC  stopped early at update 40\n" in done.out


def test_show_has_the_first_the_best_and_the_last_cost_or_all_of_them(
    folder: Path, runs: tuple[Run, ...], here: Here
) -> None:
    with Store(folder) as store:
        end(store, "small", [result(runs[5], best_epoch=2)])

    def shown(*arguments: str) -> list[list[str]]:
        out = here("runs", "show", "last", *arguments).out
        return cells(out[out.index("Costs (5 points)\n") + 17 :].split("\n\n")[0])

    first = ["first", "0", "0", "–", "1.0000", "0.5000", "0.00", "0.00"]
    best = ["best", "2", "20", "0.5000", "0.3333", "0.1667", "20.00", "10.00"]
    last = ["last", "4", "40", "0.3000", "0.2000", "0.1000", "40.00", "20.00"]
    assert shown() == [first, best, last]
    assert [row[-7:] for row in shown("--costs")][::2] == [first[1:], best[1:], last[1:]]
    assert len(shown("--costs")) == 5


def test_show_as_json_has_settings_result_costs_data_and_events(
    folder: Path, runs: tuple[Run, ...], here: Here
) -> None:
    told = json.loads(here("runs", "show", runs[0].run_id, "--json").out)
    assert (told["run_id"], told["number"], told["state"]) == (runs[0].run_id, 1, "diverged")
    assert told["hyperparams"]["learning_rate"] == 0.2
    assert told["result"]["diverged_at"] == 7
    assert "costs" not in told["result"]
    assert told["costs"]["training_cost"] == [1.0, "NaN"]
    assert told["data"]["digests"] == {"x_train": "a1", "y_train": "b2"}
    assert [event["kind"] for event in told["events"]] == ["started", "diverged"]
    assert told["events"][0]["at"].endswith("+00:00")
    waiting = json.loads(here("runs", "show", runs[5].run_id, "--json").out)
    assert (waiting["result"], waiting["file"], waiting["costs"]["epoch"]) == (None, None, [0, 1])


def test_show_of_a_run_without_costs_and_of_a_failed_one(tmp_path: Path, here: Here) -> None:
    made = plan(rates=(0.1,), n_seeds=1)
    with Store(tmp_path / "s") as store:
        store.submit(submission(made))
        store.fail("small", [made.runs[0].run_id], 6, "out\nof memory")
    told = here("runs", "show", "small", "--store", str(tmp_path / "s")).out
    assert "state        failed (code 6): out\\nof memory\n" in told
    assert "Costs" not in told


# diff


def test_diff_has_only_what_differs_side_by_side(runs: tuple[Run, ...], here: Here) -> None:
    done = here("runs", "diff", runs[1].run_id, runs[3].run_id, "--json")
    told = json.loads(done.out)
    assert told["runs"] == [runs[1].run_id, runs[3].run_id]
    assert told["differences"]["Configuration"] == {
        "learning rate": ["0.1", "0.2"],
        "seed": ["0", "1"],
    }
    outcome = told["differences"]["Outcome"]
    assert outcome["best epoch"] == ["40", "41"]
    assert outcome["test accuracy"] == ["0.901", "0.903"]
    assert "training cost" not in outcome
    assert told["differences"].keys() == {"Configuration", "Outcome"}
    assert told["same_numbers"] is False
    assert told["first_different_update"] is None

    table = here("runs", "diff", runs[1].run_id, runs[3].run_id).out
    lines = [line.split() for line in table.splitlines()]
    assert short([runs[1], runs[3]]) in lines
    assert ["learning", "rate", "0.1", "0.2"] in lines
    assert table.endswith("\n\nNot the same numbers.\n")


def test_diff_names_versions_and_the_update_from_which_costs_differ(
    folder: Path, runs: tuple[Run, ...], here: Here
) -> None:
    other = result(runs[5])
    curve = list(points(5))
    curve[3] = replace(curve[3], validation_cost=np.nextafter(curve[3].validation_cost, 1))
    where = replace(other.provenance, versions={"jax": "0.12.0"})
    with Store(folder) as store:
        end(store, "small", [replace(other, costs=tuple(curve), provenance=where)])
    told = json.loads(here("runs", "diff", runs[4].run_id, runs[5].run_id, "--json").out)
    assert told["differences"]["Made with"] == {"version of jax": ["0.10.0", "0.12.0"]}
    assert told["first_different_update"] == 30


def test_runs_of_other_settings_may_have_the_same_numbers(
    folder: Path, runs: tuple[Run, ...], here: Here
) -> None:
    twin = result(runs[4])
    with Store(folder) as store:
        end(store, "small", [replace(twin, run_id=run.run_id) for run in (runs[4], runs[5])])
    said = here("runs", "diff", runs[4].run_id, runs[5].run_id).out
    assert said.endswith("\n\nThe same numbers, to the last bit.\n")
    assert "learning rate" in said
    weights = twin.params[0].dense.W.copy()
    weights.view(np.uint8)[0, 0] ^= 1
    layer = twin.params[0]._replace(dense=twin.params[0].dense._replace(W=weights))
    changed = replace(twin, run_id=runs[5].run_id, params=(layer, *twin.params[1:]))
    with Store(folder) as store:
        end(store, "small", [changed])
    said = here("runs", "diff", runs[4].run_id, runs[5].run_id).out
    assert said.endswith("\n\nNot the same numbers.\n")


def test_run_with_costs_that_are_no_numbers_has_the_same_numbers_as_itself(
    runs: tuple[Run, ...], here: Here
) -> None:
    said = "The same numbers, to the last bit.\n"
    assert here("runs", "diff", runs[0].run_id, runs[0].run_id) == (0, said, "")


def test_diff_with_a_run_that_has_not_ended_does_not_judge_its_numbers(
    runs: tuple[Run, ...], here: Here
) -> None:
    said = here("runs", "diff", runs[4].run_id, runs[5].run_id).out
    assert said.endswith(
        "\n\nTheir cost curves differ from update 20 on.\n"
        "Not all numbers can be compared: a run that has not ended has no file.\n"
    )
