"""A multilayer perceptron from scratch in JAX, and the instrument to experiment with it.

The public names are listed in `__init__.pyi`, and nowhere else. They are loaded when first used, so
that `import jmlp` alone starts no JAX.
"""

import ast
import pkgutil

import lazy_loader


def _public_names() -> dict[str, list[str]]:
    """By module. Read by the import system, not by a path: the package may be in a zip archive."""
    names: dict[str, list[str]] = {}
    for line in ast.parse(pkgutil.get_data(__name__, "__init__.pyi") or b"").body:
        assert isinstance(line, ast.ImportFrom)
        names.setdefault(str(line.module), []).extend(alias.name for alias in line.names)
    return names


__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs=_public_names())
