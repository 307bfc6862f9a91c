"""One store in the hands of many processes and threads, and on a disk that fails."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from store_runs import plan, point, result, submission

from jmlp.errors import DiskFullError, StoreError
from jmlp.store import Store, network_file_system, submissions
from jmlp.system import fault_injection
from jmlp.training.plan import Plan
from jmlp.training.records import Progress


def test_another_process_s_change_is_noticed(store: Store) -> None:
    before = store.version()
    assert store.version() == before
    with Store(store.folder) as other:
        other.command("small", "stop")
    assert store.version() != before


def test_a_viewer_sees_what_is_written_while_it_looks(store: Store, made: Plan) -> None:
    with Store(store.folder, viewer=True) as viewer:
        for epoch in range(20):
            store.record("small", [(made.runs[0].run_id, point(epoch))], Progress(epoch=epoch))
            assert len(viewer.points(made.runs[0].run_id)) == epoch + 1


SUBMIT = """
import pathlib, sys
from jmlp.store import Store, submissions
folder = pathlib.Path(sys.argv[1])
(path,) = submissions.paths(folder / "other")
wanted, _ = submissions.read(path)
sys.stdin.read()
Store(folder).submit(wanted)
"""


def test_ten_processes_that_submit_one_study_make_one(tmp_path: Path, made: Plan) -> None:
    submissions.write(tmp_path / "other", submission(made), 0)
    command = [sys.executable, "-c", SUBMIT, str(tmp_path)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(10)]
    for process in processes:  # all of them wait until here
        assert process.stdin is not None
        process.stdin.close()
    assert [process.wait() for process in processes] == [0] * 10
    with Store(tmp_path) as store:
        assert [s.label for s in store.studies()] == ["small"]
        assert [r.run_id for r in store.runs()] == [run.run_id for run in made.runs]
        assert [e.kind for e in store.events()] == ["submitted"]


BUSY = """
import pathlib, sys
from jmlp.store import Store
folder, name, runs = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
with Store(folder) as store, Store(folder, viewer=True) as viewer:
    for number in range(12):
        store.command("small", "resume")
        store.tag(runs[number % len(runs)], f"{name}-{number}")
        viewer.runs("small"), viewer.new_points("small", 0), viewer.events(), viewer.studies()
"""
N_BUSY, N_TIMES = 8, 12


def test_commands_tags_and_reads_of_eight_processes_disturb_no_worker(
    store: Store, made: Plan
) -> None:
    ids = [run.run_id for run in made.runs]
    processes = [
        subprocess.Popen([sys.executable, "-c", BUSY, str(store.folder), f"p{n}", *ids])
        for n in range(N_BUSY)
    ]
    epoch, commands = 0, 0
    while any(process.poll() is None for process in processes):
        store.record("small", [(run_id, point(epoch)) for run_id in ids], Progress(epoch=epoch))
        commands += len(store.take_commands("small"))
        epoch += 1
    commands += len(store.take_commands("small"))
    assert [process.returncode for process in processes] == [0] * N_BUSY
    assert commands == N_BUSY * N_TIMES
    assert sum(len(r.tags) for r in store.runs()) == N_BUSY * N_TIMES
    assert {len(store.points(run_id)) for run_id in ids} == {epoch}
    assert store.damage() == []


def test_a_store_in_another_thread_is_a_connection_of_its_own(store: Store, made: Plan) -> None:
    ids = [run.run_id for run in made.runs]

    def write() -> None:
        with Store(store.folder) as own:
            for epoch in range(30):
                own.record("small", [(ids[0], point(epoch))], None)

    thread = threading.Thread(target=write)
    thread.start()
    for epoch in range(30):
        store.record("small", [(ids[1], point(epoch))], None)
    thread.join()
    assert [len(store.points(run_id)) for run_id in ids[:2]] == [30, 30]


# ---- faults


@pytest.mark.parametrize(("action", "kind"), [("enospc", DiskFullError), ("eio", StoreError)])
def test_a_write_that_fails_at_any_point_leaves_the_store_as_it_was(
    action: str, kind: type[StoreError], store: Store, made: Plan
) -> None:
    run = made.runs[0]
    changes: list[Callable[[], object]] = [
        lambda: store.record("small", [(run.run_id, point(0))], Progress(epoch=0)),
        lambda: store.end("small", [result(run)]),
        lambda: store.tag(run.run_id, "x"),
        lambda: store.submit(submission(plan("other"))),
        lambda: store.remove([made.runs[5].run_id]),
    ]
    for change in changes:
        before = store.studies(), store.runs(), store.events(), store.points(run.run_id)
        for k in range(1, 17):
            fault_injection.arm(f"any:{k}:{action}")
            try:
                change()
            except kind:
                after = store.studies(), store.runs(), store.events(), store.points(run.run_id)
                assert repr(after) == repr(before)
                assert store.damage() == []
            else:
                break
            finally:
                fault_injection.arm(None)
        else:
            pytest.fail("it never succeeds")
        assert k > 1
        assert (store.studies(), store.runs(), store.events()) != before[:3]


MOUNTS = r"""
/dev/sda1 / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/sdb1 /home/local xfs rw 0 0
//server/share /mnt/my\040share cifs rw 0 0
me@host: /mnt/ssh fuse.sshfs rw 0 0
portal /run/user/doc fuse.portal rw 0 0
""".lstrip()


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/tmp/x", None),
        ("/home/me/runs", "nfs4"),
        ("/home", "nfs4"),
        ("/homes/me", None),
        ("/home/local/runs", None),
        ("/mnt/my share/runs", "cifs"),
        ("/mnt/ssh/a/b", "fuse.sshfs"),
        ("/run/user/doc/x", None),
    ],
)
def test_network_file_systems_are_detected_from_the_mount_table(
    folder: str, kind: str | None, tmp_path: Path
) -> None:
    table = tmp_path / "mounts"
    table.write_text(MOUNTS)
    assert network_file_system(Path(folder), table) == kind
    assert network_file_system(Path(folder), tmp_path / "none") is None
