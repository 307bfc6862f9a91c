"""The user's own data: where it is found, and its validation."""

import gzip
import hashlib
import struct
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from jmlp.data import ArrayCheck, Dataset, check, load
from jmlp.data.dataset import digest
from jmlp.errors import DataError

Arrays = dict[str, NDArray[Any]]


def good() -> Arrays:
    """Six training and three test images of 2 x 2, three classes."""
    return {
        "x_train": np.arange(24, dtype=np.uint8).reshape(6, 2, 2),
        "y_train": np.array([0, 1, 2, 0, 1, 2], np.uint8),
        "x_test": np.arange(12, dtype=np.uint8).reshape(3, 2, 2),
        "y_test": np.array([2, 1, 0], np.uint8),
    }


def idx(array: NDArray[Any]) -> bytes:
    header = struct.pack(f">2x2B{array.ndim}I", 8, array.ndim, *array.shape)
    return header + array.tobytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "own.npz"


def loaded(path: Path, arrays: Arrays) -> Dataset:
    np.savez(path, allow_pickle=True, **arrays)
    return load(str(path))


def refusal(path: Path, arrays: Arrays) -> str:
    """The error message for bad arrays, without the path."""
    with pytest.raises(DataError) as error:
        loaded(path, arrays)
    assert str(error.value).startswith(f"{path}: ")
    return str(error.value).removeprefix(f"{path}: ")


def test_an_npz_file_is_flattened_checked_and_named(path: Path) -> None:
    data = loaded(path, good())
    np.testing.assert_array_equal(
        data.x_train, np.arange(24, dtype=np.uint8).reshape(6, 4), strict=True
    )
    np.testing.assert_array_equal(data.y_train, np.array([0, 1, 2, 0, 1, 2], np.int32), strict=True)
    np.testing.assert_array_equal(data.y_test, np.array([2, 1, 0], np.int32), strict=True)
    assert (data.n_classes, data.image_shape, data.n_in) == (3, (2, 2), 4)
    assert (data.name, data.source) == ("own.npz", str(path))


def test_digests_are_of_the_bytes_in_the_file_s_own_type(path: Path) -> None:
    arrays = good() | {"y_train": np.array([0, 1, 2, 0, 1, 2], ">i8")}
    digests = loaded(path, arrays).digests
    assert digests["x_train"] == hashlib.sha256(bytes(range(24))).hexdigest()
    little = struct.pack("<6q", 0, 1, 2, 0, 1, 2)
    assert digests["y_train"] == hashlib.sha256(little).hexdigest()
    assert set(digests) == set(arrays)


def test_digests_do_not_depend_on_the_order_of_bytes_or_of_axes_in_memory() -> None:
    array = np.arange(6, dtype="<i4").reshape(2, 3)
    sha256 = hashlib.sha256(struct.pack("<6i", *range(6))).hexdigest()
    assert digest(array) == digest(array.astype(">i4")) == sha256
    assert digest(np.asfortranarray(array)) == sha256


def test_a_data_set_cannot_be_changed(path: Path) -> None:
    data = loaded(path, good())
    with pytest.raises(ValueError, match="read-only"):
        data.x_train[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        data.y_train[0] = 1
    with pytest.raises(FrozenInstanceError):
        data.n_classes = 5  # type: ignore[misc]


def test_without_test_arrays_there_is_no_test_set(path: Path) -> None:
    arrays = good()
    del arrays["x_test"], arrays["y_test"]
    data = loaded(path, arrays)
    assert data.x_test is None
    assert data.y_test is None
    assert set(data.digests) == {"x_train", "y_train"}


def test_floating_point_images_become_float32_and_are_not_scaled(path: Path) -> None:
    arrays = good()
    arrays["x_train"] = arrays["x_train"] / 7
    data = loaded(path, arrays | {"x_test": arrays["x_test"] * np.float32(9)})
    expected = (np.arange(24).reshape(6, 4) / 7).astype(np.float32)
    np.testing.assert_array_equal(data.x_train, expected, strict=True)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("sign", ["-", "."])
def test_a_folder_with_idx_files_is_the_same_data_as_an_npz_file(
    suffix: str, sign: str, path: Path
) -> None:
    pack = gzip.compress if suffix else bytes
    names = ("train-images{}idx3", "train-labels{}idx1", "t10k-images{}idx3", "t10k-labels{}idx1")
    for name, array in zip(names, good().values(), strict=True):
        path.with_name(name.format(sign) + "-ubyte" + suffix).write_bytes(pack(idx(array)))
    folder = load(path.parent)
    assert folder.digests == loaded(path, good()).digests
    assert folder.name == path.parent.name


def test_an_idx_folder_without_test_files_has_no_test_set(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(good()["x_train"]))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(good()["y_train"]))
    assert load(tmp_path).x_test is None


def test_a_folder_without_labels_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(good()["x_train"]))
    with pytest.raises(DataError) as error:
        load(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: train-labels-idx1-ubyte is missing (plain, or with .gz)"
    )


def test_a_folder_with_two_files_of_one_meaning_is_refused(tmp_path: Path) -> None:
    for suffix in ("", ".gz"):
        (tmp_path / f"train-images-idx3-ubyte{suffix}").touch()
    with pytest.raises(DataError) as error:
        load(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: holds train-images-idx3-ubyte and train-images-idx3-ubyte.gz: keep only "
        "one of them"
    )


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("minst", "; did you mean mnist?"),
        ("Fashion_MNIST", "; did you mean fashion-mnist?"),
        ("moon:noise=0.1", "; did you mean moons?"),
        ("", ""),
        ("a\0b", ""),
    ],
)
def test_an_unknown_name_is_refused_with_what_is_allowed(name: str, near: str) -> None:
    with pytest.raises(DataError) as error:
        load(name)
    shown = name.replace("\0", r"\x00")
    assert str(error.value) == (
        f"no data named '{shown}': allowed are a name that 'jmlp data list' shows, a folder with "
        f"IDX files, an .npz file, or a table (.csv, .tsv, .parquet){near}"
    )


TYPES = (
    "allowed are uint8 (0 to 255) and float32: convert pixels to uint8, and numbers to be used "
    "unscaled to float32"
)
BAD_X = [
    (np.ones((6, 2, 2), int), f"type int64; {TYPES}"),
    (np.ones((6, 2, 2), bool), f"type bool; {TYPES}"),
    (np.ones(6, np.uint8), "shape (6,); must be one image per row, (N, ...)"),
    (np.zeros((6, 0, 2), np.uint8), "shape (6, 0, 2): no images"),
    (np.full((6, 2, 2), 7, np.uint8), "all pixels are 7: no images"),
    (
        np.where(np.arange(24).reshape(6, 2, 2) % 9 == 8, np.nan, 0.5),
        "2 images hold numbers that are not finite in float32, the first is image 2",
    ),
    (
        np.where(np.arange(24).reshape(6, 2, 2) == 4, 1e300, 0.5),
        "1 images hold numbers that are not finite in float32, the first is image 1",
    ),
]


@pytest.mark.parametrize(("x", "message"), BAD_X)
def test_bad_images_are_refused(x: NDArray[Any], message: str, path: Path) -> None:
    arrays = {"x_train": x, "y_train": good()["y_train"]}
    assert refusal(path, arrays) == f"x_train: {message}"


TO = "convert them to integers"
BAD_Y = [
    ([0.0, 1.0, 2.0] * 2, f"type float64; labels must be integers, 0 for the first class: {TO}"),
    ([True, False] * 3, f"type bool; labels must be integers, 0 for the first class: {TO}"),
    ([0, 1, -1] * 2, "label -1; labels are 0 to K - 1, K at most 1000"),
    ([0, 1, 1000] * 2, "label 1000; labels are 0 to K - 1, K at most 1000"),
    ([3] * 6, "every label is 3; at least 2 classes are needed"),
    (
        [0, 1, 255] * 2,
        "no image of class 2, but labels up to 255; labels are 0 to K - 1, each with at least one "
        "image: renumber them",
    ),
    (
        [1, 2, 3] * 2,
        "no image of class 0, but labels up to 3; labels are 0 to K - 1, each with at least one "
        "image: renumber them",
    ),
    (
        [[0, 1]] * 6,
        "shape (6, 2); must be one label per image, (N,): for one-hot rows, use y.argmax(axis=1)",
    ),
    (
        [[0], [1]] * 3,
        "shape (6, 1); must be one label per image, (N,): use the only column, y[:, 0]",
    ),
    (3, "shape (); must be one label per image, (N,)"),
]


@pytest.mark.parametrize(("y", "message"), BAD_Y)
def test_bad_labels_are_refused(y: list[Any], message: str, path: Path) -> None:
    arrays = {"x_train": good()["x_train"], "y_train": np.array(y)}
    assert refusal(path, arrays) == f"y_train: {message}"


MISSING = "there must be x_train and y_train, and both x_test and y_test or neither"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_train": None}, f"y_train is missing; {MISSING}"),
        ({"x_test": None}, f"x_test is missing; {MISSING}"),
        ({"y_train": np.arange(5)}, "6 images in x_train, 5 labels in y_train"),
        ({"y_test": np.arange(4)}, "3 images in x_test, 4 labels in y_test"),
        (
            {"x_test": np.zeros((0, 2, 2), np.uint8), "y_test": np.zeros(0, np.uint8)},
            "x_test: shape (0, 2, 2): no images; leave both arrays out for no test set",
        ),
        (
            {"x_test": np.ones((3, 4), np.uint8)},
            "x_test: images of shape (4,), but those of x_train are (2, 2)",
        ),
        (
            {"x_test": good()["x_test"] / np.float32(255)},
            "x_test: float32 numbers, but those of x_train are uint8: uint8 is scaled to 0-1, "
            "floating-point numbers are used unscaled: convert both to one type",
        ),
        (
            {
                "x_train": np.linspace(0, 1, 24, dtype=np.float32).reshape(6, 2, 2),
                "x_test": np.linspace(0, 250, 12, dtype=np.float32).reshape(3, 2, 2),
            },
            "x_test: numbers from 0 to 250, but those of x_train are from 0 to 1: bring both to "
            "one scale",
        ),
        ({"y_test": np.array([0, 1, 3])}, "y_test: label 3, but those of y_train are 0 to 2"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(
    change: dict[str, Any], message: str, path: Path
) -> None:
    arrays = {key: array for key, array in (good() | change).items() if array is not None}
    assert refusal(path, arrays) == message


def test_a_check_of_user_data_gives_shapes_and_digests(path: Path) -> None:
    digests = loaded(path, good()).digests
    assert check(path) == (
        ArrayCheck("x_train", (6, 2, 2), digests["x_train"], None),
        ArrayCheck("y_train", (6,), digests["y_train"], None),
        ArrayCheck("x_test", (3, 2, 2), digests["x_test"], None),
        ArrayCheck("y_test", (3,), digests["y_test"], None),
    )
    assert all(array.ok for array in check(path))
