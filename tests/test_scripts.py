"""scripts/jmlp in a copy whose environment and Pythons are stand-ins; one row of scripts/stress."""

import contextlib
import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LOCKS = ("run", "cuda", "dev")

# Takes the place of an environment's Python; what it is asked to do is in the file "calls".
PIP = """\
here=$(dirname "$0")/..
printf '%s\\n' "$*" >> "$here/calls"
echo 'Downloading everything (1 GB)'
if [ -p "$here/wait" ]; then cat "$here/wait"; fi
while [ $# -gt 0 ]; do
    if [ "$1" = --report ]; then printf '%s' '{"install": [{}, {}]}' > "$2"; fi
    shift
done
if [ -e "$here/broken" ]; then echo 'ERROR: no such thing' >&2; exit 1; fi
"""


def executable(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = (tmp_path / "a clone").resolve()
    shutil.copytree(ROOT / "scripts", folder / "scripts")
    for name in ("pyproject.toml", *(f"scripts/requirements-{lock}.txt" for lock in LOCKS)):
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


@pytest.fixture
def outdated(clone: Path, environment: Path) -> Path:
    """An environment with a stand-in for pip, made for an earlier version of `clone`."""
    executable(environment / "bin" / "python", PIP)
    (environment / "run.stamp").write_text("an earlier one", encoding="utf-8")
    return environment


def calls(environment: Path) -> list[str]:
    """What pip was asked to install, without the options that are always the same."""
    lines = (environment / "calls").read_text(encoding="utf-8").splitlines()
    return [re.sub(r".*(installed\.json|-version-check) ", "", line) for line in lines]


def seconds_removed(text: str) -> str:
    return re.sub(r"\d+ s\b", "N s", text)


def test_update_prints_one_line_for_each_step_and_nothing_of_pip(outdated: Path) -> None:
    done = call(outdated.parent / "scripts" / "jmlp", "x")
    assert (done.returncode, done.stdout) == (0, f"jmlp in {outdated.parent}/scripts:\n[x]")
    assert seconds_removed(done.stderr) == (
        f"Updating {outdated}\n1/2 packages ... 2 installed, N s\n2/2 jmlp ... N s\n"
    )
    assert call(outdated.parent / "scripts" / "jmlp", "x").stderr == ""


def test_failure_shows_what_pip_said_and_the_next_call_starts_over(outdated: Path) -> None:
    (outdated / "broken").touch()
    done = call(outdated.parent / "scripts" / "jmlp")
    first, step, *said, why, command = done.stderr.splitlines()
    assert (done.returncode, done.stdout, first) == (2, "", f"Updating {outdated}")
    assert step == "1/2 packages ..."
    assert said == ["Downloading everything (1 GB)", "ERROR: no such thing"]
    assert why == "jmlp: the environment could not be made; see above for the reason."
    assert command.startswith(f"Failed command: '{outdated}/bin/python' -I -m pip install ")
    assert (outdated / "run.stamp").read_text(encoding="utf-8") == ""


def test_long_step_shows_on_a_terminal_what_pip_is_doing_within_one_line(outdated: Path) -> None:
    os.mkfifo(outdated / "wait")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    environ = {
        name: os.environ[name] for name in os.environ if name not in ("COLUMNS", "JMLP_VENV")
    }
    script = outdated.parent / "scripts" / "jmlp"
    with subprocess.Popen(script, stdin=theirs, stdout=theirs, stderr=theirs, env=environ) as jmlp:
        os.close(theirs)
        shown = ""
        for step in ("1/2 packages", "2/2 jmlp"):
            while not re.search(step + r" \.\.\. \d+ s  Downloading", shown):
                shown += os.read(ours, 4096).decode()
            (outdated / "wait").write_text("", encoding="utf-8")
        with contextlib.suppress(OSError):  # Linux's way to say that it is the end
            while more := os.read(ours, 4096):
                shown += more.decode()
        os.close(ours)
    assert jmlp.returncode == 0
    _, packages, itself, *_ = (line.split("\r") for line in shown.split("\r\n"))
    assert all(len(text) < 40 for text in (*packages, *itself))
    assert seconds_removed(packages[-1]) == "1/2 packages ... 2 installed, N s"
    assert seconds_removed(itself[-1]) == "2/2 jmlp ... N s"


def test_cuda_is_added_once_and_kept_in_later_updates(outdated: Path) -> None:
    script = outdated.parent / "scripts" / "jmlp"
    done = call(script, "--with", "cuda", "doctor")
    assert done.stdout.endswith("[doctor]")
    cuda = f"--require-hashes -r {script.parent}/requirements-cuda.txt"
    assert calls(outdated)[0] == cuda
    assert call(script).stderr == ""
    (outdated.parent / "pyproject.toml").write_text("changed\n", encoding="utf-8")
    assert call(script).returncode == 0
    assert calls(outdated)[2] == cuda
    assert call(script, "--with", "cuda").stderr == ""


def test_tools_and_cuda_are_installed_side_by_side(outdated: Path) -> None:
    script = outdated.parent / "scripts" / "jmlp"
    words = script.parent / "environment.py", outdated.parent, outdated, "dev"
    maker = [sys.executable, *map(str, words)]
    assert call(script, "--with", "cuda").returncode == 0
    subprocess.run(maker, check=True, capture_output=True)
    n_calls = len(calls(outdated))
    assert call(script).stderr == ""
    subprocess.run(maker, check=True, capture_output=True)
    assert len(calls(outdated)) == n_calls


@pytest.mark.parametrize("arguments", [["--with"], ["--with", "serve"]])
def test_other_extras_need_not_be_asked_for(
    clone: Path, environment: Path, arguments: list[str]
) -> None:
    done = call(clone / "scripts" / "jmlp", *arguments)
    named = " ".join([*arguments, ""][:2])
    assert (done.returncode, done.stdout, done.stderr) == (
        2,
        "",
        f"jmlp: {named}: only cuda can be added; all other extras are here already\n",
    )


def pins(lock: str) -> dict[str, list[str]]:
    """The pinned versions of each package, with the markers of the Pythons that get them."""
    text = (ROOT / "scripts" / f"requirements-{lock}.txt").read_text(encoding="utf-8")
    found: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==(.*?) ?\\?$", text, re.MULTILINE):
        found.setdefault(name, []).append(version)
    return found


def test_every_lock_has_the_extras_in_the_same_versions() -> None:
    run = pins("run")
    assert {"pyarrow", "tensorboardx", "textual-serve"} <= run.keys()
    assert "jax-cuda12-plugin" not in run
    assert "jax-cuda12-plugin" in pins("cuda")
    for lock in ("cuda", "dev"):
        other = pins(lock)
        assert {name: other.get(name) for name in run} == run


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
