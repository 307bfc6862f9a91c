"""`jmlp replay`: one page of a stored run or study."""

import base64
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import Here
from replays import data_in
from store_runs import diverged_result, end, fill, plan, submission

from jmlp.cli import replay
from jmlp.cli.store_option import find_one
from jmlp.inspection import boundary_records, records
from jmlp.inspection.client import Inspector, Say
from jmlp.inspection.helper import ANSWERS
from jmlp.inspection.records import Inspection
from jmlp.results.curves import mean_curve
from jmlp.store import RunRow, Store

TRAIN = ["train", "--data", "small.npz", "--hidden", "5,4", "--batch-size", "16", "--quiet"]


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Inspects runs where JAX runs already, with a cache that is empty at first."""

    def ask(self: Inspector, do: str, say: Say, stop: object = None, **request: Any) -> Any:
        del stop
        return ANSWERS[do]({"store": str(self.folder), **request}, say)

    monkeypatch.setattr(Inspector, "ask", ask)
    monkeypatch.setenv("JMLP_HOME", str(tmp_path / "home"))


def test_a_run_is_written_with_the_numbers_of_the_store_and_its_inspection(here: Here) -> None:
    assert here(*TRAIN, "--epochs", "3", "--lr", "0.1").code == 0
    done = here("replay", "last", "--json")
    said = json.loads(done.out)
    with Store(here.folder / "store", viewer=True) as store:
        (row,) = store.find_runs("last")
        points = store.points(row.run_id)
    assert said["file"] == f"replays/{row.run_id[:8]}.html"
    text = (here.folder / said["file"]).read_text(encoding="utf-8")
    assert said["bytes"] == len(text.encode())
    assert done.err == f"replay: {said['file']}, {said['bytes'] / 1e6:.2f} MB\n"
    shown = data_in(text)
    (cached,) = records.folder().glob("*.safetensors")
    inspection = records.read(cached)
    (network,) = shown["networks"]
    np.testing.assert_array_equal(network["cost"], inspection.cost)
    np.testing.assert_array_equal(network["gradient_norm"], inspection.gradient_norm)
    assert network["confusion"] == [
        inspection.confusion(e).ravel().tolist() for e in range(len(inspection.epochs))
    ]
    curves = shown["experiments"][0]["configurations"][0]["curves"]
    assert curves["training_accuracy"]["mean"] == [p.training_accuracy for p in points]
    assert row.result is not None
    accuracy = f"{100 * (row.result.validation_accuracy or 0):.2f}"
    assert f"validation accuracy {accuracy}\N{NO-BREAK SPACE}%" in text


def test_a_run_that_ends_while_it_is_read_is_read_again(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert here(*TRAIN, "--epochs", "1").code == 0
    asked, inspect = [], Inspector.inspect

    def before(store: Store, name: str) -> RunRow:
        return dataclasses.replace(find_one(store, name), ended_at=None, result=None)

    def counted(self: Inspector, run_id: str, *rest: Any) -> Inspection | None:
        asked.append(run_id)
        return inspect(self, run_id, *rest)

    monkeypatch.setattr(replay, "find_one", before)
    monkeypatch.setattr(Inspector, "inspect", counted)
    assert here("replay", "last", "-o", "page.html").code == 0
    assert len(asked) == 2
    text = (here.folder / "page.html").read_text(encoding="utf-8")
    assert "Not ended" not in text
    assert "The network of epoch" in text


def test_a_run_on_two_numbers_has_its_boundary(here: Here) -> None:
    train = ["train", "--data", "moons:n=60", "--epochs", "2", "--batch-size", "8", "--quiet"]
    assert here(*train).code == 0
    assert here("replay", "last", "-o", "page.html").code == 0
    (network,) = data_in((here.folder / "page.html").read_text(encoding="utf-8"))["networks"]
    (cached,) = records.folder().glob("*boundary*")
    boundary = boundary_records.read(cached)
    shown = network["boundary"]
    assert (shown["x"], shown["y"]) == (boundary.x.tolist(), boundary.y.tolist())
    packed = np.frombuffer(base64.b64decode(shown["bytes"]), np.uint8)
    planes = packed.reshape(len(network["epochs"]), 2, len(boundary.y), len(boundary.x))
    np.testing.assert_array_equal(planes[:, 0], boundary.probability.argmax(axis=-1) + 1)
    assert shown["points"] == boundary.points[~boundary.is_training].tolist()


def test_a_study_is_written_with_the_curves_of_its_report(here: Here) -> None:
    assert here("study", "small.toml", "--seeds", "3", "--output", "out", "--quiet").code == 0
    done = here("replay", "small", "-o", "page.html")
    assert (done.code, done.out) == (0, "")
    assert done.err.splitlines()[-1].startswith("replay: page.html, 0.")
    shown = data_in((here.folder / "page.html").read_text(encoding="utf-8"))
    with Store(here.folder / "store", viewer=True) as store:
        results = store.results("small")
    assert [len(e["configurations"]) for e in shown["experiments"]] == [2, 2]
    assert len(shown["networks"]) == 3  # one is in both experiments
    dropped = [run.costs for run in results if run.hyperparams.drop_rate]
    curve = mean_curve(dropped, "validation_cost")
    found = shown["experiments"][0]["configurations"][1]["curves"]["validation_cost"]
    assert found["mean"] == curve.mean.tolist()
    assert found["low"] == curve.low.tolist()

    before = (here.folder / "page.html").read_bytes()
    assert here("replay", "small", "-o", "page.html", "--force").code == 0
    assert (here.folder / "page.html").read_bytes() == before
    assert here("replay", "small", "-o", "one.html", "--experiment", "norm").code == 0
    one = data_in((here.folder / "one.html").read_text(encoding="utf-8"))
    assert [len(e["configurations"]) for e in one["experiments"]] == [2]
    done = here("replay", "small", "--experiment", "nor")
    assert (done.code, done.out) == (2, "")
    assert "small has no nor; did you mean norm?" in done.err


def test_a_tag_names_a_run(here: Here) -> None:
    assert here(*TRAIN, "--epochs", "1").code == 0
    assert here("runs", "tag", "last", "--add", "mine").code == 0
    assert here("replay", "mine", "-o", "page.html", "-q") == (0, "", "")
    done = here("replay", "mine", "--experiment", "train")
    assert done == (2, "", "jmlp: error: --experiment: mine is a run; leave it out\n")


@pytest.fixture
def folder(here: Here) -> Path:
    return here.folder / "store"


def refused(here: Here, code: int, *arguments: str) -> str:
    """What is said where nothing is written."""
    done = here("replay", *arguments)
    assert (done.code, done.out) == (code, "")
    assert not list(here.folder.glob("**/*.html"))
    return done.err


def test_unknown_names_and_several_runs_are_refused(folder: Path, here: Here) -> None:
    fill(folder)
    assert "matches no run; did you mean small?" in refused(here, 4, "smal")
    assert "all: matches 6 runs" in refused(here, 2, "all")


def test_a_file_is_replaced_only_by_force_and_unwritable_paths_are_refused(
    folder: Path, here: Here
) -> None:
    fill(folder)
    (here.folder / "mine.txt").write_text("mine", encoding="utf-8")
    said = refused(here, 4, "small", "-o", "mine.txt")
    assert said == (
        "jmlp: error: mine.txt: exists; give another name to --output, or replace it with --force\n"
    )
    assert "mine.txt/page.html: cannot be written" in refused(
        here, 4, "small", "-o", "mine.txt/page.html"
    )
    assert "is a folder; give --output the name of a file" in refused(here, 4, "small", "-o", ".")
    assert "-o: must not be empty" in refused(here, 2, "small", "-o", "")


def test_what_has_no_networks_is_refused(folder: Path, here: Here) -> None:
    made = plan()
    fill(folder, n_left=6)
    assert "small: there is nothing to replay: no run has ended yet" in refused(here, 4, "small")
    queued = made.runs[5].run_id[:12]
    assert "has no snapshots yet (" in refused(here, 4, queued)
    with Store(folder) as store:
        end(store, "small", [diverged_result(made.runs[0], step=0)])
    assert "before its first step: there is nothing to inspect" in refused(here, 4, "last")


def test_a_run_whose_data_are_gone_is_refused(here: Here) -> None:
    assert here(*TRAIN, "--epochs", "1").code == 0
    (here.folder / "small.npz").unlink()
    assert "small.npz" in refused(here, 3, "last")


def test_a_study_whose_name_fits_no_file_wants_one(folder: Path, here: Here) -> None:
    with Store(folder) as store:
        store.submit(submission(plan(), label="../up"))
    message = "../up: not a valid name for a file; give one with --output"
    assert refused(here, 2, "../up") == f"jmlp: error: {message}\n"
