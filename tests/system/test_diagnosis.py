"""What JAX, XLA and Python say when they cannot start, as errors with a remedy and a code."""

import os
import signal
import sys
from pathlib import Path

import pytest

from jmlp.system import diagnosis
from jmlp.system.diagnosis import end, known_error, last_message, no_device
from jmlp.system.installation import CUDA, command_that_installs

XLA = "F1128 21:27:29.096171    8599 parse_flags_from_env.cc:234] "
GIVEN = {"JAX_PLATFORMS": "tpu", "JAX_DEFAULT_DEVICE": "gpu"}
USAGE = 'usage: --xla_x=maybe\nFlags:\n\t--xla_dump_to=""\tstring\tWhere to\n'
JAX = 'Traceback (most recent call last):\n  File "x.py", line 1, in y\nValueError: '


@pytest.mark.parametrize(
    ("words", "variable", "code"),
    [
        (f"{XLA}Unknown flag in XLA_FLAGS: --xla_bogus=true", "XLA_FLAGS", 2),
        (f"{XLA}Unknown flags in XLA_FLAGS: --a --b", "XLA_FLAGS", 2),
        (
            f"E1128 21:31:28.1 1 c.cc:93] Couldn't interpret value maybe for flag xla_x.\n"
            f"{XLA}Check failed: tsl::Flags::Parse(&argc) Flag parsing failed.\n{USAGE}",
            "XLA_FLAGS: --xla_x=maybe",
            2,
        ),
        (f'{JAX}Invalid value "two" for JAX flag jax_num_cpu_devices', "JAX_NUM_CPU_DEVICES", 2),
        (f"{JAX}invalid truth value 'maybe' for environment 'JAX_ENABLE_X64'", "JAX_ENABLE_X64", 2),
        (f"{JAX}jax.default_device must be passed a device, got: 'foo'", "JAX_DEFAULT_DEVICE", 2),
        ("RuntimeError: Unable to initialize backend 'tpu': no libtpu.so", "JAX_PLATFORMS=tpu", 6),
        ("RuntimeError: Unknown backend: 'gpu' requested, but none", "JAX_PLATFORMS=tpu", 6),
        (
            "    assert _default_backend is not None\n           ^^^^^^^\nAssertionError\n",
            "JAX_PLATFORMS=tpu",
            6,
        ),
        ("RuntimeError: Unknown backend: 'gpu' requested, but none", "JAX_DEFAULT_DEVICE=gpu", 6),
        ("ModuleNotFoundError: No module named 'jaxlib'", "No module named 'jaxlib'", 6),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else None,
)
def test_complaint_about_the_environment_names_the_variable_and_has_code_2_or_6(
    words: str, variable: str, code: int
) -> None:
    for process in (1, -signal.SIGABRT):
        error = end("the worker", process, words, GIVEN)
        assert error.exit_code == code
        assert variable in str(error)
        assert "\n" not in str(error)


def test_words_about_something_else_are_no_complaint_about_the_environment() -> None:
    assert known_error("KeyError: 'x'\nvalue of a flag") is None
    assert diagnosis.of_exception(AssertionError()) is None
    assert diagnosis.of_exception(ValueError("Invalid value")) is None


def test_warning_that_was_made_an_error_is_no_bug() -> None:
    error = diagnosis.of_exception(UserWarning("the cache cannot be read\n  more"))
    assert error is not None
    assert error.exit_code == 2
    assert str(error) == (
        "PYTHONWARNINGS, or -W, turns this warning into an error: the cache cannot be read; remove "
        "that setting"
    )


@pytest.mark.parametrize(
    ("printed", "last"),
    [
        ("", ""),
        ("a\nb\n\n", "b"),
        (f"{JAX}why\n", "ValueError: why"),
        (
            "jax.errors.TracerError: why\n\nFor simplicity, see\n---\n",
            "jax.errors.TracerError: why",
        ),
        (
            f"{XLA}Check failed: a == b\n*** Check failure stack trace: ***\n    @ 0x7f f()\n",
            "Check",
        ),
        ("Fatal Python error: Segmentation fault\n    @ 0x7f  f()\n", "Fatal Python error: Seg"),
    ],
)
def test_last_words_are_the_line_that_says_most(printed: str, last: str) -> None:
    assert last_message(printed).startswith(last)
    assert bool(last) == bool(last_message(printed))


def test_error_that_a_process_reported_itself_is_its_end_with_all_of_its_lines() -> None:
    error = end("jmlp export", 3, "warning: w\njmlp: error: no data\n  get them\n", {})
    assert (str(error), error.exit_code) == ("no data\nget them", 3)
    error = end("the worker", 4, "training 2 runs\nerror: no store\n", {})
    assert (str(error), error.exit_code) == ("no store", 4)


@pytest.mark.parametrize(
    ("code", "how", "exit_code"),
    [
        (3, "ended with code 3", 3),
        (-9, "was ended by signal 9 (SIGKILL)", 6),
        (-40, "was ended by signal 40", 6),
    ],
)
def test_unknown_end_is_reported_with_its_last_words_and_what_is_set_for_jax(
    code: int, how: str, exit_code: int
) -> None:
    given = {"XLA_FLAGS": "--a", "HOME": "/root", "JAX_ENABLE_X64": "1", "MY_JAX_X": "y"}
    error = end("it", code, "why\n", given)
    told = f"it {how}: why\nvariables that JAX reads are set: JAX_ENABLE_X64=1 XLA_FLAGS=--a"
    assert (str(error), error.exit_code) == (told, exit_code)
    assert str(end("it", code, "", {})) == f"it {how}: it printed nothing"


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """JAX's support for NVIDIA GPUs seems to be installed."""
    monkeypatch.setattr(diagnosis, "lacks_cuda", lambda: False)


def test_missing_gpu_is_reported_with_the_command_that_installs_its_support(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(diagnosis, "lacks_cuda", lambda: True)
    assert str(no_device("gpu", "r", {})) == (
        "--device gpu: JAX finds no such device (r); use --device cpu, install JAX for NVIDIA "
        f"GPUs ({command_that_installs(CUDA)}), or see what `jmlp doctor` says"
    )
    assert "install" not in str(no_device("auto", "r", {}))


@pytest.mark.usefixtures("cuda")
def test_missing_device_is_reported_with_who_asked_for_it() -> None:
    why = "JAX finds no such device (r); "
    see = "see what `jmlp doctor` says"
    auto, gpu = no_device("auto", "r", {"JAX_PLATFORMS": "cuda"}), no_device("gpu", "r", {})
    assert str(auto) == f"JAX_PLATFORMS=cuda: {why}unset it, or {see}"
    assert str(gpu) == f"--device gpu: {why}use --device cpu, or {see}"
    kept = no_device("gpu", "r", {"JAX_PLATFORMS": "cpu"})
    assert str(kept) == f"--device gpu: {why}unset JAX_PLATFORMS=cpu, use --device cpu, or {see}"


@pytest.mark.usefixtures("cuda")
def test_remedy_for_a_device_names_what_the_user_has_set_and_never_the_device_that_failed() -> None:
    see = "see what `jmlp doctor` says"
    why = "JAX finds no such device (r); "
    given = {"JAX_PLATFORMS": "cpu", "PJRT_NAMES": "foo", "CUDA_VERSION": "12"}
    cpu, gpu = no_device("cpu", "r", given), no_device("gpu", "r", given)
    assert str(cpu) == f"--device cpu: {why}check PJRT_NAMES=foo, or {see}"
    assert str(gpu) == (
        f"--device gpu: {why}unset JAX_PLATFORMS=cpu, check PJRT_NAMES=foo, use --device cpu, "
        f"or {see}"
    )
    assert str(no_device("cpu", "r", {"JAX_PLATFORMS": "cpu"})) == f"--device cpu: {why}{see}"


def test_what_jmlp_itself_set_in_its_process_is_not_taken_for_what_the_user_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in list(os.environ):
        if diagnosis._READ_BY_JAX.fullmatch(name):
            monkeypatch.delenv(name)
    monkeypatch.setattr(diagnosis, "_changed", {})
    monkeypatch.setenv("XLA_FLAGS", "--a")
    monkeypatch.setenv("JAX_PLATFORM_NAME", "gpu")
    before = dict(os.environ)
    monkeypatch.setenv("XLA_FLAGS", "--a --b")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.delenv("JAX_PLATFORM_NAME")
    diagnosis.note_changes(before)
    told = "it ended with code 3: why\nvariables that JAX reads are set: {}"
    assert str(end("it", 3, "why")) == told.format("JAX_PLATFORM_NAME=gpu XLA_FLAGS=--a")
    monkeypatch.setenv("JAX_PLATFORMS", "tpu")
    assert "JAX_PLATFORMS=tpu" in str(end("it", 3, "why")), "set by someone else since"


def test_import_error_without_a_file_in_the_place_of_a_module_blames_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").touch()  # there is no other module of that name
    (tmp_path / "colorsys.py").touch()  # hides a module, but was not asked for
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)  # of another test
    assert diagnosis.of_exception(ImportError("no", name="mine")) is None
    assert diagnosis.of_exception(AttributeError("no", name="x", obj=object())) is None
    error = diagnosis.of_exception(ImportError("no", name="colorsys.x"))
    assert error is not None
    assert f"Python imports {tmp_path / 'colorsys.py'} in place of" in str(error)
