"""Data sources: `mnist`, `synthetic`, or a path; loading, listing and checking them."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from jmlp.data import mnist
from jmlp.data.dataset import ARRAYS, Dataset, digest, make_dataset
from jmlp.data.digits import SYNTHETIC_DIGESTS, synthetic
from jmlp.data.files import UnreadableError, is_there, opened, shown
from jmlp.data.idx import read_idx
from jmlp.data.npz import read_npz
from jmlp.data.table import TableOptions, load_table, stored_options
from jmlp.data.table_file import is_table
from jmlp.errors import DataError

IDX_NAMES = {
    "x_train": ("train-images", "idx3-ubyte"),
    "y_train": ("train-labels", "idx1-ubyte"),
    "x_test": ("t10k-images", "idx3-ubyte"),
    "y_test": ("t10k-labels", "idx1-ubyte"),
}


@dataclass(frozen=True)
class CatalogueEntry:
    """A data set that jmlp knows by name."""

    name: str
    title: str
    path: Path | None  # of its cache, which need not exist; None if it needs none
    cached: bool  # can be loaded without a download
    problem: str = ""  # why its cache cannot be read


@dataclass(frozen=True)
class ArrayCheck:
    """The shape and digest of one array of a data set, with the expected digest."""

    array: str  # such as "x_train"
    shape: tuple[int, ...]
    sha256: str
    expected: str | None  # None: the user's own data, whose digest is unknown

    @property
    def ok(self) -> bool:
        """Whether the digest is as expected, or unknown."""
        return self.expected in (None, self.sha256)


def load(
    source: str | Path,
    say: Callable[[str], None] | None = None,
    options: TableOptions | None = None,
) -> Dataset:
    """Load data by name or path.

    Args:
        source: "mnist", "synthetic", a folder with IDX files named as in MNIST (each plain or
            `.gz`), an `.npz` file with x_train, y_train and optionally x_test, y_test, or a table
            (`.csv`, `.tsv`, `.parquet`).
        say: Called with one line for each slow step.
        options: How to read a table; a table needs at least the name of its label.

    Raises:
        DataError: No such data, or it is invalid.
    """
    path = Path(os.path.expanduser(source))
    if options not in (None, TableOptions()) and not is_table(path):
        raise DataError(
            f"{shown(source)}: is not a table (.csv, .tsv, .parquet): label, missing, leave_out, "
            "header and test are only for tables"
        )
    if source == "mnist":
        return mnist.load_mnist(say)
    if source == "synthetic":
        return synthetic()
    if not str(source) or not is_there(path):
        raise DataError(
            f"no data named {str(source)!r}: allowed are mnist, synthetic, a folder with IDX "
            "files, an .npz file, or a table (.csv, .tsv, .parquet)"
        )
    if is_table(path) and not os.path.isdir(path):
        return load_table(path, options or TableOptions())
    arrays = _read_folder(path) if os.path.isdir(path) else read_npz(path, ARRAYS)
    return make_dataset(shown(path.name or path), arrays, shown(path))


def load_stored(data: Mapping[str, Any], say: Callable[[str], None] | None = None) -> Dataset:
    """Load the data that a study was submitted with, from any folder.

    Args:
        data: What the store has about them: "name", "path", and "table" if they are one.
        say: Called with one line for each slow step.

    Raises:
        DataError: No such data, or it is invalid.
    """
    options = stored_options(data["table"]) if data.get("table") else None
    return load(data.get("path") or data["name"], say, options)


def catalogue() -> tuple[CatalogueEntry, ...]:
    """The data sets known by name."""
    path = mnist.cache_file()
    problem = ""
    try:
        if cached := is_there(path):
            with opened(path):
                pass
    except UnreadableError as error:
        cached, problem = False, str(error)
    return (
        CatalogueEntry("mnist", "70,000 handwritten digits, 28 x 28", path, cached, problem),
        CatalogueEntry("synthetic", "7,000 digits drawn by jmlp, 28 x 28", None, True),
    )


def check(source: str | Path, options: TableOptions | None = None) -> tuple[ArrayCheck, ...]:
    """Compute the digest of each array; nothing is downloaded, cached or removed.

    Args:
        source: As for `load`.
        options: How to read a table.

    Raises:
        DataError: No such data on this machine, or it cannot be read.
    """
    if source == "mnist":
        path = mnist.cache_file()
        if not is_there(path):
            raise DataError(f"mnist is not in the cache ({shown(path)}): run 'jmlp data get mnist'")
        arrays = read_npz(path, ARRAYS)
        mnist.check_form(arrays, shown(path))
        shapes = {key: array.shape for key, array in arrays.items()}
        digests = {key: digest(array) for key, array in arrays.items()}
        return _compare(shapes, digests, mnist.DIGESTS)
    dataset = load(source, options=options)
    shapes = {
        "x_train": (len(dataset.x_train), *dataset.image_shape),
        "y_train": dataset.y_train.shape,
    }
    if dataset.x_test is not None:
        shapes["x_test"] = (len(dataset.x_test), *dataset.image_shape)
        shapes["y_test"] = dataset.x_test.shape[:1]
    if dataset.columns is not None:
        shapes["columns"] = (len(dataset.columns.features),)
    return _compare(shapes, dataset.digests, SYNTHETIC_DIGESTS if source == "synthetic" else {})


def _compare(
    shapes: Mapping[str, tuple[int, ...]], digests: Mapping[str, str], expected: Mapping[str, str]
) -> tuple[ArrayCheck, ...]:
    return tuple(ArrayCheck(key, shapes[key], digests[key], expected.get(key)) for key in digests)


def _read_folder(folder: Path) -> dict[str, NDArray[Any]]:
    arrays = {}
    for key, (stem, ending) in IDX_NAMES.items():
        # The original archive and many copies of it use different separators.
        names = [f"{stem}{sign}{ending}{gz}" for sign in "-." for gz in ("", ".gz")]
        found = [folder / name for name in names if is_there(folder / name)]
        if len(found) > 1:
            both = " and ".join(shown(path.name) for path in found)
            raise DataError(f"{shown(folder)}: holds {both}: keep only one of them")
        if found:
            arrays[key] = read_idx(found[0])
        elif key in ("x_train", "y_train"):
            raise DataError(f"{shown(folder)}: {names[0]} is missing (plain, or with .gz)")
    return arrays
