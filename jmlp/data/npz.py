"""NumPy's `.npy` and `.npz` without pickle; every size is checked before memory is allocated."""

import ast
import math
import struct
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from jmlp.data.files import Stream, check_unpacked, opened, read_bytes, shown, size_of
from jmlp.errors import DataError

LARGEST_HEADER = 10_000  # bytes; NumPy's own limit
MOST_DIMENSIONS = 8
NUMBERS = ("b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8")
TYPES = frozenset(order + number for order in "<>|" for number in NUMBERS)
# What `zipfile` may raise for a malicious file.
ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
)


def read_npz(path: Path, names: Collection[str]) -> dict[str, NDArray[Any]]:
    """Reads the arrays `names` from an `.npz` file, as far as it holds them; others are skipped.

    Raises:
        DataError: Not an `.npz` file, damaged, or an array to read has an unsafe or false header.
    """
    with opened(path) as file:
        return read_npz_stream(file, size_of(file), shown(path), names)


def read_npz_stream(
    file: BinaryIO, size: int, source: str, names: Collection[str] | None = None
) -> dict[str, NDArray[Any]]:
    """Reads the arrays in the content of an `.npz` file; those of `names`, or all.

    Args:
        file: the content.
        size: its bytes.
        source: error messages begin with it.
        names: of the arrays to read; None: all.

    Raises:
        DataError: as `read_npz`.
    """
    if size == 0:
        raise DataError(f"{source}: is empty (0 bytes): get the file again")
    try:
        return _read_members(file, size, names, source)
    except ZIP_ERRORS as error:
        reason = shown(error) or type(error).__name__
        raise DataError(f"{source}: not an .npz file, or damaged ({reason})") from error


def read_npy_file(path: Path) -> NDArray[Any]:
    """Reads the array in an `.npy` file.

    Raises:
        DataError: Not an `.npy` file, damaged, or with an unsafe or false header.
    """
    with opened(path) as file:
        return read_npy(file, size_of(file), size_of(file), shown(path))


def read_npy(stream: Stream, size: int, packed: int, name: str) -> NDArray[Any]:
    """Reads one array in NumPy's format and returns it in C order and native byte order.

    Args:
        stream: Positioned at the header.
        size: Bytes of header and array together.
        packed: Bytes they take in the file.
        name: Name of the array in error messages.

    Raises:
        DataError: Not this format, Python objects inside, or the header contradicts `size`.
    """
    shape, fortran, dtype, n_header = _read_header(stream, name)
    n_bytes = math.prod(shape) * dtype.itemsize
    if n_header + n_bytes != size:
        raise DataError(
            f"{name}: has {size:,} bytes, but its header says {shape} {dtype}, which takes "
            f"{n_header + n_bytes:,}"
        )
    check_unpacked(n_bytes, packed, name)
    data = read_bytes(stream, n_bytes, name).view(dtype)
    array = data.reshape(shape[::-1]).T if fortran else data.reshape(shape)
    return np.ascontiguousarray(array, dtype.newbyteorder("=")).reshape(shape)


def _read_members(
    file: BinaryIO, size: int, names: Collection[str] | None, path: str
) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            if entry.filename.startswith("/") or ".." in entry.filename.split("/"):
                raise DataError(f"{path}: an entry is named {entry.filename!r}: refused")
            key = entry.filename.removesuffix(".npy")
            if names is not None and key not in names:
                continue
            name = f"{path}: {key}"
            if key in arrays:
                raise DataError(f"{name}: occurs twice")
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise DataError(f"{name}: packed by method {entry.compress_type}; NumPy's are 0, 8")
            packed = min(entry.compress_size, size)  # the entry may claim more than the file holds
            with archive.open(entry) as stream:
                arrays[key] = read_npy(stream, entry.file_size, packed, name)
    return arrays


def _read_header(stream: Stream, name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, whether in Fortran order, type, and the header's length in bytes."""
    magic = stream.read(8)
    if magic not in (b"\x93NUMPY\1\0", b"\x93NUMPY\2\0"):
        raise DataError(f"{name}: not an array in NumPy's format (version 1 or 2)")
    length = stream.read(2 if magic[6] == 1 else 4)
    n_text = int.from_bytes(length, "little")
    if n_text > LARGEST_HEADER:
        raise DataError(f"{name}: a header of {n_text:,} bytes; at most {LARGEST_HEADER:,}")
    text = stream.read(n_text)
    try:
        header = ast.literal_eval(text.decode("latin1").strip())
        descr, fortran, shape = header["descr"], header["fortran_order"], header["shape"]
    except (ValueError, TypeError, KeyError, SyntaxError, RecursionError, MemoryError) as error:
        raise DataError(f"{name}: damaged: its NumPy header cannot be read") from error
    if not isinstance(descr, str) or descr not in TYPES:
        raise DataError(f"{name}: has type {shown(descr)[:60]}; only plain numbers are read")
    if (
        not isinstance(shape, tuple)
        or len(shape) > MOST_DIMENSIONS
        or not all(map(_is_size, shape))
    ):
        raise DataError(f"{name}: damaged: its NumPy header has an impossible shape")
    return shape, bool(fortran), np.dtype(descr), len(magic) + len(length) + len(text)


def _is_size(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63
