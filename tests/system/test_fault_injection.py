"""The hook that makes the disk fail: exactly once, exactly where it was asked to."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from jmlp.errors import ConfigError
from jmlp.system import fault_injection


def failures(wanted: str | None, points: str) -> list[int]:
    """Which of these points fail, counted from 1; and with what."""
    fault_injection.arm(wanted)
    failed = []
    for number, point in enumerate(points.split(), start=1):
        try:
            fault_injection.reach(point)
        except OSError:
            failed.append(number)
    return failed


@pytest.mark.parametrize(
    ("wanted", "failed"),
    [
        (None, []),
        ("", []),
        ("write:1:eio", [1]),
        ("fsync:2:eio", [5]),
        ("any:3:eio", [3]),
        ("commit:1:eio", []),
        ("write:9:eio", []),
    ],
)
def test_the_kth_time_alone_fails(wanted: str | None, failed: list[int]) -> None:
    assert failures(wanted, "write fsync rename write fsync rename") == failed


def test_arming_counts_from_the_start_again() -> None:
    assert failures("write:2:eio", "write") == []
    assert failures("write:2:eio", "write") == []


@pytest.mark.parametrize(("action", "number"), [("enospc", errno.ENOSPC), ("eio", errno.EIO)])
def test_the_error_is_that_of_the_system(action: str, number: int) -> None:
    fault_injection.arm(f"rename:1:{action}")
    with pytest.raises(OSError) as error:  # noqa: PT011 - its number is what matters
        fault_injection.reach("rename")
    assert (error.value.errno, error.value.strerror) == (number, os.strerror(number))


@pytest.mark.parametrize(
    "wanted", ["write", "write:0:eio", "write:1:eio ", "wrote:1:eio", "write:1:die", "write:x:eio"]
)
def test_a_value_of_another_form_is_reported_and_not_ignored(wanted: str) -> None:
    fault_injection.arm(wanted)
    with pytest.raises(ConfigError) as error:
        fault_injection.reach("commit")
    assert str(error.value) == (
        "JMLP_FAULT: must be POINT:K:ACTION with POINT any, write, fsync, rename, folder, commit, "
        f"K an integer from 1, ACTION kill, enospc or eio; got {wanted!r}"
    )


def test_the_variable_of_the_environment_kills_at_its_point() -> None:
    code = "from jmlp.system.fault_injection import reach\n"
    code += "for _ in 'abc': reach('write'); print(_, flush=True)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"JMLP_FAULT": "write:3:kill"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, b"a\nb\n")
