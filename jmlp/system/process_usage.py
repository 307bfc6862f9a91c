"""What the operating system says of another process of this machine: its memory and its cores."""

import contextlib
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

SECONDS = 2.0  # between two looks at a process, over which its use of the cores is measured
PS_SECONDS = 1.0  # that `ps` may take
_PROC = Path("/proc")


@dataclass(frozen=True)
class Usage:
    """What a process uses; None is not known."""

    memory: int | None = None  # resident, bytes
    cores: float | None = None  # seconds of CPU time per second, over the last `SECONDS`


class UsageMeter:
    """Looks at one process again and again, at most every `SECONDS`."""

    def __init__(self, pid: int) -> None:
        """Looks at nothing yet.

        Args:
            pid: the process id, of this machine.
        """
        self.pid = pid
        self._usage = Usage()
        self._looked: float | None = None  # on the monotonic clock
        self._cpu: float | None = None  # seconds of CPU time then

    def usage(self) -> Usage:
        """What the process uses now; the cores are known from the second look on."""
        now = time.monotonic()
        if self._looked is not None and now - self._looked < SECONDS:
            return self._usage
        found = _of_linux(self.pid) if _PROC.joinpath("self").exists() else _of_ps(self.pid)
        memory, cpu = found or (None, None)
        cores = None
        if cpu is not None and self._cpu is not None and self._looked is not None:
            cores = max(0.0, cpu - self._cpu) / (now - self._looked)
        self._usage, self._looked, self._cpu = Usage(memory, cores), now, cpu
        return self._usage


def _of_linux(pid: int) -> tuple[int, float] | None:
    """Resident bytes and seconds of CPU time from `/proc`; None if there is no such process."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        # The second field, the name in parentheses, may contain spaces and parentheses.
        fields = stat.rpartition(")")[2].split()
        user, system, pages = int(fields[11]), int(fields[12]), int(fields[21])
        return pages * os.sysconf("SC_PAGE_SIZE"), (user + system) / os.sysconf("SC_CLK_TCK")
    return None


def _of_ps(pid: int) -> tuple[int, float] | None:
    """The same from `ps`, on systems without `/proc`."""
    with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
        done = subprocess.run(
            ["ps", "-o", "rss=,time=", "-p", str(pid)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PS_SECONDS,
            check=True,
        )
        kilobytes, cpu = done.stdout.split()
        return int(kilobytes) * 1024, cpu_seconds(cpu)
    return None


def cpu_seconds(text: str) -> float:
    """Seconds of a CPU time as `ps` prints it: `1:02.50`, `2:01:02.50`, `1-02:01:02`.

    Raises:
        ValueError: it is no time.
    """
    days, _, time_of_day = text.rpartition("-")
    seconds = 0.0
    for part in time_of_day.split(":"):
        seconds = 60 * seconds + float(part)
    return 86400 * int(days or 0) + seconds
