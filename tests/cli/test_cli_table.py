"""The command on a table: checked, trained, predicted and verified from any folder."""

import json

import numpy as np
import pytest
from commands import Here

from jmlp.data.order import split

TABLE = "size,colour,kind\n" + "".join(
    f"{100 + 50 * (i % 2) + i % 5},{'red' if i % 3 else 'blue'},{'ab'[i % 2]}\n" for i in range(60)
)
FLAGS = ["--data", "things.csv", "--label", "kind", "--test", "0.25"]
TRAIN = ["train", *FLAGS, "--hidden", "6", "--batch-size", "8", "--lr", "0.3", "--epochs", "20"]


def test_from_a_table_to_the_class_of_a_row(here: Here) -> None:
    (here.folder / "things.csv").write_text(TABLE, encoding="utf-8")
    done = here("data", "check", *FLAGS[1:])
    assert done.code == 0
    assert done.out.startswith(
        "things.csv: 45 rows for training, 15 for the test; 2 classes, 2 features: 1 number "
        "standardised by the training part, 1 category one-hot\n  kind: "
    )
    assert "digest" not in done.out
    assert here(*TRAIN, "--save", "net.safetensors", "--quiet").code == 0
    for network in ("net.safetensors", "last"):
        done = here("predict", network, "things.csv", "--json")
        assert done.code == 0, done.err
        said = json.loads(done.out)
        assert said["classes"] == ["a", "b"]
        right = [row["class"] == "ab"[i % 2] for i, row in enumerate(said["rows"])]
        assert np.mean(right) > 0.9
    done = here("predict", "last", "size=152", "colour=red", "--plain")
    assert done.out.startswith("row 1: b (")
    assert done.err == ""
    done = here("predict", "last", "size=152000", "colour=red")
    # The sizes are 100 to 154, with a standard deviation of 25.
    assert "warning: size of row 1 is 6.0" in done.err
    assert "standard deviations from the mean of the training part: such a" in done.err
    done = here("predict", "last", "size=152000", "colour=red", "--json")
    assert len(json.loads(done.out)["cautions"]) == 1
    done = here("predict", "last")
    assert done.code == 2
    assert "last: give what to classify: a picture" in done.err
    done = here("predict", "last", "size=152", "colour=green")
    assert done.code == 3
    assert "column colour: row 1 is 'green', which the training table does not have" in done.err
    assert here("predict", "last", "size=1", "size=2").code == 2
    assert here("export", "last", "--as", "safetensors", "--output", "again.safetensors").code == 0
    done = here("predict", "again.safetensors", "things.csv")
    assert "of 60 rows as in column kind" in done.err
    assert here("verify", "last").code == 0
    (here.folder / "things.csv").write_text(TABLE.replace("102", "103"), encoding="utf-8")
    done = here("verify", "last")
    assert done.code == 3
    assert "the data have changed since the runs were trained" in done.err


def test_an_array_of_numbers_is_a_table_and_takes_arrays(here: Here) -> None:
    y = np.arange(60) % 2
    x = np.stack([100.0 + 50 * y, np.arange(60) % 7], axis=1)
    np.savez(here.folder / "own.npz", x_train=x, y_train=y)
    done = here("data", "check", "own.npz")
    assert done.out.startswith(
        "own.npz: 60 rows; 2 classes, 2 features: 2 numbers standardised by the training part\n"
        "  label: 30 0, 30 1\n  column 1: a number from 100 to 150\n"
    )
    train = [*TRAIN, "--save", "net.safetensors", "--quiet"]
    train[1:7] = ["--data", "own.npz"]
    assert here(*train).code == 0
    np.save(here.folder / "rows.npy", x)
    done = here("predict", "net.safetensors", "rows.npy", "--json")
    said = json.loads(done.out)
    assert [row["class"] for row in said["rows"]] == [str(label) for label in y]
    np.save(here.folder / "rows.npy", x[:, :1])
    done = here("predict", "net.safetensors", "rows.npy")
    assert done.code == 3
    assert "rows.npy: shape (60, 1); the network was trained on 2 columns" in done.err


@pytest.mark.parametrize("kind", ["npz", "csv"])
def test_a_class_that_is_not_trained_on_is_named_with_the_plan_and_when_training_begins(
    here: Here, kind: str
) -> None:
    y = np.arange(60) % 2
    y[split(60, 0, 0.2)[1][:2]] = 2
    x = np.arange(60) * 7 % 13
    if kind == "npz":
        np.savez(here.folder / "own.npz", x_train=np.uint8(np.stack([x, y], 1)), y_train=y)
        about = 'data = "own.npz"'
    else:
        rows = (f"{a},{'abc'[b]}\n" for a, b in zip(x, y, strict=True))
        (here.folder / "own.csv").write_text("x,kind\n" + "".join(rows), encoding="utf-8")
        about = 'data = "own.csv"\nlabel = "kind"\nstratify = false'
    settings = "seeds = 1\nepochs = 1\nbatch_size = 8\nhidden = [2]"
    text = f'name = "own"\n{about}\n{settings}\n[experiments.one]\n'
    (here.folder / "own.toml").write_text(text, encoding="utf-8")
    told = f"note: The training part has no example of class {'2' if kind == 'npz' else 'c'}: a "
    assert told in here("study", "own.toml", "--dry-run").out
    assert told in here("study", "own.toml").err


def test_what_is_said_of_a_table_is_refused_elsewhere(here: Here) -> None:
    done = here("train", "--label", "kind")
    assert done.code == 3
    assert "mnist: is not a table" in done.err
    done = here("train", *FLAGS[:4], "--missing", "zero")
    assert done.code == 2


STUDY = """
name = "kinds"
data = "synthetic"
seeds = 2
epochs = 3
hidden = [4]
batch_size = 8
[experiments.rate]
axes.learning_rate = [0.1, 0.3]
baseline.learning_rate = 0.1
"""


def test_a_study_is_trained_on_a_table_by_the_options_of_the_command(here: Here) -> None:
    (here.folder / "things.csv").write_text(TABLE, encoding="utf-8")
    (here.folder / "kinds.toml").write_text(STUDY, encoding="utf-8")
    done = here("study", "kinds.toml", *FLAGS, "--leave-out", "colour", "--name", "k")
    assert done.code == 0, done.err
    assert "learning rate 0.3" in done.out
    (plan,) = [json.loads(here("study", "--again", "k", "--dry-run", "--json").out)]
    assert plan["runs"] == 4
    by_text = here("study", "kinds.toml", "--data", "things.csv", "--set", "label=kind", "-n")
    by_flag = here("study", "kinds.toml", "--data", "things.csv", "--label", "kind", "-n")
    assert by_flag == by_text
    assert "2 features" in by_flag.out
    done = here("study", "things.csv")
    assert done.code == 2
    assert "things.csv: is a table, not a study file: jmlp study demo --data things.csv" in done.err


def test_a_finished_study_whose_table_has_changed_is_trained_anew_and_says_so(here: Here) -> None:
    (here.folder / "things.csv").write_text(TABLE, encoding="utf-8")
    (here.folder / "kinds.toml").write_text(STUDY, encoding="utf-8")
    train = ["study", "kinds.toml", *FLAGS, "--name", "k"]
    assert here(*train).code == 0
    assert "have changed" not in here(*train).err
    (here.folder / "things.csv").write_text(TABLE.replace("102", "103"), encoding="utf-8")
    done = here("study", "--again", "k")
    assert done.code == 0
    assert "warning: the data of k have changed since it was trained (" in done.err
    assert "--name NAME keeps the old table" in done.err
    assert "training 4 runs" in done.err
    assert "have changed" not in here("study", "--again", "k").err
    done = here("resume", "k")
    assert "k: is done; the command needs" in done.err
    assert "jmlp study --again k --seeds N" in done.err


def test_a_checked_table_is_described_column_by_column(here: Here) -> None:
    rows = "".join(f"{i * i},{'' if i in (3, 7) else i % 5},{'ab'[i % 2]}\n" for i in range(30))
    (here.folder / "rows.csv").write_text(f"id,size,kind\n{rows}", encoding="utf-8")
    done = here("data", "check", "rows.csv", "--label", "kind", "--missing", "mean")
    assert done.out.splitlines()[1:] == [
        "  kind: 15 a, 15 b",
        "  id: a number from 0 to 841; as all of them differ, leave it out if it only names the "
        "rows",
        "  size: a number from 0 to 4; missing in 2 rows, replaced by the mean",
        "  no test set (--test): no verdicts",
    ]
    done = here("data", "check", "rows.csv", "--label", "kind", "--missing", "drop")
    assert "  2 more rows have missing values, and are left out" in done.out.splitlines()
    done = here("data", "check", "rows.csv", "--label", "kind")
    assert "row 4, column size: the value is missing, and 2 of 30 rows lack one (size)" in done.err
    (here.folder / "rows.csv").unlink()
    done = here("data", "check", "rows.csv", "--label", "kind")
    assert done.err.startswith("jmlp: error: rows.csv: there is no such file or folder: put it")
    done = here("data", "check", "moons:nois=3")
    assert "data: 'moons:nois=3': moons has no parameter nois; did you mean noise?" in done.err
