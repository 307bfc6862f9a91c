"""Optional packages, which users install on demand."""

from collections.abc import Iterator
from contextlib import contextmanager

from jmlp.errors import ConfigError
from jmlp.system.installation import command_that_installs


@contextmanager
def needs(package: str, what: str) -> Iterator[None]:
    """Wraps the import of an optional package, and explains how to install a missing one.

    Args:
        package: its name in the package index.
        what: the command or option that needs it.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise ConfigError(
            f"{what}: needs the package {package} ({error}); "
            f"install it with: {command_that_installs(package)}"
        ) from error
