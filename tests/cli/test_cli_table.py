"""The command on a table: checked, trained, predicted and verified from any folder."""

import json

import numpy as np
from commands import Here

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


def test_what_is_said_of_a_table_is_refused_elsewhere(here: Here) -> None:
    done = here("train", "--label", "kind")
    assert done.code == 3
    assert "mnist: is not a table" in done.err
    done = here("train", *FLAGS[:4], "--missing", "zero")
    assert done.code == 2
