"""What the command says of itself, without loading anything heavy."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Here, command, python
from cyclopts import App

from jmlp.cli.commands import app
from jmlp.system import environment


def commands(parent: App = app, *names: str) -> Iterator[tuple[str, App]]:
    """Every command with its names, such as `data list`; groups of commands are some too."""
    for name in parent:
        if not name.startswith("-"):
            yield " ".join([*names, name]), parent[name]
            yield from commands(parent[name], *names, name)


COMMANDS = dict(commands())


def test_there_are_these_commands() -> None:
    assert list(COMMANDS) == [
        "tui",
        "study",
        "train",
        "attach",
        "pause",
        "resume",
        "stop",
        "predict",
        "explain",
        "boundary",
        "microscope",
        "microscope dropout",
        "microscope batch-norm",
        "microscope step",
        "microscope sizes",
        "gradcheck",
        "break",
        "data",
        "data list",
        "data get",
        "data check",
        "data path",
        "runs",
        "runs ls",
        "runs show",
        "runs diff",
        "runs tag",
        "runs rm",
        "runs path",
        "export",
        "import",
        "verify",
        "report",
        "replay",
        "store",
        "store check",
        "store rebuild",
        "store path",
        "serve",
        "doctor",
        "completion",
    ]


def test_help_and_version_load_nothing_heavy(here: Here) -> None:
    calls = [["--help"], ["--version"], *([*name.split(), "--help"] for name in COMMANDS)]
    code = (
        "import sys; from jmlp.cli import main\n"
        f"print([main(arguments) for arguments in {calls}], file=sys.stderr)\n"
        "heavy = {'jax', 'jaxlib', 'numpy', 'scipy', 'matplotlib', 'jinja2', 'keras', 'textual'}\n"
        "print(heavy & sys.modules.keys(), file=sys.stderr)"
    )
    done = python("-c", code, cwd=here.folder)
    assert done.err == f"{[0] * len(calls)}\nset()\n"


def test_command_alone_without_a_terminal_prints_the_help_and_what_to_type(tmp_path: Path) -> None:
    bare, asked = (command(*more, cwd=tmp_path) for more in ([], ["--help"]))
    assert (bare.code, bare.out) == (2, "")
    assert bare.err == asked.out + (
        "jmlp: error: the app needs a terminal, but standard input is not a terminal\n"
        "  without one: jmlp study original, jmlp runs ls, jmlp --help\n"
    )


@pytest.mark.parametrize("parent", ["", "microscope", "data", "runs", "store"])
def test_help_says_what_every_command_does(parent: str, tmp_path: Path) -> None:
    # In a separate process, where the commands are not loaded.
    bare = command(*parent.split(), "--help", cwd=tmp_path)
    assert not parent or command(*parent.split(), cwd=tmp_path) == bare
    assert (bare.code, bare.err) == (0, "")
    text = " ".join(bare.out.replace("│", " ").split())
    for name, found in COMMANDS.items():
        if name.split()[:-1] == parent.split():
            assert f" {name.split()[-1]} {found.help.split(chr(10))[0]} " in text


def test_version_is_that_of_the_package(here: Here) -> None:
    assert here("--version") == (0, f"jmlp {environment.versions()['jmlp']}\n", "")


@pytest.mark.parametrize("name", COMMANDS)
def test_command_and_its_parameters_have_help_in_unbroken_paragraphs(name: str) -> None:
    # A line break within a paragraph would stay in place at any width of the terminal.
    assert COMMANDS[name].help
    assert not any("\n" in paragraph for paragraph in COMMANDS[name].help.split("\n\n"))
    if COMMANDS[name].default_command is not None:
        for argument in COMMANDS[name].assemble_argument_collection():
            assert argument.parameter.help or argument.children, argument.name


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_80_columns_and_says_no_empty_default(
    name: str, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = here(*name.split(), "--help")
    assert (done.code, done.err) == (0, "")
    assert max(map(len, done.out.splitlines())) == 80
    assert "None" not in done.out
    assert "False" not in done.out


def test_help_is_ascii_on_a_terminal_that_knows_no_more(here: Here) -> None:
    env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    done = command("train", "--help", cwd=here.folder, env=env)
    assert (done.code, done.err) == (0, "")
    assert done.out.isascii()
    assert "+- Parameters -" in done.out
    assert "?" not in done.out
