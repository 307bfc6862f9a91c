"""Every error that jmlp raises on purpose, each with the exit code of the command.

An error is one message: what is wrong, where (file, key, value), what is allowed, what to do.
A bug in jmlp is any other exception and ends the command with code 1.
"""

from collections.abc import Sequence


class JmlpError(Exception):
    """Base of all errors that are not bugs; `exit_code` is the command's."""

    exit_code = 1


def error_with_code(text: str, code: int) -> JmlpError:
    """An error that another process told, with the exit code that it told."""
    error = JmlpError(text)
    error.exit_code = code
    return error


class ConfigError(JmlpError):
    """Wrong usage or configuration. One line per problem: all are reported together."""

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
    """No space is left to write to: nothing was written, and waiting may help."""


class CheckpointError(JmlpError):
    """A parameter file that cannot be trusted."""

    exit_code = 5


class DeviceError(JmlpError):
    """A device that was asked for and is not there, or ran out of memory."""

    exit_code = 6


class CheckFailed(JmlpError):
    """A check ran to its end and the answer is no."""

    exit_code = 7
