"""Files of arrays that are whole or refused: safetensors with one JSON header and a seal.

There is no code in such a file, and other tools read it too. Its only metadata, "jmlp", is the JSON
text of one object: "format", what else belongs to the arrays, and before all of it "sha256", the
seal over the whole file, itself taken for zeros. The bytes of a file are a function of its content.
"""

import contextlib
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from jmlp.errors import CheckpointError, StoreError
from jmlp.nn.tensors import Tensors
from jmlp.results.serialization import UnreadableError, checked, member, other_format, parse
from jmlp.results.serialization import read as read_value
from jmlp.system.files import NotRegularError, open_regular, write_atomically

MAX_BYTES = 4_000_000_000
MAX_HEADER_BYTES = 16_000_000

_UNSEALED = "0" * 64
# How each file begins after the 8 bytes of its header's length; the seal follows.
_START = rb'{"__metadata__":{"jmlp":"{\"sha256\":\"'
_SEAL = slice(8 + len(_START), 8 + len(_START) + len(_UNSEALED))


# The array types of NumPy, by safetensors' names; jmlp writes no others.
_DTYPES: Mapping[str, type[np.generic]] = {
    "BOOL": np.bool_,
    **{f"U{8 * n}": np.dtype(f"u{n}").type for n in (1, 2, 4, 8)},
    **{f"I{8 * n}": np.dtype(f"i{n}").type for n in (1, 2, 4, 8)},
    **{f"F{8 * n}": np.dtype(f"f{n}").type for n in (2, 4, 8)},
}
_MOST_AXES = 32

# Looks at arrays of the right shapes and types but without content, and at what belongs to them;
# raises CheckpointError where the file need not be read.
Check = Callable[[Tensors, dict[str, Any]], object]


class OtherFormatError(CheckpointError):
    """A file that is not damaged: some other program, or version of jmlp, wrote it."""


def write(path: Path, tensors: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> None:
    """Writes arrays and what belongs to them, atomically.

    Args:
        path: the file.
        tensors: arrays of any shape by name: booleans, integers or floats.
        about: "format" at least; JSON values, of which floats must be finite. A "sha256" in it is
            left out.

    Raises:
        StoreError: the file cannot be written, or is larger than `read` allows.
    """
    write_atomically(path, content(path, tensors, about))


def content(path: Path, tensors: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> bytes:
    """The bytes of the file that `write` writes.

    Raises:
        StoreError: they are more than `read` allows.
    """
    data = to_bytes(tensors, about)
    header = int.from_bytes(data[:8], "little")
    for what, size, limit in (
        ("its header", header, MAX_HEADER_BYTES),
        ("it", len(data), MAX_BYTES),
    ):
        if size > limit:
            raise StoreError(
                f"{path}: cannot be written: {what} would have {size:,} bytes, at most {limit:,}"
            )
    return data


def to_bytes(tensors: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> bytes:
    """The bytes of such a file, however many."""
    from safetensors.numpy import save

    own = {key: value for key, value in about.items() if key != "sha256"}
    text = json.dumps(own, sort_keys=True, separators=(",", ":"), allow_nan=False)
    # Not ascontiguousarray, which makes a scalar into a vector.
    ordered = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    data = save(ordered, {"jmlp": f'{{"sha256":"{_UNSEALED}",{text[1:]}'})
    if data[8 : _SEAL.start] != _START:
        raise RuntimeError("safetensors does not begin its header with the metadata any more")
    return b"".join((data[: _SEAL.start], _digest(data), memoryview(data)[_SEAL.stop :]))


def read(
    path: Path, kind: str, *, follow_links: bool = False, check: Check | None = None
) -> tuple[Tensors, dict[str, Any]]:
    """The arrays, which cannot be written to, and what belongs to them.

    Args:
        path: the file.
        kind: the "format" that it must have.
        follow_links: whether a symbolic link is taken for what it leads to, or refused.
        check: called before the arrays are read.

    Raises:
        CheckpointError: it is not there, not such a file, or damaged; nothing is read in part. Or
            what `check` raises.
    """
    with _opened(path, follow_links) as (file, size):
        head = file.read(8)
        head += file.read(_header_size(head, size, path))
        table, about = _about(head, kind, path)
        outline = _outline(table, size - len(head), path)
        if check is not None:
            check(outline, about)
        data = head + file.read(size - len(head) + 1)  # one more, if it grew in the meantime
    return from_bytes(data, kind, path)


def from_bytes(data: bytes, kind: str, path: Path) -> tuple[Tensors, dict[str, Any]]:
    """What `read` reads from a file of these bytes; `path` is for its messages."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    head = data[: 8 + _header_size(data[:8], len(data), path)]
    table, about = _about(head, kind, path)
    _outline(table, len(data) - len(head), path)
    if data[_SEAL] != _digest(data):
        raise CheckpointError(f"{path}: damaged: its SHA-256 is not the one stored in it")
    try:
        tensors = dict(sorted(load(data).items()))
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a whole safetensors file: {error}") from error
    for array in tensors.values():
        array.flags.writeable = False
    return tensors, about


def read_about(path: Path, kind: str) -> dict[str, Any]:
    """What belongs to the arrays. They are not read, so the seal is not checked.

    Raises:
        CheckpointError: the file is not there, or has not such a header.
    """
    with _opened(path, follow_links=False) as (file, size):
        start = file.read(8)
        return _about(start + file.read(_header_size(start, size, path)), kind, path)[1]


def read_outline(path: Path, kind: str) -> tuple[Tensors, dict[str, Any]]:
    """Arrays of the right shapes and types without content, and what belongs to them.

    The arrays are not read, so the seal is not checked.

    Raises:
        CheckpointError: the file is not there, has not such a header, or is of another size than
            its header says.
    """
    with _opened(path, follow_links=False) as (file, size):
        head = file.read(8)
        head += file.read(_header_size(head, size, path))
        table, about = _about(head, kind, path)
        return _outline(table, size - len(head), path), about


@contextlib.contextmanager
def _opened(path: Path, follow_links: bool) -> Iterator[tuple[BinaryIO, int]]:
    """A regular file of a size that is allowed, and its size in bytes."""
    try:
        with open_regular(path, follow_links=follow_links) as (file, size):
            if size > MAX_BYTES:
                raise CheckpointError(f"{path}: {size:,} bytes, at most {MAX_BYTES:,}")
            yield file, size
    except NotRegularError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error


def _header_size(start: bytes, size: int, path: Path) -> int:
    """The length of the header, in bytes, that a file of `size` bytes says that it has."""
    length = int.from_bytes(start, "little")
    if length > min(size - 8, MAX_HEADER_BYTES):
        raise _no_header(path)
    return length


def _about(head: bytes, kind: str, path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The header, and the JSON object in it, of the right format."""
    try:
        table = read_value(dict[str, Any], parse(head[8:]))
        metadata = table.pop("__metadata__", {})
        about = read_value(
            dict[str, Any], parse(checked(metadata, {}, {"jmlp": str}).get("jmlp", "{}"))
        )
    except UnreadableError as error:
        raise _no_header(path) from error
    found = about.get("format")
    if found != kind:
        problem = other_format(found, kind)
        raise OtherFormatError(f"{path}: {problem}") from problem
    return table, about


def _outline(table: Mapping[str, Any], n_bytes: int, path: Path) -> Tensors:
    """Arrays of the shapes and types that a header tells, which take no memory.

    Raises:
        CheckpointError: they do not fill the `n_bytes` after the header.
    """
    outline: Tensors = {}
    total = 0
    try:
        for name, entry in table.items():
            dtype = _DTYPES.get(member(entry, "dtype", str))
            shape = member(entry, "shape", tuple[int, ...])
            begin, end = member(entry, "data_offsets", tuple[int, int])
            if dtype is None:
                raise UnreadableError(f"{name} has a type that jmlp does not write")
            if len(shape) > _MOST_AXES or any(n < 0 for n in shape):
                raise UnreadableError(f"{name} has no possible shape")
            size = math.prod(shape) * np.dtype(dtype).itemsize
            if size != end - begin or size > n_bytes:
                raise UnreadableError(f"{name} has not as many bytes as its shape says")
            total += size
            outline[name] = np.broadcast_to(np.zeros((), dtype), shape)
    except UnreadableError as error:
        raise CheckpointError(f"{path}: not a whole safetensors file: {error}") from error
    if total != n_bytes:
        raise CheckpointError(
            f"{path}: damaged: {n_bytes:,} bytes of arrays, its header says {total:,}"
        )
    return outline


def _no_header(path: Path) -> CheckpointError:
    return CheckpointError(f"{path}: damaged, or not a safetensors file: its header cannot be read")


def _digest(data: bytes) -> bytes:
    """The seal of a file of these bytes: hexadecimal digits, whatever is in the seal's place."""
    view = memoryview(data)
    digest = hashlib.sha256(view[: _SEAL.start])
    digest.update(_UNSEALED.encode())
    digest.update(view[_SEAL.stop :])
    return digest.hexdigest().encode()
