"""Streams that cannot be written to: what was asked for is done, and only the words are lost."""

import errno
import io
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest
from commands import Here, python

from jmlp.client import workers
from jmlp.errors import StoreError
from jmlp.system import processes, streams

NO_FULL = not os.path.exists("/dev/full")


def full() -> int:
    return os.open("/dev/full", os.O_WRONLY)


def without_reader() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def hung_up() -> int:
    terminal, own = os.openpty()
    os.close(terminal)
    return own


def for_reading() -> int:
    return os.open(os.devnull, os.O_RDONLY)


BROKEN = [
    pytest.param(full, errno.ENOSPC, marks=pytest.mark.skipif(NO_FULL, reason="no /dev/full")),
    (without_reader, errno.EPIPE),
    (hung_up, errno.EIO),
    (for_reading, errno.EBADF),
]
EACH_BROKEN = pytest.mark.parametrize(("broken", "number"), BROKEN)


Replace = Callable[[str, int], None]


@pytest.fixture
def replace(monkeypatch: pytest.MonkeyPatch) -> Iterator[Replace]:
    """Makes a descriptor the stream that the process was started with, until the test ends."""
    descriptors = []

    def replaced(name: str, descriptor: int) -> None:
        descriptors.append(descriptor)
        raw = io.FileIO(descriptor, "w", closefd=False)
        stream = io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8")
        monkeypatch.setattr(sys, name, stream)
        monkeypatch.setattr(sys, f"__{name}__", stream)

    yield replaced
    for descriptor in descriptors:
        os.close(descriptor)


@EACH_BROKEN
def test_writing_to_a_broken_stream_never_fails_and_its_failure_is_remembered(
    broken: Callable[[], int], number: int, replace: Replace
) -> None:
    replace("stdout", broken())
    streams.make_safe()
    streams.make_safe()  # what is safe already stays as it is
    print("a line", flush=True)
    print("x" * 100_000)
    failure = streams.failure(sys.stdout)
    assert failure is not None
    assert failure.errno == number
    print("more")
    assert streams.failure(sys.stdout) is failure


@EACH_BROKEN
def test_traceback_on_a_broken_stderr_never_fails(
    broken: Callable[[], int], number: int, replace: Replace
) -> None:
    del number
    replace("stderr", broken())
    streams.make_safe()
    try:
        raise ValueError
    except ValueError:
        traceback.print_exc()
    assert streams.failure(sys.stderr) is not None


def test_pipe_that_does_not_block_gets_every_byte(replace: Replace) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    replace("stdout", writer)
    streams.make_safe()
    text, got = "0123456789" * 100_000, []
    with open(reader, encoding="utf-8") as file:
        thread = threading.Thread(target=lambda: got.append(file.read(len(text))))
        thread.start()
        print(text, end="", flush=True)
        thread.join()
    assert got == [text]
    assert streams.failure(sys.stdout) is None


def results_of(folder: Path) -> list[str]:
    """The lines of a report's results that hold runs."""
    return (folder / "results.json").read_text(encoding="utf-8").splitlines()[-7:]


@pytest.mark.parametrize(("broken", "code"), [(without_reader, 141), (hung_up, 4)])
def test_study_with_broken_streams_writes_its_whole_report_and_ends_with_141_or_4(
    broken: Callable[[], int], code: int, here: Here, replace: Replace
) -> None:
    assert here("study", "small.toml", "--output", "undisturbed").code == 0
    replace("stdout", broken())
    done = here("study", "small.toml", "--output", "report")
    files = {path.name for path in Path("undisturbed").rglob("*")}
    assert {path.name for path in Path("report").rglob("*")} == files
    assert results_of(Path("report")) == results_of(Path("undisturbed"))
    said = "report: report/report.html\n"
    if code == 4:
        said += f"jmlp: error: the output cannot be written: {os.strerror(errno.EIO)}\n"
    assert done.code == code
    assert done.err.endswith(said)


def test_network_is_saved_and_the_exit_code_is_kept_without_output(
    here: Here, replace: Replace
) -> None:
    replace("stderr", hung_up())
    line = ["train", "--data", "small.npz", "--epochs", "2", "--force", "--save", "net"]
    assert here(*line).code == 0
    assert Path("net").exists()
    replace("stdout", hung_up())
    Path("net").unlink()
    assert here(*line).code == 4
    assert Path("net").exists()


def test_code_of_the_work_comes_before_that_of_the_output(here: Here, replace: Replace) -> None:
    (here.folder / "store").mkdir()
    (here.folder / "store" / "store.sqlite").write_bytes(b"no database, and a problem to print")
    replace("stdout", without_reader())
    assert here("store", "check").code == 4


@pytest.mark.skipif(NO_FULL, reason="no /dev/full")
def test_study_whose_words_and_log_find_a_full_disk_is_trained_and_reported(here: Here) -> None:
    (here.folder / "store" / "logs").mkdir(parents=True)
    (here.folder / "store" / "logs" / "worker.log").symlink_to("/dev/full")
    line = "import os, sys; os.dup2(os.open('/dev/full', 1), 2); "
    line += "from jmlp.cli import main; sys.exit(main())"
    arguments = ["study", "small.toml", "--output", "report", "--cores", "1"]
    done = python("-c", line, *arguments, cwd=here.folder)
    assert (done.code, done.err) == (0, "")
    assert Path("report/report.html").exists()


def test_worker_is_started_where_a_full_disk_has_no_room_for_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    def start(*arguments: str, stderr: IO[str], **_: object) -> None:
        print("a line", file=stderr, flush=True)
        started.append(arguments)

    def no_space(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(processes, "start", start)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", no_space)
        workers.start_worker(tmp_path, None)
    assert started == [("-m", "jmlp.worker", str(tmp_path))]


def test_log_that_is_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    log = workers.log_path(tmp_path)
    log.parent.mkdir()
    os.mkfifo(log)
    with pytest.raises(StoreError, match=r"worker\.log: cannot be written: "):
        workers.start_worker(tmp_path, None)


def test_closed_descriptors_are_never_those_of_a_file(tmp_path: Path) -> None:
    line = "import os, sys; os.closerange(0, 3); from jmlp.system.streams import *; make_safe(); "
    line += f"sys.exit(open({str(tmp_path / 'file')!r}, 'w').fileno())"
    assert python("-c", line, cwd=tmp_path).code == 3
