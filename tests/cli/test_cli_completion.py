"""Completion in a shell: the printed scripts are run by the shells themselves."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from commands import Here

# Sets the words of a command line, calls the completion of its last word, and prints the choices.
ASK_BASH = """
. "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
complete -p jmlp > /dev/null || exit 3
_jmlp
printf '%s\\n' "${COMPREPLY[@]}"
"""


def bash(script: Path, *words: str) -> list[str]:
    done = subprocess.run(
        ["bash", "--norc", "-c", ASK_BASH, "ask", str(script), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.fixture
def script(here: Here) -> Path:
    done = here("completion", "bash")
    assert (done.code, done.err) == (0, "")
    path = here.folder / "jmlp.bash"
    path.write_text(done.out, encoding="utf-8")
    return path


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_commands_options_and_values(script: Path) -> None:
    assert bash(script, "jmlp", "st") == ["study", "stop", "store"]
    assert bash(script, "jmlp", "runs", "d") == ["diff"]
    assert bash(script, "jmlp", "study", "original", "--see") == ["--seeds"]
    assert bash(script, "jmlp", "report", "x", "--as", "la") == ["latex"]
    assert bash(script, "jmlp", "completion", "f") == ["fish"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_script_is_accepted_by_its_shell_and_knows_every_command(
    shell: str, here: Here
) -> None:
    done = here("completion", shell)
    assert (done.code, done.err) == (0, "")
    for command in ("study", "gradcheck", "rebuild", "completion"):
        assert command in done.out
    if path := shutil.which(shell):
        checked = subprocess.run(
            [path, "-n"], input=done.out, capture_output=True, text=True, check=False
        )
        assert (checked.returncode, checked.stderr) == (0, "")


def test_json_holds_the_same_script(here: Here) -> None:
    document = json.loads(here("completion", "zsh", "--json").out)
    assert document == {"shell": "zsh", "script": here("completion", "zsh").out}


def test_an_unknown_shell_is_refused_with_the_known_ones(here: Here) -> None:
    done = here("completion", "tcsh")
    assert (done.code, done.out) == (2, "")
    for shell in ("bash", "zsh", "fish"):
        assert shell in done.err
