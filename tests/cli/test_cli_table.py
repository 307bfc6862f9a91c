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
        "things.csv: 45 rows, 2 classes, 2 features: 1 number standardised by the training part, 1 "
        "category one-hot\n  kind: "
    )
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
        "own.npz: 60 rows, 2 classes, 2 features: 2 numbers standardised by the training part\n"
        "  label: 30 0, 30 1\n  column 1: a number\n"
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
