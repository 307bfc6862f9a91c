"""Files of arrays: safetensors with a JSON header and a checksum (seal); damaged ones are refused.

Such a file contains no code, and other tools can read it. Its only metadata entry, "jmlp", is the
JSON text of one object: first "sha256", the seal of the whole file, computed with zeros in its own
place; then "format" and other data about the arrays. The bytes of a file are a function of its
content.
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
# The start of each file, after the 8 bytes of the header's length and before the seal.
_START = rb'{"__metadata__":{"jmlp":"{\"sha256\":\"'
_SEAL = slice(8 + len(_START), 8 + len(_START) + len(_UNSEALED))


# NumPy's array types by their safetensors names; jmlp writes no others.
_DTYPES: Mapping[str, type[np.generic]] = {
    "BOOL": np.bool_,
    **{f"U{8 * n}": np.dtype(f"u{n}").type for n in (1, 2, 4, 8)},
    **{f"I{8 * n}": np.dtype(f"i{n}").type for n in (1, 2, 4, 8)},
    **{f"F{8 * n}": np.dtype(f"f{n}").type for n in (2, 4, 8)},
}
_MOST_AXES = 32

# Checks arrays of the right shapes and types but without content, and the data about them; raises
# CheckpointError if the file must not be read.
Check = Callable[[Tensors, dict[str, Any]], object]


class OtherFormatError(CheckpointError):
    """An undamaged file that was written by another program or another version of jmlp."""


def write(path: Path, tensors: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> None:
    """Writes arrays and data about them, atomically.

    Args:
        path: the file.
        tensors: arrays of any shape by name: booleans, integers or floats.
        about: at least "format"; JSON values with finite floats. A "sha256" in it is omitted.

    Raises:
        StoreError: the file cannot be written, or is larger than `read` allows.
    """
    write_atomically(path, content(path, tensors, about))


def content(path: Path, tensors: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> bytes:
    """The bytes that `write` writes.

    Raises:
        StoreError: the file would be larger than `read` allows.
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
    """The bytes of such a file, without a limit on its size."""
    from safetensors.numpy import save

    unsealed = {key: value for key, value in about.items() if key != "sha256"}
    text = json.dumps(unsealed, sort_keys=True, separators=(",", ":"), allow_nan=False)
    # Not ascontiguousarray, which turns a scalar into a vector.
    ordered = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    data = save(ordered, {"jmlp": f'{{"sha256":"{_UNSEALED}",{text[1:]}'})
    if data[8 : _SEAL.start] != _START:
        raise RuntimeError("safetensors no longer puts the metadata at the start of its header")
    return b"".join((data[: _SEAL.start], _digest(data), memoryview(data)[_SEAL.stop :]))


def read(
    path: Path, kind: str, *, follow_links: bool = False, check: Check | None = None
) -> tuple[Tensors, dict[str, Any]]:
    """Reads the arrays, as read-only, and the data about them.

    Args:
        path: the file.
        kind: the "format" that it must have.
        follow_links: whether a symbolic link is followed; otherwise it is refused.
        check: called before the arrays are read.

    Raises:
        CheckpointError: the file is missing, not of this format, or damaged; nothing is read in
            part. Also raised by `check`.
    """
    with _opened(path, follow_links) as (file, size):
        head = file.read(8)
        head += file.read(_header_size(head, size, path))
        table, about = _about(head, kind, path)
        outline = _outline(table, size - len(head), path)
        if check is not None:
            check(outline, about)
        data = head + file.read(size - len(head) + 1)  # 1 more, in case it grew
    return from_bytes(data, kind, path)


def from_bytes(data: bytes, kind: str, path: Path) -> tuple[Tensors, dict[str, Any]]:
    """Like `read`, but from the bytes of a file; `path` is used in error messages."""
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
    """Reads only the data about the arrays, without checking the seal.

    Raises:
        CheckpointError: the file is missing, or has no such header.
    """
    with _opened(path, follow_links=False) as (file, size):
        start = file.read(8)
        return _about(start + file.read(_header_size(start, size, path)), kind, path)[1]


def read_outline(path: Path, kind: str) -> tuple[Tensors, dict[str, Any]]:
    """Reads the data about the arrays, with arrays of the right shapes and types but no content.

    The arrays are not read, so the seal is not checked.

    Raises:
        CheckpointError: the file is missing, has no such header, or its size does not match its
            header.
    """
    with _opened(path, follow_links=False) as (file, size):
        head = file.read(8)
        head += file.read(_header_size(head, size, path))
        table, about = _about(head, kind, path)
        return _outline(table, size - len(head), path), about


@contextlib.contextmanager
def _opened(path: Path, follow_links: bool) -> Iterator[tuple[BinaryIO, int]]:
    """Opens a regular file of an allowed size; yields it and its size in bytes."""
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
    """The length of the header in bytes, as stated at the start of a file of `size` bytes."""
    length = int.from_bytes(start, "little")
    if length > min(size - 8, MAX_HEADER_BYTES):
        raise _no_header(path)
    return length


def _about(head: bytes, kind: str, path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The header, and the JSON object in its metadata, checked to have the format `kind`."""
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
    """Arrays of the shapes and types in a header, which take no memory.

    Raises:
        CheckpointError: they do not fill exactly the `n_bytes` after the header.
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
                raise UnreadableError(f"{name} has an impossible shape")
            size = math.prod(shape) * np.dtype(dtype).itemsize
            if size != end - begin or size > n_bytes:
                raise UnreadableError(f"the size of {name} does not match its shape")
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
    """The seal for these bytes, as hexadecimal digits; ignores the seal they contain."""
    view = memoryview(data)
    digest = hashlib.sha256(view[: _SEAL.start])
    digest.update(_UNSEALED.encode())
    digest.update(view[_SEAL.stop :])
    return digest.hexdigest().encode()
