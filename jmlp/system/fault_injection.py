"""A hook for tests: `JMLP_FAULT=fsync:3:eio` makes the third flush of this process fail.

The value is POINT:K:ACTION. The K-th time that the process reaches POINT ("any": each of them
counts), ACTION happens in place of the thing itself: "kill" ends the process as SIGKILL does,
"enospc" and "eio" raise the error of a full disk and of a broken one. It never happens again.
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
    """What was asked for, and how often its point was reached."""

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
    """The fault of this process, if any."""

    fault: _Fault | None = None


def arm(wanted: str | None) -> None:
    """Counts from the start again, as a process started with this value does; None: no fault."""
    _Armed.fault = _Fault(wanted) if wanted else None


def reach(point: str) -> None:
    """To be called before something that may fail. Without the variable it does nothing.

    Raises:
        OSError: this is the time that was asked for.
        ConfigError: the variable has another form.
    """
    if _Armed.fault is not None:
        _Armed.fault.reach(point)


arm(os.environ.get(VARIABLE))
