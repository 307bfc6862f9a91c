"""`jmlp predict`: the prediction of a saved network for a user's picture."""

import json
import re
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
from commands import Here
from helpers import N_EXAMPLES, N_TEST, arrays
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from sketches import drawn

import jmlp
from jmlp.data import synthetic
from jmlp.results import tensor_files, weights

X_TEST, Y_TEST = arrays(N_TEST, first=N_EXAMPLES)

Arrays = dict[str, NDArray[Any]]

SMALL = ["train", "--data", "small.npz", "--hidden", "5,4", "--batch-size", "16"]
TRAIN = [*SMALL, "--lr", "0.1", "--epochs", "3"]


@pytest.fixture
def network(here: Here) -> weights.Network:
    """A network in `net.safetensors`, and one image in `digit.npy` and `digit.png`."""
    assert here(*TRAIN, "--save", "net.safetensors", "--quiet").code == 0
    image = X_TEST[0].reshape(4, 5)
    np.save(here.folder / "digit.npy", image)
    Image.fromarray(image).save(here.folder / "digit.png")
    return weights.load(here.folder / "net.safetensors")


def probabilities(network: weights.Network) -> list[float]:
    """What the network says of that image."""
    logits = np.asarray(jmlp.predict(network.params, network.state, X_TEST[:1]))[0]
    exp = np.exp(logits.astype(np.float64))
    return [float(p) for p in exp / exp.sum()]


@pytest.mark.parametrize("image", ["digit.npy", "digit.png"])
def test_answer_is_that_of_the_network(image: str, network: weights.Network, here: Here) -> None:
    expected = probabilities(network)
    answer = int(np.argmax(expected))
    done = here("predict", "net.safetensors", image, "--json")
    assert (done.code, done.err) == (0, "")
    said = json.loads(done.out)
    assert said == {
        "class": answer,
        "probabilities": pytest.approx(expected, rel=1e-5),
        "seen": X_TEST[0].reshape(4, 5).tolist(),
        "how": "as it is",
        "cautions": [],
    }

    done = here("predict", "net.safetensors", image, "--plain")
    bars = [
        f"  {number}  {p:6.1%}  {'#' * round(40 * p)}".rstrip()
        for number, p in enumerate(said["probabilities"])
    ]
    drawn = [
        "  read: 5 x 4   seen: 5 x 4, as it is",
        *(f"  {line:<14}{line}" for line in shaded(X_TEST[0].reshape(4, 5))),
    ]
    lines = [f"{image}: {answer} ({max(said['probabilities']):.1%})", *bars, "", *drawn]
    assert done == (0, "\n".join(lines) + "\n", "")
    assert here("predict", "net.safetensors", image, "--quiet") == (0, f"{lines[0]}\n", "")


def shaded(pixels: NDArray[np.uint8]) -> list[str]:
    """A sign for each two pixels, the one below the other."""
    pairs = pixels.reshape(2, 2, 5).astype(float).mean(axis=1)
    return ["".join(" .+*#"[round(4 * value / 255)] for value in row) for row in pairs]


def test_inverted_picture_is_seen_inverted(network: weights.Network, here: Here) -> None:
    del network
    done = here("predict", "net.safetensors", "digit.png", "--json", "--invert")
    said = json.loads(done.out)
    assert said["seen"] == (255 - X_TEST[0]).reshape(4, 5).tolist()
    assert said["how"] == "as it is, inverted"


def test_answer_that_is_not_finite_ends_with_code_5(network: weights.Network, here: Here) -> None:
    huge = jax.tree.map(lambda array: np.full_like(array, 1e38), network.params)
    weights.save(here.folder / "net.safetensors", replace(network, params=huge))
    told = (
        "jmlp: error: net.safetensors: its parameters are too large: the output for digit.png is "
        "not finite; train it again\n"
    )
    assert here("predict", "net.safetensors", "digit.png") == (5, "", told)


def test_file_of_the_previous_format_is_used_with_a_caution(
    network: weights.Network, here: Here
) -> None:
    path = here.folder / "net.safetensors"
    tensors, header = tensor_files.read(path, weights.FORMAT)
    del header["contract"]
    old = {"image_shape": [4, 5], "n_classes": network.n_classes, "format": weights.PREVIOUS_FORMAT}
    tensor_files.write(path, tensors, header | old)
    done = here("predict", "net.safetensors", "digit.png")
    answer = int(np.argmax(probabilities(network)))
    assert done.out.startswith(f"digit.png: {answer} (")
    assert done.err == (
        "warning: net.safetensors was written by an earlier version and does not record the "
        "range of its training data; pixels are scaled to 0-1\n"
    )


def test_a_point_of_a_toy_is_shown_by_its_numbers(here: Here) -> None:
    here("train", "--data", "moons:n=100", "--epochs", "1", "--batch-size", "16", "--quiet",
         "--save", "moons.safetensors")  # fmt: skip
    np.save(here.folder / "point.npy", np.array([-0.25, 0.1], np.float32))
    done = here("predict", "moons.safetensors", "point.npy")
    assert done.out.endswith("\n\n  input 0  -0.25\n  input 1    0.1\n")
    said = json.loads(here("predict", "moons.safetensors", "point.npy", "--json").out)
    assert said["seen"] == pytest.approx([-0.25, 0.1])
    for row in (["--", "-0.25,0.1"], ["-0.25", "0.1"]):
        typed = json.loads(here("predict", "moons.safetensors", "--json", *row).out)
        assert typed == said
    done = here("predict", "last", "--every", "--json", "-0.25", "0.1")
    strip = json.loads(done.out)["strip"]
    assert strip[-1]["probabilities"] == pytest.approx(said["probabilities"], rel=1e-6)


@pytest.mark.parametrize("row", ["0.5", "1 2 3", "seven.png", "0.5,nan", "x=1"])
def test_other_numbers_than_a_network_takes_are_refused(row: str, here: Here) -> None:
    here("train", "--data", "moons:n=100", "--epochs", "1", "--batch-size", "16", "--quiet")
    done = here("predict", "last", *row.split())
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"jmlp: error: {row}: the network takes rows of 2 numbers: give as many, as in 0.5,0.5, or "
        "an array (.npy)\n"
    )


# A digit is a stroke on plain paper, so that a network learns whether it stands, lies or leans.


def strokes(n: int, white: float) -> Arrays:
    """Pictures of 16 x 16 with a bar in the middle: upright, lying, both."""
    rng = np.random.default_rng(0)
    x, y = np.zeros((n, 16, 16)), np.arange(n) % 3
    for picture, label in zip(x, y, strict=True):
        wide = int(rng.integers(2, 4))
        if label != 1:
            picture[3:13, 8 - wide // 2 : 8 - wide // 2 + wide] = white
        if label != 0:
            picture[8 - wide // 2 : 8 - wide // 2 + wide, 3:13] = white
    return {"x_train": x, "y_train": y}


@pytest.mark.parametrize(("kind", "white"), [(np.uint8, 255), (np.float32, 1), (np.float64, 1)])
def test_drawing_is_recognised_by_a_network_of_pixels_or_of_numbers_from_0_to_1(
    kind: type, white: int, here: Here
) -> None:
    data = strokes(300, white)
    np.savez(here.folder / "own.npz", x_train=data["x_train"].astype(kind), y_train=data["y_train"])
    here("train", "--data", "own.npz", "--hidden", "8", "--batch-size", "16", "--lr", "0.1",
         "--epochs", "20", "--save", "own.safetensors", "--quiet")  # fmt: skip
    for label, box in enumerate([(60, 20, 70, 110), (20, 60, 110, 70)]):
        drawing = Image.new("L", (320, 200), "white")
        ImageDraw.Draw(drawing).rectangle(box, fill="black")
        drawing.save(here.folder / "drawing.png")
        done = here("predict", "own.safetensors", "drawing.png", "--json")
        assert (json.loads(done.out)["class"], done.err) == (label, "")


@pytest.mark.parametrize(
    ("white", "shift", "scale", "told"),
    [(2.5, 0.4, 100, "from -0.4 to 2.1"), (255, 0, 1 / 255, "from 0 to 255")],
)
def test_picture_for_a_network_of_numbers_of_another_scale_is_refused(
    white: float, shift: float, scale: float, told: str, here: Here
) -> None:
    data = strokes(60, white)
    x = data["x_train"] - np.float32(shift)
    np.savez(here.folder / "own.npz", x_train=x, y_train=data["y_train"])
    here(*SMALL[:1], "--data", "own.npz", "--hidden", "4", "--batch-size", "16", "--epochs", "1",
         "--lr", "0.0001", "--save", "own.safetensors", "--quiet")  # fmt: skip
    Image.fromarray((data["x_train"][0] > 0) * np.uint8(255)).save(here.folder / "bar.png")
    done = here("predict", "own.safetensors", "bar.png")
    assert (done.code, done.out) == (3, "")
    assert done.err == (
        f"jmlp: error: bar.png: the network was trained on numbers {told}, and pictures are given "
        "to networks as numbers from 0 to 1: train it on pixels of type uint8, which are scaled to "
        "that, or give it a float32 array of its own numbers (.npy), of shape (16, 16)\n"
    )
    np.save(here.folder / "bar.npy", x[0])
    assert here("predict", "own.safetensors", "bar.npy").code == 0
    other = data["x_train"][0] * scale
    np.save(here.folder / "bar.npy", other)
    assert here("predict", "own.safetensors", "bar.npy").err == (
        f"jmlp: error: bar.npy: numbers from 0 to {other.max():g}, but the network was trained on "
        f"numbers {told}: bring them to that scale\n"
    )


def test_damaged_network_ends_with_code_5(network: weights.Network, here: Here) -> None:
    path = here.folder / "net.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    told = "net.safetensors: damaged: its SHA-256 is not the one stored in it"
    assert here("predict", "net.safetensors", "digit.npy") == (5, "", f"jmlp: error: {told}\n")


def test_network_that_does_not_exist_ends_with_code_5(here: Here) -> None:
    told = "jmlp: error: net.safetensors: cannot be read: No such file or directory\n"
    assert here("predict", "net.safetensors", "digit.npy") == (5, "", told)


NO_PICTURE = (
    "net.safetensors: not a PNG or JPEG picture, and not named .npy: save it as one of them"
)


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (
            "other.npy",
            "other.npy: all pixels are equal: there is nothing to see",
        ),
        (
            "cube.npy",
            "cube.npy: shape (2, 2, 5), but the network expects (4, 5): save it as an .npy "
            "array of that shape",
        ),
        ("net.safetensors", NO_PICTURE),
        ("none.png", "none.png: cannot be read: No such file or directory"),
    ],
)
@pytest.mark.usefixtures("network")
def test_wrong_image_ends_with_code_3(image: str, told: str, here: Here) -> None:
    np.save(here.folder / "other.npy", np.zeros((4, 5)))
    np.save(here.folder / "cube.npy", np.arange(20, dtype=np.uint8).reshape(2, 2, 5))
    assert here("predict", "net.safetensors", image) == (3, "", f"jmlp: error: {told}\n")


def test_a_network_trained_with_a_mistake_says_so_wherever_it_is_used(here: Here) -> None:
    options = ["--batch-norm", "--batch-norm-place", "after", "--evaluate-every", "7"]
    faulty = [*TRAIN, *options, "--backward-fault", "relu_mask", "--save", "net.safetensors"]
    done = here(*faulty)
    assert done.code == 0
    assert "The backward pass has a mistake on purpose (backward_fault: relu_mask)" in done.out
    np.save(here.folder / "digit.npy", X_TEST[0].reshape(4, 5))
    done = here("predict", "net.safetensors", "digit.npy")
    assert (done.code, done.err) == (
        0,
        "warning: net.safetensors was trained with a mistake in the backward pass: relu_mask\n",
    )
    assert ", backward fault relu_mask" in here("runs", "ls").out
    raw = [*TRAIN, "--training-fault", "raw_inputs", "--save", "raw.safetensors"]
    assert "The training has a mistake on purpose (training_fault: raw_inputs)" in here(*raw).out
    done = here("predict", "raw.safetensors", "digit.npy", "--json")
    assert json.loads(done.out)["cautions"] == [
        "raw.safetensors was trained with a mistake in the training: raw_inputs"
    ]
    network = weights.load(here.folder / "raw.safetensors")
    logits = np.asarray(jmlp.predict(network.params, network.state, X_TEST[:1]))
    Z = X_TEST[0].astype(np.float32)[:, None]  # as they are, by hand
    for index, layer in enumerate(network.params):
        Z = layer.dense.W @ (np.maximum(Z, 0) if index else Z) + layer.dense.b
    np.testing.assert_allclose(logits, Z.T, rtol=1e-4, atol=1e-4)
    # This run is the last one now.
    assert ", training fault raw_inputs" in here("runs", "ls").out
    assert "training fault" in here("runs", "show", "last").out
    verified = here("verify", "last")
    assert (verified.code, "1 of 1 runs bit-identical" in verified.out) == (0, True)


# ---- all stored networks, of all seeds

SEVERAL = """
name = "several"
data = "digits.npz"
seeds = 2
epochs = 3
hidden = [12]
batch_size = 16
learning_rate = 0.1

[experiments.rates]
axes.learning_rate = [0.1, 1e30]
baseline.learning_rate = 0.1
"""


@pytest.fixture
def several(here: Here) -> list[str]:
    """A store with two seeds of a network, and two that diverged; the ids of the former."""
    made = synthetic(300, 10)
    assert made.x_test is not None
    np.savez(
        here.folder / "digits.npz", x_train=made.x_train.reshape(-1, 28, 28), y_train=made.y_train
    )
    Image.fromarray(drawn(at=(6, 6), size=0.5)).save(here.folder / "seven.png")
    (here.folder / "several.toml").write_text(SEVERAL)
    assert here("study", "several.toml", "--quiet").code == 0
    found = json.loads(here("runs", "ls", "--json").out)
    rows = found["runs"] if isinstance(found, dict) else found
    return [
        row["run_id"] for row in sorted(rows, key=lambda r: r["seed"]) if row["state"] == "finished"
    ]


def test_every_network_of_every_seed_is_asked(several: list[str], here: Here) -> None:
    done = here("predict", several[0], "seven.png", "--every", "--seeds", "--json")
    assert (done.code, done.err) == (0, "")
    said = json.loads(done.out)
    assert [run["run_id"] for run in said["runs"]] == several
    assert [run["epochs"] for run in said["runs"]] == [[0, 1, 2, 3]] * 2
    assert [column["epoch"] for column in said["strip"]] == [0, 1, 2, 3, None]
    kept = []
    for run in said["runs"]:
        one = json.loads(here("predict", run["run_id"], "seven.png", "--json").out)
        kept.append(one["probabilities"])
        assert run["probabilities"][run["best"]] == pytest.approx(one["probabilities"], rel=1e-5)
        assert (said["seen"], said["how"]) == (one["seen"], one["how"])
    mean = np.mean(kept, axis=0)
    last = said["strip"][-1]
    assert last["probabilities"] == pytest.approx(mean.tolist(), rel=1e-5)
    assert last["class"] == int(mean.argmax())
    assert sum(last["seeds_by_class"]) == last["seeds"] == 2


def test_the_strip_is_printed_as_a_table_or_in_sentences(several: list[str], here: Here) -> None:
    done = here("predict", several[0], "seven.png", "--every", "--plain")
    first, *lines = done.out.splitlines()
    assert first.startswith("seven.png: ")
    answers = [line for line in lines if line.startswith("  epoch ")]
    assert [line.split(":")[0].split(" (")[0] for line in answers] == [
        f"  epoch {epoch}" for epoch in range(4)
    ]
    assert sum("(best)" in line for line in answers) == 1
    quiet = here("predict", several[0], "seven.png", "--seeds", "--quiet")
    assert re.fullmatch(r"seven\.png: \d \(\d+\.\d%\), in [12] of 2 seeds\n", quiet.out)


def test_a_run_that_diverged_is_asked_by_itself_and_named(several: list[str], here: Here) -> None:
    found = json.loads(here("runs", "ls", "--json").out)
    rows = found["runs"] if isinstance(found, dict) else found
    diverged = next(row["run_id"] for row in rows if row["state"] == "diverged")
    done = here("predict", diverged, "seven.png", "--every", "--quiet")
    assert done.code == 0
    told = here("predict", diverged, "seven.png", "--every", "--seeds")
    assert told.out.startswith("seven.png: no network is left to ask: all runs diverged\n")
    assert "diverged at update 2: it is not among these" in told.err


def test_a_row_of_a_table_is_asked_of_all_seeds_by_the_scale_of_each(here: Here) -> None:
    study = 'name = "flowers"\ndata = "iris"\nseeds = 2\nepochs = 2\nbatch_size = 16\n'
    study += "[experiments.one]\nhidden = [4]\n"
    (here.folder / "flowers.toml").write_text(study)
    assert here("study", "flowers.toml", "--quiet").code == 0
    found = json.loads(here("runs", "ls", "--json").out)
    rows = found["runs"] if isinstance(found, dict) else found
    values = [
        "sepal_length_cm=5.1",
        "sepal_width_cm=3.5",
        "petal_length_cm=1.4",
        "petal_width_cm=0.2",
    ]
    done = here("predict", rows[0]["run_id"], *values, "--every", "--seeds", "--json")
    assert (done.code, done.err) == (0, "")
    said = json.loads(done.out)
    for run in said["runs"]:
        one = json.loads(here("predict", run["run_id"], *values, "--json").out)
        expected = one["rows"][0]["probabilities"]
        assert run["probabilities"][run["best"]] == pytest.approx(expected, rel=1e-5)


def test_a_file_has_only_one_network(network: weights.Network, here: Here) -> None:
    del network
    for flag in ("--every", "--seeds"):
        assert here("predict", "net.safetensors", "digit.png", flag) == (
            2,
            "",
            f"jmlp: error: {flag}: net.safetensors is a file, which has one network: give a run\n",
        )
