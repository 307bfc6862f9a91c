"""`jmlp doctor`: each fact with ok or the remedy."""

import json
import os
import shutil
import socket
import sqlite3
from collections import namedtuple
from pathlib import Path
from typing import Any

import platformdirs
import pytest
from commands import Here

from jmlp import store
from jmlp.store import Lock
from jmlp.system import environment, installation

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def _healthy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A simulated machine where everything is installed and no variable is set."""
    found = {"python": "3.11.7", "jmlp": "0.1.0", "jax": "0.10.2", "jaxlib": "0.10.1", "numpy": "2"}
    monkeypatch.setattr(environment, "versions", lambda: found)
    monkeypatch.setattr(environment, "cpu_model", lambda: "EPYC")
    monkeypatch.setattr(environment, "default_cores", lambda: 2)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(9e9, 7e9, 2e9))
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 3))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.51.3")
    for name in list(os.environ):
        if name.startswith(("JAX_", "XLA_", "JMLP_", "CUDA_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("JMLP_HOME", str(tmp_path / "home"))
    mnist = tmp_path / "home" / "cache" / "datasets" / "mnist.npz"
    mnist.parent.mkdir(parents=True)
    mnist.write_bytes(b"")


def remedies(here: Here, *arguments: str) -> dict[str, str]:
    """What is not well, by its name."""
    done = here("doctor", "--json", *arguments)
    assert (done.code, done.err) == (0, "")
    findings: list[dict[str, Any]] = json.loads(done.out)
    for finding in findings:
        assert finding.keys() == {"what", "value", "remedy", "ok"}
        assert finding["ok"] is (finding["remedy"] == "")
    return {finding["what"]: finding["remedy"] for finding in findings if finding["remedy"]}


def test_healthy_machine_is_ok_in_every_line(here: Here, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert here("doctor") == (
        0,
        f"""\
python             3.11.7  ok
jmlp               0.1.0  ok
jax                0.10.2  ok
jaxlib             0.10.1  ok
numpy              2  ok
cores              2 of 4  ok
device 0           cpu: EPYC  ok
device 1           cpu: EPYC  ok
JMLP_HOME          {home}  ok
JMLP_RUNS          {tmp_path}/store  ok
data sets          {home}/cache/datasets  ok
  free space       2.0 GB  ok
compiled programs  {home}/cache/jax  ok
  free space       2.0 GB  ok
runs               {tmp_path}/store  ok
  free space       2.0 GB  ok
MNIST              {home}/cache/datasets/mnist.npz  ok
Fashion-MNIST      not here yet: jmlp data get fashion-mnist  ok
worker             none  ok
SQLite             3.51.3 (all modes)  ok
""",
        "",
    )
    assert remedies(here) == {}


def test_remedy_stands_beside_what_is_wrong(here: Here, tmp_path: Path) -> None:
    (tmp_path / "home" / "cache" / "datasets" / "mnist.npz").unlink()
    line = "MNIST              not here yet  -> run: jmlp data get mnist\n"
    assert line in here("doctor").out


def test_missing_package_is_to_be_installed(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "versions", lambda: {"jaxlib": "not installed"})
    command = installation.command_that_installs("jaxlib")
    assert remedies(here) == {"jaxlib": f"install it: {command}"}


def test_missing_device_is_reported_with_the_reason(here: Here) -> None:
    (remedy,) = remedies(here, "--device", "gpu").values()
    assert remedy.startswith("--device gpu: JAX finds no such device (")


def test_variables_that_change_numbers_or_places_are_shown(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=/tmp")
    monkeypatch.setenv("JAX_ENABLE_X64", "1")
    out = here("doctor").out
    assert "\nJAX_ENABLE_X64     1  ok\n" in out
    assert "\nXLA_FLAGS          --xla_dump_to=/tmp  ok\n" in out


def test_little_space_is_to_be_freed(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(9e9, 8.1e9, 0.9e9))
    assert remedies(here) == {"  free space": "free some space: less than 1 GB is left"}


def test_folder_that_cannot_be_written_is_named(
    here: Here, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    cache = tmp_path / "home" / "cache"
    assert remedies(here) == {
        "data sets": f"make {cache / 'datasets'} writable, or set JMLP_HOME",
        "compiled programs": f"make {cache} writable, or set JMLP_HOME",
        "runs": f"make {tmp_path} writable, or set JMLP_HOME",
    }


def test_place_that_cannot_be_looked_up_or_is_no_folder_is_reported_and_ends_nothing(
    here: Here, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("JMLP_RUNS", str(tmp_path / "file" / "runs"))
    monkeypatch.setenv("JMLP_DATA", str(tmp_path / ("x" * 300)))
    found = remedies(here)
    assert found["runs"] == f"{tmp_path / 'file'} is not a folder: remove it, or set JMLP_HOME"
    folder = tmp_path / ("x" * 300)
    for what, name in (("MNIST", "mnist"), ("Fashion-MNIST", "fashion-mnist")):
        assert found[what] == f"{folder}/{name}.npz: cannot be read: File name too long"
    assert set(found) == {"runs", "MNIST", "Fashion-MNIST", "worker"}


def test_missing_home_is_reported_with_what_to_set(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    def homeless(appname: str) -> Path:
        raise RuntimeError

    monkeypatch.delenv("JMLP_HOME")
    monkeypatch.setattr(platformdirs, "user_cache_path", homeless)
    remedy = "there is no home folder to keep files in: set HOME, or JMLP_HOME to a folder"
    wrong = ["devices", "data sets", "compiled programs", "MNIST"]
    assert remedies(here) == dict.fromkeys(wrong, remedy)


def test_sqlite_that_could_damage_a_database_is_kept_to_the_rollback_journal(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 2))
    assert "\nSQLite             3.51.3 (rollback journal only)  ok\n" in here("doctor").out


def test_worker_that_has_the_store_is_named(here: Here, tmp_path: Path) -> None:
    lock = Lock(tmp_path / "store")
    assert lock.acquire()
    lock.describe("original")
    line = f"worker             process {os.getpid()} on {socket.gethostname()} trains original  ok"
    assert line in here("doctor").out.splitlines()
    lock.release()
    assert "worker             none  ok" in here("doctor").out.splitlines()


def test_store_on_a_network_file_system_is_reported_with_the_remedy(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "network_file_system", lambda folder: "nfs4")
    remedy = "keep runs on a disk of this machine (JMLP_RUNS): locks there can fail"
    assert remedies(here) == {"file system of runs": remedy}
