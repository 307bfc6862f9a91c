"""`jmlp verify`: stored runs trained again, and what the command makes of the answers."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import Done, Here, command, write_inputs
from numpy.typing import NDArray
from store_runs import fill

from jmlp.errors import DeviceError, JmlpError
from jmlp.results import tensor_files
from jmlp.store import RunRow, Store, run_files
from jmlp.study.config import Hyperparams
from jmlp.system.helper_server import PARENT_GONE
from jmlp.training.records import Provenance
from jmlp.verification import client
from jmlp.verification import helper as worker
from jmlp.verification.helper import Request

# Of the study's six runs, the two without dropout in the group that has it.
PLAIN = Hyperparams(hidden=(5, 4), batch_size=16, learning_rate=0.1, epochs=3)
FLAG = "--xla_cpu_enable_fast_min_max=false"  # one that no command sets by itself
SETUPS = [("cpu: A", "-a"), ("gpu: B", "-a"), ("cpu: C", "-a"), ("cpu: A", "-b")]
SETUPS += [("tpu: D", "-a"), ("tpu: D", "-a")]
NOTHING = Request("", (), "cpu", None, "--some-flag")

Arrays = dict[str, NDArray[Any]]


def inline(request: Request) -> Generator[Mapping[str, Any]]:
    """The answers of this process, where JAX runs already; through JSON as from another one."""
    messages: list[Mapping[str, Any]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XLA_FLAGS", request.flags)
        worker.answer(request, messages.append)
    yield from json.loads(json.dumps(messages))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the small study in its store, trained with a flag that is not usual."""
    folder = tmp_path_factory.mktemp("trained")
    write_inputs(folder)
    done = command(
        *("study", "small.toml", "--store", "store", "--cores", "2", "-q"),
        cwd=folder,
        env={"XLA_FLAGS": FLAG},
    )
    assert done.code == 0, done.err
    return folder


@pytest.fixture
def store(trained: Path, here: Here, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that store, verified within this process."""
    monkeypatch.setattr(client, "start", inline)
    return Path(shutil.copytree(trained / "store", here.folder / "store"))


def rows(store: Path) -> list[RunRow]:
    with Store(store, viewer=True) as opened:
        return opened.runs()


def plain_run(store: Path) -> str:
    """The id of one run without dropout in the group with dropout."""
    return next(row.run_id for row in rows(store) if row.hyperparams == PLAIN)


def rewrite(store: Path, run_id: str, change: Callable[[Arrays, dict[str, Any]], None]) -> None:
    """Changes the file of a run, and seals it as if nothing had happened."""
    path = run_files.path_of(store, run_id)
    read, about = tensor_files.read(path, run_files.FORMAT)
    tensors = {name: array.copy() for name, array in read.items()}
    change(tensors, about)
    tensor_files.write(path, tensors, about)


def flip_sign(tensors: Arrays, about: dict[str, Any]) -> None:
    """Of one weight in the snapshot of epoch 2, which ends at step 20."""
    tensors["snapshots.params[0].dense.W"][2, 0, 0] *= -1


def table(done: Done) -> list[list[str]]:
    """The cells of the rows of the answers' table."""
    lines = done.out.split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.split("   ") if cell.strip()] for line in lines]


def test_a_study_verified_in_a_new_process_is_bit_identical_with_its_own_flags(
    trained: Path,
) -> None:
    done = command("verify", "small", "--store", "store", "--json", "-q", cwd=trained)
    assert (done.code, done.err) == (0, "")
    answers = json.loads(done.out)
    assert answers["skipped"] == {}
    ids = [row.run_id for row in rows(trained / "store")]
    assert [run["run_id"] for run in answers["runs"]] == ids
    for run in answers["runs"]:
        assert (run["answer"], run["made_with"], run["largest_difference"]) == (
            "bit-identical",
            [],
            0,
        )


def test_the_store_is_not_changed(store: Path, here: Here) -> None:
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    assert here("verify", "small").code == 0
    assert {path: path.read_bytes() for path in store.rglob("*") if path.is_file()} == before


def test_one_run_without_dropout_out_of_a_group_with_it_is_bit_identical(
    store: Path, here: Here
) -> None:
    run_id = plain_run(store)
    done = here("verify", run_id)
    assert done.code == 0
    assert table(done)[0][-3:] == ["bit-identical", "0", "0"]
    assert "1 of 1 runs bit-identical.\n" in done.out


def test_a_run_that_differs_is_reported_with_first_step_and_code_7(store: Path, here: Here) -> None:
    odd = rows(store)[-1].run_id
    rewrite(store, odd, flip_sign)
    done = here("verify", "all", "-q")
    assert done.code == 7
    answers = {row[0]: row[-3:] for row in table(done)}
    assert answers.pop(odd[:8]) == ["differs from step 11 on", "0", "0"]
    assert list(answers.values()) == 5 * [["bit-identical", "0", "0"]]
    assert done.out.endswith(
        "5 of 6 runs bit-identical.\n"
        f"{odd[:8]} is equal at step 10 and not at step 20; the steps in between are not stored.\n"
    )
    assert done.err == f"jmlp: error: 1 of 6 runs differs: {odd[:8]} differs from step 11 on\n"


def test_what_is_not_as_it_was_is_named_as_a_likely_reason(store: Path, here: Here) -> None:
    odd = rows(store)[-1].run_id

    def change(tensors: Arrays, about: dict[str, Any]) -> None:
        flip_sign(tensors, about)
        about["run"]["provenance"]["versions"]["jax"] = "0.1"

    rewrite(store, odd, change)
    done = here("verify", odd, "-q")
    jax = rows(store)[0].result.provenance.versions["jax"]  # type: ignore[union-attr]
    assert done.out.endswith(f"A likely reason in 1 of 1 runs: version of jax 0.1, now {jax}.\n")


def test_a_last_bit_is_equal_within_a_rounding_with_code_0(store: Path, here: Here) -> None:
    odd = rows(store)[-1].run_id

    def change(tensors: Arrays, about: dict[str, Any]) -> None:
        tensors["last.params[0].dense.W"].view(np.uint32)[0, 0] ^= 1

    rewrite(store, odd, change)
    done = here("verify", odd, "-q")
    assert (done.code, done.err) == (0, "")
    assert table(done)[0][-3].startswith("equal within ")
    assert "0 of 1 runs bit-identical.\n" in done.out


def test_changed_data_are_refused_with_code_3_and_the_arrays(store: Path, here: Here) -> None:
    arrays = dict(np.load(here.folder / "small.npz"))
    arrays["x_test"][0, 0, 0] ^= 1
    moved = here.folder / "moved.npz"
    np.savez(moved, allow_pickle=False, **arrays)

    def change(tensors: Arrays, about: dict[str, Any]) -> None:
        about["data"]["path"] = str(moved)

    run_id = rows(store)[0].run_id
    rewrite(store, run_id, change)
    done = here("verify", run_id, "-q")
    assert (done.code, done.out) == (3, "")
    assert done.err == (
        f"jmlp: error: {moved}: the data have changed since the runs were trained: the SHA-256 of "
        "x_test differs; restore the old data, and verify again\n"
    )


def test_runs_that_cannot_be_verified_are_named_and_the_others_verified(
    store: Path, here: Here
) -> None:
    first, second, *others = (row.run_id for row in rows(store))
    with Store(store) as opened:
        opened.set_runs([first], "stopped")
    run_files.path_of(store, second).unlink()
    done = here("verify", first, second, others[0], "-q", "--json")
    assert done.code == 4
    answers = json.loads(done.out)
    assert [run["run_id"] for run in answers["runs"]] == [others[0]]
    assert answers["skipped"] == {first: "is stopped", second: "no longer has a file"}
    assert done.err == (
        f"jmlp: error: 2 of 3 runs cannot be verified: {first[:8]} is stopped; "
        f"{second[:8]} no longer has a file\n"
    )


def test_a_word_that_names_no_run_is_refused(store: Path, here: Here) -> None:
    done = here("verify", "nothing")
    assert (done.code, done.out) == (4, "")
    assert "nothing: matches no run" in done.err


def test_a_damaged_file_is_refused_with_code_5(store: Path, here: Here) -> None:
    run_id = rows(store)[0].run_id
    path = run_files.path_of(store, run_id)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    done = here("verify", run_id, "-q")
    assert done.code == 5
    assert done.err == (f"jmlp: error: {path}: damaged: its SHA-256 is not the one stored in it\n")


def test_runs_of_other_settings_are_for_processes_of_their_own(tmp_path: Path) -> None:
    fill(tmp_path, n_diverged=0)
    first, second, third = rows(tmp_path)[:3]
    settings = [{"ONEDNN_MAX_CPU_ISA": "AVX2"}, None, {"ONEDNN_MAX_CPU_ISA": "AVX2"}]
    made = [Provenance("cpu", 1, "", {}, False, each) for each in settings]
    found = [
        replace(row, result=replace(row.result, provenance=where))  # type: ignore[type-var]
        for row, where in zip((first, second, third), made, strict=True)
    ]
    asked = client.requests(tmp_path, found, "auto", None)
    assert [(request.run_ids, request.settings) for request in asked] == [
        ((first.run_id, third.run_id), settings[0]),
        ((second.run_id,), None),
    ]


def test_runs_of_other_devices_or_flags_are_for_processes_of_their_own(tmp_path: Path) -> None:
    fill(tmp_path, n_diverged=0)
    made = [Provenance(device, 1, flags, {}, False) for device, flags in SETUPS]
    found = [
        replace(row, result=replace(row.result, provenance=where))  # type: ignore[type-var]
        for row, where in zip(rows(tmp_path), made, strict=True)
    ]
    ids = [row.run_id for row in found]
    asked = client.requests(tmp_path, found, "auto", 3)
    assert asked == [
        Request(str(tmp_path), (ids[0], ids[2]), "cpu", 3, "-a"),
        Request(str(tmp_path), (ids[1],), "gpu", 3, "-a"),
        Request(str(tmp_path), (ids[3],), "cpu", 3, "-b"),
        Request(str(tmp_path), (ids[4], ids[5]), "auto", 3, "-a"),
    ]
    asked = client.requests(tmp_path, found, "cpu", None)
    assert [(request.device, request.flags) for request in asked] == [("cpu", "-a"), ("cpu", "-b")]


def program(folder: Path, monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    """What runs in place of the process that verifies."""
    path = folder / "program"
    path.write_text("\n".join(("#!/bin/sh", *lines)), encoding="utf-8")
    path.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(path))


def test_a_process_that_dies_is_reported_with_its_last_words_and_flags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, monkeypatch, "echo 1 2 3 >&2; echo out of order >&2; kill -ABRT $$")
    with pytest.raises(JmlpError) as error:
        list(client.start(NOTHING))
    said, settings = str(error.value).split("\n")
    assert said == "the process that trained was ended by signal 6 (SIGABRT): out of order"
    assert settings.startswith("variables that JAX reads are set: ")
    assert " XLA_FLAGS=--some-flag " in f"{settings} "


def test_flags_of_the_runs_that_xla_does_not_know_here_are_named_with_code_6(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = "F1128 21:27:29.096171    8599 parse.cc:234] Unknown flag in XLA_FLAGS: --some-flag"
    program(tmp_path, monkeypatch, f"echo '{unknown}' >&2; exit 1")
    with pytest.raises(DeviceError) as error:
        list(client.start(NOTHING))
    assert str(error.value) == (
        "the runs were trained with XLA_FLAGS=--some-flag, which the XLA installed here does not "
        "accept; jmlp runs show lists the versions that do"
    )


def test_an_error_that_a_process_reports_is_raised_with_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, monkeypatch, """echo '{"error": "no", "code": 6}'; exit 6""")
    with pytest.raises(JmlpError) as error:
        list(client.start(NOTHING))
    assert (str(error.value), error.value.exit_code) == ("no", 6)


def test_a_process_without_a_listener_is_ended_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, monkeypatch, """echo "{\\"say\\": $$}"; exec cat""")  # cat waits for ever
    messages = client.start(NOTHING)
    pid = next(messages)["say"]
    messages.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_process_whose_starter_has_gone_leaves(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "jmlp.verification.helper"],
        input=f"{json.dumps(asdict(NOTHING))}\n",
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (PARENT_GONE, "", "")
