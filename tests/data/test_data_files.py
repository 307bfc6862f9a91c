"""IDX, gzip and `.npz`: what is read, and every way in which a file may be wrong."""

import gzip
import io
import os
import struct
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from jmlp.data import files
from jmlp.data.idx import read_idx
from jmlp.data.npz import read_npy_file, read_npz
from jmlp.errors import DataError
from jmlp.training.plan import total_memory

IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


def idx(array: NDArray[Any], code: int = 8) -> bytes:
    header = struct.pack(f">2x2B{array.ndim}I", code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def npz(save: Callable[..., None] = np.savez_compressed, **arrays: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


def archive(name: str, content: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as members:
        members.writestr(name, content)
    return file.getvalue()


def npy(header: str, content: bytes = b"", version: int = 1) -> bytes:
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes((version, 0)) + length + header.encode("latin1") + content


def plain_header(shape: object, descr: str = "'|u1'") -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def refusal(path: Path, content: bytes, kind: str) -> str:
    """The error message for a bad file, without its path."""
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        read_idx(path) if kind == "idx" else read_npz(path, ["x"])
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


# Reading


@pytest.mark.parametrize(
    ("code", "dtype"),
    [(8, "u1"), (9, "i1"), (0x0B, "i2"), (0x0C, "i4"), (0x0D, "f4"), (0x0E, "f8")],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_idx_of_every_type_is_read_plain_and_packed(
    code: int, dtype: str, pack: Any, path: Path
) -> None:
    expected = (IMAGES.astype(dtype) - 12 if dtype != "u1" else IMAGES).astype(dtype)
    path.write_bytes(pack(idx(expected, code)))
    array = read_idx(path)
    np.testing.assert_array_equal(array, expected, strict=True)
    assert array.dtype.isnative


@pytest.mark.parametrize(
    "array",
    [
        IMAGES,
        np.asfortranarray(IMAGES),
        IMAGES.astype(">f8"),
        IMAGES > 5,
        np.zeros((0, 3), np.float16),
        np.int64(7),
    ],
)
def test_npz_arrays_are_read_as_numpy_wrote_them(array: NDArray[Any], path: Path) -> None:
    path.write_bytes(npz(x=array, other=np.arange(3)))
    read = read_npz(path, ["x", "absent"])
    assert list(read) == ["x"]
    np.testing.assert_array_equal(read["x"], array)
    assert read["x"].dtype == np.asarray(array).dtype.newbyteorder("=")
    assert read["x"].flags.c_contiguous


def test_npy_file_is_read_as_numpy_wrote_it(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, IMAGES)
    np.testing.assert_array_equal(read_npy_file(path), IMAGES, strict=True)


# Damage


def damaged(content: bytes) -> Iterator[bytes]:
    """Every file that ends early and every one with the first or last bit of a byte flipped."""
    for n in range(len(content)):
        yield content[:n]
        for bit in (1, 0x80):
            yield content[:n] + bytes([content[n] ^ bit]) + content[n + 1 :]


def test_no_cut_or_flipped_bit_of_a_gz_file_is_read_as_other_numbers(path: Path) -> None:
    n_read = 0
    for content in damaged(gzip.compress(idx(IMAGES), mtime=0)):
        path.write_bytes(content)
        try:
            array = read_idx(path)
        except DataError:
            continue
        np.testing.assert_array_equal(array, IMAGES, strict=True)
        n_read += 1
    assert n_read < 100  # a bit of the time in the header, and the like


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_no_cut_or_flipped_bit_of_an_npz_file_is_read_as_other_numbers(
    save: Callable[..., None], path: Path
) -> None:
    for content in damaged(npz(save, x=IMAGES)):
        path.write_bytes(content)
        try:
            arrays = read_npz(path, ["x"])
        except DataError:
            continue
        for array in arrays.values():
            np.testing.assert_array_equal(array, IMAGES, strict=True)


PLAIN = idx(IMAGES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty (0 bytes): get the file again"),
        (b"\1" + PLAIN[1:], "not an IDX file: begins with 01 00 08 03, not 00 00"),
        (
            b"<!DOCTYPE html>",
            "not an IDX file: begins with 3c 21 44 4f, not 00 00; it looks like a web page saved "
            "under this name",
        ),
        (
            b"\0\0\x0a" + PLAIN[3:],
            "IDX type byte 0a; allowed are 08, 09, 0b, 0c, 0d, 0e",
        ),
        (b"\0\0\x08\0", "0 dimensions; allowed are 1 to 8"),
        (b"\0\0\x08\xff" + bytes(1020), "255 dimensions; allowed are 1 to 8"),
        (PLAIN[:9], "the IDX header is cut off: get the file again"),
        (
            struct.pack(">2x2B3I", 8, 3, 0, 28, 28),
            "holds no numbers: its dimensions are 0 x 28 x 28",
        ),
        (
            struct.pack(">2x2B2I", 8, 2, 2**31, 2**31),
            "has 12 bytes, but its header says 2147483648 x 2147483648, which takes "
            "4,611,686,018,427,387,916: get the file again",
        ),
        (
            PLAIN[:-1],
            "has 39 bytes, but its header says 2 x 3 x 4, which takes 40: get the file again",
        ),
        (
            PLAIN + b"\0",
            "has 41 bytes, but its header says 2 x 3 x 4, which takes 40: get the file again",
        ),
        (gzip.compress(PLAIN)[:-9], "the gzip data is cut off: get the file again"),
        (
            gzip.compress(PLAIN[:-1]),
            "cut off: holds 23 of 24 bytes of the array",
        ),
        (
            gzip.compress(PLAIN)[:-8] + b"\0" * 8,
            "damaged gzip data (Error -3 while decompressing data: incorrect data check): get the "
            "file again",
        ),
        (
            gzip.compress(PLAIN + b"\0"),
            "holds more than the 24 bytes that its header says 2 x 3 x 4",
        ),
        (
            gzip.compress(PLAIN[:20]) + gzip.compress(PLAIN[20:]),
            "data follows the gzip member; only files with one member are read",
        ),
        (
            gzip.compress(PLAIN) + gzip.compress(b""),
            "data follows the gzip member; only files with one member are read",
        ),
        (
            gzip.compress(struct.pack(">2x2B2I", 8, 2, 2**31, 2**31)),
            "the header says 4,611,686,018,427,387,904 bytes, at most 4,294,967,296",
        ),
    ],
)
def test_a_bad_idx_file_is_refused_with_its_numbers(
    content: bytes, message: str, path: Path
) -> None:
    assert refusal(path, content, "idx") == message


def test_a_second_gzip_member_is_seen_where_the_first_fills_the_buffer(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = gzip.compress(PLAIN)
    monkeypatch.setattr(files, "PACKED_PIECE", len(first))
    message = refusal(path, first + gzip.compress(b"\0"), "idx")
    assert message == "data follows the gzip member; only files with one member are read"


OBJECTS = npz(x=np.array([{"a": 1}], object))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty (0 bytes): get the file again"),
        (b"<html>", "not an .npz file, or damaged (File is not a zip file)"),
        (OBJECTS, "x: has type |O; only plain numbers are read"),
        (
            npz(x=np.zeros(2, [("a", "u1"), ("b", "f4")])),
            "x: has type [('a', '|u1'), ('b', '<f4')]; only plain numbers are read",
        ),
        (npz(x=np.array(["text"])), "x: has type <U4; only plain numbers are read"),
        (archive("x.npy", b"no array"), "x: not an array in NumPy's format (version 1 or 2)"),
        (
            archive("x.npy", npy(" " * 10**7, version=2)),
            "x: a header of 10,000,000 bytes; at most 10,000",
        ),
        (
            archive("x.npy", npy(plain_header((10**12,)), b"\0")),
            "x: has 78 bytes, but its header says (1000000000000,) uint8, which takes "
            "1,000,000,000,077",
        ),
        (
            archive("x.npy", npy(plain_header((3,)), b"\0" * 4)),
            "x: has 69 bytes, but its header says (3,) uint8, which takes 68",
        ),
        (
            archive("x.npy", npy(plain_header((-1,)), b"\0")),
            "x: damaged: its NumPy header has an impossible shape",
        ),
        (
            archive("x.npy", npy(plain_header((True,)), b"\0")),
            "x: damaged: its NumPy header has an impossible shape",
        ),
        (
            archive("x.npy", npy(plain_header((1,) * 9), b"\0")),
            "x: damaged: its NumPy header has an impossible shape",
        ),
        (
            archive("x.npy", npy("__import__('os').abort()")),
            "x: damaged: its NumPy header cannot be read",
        ),
        (archive("x.npy", npy("(" * 5000)), "x: damaged: its NumPy header cannot be read"),
        (archive("x.npy", npy("{'shape': ()}")), "x: damaged: its NumPy header cannot be read"),
        (archive("../../x.npy", b""), "an entry is named '../../x.npy': refused"),
        (archive("/x.npy", b""), "an entry is named '/x.npy': refused"),
        (
            archive("x.npy", npy(plain_header(())), zipfile.ZIP_LZMA),
            "x: packed by method 14; NumPy's are 0, 8",
        ),
    ],
)
def test_a_bad_npz_file_is_refused_with_its_numbers(
    content: bytes, message: str, path: Path
) -> None:
    assert refusal(path, content, "npz") == message


def test_a_name_that_is_twice_in_an_npz_file_is_refused(path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as members:
        members.writestr("x.npy", npy(plain_header((1,)), b"\0"))
        members.writestr("x", npy(plain_header((1,)), b"\1"))
    assert refusal(path, content.getvalue(), "npz") == "x: occurs twice"


# Bombs


def test_a_gzip_bomb_is_refused_after_the_bytes_that_its_header_says(path: Path) -> None:
    bomb = gzip.compress(PLAIN + bytes(20 * 2**20))
    tracemalloc.start()
    message = refusal(path, bomb, "idx")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert message == "holds more than the 24 bytes that its header says 2 x 3 x 4"
    assert peak < 2**20


def test_what_unpacks_to_far_too_much_is_refused_before_it_is_unpacked(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "RATIO_MATTERS", 2**20)
    monkeypatch.setattr(files, "free_memory", lambda: 100 * 2**20)
    n = 8 * 2**20
    packed = gzip.compress(idx(np.zeros((n,), np.uint8)))
    members = archive("x.npy", npy(plain_header((n,)), bytes(n)))
    with zipfile.ZipFile(io.BytesIO(members)) as entries:
        size = entries.infolist()[0].compress_size
    tracemalloc.start()
    messages = [refusal(path, packed, "idx"), refusal(path, members, "npz")]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    refused = (
        "more than 100 times as many: refused as a decompression bomb; if it is not one, "
        "unpack the file first (numpy.savez, gunzip)"
    )
    assert messages == [
        f"{len(packed):,} bytes would unpack to 8,388,608, {refused}",
        f"x: {size:,} bytes would unpack to 8,388,608, {refused}",
    ]
    assert peak < 2**20


def test_data_that_are_nearly_all_zero_are_read_where_they_take_little_of_the_memory(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "RATIO_MATTERS", 2**10)
    monkeypatch.setattr(files, "free_memory", lambda: 16 * 2**20)
    path.write_bytes(archive("x.npy", npy(plain_header((2**20,)), bytes(2**20))))
    assert read_npz(path, ["x"])["x"].shape == (2**20,)


@pytest.mark.parametrize("kind", ["npz", "idx", "packed idx"])
def test_what_does_not_fit_into_free_memory_is_refused_before_it_is_allocated(
    kind: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "free_memory", lambda: 10**8)
    n = 60_000_000
    if kind == "npz":
        content = archive("x.npy", npy(plain_header((n,)), bytes(n)))
    else:
        plain = idx(np.zeros((n,), np.uint8))
        content = gzip.compress(plain) if kind == "packed idx" else plain
    told = "needs 0.1 GB of memory, and 0.1 GB are free: use fewer examples, or a machine with "
    tracemalloc.start()
    message = refusal(path, content, kind.removeprefix("packed "))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert message == f"{'x: ' if kind == 'npz' else ''}{told}more memory"
    assert peak < 2**20


def test_free_memory_is_less_than_all_of_it() -> None:
    free = files.free_memory()
    assert free is None or 0 < free <= total_memory()


def test_a_sparse_file_larger_than_memory_is_refused_by_its_size(path: Path) -> None:
    path.write_bytes(struct.pack(">2x2B2I", 8, 2, 2**17, 2**16))
    os.truncate(path, 12 + 2**33)
    with pytest.raises(DataError) as error:
        read_idx(path)
    assert str(error.value) == (
        f"{path}: the header says 8,589,934,592 bytes, at most 4,294,967,296"
    )


# Not files


@pytest.mark.parametrize("read", [read_idx, read_npy_file, lambda path: read_npz(path, ["x"])])
def test_a_file_that_is_not_regular_is_refused_without_waiting(read: Any, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(DataError) as error:
            read(path)
        assert str(error.value) == f"{path}: not a regular file"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("/", "/: cannot be read: Is a directory"),
        ("absent", "absent: cannot be read: No such file or directory"),
        ("n" * 300, "n" * 300 + ": cannot be read: File name too long"),
        ("a\0b", "a\\x00b: a path cannot hold a NUL character"),
        ("a\x1b[31mb", "a\\x1b[31mb: cannot be read: No such file or directory"),
    ],
)
def test_a_path_that_cannot_be_opened_is_reported_with_the_reason(name: str, message: str) -> None:
    with pytest.raises(DataError) as error:
        read_idx(Path(name))
    assert str(error.value) == message
