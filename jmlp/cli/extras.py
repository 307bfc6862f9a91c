"""Optional packages, which users install on demand."""

from collections.abc import Iterator
from contextlib import contextmanager

from jmlp.errors import ConfigError


@contextmanager
def needs(package: str, format_: str) -> Iterator[None]:
    """Wraps the import of an optional package, and explains how to install a missing one.

    Args:
        package: its name in the package index.
        format_: the value of `--as` that needs it.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise ConfigError(
            f"--as {format_}: needs the package {package} ({error}); "
            f"install it with: python -m pip install {package}"
        ) from error
