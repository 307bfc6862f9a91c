"""Settings that can change bits: what is fixed while jmlp computes, what is recorded or refused."""

import ast
import io
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from helpers import SMALL, SMALL_DATA, experiment, plan

import jmlp
from jmlp.errors import ConfigError
from jmlp.nn import model
from jmlp.store.run_files import numbers_of
from jmlp.system import environment, numerics
from jmlp.training import engine
from jmlp.training.records import CohortState, RunResult
from jmlp.verification.comparison import as_stored

ROOT = Path(__file__).parent.parent.parent

# Of each setting that is fixed, a value that a user may have for other work.
HOSTILE: Mapping[str, Any] = {
    "jax_enable_x64": True,
    "jax_threefry_partitionable": False,
    "jax_default_prng_impl": "rbg",
    "jax_default_matmul_precision": "bfloat16",
    "jax_default_device": jax.devices()[1],
    "jax_disable_jit": True,
    "jax_numpy_dtype_promotion": "standard",
    "jax_numpy_rank_promotion": "raise",
    "jax_debug_nans": True,
    "jax_debug_infs": True,
    "jax_debug_key_reuse": True,
    "jax_check_tracer_leaks": True,
    "jax_legacy_prng_key": "error",
    "jax_auto_pcast": False,
    "jax_remove_size_one_mesh_axis_from_type": True,
    "jax_no_tracing": True,
    "jax_no_execution": True,
    "jax_transfer_guard": "disallow",
}

# States of JAX 0.10 to 0.12 that cannot change a number which jmlp stores, by the reason.
HARMLESS: Mapping[str, str] = {
    "only how results are differentiated automatically, which training does not do": """
        jax_custom_jvp3 jax_custom_vjp3 jax_disable_bwd_checks jax_log_checkpoint_residuals
        jax_remat3 jax_remat_barrier_no_cotangents jax_use_direct_linearize""",
    "only functions that jmlp does not use": """
        jax2tf_associative_scan_reductions jax2tf_default_native_serialization
        jax_allow_f16_reductions jax_bcoo_cusparse_lowering jax_enable_custom_prng
        jax_high_dynamic_range_gumbel jax_ragged_dot_use_gpu_pallas_triton_lowering
        jax_ragged_dot_use_ragged_dot_instruction jax_random_seed_offset jax_refs_to_pins
        jax_softmax_custom_jvp jax_use_emit_pipeline_primitive jax_use_magma
        jax_export_calling_convention_version jax_export_deserialize_expired_versions
        jax_export_ignore_forward_compatibility jax_serialization_version
        jax_mosaic_allow_hlo jax_mosaic_unzip_debug_locations jax_pallas_auto_assign_collective_ids
        jax_pallas_auto_assign_collective_ids_limit jax_pallas_enable_debug_checks
        jax_pallas_poison_buffers jax_pallas_use_mosaic_gpu jax_pallas_verbose_errors""",
    "checks, which raise or say nothing": """
        jax_array_garbage_collection_guard jax_captured_constants_report_frames
        jax_captured_constants_warn_bytes jax_check_proxy_envs jax_check_static_indices
        jax_compilation_cache_check_contents jax_debug_leaked_clients_on_clear_backends
        jax_disable_vmap_shmap_error jax_disallow_mesh_context_manager jax_enable_checks
        jax_experimental_unsafe_xla_runtime_errors jax_explicit_x64_dtypes
        jax_mutable_array_checks jax_raise_on_ppermute_sort_diff jax_raise_persistent_cache_errors
        jax_thread_guard""",
    "what is logged, dumped or shown": """
        jax_compiler_detailed_logging_min_ops jax_debug_log_modules jax_distributed_debug
        jax_dump_ir_modes jax_dump_ir_to jax_explain_cache_misses
        jax_hlo_source_file_canonicalization_regex jax_include_debug_info_in_dumps
        jax_include_full_tracebacks_in_locations jax_log_compiles jax_logging_level
        jax_pprint_use_color jax_send_traceback_to_runtime jax_source_url_schema
        jax_traceback_filtering jax_traceback_in_locations_limit
        jax_tracer_error_num_traceback_frames""",
    "where compiled programs are kept": """
        jax_compilation_cache_dir jax_compilation_cache_include_metadata_in_key
        jax_compilation_cache_max_size jax_enable_compilation_cache
        jax_persistent_cache_min_compile_time_secs jax_persistent_cache_min_entry_size_bytes
        jax_remove_custom_partitioning_ptr_from_cache_key jax_share_binary_between_hosts
        jax_share_binary_between_hosts_timeout_ms""",
    "which devices there are, and devices are recorded": """
        jax_backend_target jax_cuda_visible_devices jax_num_cpu_devices jax_oneapi_visible_devices
        jax_platform_name jax_platforms jax_rocm_visible_devices jax_sort_devices_by_process_index
        jax_xla_backend""",
    "several processes, or when a device is waited for": """
        jax_cpu_collectives_implementation jax_cpu_enable_async_dispatch
        jax_cpu_get_global_topology_timeout_minutes jax_cpu_get_local_topology_timeout_minutes
        jax_cross_host_transfer_socket_address jax_cross_host_transfer_timeout_seconds
        jax_cross_host_transfer_transfer_size jax_cross_host_transport_addresses
        jax_distributed_verify_secure_credentials jax_enable_preemption_service
        jax_enable_recoverability jax_force_dcn_cross_host_transfers jax_mtls_ca_file
        jax_mtls_cert_file jax_mtls_key_file jax_mtls_peer_uri_prefix jax_use_cpp_shard_args""",
}
DIRECTIONS = {
    f"jax_transfer_guard_{direction}"
    for direction in ("host_to_device", "device_to_device", "device_to_host")
}


def set_to(name: str, value: Any) -> None:
    """As a user sets it, for the whole process."""
    jax.config.update(name, value)  # type: ignore[no-untyped-call]


@pytest.fixture
def hostile(request: pytest.FixtureRequest) -> Iterator[str]:
    """A setting that has its hostile value for the time of the test."""
    name: str = request.param
    before = jax.config.values[name]
    set_to(name, HOSTILE[name])
    yield name
    set_to(name, before)


def numbers(result: RunResult) -> str:
    """All numbers of a run, as a digest."""
    return numbers_of(as_stored(result))


RICH = {"batch_norm": True, "drop_rate": 0.3, "optimizer": "adam"}


def fitted() -> RunResult:
    """A run with everything that draws random numbers."""
    hp = jmlp.Hyperparams(hidden=(5, 4), batch_size=16, epochs=6, **RICH)  # type: ignore[arg-type]
    return jmlp.fit(hp, SMALL_DATA.x_train, SMALL_DATA.y_train)


@pytest.fixture(scope="module")
def usual() -> RunResult:
    """The run without any hostile setting."""
    return fitted()


EACH = pytest.mark.parametrize("hostile", HOSTILE, indirect=True)


@EACH
def test_fit_gives_the_same_bits_under_a_setting_of_the_caller(
    usual: RunResult, hostile: str
) -> None:
    found = fitted()
    assert numbers(found) == numbers(usual)
    assert found.provenance == usual.provenance
    assert jax.config.values[hostile] == HOSTILE[hostile]


@EACH
def test_setting_is_fixed_inside_and_the_callers_between_two_records_and_after_leaving(
    hostile: str,
) -> None:
    inside = []

    def probe(cohort: object, width: int) -> CohortState | None:
        del cohort, width
        inside.append(jax.config.values[hostile])
        return None

    training = engine.Training(plan(experiment()), SMALL_DATA, saved=probe)
    steps = iter(training)
    for progress in steps:
        assert jax.config.values[hostile] == HOSTILE[hostile]
        if progress.points:
            break
    training.copies()
    assert jax.config.values[hostile] == HOSTILE[hostile]
    steps.close()  # type: ignore[attr-defined]  # a generator
    assert jax.config.values[hostile] == HOSTILE[hostile]
    assert inside == [numerics.PINNED[hostile]]


def test_every_fixed_setting_has_a_hostile_value_in_these_tests() -> None:
    assert HOSTILE.keys() == numerics.PINNED.keys()
    assert all(HOSTILE[name] != value for name, value in numerics.PINNED.items())


def test_setting_is_the_callers_again_after_an_error() -> None:
    def broken(cohort: object, width: int) -> CohortState | None:
        raise ZeroDivisionError

    with jax.threefry_partitionable(False):
        with pytest.raises(ZeroDivisionError):
            list(engine.Training(plan(experiment()), SMALL_DATA, saved=broken))
        assert not jax.config.values["jax_threefry_partitionable"]


def test_fit_under_a_mesh_of_the_caller_gives_the_same_bits(usual: RunResult) -> None:
    mesh = jax.make_mesh((1,), ("mine",))
    with jax.set_mesh(mesh):
        assert numbers(fitted()) == numbers(usual)
        assert jax.sharding.get_mesh() == mesh


def test_variables_of_the_callers_shell_change_no_bit(usual: RunResult) -> None:
    code = "import test_numerics as t; print(t.numbers(t.fitted()))"
    places = [str(Path(__file__).parent), str(ROOT / "tests" / "support")]
    mine = {
        "JAX_THREEFRY_PARTITIONABLE": "0",
        "JAX_DISABLE_JIT": "1",
        "JAX_NUMPY_RANK_PROMOTION": "raise",
        "JAX_DEBUG_NANS": "1",
        "JAX_TRANSFER_GUARD": "disallow",
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **mine, "PYTHONPATH": os.pathsep.join(places)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == numbers(usual), done.stderr


def test_layers_need_no_promotion_of_ranks() -> None:
    hp = jmlp.Hyperparams(hidden=(5, 4), **RICH)  # type: ignore[arg-type]

    def all_of_them(key: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
        params, state = jmlp.init(hp, 20, 3, key)
        logits, _, caches = jmlp.forward(params, state, x, key, 0.3)
        _, dlogits = jmlp.cost(logits, y)
        jmlp.backward(dlogits, caches)
        return jmlp.predict(params, state, x)

    x, y = SMALL_DATA.x_train[:8], SMALL_DATA.y_train[:8]
    with jax.numpy_rank_promotion("raise"):
        assert jax.eval_shape(all_of_them, jax.random.key(0), x, y).shape == (8, 3)


def test_pure_functions_follow_the_settings_of_their_caller() -> None:
    def weights(key: jax.Array) -> jax.Array:
        params, _ = model.init(SMALL, 20, 3, key, jax.numpy.float64)
        return params[0].dense.W

    with jax.enable_x64(True):
        assert jax.eval_shape(weights, jax.random.key(0)).dtype == np.float64


# ---- what is recorded


def test_every_state_of_this_jax_is_in_a_class() -> None:
    harmless = {name for names in HARMLESS.values() for name in names.split()}
    classes = [harmless, DIRECTIONS, *map(set, (numerics.PINNED, numerics.RECORDED))]
    classes.append(set(numerics.REFUSED))
    known = set().union(*classes)
    assert sum(map(len, classes)) == len(known), "a state is in two classes"
    new = jax.config.values.keys() - known
    assert not new, f"can these change bits? Put them into a class (CONTRIBUTING.md): {new}"


def test_list_in_contributing_names_what_is_fixed_recorded_and_refused() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+)`", text))
    for names in (
        numerics.PINNED,
        numerics.RECORDED,
        numerics.REFUSED,
        environment.RECORDED_VARIABLES,
    ):
        assert named >= set(names), set(names) - named


def test_usual_settings_are_not_recorded_but_the_instruction_sets_are() -> None:
    found = numerics.settings(jax.devices())
    assert found == {"instruction sets": environment.instruction_sets()}


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [("jax_optimization_level", "O1", "O1"), ("eager_constant_folding", True, "True")],
)
def test_unusual_setting_that_cannot_be_fixed_is_recorded(
    name: str, value: object, text: str
) -> None:
    before = jax.config.values[name]
    set_to(name, value)
    try:
        assert numerics.settings(jax.devices())[name] == text
    finally:
        set_to(name, before)


def test_variables_of_libraries_below_jax_are_recorded_where_they_are_set() -> None:
    mine = {"ONEDNN_MAX_CPU_ISA": "AVX2", "NVIDIA_TF32_OVERRIDE": "0", "DNNL_MAX_CPU_ISA": ""}
    assert environment.settings({**mine, "PATH": "/bin"}) == {
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "NVIDIA_TF32_OVERRIDE": "0",
    }


def test_lone_cpu_device_is_recorded_because_its_program_is_another_one() -> None:
    assert numerics.settings(jax.devices()[:1])["devices"] == "1"
    assert "devices" not in numerics.settings(jax.devices()[:2])


def test_number_of_gpus_and_what_drives_them_are_recorded() -> None:
    class Client:
        platform_version = "PJRT C API\ncuda 12080"

    class Gpu:
        platform, client = "gpu", Client()

    two: Any = [Gpu(), Gpu()]
    found = numerics.settings(two)
    assert (found["platform version"], found["devices"]) == ("PJRT C API cuda 12080", "2")
    assert "devices" not in numerics.settings(two[:1])
    assert "instruction sets" not in found


@pytest.mark.parametrize("name", numerics.REFUSED)
def test_setting_under_which_nothing_can_be_trained_is_refused_with_its_variable(
    name: str,
) -> None:
    set_to(name, "raise")
    try:
        with pytest.raises(ConfigError) as error:
            fitted()
    finally:
        set_to(name, "ignore")
    assert str(error.value).startswith(f"{name}: must be ignore, got raise: ")
    assert f"unset {name.upper()}" in str(error.value)


RESTORED = {
    "jax_optimization_level": "O1",
    "jax_disable_most_optimizations": "True",
    "jax_embedded_constants_max_bytes": "0",
    "jax_persistent_cache_enable_xla_caches": "None",
    "instruction sets": "avx",
}


def test_recorded_settings_are_set_again_and_the_others_are_as_usual() -> None:
    set_to("eager_constant_folding", True)
    try:
        numerics.restore(RESTORED)
        found = numerics.settings(jax.devices())
    finally:
        numerics.restore({})
    assert found == {**RESTORED, "instruction sets": environment.instruction_sets()}
    assert numerics.settings(jax.devices()).keys() == {"instruction sets"}


def test_recorded_variables_are_set_again_and_no_other_is() -> None:
    environ = {"XLA_FLAGS": "--a", "NVIDIA_TF32_OVERRIDE": "1", "PATH": "/bin"}
    environment.restore("--b", {"ONEDNN_MAX_CPU_ISA": "AVX2"}, environ)
    assert environ == {"XLA_FLAGS": "--b", "ONEDNN_MAX_CPU_ISA": "AVX2", "PATH": "/bin"}


def test_variables_stay_where_what_a_run_had_is_unknown() -> None:
    environ = {"NVIDIA_TF32_OVERRIDE": "1"}
    environment.restore("--b", None, environ)
    assert environ == {"XLA_FLAGS": "--b", "NVIDIA_TF32_OVERRIDE": "1"}


# ---- XLA's flags


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("", ""),
        ("--b=1  --a=2", "--a=2 --b=1"),
        ("--a=1 --a=2", "--a=2"),
        ("--xla_gpu_autotune_level=0 --z=1", "--z=1 --xla_gpu_autotune_level=0"),
    ],
)
def test_equal_flags_are_equal_texts(given: str, text: str) -> None:
    assert environment.flags({"XLA_FLAGS": given}) == text


def test_flags_in_a_file_are_recorded_and_not_its_name(tmp_path: Path) -> None:
    file = tmp_path / "flags"
    file.write_text("--b=1\n--a=2\n", encoding="utf-8")
    assert environment.flags({"XLA_FLAGS": str(file)}) == "--a=2 --b=1"


# ---- jmlp's own source


def test_digest_is_of_the_content_of_the_source_wherever_it_lies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = numerics.source_digest()
    assert re.fullmatch("[0-9a-f]{16}", here)
    assert zipped(monkeypatch) == here
    assert zipped(monkeypatch, "nn/dense.py") != here


def zipped(monkeypatch: pytest.MonkeyPatch, changed: str = "") -> str:
    """The digest where the package is in a zip; one file may have a line more."""
    file = zipfile.ZipFile(io.BytesIO(), "w")
    for name in numerics.SOURCES:
        content = (ROOT / "jmlp" / name).read_bytes()
        file.writestr(f"jmlp/{name}", content + b"\n" * (name == changed))
    with monkeypatch.context() as patch:
        package = zipfile.Path(file, "jmlp/")
        patch.setattr("jmlp.system.numerics.resources.files", lambda name: package)
        return numerics.source_digest.__wrapped__()


# What the engine imports and what decides no number: words, paths, records, progress; what is
# allowed; how data are read and encoded (the digests of data are recorded).
NO_NUMBERS = {
    *("errors.py", "data/contract.py", "data/files.py", "data/frames.py", "data/idx.py"),
    *("data/npz.py", "data/published.py", "data/table.py", "data/table_file.py", "study/rules.py"),
    *(f"system/{name}.py" for name in ("diagnosis", "environment", "fault_injection", "files")),
    *("system/clock.py", "system/installation.py", "system/processes.py"),
    *("training/eta.py", "training/records.py"),
}


def test_digest_covers_all_that_the_engine_imports_but_what_decides_no_number() -> None:
    found, todo = set[Path](), [ROOT / "jmlp" / "training" / "engine.py"]
    while todo:
        file = todo.pop()
        if file not in found:
            found.add(file)
            todo += imported(file)
    names = {file.relative_to(ROOT / "jmlp").as_posix() for file in found}
    assert names == set(numerics.SOURCES) | NO_NUMBERS


def imported(file: Path) -> Iterator[Path]:
    """The modules of jmlp that a file imports; packages have no code of their own."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("jmlp"):
            place = ROOT.joinpath(*(node.module or "").split("."))
            for path in (place, *(place / alias.name for alias in node.names)):
                if path.with_suffix(".py").is_file():
                    yield path.with_suffix(".py")
