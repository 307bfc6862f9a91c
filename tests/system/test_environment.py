"""What JAX finds in the environment when it starts, and how many cores are taken."""

import os
import platform
import sys
from pathlib import Path

import jax
import pytest

from jmlp.errors import ConfigError
from jmlp.system import environment, files
from jmlp.system.environment import Device, default_cores, device_name, prepare

CACHE = Path("/cache/jax")
CPU_FLAG = "--xla_cpu_multi_thread_eigen=false"
GPU_FLAGS = "--xla_gpu_deterministic_ops=true --xla_gpu_autotune_level=0"


def prepared(
    monkeypatch: pytest.MonkeyPatch,
    device: Device = "auto",
    cores: int | None = 3,
    **environ: str,
) -> dict[str, str]:
    """What an environment becomes before JAX is imported."""
    monkeypatch.delitem(sys.modules, "jax", raising=False)
    monkeypatch.setattr(files, "make_private", lambda folder: "")
    assert prepare(device, cores, CACHE, environ) == ""
    return environ


def test_cache_that_is_not_private_is_not_used_and_the_remedy_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "jax", raising=False)
    monkeypatch.setattr(files, "make_private", lambda folder: "belongs to another user")
    environ: dict[str, str] = {}
    assert prepare("cpu", 2, CACHE, environ) == (
        "compiled programs are not cached: /cache/jax belongs to another user; remove it, or set "
        "JMLP_HOME or JAX_COMPILATION_CACHE_DIR to a folder of your own"
    )
    assert "JAX_COMPILATION_CACHE_DIR" not in environ


def test_empty_environment_gets_one_device_a_core_and_a_private_cache(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert prepared(monkeypatch) == {
        "XLA_FLAGS": f"{CPU_FLAG} {GPU_FLAGS}",
        "JAX_NUM_CPU_DEVICES": "3",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "JAX_COMPILATION_CACHE_DIR": "/cache/jax",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "1",
    }


def test_flags_of_the_user_are_kept_and_win(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = "--xla_cpu_multi_thread_eigen=true  --xla_dump_to=/tmp"
    flags = prepared(monkeypatch, XLA_FLAGS=mine)["XLA_FLAGS"]
    assert flags == f"--xla_cpu_multi_thread_eigen=true --xla_dump_to=/tmp {GPU_FLAGS}"


def test_variables_of_the_user_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = {
        "JAX_PLATFORMS": "cuda",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "true",
        "JAX_COMPILATION_CACHE_DIR": "/mine",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "9",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "9",
        "TF_CPP_MIN_LOG_LEVEL": "0",
    }
    assert prepared(monkeypatch, "auto", 3, **mine).items() >= mine.items()


@pytest.mark.parametrize(("cores", "devices"), [(None, "5"), (3, "3")])
def test_cores_that_are_asked_for_win_over_the_environment(
    cores: int | None, devices: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = prepared(monkeypatch, cores=cores, JAX_NUM_CPU_DEVICES="5")
    assert environ["JAX_NUM_CPU_DEVICES"] == devices


@pytest.mark.parametrize(("cores", "devices"), [("1", "2"), ("2", "2"), ("6", "6")])
def test_default_cores_are_taken_and_a_lone_one_has_a_second_device_for_company(
    cores: str, devices: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_default = prepared(monkeypatch, cores=None, SLURM_CPUS_PER_TASK=cores)
    assert by_default["JAX_NUM_CPU_DEVICES"] == devices
    assert prepared(monkeypatch, cores=int(cores))["JAX_NUM_CPU_DEVICES"] == devices


@pytest.mark.parametrize("given", ["two", "0", "-1", "1.5", "257", "9" * 5000])
def test_number_of_devices_that_jax_cannot_take_is_refused_by_its_name(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError) as error:
        prepared(monkeypatch, cores=None, JAX_NUM_CPU_DEVICES=given)
    told = "JAX_NUM_CPU_DEVICES: must be an integer from 1 to 256, got "
    assert str(error.value) == f"{told}{given[:60]!r}; correct it or unset it"
    assert prepared(monkeypatch, JAX_NUM_CPU_DEVICES=given)["JAX_NUM_CPU_DEVICES"] == "3"


def test_variable_that_is_empty_is_as_if_it_were_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = prepared(monkeypatch, cores=None)
    assert prepared(monkeypatch, cores=None, JAX_NUM_CPU_DEVICES="", XLA_FLAGS="") == usual


def test_file_of_flags_is_read_as_xla_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "my flags"
    file.write_text(f"--xla_dump_to=/tmp\n{CPU_FLAG}\n", encoding="utf-8")
    flags = prepared(monkeypatch, XLA_FLAGS=str(file))["XLA_FLAGS"]
    assert flags == f"--xla_dump_to=/tmp {CPU_FLAG} {GPU_FLAGS}"


@pytest.mark.parametrize("given", ["/no/such/file", "xla_dump_to=/tmp", "/"])
def test_flags_that_are_neither_flags_nor_a_file_are_refused_by_their_name(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError) as error:
        prepared(monkeypatch, XLA_FLAGS=given)
    assert str(error.value) == (
        f"XLA_FLAGS: {given!r} is neither flags, which begin with --, nor a readable file of "
        "flags; correct it or unset it"
    )


def test_cpu_that_is_asked_for_takes_the_place_of_another_default_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = {"JAX_PLATFORM_NAME": "gpu", "JAX_DEFAULT_DEVICE": "gpu"}
    assert not prepared(monkeypatch, "cpu", 3, **other).keys() & other.keys()
    assert prepared(monkeypatch, "auto", 3, **other).items() >= other.items()


def test_cpu_that_is_asked_for_is_the_only_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    assert prepared(monkeypatch, "cpu", JAX_PLATFORMS="cuda")["JAX_PLATFORMS"] == "cpu"
    assert "JAX_PLATFORMS" not in prepared(monkeypatch, "gpu")


def test_preparing_after_the_import_of_jax_is_a_bug() -> None:
    environ: dict[str, str] = {}
    with pytest.raises(RuntimeError) as error:
        prepare("cpu", 1, CACHE, environ)
    assert str(error.value) == "environment.prepare must come before the first import of jax"
    assert environ == {}


@pytest.mark.parametrize(
    ("given", "cores"), [("3", 3), ("64", 8), ("0", 2), ("", 2), ("many", 2), ("-1", 2)]
)
def test_default_cores_are_those_of_slurm_or_of_the_affinity_and_at_most_8(
    given: str, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {1, 4}, raising=False)
    assert default_cores({"SLURM_CPUS_PER_TASK": given}) == cores


def test_large_affinity_gives_8_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    assert default_cores({}) == 8


@pytest.mark.parametrize(("count", "cores"), [(3, 3), (64, 8), (None, 1)])
def test_system_without_affinity_gives_its_count(
    count: int | None, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert default_cores({}) == cores


def test_versions_are_those_that_numbers_depend_on(monkeypatch: pytest.MonkeyPatch) -> None:
    found = environment.versions()
    assert set(found) == {"python", "jmlp", "jax", "jaxlib", "numpy"}
    assert (found["python"], found["jax"]) == (platform.python_version(), jax.__version__)


def test_missing_package_is_reported_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "PACKAGES", ("no-such-package",))
    environment.versions.cache_clear()
    found = environment.versions()
    environment.versions.cache_clear()
    assert found["no-such-package"] == "not installed"


def test_device_is_named_by_its_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gpu:
        platform, device_kind = "gpu", "NVIDIA H100"

    assert device_name(Gpu()) == "gpu: NVIDIA H100"
    monkeypatch.setattr(environment, "cpu_model", lambda: "EPYC")
    assert device_name(jax.devices("cpu")[0]) == "cpu: EPYC"
