"""Gets a published data set from several sources, and verifies it by its digests.

The sources are tried in this order: jmlp's own cache; Keras's cache, read directly; files placed by
hand; Keras in a child process; what the data set has besides. With `JMLP_OFFLINE=1`, nothing is
downloaded. From every source, the four arrays must have the published digests.
"""

import io
import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jmlp.data.dataset import ARRAYS, Dataset, digest, make_dataset
from jmlp.data.files import UnreadableError, is_there, shown
from jmlp.data.idx import read_idx_folder
from jmlp.data.npz import read_npz
from jmlp.errors import DataError, DeviceError, StoreError
from jmlp.system import processes
from jmlp.system.files import data_dir, write_atomically

Arrays = dict[str, NDArray[Any]]
Say = Callable[[str], None]
Read = Callable[[Say], tuple[Arrays, str]]  # the arrays, and where they came from

KERAS_PROGRAM = "import keras; keras.datasets.{}.load_data()"
KERAS_SECONDS = 180  # Keras itself has no time limit


@dataclass(frozen=True)
class Source:
    """A source that only one data set has."""

    title: str  # such as "the package index"
    read: Read
    place: Callable[[], Path] | None = None  # tried only if something is there


@dataclass(frozen=True)
class Published:
    """A data set of `uint8` images that others publish."""

    name: str  # as it is named in studies
    title: str  # as people write it
    summary: str
    shapes: Mapping[str, tuple[int, ...]]  # by array
    digests: Mapping[str, str]  # by array, see `dataset.digest`
    n_classes: int
    classes: tuple[str, ...]  # their names; empty: they are called 0, 1, 2 …
    keras: str  # Keras's module
    keras_cache: str  # an .npz file or a folder with IDX files, in Keras's folder of data sets
    by_hand: Callable[[], str]  # how to place the data by hand: the end of a message
    on_this_machine: tuple[Source, ...] = ()  # besides the caches
    on_the_network: tuple[Source, ...] = ()  # after Keras

    @property
    def cache_file(self) -> Path:
        """The path of jmlp's cache: an uncompressed `.npz`, read in 60 ms."""
        return data_dir() / f"{self.name}.npz"

    @property
    def folder(self) -> Path:
        """The folder where users may place the IDX files."""
        return data_dir() / self.name


def load_published(data: Published, say: Say | None = None) -> Dataset:
    """Load a published data set, and keep it in jmlp's cache.

    Args:
        data: the data set.
        say: Called with one line for each slow step and for each problem.

    Returns:
        The data set, its four digests verified.

    Raises:
        DataError: Every source failed; the message lists them with reasons, and a manual way.
    """
    report = say or (lambda line: None)
    own, failures = _own_cache(data), []
    for source in (own, *_sources(data)):
        try:
            arrays, where = source.read(report)
            digests = _verified(data, arrays, where)
        except DataError as reason:
            failures.append(f"{source.title}: {reason}")
            if source is own and not isinstance(reason, UnreadableError):
                _remove_cache(data, reason, report)
            elif not isinstance(reason, UnreadableError):
                report(failures[-1])
            continue
        if source is not own:
            _keep(data, arrays, report)
        return replace(make_dataset(data.name, arrays, where, digests), classes=data.classes)
    tried = "\n".join(f"  {failure}" for failure in failures)
    raise DataError(f"{data.title} could not be loaded. Tried:\n{tried}\n{data.by_hand()}")


def check_form(data: Published, arrays: Mapping[str, NDArray[Any]], where: str) -> None:
    """Check the shapes and types of a published data set, before digests are computed.

    Raises:
        DataError: An array is missing, or has another shape or type.
    """
    for key, shape in data.shapes.items():
        if key not in arrays:
            raise DataError(f"{where}: {key} is missing: this is not {data.title}")
        array = arrays[key]
        if array.shape != shape or array.dtype != np.uint8:
            raise DataError(
                f"{where}: {key} is {array.dtype} {array.shape}, not uint8 {shape}: this is not "
                f"{data.title}"
            )


def compare_digest(found: str, expected: str, where: str, title: str) -> None:
    """Check a SHA-256.

    Raises:
        DataError: it is another one.
    """
    if found != expected:
        raise DataError(f"{where}: damaged or not {title}: SHA-256 {found}, not {expected}")


def need_network() -> None:
    """Check that downloads are allowed.

    Raises:
        DataError: they are not.
    """
    if os.environ.get("JMLP_OFFLINE", "") not in ("", "0"):
        raise DataError("not tried, because JMLP_OFFLINE is set")


def run_python(
    arguments: list[str], seconds: float, environment: dict[str, str] | None = None
) -> None:
    """Run Python in a child process.

    Raises:
        DataError: it failed; with its last line of output.
    """
    try:
        child = processes.run(
            *arguments, stderr=subprocess.STDOUT, variables=environment, seconds=seconds
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(f"no answer within {seconds} seconds") from error
    except DeviceError as error:
        raise DataError(str(error)) from error
    if child.returncode:
        lines = [line.strip() for line in child.stdout.splitlines() if line.strip()]
        last = shown(lines[-1][:300]) if lines else "no output"
        raise DataError(f"ended with code {child.returncode}: {last}")


def _own_cache(data: Published) -> Source:
    def read(report: Say) -> tuple[Arrays, str]:
        path = data.cache_file
        return read_npz(path, ARRAYS), f"{data.title} from {shown(path)}"

    return Source("jmlp's cache", read)


def _sources(data: Published) -> list[Source]:
    """The sources after jmlp's own cache, without those whose place is empty."""
    by_hand = Source("the folder of files placed by hand", _by_hand(data), lambda: data.folder)
    sources = [Source("Keras's cache", _keras_cache(data)), by_hand, *data.on_this_machine]
    there = [s for s in sources if s.place is None or os.path.lexists(s.place())]
    return [*there, Source("Keras", _keras(data)), *data.on_the_network]


def _by_hand(data: Published) -> Read:
    return lambda report: (read_idx_folder(data.folder), f"{data.title} from {shown(data.folder)}")


def _keras_cache(data: Published) -> Read:
    def read(report: Say) -> tuple[Arrays, str]:
        path = _keras_path(data)
        return _read_keras(path), f"{data.title} from Keras's cache, {shown(path)}"

    return read


def _keras(data: Published) -> Read:
    def read(report: Say) -> tuple[Arrays, str]:
        need_network()
        if find_spec("keras") is None:
            raise DataError("not installed")
        minutes = KERAS_SECONDS // 60
        report(f"downloading {data.title} by Keras, {minutes} minutes at most …")
        # Otherwise Keras would let JAX allocate the GPU, all of which this process may need.
        environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
        run_python(["-c", KERAS_PROGRAM.format(data.keras)], KERAS_SECONDS, environment)
        return _read_keras(_keras_path(data)), f"{data.title} downloaded by Keras"

    return read


def _keras_path(data: Published) -> Path:
    home = os.environ.get("KERAS_HOME")
    if home is None:  # Keras's own rule
        user = os.path.expanduser("~")
        home = os.path.join(user if os.access(user, os.W_OK) else "/tmp", ".keras")
    return Path(home, "datasets", data.keras_cache)


def _read_keras(path: Path) -> Arrays:
    if path.suffix == ".npz":
        return read_npz(path, ARRAYS)
    if not is_there(path):
        raise UnreadableError(f"{shown(path)}: cannot be read: No such file or directory")
    return read_idx_folder(path)


def _verified(data: Published, arrays: Arrays, where: str) -> dict[str, str]:
    check_form(data, arrays, where)
    digests = {key: digest(arrays[key]) for key in data.digests}
    for key, expected in data.digests.items():
        compare_digest(digests[key], expected, f"{where}: {key}", data.title)
    return digests


def _remove_cache(data: Published, reason: DataError, report: Say) -> None:
    try:
        data.cache_file.unlink()
    except OSError as error:
        report(f"damaged, and cannot be removed ({error.strerror}): {reason}")
    else:
        report(f"damaged and removed from the cache: {reason}")


def _keep(data: Published, arrays: Arrays, report: Say) -> None:
    packed = io.BytesIO()
    np.savez(packed, allow_pickle=False, **arrays)
    try:
        write_atomically(data.cache_file, packed.getbuffer())
    except StoreError as error:
        report(f"{data.title} could not be cached: {error}")
    else:
        report(f"{data.title} is cached in {shown(data.cache_file)}")
