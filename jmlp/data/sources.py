"""Data sources: data sets by their names, or paths; loading, listing and checking them."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jmlp.data.arrays import own_dataset
from jmlp.data.dataset import ARRAYS, Dataset, digest
from jmlp.data.digits import SYNTHETIC_DIGESTS, synthetic
from jmlp.data.fashion_mnist import FASHION_MNIST
from jmlp.data.files import UnreadableError, is_there, opened, shown
from jmlp.data.idx import read_idx_folder
from jmlp.data.mnist import MNIST
from jmlp.data.npz import read_npz
from jmlp.data.published import Published, check_form, load_published
from jmlp.data.shipped_sets import (
    DIGITS_DIGESTS,
    DIGITS_FILE,
    SHIPPED_TABLES,
    TABLE_DIGESTS,
    digits_8x8,
    load_shipped_table,
    table_file,
)
from jmlp.data.table import TableOptions, load_table, stored_options
from jmlp.data.table_file import is_table
from jmlp.data.toys import TOY_DIGESTS, TOY_SUMMARIES, draw
from jmlp.errors import DataError
from jmlp.study.data_names import ALLOWED, NAMES, TOYS, DataName, parse_name, similar_name
from jmlp.study.rules import Refused

PUBLISHED: Mapping[str, Published] = {data.name: data for data in (MNIST, FASHION_MNIST)}
_MADE: Mapping[str, tuple[str, Path | None]] = {  # summaries, and files of this installation
    "synthetic": ("7,000 digits drawn by jmlp, 28 x 28", None),
    "digits-8x8": ("1,797 handwritten digits, 8 x 8", DIGITS_FILE),
    "iris": ("150 flowers of 3 species, 4 numbers", table_file("iris")),
    "penguins": ("344 penguins of 3 species, 7 columns", table_file("penguins")),
    **{name: (summary, None) for name, summary in TOY_SUMMARIES.items()},
}
# Of data without parameters, or with their default values.
_DIGESTS: Mapping[str, Mapping[str, str]] = {
    "synthetic": SYNTHETIC_DIGESTS,
    "digits-8x8": DIGITS_DIGESTS,
    **TABLE_DIGESTS,
    **TOY_DIGESTS,
}


@dataclass(frozen=True)
class CatalogueEntry:
    """A data set that jmlp knows by name."""

    name: str
    title: str
    path: Path | None  # of its file or cache, which need not exist; None if it needs none
    cached: bool  # can be loaded without a download
    problem: str = ""  # why its cache cannot be read
    parameters: Mapping[str, int | float] = field(default_factory=dict)  # with their defaults


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
        source: A name that `catalogue` lists, with parameters or without, such as "mnist" or
            "moons:noise=0.2,n=2000" (see `jmlp.study.data_names`); a folder with IDX files named
            as in MNIST (each plain or `.gz`); an `.npz` file with x_train, y_train and optionally
            x_test, y_test; or a table (`.csv`, `.tsv`, `.parquet`).
        say: Called with one line for each slow step.
        options: How to read a table; a table needs at least the name of its label, a named one has
            defaults of its own.

    Raises:
        DataError: No such data, or it is invalid.
    """
    options = options or TableOptions()
    check_options(source, options)
    named = _named(source)
    path = Path(os.path.expanduser(source))
    if named is not None:
        return _load_named(named, say, options)
    if not str(source) or not is_there(path):
        if os.sep in str(source) or is_table(path) or path.suffix == ".npz":
            raise DataError(
                f"{shown(source)}: there is no such file or folder: put it back, or give the path "
                "where it is"
            )
        raise DataError(
            f"no data named {str(source)!r}: allowed are {ALLOWED}{similar_name(str(source))}"
        )
    if is_table(path) and not os.path.isdir(path):
        return load_table(path, options)
    arrays = read_idx_folder(path) if os.path.isdir(path) else read_npz(path, ARRAYS)
    name = shown(path.name or path)
    dataset = own_dataset(name, arrays, shown(path), stratify=options.stratify)
    known = [data.classes for data in PUBLISHED.values() if data.digests == dataset.digests]
    return replace(dataset, classes=known[0]) if known else dataset


def check_options(source: str | Path, options: TableOptions) -> None:
    """Checks that data can be what is said about a table, as far as that is known without them.

    Raises:
        DataError: they are no table; or, of arrays, there is more than how they are split.
    """
    named = _named(source)
    is_a_table = is_table(Path(source)) if named is None else named.name in SHIPPED_TABLES
    about_any = options if named is not None else replace(options, stratify=True)
    if not is_a_table and about_any != TableOptions():
        raise DataError(
            f"{shown(source)}: is not a table (.csv, .tsv, .parquet): label, missing, leave_out, "
            "header, test and stratify are only for tables"
        )


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
    return tuple(map(_entry, NAMES))


def check(source: str | Path, options: TableOptions | None = None) -> tuple[ArrayCheck, ...]:
    """Compute the digest of each array; nothing is downloaded, cached or removed.

    Args:
        source: As for `load`.
        options: How to read a table.

    Raises:
        DataError: No such data on this machine, or it cannot be read.
    """
    named = _named(source)
    if named is not None and named.name in PUBLISHED:
        data = PUBLISHED[named.name]
        path = shown(data.cache_file)
        if not is_there(data.cache_file):
            raise DataError(
                f"{data.name} is not in the cache ({path}): run 'jmlp data get {data.name}'"
            )
        arrays = read_npz(data.cache_file, ARRAYS)
        check_form(data, arrays, path)
        shapes = {key: array.shape for key, array in arrays.items()}
        digests = {key: digest(array) for key, array in arrays.items()}
        return _compare(shapes, digests, data.digests)
    return checks_of(source, load(source, options=options))


def checks_of(source: str | Path, dataset: Dataset) -> tuple[ArrayCheck, ...]:
    """The digest of each array of data that are loaded.

    Args:
        source: What they were loaded by.
        dataset: The data.
    """
    shapes = {
        "x_train": (len(dataset.x_train), *dataset.image_shape),
        "y_train": dataset.y_train.shape,
    }
    if dataset.x_test is not None:
        shapes["x_test"] = (len(dataset.x_test), *dataset.image_shape)
        shapes["y_test"] = dataset.x_test.shape[:1]
    if dataset.columns is not None:
        shapes["columns"] = (len(dataset.columns.features),)
    # A toy with other parameters than its defaults has another canonical text.
    return _compare(shapes, dataset.digests, _DIGESTS.get(str(_named(source)), {}))


def check_name(source: str) -> None:
    """Check the parameters of a data set that is given by its name.

    Raises:
        DataError: a parameter is wrong.
    """
    _named(source)


def _named(source: str | Path) -> DataName | None:
    """The data set that is named; None if it is a path.

    Raises:
        DataError: a parameter is wrong.
    """
    try:
        return parse_name(source) if isinstance(source, str) else None
    except Refused as refused:
        raise DataError(f"data: {refused}") from None


def _load_named(
    data: DataName, say: Callable[[str], None] | None, options: TableOptions
) -> Dataset:
    if data.name in PUBLISHED:
        return load_published(PUBLISHED[data.name], say)
    if data.name in TOYS:
        return draw(data)
    if data.name in SHIPPED_TABLES:
        return load_shipped_table(data.name, options)
    return digits_8x8() if data.name == "digits-8x8" else synthetic()


def _entry(name: str) -> CatalogueEntry:
    if name not in PUBLISHED:
        summary, path = _MADE[name]
        return CatalogueEntry(name, summary, path, True, parameters=TOYS.get(name, {}))
    data = PUBLISHED[name]
    path, problem = data.cache_file, ""
    try:
        if cached := is_there(path):
            with opened(path):
                pass
    except UnreadableError as error:
        cached, problem = False, str(error)
    return CatalogueEntry(name, data.summary, path, cached, problem)


def _compare(
    shapes: Mapping[str, tuple[int, ...]], digests: Mapping[str, str], expected: Mapping[str, str]
) -> tuple[ArrayCheck, ...]:
    return tuple(ArrayCheck(key, shapes[key], digests[key], expected.get(key)) for key in digests)
