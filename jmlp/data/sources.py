"""Data sources: data sets by their names, or paths; loading, listing and checking them."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jmlp.data.dataset import ARRAYS, Dataset, digest, make_dataset
from jmlp.data.digits import SYNTHETIC_DIGESTS, synthetic
from jmlp.data.fashion_mnist import FASHION_MNIST
from jmlp.data.files import UnreadableError, is_there, opened, shown
from jmlp.data.idx import read_idx_folder
from jmlp.data.mnist import MNIST
from jmlp.data.npz import read_npz
from jmlp.data.published import Published, check_form, load_published
from jmlp.data.shipped_sets import DIGITS_DIGESTS, DIGITS_FILE, digits_8x8
from jmlp.data.toys import TOY_DIGESTS, TOY_SUMMARIES, draw
from jmlp.errors import DataError
from jmlp.study.data_names import ALLOWED, NAMES, TOYS, DataName, parse_name, similar_name
from jmlp.study.rules import Refused

PUBLISHED: Mapping[str, Published] = {data.name: data for data in (MNIST, FASHION_MNIST)}
_MADE: Mapping[str, tuple[str, Path | None]] = {  # summaries, and files of this installation
    "synthetic": ("7,000 digits drawn by jmlp, 28 x 28", None),
    "digits-8x8": ("1,797 handwritten digits, 8 x 8", DIGITS_FILE),
    **{name: (summary, None) for name, summary in TOY_SUMMARIES.items()},
}
# Of data without parameters, or with their default values.
_DIGESTS: Mapping[str, Mapping[str, str]] = {
    "synthetic": SYNTHETIC_DIGESTS,
    "digits-8x8": DIGITS_DIGESTS,
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


def load(source: str | Path, say: Callable[[str], None] | None = None) -> Dataset:
    """Load data by name or path.

    Args:
        source: A name that `catalogue` lists, with parameters or without, such as "mnist" or
            "moons:noise=0.2,n=2000" (see `jmlp.study.data_names`); a folder with IDX files named
            as in MNIST (each plain or `.gz`), or an `.npz` file with x_train, y_train and
            optionally x_test, y_test.
        say: Called with one line for each slow step.

    Raises:
        DataError: No such data, or it is invalid.
    """
    if (named := _named(source)) is not None:
        return _load_named(named, say)
    path = Path(os.path.expanduser(source))
    if not str(source) or not is_there(path):
        raise DataError(
            f"no data named {str(source)!r}: allowed are {ALLOWED}{similar_name(str(source))}"
        )
    arrays = read_idx_folder(path) if os.path.isdir(path) else read_npz(path, ARRAYS)
    return make_dataset(shown(path.name or path), arrays, shown(path))


def catalogue() -> tuple[CatalogueEntry, ...]:
    """The data sets known by name."""
    return tuple(map(_entry, NAMES))


def check(source: str | Path) -> tuple[ArrayCheck, ...]:
    """Compute the digest of each array; nothing is downloaded, cached or removed.

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
    dataset = load(source)
    shapes = {
        "x_train": (len(dataset.x_train), *dataset.image_shape),
        "y_train": dataset.y_train.shape,
    }
    if dataset.x_test is not None:
        shapes["x_test"] = (len(dataset.x_test), *dataset.image_shape)
        shapes["y_test"] = dataset.x_test.shape[:1]
    # A toy with other parameters than its defaults has another canonical text.
    return _compare(shapes, dataset.digests, _DIGESTS.get(str(named), {}))


def _named(source: str | Path) -> DataName | None:
    """The data set that is named; None if it is a path.

    Raises:
        DataError: a parameter is wrong.
    """
    try:
        return parse_name(source) if isinstance(source, str) else None
    except Refused as refused:
        raise DataError(f"data: {refused}") from None


def _load_named(data: DataName, say: Callable[[str], None] | None) -> Dataset:
    if data.name in PUBLISHED:
        return load_published(PUBLISHED[data.name], say)
    if data.name in TOYS:
        return draw(data)
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
