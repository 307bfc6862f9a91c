"""`jmlp study` from a study file to a folder: it resumes where it was, and loses nothing."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import store_runs
from commands import (
    STUDY,
    Done,
    Here,
    Inline,
    command,
    disturb,
    python,
)

from jmlp import report
from jmlp.client.submitting import study_label
from jmlp.data import load_mnist, mnist
from jmlp.errors import DataError
from jmlp.report import read_csv
from jmlp.store import Store
from jmlp.study.file import SHIPPED
from jmlp.training.records import Progress

ORIGINAL_PLAN = """\
study original on mnist
  batch-size: 8 configurations x 5 seeds = 40 runs
  dropout: 10 configurations x 5 seeds = 50 runs
  final: 4 configurations x 5 seeds = 20 runs
95 runs, each once, in 9 groups:
  hidden 20-7-5, batch size 128: 50 runs in 5 cohorts of 10 lanes
  hidden 20-7-5, batch size 128, batch norm: 10 runs in 5 cohorts of 2 lanes
  hidden 20-7-5, batch size 16: 5 runs in 5 cohorts of 1 lane
  hidden 20-7-5, batch size 32: 5 runs in 5 cohorts of 1 lane
  hidden 20-7-5, batch size 64: 5 runs in 5 cohorts of 1 lane
  hidden 20-7-5, batch size 256: 5 runs in 5 cohorts of 1 lane
  hidden 20-7-5, batch size 512: 5 runs in 5 cohorts of 1 lane
  hidden 20-7-5, batch size 1024: 5 runs in 5 cohorts of 1 lane
  hidden 20-7-5, batch size 2048: 5 runs in 5 cohorts of 1 lane
9 training programs to compile, about 1.0 GB of memory
up to about 6 minutes on 2 cores, by a rule of thumb
note: dropout: A drop rate of 0.9 drops all 5 units of a hidden layer at once in 59 % of cases, \
and then nothing passes through it.
"""


def without_jax(*arguments: str, cwd: Path) -> Done:
    """Runs the command in a separate process, and fails if it starts JAX."""
    code = (
        "import sys; from jmlp.cli import main; code = main(sys.argv[1:])\n"
        "sys.exit('jax was imported' if 'jax' in sys.modules else code)"
    )
    return python("-c", code, *arguments, cwd=cwd)


def runs(folder: Path) -> dict[str, Any]:
    """The runs of a report by id."""
    return by_id((folder / "results.json").read_text(encoding="utf-8"))


def by_id(text: str) -> dict[str, Any]:
    """The runs of a document by id, without what differs each time: their order and durations."""
    document = json.loads(text)
    found = {run["run_id"]: {**run, "training_seconds": None} for run in document["runs"]}
    assert len(found) == len(document["runs"])
    return found


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the report, which takes longer than a small study."""
    monkeypatch.setattr(report, "write_report", lambda *arguments, **more: None)


# The plan


def test_dry_run_prints_the_plan_of_the_original_without_data_and_without_jax(
    tmp_path: Path,
) -> None:
    done = without_jax("study", "original", "--dry-run", "--cores", "2", cwd=tmp_path)
    assert done == (0, ORIGINAL_PLAN, "")
    assert list(tmp_path.iterdir()) == []


def test_dry_run_as_json(here: Here) -> None:
    done = here("study", "small.toml", "--dry-run", "--json", "--cores", "1")
    static = {"hidden": [5, 4], "batch_size": 16, "optimizer": "sgd", "initialization": "he"}
    static |= {"schedule": "constant", "evaluate_every": "epoch", "backward_fault": "none"}
    static |= {"training_fault": "none"}
    static |= {"batch_norm_place": "before", "batch_norm_scale": True}
    static |= {"activation": "relu", "class_weight": "none", "features": []}
    static |= {"shift": 0, "rotation": 0.0, "elastic": 0.0}
    plan = json.loads(done.out)
    assert 600_000_000 < plan.pop("memory") < 700_000_000
    assert 5 < plan.pop("seconds_at_most") < 60
    assert plan == {
        "study": "small",
        "runs": 6,
        "later_runs": 0,
        "groups": [
            {**static, "batch_norm": False, "lanes": 2, "cohorts": 2, "runs": 4},
            {**static, "batch_norm": True, "lanes": 1, "cohorts": 2, "runs": 2},
        ],
        "compiles": 2,
        "notes": [
            "With 2 seeds there is no verdict and no claim is settled: 5 are needed.",
            "One of the 60 test examples is 1.7 points of accuracy, more than the smallest "
            "difference that counts (0.5).",
        ],
    }
    assert (done.code, done.err) == (0, "")


# From end to end


def test_study_prints_its_tables_and_writes_a_report_and_a_second_call_trains_nothing(
    here: Here,
) -> None:
    first = here("study", "small.toml", "--output", "out")
    assert first.code == 0
    assert first.err.startswith("training 6 runs in 2 groups on 2 x cpu: ")
    assert first.err.endswith("\nreport: out/report.html\n")
    headings = [line for line in first.out.splitlines() if line and line[0] not in " -"]
    names = ["Differences to the baseline", "Notes"]
    assert headings == ["rate: Drop rate", *names, "norm", *names]
    for label in ("drop rate none", "drop rate 0.5", "batch norm no", "batch norm yes"):
        assert f" {label} " in first.out

    out = here.folder / "out"
    found = runs(out)
    assert len(found) == 6
    assert all(0 <= run["test_accuracy"] <= 1 for run in found.values())
    in_both = [run for run in found.values() if run["experiments"] == ["rate", "norm"]]
    assert sorted(run["seed"] for run in in_both) == [0, 1]
    assert {row["run_id"] for row in read_csv(out / "results.csv")} == found.keys()
    names = ["report.html", "report.md", "study.toml", "plots/rate-accuracy.svg"]
    assert all((out / name).stat().st_size for name in names)

    again = without_jax("study", "small.toml", "--output", "out", cwd=here.folder)
    told = (
        f"6 of 6 runs are in {here.folder / 'store'} already (--fresh trains them again)\n"
        "report: out/report.html\n"
    )
    assert again == (0, first.out, told)
    assert runs(out) == found


def test_synthetic_study_goes_to_a_folder_of_its_name_and_changes(here: Here) -> None:
    options = ["--experiment", "norm", "--seeds", "1", "--epochs", "1", "--data", "synthetic"]
    done = command("study", "small.toml", *options, cwd=here.folder)
    assert done.code == 0
    assert "\nreport: reports/small-norm-synthetic-epochs-1/report.html\n" in done.err
    assert len(runs(here.folder / "reports" / "small-norm-synthetic-epochs-1")) == 2


def test_json_is_the_document_of_the_results_and_quiet_leaves_nothing_on_stderr(
    here: Here,
) -> None:
    done = here("study", "small.toml", "-o", "out", "--json", "--quiet")
    assert (done.code, done.err) == (0, "")
    document = json.loads(done.out)
    kept = json.loads((here.folder / "out" / "results.json").read_text(encoding="utf-8"))
    assert document.pop("created")
    assert kept.pop("created")
    assert document == kept


@pytest.mark.usefixtures("no_report")
def test_more_seeds_train_only_what_is_new_and_give_the_same_numbers(here: Here) -> None:
    here("study", "small.toml")
    grown = here("study", "small.toml", "--seeds", "3", "--json")
    assert grown.code == 0
    assert f"6 of 9 runs are in {here.folder / 'store'} already" in grown.err
    assert "training 3 runs in 2 groups on " in grown.err
    fresh = here("study", "small.toml", "--seeds", "3", "--json", "--store", "other")
    assert by_id(grown.out) == by_id(fresh.out)


@pytest.mark.usefixtures("no_report")
def test_fresh_trains_everything_again_to_the_same_numbers(here: Here) -> None:
    first = here("study", "small.toml", "--json")
    again = here("study", "small.toml", "--json", "--fresh")
    assert "training 6 runs in 2 groups on " in again.err
    assert "already" not in again.err
    assert again.code == 0
    assert by_id(again.out) == by_id(first.out)
    with Store(here.folder / "store", viewer=True) as store:
        assert {run.attempt for run in store.runs()} == {2}


@pytest.mark.usefixtures("no_report")
def test_run_that_was_trained_for_one_experiment_is_part_of_another_that_is_added(
    here: Here,
) -> None:
    here("study", "small.toml", "--experiment", "norm")
    whole = here("study", "small.toml", "--json")
    assert "4 of 6 runs are in " in whole.err
    both = [run for run in by_id(whole.out).values() if len(run["experiments"]) == 2]
    assert len(both) == 2


# Stopped


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize(
    ("number", "options"), [(signal.SIGINT, []), (signal.SIGTERM, ["--fresh"])]
)
def test_stopped_study_keeps_finished_runs_and_resumes_to_undisturbed_results(
    number: signal.Signals, options: list[str], here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(progress: Progress) -> None:
        if progress.results:
            Inline.asked.reason = 0  # as if the starter had gone
            signal.raise_signal(number)

    with monkeypatch.context() as patch:
        disturb(patch, stop)
        stopped = here("study", "small.toml", *options)
    # Two devices train the cohorts of both seeds side by side, so the first group ends at once.
    told = (
        "interrupted: 4 of 6 runs of small are done; jmlp resume small, or the same command, "
        "continues\n"
    )
    assert (stopped.code, stopped.out) == (128 + number, "")
    assert stopped.err.endswith(told)

    went_on = here("study", "small.toml", "--json")
    assert "training 2 runs in 1 group on " in went_on.err
    undisturbed = here("study", "small.toml", "--json", "--store", "other")
    assert by_id(went_on.out) == by_id(undisturbed.out)


ENDLESS = "[experiments.endless]\nbatch_norm = true\nepochs = 100000\npatience = 'none'\n"


def test_signal_to_the_process_ends_it_after_saving(here: Here) -> None:
    (here.folder / "small.toml").write_text(STUDY + ENDLESS, encoding="utf-8")
    short = ["--experiment", "rate", "--experiment", "endless", "--seeds", "1"]
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "jmlp", "study", "small.toml", *short],
        cwd=here.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        assert any(line.startswith("group 2/2: ") for line in lines)
        assert any(line.startswith("epoch ") for line in lines)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, out) == (130, "")
    label = "small-rate-endless"
    told = (
        f"interrupted: 2 of 3 runs of {label} are done; jmlp resume {label}, or the same "
        "command, continues\n"
    )
    assert err.endswith(told)
    assert "Traceback" not in err
    with Store(here.folder / "store", viewer=True) as store:
        assert store.study(label).state == "interrupted"
        assert [run.state for run in store.runs(label)] == ["finished", "finished", "queued"]


@pytest.mark.parametrize(
    "line", ["--help", "study original --dry-run", "study small.toml --output out --quiet"]
)
def test_reader_that_leaves_ends_the_command_quietly(line: str, here: Here) -> None:
    if "out" in line:  # so that tables are shown at once
        here(*line.split())
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "jmlp", *line.split()],
        cwd=here.folder,
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


# Diverged


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        ([], 0, ""),
        (
            ["--fail-on", "diverged"],
            7,
            "jmlp: error: 4 of 4 runs diverged (--fail-on diverged)\n",
        ),
    ],
)
def test_diverged_runs_are_a_result_with_a_warning_unless_they_are_to_fail(
    options: list[str], code: int, told: str, here: Here
) -> None:
    broken = ["--set", "learning_rate=1e30", "--experiment", "rate", "-o", "out"]
    done = here("study", "small.toml", *broken, *options)
    assert done.code == code
    assert done.err.endswith(f"warning: 4 of 4 runs diverged\nreport: out/report.html\n{told}")
    assert " seed 0 diverged @" in done.out
    found = runs(here.folder / "out").values()
    assert {(run["status"], run["test_accuracy"]) for run in found} == {("diverged", None)}
    assert (here.folder / "out" / "report.html").is_file()


# The real thing


@pytest.mark.mnist
@pytest.mark.usefixtures("no_report")
def test_original_study_on_the_real_mnist(here: Here) -> None:
    try:
        load_mnist()
    except DataError as reason:
        pytest.skip(str(reason))
    short = ["--experiment", "final", "--seeds", "1", "--epochs", "1"]
    done = here("study", "original", *short, "-o", "out", "--json", "--quiet")
    assert (done.code, done.err) == (0, "")
    document = json.loads(done.out)
    assert document["data"]["digests"] == mnist.MNIST.digests
    accuracies = {
        (run["hyperparams"]["batch_norm"], run["hyperparams"]["drop_rate"]): run["test_accuracy"]
        for run in document["runs"]
    }
    assert accuracies.keys() == {(False, 0.0), (False, 0.5), (True, 0.0), (True, 0.5)}
    assert all(0 <= accuracy <= 1 for accuracy in accuracies.values())
    assert accuracies[True, 0.0] > 0.25  # one epoch is little, but it learns


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ([], "original"),
        (["dropout", "synthetic", "epochs-5"], "original-dropout-synthetic-epochs-5"),
        (["../mine.npz", "hidden=[3, 2]"], "original-mine.npz-hidden-3-2"),
        (["é" * 300], "original"),
        (["b" * 300], f"original-{'b' * 182}-d0a7ad6c"),
    ],
)
def test_a_changed_study_has_a_name_of_its_own(changes: list[str], label: str) -> None:
    assert study_label("original", changes) == label


# However a configuration is written

SPELLINGS = """
name = "spellings"
data = "small.npz"
seeds = 1
epochs = 1
hidden = [5, 4]
batch_size = 83
momentum = 0.5

[experiments.rate]
axes.drop_rate = [0.1, [0.5, 0.5], [0, -0.0]]
baseline.drop_rate = 0

[experiments.optimizer]
drop_rate = [0.1, 0.1]
axes.optimizer = ["sgd", "momentum"]
baseline.optimizer = "sgd"
[[experiments.optimizer.claims]]
text = "momentum does not help"
not_higher.optimizer = "momentum"
than.optimizer = "sgd"
"""


@pytest.mark.usefixtures("no_report")
def test_trained_configurations_are_shown_in_any_notation(here: Here) -> None:
    (here.folder / "spellings.toml").write_text(SPELLINGS, encoding="utf-8")
    done = here("study", "spellings.toml")
    assert done.code == 0, done.err
    assert "4 runs" in done.err  # the drop rate of 0.1 with sgd is in both experiments
    assert "Incomplete" not in done.out
    assert "0 of 1" not in done.out
    assert (
        "momentum does not help. Not settled: optimizer momentum against optimizer sgd" in done.out
    )


@pytest.mark.parametrize("name", SHIPPED)
def test_a_template_is_the_shipped_file_and_a_study_of_ones_own(name: str, here: Here) -> None:
    done = here("study", "--template", name)
    shipped = Path(report.__file__).parents[1] / "study" / "shipped" / f"{name}.toml"
    assert done == (0, shipped.read_text(encoding="utf-8"), "")
    (here.folder / "mine.toml").write_text(done.out, encoding="utf-8")
    mine, theirs = (here("study", source, "--dry-run") for source in ("mine.toml", name))
    assert mine == theirs
    assert mine.code == 0


def test_study_in_the_store_is_changed_by_the_command(here: Here) -> None:
    store_runs.fill(here.folder / "store")
    again = ("study", "--again", "small", "--dry-run", "--cores", "2", "--data", "synthetic")
    done = here(*again, "--set", "learning_rate=0.1, 0.2, 0.4*", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["runs"] == 9
    done = here("study", "small.toml", *again[1:])
    assert done.code == 2
    assert done.err.endswith("--again small: is a study by itself; leave small.toml out\n")
