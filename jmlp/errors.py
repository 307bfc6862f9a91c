"""All errors that jmlp raises deliberately, each with the exit code of the command.

A message states what is wrong, where (file, key, value), what is allowed, and what to do.
Any other exception is a bug in jmlp and ends the command with code 1.
"""

from collections.abc import Sequence


class JmlpError(Exception):
    """Base class of all errors that are not bugs; `exit_code` is that of the command."""

    exit_code = 1


def error_with_code(text: str, code: int) -> JmlpError:
    """An error reported by another process, with the exit code that it reported."""
    error = JmlpError(text)
    error.exit_code = code
    return error


class ConfigError(JmlpError):
    """Invalid usage or configuration; all problems are reported together, one per line."""

    exit_code = 2

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class DataError(JmlpError):
    """Data that is missing, damaged, or not what it claims to be."""

    exit_code = 3


class StoreError(JmlpError):
    """A result or folder on disk that cannot be read or written."""

    exit_code = 4


class DiskFullError(StoreError):
    """No space is left on the disk: nothing was written, and a retry may succeed."""


class CheckpointError(JmlpError):
    """A parameter file that cannot be trusted."""

    exit_code = 5


class DeviceError(JmlpError):
    """A device that was requested but does not exist, or that ran out of memory."""

    exit_code = 6


class CheckFailed(JmlpError):
    """A check that completed, with a negative result."""

    exit_code = 7
