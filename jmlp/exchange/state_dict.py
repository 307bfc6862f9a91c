"""The network in a state dict of PyTorch, from a safetensors file or one of `torch.save`.

A state dict names arrays by their modules, such as `fc1.weight`, and says neither the order of the
modules nor what lies between them. The order is that of the file, if it keeps one, or that of the
names, if the shapes follow each other in it, and otherwise the only one in which they do.
"""

import io
import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jmlp.data.contract import Contract
from jmlp.data.files import shown
from jmlp.errors import CheckpointError, ConfigError
from jmlp.exchange.building import UnfitError
from jmlp.exchange.found import (
    Found,
    Reading,
    Told,
    check_float,
    listed,
    natural,
    precision_notes,
    reading,
    with_activations,
)
from jmlp.exchange.operations import BatchNorm, Dense
from jmlp.study.rules import BatchNormPlace

Arrays = dict[str, NDArray[Any]]
Modules = dict[str, Arrays]  # by name, with the arrays of each

LINEAR = {"weight", "bias"}
NORM = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
# Of the arrays of a checkpoint that has more than the network's.
WITHIN = ("state_dict", "model_state_dict", "model", "network", "net")
BESIDE_THE_CHAIN = ("downsample", "shortcut", "residual", "skip")
MOST_PERMUTED = 10  # linear layers whose order is found by their shapes


def from_safetensors(content: bytes, path: Path) -> Arrays:
    """The arrays in a safetensors file.

    Raises:
        CheckpointError: it is none, or damaged.
        UnfitError: it is a network of jmlp, which needs no conversion.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: not a whole safetensors file: {error}") from error
    metadata = header.get("__metadata__", {})
    if '"jmlp-network-' in metadata.get("jmlp", ""):
        raise UnfitError(
            "is a network of jmlp already: use it as it is (jmlp predict FILE, jmlp.load)"
        )
    return {name: arrays[name] for name in sorted(arrays, key=natural)}  # they come in no order


def from_torch(content: bytes, path: Path) -> Arrays:
    """The state dict in a file of `torch.save`; runs no code of the file.

    Raises:
        CheckpointError: PyTorch cannot read it so.
        ConfigError: PyTorch is not installed.
        UnfitError: it holds no state dict.
    """
    try:
        import torch
    except ImportError as error:
        raise ConfigError(
            f"{path}: only PyTorch reads such files ({error}): install it (pip install torch), or "
            "convert the file where it is installed: "
            "safetensors.torch.save_file(model.state_dict(), 'net.safetensors')"
        ) from error
    try:
        found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever its readers of damaged archives raise
        if isinstance(error, pickle.UnpicklingError):
            raise CheckpointError(
                f"{path}: PyTorch finds more than arrays in it, or it is damaged; jmlp runs no "
                "code of a file: save the state dict: torch.save(model.state_dict(), 'net.pt')"
            ) from error
        reason = shown(str(error).strip().partition("\n")[0][:200]) or type(error).__name__
        raise CheckpointError(f"{path}: PyTorch cannot read it: {reason}") from error
    for name in WITHIN:
        if isinstance(found, dict) and isinstance(found.get(name), dict):
            found = found[name]
            break
    if not isinstance(found, Mapping) or not found:
        raise UnfitError("holds no state dict: save one: torch.save(model.state_dict(), 'net.pt')")
    arrays: Arrays = {}
    for name, tensor in found.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise UnfitError(
                f"holds more than a state dict ({str(name)[:60]!r}): save one: "
                "torch.save(model.state_dict(), 'net.pt')"
            )
        is_plain = tensor.layout == torch.strided and tensor.device.type == "cpu"
        if not is_plain or tensor.is_quantized or tensor.is_complex():
            raise UnfitError(f"{name} is no dense array of floating-point numbers")
        if tensor.nbytes > len(content):  # one number, as if it were many
            raise UnfitError(f"{name} has more numbers than the file holds")
        # NumPy lacks bfloat16 and shorter ones.
        is_short = tensor.is_floating_point() and tensor.dtype not in (torch.float16, torch.float64)
        arrays[name] = (tensor.detach().float() if is_short else tensor.detach()).numpy()
    return arrays


def network_in(arrays: Arrays, contract: Contract, told: Told, *, keeps_order: bool) -> Found:
    """The network of a state dict.

    Args:
        arrays: by name.
        contract: of the data that it is for.
        told: what the caller says.
        keeps_order: whether the arrays are in the order of the modules' definition.

    Raises:
        ConfigError: something that the file does not say is not said.
        UnfitError: it holds other modules than `Linear` and `BatchNorm1d`, or in no order.
    """
    linear, norm = _kinds(_modules(arrays))
    ordered, notes = _in_order(linear, contract, keeps_order=keeps_order)
    layers = [Dense(linear[name]["weight"], linear[name].get("bias")) for name in ordered]
    place: BatchNormPlace = "before"
    norms: list[str] = []
    if norm:
        norms = _norms_in_order(norm, ordered, linear, keeps_order=keeps_order)
        place, note = _place(ordered, norms, told)
        notes.append(note)
    readings: list[Reading] = []
    for index, name in enumerate(ordered):
        letters = {"weight": "W", "bias": "b"}
        readings += _readings(name, linear[name], letters, index)
        if "bias" not in linear[name] and not norms:
            notes.append(f"{name or 'the linear layer'} has no bias: it is 0")
        if norms and index < len(norms):
            letters = {"weight": "gamma", "bias": "beta"}
            letters |= {"running_mean": "mean", "running_var": "var"}
            readings += _readings(norms[index], norm[norms[index]], letters, index)
    if norms and place == "before" and any(layer.b is not None for layer in layers[:-1]):
        notes.append("biases before batch norm were subtracted from its running means")
    if norms:
        notes.append("batch norm is taken to have PyTorch's default eps, 1e-5")
    numbers = {name: a for name, a in arrays.items() if not name.endswith("num_batches_tracked")}
    notes += precision_notes(numbers)
    affine = {"weight" in norm[name] for name in norms}
    if len(affine) > 1:
        raise UnfitError("only some batch norms have a scale and a shift: in jmlp, all or none")
    made = [_batch_norm(norm[name]) for name in norms]
    operations = with_activations(layers, made, place, told.activation)
    return Found("PyTorch", operations, tuple(readings), tuple(notes), scaled=affine != {False})


def _modules(arrays: Arrays) -> Modules:
    modules: Modules = {}
    for name, array in arrays.items():
        module, _, part = name.rpartition(".")
        if part not in NORM:
            raise UnfitError(
                f"{name} is no array of nn.Linear or nn.BatchNorm1d, the modules of jmlp's networks"
            )
        modules.setdefault(module, {})[part] = array
    return modules


def _kinds(modules: Modules) -> tuple[Modules, Modules]:
    """The linear modules and the batch norms.

    Raises:
        UnfitError: there are others.
    """
    linear: Modules = {}
    norm: Modules = {}
    for name, parts in modules.items():
        if any(word in name.lower() for word in BESIDE_THE_CHAIN):
            raise UnfitError(
                f"{name} looks like a connection beside the chain of layers: jmlp has none"
            )
        for part, array in parts.items():
            if part != "num_batches_tracked":
                parts[part] = check_float(f"{name}.{part}", array)
        if "running_mean" in parts and "running_var" in parts:
            norm[name] = parts
            continue
        weight = parts.get("weight")
        if weight is None or parts.keys() - LINEAR:
            raise UnfitError(f"{name} has {listed(sorted(parts))}: neither Linear nor BatchNorm1d")
        if weight.ndim == 2:
            linear[name] = parts
        elif weight.ndim > 2:
            raise UnfitError(
                f"{name} is a convolution (weights of shape {weight.shape}): jmlp has only linear "
                "layers"
            )
        else:
            raise UnfitError(
                f"{name} is a normalisation without running statistics, or an activation with "
                f"parameters (weights of shape {weight.shape}): jmlp has neither"
            )
    if not linear:
        raise UnfitError("holds no linear layer")
    return linear, norm


def _in_order(
    linear: Modules, contract: Contract, *, keeps_order: bool
) -> tuple[list[str], list[str]]:
    """The names of the linear modules in order, and what is to be said of it.

    Raises:
        UnfitError: their shapes follow each other in no order, or in several.
    """
    shapes = {name: parts["weight"].shape for name, parts in linear.items()}
    ends = contract.n_in, contract.n_classes
    by_name = sorted(linear, key=natural)
    if keeps_order and _chains(list(linear), shapes, *ends):
        return list(linear), []
    if _chains(by_name, shapes, *ends):
        return by_name, []
    found = list(_paths(shapes, *ends)) if len(shapes) <= MOST_PERMUTED else []
    if len(found) == 1:
        return found[0], ["the order of the layers is that of their shapes, not of their names"]
    texts = [f"{name or 'weight'} {shapes[name]}" for name in by_name]
    wanted = (
        f"from the {ends[0]} inputs of the data to their {ends[1]} classes: {listed(texts)} "
        "(outputs, inputs)"
    )
    if found:
        raise UnfitError(
            f"its layers follow each other in several orders, {wanted}: name the modules in order "
            "(fc1, fc2, …)"
        )
    raise UnfitError(f"its layers do not follow each other {wanted}")


def _chains(
    names: Sequence[str], shapes: Mapping[str, tuple[int, ...]], n_in: int, n_out: int
) -> bool:
    size = n_in
    for name in names:
        if shapes[name][1] != size:
            return False
        size = shapes[name][0]
    return size == n_out


def _paths(shapes: Mapping[str, tuple[int, ...]], n_in: int, n_out: int) -> list[list[str]]:
    """Orders of all layers in which shapes follow each other; two at most."""
    found: list[list[str]] = []

    def extend(path: list[str], size: int) -> None:
        if len(found) == 2:
            return
        if len(path) == len(shapes):
            if size == n_out:
                found.append(path)
            return
        for name, shape in shapes.items():
            if name not in path and shape[1] == size:
                extend([*path, name], shape[0])

    extend([], n_in)
    return found


def _norms_in_order(
    norm: Modules, ordered: Sequence[str], linear: Modules, *, keeps_order: bool
) -> list[str]:
    """The names of the batch norms in the order of the hidden layers.

    Raises:
        UnfitError: there is not one for each, or their order is unclear.
    """
    if len(norm) != len(ordered) - 1:
        raise UnfitError(
            f"batch norms: {len(norm)} ({listed(list(norm))}); hidden layers: {len(ordered) - 1}: "
            "in jmlp, each hidden layer has one, or none has"
        )
    if keeps_order:
        return list(norm)
    if ordered == sorted(linear, key=natural):
        return sorted(norm, key=natural)
    # The names are no guide: each size must be that of one layer alone.
    by_size = {len(parts["running_mean"]): name for name, parts in norm.items()}
    sizes = [len(linear[name]["weight"]) for name in ordered[:-1]]
    if len(by_size) < len(norm) or sorted(by_size) != sorted(sizes):
        raise UnfitError(
            "neither names nor sizes say which batch norm belongs to which layer: name the modules "
            "in order (fc1, bn1, fc2, bn2, …)"
        )
    return [by_size[size] for size in sizes]


def _place(linear: Sequence[str], norms: Sequence[str], told: Told) -> tuple[BatchNormPlace, str]:
    """Where batch norm is, and why.

    Raises:
        ConfigError: the caller says what cannot be.
        UnfitError: the modules' numbers show a form that jmlp lacks.
    """
    numbers = _numbers([*linear, *norms])
    if numbers is None:
        place = told.batch_norm_place or "before"
        said = (
            "as you say" if told.batch_norm_place else "which is assumed: the file does not say it"
        )
        return place, f"batch norm {place} the activation, {said}"
    at, norms_at = numbers[: len(linear)], numbers[len(linear) :]
    for index, number in enumerate(norms_at):
        if not at[index] < number < at[index + 1]:
            raise UnfitError(
                f"batch norm {norms[index]} is not between {linear[index]} and {linear[index + 1]}:"
                " jmlp has one per hidden layer"
            )
    directly = {number == at[index] + 1 for index, number in enumerate(norms_at)}
    if len(directly) > 1:
        raise UnfitError(
            "some batch norms follow their linear layer at once and some do not: in jmlp, all are "
            "before the activation, or all after it"
        )
    if directly == {True}:
        if told.batch_norm_place == "after":
            raise ConfigError(
                f"batch_norm_place: 'after' cannot be: {norms[0]} follows {linear[0]} at once"
            )
        return "before", "batch norm before the activation, as the modules' numbers say"
    if told.batch_norm_place:
        return told.batch_norm_place, f"batch norm {told.batch_norm_place} the activation, as told"
    return "after", "batch norm after the activation, as the modules' numbers say"


def _numbers(names: Sequence[str]) -> list[int] | None:
    """The positions of modules in one `nn.Sequential`; None if they have other names."""
    parts = [name.rpartition(".") for name in names]
    if len({parent for parent, _, _ in parts}) > 1 or not all(
        n.isascii() and n.isdigit() for *_, n in parts
    ):
        return None
    return [int(number) for *_, number in parts]


def _batch_norm(parts: Arrays) -> BatchNorm:
    mean = parts["running_mean"]
    return BatchNorm(
        parts.get("weight", np.ones_like(mean)),
        parts.get("bias", np.zeros_like(mean)),
        mean,
        parts["running_var"],
    )


def _readings(name: str, parts: Arrays, letters: Mapping[str, str], index: int) -> list[Reading]:
    return [
        reading(f"{name}.{part}" if name else part, parts[part], f"{letter} of layer {index + 1}")
        for part, letter in letters.items()
        if part in parts
    ]
