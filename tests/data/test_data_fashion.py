"""Fashion-MNIST: its own sources in the chain that it shares with MNIST, and its classes."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from mnist_sources import TINY
from numpy.typing import NDArray

from jmlp.data import fashion_mnist, load, sources
from jmlp.data.contract import contract_of
from jmlp.data.dataset import digest
from jmlp.data.fashion_mnist import CLASSES, FASHION_MNIST
from jmlp.data.idx import NAMES
from jmlp.errors import DataError
from jmlp.training.plan import data_facts, published_facts


class Machine:
    """Where Fashion-MNIST, here of 12 + 11 images, may be found; nothing is downloaded."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cache = root / "home" / "cache" / "datasets" / "fashion-mnist.npz"
        self.by_hand = self.cache.with_suffix("")
        self.keras, self.debian = root / "keras" / "datasets" / "fashion-mnist", root / "debian"
        self.said: list[str] = []
        tiny = replace(
            FASHION_MNIST,
            digests={key: digest(array) for key, array in TINY.items()},
            shapes={key: array.shape for key, array in TINY.items()},
        )
        self.published = tiny
        known = cast("dict[str, object]", sources.PUBLISHED)
        monkeypatch.setitem(known, "fashion-mnist", tiny)
        monkeypatch.setattr(fashion_mnist, "FASHION_MNIST", tiny)
        monkeypatch.setattr(fashion_mnist, "DEBIAN", self.debian)
        monkeypatch.setenv("JMLP_HOME", str(root / "home"))
        monkeypatch.setenv("KERAS_HOME", str(root / "keras"))
        monkeypatch.setenv("JMLP_OFFLINE", "1")

    def refusal(self) -> list[str]:
        with pytest.raises(DataError) as error:
            load("fashion-mnist", self.said.append)
        return str(error.value).splitlines()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def put(folder: Path, arrays: Mapping[str, NDArray[Any]] = TINY) -> None:
    folder.mkdir(parents=True)
    for key, array in arrays.items():
        shape = b"".join(n.to_bytes(4, "big") for n in array.shape)
        content = bytes([0, 0, 8, array.ndim]) + shape + array.tobytes()
        (folder / "-".join(NAMES[key])).write_bytes(content)


@pytest.mark.parametrize("place", ["keras", "by_hand", "debian"])
def test_each_place_is_read_verified_and_kept(machine: Machine, place: str) -> None:
    folder: Path = getattr(machine, place)
    put(folder)
    data = load("fashion-mnist", machine.said.append)
    np.testing.assert_array_equal(data.x_train, TINY["x_train"].reshape(12, 784))
    assert data.source.endswith(str(folder))
    assert machine.said == [f"Fashion-MNIST is cached in {machine.cache}"]
    for file in folder.iterdir():
        file.unlink()
    assert load("fashion-mnist").digests == data.digests


def test_without_any_source_the_message_says_how_to_place_it(machine: Machine) -> None:
    assert machine.refusal() == [
        "Fashion-MNIST could not be loaded. Tried:",
        f"  jmlp's cache: {machine.cache}: cannot be read: No such file or directory",
        f"  Keras's cache: {machine.keras}: cannot be read: No such file or directory",
        "  Keras: not tried, because JMLP_OFFLINE is set",
        "By hand: place the four files of Fashion-MNIST, train-images-idx3-ubyte.gz and so on, in "
        f"{machine.by_hand}; on Debian and Ubuntu, install the package dataset-fashion-mnist",
    ]


def test_files_that_are_not_fashion_mnist_are_refused(machine: Machine) -> None:
    put(machine.by_hand, TINY | {"x_train": TINY["x_train"][::-1].copy()})
    assert "x_train: damaged or not Fashion-MNIST: SHA-256 " in machine.refusal()[3]
    assert not machine.cache.exists()


def test_a_folder_that_lacks_the_test_images_is_refused(machine: Machine) -> None:
    put(machine.debian, {key: array for key, array in TINY.items() if key != "x_test"})
    assert "x_test is missing: this is not Fashion-MNIST" in machine.refusal()[3]


def test_classes_have_their_names_wherever_the_data_come_from(
    machine: Machine, tmp_path: Path
) -> None:
    put(tmp_path / "mine")
    own = load(str(tmp_path / "mine"))
    put(machine.keras)
    named = load("fashion-mnist")
    assert own.classes == named.classes == CLASSES
    assert contract_of(named).class_names[9] == "ankle boot"
    # What cannot be known without loading it; of the real data no class is rare.
    unknown = replace(data_facts(named), class_counts=(), largest_input=0.0, rare_rows=())
    assert published_facts(machine.published) == unknown


@pytest.mark.mnist
def test_the_real_fashion_mnist_has_the_published_digests() -> None:
    try:
        data = load("fashion-mnist")
    except DataError as reason:
        pytest.skip(str(reason))
    assert data.x_train.shape == (60000, 784)
    assert data.y_train[:5].tolist() == [9, 0, 0, 3, 0]
    assert data.digests == FASHION_MNIST.digests
