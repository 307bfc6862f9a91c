"""`jmlp boundary`: the plane of two inputs as text and as JSON."""

import json
import re

import numpy as np
import pytest
from commands import Here

TRAIN = ["--hidden", "4", "--batch-size", "16", "--epochs", "3", "--quiet"]


def test_the_boundary_of_one_run_and_of_several(here: Here) -> None:
    assert here("train", "--data", "moons:n=100", "--seeds", "2", *TRAIN).code == 0
    ids = [run["run_id"] for run in json.loads(here("runs", "ls", "--json").out)]

    done = here("boundary", ids[0][:8], "--unit", "1", "--at", "0.2,-0.1", "--epoch", "2")
    assert (done.code, done.err) == (0, "")
    title, about, names, *rows = done.out.splitlines()
    assert (title, about) == (f"run {ids[0][:8]}", "epoch 2")
    assert names.strip() == "↑ input 1   → input 0"
    assert max(map(len, rows[:23])) <= 80
    signs = "".join(row.partition("│")[2] for row in rows[:20])
    assert {"A", "B"} <= set(signs)
    *_, legend, mistakes, line, at = rows
    assert legend == ",; A 0   -= B 1   small letters: misclassified"
    assert mistakes.endswith("of 80 training examples misclassified")
    assert line.startswith("unit 1: Z = ")
    assert at.startswith("at the nearest point of the grid, (")

    said = json.loads(
        here("boundary", ids[0][:8], "--grid", "5", "--at", "-0.7,-0.5", "--json").out
    )
    probability = np.array(said["probability"])
    assert probability.shape == (5, 5, 2)
    np.testing.assert_allclose(probability.sum(axis=-1), 1, atol=1e-5)
    x, y = (np.array(said[axis]) for axis in "xy")
    ix, iy = np.abs(x + 0.7).argmin(), np.abs(y + 0.5).argmin()
    assert said["at"]["probability"] == said["probability"][iy][ix]
    assert said["at"]["place"] == [x[ix], y[iy]]
    assert (said["runs"], len(said["lines"])) == ([ids[0]], 4)
    assert said["disagreement"] == [[0] * 5] * 5

    both = json.loads(here("boundary", *ids, "--grid", "5", "--json").out)
    other = json.loads(here("boundary", ids[1], "--grid", "5", "--json").out)
    mean = (probability + np.array(other["probability"])) / 2
    np.testing.assert_allclose(both["probability"], mean, atol=1e-7)
    done = here("boundary", "all", "--disagreement", "--part", "none")
    assert done.out.splitlines()[1] == "where they disagree: 2 seeds, kept networks"
    assert "50 % of the runs disagree with the majority" in done.out
    said = json.loads(here("boundary", "all", "--disagreement", "--json").out)
    share = np.array(said["disagreement"])
    assert f"they do not all agree in {100 * (share > 0).mean():.0f} % of the plane" in done.out

    for arguments, what in (
        (["--unit", "4"], "--unit: the units of the first layer are 0 to 3, got 4"),
        (["--at", "left"], "--at: must be X,Y, as in --at 0.5,-1, got left"),
        (["--at", "1,nan"], "--at: must be two finite numbers, got 1,nan"),
        (["--disagreement"], "--disagreement: needs several runs that have not diverged"),
        (["--grid", "1"], "--grid: must be at least 2, got 1"),
    ):
        done = here("boundary", ids[0], *arguments)
        assert (done.code, done.out) == (2, "")
        assert done.err == f"jmlp: error: {what}\n"
    done = here("boundary", ids[0], "--grid", "5", "--at", "0,-9")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"jmlp: error: --at 0,-9: input 1 is drawn from {y[0]:.3g} to {y[-1]:.3g}; the networks "
        f"answer for any place: jmlp predict {ids[0][:8]} -- 0,-9\n"
    )
    done = here("boundary", ids[0], "--grid", "20000", "--part", "none")
    note = re.fullmatch(
        r"note: --grid 20,000: ([\d,]+) values of each input are the most for these runs\n",
        done.err,
    )
    assert done.code == 0
    assert note
    done = here("boundary", *ids, "--unit", "0")
    assert done.err == "jmlp: error: --unit: the units are those of one run: give one\n"


def test_a_diverged_run_has_a_boundary_but_no_part_in_a_mean(here: Here) -> None:
    train = ["train", "--data", "moons:n=100", *TRAIN]
    assert here(*train, "--lr", "1e20").code == 0
    (diverged,) = [run["run_id"] for run in json.loads(here("runs", "ls", "--json").out)]
    done = here("boundary", "last")
    assert done.code == 0
    assert "the last finite network: diverged at update" in done.out
    assert here(*train, "--lr", "0.1").code == 0
    done = here("boundary", "all")
    assert done.err == f"left out, since they have diverged: {diverged[:8]}\n"
    assert diverged[:8] not in done.out


@pytest.mark.parametrize("arguments", [["last"], ["last", "--json"]])
def test_pictures_have_no_boundary(arguments: list[str], here: Here) -> None:
    assert here("train", "--data", "small.npz", *TRAIN).code == 0
    done = here("boundary", *arguments)
    assert (done.code, done.out) == (3, "")
    assert done.err.endswith(
        "small.npz: the boundary needs two numerical inputs; this data has pictures of 4 × 5\n"
    )
