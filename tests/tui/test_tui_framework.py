"""Only `tui.framework` uses private members of Textual."""

import ast
import importlib
import inspect
import textwrap
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
LIBRARIES = ("textual", "textual_serve")
PYTHON = ("_exit", "_asdict", "_fields", "_replace")  # public despite their names
OUTSIDE = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "tui").rglob("*.py")
    if ROOT / "tui" / "framework" not in path.parents
]


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def is_library(module: str | None) -> bool:
    return module is not None and module.partition(".")[0] in LIBRARIES


def classes(holder: object, module: str) -> Iterator[type]:
    """Yields the classes that a module defines, including nested ones."""
    for value in vars(holder).values():
        if isinstance(value, type) and value.__module__ == module:
            yield value
            yield from classes(value, module)


def parsed(thing: ModuleType | type) -> ast.Module:
    return ast.parse(textwrap.dedent(inspect.getsource(thing)))


def attributes(tree: ast.AST) -> Iterator[tuple[str, ast.Attribute]]:
    """Yields each private attribute that is used in a piece of code, with its object."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            yield ast.unparse(node.value), node


def defined(class_: type) -> set[str]:
    """Returns the private names in the source of a class: Textual adds others at run time."""
    (body,) = parsed(class_).body
    assert isinstance(body, ast.ClassDef)
    names = [getattr(node, "name", "") for node in body.body]
    for node in body.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names += map(ast.unparse, targets)
    return set(filter(is_private, names))


@cache
def private_members(class_: type) -> set[str]:
    """Returns the private members that a library's class defines or sets."""
    stored = {
        node.attr
        for of, node in attributes(parsed(class_))
        if of == "self" and isinstance(node.ctx, ast.Store)
    }
    return stored | set(filter(is_private, vars(class_)))


def offences(name: str) -> list[str]:
    """Returns private modules, objects and members of libraries that a module uses or overrides.

    Private attributes of anything but `self` count, whatever they belong to.
    """
    module = importlib.import_module(name)
    tree, found = parsed(module), []
    for node in ast.walk(tree):
        names = [alias.name for alias in getattr(node, "names", []) if isinstance(alias, ast.alias)]
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{name}" for name in names]
        found += [n for n in names if is_library(n) and any(map(is_private, n.split(".")))]
    for of, attribute in attributes(tree):
        if of not in ("self", "cls") and attribute.attr not in PYTHON:
            found.append(f"{of}.{attribute.attr}")
    for class_ in classes(module, name):
        bases = [base for base in class_.__mro__ if is_library(base.__module__)]
        taken = set[str]().union(*map(private_members, bases))
        used = {node.attr for _, node in attributes(parsed(class_))} | defined(class_)
        found += [f"{class_.__qualname__}: {member}" for member in sorted(used & taken)]
    return found


@pytest.mark.parametrize("name", OUTSIDE)
def test_private_members_of_textual_are_used_only_in_the_framework(name: str) -> None:
    assert offences(name) == []


@pytest.mark.parametrize(
    "code",
    [
        "import textual._xterm_parser",
        "from textual._xterm_parser import XTermParser",
        "from textual.widgets import _footer",
        "def f(app): return app._filters",
        "class Bad(Static):\n    def _on_mount(self): super()._on_mount()",
        "class Bad(Static):\n    _closing = True",
        "class Bad(Static):\n    def f(self): return self._size",
        "class Bad(Static):\n    def f(self): self._running = True",
        "class Good(Static):\n    class Bad(Static):\n        def _on_hide(self): pass",
    ],
)
def test_private_member_of_textual_is_found(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert offences(made(code, tmp_path, monkeypatch)) != []


def test_own_private_member_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "class Good(Static):\n    _mine = os._exit\n    def f(self): return self._mine"
    assert offences(made(code, tmp_path, monkeypatch)) == []


def made(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Writes a module that can be imported, and returns its name."""
    name = f"made_{uuid.uuid4().hex}"
    text = f"import os\nfrom textual.widgets import Static\n{code}\n"
    (folder / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    return name
