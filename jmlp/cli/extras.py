"""Packages that only few people need, and which are installed on demand."""

from collections.abc import Iterator
from contextlib import contextmanager

from jmlp.errors import ConfigError


@contextmanager
def needs(package: str, format_: str) -> Iterator[None]:
    """Around the import of a package that is installed on demand.

    Args:
        package: its name in the package index.
        format_: what `--as` asked for.

    Raises:
        ConfigError: it is not there.
    """
    try:
        yield
    except ImportError as error:
        raise ConfigError(
            f"--as {format_}: needs the package {package} ({error}); "
            f"install it with: python -m pip install {package}"
        ) from error
