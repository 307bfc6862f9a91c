"""A hook for tests: `JMLP_FAULT=fsync:3:eio` makes the third flush of this process fail.

The value is POINT:K:ACTION. The K-th time that the process reaches POINT ("any" counts all of
them), ACTION replaces the operation: "kill" ends the process with SIGKILL, "enospc" and "eio" raise
the error of a full disk and of a broken one. It happens only once.
"""

import errno
import os
import re
import signal
import threading

from jmlp.errors import ConfigError

VARIABLE = "JMLP_FAULT"
POINTS = ("write", "fsync", "rename", "folder", "commit")  # "folder" is the flush of a folder

_FORM = re.compile(rf"(any|{'|'.join(POINTS)}):([1-9][0-9]{{0,8}}):(kill|enospc|eio)")


class _Fault:
    """The requested fault, and how often its point has been reached."""

    def __init__(self, wanted: str) -> None:
        self._wanted = wanted
        self._count = 0
        self._lock = threading.Lock()

    def reach(self, point: str) -> None:
        form = _FORM.fullmatch(self._wanted)
        if form is None:
            raise ConfigError(
                f"{VARIABLE}: must be POINT:K:ACTION with POINT any, {', '.join(POINTS)}, K an "
                f"integer from 1, ACTION kill, enospc or eio; got {self._wanted[:60]!r}"
            )
        wanted_point, k, action = form.groups()
        if wanted_point in ("any", point):
            with self._lock:
                self._count += 1
                if self._count != int(k):
                    return
            _fail(action)


def _fail(action: str) -> None:
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    number = {"enospc": errno.ENOSPC, "eio": errno.EIO}[action]
    raise OSError(number, os.strerror(number))


class _Armed:
    """Holds the fault of this process, if there is one."""

    fault: _Fault | None = None


def arm(wanted: str | None) -> None:
    """Restarts the count, as in a process started with this value; None disables the fault."""
    _Armed.fault = _Fault(wanted) if wanted else None


def reach(point: str) -> None:
    """Has to be called before an operation that may fail; does nothing if no fault is set.

    Raises:
        OSError: the requested fault occurs now.
        ConfigError: the variable has an invalid value.
    """
    if _Armed.fault is not None:
        _Armed.fault.reach(point)


arm(os.environ.get(VARIABLE))
