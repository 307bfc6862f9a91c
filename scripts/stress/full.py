"""A disk that becomes full in the middle of training."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from common import LABEL, study_command, write_inputs
from looks import check_end, undisturbed
from measuring import Findings, Options, Row, say, workplace

from jmlp.store import Store

SIZE = "16m"
FULL, AGAIN = "the disk is full: training waits", "there is space again: training continues"
WAITED = 3.0  # seconds without space


def full(options: Options) -> Row:
    """Fills the small file system of the store with a file during training, and later removes it.

    If no file system can be mounted, a single write fails as on a full disk.
    """
    del options
    findings = Findings()
    with workplace() as folder, _small_disk(folder) as disk:
        write_inputs(folder)
        wanted = undisturbed(folder)
        store, log = (disk or folder) / "store", folder / "full.log"
        environ = {} if disk else {"JMLP_FAULT": "write:6:enospc"}
        process = study_command(folder, store, log, **environ)
        waited = 0.0
        if disk:
            waited = _fill(process, store, log, disk / "filler", findings)
        code = process.wait(120)
        text = log.read_text()
        findings.expect(code == 0, f"it ended with code {code}: {text[-300:]}")
        findings.expect(FULL in text, "it was not reported that the disk is full")
        findings.expect(AGAIN in text, "it was not reported that there is space again")
        check_end(store, wanted, findings, "full")
    how = f"a file system of {SIZE} filled for {waited:.1f} s" if disk else "a fault of one write"
    return Row(
        f"disk full in the middle of training ({how})",
        "training waits, says so, continues; the same bytes",
        "waited, said so, continued; all byte-identical" if not findings.found else f"{findings}",
        ok=not findings.found,
    )


def _fill(
    process: "subprocess.Popen[str]", store: Path, log: Path, filler: Path, findings: Findings
) -> float:
    """Fills the disk for a while once training has begun; returns for how many seconds."""
    while not list(store.glob("checkpoints/*/*.safetensors")):
        if process.poll() is not None:
            raise RuntimeError(log.read_text())
        time.sleep(0.02)
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    since = time.monotonic()
    while FULL not in log.read_text() and time.monotonic() - since < 20:
        time.sleep(0.05)
    say(f"full disk reported after {time.monotonic() - since:.1f} s")
    with Store(store, viewer=True) as opened:
        before = opened.last_point()
    time.sleep(WAITED)
    with Store(store, viewer=True) as opened:
        findings.expect(opened.last_point() == before, "it was written to a full disk")
        findings.expect(opened.study(LABEL).state == "running", opened.study(LABEL).state)
    findings.expect(process.poll() is None, "it did not wait")
    filler.unlink()
    return time.monotonic() - since


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[Path | None]:
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    try:
        yield disk if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(disk)], check=False)
