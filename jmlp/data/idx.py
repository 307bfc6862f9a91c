"""The IDX format of the original MNIST files, plain or gzipped.

2 zero bytes, 1 byte type, 1 byte number of dimensions, then each dimension as a big-endian
uint32, then the numbers, big-endian, last dimension fastest.
"""

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jmlp.data.files import (
    GzipMember,
    Stream,
    check_unpacked,
    is_there,
    opened,
    read_bytes,
    shown,
    size_of,
)
from jmlp.errors import DataError

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MOST_DIMENSIONS = 8
GZIP_MAGIC = b"\x1f\x8b"
NAMES = {
    "x_train": ("train-images", "idx3-ubyte"),
    "y_train": ("train-labels", "idx1-ubyte"),
    "x_test": ("t10k-images", "idx3-ubyte"),
    "y_test": ("t10k-labels", "idx1-ubyte"),
}


def read_idx_folder(folder: Path) -> dict[str, NDArray[Any]]:
    """Reads the IDX files in a folder that are named as those of MNIST, each plain or `.gz`.

    Raises:
        DataError: the training images or labels are missing, a file is there twice or is not IDX.
    """
    arrays = {}
    for key, (stem, ending) in NAMES.items():
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


def read_idx(path: Path) -> NDArray[Any]:
    """Reads the array in an IDX file; compression is detected from the content, not the name.

    Raises:
        DataError: Not IDX, damaged, truncated, or its size does not match its header.
    """
    name = shown(path)
    with opened(path) as file:
        size = size_of(file)
        packed = file.read(2) == GZIP_MAGIC
        file.seek(0)
        stream: Stream = GzipMember(file, name) if packed else file
        dtype, shape = _read_header(stream, name)
        n_bytes = math.prod(shape) * dtype.itemsize
        if packed:
            check_unpacked(n_bytes, size, name)
        else:
            _check_size(n_bytes + 4 + 4 * len(shape), size, shape, name)
            check_unpacked(n_bytes, n_bytes, name)
        data = read_bytes(stream, n_bytes, name)
        if stream.read(1):
            raise DataError(
                f"{name}: holds more than the {n_bytes:,} bytes that its header says {_by(shape)}"
            )
    return data.view(dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _read_header(stream: Stream, name: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
    magic = stream.read(4)
    if not magic:
        raise DataError(f"{name}: is empty (0 bytes): get the file again")
    if len(magic) < 4 or magic[:2] != b"\0\0":
        hint = "; it looks like a web page saved under this name" if magic[:1] == b"<" else ""
        raise DataError(f"{name}: not an IDX file: begins with {magic.hex(' ')}, not 00 00{hint}")
    code, n_dimensions = magic[2], magic[3]
    if code not in TYPES:
        allowed = ", ".join(f"{c:02x}" for c in TYPES)
        raise DataError(f"{name}: IDX type byte {code:02x}; allowed are {allowed}")
    if not 1 <= n_dimensions <= MOST_DIMENSIONS:
        raise DataError(f"{name}: {n_dimensions} dimensions; allowed are 1 to {MOST_DIMENSIONS}")
    sizes = stream.read(4 * n_dimensions)
    if len(sizes) < 4 * n_dimensions:
        raise DataError(f"{name}: the IDX header is cut off: get the file again")
    shape = struct.unpack(f">{n_dimensions}I", sizes)
    if 0 in shape:
        raise DataError(f"{name}: holds no numbers: its dimensions are {_by(shape)}")
    return np.dtype(TYPES[code]), shape


def _check_size(expected: int, size: int, shape: tuple[int, ...], name: str) -> None:
    if size != expected:
        raise DataError(
            f"{name}: has {size:,} bytes, but its header says {_by(shape)}, which takes "
            f"{expected:,}: get the file again"
        )


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
