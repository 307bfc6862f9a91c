"""Networks of PyTorch, saved by its own functions, give the same logits when they are read."""

import re
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from exchanged import ACTIVATIONS, PLACES, examples, logits, network
from safetensors.numpy import load_file, save_file

import jmlp
from jmlp.data.arrays import own_dataset
from jmlp.data.dataset import Dataset
from jmlp.errors import CheckpointError, ConfigError
from jmlp.exchange import operations

X = examples()
Y = np.arange(len(X)) % 3


def data(x: Any = None) -> Dataset:
    """Pictures of 7 x 1 numbers, and three classes."""
    x = X.reshape(50, 7, 1) if x is None else x
    return own_dataset("seven", {"x_train": x, "y_train": Y}, "seven")


def torch() -> Any:
    return pytest.importorskip("torch", reason="PyTorch is not installed")


def modules(activation: str) -> Any:
    nn = torch().nn
    return {
        "relu": nn.ReLU(),
        "leaky_relu": nn.LeakyReLU(),
        "tanh": nn.Tanh(),
        "sigmoid": nn.Sigmoid(),
        "gelu": nn.GELU(),
        "silu": nn.SiLU(),
    }[activation]


def sequential(activation: str = "relu", place: Any = None, **options: Any) -> Any:
    """An `nn.Sequential` 7-6-5-3 in evaluation form, with statistics that have moved."""
    nn = torch().nn
    torch().manual_seed(0)
    layers: list[Any] = []
    for n_in, n_out in ((7, 6), (6, 5)):
        middle = [modules(activation)]
        if place is not None:
            middle.insert(0 if place == "before" else 1, nn.BatchNorm1d(n_out, **options))
        layers += [nn.Linear(n_in, n_out), *middle]
    made = nn.Sequential(*layers, nn.Linear(5, 3))
    made(torch().from_numpy(X))  # moves the running statistics
    return made.eval()


def outputs(model: Any, x: Any = X) -> Any:
    with torch().no_grad():
        return model(torch().from_numpy(x)).numpy()


def saved(model: Any, path: Path) -> Path:
    if path.suffix == ".safetensors":
        pytest.importorskip("safetensors.torch").save_file(model.state_dict(), path)
    else:
        torch().save(model.state_dict(), path)
    return path


def assert_same(read: jmlp.Network, wanted: Any, x: Any = X) -> None:
    np.testing.assert_allclose(logits(read, x), wanted, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("place", PLACES)
def test_the_logits_are_those_of_pytorch(place: Any, suffix: str, tmp_path: Path) -> None:
    model = sequential("tanh", place)
    read = jmlp.read_network(saved(model, tmp_path / f"n{suffix}"), data(), activation="tanh")
    assert_same(read, outputs(model))
    form = read.hyperparams
    assert (form.hidden, form.activation, form.batch_norm) == ((6, 5), "tanh", place is not None)
    assert place is None or form.batch_norm_place == place


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_is_that_of_pytorch(activation: Any, tmp_path: Path) -> None:
    model = sequential(activation)
    read = jmlp.read_network(saved(model, tmp_path / "n.pt"), data(), activation=activation)
    assert_same(read, outputs(model))


@pytest.mark.parametrize("place", PLACES)
def test_what_jmlp_exports_reads_back_bit_by_bit(place: Any, tmp_path: Path) -> None:
    known = network(("gelu", "tanh"), place)
    jmlp.save_pytorch(known, tmp_path)
    path = tmp_path / "weights.safetensors"
    read = jmlp.read_network(path, data(), activation=("gelu", "tanh"))
    assert read.hyperparams == known.hyperparams
    before, after = (
        jax.tree.leaves((known.params, known.state)),
        jax.tree.leaves((read.params, read.state)),
    )
    assert len(before) == len(after) > 3
    for one, other in zip(before, after, strict=True):
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


def test_a_network_that_was_read_is_saved_traced_and_exported(tmp_path: Path) -> None:
    model = sequential("relu", "before")
    read = jmlp.read_network(saved(model, tmp_path / "n.pt"), data(), activation="relu")
    read.save(tmp_path / "n.safetensors")
    again = jmlp.load(tmp_path / "n.safetensors")
    assert_same(again, outputs(model))
    assert again.about == read.about
    assert (again.about["read_from"], again.about["program"]) == ("n.pt", "PyTorch")
    assert "run_id" not in again.about
    np.testing.assert_array_equal(again.predict(X[:, :, None]), outputs(model).argmax(axis=1))
    traced = jmlp.trace(read.params, read.state, X, Y)
    assert traced.operations[0]["Z"].shape == (6, 50)
    described = operations.of_network(again)
    assert (described.title, described.origin) == ("7-6-5-3", "read from n.pt")
    jmlp.save_pytorch(again, tmp_path / "back")
    text = (tmp_path / "back" / "network.py").read_text(encoding="utf-8")
    assert "# Network 7-6-5-3, read from n.pt. It maps" in text
    assert "trained by jmlp" not in text


def test_modules_are_put_in_order_by_their_names_and_shapes(tmp_path: Path) -> None:
    model = sequential()
    arrays = {name: array.numpy() for name, array in model.state_dict().items()}
    for names, note in (
        (("fc2", "fc10", "fc11"), []),
        (("module.a.in", "module.a.mid", "module.z"), []),
        (("inner", "input", "output"), None),  # in another order than their names
    ):
        layers = zip(("0", "2", "4"), names, strict=True)
        if note is None:
            layers = zip(("2", "0", "4"), names, strict=True)
        renamed = {
            f"{new}.{part}": arrays[f"{old}.{part}"]
            for old, new in layers
            for part in ("weight", "bias")
        }
        save_file(renamed, tmp_path / "n.safetensors")
        read = jmlp.read_network(tmp_path / "n.safetensors", data(), activation="relu")
        assert_same(read, outputs(model))
        wanted = ["the order of the layers is that of their shapes, not of their names"]
        assert read.about["notes"] == (wanted if note is None else note)


def test_an_order_that_neither_names_nor_shapes_decide_is_refused(tmp_path: Path) -> None:
    W = np.eye(6, dtype=np.float32)
    arrays = {"z.weight": np.ones((6, 7), np.float32), "a.weight": np.ones((3, 6), np.float32)}
    save_file({**arrays, "m.weight": W, "n.weight": W}, tmp_path / "n.safetensors")
    with pytest.raises(CheckpointError, match=r"in several orders.*name the modules in order"):
        jmlp.read_network(tmp_path / "n.safetensors", data(), activation="relu")


def test_the_order_of_definition_in_a_file_of_pytorch_counts(tmp_path: Path) -> None:
    nn = torch().nn
    torch().manual_seed(1)
    square = nn.Sequential()
    for name in ("zeta", "alpha", "middle"):
        square.add_module(name, nn.Linear(7, 7 if name != "middle" else 3))
        if name != "middle":
            square.add_module(f"after_{name}", nn.Tanh())
    read = jmlp.read_network(saved(square, tmp_path / "n.pt"), data(), activation="tanh")
    assert_same(read, outputs(square))


def test_the_option_says_where_batch_norm_is_if_names_do_not(tmp_path: Path) -> None:
    model = sequential("relu", "after")
    names = {"0": "l1", "2": "n1", "3": "l2", "5": "n2", "6": "l3"}
    arrays = {
        f"{names[name.partition('.')[0]]}.{name.partition('.')[2]}": array
        for name, array in model.state_dict().items()
    }
    torch().save({"epoch": 3, "model_state_dict": arrays}, tmp_path / "n.pt")
    read = jmlp.read_network(tmp_path / "n.pt", data(), activation="relu", batch_norm_place="after")
    assert_same(read, outputs(model))
    assumed = jmlp.read_network(tmp_path / "n.pt", data(), activation="relu")
    assert assumed.hyperparams.batch_norm_place == "before"
    assert "batch norm before the activation, which is assumed" in " ".join(assumed.about["notes"])


@pytest.mark.parametrize("n", [5, 6])
def test_batch_norms_without_an_order_belong_to_the_layers_of_their_sizes(
    n: int, tmp_path: Path
) -> None:
    nn = torch().nn
    model = nn.Sequential(
        *(nn.Linear(7, 6), nn.BatchNorm1d(6), nn.ReLU()),
        *(nn.Linear(6, n), nn.BatchNorm1d(n), nn.ReLU(), nn.Linear(n, 3)),
    )
    model(torch().from_numpy(X))
    names = {"0": "start", "1": "second", "3": "middle", "4": "first", "6": "end"}
    arrays = {
        f"{names[name[0]]}{name[1:]}": array.numpy() for name, array in model.state_dict().items()
    }
    save_file(arrays, tmp_path / "n.safetensors")
    if n == 6:
        with pytest.raises(CheckpointError, match="neither names nor sizes say"):
            jmlp.read_network(tmp_path / "n.safetensors", data(), activation="relu")
        return
    read = jmlp.read_network(tmp_path / "n.safetensors", data(), activation="relu")
    assert_same(read, outputs(model.eval()))


def test_one_number_as_if_it_were_many_is_refused(tmp_path: Path) -> None:
    many = torch().zeros(1).expand(2**20, 2**20)
    torch().save({"a.weight": many}, tmp_path / "n.pt")
    with pytest.raises(CheckpointError, match=r"a\.weight has more numbers than the file holds"):
        jmlp.read_network(tmp_path / "n.pt", data(), activation="relu")


def test_batch_norm_without_scale_and_shift_is_read(tmp_path: Path) -> None:
    model = sequential("relu", "before", affine=False)
    read = jmlp.read_network(saved(model, tmp_path / "n.pt"), data(), activation="relu")
    assert_same(read, outputs(model))
    assert not read.hyperparams.batch_norm_scale


@pytest.mark.parametrize("place", PLACES)
def test_normalised_inputs_become_part_of_the_first_layer(place: Any, tmp_path: Path) -> None:
    model = sequential("silu", place)
    path = saved(model, tmp_path / "n.pt")
    x = np.random.default_rng(1).integers(0, 256, (50, 7, 1), np.uint8)
    pixels = (x.reshape(50, 7) / 255).astype(np.float32)
    for options, taken in (
        ({}, pixels),
        ({"raw": True}, pixels * 255),
        ({"mean": 0.13, "std": 0.3}, (pixels - 0.13) / 0.3),
        ({"raw": True, "mean": 30, "std": 70}, (pixels * 255 - 30) / 70),
    ):
        read = jmlp.read_network(path, data(x), activation="silu", **options)
        wanted = outputs(model, taken.astype(np.float32))
        np.testing.assert_allclose(
            logits(read, x.reshape(50, 7)), wanted, atol=1e-5 * np.abs(wanted).max()
        )


def test_float64_is_rounded_and_short_floats_are_exact(tmp_path: Path) -> None:
    model = sequential()
    for kind in ("float64", "float16", "bfloat16"):
        path = tmp_path / f"{kind}.pt"
        arrays = {n: a.to(getattr(torch(), kind)) for n, a in model.state_dict().items()}
        torch().save(arrays, path)
        read = jmlp.read_network(path, data(), activation="relu")
        wanted = arrays["0.weight"].float().numpy()
        np.testing.assert_array_equal(read.params[0].dense.W, wanted)
        rounded = "float64 was rounded to float32" in read.about["notes"]
        assert rounded == (kind == "float64")


def bad(**arrays: Any) -> dict[str, Any]:
    good = {"0.weight": (6, 7), "0.bias": (6,), "2.weight": (3, 6), "2.bias": (3,)}
    made = {name: np.ones(shape, np.float32) for name, shape in good.items()}
    made |= {name.replace("__", "."): array for name, array in arrays.items()}
    return {f"layer{name}" if name[0].isdigit() else name: array for name, array in made.items()}


F = np.float32
REFUSED: list[tuple[dict[str, Any], str]] = [
    (bad(conv__weight=np.ones((3, 1, 2, 2), F)), "conv is a convolution (weights of shape"),
    (bad(norm__weight=np.ones(6, F), norm__bias=np.ones(6, F)), "norm is a normalisation without"),
    (bad(rnn__weight_ih_l0=np.ones((6, 7), F)), "rnn.weight_ih_l0 is no array of nn.Linear"),
    (bad(skip__weight=np.ones((6, 6), F)), "skip looks like a connection beside the chain"),
    (bad(only__bias=np.ones(6, F)), "only has bias: neither Linear nor BatchNorm1d"),
    ({"a.weight": np.ones((3, 7), np.int8)}, "a.weight is of type int8: parameters must be"),
    ({"a.weight": np.ones((3, 8), F)}, "do not follow each other from the 7 inputs of the data to"),
    ({"a.weight": np.ones((4, 7), F)}, "to their 3 classes: a (4, 7) (outputs, inputs)"),
    ({"a.weight": np.ones((3, 7), F)}, "has no hidden layer: a network of jmlp has at least one"),
    (bad(**{"0.bias": np.full(6, np.inf, F)}), "b of layer 1 holds numbers that are not finite"),
    (bad(**{"2.weight": np.full((3, 6), 1e300)}), "W of layer 2 holds numbers that are too large"),
    (bad(**{"2.bias": np.ones(4, F)}), "linear layer 2 has 3 outputs, but a bias of shape (4,)"),
    (
        bad(bn__running_mean=np.ones(6, F), bn__running_var=-np.ones(6, F)),
        "var of layer 1 holds a variance of -1",
    ),
    (
        bad(
            **{f"bn{n}__running_{what}": np.ones(6, F) for n in (1, 2) for what in ("mean", "var")}
        ),
        "batch norms: 2 (bn1, bn2); hidden layers: 1: in jmlp, each hidden layer has one",
    ),
    (
        bad(bn__running_mean=np.ones(5, F), bn__running_var=np.ones(5, F)),
        "the batch norm of hidden layer 1 has gamma of shape (5,), but the layer has 6 units",
    ),
    (
        {
            **{f"{n}.running_{what}": np.ones(7, F) for n in (0,) for what in ("mean", "var")},
            "1.weight": np.ones((7, 7), F),
            "3.weight": np.ones((3, 7), F),
        },
        "batch norm 0 is not between 1 and 3",
    ),
]


@pytest.mark.parametrize(("arrays", "message"), REFUSED)
def test_what_is_no_such_network_is_refused_by_name(
    arrays: dict[str, Any], message: str, tmp_path: Path
) -> None:
    save_file(arrays, tmp_path / "n.safetensors")
    with pytest.raises(CheckpointError, match=re.escape(message)):
        jmlp.read_network(tmp_path / "n.safetensors", data(), activation="relu")


def test_without_pytorch_it_is_said_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "n.pt").write_bytes(b"x")
    with pytest.raises(ConfigError, match=r"only PyTorch reads such files.*or convert the file"):
        jmlp.read_network(tmp_path / "n.pt", data(), activation="relu")


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    torch().save(sequential(), tmp_path / "whole.pt")
    with pytest.raises(CheckpointError, match="jmlp runs no code of a file: save the state dict"):
        jmlp.read_network(tmp_path / "whole.pt", data(), activation="relu")


@pytest.mark.parametrize("name", ["n.pt", "n.safetensors"])
def test_a_damaged_file_is_refused(name: str, tmp_path: Path) -> None:
    if name.endswith(".pt"):
        torch()
    (tmp_path / name).write_bytes(b"no such file\n" * 100)
    with pytest.raises(CheckpointError, match=name):
        jmlp.read_network(tmp_path / name, data(), activation="relu")


def test_a_network_of_jmlp_needs_no_conversion(tmp_path: Path) -> None:
    network("relu", None).save(tmp_path / "n.safetensors")
    with pytest.raises(CheckpointError, match="is a network of jmlp already: use it as it is"):
        jmlp.read_network(tmp_path / "n.safetensors", data(), activation="relu")


def test_what_the_file_does_not_say_must_be_said(tmp_path: Path) -> None:
    jmlp.save_pytorch(network("relu", "before"), tmp_path)
    path = tmp_path / "weights.safetensors"
    assert "0.weight" in load_file(path)
    for options, message in (
        ({}, "activation: the file does not say"),
        ({"activation": ("relu",)}, "activation: 1 are given, but the network has 2 hidden layers"),
        ({"activation": "softmax"}, "activation: must be 'relu'"),
        ({"activation": "relu", "batch_norm_place": "after"}, "1 follows 0 at once"),
        ({"activation": "relu", "batch_norm_place": "there"}, "must be 'before' or 'after'"),
        ({"activation": "relu", "examples": "rows"}, "examples: only for .npz"),
        ({"activation": "relu", "std": 0}, "std: must be a finite number > 0"),
        ({"activation": "relu", "raw": True}, "raw: the inputs of seven are used unscaled"),
    ):
        with pytest.raises(ConfigError, match=re.escape(message)):
            jmlp.read_network(path, data(), **options)
