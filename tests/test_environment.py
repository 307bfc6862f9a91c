"""What is set before JAX starts."""

import sys
from pathlib import Path

import jax
import pytest

from jmlp import environment

CACHE = Path("/somewhere")


@pytest.fixture
def before_jax(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if JAX were not imported yet."""
    monkeypatch.delitem(sys.modules, "jax", raising=False)


@pytest.mark.usefixtures("before_jax")
def test_flags_fix_the_kernels_and_the_number_of_devices() -> None:
    environ: dict[str, str] = {}
    environment.prepare("cpu", 3, CACHE, environ)
    assert environ["XLA_FLAGS"].split() == [
        "--xla_cpu_multi_thread_eigen=false",
        "--xla_gpu_deterministic_ops=true",
        "--xla_gpu_autotune_level=0",
    ]
    assert (environ["JAX_PLATFORMS"], environ["JAX_NUM_CPU_DEVICES"]) == ("cpu", "3")
    assert environ["JAX_COMPILATION_CACHE_DIR"] == str(CACHE)


@pytest.mark.usefixtures("before_jax")
def test_what_the_user_has_set_stays() -> None:
    environ = {
        "XLA_FLAGS": "--xla_gpu_autotune_level=4 --other",
        "JAX_NUM_CPU_DEVICES": "7",
        "JAX_COMPILATION_CACHE_DIR": "/mine",
    }
    environment.prepare("auto", None, CACHE, environ)
    assert environ["XLA_FLAGS"].split() == [
        "--xla_gpu_autotune_level=4",
        "--other",
        "--xla_cpu_multi_thread_eigen=false",
        "--xla_gpu_deterministic_ops=true",
    ]
    assert (environ["JAX_NUM_CPU_DEVICES"], environ["JAX_COMPILATION_CACHE_DIR"]) == ("7", "/mine")
    assert "JAX_PLATFORMS" not in environ


@pytest.mark.usefixtures("before_jax")
@pytest.mark.parametrize(("cores", "devices"), [(1, "2"), (2, "2"), (5, "5")])
def test_a_lone_core_has_a_second_device_for_company(cores: int, devices: str) -> None:
    environ: dict[str, str] = {"SLURM_CPUS_PER_TASK": str(cores)}
    environment.prepare("cpu", None, CACHE, environ)
    assert environ["JAX_NUM_CPU_DEVICES"] == devices
    environment.prepare("cpu", cores, CACHE, environ)
    assert environ["JAX_NUM_CPU_DEVICES"] == devices


def test_after_the_import_of_jax_it_is_too_late() -> None:
    environ: dict[str, str] = {}
    message = "^environment.prepare must come before the first import of jax$"
    with pytest.raises(RuntimeError, match=message):
        environment.prepare("cpu", 2, CACHE, environ)
    assert not environ


@pytest.mark.parametrize(("given", "cores"), [("1", 1), ("5", 5), ("64", 8)])
def test_a_slurm_allocation_counts_up_to_8_cores(given: str, cores: int) -> None:
    assert environment.default_cores({"SLURM_CPUS_PER_TASK": given}) == cores


@pytest.mark.parametrize("given", ["", "0", "-2", "many"])
def test_without_a_sensible_allocation_the_affinity_counts(given: str) -> None:
    cores = environment.default_cores({"SLURM_CPUS_PER_TASK": given})
    assert cores == environment.default_cores({})
    assert 1 <= cores <= 8


def test_versions_and_devices_are_named_by_what_runs() -> None:
    assert environment.versions()["jax"] == jax.__version__
    assert set(environment.versions()) == {"python", "jmlp", "jax", "jaxlib", "numpy"}
    assert environment.device_name(jax.devices()[0]) == f"cpu: {environment.cpu_model()}"
