"""What a command inherits and did not ask for: variables of other programs, and wrong ones."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import command, write_inputs
from store_runs import fill

from jmlp.client import devices
from jmlp.errors import DeviceError, JmlpError
from jmlp.system import processes

# Variables that JAX or XLA refuse, what the error names, and its code.
REFUSED = [
    ("XLA_FLAGS", "--xla_no_such_flag=1", "XLA_FLAGS: this version of XLA does not know --xla_", 2),
    ("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=maybe", "XLA_FLAGS: --xla_cpu_multi_thread_", 2),
    ("XLA_FLAGS", "/no/such/file", "XLA_FLAGS: '/no/such/file' is neither flags, which ", 2),
    ("JAX_NUM_CPU_DEVICES", "two", "JAX_NUM_CPU_DEVICES: must be an integer from 1 to 256", 2),
    ("JAX_LOG_COMPILES", "7", "JAX_LOG_COMPILES: JAX does not accept '7'; correct it or", 2),
    ("JAX_TRACEBACK_FILTERING", "all", "JAX_TRACEBACK_FILTERING: JAX does not accept 'all'", 2),
    ("JAX_CPU_COLLECTIVES_IMPLEMENTATION", "x", "JAX_CPU_COLLECTIVES_IMPLEMENTATION: JAX ", 2),
    ("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "x", "JAX_PERSISTENT_CACHE_MIN_COMPILE_", 2),
    ("JAX_DEFAULT_DEVICE", "disk", "JAX_DEFAULT_DEVICE: ", 2),
    ("JAX_PLATFORMS", "cuda", "JAX_PLATFORMS=cuda: JAX finds no such device (", 6),
    ("JAX_PLATFORMS", "nonsense", "JAX_PLATFORMS=nonsense: JAX finds no such device (", 6),
    ("PJRT_NAMES_AND_LIBRARY_PATHS", "foo:/no.so", "--device auto: JAX finds no such device (", 6),
    ("JAX_PLATFORM_NAME", "gpu", "JAX_PLATFORM_NAME=gpu: JAX finds no such device (", 6),
]

# Those of other programs, with values that these, or no one, can read.
FOREIGN = {
    "COLUMNS": "wide",
    "CUDA_VISIBLE_DEVICES": "none",
    "FORCE_COLOR": "1",
    "KERAS_BACKEND": "nonsense",
    "LINES": "",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "MPLCONFIGDIR": "/dev/null/no",
    "OMP_NUM_THREADS": "many",
    "PYTHONWARNINGS": "ignore",
    "PYTHONPATH": os.pathsep.join(["", os.environ.get("PYTHONPATH", ""), "."]),
    "SLURM_CPUS_PER_TASK": "all",
    "TF_CPP_MIN_LOG_LEVEL": "x",
    "XLA_PYTHON_CLIENT_MEM_FRACTION": "half",
}
# What ends JAX, for commands that need none.
ALL = FOREIGN | {name: value for name, value, _, _ in REFUSED}

TRAIN = ("train", "--data", "small.npz", "--hidden", "3", "--epochs", "1", "--store", "new", "-q")


@pytest.fixture
def _own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of what the tests themselves set for JAX."""
    for name in list(os.environ):
        if name.startswith(("JAX_", "XLA_")) and name != "JAX_COMPILATION_CACHE_DIR":
            monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, a study file, and a store with runs that ended."""
    path = tmp_path_factory.mktemp("inherited")
    write_inputs(path)
    fill(path / "store")
    return path


def without_warning(text: str) -> None:
    """Fails if anything is reported."""
    raise AssertionError(text)


@pytest.mark.usefixtures("_own")
@pytest.mark.parametrize(("name", "value", "told", "code"), REFUSED)
def test_variable_that_jax_refuses_is_named_with_code_2_or_6_by_the_process_that_is_asked(
    name: str, value: str, told: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(JmlpError) as error:
        devices.ask("auto", None, without_warning)
    assert str(error.value).startswith(told)
    assert error.value.exit_code == code
    assert "\n" not in str(error.value)


def test_jax_that_does_not_start_in_time_is_ended_with_code_6(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begin = processes.start
    waits = "import sys; sys.stdin.readline(); sys.stdin.readline()"
    monkeypatch.setattr(processes, "start", lambda *module, **more: begin("-c", waits, **more))
    monkeypatch.setattr(devices, "SECONDS", 0.05)
    with pytest.raises(DeviceError) as error:
        devices.ask("auto", None, without_warning)
    assert str(error.value) == "JAX does not start: no answer within 0.05 seconds"


@pytest.mark.usefixtures("_own")
def test_variables_of_other_programs_keep_no_device_from_being_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in FOREIGN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    monkeypatch.setenv("PYTHONINSPECT", "1")
    monkeypatch.setenv("JAX_PLATFORMS", "")
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "3")
    assert len(devices.ask("cpu", None, without_warning)) == 3


@pytest.mark.usefixtures("_own")
@pytest.mark.parametrize(
    ("arguments", "name", "value", "code"),
    [
        (TRAIN, "XLA_FLAGS", "--xla_no_such_flag=1", 2),
        (TRAIN, "JAX_LOG_COMPILES", "7", 2),
        (TRAIN, "JAX_PLATFORMS", "cuda", 6),
        (("study", "small.toml", "--detach", "--store", "new"), "XLA_FLAGS", "--xla_no=1", 2),
        (("study", "small.toml", "--detach", "--store", "new"), "JAX_PLATFORMS", "cuda", 6),
        (("gradcheck",), "XLA_FLAGS", "--xla_no_such_flag=1", 2),
        (("gradcheck",), "JAX_LOG_COMPILES", "7", 2),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_command_that_needs_jax_ends_with_one_line_that_names_the_variable(
    arguments: tuple[str, ...], name: str, value: str, code: int, tmp_path: Path
) -> None:
    write_inputs(tmp_path)
    done = command(*arguments, cwd=tmp_path, env={name: value})
    assert (done.code, done.out) == (code, "")
    (line,) = done.err.splitlines()
    assert line.startswith(f"jmlp: error: {name}")
    assert "bug" not in line
    assert "see " not in line.replace("see what `jmlp doctor` says", "")


@pytest.mark.usefixtures("_own")
def test_doctor_outlives_what_it_diagnoses(tmp_path: Path) -> None:
    done = command("doctor", "--json", cwd=tmp_path, env=ALL | {"JMLP_RUNS": str(tmp_path)})
    assert (done.code, done.err) == (0, "")
    found = {finding["what"]: finding for finding in json.loads(done.out)}
    assert found["devices"]["remedy"].startswith("XLA_FLAGS: ")
    assert found["XLA_FLAGS"]["value"] == ALL["XLA_FLAGS"]
    assert "worker" in found, "it runs to the end"


@pytest.mark.usefixtures("_own")
@pytest.mark.parametrize(
    "arguments",
    [
        ("--version",),
        ("study", "small.toml", "--dry-run"),
        ("runs", "ls", "--store", "store"),
        ("store", "check", "--store", "store"),
        ("report", "small", "--store", "store", "--output", "report", "-q", "--force"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_command_that_needs_no_jax_minds_none_of_it(
    arguments: tuple[str, ...], folder: Path
) -> None:
    done = command(*arguments, cwd=folder, env=ALL)
    assert done.code == 0, done.err
    assert "Traceback" not in done.err


@pytest.mark.usefixtures("_own")
def test_training_under_nohup_outlives_the_hang_up_with_its_worker(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    options = ["--hidden", "3", "--epochs", "20000", "--patience", "none", "--store", "new"]
    train = [sys.executable, "-P", "-m", "jmlp", "train", "--data", "small.npz", *options]
    with subprocess.Popen(
        ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh", *train],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        assert any(line.startswith("epoch ") for line in lines)
        process.send_signal(signal.SIGHUP)
        # What comes after is new: the pipe held far fewer lines than an epoch's worth of these.
        assert sum(1 for _, line in zip(range(2), lines, strict=False) if "epoch " in line) == 2
        process.send_signal(signal.SIGTERM)
        for _ in lines:
            pass
        assert process.wait() == 128 + signal.SIGTERM
