"""The network in a file of Keras 3, `.keras`; Keras itself is not needed, and no code is run.

The file is a zip archive: `config.json` describes the layers, `model.weights.h5` has their arrays.
It is read by h5py, which is installed with Keras.
"""

import io
import json
import math
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jmlp.data.npz import ZIP_ERRORS
from jmlp.errors import CheckpointError, DataError
from jmlp.exchange.building import UnfitError
from jmlp.exchange.found import Found, Reading, check_float, precision_notes, reading
from jmlp.exchange.operations import Activation, BatchNorm, Dense, Operation
from jmlp.nn.batchnorm import EPS
from jmlp.nn.leaky_relu import SLOPE
from jmlp.study.rules import ActivationName, plain

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
MOST_CONFIG_BYTES = 16_000_000

ACTIVATIONS: Mapping[str, ActivationName] = {
    "relu": "relu",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "gelu": "gelu",
    "silu": "silu",
    "swish": "silu",
}
# Without effect on a prediction, or on the order of the numbers of an example.
WITHOUT_EFFECT = ("InputLayer", "Dropout", "GaussianDropout", "GaussianNoise", "Flatten")


def network_in(content: bytes, source: str) -> Found:
    """The network of such a file.

    Raises:
        CheckpointError: it is none, or damaged.
        UnfitError: it has layers that jmlp does not have.
    """
    config, weights = _members(content, source)
    layers = _chain(config)
    import h5py

    try:
        with h5py.File(io.BytesIO(weights), "r") as file:
            return _Reader(file).network(layers)
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        if isinstance(error, UnfitError):
            raise
        reason = str(error).partition("\n")[0][:200]
        raise CheckpointError(f"{source}: {WEIGHTS} in it is damaged ({reason})") from error


def _members(content: bytes, source: str) -> tuple[dict[str, Any], bytes]:
    """The description of the model, and the content of the file of its arrays.

    Raises:
        CheckpointError: the archive is none, or lacks them.
    """
    limits = {CONFIG: MOST_CONFIG_BYTES, WEIGHTS: 2 * len(content) + 1_000_000}
    found: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name, limit in limits.items():
                with archive.open(name) as member:
                    found[name] = member.read(limit + 1)
                if len(found[name]) > limit:
                    raise CheckpointError(f"{source}: {name} in it is larger than {limit:,} bytes")
        config = json.loads(found[CONFIG])
    except (*ZIP_ERRORS, KeyError, RecursionError, DataError) as error:
        raise CheckpointError(
            f"{source}: not a file of Keras 3, or damaged ({error}): save it by model.save('net."
            "keras')"
        ) from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{source}: {CONFIG} in it is no description of a model")
    return config, found[WEIGHTS]


def _chain(model: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The descriptions of the model's layers, in order.

    Raises:
        UnfitError: they are no chain, or no such description.
    """
    kind, config = model.get("class_name"), model.get("config")
    config = config if isinstance(config, dict) else {}
    layers = config.get("layers")
    if kind not in ("Sequential", "Functional") or not isinstance(layers, list):
        raise UnfitError(
            f"is a model of class {plain(str(kind))}: jmlp reads Sequential and Functional models"
        )
    for layer in layers:
        if not isinstance(layer, dict) or not isinstance(layer.get("config"), dict):
            raise UnfitError("has a layer without a description")
    if kind == "Functional":
        before = None
        for layer in layers:
            name, calls = layer.get("name"), layer.get("inbound_nodes")
            # Each call names the layers whose outputs it takes.
            sources = re.findall(
                r'"keras_history": \["((?:[^"\\]|\\.)*)"', json.dumps(calls, ensure_ascii=False)
            )
            if sources != ([] if before is None else [before]):
                raise UnfitError(
                    f"layer {plain(str(name))} does not take the output of the layer before it "
                    "alone: jmlp's networks are chains"
                )
            before = name
        outputs = re.findall('"((?:[^"\\\\]|\\\\.)*)"', json.dumps(config.get("output_layers")))
        if outputs != [before]:
            raise UnfitError("its output is not that of its last layer alone")
    return layers


class _Softmax:
    """Probabilities of logits, at the end."""


class _Reader:
    """Reads the arrays of layers, which are numbered by their classes."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._seen: dict[str, int] = {}
        self.readings: list[Reading] = []
        self.arrays: dict[str, NDArray[Any]] = {}
        self.notes: list[str] = []
        self.operations: list[Operation | _Softmax] = []
        self.rescaling: tuple[float, float] | None = None
        self.scaled: set[bool] = set()

    def network(self, layers: list[dict[str, Any]]) -> Found:
        """The network of these layers.

        Raises:
            UnfitError: jmlp does not have one of them.
        """
        for layer in layers:
            kind = str(layer.get("class_name"))
            config = layer["config"]
            where = f"layer {plain(str(config.get('name')))}"
            place = self._place(kind)
            if layer.get("registered_name") not in (None, kind) or not re.fullmatch(
                r"keras(\..*)?", str(layer.get("module"))
            ):
                raise UnfitError(f"{where} is of the model's own class {plain(kind)}")
            if self.operations and kind == "Rescaling":
                raise UnfitError(f"{where} scales within the network: jmlp scales inputs alone")
            if kind == "Dense":
                self._dense(config, where, place)
            elif kind == "BatchNormalization":
                self._batch_norm(config, where, place)
            elif kind == "Rescaling":
                self._rescaling(config, where)
            elif kind in WITHOUT_EFFECT:
                if config.get("data_format") == "channels_first":
                    raise UnfitError(
                        f"{where} has its channels first: jmlp reads pictures as they are"
                    )
                if kind not in ("InputLayer", "Flatten"):
                    self.notes.append(f"{where}, {kind}, is left out: it is off in predictions")
            else:
                self._activation(kind, config, where)
        if self.operations and isinstance(self.operations[-1], _Softmax):
            self.operations.pop()
            self.notes.append("the softmax at its end is left out: jmlp's networks give logits")
        operations = [o for o in self.operations if not isinstance(o, _Softmax)]
        if len(operations) < len(self.operations):
            raise UnfitError("softmax in the middle is no activation function of jmlp's")
        if len(self.scaled) > 1:
            raise UnfitError("only some batch norms have a scale and a shift: in jmlp, all or none")
        self.notes += precision_notes(self.arrays)
        return Found(
            "Keras",
            tuple(operations),
            tuple(self.readings),
            tuple(self.notes),
            scaled=self.scaled != {False},
            rescaling=self.rescaling,
        )

    def _place(self, kind: str) -> str:
        """The group of the next layer of a class: layers/dense, layers/dense_1, and so on."""
        snake = re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", kind))
        number = self._seen.get(kind, 0)
        self._seen[kind] = number + 1
        return f"layers/{snake.lower()}{f'_{number}' if number else ''}"

    def _read(
        self, name: object, place: str, shapes: Mapping[str, tuple[int | None, ...]]
    ) -> list[Any]:
        """The arrays of a layer, in Keras's order.

        Raises:
            UnfitError: one is missing, or has another shape; nothing is read then.
        """
        import h5py

        found = []
        n_wanted = len(shapes)
        group = self._group(f"{place}/vars")
        if len(group) != n_wanted:
            raise UnfitError(f"{place} has {len(group)} arrays, and must have {n_wanted}")
        if group.attrs.get("name", name) != name:
            raise UnfitError(f"{place} has the arrays of another layer than {plain(str(name))}")
        for index, (meaning, shape) in enumerate(shapes.items()):
            path = f"{place}/vars/{index}"
            if not isinstance(group.get(str(index), getlink=True), h5py.HardLink):
                raise UnfitError(f"{path} is missing, or lies in another file")
            data = group[str(index)]
            if not isinstance(data, h5py.Dataset) or data.external or data.is_virtual:
                raise UnfitError(f"{path} is no array in this file")
            if len(data.shape) != len(shape) or any(
                wanted is not None and n != wanted
                for n, wanted in zip(data.shape, shape, strict=True)
            ):
                raise UnfitError(f"{path} has shape {data.shape}, which its layer cannot have")
            if math.prod(data.shape) * data.dtype.itemsize > data.id.get_storage_size():
                raise UnfitError(f"{path} is packed: Keras does not pack arrays")
            array = check_float(path, np.asarray(data[()]))
            self.arrays[path] = array
            self.readings.append(reading(path, array, meaning))
            found.append(array)
        return found

    def _group(self, place: str) -> Any:
        """A group of the file, without following links to other files.

        Raises:
            UnfitError: there is none.
        """
        import h5py

        group = self._file
        for part in place.split("/"):
            if not isinstance(group.get(part, getlink=True), h5py.HardLink):
                raise UnfitError(f"{WEIGHTS} has no {place}")
            group = group[part]
            if not isinstance(group, h5py.Group):
                raise UnfitError(f"{WEIGHTS} has no {place}")
        return group

    def _dense(self, config: Mapping[str, Any], where: str, place: str) -> None:
        units, bias = config.get("units"), config.get("use_bias", True)
        if (
            not isinstance(units, int)
            or config.get("lora_rank")
            or config.get("quantization_config")
        ):
            raise UnfitError(f"{where} is no plain Dense layer")
        number = sum(isinstance(operation, Dense) for operation in self.operations) + 1
        shapes: dict[str, tuple[int | None, ...]] = {
            f"W of layer {number}, transposed": (None, units)
        }
        if bias:
            shapes[f"b of layer {number}"] = (units,)
        W, *rest = self._read(config.get("name"), place, shapes)
        self.operations.append(Dense(W.T, rest[0] if rest else None))
        self._named_activation(config.get("activation", "linear"), where)

    def _batch_norm(self, config: Mapping[str, Any], where: str, place: str) -> None:
        axis, eps = config.get("axis", -1), config.get("epsilon", 1e-3)
        if axis not in (-1, 1, [-1], [1]) or not isinstance(eps, float) or not eps > 0:
            raise UnfitError(f"{where} normalises other axes than jmlp, or has a strange epsilon")
        names = [
            *(["gamma"] if config.get("scale", True) else []),
            *(["beta"] if config.get("center", True) else []),
            "mean",
            "var",
        ]
        number = sum(isinstance(operation, Dense) for operation in self.operations)
        arrays = self._read(
            config.get("name"), place, {f"{name} of layer {number}": (None,) for name in names}
        )
        by_name = dict(zip(names, arrays, strict=True))
        mean, var = by_name["mean"], by_name["var"]
        self.scaled.add("gamma" in by_name or "beta" in by_name)
        if eps != EPS:
            var = var.astype(np.float64) + (eps - EPS)
            if (by_name["var"] >= 0).all() and var.min() < 0:
                raise UnfitError(
                    f"{where} has an epsilon of {eps:g} and a variance of "
                    f"{by_name['var'].min():g}: jmlp's epsilon is {EPS:g}, and the variance would "
                    "be negative"
                )
            note = (
                f"batch norm has an epsilon of {eps:g} in it, and {EPS:g} in jmlp: the difference "
                "was added to the running variances"
            )
            if note not in self.notes:
                self.notes.append(note)
        gamma = by_name.get("gamma", np.ones_like(mean))
        beta = by_name.get("beta", np.zeros_like(mean))
        self.operations.append(BatchNorm(gamma, beta, mean, var))

    def _rescaling(self, config: Mapping[str, Any], where: str) -> None:
        scale, offset = config.get("scale"), config.get("offset", 0.0)
        numbers = [value for value in (scale, offset) if isinstance(value, int | float)]
        if len(numbers) != 2 or not all(map(math.isfinite, numbers)) or not numbers[0]:
            raise UnfitError(f"{where} does not scale all inputs by the same number")
        if self.rescaling is not None:
            raise UnfitError(f"{where} scales the inputs a second time")
        self.rescaling = float(numbers[0]), float(numbers[1])

    def _activation(self, kind: str, config: Mapping[str, Any], where: str) -> None:
        if kind == "Activation":
            self._named_activation(config.get("activation"), where)
        elif kind == "Softmax":
            if config.get("axis", -1) not in (-1, 1, [-1], [1]):
                raise UnfitError(f"{where} is a softmax over another axis")
            self.operations.append(_Softmax())
        elif kind in ("ReLU", "LeakyReLU"):
            default = 0.0 if kind == "ReLU" else 0.3
            slope = config.get("negative_slope", default)
            if config.get("max_value") is not None or config.get("threshold"):
                raise UnfitError(f"{where} is a ReLU with a limit or a threshold: jmlp has none")
            if slope == 0:
                self.operations.append(Activation("relu"))
            elif isinstance(slope, float) and math.isclose(slope, SLOPE, rel_tol=1e-6):
                self.operations.append(Activation("leaky_relu"))
            else:
                raise UnfitError(f"{where} has the slope {slope}: that of jmlp is {SLOPE:g}")
        else:
            raise UnfitError(f"{where} is of class {plain(kind)}: jmlp has no such layer")

    def _named_activation(self, name: object, where: str) -> None:
        if isinstance(name, dict):  # as written by some versions
            name = name.get("class_name") if name.get("module") == "keras.activations" else None
        if name == "linear":
            return
        if name == "softmax":
            self.operations.append(_Softmax())
        elif name == "leaky_relu":
            raise UnfitError(
                f"{where} has Keras's leaky_relu, of slope 0.2: that of jmlp is {SLOPE:g}"
            )
        elif isinstance(name, str) and name in ACTIVATIONS:
            self.operations.append(Activation(ACTIVATIONS[name]))
        else:
            raise UnfitError(
                f"{where} has the activation {plain(str(name))}: jmlp has "
                f"{', '.join(dict.fromkeys(ACTIVATIONS.values()))}, leaky_relu"
            )
