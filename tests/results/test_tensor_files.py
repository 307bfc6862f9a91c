"""A sealed file is restored bitwise, or refused as a whole with one message."""

import errno
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import assert_equal_bits
from safetensors import safe_open
from safetensors.numpy import load_file, save

from jmlp.errors import CheckpointError, StoreError
from jmlp.nn.tensors import Tensors
from jmlp.results import tensor_files
from jmlp.system.files import is_forbidden

NAN_WITH_PAYLOAD = np.array([0x7FC0_1234, 0xFFC0_0001], np.uint32).view(np.float32)
TENSORS: Tensors = {
    "float32": np.array([[np.inf, -np.inf, -0.0], [0.1, 1e-45, 3e38]], np.float32),
    "nan": NAN_WITH_PAYLOAD,
    "float64": np.array([np.nan, -0.0, 0.1 + 0.2]),
    "bool": np.array([True, False]),
    "uint8": np.array([0, 255], np.uint8),
    "uint32": np.array([2**32 - 1, 0], np.uint32),
    "int32": np.array([-(2**31)], np.int32),
    "int64": np.array([-(2**63), 2**63 - 1]),
    "none": np.zeros((0, 3), np.float32),
    "scalar": np.array(7, np.int64),
    "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
}
ABOUT = {"format": "kind", "note": '± " \\ \ud800 ' + "0" * 64, "pairs": [[1, 2.5], None], "a": {}}
NO_HEADER = "damaged, or not a safetensors file: its header cannot be read"
DAMAGED = "damaged: its SHA-256 is not the one stored in it"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A sealed file."""
    tensor_files.write(tmp_path / "file", TENSORS, ABOUT)
    return tmp_path / "file"


def told(call: Callable[[], object], path: Path) -> str:
    """The error message for a file, without its path."""
    with pytest.raises(CheckpointError) as error:
        call()
    assert error.value.exit_code == 5
    assert str(error.value).startswith(f"{path}: ")
    return str(error.value).removeprefix(f"{path}: ")


def refusal(path: Path) -> str:
    return told(lambda: tensor_files.read(path, "kind"), path)


def refusal_of(data: bytes) -> str:
    path = Path("file")
    return told(lambda: tensor_files.from_bytes(data, "kind", path), path)


def test_arrays_of_every_kind_are_restored_bitwise(path: Path) -> None:
    tensors, _ = tensor_files.read(path, "kind")
    assert_equal_bits(tensors, TENSORS)


def test_what_belongs_to_the_arrays_comes_back_equal(path: Path) -> None:
    _, about = tensor_files.read(path, "kind")
    assert tensor_files.read_about(path, "kind") == about
    assert len(about.pop("sha256")) == 64
    assert about == ABOUT


def test_arrays_that_were_read_cannot_be_written_to(path: Path) -> None:
    tensors, _ = tensor_files.read(path, "kind")
    assert not any(array.flags.writeable for array in tensors.values())


def test_safetensors_itself_reads_the_file(path: Path) -> None:
    assert_equal_bits(load_file(path), TENSORS)
    with safe_open(path, "numpy") as file:
        header = file.metadata()
    assert list(header) == ["jmlp"]
    assert json.loads(header["jmlp"])["pairs"] == ABOUT["pairs"]


def test_bytes_are_a_function_of_the_content() -> None:
    backwards = dict(reversed(ABOUT.items()))
    again = dict(reversed([(name, array.copy()) for name, array in TENSORS.items()]))
    assert tensor_files.to_bytes(again, backwards) == tensor_files.to_bytes(TENSORS, ABOUT)


def test_what_was_read_is_written_again_to_the_same_bytes(path: Path) -> None:
    assert tensor_files.to_bytes(*tensor_files.read(path, "kind")) == path.read_bytes()


def test_the_seal_is_the_sha256_of_the_file_with_zeros_in_its_place(path: Path) -> None:
    seal = tensor_files.read(path, "kind")[1]["sha256"]
    data = path.read_bytes()
    assert data.count(seal.encode()) == 1
    assert hashlib.sha256(data.replace(seal.encode(), b"0" * 64)).hexdigest() == seal


SMALL = tensor_files.to_bytes({"W": np.array([-0.0], np.float32)}, {"format": "kind"})


def test_every_flipped_bit_is_refused() -> None:
    whole = int.from_bytes(SMALL)
    for bit in range(8 * len(SMALL)):
        refusal_of((whole ^ 1 << bit).to_bytes(len(SMALL)))


def test_every_truncation_and_every_byte_too_many_is_refused() -> None:
    for length in range(len(SMALL)):
        refusal_of(SMALL[:length])
    for byte in range(256):
        told = "damaged: 5 bytes of arrays, its header says 4"
        assert refusal_of(SMALL + bytes([byte])) == told


def test_every_byte_that_became_blank_is_refused() -> None:
    # Blanks in the header's JSON would go unnoticed if only its meaning were checked.
    for n, byte in enumerate(SMALL):
        blank = b"\n" if byte == ord(" ") else b" "
        refusal_of(SMALL[:n] + blank + SMALL[n + 1 :])


def with_header(text: bytes) -> bytes:
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", NO_HEADER),
        (b"<html>an error page</html>", NO_HEADER),
        (b"\xff" * 100, NO_HEADER),
        (bytes(range(256)) * 8, NO_HEADER),
        (with_header(b"[" * 100_000), NO_HEADER),
        (with_header(b"null"), NO_HEADER),
        (with_header(b'{"__metadata__":null}'), NO_HEADER),
        (with_header(b'{"__metadata__":{"jmlp":1}}'), NO_HEADER),
        (with_header(b'{"__metadata__":{"jmlp":"[]"}}'), NO_HEADER),
        (with_header(b'{"__metadata__":{"jmlp":"{\\"format\\":\\"kind\\"}"}}'), DAMAGED),
        (
            save({"W": np.zeros(2, np.float32)}),
            "of another program or another version of jmlp (format None, expected 'kind')",
        ),
        (
            tensor_files.to_bytes({}, {"format": "kind-2"}),
            "of another program or another version of jmlp (format 'kind-2', expected 'kind')",
        ),
    ],
)
def test_file_of_something_else_is_refused(data: bytes, what: str) -> None:
    assert refusal_of(data) == what


def test_arrays_that_do_not_fit_into_the_file_are_refused_under_a_right_seal() -> None:
    data = bytearray(SMALL.replace(b"[0,4]", b"[0,9]"))
    seal = data.index(b"sha256") + len(rb"sha256\":\"")
    data[seal : seal + 64] = b"0" * 64
    data[seal : seal + 64] = hashlib.sha256(data).hexdigest().encode()
    assert refusal_of(bytes(data)).startswith("not a whole safetensors file: ")


def test_a_file_that_is_not_regular_is_refused_at_once(path: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(path)
    (tmp_path / "passwords").symlink_to("/etc/passwd")
    assert refusal(tmp_path) == "not a regular file"
    assert refusal(tmp_path / "pipe") == "not a regular file"
    assert refusal(Path("/dev/zero")) == "not a regular file"
    assert refusal(tmp_path / "link") == "a symbolic link, not a regular file"
    assert refusal(tmp_path / "passwords") == "a symbolic link, not a regular file"
    with pytest.raises(CheckpointError) as error:
        tensor_files.read(tmp_path / "none", "kind")
    assert not is_forbidden(error.value)
    assert str(error.value).endswith("none: cannot be read: No such file or directory")
    assert refusal(tmp_path / "a\0b") == "a path cannot contain a NUL character"
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(CheckpointError, match="a loop of symbolic links, not a regular file"):
        tensor_files.read(tmp_path / "loop", "kind", follow_links=True)


def test_a_link_is_followed_where_that_is_asked_for(path: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(path)
    tensors, _ = tensor_files.read(tmp_path / "link", "kind", follow_links=True)
    assert_equal_bits(tensors, TENSORS)


def test_too_large_a_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.truncate(10_000_000_000)  # a hole, which takes no space
    assert refusal(tmp_path / "file") == "10,000,000,000 bytes, at most 4,000,000,000"


@pytest.mark.parametrize(
    ("dtype", "shape", "offsets", "what"),
    [
        ("F8_E4M3", [4], [0, 4], "W has a type that jmlp does not write"),
        ("F32", [-1, -1], [0, 4], "W has an impossible shape"),
        ("F32", [1] * 33, [0, 4], "W has an impossible shape"),
        ("F32", [10**12], [0, 4], "the size of W does not match its shape"),
        ("F32", [0.5], [0, 4], '"shape[0]" is 0.5, expected an integer of at most 64 bits'),
        ("F32", [1], [0], '"data_offsets" is [0], expected 2 values'),
    ],
)
def test_arrays_that_cannot_be_are_refused_under_a_right_seal(
    dtype: str, shape: list[Any], offsets: list[int], what: str
) -> None:
    size = int.from_bytes(SMALL[:8], "little")
    header = json.loads(SMALL[8 : 8 + size])
    header["W"] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
    data = bytearray(with_header(json.dumps(header, separators=(",", ":")).encode()) + SMALL[-4:])
    seal = data.index(b"sha256") + len(rb"sha256\":\"")
    data[seal : seal + 64] = b"0" * 64
    data[seal : seal + 64] = hashlib.sha256(data).hexdigest().encode()
    assert refusal_of(bytes(data)) == f"not a whole safetensors file: {what}"


def test_a_size_that_is_not_the_header_s_is_refused_before_the_arrays_are_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_bytes = sum(array.nbytes for array in TENSORS.values())
    with path.open("r+b") as file:
        file.truncate(3_900_000_000)  # a hole, which takes no space
    monkeypatch.setattr(tensor_files, "from_bytes", None)
    assert refusal(path).endswith(f" bytes of arrays, its header says {n_bytes:,}")


def test_a_file_can_be_refused_by_the_shapes_of_its_arrays_before_they_are_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(outline: Tensors, about: dict[str, Any]) -> None:
        shapes = {name: (array.shape, array.dtype) for name, array in outline.items()}
        assert shapes == {name: (array.shape, array.dtype) for name, array in TENSORS.items()}
        assert about["format"] == "kind"
        raise CheckpointError(f"{path}: is too wide")

    monkeypatch.setattr(tensor_files, "from_bytes", None)
    assert told(lambda: tensor_files.read(path, "kind", check=check), path) == "is too wide"


def test_a_file_of_a_newer_jmlp_is_no_damage(tmp_path: Path) -> None:
    tensor_files.write(tmp_path / "file", {}, {"format": "jmlp-run-12"})
    with pytest.raises(tensor_files.OtherFormatError) as error:
        tensor_files.read(tmp_path / "file", "jmlp-run-1")
    assert str(error.value) == (
        f"{tmp_path / 'file'}: of a newer jmlp (format 'jmlp-run-12', this one reads "
        "'jmlp-run-1'): install the newer jmlp"
    )


def test_unreadable_files_are_distinguished_from_damaged_ones(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(CheckpointError) as error:
        tensor_files.read(path, "kind")
    assert is_forbidden(error.value)
    assert str(error.value) == f"{path}: cannot be read: Permission denied"


@pytest.mark.parametrize(
    ("limit", "what"), [("MAX_BYTES", "it"), ("MAX_HEADER_BYTES", "its header")]
)
def test_what_could_not_be_read_again_is_not_written(
    limit: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = {"it": len(SMALL), "its header": int.from_bytes(SMALL[:8], "little")}[what]
    monkeypatch.setattr(tensor_files, limit, 100)
    with pytest.raises(StoreError) as error:
        tensor_files.write(
            tmp_path / "file", {"W": np.array([-0.0], np.float32)}, {"format": "kind"}
        )
    told = f"cannot be written: {what} would have {size} bytes, at most 100"
    assert str(error.value) == f"{tmp_path / 'file'}: {told}"
    assert os.listdir(tmp_path) == []


def test_too_long_a_header_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensor_files, "MAX_HEADER_BYTES", 100)
    assert refusal_of(SMALL) == NO_HEADER


def test_only_reading_and_writing_import_safetensors() -> None:
    code = "import sys, jmlp.store.checkpoints, jmlp.store.run_files; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert not {"safetensors", "jax", "matplotlib", "jinja2"} & set(done.stdout.split())


@pytest.mark.parametrize("about", [{"format": "kind", "n": np.nan}, {"format": "kind", "n": {1}}])
def test_a_value_that_is_not_strict_json_is_a_bug_and_not_written(
    about: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises((TypeError, ValueError)):
        tensor_files.write(tmp_path / "file", TENSORS, about)
    assert os.listdir(tmp_path) == []
