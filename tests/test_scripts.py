"""scripts/jmlp in a copy whose environment and Pythons are stand-ins; one row of scripts/stress."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def executable(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = (tmp_path / "a clone").resolve()
    shutil.copytree(ROOT / "scripts", folder / "scripts")
    for name in ("pyproject.toml", "scripts/requirements-run.txt"):
        (folder / name).write_text(f"the {name}\n", encoding="utf-8")
    return folder


@pytest.fixture
def environment(clone: Path) -> Path:
    """An environment that was made for `clone` as it is."""
    folder = clone / ".venv"
    executable(folder / "bin" / "python", "exit 1")
    executable(folder / "bin" / "jmlp", 'echo "jmlp in $PWD:"; printf "[%s]" "$@"')
    (folder / "pyvenv.cfg").touch()
    stamp = f"{clone}\nthe scripts/requirements-run.txt\nthe pyproject.toml\n"
    (folder / "run.stamp").write_text(stamp, encoding="utf-8")
    return folder


@pytest.fixture
def pythons(tmp_path: Path) -> Path:
    """A folder with all of the system's commands that scripts/jmlp needs, and no Python."""
    folder = tmp_path / "commands"
    folder.mkdir()
    for name in ("cat", "dirname", "readlink"):
        command = shutil.which(name)
        assert command
        (folder / name).symlink_to(command)
    return folder


def call(script: Path, *args: str, **environ: str | Path) -> subprocess.CompletedProcess[str]:
    clean = {name: os.environ[name] for name in os.environ if name not in ("JMLP_VENV", "PYTHON")}
    return subprocess.run(
        [script, *args],
        env={**clean, **environ},
        cwd=script.parent,
        capture_output=True,
        text=True,
        check=False,
    )


def test_command_runs_from_anywhere_through_links_with_its_arguments_as_they_are(
    clone: Path, environment: Path, tmp_path: Path, pythons: Path
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "first").symlink_to(clone / "scripts" / "jmlp")
    (folder / "second").symlink_to("first")
    done = call(folder / "second", "two words", "*", "", PATH=pythons)
    assert done.stdout == f"jmlp in {folder}:\n[two words][*][]"
    assert done.stderr == ""


@pytest.mark.parametrize("name", ["pyproject.toml", "scripts/requirements-run.txt"])
def test_environment_is_made_again_when_a_file_changed(
    clone: Path, environment: Path, pythons: Path, name: str
) -> None:
    (clone / name).write_text("changed\n", encoding="utf-8")
    executable(pythons / "python3", 'case "$2" in -c) ;; *) echo "making: $*" ;; esac')
    done = call(clone / "scripts" / "jmlp", PATH=pythons)
    made = f"making: -I {clone}/scripts/environment.py {clone} {environment} run\n"
    assert done.stderr == made


def test_environment_is_made_again_when_the_clone_was_moved(
    clone: Path, environment: Path, pythons: Path
) -> None:
    moved = clone.rename(clone.parent / "moved")
    executable(pythons / "python3", 'case "$2" in -c) ;; *) echo "making: $*" ;; esac')
    assert call(moved / "scripts" / "jmlp", PATH=pythons).stderr.startswith("making: ")


def test_python_that_does_not_answer_is_passed_over(clone: Path, pythons: Path) -> None:
    executable(pythons / "python3", "exit 127")
    executable(
        pythons / "python3.13", 'case "$2" in -c) ;; *) echo "3.13 makes it"; exit 9 ;; esac'
    )
    done = call(clone / "scripts" / "jmlp", PATH=pythons)
    assert (done.returncode, done.stderr) == (9, "3.13 makes it\n")


def test_missing_python_is_reported_with_the_remedy(clone: Path, pythons: Path) -> None:
    done = call(clone / "scripts" / "jmlp", PATH=pythons)
    assert done.returncode == 2
    assert done.stderr == (
        "jmlp: no Python 3.11 or newer with venv and ensurepip was found (tried: python3, "
        "python3.11 to\npython3.14). Install one (on Debian and Ubuntu: apt install "
        "python3-venv), or name one that is not\non the PATH: PYTHON=/path/to/python "
        "scripts/jmlp\n"
    )


def test_python_that_was_asked_for_is_never_replaced_by_another(clone: Path, pythons: Path) -> None:
    executable(pythons / "old", "exit 1")
    executable(pythons / "python3", "exit 0")
    done = call(clone / "scripts" / "jmlp", PATH=pythons, PYTHON="old")
    assert (done.returncode, done.stderr) == (
        2,
        "jmlp: PYTHON=old is not a Python 3.11 or newer with venv and ensurepip.\n",
    )


def test_folder_that_is_no_environment_is_left_alone(clone: Path) -> None:
    precious = clone / ".venv" / "thesis.txt"
    precious.parent.mkdir()
    precious.write_text("all of it", encoding="utf-8")
    done = call(clone / "scripts" / "jmlp")
    assert (done.returncode, done.stderr) == (
        2,
        f"jmlp: the environment could not be made: {precious.parent} is not a virtual "
        "environment; move it away\n",
    )
    assert precious.read_text(encoding="utf-8") == "all of it"


def test_clone_in_a_path_with_a_colon_runs_with_its_environment_elsewhere(
    clone: Path, environment: Path, tmp_path: Path
) -> None:
    shutil.rmtree(environment)
    moved = clone.rename(tmp_path / "a:clone").resolve()
    done = call(moved / "scripts" / "jmlp")
    assert (done.returncode, done.stderr) == (
        2,
        f"jmlp: the environment could not be made: the path {moved}/.venv contains a ':', which "
        "a virtual environment does not support; name another folder: "
        "JMLP_VENV=/path/to/folder scripts/jmlp\n",
    )
    elsewhere = tmp_path / "elsewhere"
    executable(elsewhere / "bin" / "python", "exit 1")
    executable(elsewhere / "bin" / "jmlp", 'echo "it runs"')
    stamp = f"{moved}\nthe scripts/requirements-run.txt\nthe pyproject.toml\n"
    (elsewhere / "run.stamp").write_text(stamp, encoding="utf-8")
    assert call(moved / "scripts" / "jmlp", JMLP_VENV=elsewhere).stdout == "it runs\n"


def test_environment_that_is_up_to_date_is_so_for_its_maker_too(
    clone: Path, environment: Path
) -> None:
    maker = clone / "scripts" / "environment.py"
    done = subprocess.run(
        [sys.executable, maker, clone, environment, "run"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_stress_prints_its_table(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "stress", "damage", "--quick", "--folder", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    head, line, row = done.stdout.splitlines()
    assert (head, line) == ("| test | must hold | measured |", "|---|---|---|")
    found = re.search(r"\| ([\d,]+) of ([\d,]+) \([\d,]+ bits, [\d,]+ truncations\) \|$", row)
    assert found
    assert found[1] == found[2]
