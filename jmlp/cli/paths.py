"""Paths on the command line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cyclopts import Token

from jmlp.errors import ConfigError


def as_path(type_: Any, tokens: Sequence[Token]) -> Path:
    """Converts every option and argument that is a path.

    An empty text, such as from an unset shell variable, would mean the current folder.

    Raises:
        ConfigError: it is empty.
    """
    del type_
    (token,) = tokens
    if not token.value:
        name = token.keyword or "a path"
        raise ConfigError(f"{name}: must not be empty; the current folder is .")
    return Path(token.value)
