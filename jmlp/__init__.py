"""A multilayer perceptron from scratch in JAX, with tools for experiments.

The public names are listed only in `__init__.pyi`. They are loaded on first use, so that
`import jmlp` alone does not import JAX.
"""

import ast
import pkgutil

import lazy_loader


def _public_names() -> dict[str, list[str]]:
    """Public names by module. Not read by path, since the package may be in a zip archive."""
    names: dict[str, list[str]] = {}
    for line in ast.parse(pkgutil.get_data(__name__, "__init__.pyi") or b"").body:
        if not isinstance(line, ast.ImportFrom):
            continue  # __version__
        names.setdefault(str(line.module), []).extend(alias.name for alias in line.names)
    return names


_load, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs=_public_names())


def __getattr__(name: str) -> object:
    if name == "__version__":  # known only to the metadata of the installed package
        from jmlp.system.environment import versions

        return versions()["jmlp"]
    return _load(name)
