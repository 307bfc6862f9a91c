"""The memory of a long-lived worker: many groups of one study, many studies in its queue."""

import contextlib
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from common import start_worker, write_inputs
from measuring import Findings, Options, Row, say, workplace

from jmlp import data as datasets
from jmlp.client.submitting import default_hardware, submit
from jmlp.store import run_files
from jmlp.study.config import Experiment, Hyperparams, Study
from jmlp.system import environment
from jmlp.training import plan as planning

GROUPS, STUDIES = 100, 50
WARM = 3  # groups, after which a worker has allocated all that it needs
MAX_GROWTH = 5.0  # MB
WINDOW = 10  # groups whose median is compared, because single ones vary by 10 MB
POLL_SECONDS = 0.02


def memory(options: Options) -> Row:
    """Trains a study of 100 groups, and 50 queued studies of one group each."""
    n_groups, n_studies = options.count(GROUPS, 10), options.count(STUDIES, 10)
    findings = Findings()
    with workplace() as folder:
        write_inputs(folder, n_examples=500)
        groups = _grow(folder / "groups", [range(n_groups)], findings)
        studies = _grow(folder / "studies", [range(n, n + 1) for n in range(n_studies)], findings)
        # Both stores have the same runs, trained by different workers after different programs.
        one, other = _numbers(folder / "groups"), _numbers(folder / "studies")
    common = one.keys() & other.keys()
    same = sum(one[run_id] == other[run_id] for run_id in common)
    findings.expect(
        same == min(n_groups, n_studies), f"{same} of {len(common)} runs are the same in both"
    )
    return Row(
        f"memory of a worker after its third group and at the end, medians of {WINDOW} groups: a "
        f"study of {n_groups} groups, and {n_studies} queued studies",
        f"it grows by {MAX_GROWTH:.0f} MB at most; the same bytes in both",
        f"{groups} and {studies}; {same} of {len(common)} runs byte-identical "
        f"({environment.cpu_model()}){findings}",
        ok=not findings.found,
    )


def _grow(store: Path, studies: Sequence[range], findings: Findings) -> str:
    """Measures the growth of a worker's memory while it trains these studies.

    Args:
        store: the store's folder, which is created next to the data.
        studies: the numbers of each study's groups.
        findings: collects problems.
    """
    with contextlib.chdir(store.parent):
        dataset = datasets.load("small.npz")
        for number, groups in enumerate(studies):
            study = _study(f"study-{number}", groups)
            plan = planning.make_plan(study, planning.data_facts(dataset))
            hardware = default_hardware()
            submit(store, study.name, plan, dataset, hardware, lambda _: None, command="stress")
    log = store.with_suffix(".log")
    peaks = _peaks(start_worker(store, log), store)
    n_groups = sum(map(len, studies))
    if not findings.expect(
        max(peaks, default=0) == n_groups, f"{store.name}: {log.read_text()[-300:]}"
    ):
        return "did not end"
    window = min(WINDOW, (n_groups - WARM) // 2)
    before = statistics.median(peaks.get(WARM + n, 0.0) for n in range(window))
    after = statistics.median(peaks.get(n_groups - n, 0.0) for n in range(1, window + 1))
    say(f"{store.name}: " + ", ".join(f"{peak:.0f}" for _, peak in sorted(peaks.items())))
    findings.expect(after - before <= MAX_GROWTH, f"{store.name}: {before:.1f} → {after:.1f} MB")
    return f"{before:.1f} → {after:.1f} MB"


def _study(name: str, groups: range) -> Study:
    """A study whose groups have networks of different sizes, so that each has to be compiled."""
    base = Hyperparams(batch_size=16, learning_rate=0.05, epochs=2, hidden=(groups[0] + 4, 3))
    sizes = tuple((number + 4, 3) for number in groups)
    experiment = Experiment("sizes", base, {"hidden": sizes}, (0,), {"hidden": sizes[0]})
    return Study(name, (experiment,), data="small.npz")


def _peaks(process: "subprocess.Popen[str]", store: Path) -> dict[int, float]:
    """Polls a worker until it ends: its peak memory in MB, by the number of runs on disk."""
    peaks: dict[int, float] = {}
    while process.poll() is None:
        done = len(list((store / "runs").glob("*.safetensors")))
        with contextlib.suppress(OSError, IndexError):  # it may just have ended
            status = Path(f"/proc/{process.pid}/status").read_text()
            kilobytes = int(status.partition("VmRSS:")[2].split()[0])
            peaks[done] = max(peaks.get(done, 0.0), kilobytes / 1024)
        time.sleep(POLL_SECONDS)
    return peaks


def _numbers(store: Path) -> dict[str, str]:
    """The digest of the numbers of each run."""
    paths = (store / "runs").glob("*.safetensors")
    return {path.stem: run_files.numbers_of(run_files.read(path)) for path in paths}
