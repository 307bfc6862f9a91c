"""Studies in a queue, and a worker that a test disturbs at a moment of its choice."""

from collections.abc import Callable
from pathlib import Path

import pytest
from commands import STUDY, Here, Inline, disturb

from jmlp.cli import main
from jmlp.client import workers
from jmlp.store import Store, StudyRow, run_files
from jmlp.training.records import Progress
from jmlp.worker import __main__ as worker
from jmlp.worker import full_disk, recorder


class Queue:
    """A store with studies in its queue, and a worker that is called by the tests."""

    def __init__(self, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
        self.here, self.folder = here, here.folder / "store"
        self._patch = monkeypatch
        monkeypatch.setattr(worker, "LOCK_SECONDS", 0.0)
        for module in (full_disk, recorder):
            monkeypatch.setattr(module, "RETRY_SECONDS", 0.001)

    def submit(self, *options: str) -> None:
        """Puts `small.toml` into the queue, and nothing more."""
        with self._patch.context() as patch:
            patch.setattr(workers, "detach", lambda folder, label: 0)
            done = self.here("study", "small.toml", *options, "--detach", "--quiet")
        assert done == (0, "", "")

    def train(self, label: str | None = "small", after: str = "") -> Inline:
        """Starts a worker, which works until it ends."""
        return Inline(self.folder, label, after)

    def disturbed(self, hook: Callable[[Progress], object], label: str | None = "small") -> Inline:
        """Starts a worker that calls the hook on all progress."""
        with self._patch.context() as patch:
            disturb(patch, hook)
            return self.train(label)

    def store(self) -> Store:
        return Store(self.folder)

    def study(self, label: str = "small") -> StudyRow:
        with self.store() as store:
            return store.study(label)

    def states(self, label: str = "small") -> list[str]:
        """Of its runs, in the plan's order."""
        with self.store() as store:
            return [run.state for run in store.runs(label)]

    def kinds(self, label: str = "small") -> list[str]:
        """Of the study's own events."""
        with self.store() as store:
            return [event.kind for event in store.events(label=label) if event.run_id is None]

    def path(self, seed: int = 0, **hyperparams: object) -> Path:
        """The file of a run."""
        with self.store() as store:
            for run in store.runs():
                found = {name: getattr(run.hyperparams, name) for name in hyperparams}
                if (run.seed, found) == (seed, hyperparams):
                    return run_files.path_of(self.folder, run.run_id)
        raise AssertionError("there is no such run")

    def checkpoints(self) -> list[Path]:
        return sorted((self.folder / "checkpoints").rglob("*.safetensors"))


def numbers(folder: Path) -> dict[str, str]:
    """The digest of the numbers of every run that ended."""
    files = sorted((folder / "runs").iterdir())
    return {path.stem: run_files.read(path).about["numbers"] for path in files}


def numbers_undisturbed(folder: Path, study: str = STUDY) -> dict[str, str]:
    """The numbers of `small.toml`, or of another study in its place, when nothing happens."""
    with pytest.MonkeyPatch.context() as patch:
        here = Here(folder, None, patch)
        (folder / "small.toml").write_text(study, encoding="utf-8")
        patch.setattr(workers, "detach", lambda folder, label: 0)
        assert main(["study", "small.toml", "--detach", "--quiet"]) == 0
        assert Inline(here.folder / "store", "small").returncode == 0
    return numbers(here.folder / "store")


def once(action: Callable[[], object], when: Callable[[Progress], bool]) -> Callable[..., None]:
    """A hook that acts the first time that something holds."""
    waits = [True]

    def hook(progress: Progress) -> None:
        if waits[0] and when(progress):
            waits[0] = False
            action()

    return hook


def trains(progress: Progress) -> bool:
    """Whether the first group is in its second epoch."""
    return progress.phase == "training" and progress.group == 1 and progress.epoch >= 2


def ask(reason: int) -> None:
    Inline.asked.reason = reason


def command(queue: Queue, action: str) -> None:
    """Leaves a command for the worker."""
    with queue.store() as store:
        store.command("small", action)  # type: ignore[arg-type]
