"""Actions on the selected runs: tagging, deletion and export."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from run_lines import PLAN, ids, opened, screen, typed
from store_runs import fill
from textual.pilot import Pilot
from tui_pilot import drive, until, until_shown

from jmlp.store import Lock, Store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store of six runs: the first diverged, the last has not ended."""
    fill(tmp_path / "store", PLAN, n_left=1)
    return tmp_path / "store"


# ---- tags


def tags(folder: Path) -> dict[str, Sequence[str]]:
    """Returns the tags of the tagged runs by their short ids."""
    with Store(folder, viewer=True) as store:
        return {row.run_id[:8]: row.tags for row in store.runs() if row.tags}


def test_tag_is_added_to_the_selected_runs_and_removed_with_a_minus(folder: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await opened(pilot)
        await pilot.press("x", "x", "g")
        await until_shown(pilot, "Tag 2 runs")
        await typed(pilot, "best of all")
        await pilot.press("enter")
        await until_shown(pilot, "best of all: added to 2 runs")
        assert tags(folder) == dict.fromkeys(ids()[:2], ("best of all",))
        await until(pilot, lambda: screen(pilot).shown[0].tags)
        await pilot.press("X", "g")
        await until_shown(pilot, "Tags now: best of all")
        await typed(pilot, "-best of all")
        await pilot.press("enter")
        await until_shown(pilot, "best of all: removed from 2 runs")
        assert tags(folder) == {}

    drive(folder, steps)


def test_tag_that_could_not_be_found_again_is_refused(folder: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await opened(pilot)
        for tag, error in (
            ("all", "all: cannot be a tag: no run"),
            ("-best", "best: none of 1 run has this tag"),
        ):
            await pilot.press("g")
            await until_shown(pilot, "Tag run")
            await typed(pilot, tag)
            await pilot.press("enter")
            await until_shown(pilot, error)

    drive(folder, steps)


# ---- deletion


def remaining(folder: Path) -> list[str]:
    """Returns the ids of the runs in the store."""
    with Store(folder, viewer=True) as store:
        return [row.run_id[:8] for row in store.runs()]


def test_runs_are_deleted_after_a_confirmation_that_counts_them(folder: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await opened(pilot)
        await pilot.press("x", "x", "delete")
        await until_shown(pilot, "Delete 2 runs for good")
        await pilot.press("n")
        assert remaining(folder) == ids()
        await pilot.press("slash")
        await typed(pilot, ids()[1])
        await pilot.press("enter", "delete")
        await until_shown(pilot, "The filter hides 1 of them")
        await pilot.press("y")
        await until_shown(pilot, "deleted 2 runs")
        assert remaining(folder) == ids()[2:]
        await until(pilot, lambda: not screen(pilot).selected)

    drive(folder, steps)


def test_runs_are_not_deleted_while_a_worker_holds_the_store(folder: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await opened(pilot)
        lock = Lock(folder)
        assert lock.acquire()
        try:
            await pilot.press("delete", "y")
            await until_shown(pilot, "runs are being trained")
        finally:
            lock.release()
        assert remaining(folder) == ids()

    drive(folder, steps)


def test_in_a_browser_deletion_is_confirmed_twice(folder: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await opened(pilot)
        for again in ("n", "y"):
            await pilot.press("delete", "y")
            await until_shown(pilot, f"Really delete run {ids()[0]}? This cannot")
            assert remaining(folder) == ids()
            await pilot.press(again)
        await until_shown(pilot, "deleted 1 run")
        assert remaining(folder) == ids()[1:]

    drive(folder, steps, served=True)


# ---- export


def test_runs_are_exported_and_an_existing_file_is_replaced_only_after_confirmation(
    folder: Path, tmp_path: Path
) -> None:
    target = tmp_path / "here" / "runs.json"
    target.parent.mkdir()
    target.write_text("mine")

    async def steps(pilot: Pilot[int]) -> None:
        await opened(pilot)
        await pilot.press("X")
        for answer in ("n", "y"):
            await pilot.press("w", "enter")
            await until_shown(pilot, "Write 6 runs as json")
            await typed(pilot, str(target))
            await pilot.press("enter")
            await until_shown(pilot, "exists. Replace it?")
            assert target.read_text() == "mine"
            await pilot.press(answer)
        await until(pilot, lambda: target.read_text() != "mine")
        await until_shown(pilot, "left out: 1 run not ended")

    drive(folder, steps, size=(120, 30))
    exported = json.loads(target.read_text())["runs"]
    assert [run["run_id"][:8] for run in exported] == ids()[:5]


def test_failed_export_is_reported(folder: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await opened(pilot)
        await pilot.press("end", "w", "enter")
        await until_shown(pilot, f"Write run {ids()[5]} as json")
        await typed(pilot, str(folder / "out.json"))
        await pilot.press("enter")
        await until_shown(pilot, "nothing to export: none of 1 run has ended")

    drive(folder, steps, size=(120, 30))


def test_in_a_browser_exports_go_into_a_folder_of_the_store_under_new_names(folder: Path) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await opened(pilot)
        for name in ("runs.csv", "runs-2.csv"):
            await pilot.press("w", "down", "enter")
            await until(pilot, (folder / "exports" / name).exists)

    drive(folder, steps, served=True)
    assert sorted(path.name for path in (folder / "exports").iterdir()) == [
        *("runs-2.csv", "runs.csv")
    ]
