"""The settings that determine the bits of a run: those that jmlp fixes, and those that it records.

JAX has many settings (`jax.config`), which a user may have changed for other work. Those that JAX
lets a program set temporarily are fixed here while jmlp computes, and have the user's values again
between two steps of a training. The others are recorded with each run if they differ from JAX's
defaults. `CONTRIBUTING.md` has the whole list.
"""

import hashlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache, wraps
from importlib import metadata, resources
from typing import Any, ParamSpec, TypeVar

import jax
from jax.sharding import Mesh

from jmlp.errors import ConfigError
from jmlp.system import environment

P = ParamSpec("P")
T = TypeVar("T")

# Fixed while jmlp computes. Some would change numbers; others would raise errors in correct code (a
# diverged run, for example, is a result), which the caller may want for its own code.
PINNED: Mapping[str, Any] = {
    "jax_enable_x64": False,
    "jax_threefry_partitionable": True,
    "jax_default_prng_impl": "threefry2x32",
    "jax_default_matmul_precision": "highest",  # a GPU would round to TF32
    "jax_default_device": None,
    "jax_disable_jit": False,
    "jax_numpy_dtype_promotion": "strict",  # no type may widen silently
    "jax_numpy_rank_promotion": "allow",
    "jax_debug_nans": False,
    "jax_debug_infs": False,
    "jax_debug_key_reuse": False,
    "jax_check_tracer_leaks": False,
    "jax_legacy_prng_key": "allow",
    "jax_auto_pcast": True,
    "jax_remove_size_one_mesh_axis_from_type": False,
    "jax_no_tracing": False,
    "jax_no_execution": False,
    "jax_transfer_guard": "allow",  # also sets those of each direction
}

# JAX lets a program set these only for the whole process. Recorded if they differ.
RECORDED: Mapping[str, Any] = {
    "check_vma": False,
    "eager_constant_folding": False,
    "jax_accurate_erf_inv": False,
    "jax_compiler_enable_remat_pass": True,
    "jax_disable_most_optimizations": False,
    "jax_embedded_constants_max_bytes": 32,
    "jax_enable_pgle": False,
    "jax_compilation_cache_expect_pgle": False,
    "jax_exec_time_optimization_effort": 0.0,
    "jax_memory_fitting_effort": 0.0,
    "jax_memory_fitting_level": "O2",
    "jax_mock_gpu_topology": "",
    "jax_optimization_level": "UNKNOWN",
    "jax_persistent_cache_enable_xla_caches": "xla_gpu_per_fusion_autotune_cache_dir",
    "jax_pgle_profiling_runs": 3,
    "jax_pgle_aggregation_percentile": 90,
    "jax_pjrt_client_create_options": None,
    "jax_scan3": False,
    "jax_threefry_gpu_kernel_lowering": False,
    "jax_use_hlo_logistic_lowering": None,
    "jax_use_rgv3": True,
    "jax_use_shardy_partitioner": True,
    "jax_use_simplified_jaxpr_constants": False,
    "jax_xla_profile_version": 0,
    "mock_num_gpu_processes": 0,
}

# Training requires these values, because a non-finite number is a result and not an error.
REFUSED: Mapping[str, Any] = {
    "jax_error_checking_behavior_divide": "ignore",
    "jax_error_checking_behavior_nan": "ignore",
    "jax_error_checking_behavior_oob": "ignore",
}

# The files whose code determines numbers, relative to the package's folder.
SOURCES = (
    "data/columns.py",
    "data/dataset.py",
    "data/order.py",
    "nn/activations.py",
    "nn/augmentation.py",
    "nn/batchnorm.py",
    "nn/clipping.py",
    "nn/cost.py",
    "nn/dense.py",
    "nn/derivatives.py",
    "nn/dropout.py",
    "nn/faults.py",
    "nn/gelu.py",
    "nn/gradient.py",
    "nn/l2.py",
    "nn/leaky_relu.py",
    "nn/max_norm.py",
    "nn/model.py",
    "nn/optimizers.py",
    "nn/relu.py",
    "nn/schedules.py",
    "nn/sigmoid.py",
    "nn/silu.py",
    "nn/tanh.py",
    "nn/tensors.py",
    "nn/weight_decay.py",
    "study/config.py",
    "system/numerics.py",
    "training/blocks.py",
    "training/engine.py",
    "training/group_training.py",
    "training/load_balance.py",
    "training/outcome.py",
    "training/plan.py",
    "training/program.py",
    "training/single_run.py",
    "training/slots.py",
    "training/strategies.py",
)


@contextmanager
def pinned(mesh: Mesh | None = None) -> Iterator[None]:
    """Fixes the settings in `PINNED` for this thread.

    Args:
        mesh: the mesh of the programs, replacing one that the caller may have set (`jax.set_mesh`).
    """
    with ExitStack() as stack:
        for name, value in PINNED.items():
            stack.enter_context(getattr(jax, name.removeprefix("jax_"))(value))
        if mesh is not None:
            stack.enter_context(jax.set_mesh(mesh))
        yield


def pinned_call(function: Callable[P, T]) -> Callable[P, T]:
    """Decorates a function to compute under `pinned`."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        with pinned():
            return function(*args, **kwargs)

    return call


def pinned_steps(steps: Generator[T], mesh: Mesh) -> Iterator[T]:
    """Yields the same items, each computed under `pinned`, with the caller's settings between."""
    try:
        while True:
            with pinned(mesh):
                try:
                    item = next(steps)
                except StopIteration:
                    return
            yield item
    finally:
        with pinned(mesh):
            steps.close()


def settings(devices: Sequence[jax.Device]) -> dict[str, str]:
    """The non-default settings, besides flags and versions, that determine bits.

    Args:
        devices: the devices of the program, including idle ones.

    Raises:
        ConfigError: a setting of JAX does not allow training.
    """
    with pinned():
        values = {name: _text(value) for name, value in jax.config.values.items()}
    for name, usual in REFUSED.items():
        if values.get(name, usual) != usual:
            raise ConfigError(
                f"{name}: must be {usual}, got {values[name]}: a non-finite number is a result of "
                f"training and not an error; unset {name.upper()}, or reset it "
                f'(jax.config.update("{name}", "{usual}"))'
            )
    found = {
        name: values[name]
        for name, usual in RECORDED.items()
        if name in values and values[name] != _text(usual)
    }
    return {**found, **environment.settings(), **_of_devices(devices)}


def restore(recorded: Mapping[str, str]) -> None:
    """Sets JAX's settings to those of a run, for the whole process, before JAX finds its devices.

    Args:
        recorded: the run's `settings`, perhaps of another version of JAX.
    """
    for name in RECORDED.keys() & jax.config.values.keys():
        usual = RECORDED[name]
        value = _value(recorded[name], usual) if name in recorded else usual
        jax.config.update(name, value)  # type: ignore[no-untyped-call]


def _value(text: str, usual: Any) -> Any:
    """Converts a recorded text to a value of the same type as the default."""
    if isinstance(usual, bool):
        return text == "True"
    if isinstance(usual, int | float):
        return type(usual)(text)
    return None if text == "None" else text


def _text(value: Any) -> str:
    return str(getattr(value, "value", value))


def _of_devices(devices: Sequence[jax.Device]) -> dict[str, str]:
    """The number of devices, if it may affect bits, and the versions of their drivers.

    A CPU program is the same for any number of devices from two up.
    """
    first, n = devices[0], len(devices)
    if first.platform == "cpu":
        return {"instruction sets": environment.instruction_sets()} | (
            {"devices": "1"} if n == 1 else {}
        )
    return {
        "platform version": " ".join(first.client.platform_version.split()),
        **_gpu_libraries(),
        **({"devices": str(n)} if n > 1 else {}),
    }


@cache
def _gpu_libraries() -> Mapping[str, str]:
    """Versions of the installed packages that contain kernels for GPUs, such as cuDNN."""
    installed = {d.metadata["Name"]: d.version for d in metadata.distributions()}
    kinds = ("jax-cuda", "jax-rocm", "nvidia-")
    return {name: installed[name] for name in sorted(installed) if name.startswith(kinds)}


@cache
def source_digest() -> str:
    """Sixteen hexadecimal digits of a SHA-256 over the source code that determines numbers."""
    digest = hashlib.sha256()
    package = resources.files("jmlp")
    for name in SOURCES:
        content = package.joinpath(*name.split("/")).read_bytes()
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]
