"""What an import brings along: --help, the library and the app stay light."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


def contract(name: str) -> dict[str, Any]:
    """An import-linter contract: those list what may import what, and no test repeats it."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts: list[dict[str, Any]] = settings["tool"]["importlinter"]["contracts"]
    return next(contract for contract in contracts if contract["id"] == name)


HEAVY = set(contract("light")["forbidden_modules"])
DRAWING = set(contract("library")["forbidden_modules"])


def light_modules() -> list[str]:
    """The light modules, and those inside the light packages."""
    found = []
    for module in contract("light")["source_modules"]:
        folder = ROOT.joinpath(*module.split("."))
        found += [f"{module}.{file.stem}" for file in folder.glob("[!_]*.py")] or [module]
    return found


def test_contributing_shows_the_levels_that_are_checked() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    shown: dict[str, set[str]] = {}
    for level, package in re.findall(r"^\| (\d+) \| `(\w+)/?` \|", text, re.MULTILINE):
        shown.setdefault(level, set()).add(package)
    layers = [set(layer.split(" | ")) for layer in contract("levels")["layers"]]
    assert list(shown.items()) == [
        (str(len(layers) - number), layer) for number, layer in enumerate([{"tui"}, *layers[1:]])
    ]


def imported_by(statement: str) -> set[str]:
    """Top-level modules that a new process has after `statement`."""
    code = f"{statement}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


# A new process for each module would take a second each.
FORKS = """
import importlib, os, sys
for module in sys.argv[1:]:
    if os.fork() == 0:
        importlib.import_module(module)
        print(module, *{name.partition(".")[0] for name in sys.modules}, flush=True)
        os._exit(0)
    assert os.wait()[1] == 0, module
"""


@pytest.fixture(scope="module")
def loaded() -> dict[str, set[str]]:
    """Top-level modules that a process has after it has imported one light module, by that."""
    command = [sys.executable, "-W", "error", "-c", FORKS, *light_modules()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    return {module: set(names) for module, *names in lines}


def test_importing_the_library_loads_nothing_heavy() -> None:
    assert not imported_by("import jmlp") & (HEAVY | DRAWING | {"numpy", "scipy"})


def test_using_the_whole_library_draws_nothing() -> None:
    found = imported_by("import jmlp\nfor name in jmlp.__all__: getattr(jmlp, name)")
    assert "jax" in found  # the names were really loaded
    assert not found & DRAWING


@pytest.mark.parametrize("module", light_modules())
def test_light_module_loads_nothing_heavy(module: str, loaded: dict[str, set[str]]) -> None:
    drawing = set() if module.partition(".")[0] == "tui" else DRAWING
    assert not loaded[module] & (HEAVY | drawing)


def test_command_loads_nothing_heavy_before_it_knows_what_to_do() -> None:
    assert not imported_by("import jmlp.cli") & (HEAVY | {"textual", "tui"})
