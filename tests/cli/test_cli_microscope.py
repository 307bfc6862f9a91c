"""`jmlp microscope`: what is printed of a stored run and of a study, and what is refused."""

import json
import re

from commands import Here

TRAIN = ["train", "--data", "small.npz", "--hidden", "5,4", "--batch-size", "16", "--quiet"]


def test_dropout_is_shown_as_pictures_in_words_and_as_json(here: Here) -> None:
    assert here(*TRAIN, "--epochs", "2", "--drop-rate", "0.5", "--patience", "none").code == 0
    done = here("microscope", "dropout", "last", "--epoch", "1", "--example", "3")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert re.match(r"run [0-9a-f]{8} \(hidden 5-4\), seed 0, after epoch 1", lines[0])
    assert lines[1].startswith("example 3 of the mini-batches of updates 11 to 16: # is kept")
    pictures = [line for line in lines if re.fullmatch(r"  1\d  [#.]+", line)]
    assert [len(line) for line in pictures] == [11] * 6 + [10] * 6
    said = json.loads(
        here("microscope", "dropout", "last", "--epoch", "1", "--example", "3", "--json").out
    )
    assert said["updates"] == [11, 12, 13, 14, 15, 16]
    first = said["layers"][0]["dropped"][0]
    assert [unit for unit, sign in enumerate(pictures[0][6:]) if sign == "."] == first
    spoken = here("microscope", "dropout", "last", "--epoch", "1", "--example", "3", "--plain").out
    units = ", ".join(map(str, first)) or "no unit"
    assert f"  Update 11, example 3: drops {units}." in spoken.splitlines()
    refused = here("microscope", "batch-norm", "last")
    assert (refused.code, refused.out) == (2, "")
    assert (
        "the run has no batch norm: look at one that was trained with --batch-norm" in refused.err
    )


def test_batch_norm_and_the_step_are_shown(here: Here) -> None:
    assert here(*TRAIN, "--epochs", "1", "--batch-norm").code == 0
    done = here("microscope", "batch-norm", "last")
    assert (done.code, done.err) == (0, "")
    assert "hidden 2, against the running statistics, over the snapshots" in done.out
    done = here("microscope", "step", "last", "--epoch", "0")
    assert (done.code, done.err) == (0, "")
    assert "cost along update 1 (sgd), in multiples of it" in done.out
    assert re.search(r"^sharpness [\d.]+: the largest eigenvalue", done.out, re.MULTILINE)
    assert "from 10 mini-batches of 16" in done.out
    said = json.loads(here("microscope", "step", "last", "--epoch", "0", "--json").out)
    assert said["sharpness"]["residual"] < 0.01 * said["sharpness"]["value"]
    refused = here("microscope", "dropout", "last")
    assert (refused.code, refused.out) == (2, "")
    assert "the run has no dropout" in refused.err


def test_a_study_over_batch_sizes_has_a_row_for_each(here: Here) -> None:
    (here.folder / "sizes.toml").write_text(
        'name = "sizes"\ndata = "small.npz"\nseeds = 1\nhidden = [5]\nepochs = 1\n'
        "[experiments.size]\naxes.batch_size = [16, 32]\nbaseline.batch_size = 16\n"
    )
    assert here("study", "sizes.toml", "--quiet").code == 0
    done = here("microscope", "sizes", "sizes", "--quiet")
    assert (done.code, done.err) == (0, "")
    title, columns, *rows = done.out.splitlines()
    assert title == "size: the first seed of each configuration, at its best snapshot"
    assert columns.split("  ")[1] == "configuration"
    assert [row.split()[2] for row in rows] == ["16", "32"]
    unknown = here("microscope", "sizes", "none")
    assert (unknown.code, unknown.out) == (4, "")
