"""Requesting an inspection: from the cache, or from a separate process."""

import json
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from helpers import experiment
from inspected_runs import train, write_data

from jmlp import data
from jmlp.errors import DataError, JmlpError, StoreError
from jmlp.inspection import boundary, boundary_records, compute, records
from jmlp.inspection import helper as worker
from jmlp.inspection.client import Inspector
from jmlp.inspection.records import Inspection, Part
from jmlp.store import Store
from jmlp.system import helper_server, processes
from jmlp.system.helper_server import PARENT_GONE

NEVER = threading.Event()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A store with one run that ended, and the run's id."""
    folder = tmp_path_factory.mktemp("trained")
    (run,) = train(folder, write_data(folder, test_set=False), experiment())
    return folder, run.run_id


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JMLP_HOME", str(tmp_path))


def ask(
    trained: tuple[Path, str],
    part: Part = "validation",
    say: Callable[[str], None] = print,
    stop: threading.Event = NEVER,
) -> Inspection | None:
    folder, run_id = trained
    inspector = Inspector(folder)
    try:
        return inspector.inspect(run_id, part, say, stop)
    finally:
        inspector.close()


def replaced_by(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts a process in place of the helper: it has read its request when the script begins."""
    begin = processes.start

    def start(*module: str, **streams: Any) -> "subprocess.Popen[str]":
        assert module == ("-m", "jmlp.inspection.helper")
        return begin("-c", f"import os, sys, time; sys.stdin.readline(); {script}", **streams)

    monkeypatch.setattr(processes, "start", start)


def not_again(*arguments: object, **options: object) -> NoReturn:
    raise AssertionError("a process was started")


def test_a_new_process_computes_it_and_another_time_it_comes_from_the_cache(
    trained: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.read_bytes() for path in trained[0].rglob("*") if path.is_file()}
    first = ask(trained)
    assert first is not None
    assert first.run_id == trained[1]
    here = records.read(compute.inspect(*trained, "validation", print))
    np.testing.assert_array_equal(first.predicted, here.predicted)
    np.testing.assert_allclose(first.gradient_norm, here.gradient_norm, rtol=1e-5)
    monkeypatch.setattr(processes, "start", not_again)
    again = ask(trained)
    assert again is not None
    np.testing.assert_array_equal(again.gradient_norm, here.gradient_norm)
    after = {path: path.read_bytes() for path in trained[0].rglob("*") if path.is_file()}
    assert after == before, "a store is only read"


def test_a_boundary_is_computed_by_the_process_and_another_time_comes_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run,) = train(tmp_path, data.load("moons:n=100"), experiment())
    here = boundary_records.read(boundary.boundary(tmp_path, run.run_id, print, 9))
    shutil.rmtree(records.folder())
    inspector = Inspector(tmp_path)
    try:
        first = inspector.boundary(run.run_id, print, size=9)
        monkeypatch.setattr(inspector, "ask", not_again)
        again = inspector.boundary(run.run_id, print, size=9)
    finally:
        inspector.close()
    for found in (first, again):
        assert found is not None
        np.testing.assert_allclose(found.probability, here.probability, atol=1e-6)
        assert found.epochs == here.epochs


def test_its_error_comes_with_its_exit_code(trained: tuple[Path, str]) -> None:
    messages: list[object] = []
    request = {"do": "inspect", "store": str(trained[0]), "run_id": trained[1], "part": "test"}
    assert helper_server.answer(request, messages.append, worker.answer) == DataError.exit_code
    text = f"{trained[0]}/small.npz: there is no test set; look at the validation part"
    assert messages == [{"error": text, "code": DataError.exit_code}]


def test_an_error_reported_by_the_process_is_raised(
    trained: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced_by("""print('{"error": "no such data", "code": 3}')""", monkeypatch)
    with pytest.raises(JmlpError) as told:
        ask(trained)
    assert (str(told.value), told.value.exit_code) == ("no such data", 3)


def test_what_the_process_says_is_passed_on(
    trained: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    messages = '{"say": "fetching"}', '{"error": "", "code": 3}'
    replaced_by(f"print({messages[0]!r}); print({messages[1]!r})", monkeypatch)
    with pytest.raises(JmlpError):
        ask(trained, say=said.append)
    assert said == ["fetching"]


@pytest.mark.parametrize(
    ("death", "how", "code"),
    [
        ("os._exit(3)", "ended with code 3: why", 3),
        ("os._exit(0)", "ended without an answer", 1),
        (f"os.kill(os.getpid(), {signal.SIGKILL})", "was ended by signal 9 (SIGKILL): why", 6),
    ],
)
def test_a_process_that_ends_without_an_answer_is_reported_with_what_it_printed(
    death: str, how: str, code: int, trained: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "oom_kills", lambda: 0)
    replaced_by(f"print('why', file=sys.stderr, flush=True); {death}", monkeypatch)
    with pytest.raises(JmlpError) as told:
        ask(trained)
    text, _, _ = str(told.value).partition("\n")
    assert text == f"the process that inspects networks {how}"
    assert told.value.exit_code == code


def test_a_waiting_process_is_ended_when_no_one_waits_for_it(
    trained: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced_by("""print('{"say": "it waits"}', flush=True); sys.stdin.readline()""", monkeypatch)
    stop = threading.Event()
    found = ask(trained, say=lambda text: stop.set(), stop=stop)
    assert found is None


def test_a_damaged_cached_file_is_recreated(
    trained: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = compute.inspect(*trained, "validation", print)
    path.write_bytes(b"damaged")
    replaced_by("""print('{"error": "asked", "code": 1}')""", monkeypatch)
    with pytest.raises(JmlpError, match=r"^asked$"):
        ask(trained)


def test_a_run_that_does_not_exist_starts_no_process(
    trained: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "start", not_again)
    with pytest.raises(StoreError, match=r"^abc: there is no such run in "):
        ask((trained[0], "abc"))


def test_the_process_leaves_when_its_starter_has_gone(trained: tuple[Path, str]) -> None:
    pipe = subprocess.PIPE
    process = processes.start("-m", "jmlp.inspection.helper", stdin=pipe, stdout=pipe, stderr=pipe)
    request = {"do": "inspect", "store": str(trained[0]), "run_id": trained[1], "part": "test"}
    process.communicate(json.dumps(request) + "\n")  # closes its stdin
    assert process.returncode == PARENT_GONE
    with Store(trained[0], viewer=True) as store:
        assert store.run(trained[1]).state == "finished"
