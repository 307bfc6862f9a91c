"""The store of runs: the only thing that a worker and the processes that watch it share.

Only the worker writes training state, and it holds the store's lock while it does. Any other
process may submit a study, send a command, tag and untag. A `Store` belongs to one thread.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from jmlp.errors import StoreError
from jmlp.results.serialization import progress_table
from jmlp.store import removals, submissions, tag_file
from jmlp.store.database import Database
from jmlp.store.finding import ALL, LAST, Finding
from jmlp.store.rows import Submission, end_of, point_values, to_json
from jmlp.store.states import (
    ACTIONS,
    RUN_ENDED,
    RUN_STATES,
    STUDY_STATES,
    Action,
    RunState,
    StudyState,
)
from jmlp.store.writing import INSERT_POINT, end_run, insert_event, set_position
from jmlp.study.rules import plain, shown
from jmlp.system.clock import now
from jmlp.training.records import CostPoint, Progress, RunResult

_NO_RESULT = "record = NULL, ended_at = NULL, digest = NULL"


class Store(Finding):
    """A folder with the database of runs, their files and checkpoints."""

    def __init__(self, folder: Path, *, viewer: bool = False) -> None:
        """Opens a store, and creates it if there is none.

        Args:
            folder: the store's folder.
            viewer: open it read-only, and never create it.

        Raises:
            StoreError: there is none to view, or it cannot be used: see `Database`.
        """
        super().__init__(folder, Database(folder, viewer=viewer))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection to the database."""
        self._database.close()

    # ---- any process

    def submit(self, submission: Submission) -> None:
        """Puts a study and its runs into the queue; submitting it again changes nothing.

        Completed runs stay as they are, unless the submission is `fresh`: then all of them are
        queued again, and no worker may be training them. If the label now names another study, runs
        that are no longer in its plan are removed from the study, but stay in the store.

        Raises:
            StoreError: it was not submitted.
        """
        at, is_done = now(), False
        while not is_done:
            # Runs that are being deleted must be gone before they are submitted again.
            self.finish_removal()
            with self._database.transaction() as connection:
                is_done = not removals.is_pending(self.folder)
                if is_done:
                    submissions.insert(connection, submission, at)
                    submissions.write(self.folder, submission, at)

    def command(self, label: str, action: Action) -> None:
        """Queues a command for the worker of a study.

        Raises:
            StoreError: there is no such study, or no such command.
        """
        _check_choice(action, ACTIONS)
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO commands (study, action) VALUES (?, ?)",
                (self.study(label).id, action),
            )

    def tag(self, run_id: str, tag: str) -> None:
        """Adds a tag, any text, to a run; adding it again changes nothing.

        Raises:
            StoreError: there is no such run, or `find_runs` gives the text another meaning.
        """
        if tag in ("", ALL, LAST):
            raise StoreError(f"{plain(tag)}: cannot be a tag: no run could be found by it")
        self._change_tags("INSERT OR IGNORE INTO tags (run, tag) VALUES (?, ?)", run_id, tag)

    def untag(self, run_id: str, tag: str) -> None:
        """Removes a tag from a run.

        Raises:
            StoreError: there is no such run, or it does not have the tag.
        """
        if not self._change_tags("DELETE FROM tags WHERE run = ? AND tag = ?", run_id, tag):
            tags = ", ".join(map(plain, self.run(run_id).tags)) or "none"
            raise StoreError(f"{plain(run_id)}: has no tag {plain(tag)}; its tags: {tags}")

    # ---- the worker

    def take_commands(self, label: str) -> list[Action]:
        """Returns the commands queued for a study, oldest first, and deletes them.

        Raises:
            StoreError: there is no such study.
        """
        study = self.study(label).id
        if not self._database.read("SELECT 1 FROM commands WHERE study = ? LIMIT 1", (study,)):
            return []
        with self._database.transaction() as connection:
            rows = connection.execute(
                "DELETE FROM commands WHERE study = ? RETURNING id, action", (study,)
            ).fetchall()
        return [action for _, action in sorted(rows)]

    def set_study(
        self,
        label: str,
        state: StudyState,
        *,
        code: int | None = None,
        failure: str | None = None,
        event: str | None = None,
        detail: str = "",
    ) -> None:
        """Sets the state of a study.

        Args:
            label: the study's label.
            state: its new state.
            code: the exit code that it ended with.
            failure: why it failed.
            event: the kind of event to record with it.
            detail: the detail of that event.

        Raises:
            StoreError: there is no such study.
        """
        _check_choice(state, STUDY_STATES)
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE studies SET state = ?, code = ?, failure = ? WHERE id = ?",
                (state, code, failure, self.study(label).id),
            )
            if event is not None:
                insert_event(connection, now(), label, None, event, detail=detail)

    def event(
        self, label: str, run_id: str | None, kind: str, step: int | None = None, detail: str = ""
    ) -> None:
        """Records something that happened to a study, or to a run in it.

        Raises:
            StoreError: it was not recorded.
        """
        with self._database.transaction() as connection:
            insert_event(connection, now(), label, run_id, kind, step, detail)

    def begin(self, label: str, run_ids: Iterable[str], step: int = 0) -> None:
        """Records that training of these runs begins, or resumes after `step` updates.

        Raises:
            StoreError: there is no such run.
        """
        kind = "resumed" if step else "started"
        with self._database.transaction() as connection:
            for run_id in run_ids:
                connection.execute(
                    f"UPDATE runs SET state = 'running', code = NULL, failure = NULL, {_NO_RESULT}"
                    " WHERE number = ?",
                    (self._number(run_id),),
                )
                insert_event(connection, now(), label, run_id, kind, step)

    def record(
        self,
        label: str,
        points: Sequence[tuple[str, CostPoint]],
        progress: Progress | None,
    ) -> None:
        """Stores new cost points, and the study's progress (None leaves it unchanged).

        Raises:
            StoreError: there is no such study or run.
        """
        with self._database.transaction() as connection:
            for run_id, point in points:
                number = self._number(run_id)
                connection.execute(INSERT_POINT, (number, *point_values(point)))
                set_position(connection, number)
            if progress is not None:
                connection.execute(
                    "UPDATE studies SET progress = ? WHERE id = ?",
                    (to_json(progress_table(progress, points=False)), self.study(label).id),
                )

    def cut(self, run_id: str, n_points: int) -> None:
        """Deletes all but the first `n_points` cost points of a run, as it will record them again.

        Raises:
            StoreError: there is no such run.
        """
        with self._database.transaction() as connection:
            number = self._number(run_id)
            connection.execute(
                "DELETE FROM points WHERE run = ?1 AND id NOT IN"
                " (SELECT id FROM points WHERE run = ?1 ORDER BY epoch LIMIT ?2)",
                (number, n_points),
            )
            set_position(connection, number)

    def end(self, label: str, results: Sequence[RunResult]) -> None:
        """Stores the states, records, cost points and events of completed runs, all or nothing.

        Raises:
            StoreError: there is no such run.
        """
        at = now()
        with self._database.transaction() as connection:
            for result in results:
                number = self._number(result.run_id)
                end_run(connection, number, result, at)
                kind, step = end_of(result)
                insert_event(connection, at, label, result.run_id, kind, step)

    def fail(self, label: str, run_ids: Iterable[str], code: int, message: str) -> None:
        """Records that runs could not be trained.

        Args:
            label: the study's label.
            run_ids: the runs.
            code: the exit code of the failure.
            message: what went wrong.

        Raises:
            StoreError: there is no such run.
        """
        with self._database.transaction() as connection:
            for run_id in run_ids:
                connection.execute(
                    f"UPDATE runs SET state = 'failed', code = ?, failure = ?, {_NO_RESULT}"
                    " WHERE number = ?",
                    (code, message, self._number(run_id)),
                )
                insert_event(connection, now(), label, run_id, "failed", detail=message)

    def set_runs(self, run_ids: Iterable[str], state: RunState) -> None:
        """Sets the state of runs, and discards their results, if they have any.

        Raises:
            StoreError: there is no such run, or only `end` may set this state.
        """
        _check_choice(state, [s for s in RUN_STATES if s not in RUN_ENDED])
        with self._database.transaction() as connection:
            for run_id in run_ids:
                connection.execute(
                    f"UPDATE runs SET state = ?, {_NO_RESULT} WHERE number = ?",
                    (state, self._number(run_id)),
                )

    def remove(self, run_ids: Iterable[str]) -> None:
        """Deletes runs and their files permanently. The caller holds the store's lock.

        If the process is killed midway, `finish_removal` completes the deletion.

        Raises:
            StoreError: there is no such run, and none was deleted; or a file could not be deleted.
        """
        run_ids = list(run_ids)
        self.finish_removal()
        try:
            with self._database.transaction() as connection:
                for run_id in run_ids:
                    self._number(run_id)
                removals.begin(self.folder, run_ids)
                self._delete(connection, run_ids)
        except BaseException:
            removals.cancel(self.folder)
            raise
        removals.finish(self.folder, run_ids)

    def finish_removal(self) -> None:
        """Completes a deletion of runs that was killed midway.

        Raises:
            StoreError: it cannot be completed.
        """
        if not removals.is_pending(self.folder):
            return
        with self._database.transaction() as connection:
            # Read within the transaction: a concurrent deletion has committed by then.
            run_ids = removals.pending(self.folder)
            self._delete(connection, run_ids)
        if run_ids:
            removals.finish(self.folder, run_ids)

    # ---- parts

    def _delete(self, connection: sqlite3.Connection, run_ids: Sequence[str]) -> None:
        """Deletes everything of runs except their files."""
        values = [(run_id,) for run_id in run_ids]
        connection.executemany("DELETE FROM runs WHERE run_id = ?", values)
        connection.executemany("DELETE FROM events WHERE run_id = ?", values)
        tag_file.write(self.folder, self._tags())

    def _change_tags(self, sql: str, run_id: str, tag: str) -> bool:
        with self._database.transaction() as connection:
            changed = connection.execute(sql, (self._number(run_id), tag)).rowcount > 0
            if changed:
                tag_file.write(self.folder, self._tags())
        return changed

    def _tags(self) -> list[tuple[str, str]]:
        return [(run_id, tag) for run_id, tag in self._database.read(tag_file.OF_DATABASE)]


def _check_choice(value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise StoreError(f"{shown(value)}: must be one of {', '.join(choices)}")
