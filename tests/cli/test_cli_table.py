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


def test_what_is_said_of_a_table_is_refused_elsewhere(here: Here) -> None:
    done = here("train", "--label", "kind")
    assert done.code == 3
    assert "mnist: is not a table" in done.err
    done = here("train", *FLAGS[:4], "--missing", "zero")
    assert done.code == 2
