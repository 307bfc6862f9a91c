"""The store of runs: the only thing that a trainer and those who watch it share.

The worker alone writes training state, and holds the store's lock meanwhile. Any other process may
submit a study, leave a command, tag and untag. A `Store` belongs to one thread.
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
from jmlp.store.rows import Submission, end_of, now, point_values, to_json
from jmlp.store.states import (
    ACTIONS,
    RUN_ENDED,
    RUN_STATES,
    STUDY_STATES,
    Action,
    RunState,
    StudyState,
)
from jmlp.store.writing import INSERT_POINT, end_run, insert_event, set_place
from jmlp.study.rules import plain, shown
from jmlp.training.records import CostPoint, Progress, RunResult

_NO_RESULT = "record = NULL, ended_at = NULL, digest = NULL"


class Store(Finding):
    """A folder with the database of runs, their files and checkpoints."""

    def __init__(self, folder: Path, *, viewer: bool = False) -> None:
        """Opens a store, and makes it where there is none.

        Args:
            folder: of the store.
            viewer: nothing will be changed; then none is made.

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
        """Ends the connection to the database."""
        self._database.close()

    # ---- any process

    def submit(self, submission: Submission) -> None:
        """Puts a study and its runs into the queue; the same once more changes nothing.

        Runs that ended stay as they are, save `fresh`: then all of them are queued anew, and no
        worker may be training them. A label that means another study from now on loses the runs
        that are not in its plan any more; they stay in the store.

        Raises:
            StoreError: it was not submitted.
        """
        at, is_done = now(), False
        while not is_done:
            # What is being deleted must be gone before it is wanted again.
            self.finish_removal()
            with self._database.transaction() as connection:
                is_done = not removals.is_pending(self.folder)
                if is_done:
                    submissions.insert(connection, submission, at)
                    submissions.write(self.folder, submission, at)

    def command(self, label: str, action: Action) -> None:
        """Leaves a command for the worker of a study.

        Raises:
            StoreError: there is no such study, or no such command.
        """
        _check_word(action, ACTIONS)
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO commands (study, action) VALUES (?, ?)",
                (self.study(label).id, action),
            )

    def tag(self, run_id: str, tag: str) -> None:
        """Marks a run with a text of any kind; a second time changes nothing.

        Raises:
            StoreError: there is no such run, or the tag could not be found again.
        """
        if tag in ("", ALL, LAST):
            raise StoreError(f"{plain(tag)}: cannot be a tag: no run could be found by it")
        self._change_tags("INSERT OR IGNORE INTO tags (run, tag) VALUES (?, ?)", run_id, tag)

    def untag(self, run_id: str, tag: str) -> None:
        """Takes a mark off a run.

        Raises:
            StoreError: there is no such run, or it does not bear the tag.
        """
        if not self._change_tags("DELETE FROM tags WHERE run = ? AND tag = ?", run_id, tag):
            tags = ", ".join(map(plain, self.run(run_id).tags)) or "none"
            raise StoreError(f"{plain(run_id)}: has no tag {plain(tag)}; its tags: {tags}")

    # ---- the worker

    def take_commands(self, label: str) -> list[Action]:
        """The commands left for a study, oldest first; they are gone then.

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
        """Says how a study stands.

        Args:
            label: the study.
            state: from now on.
            code: the exit code that it ended with.
            failure: why it failed.
            event: the kind of event to record with it.
            detail: of the event.

        Raises:
            StoreError: there is no such study.
        """
        _check_word(state, STUDY_STATES)
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
        """Training of these runs begins, or resumes after `step` updates.

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
        """Keeps new cost points, and how far the study is (None: as before).

        Raises:
            StoreError: there is no such study or run.
        """
        with self._database.transaction() as connection:
            for run_id, point in points:
                number = self._number(run_id)
                connection.execute(INSERT_POINT, (number, *point_values(point)))
                set_place(connection, number)
            if progress is not None:
                connection.execute(
                    "UPDATE studies SET progress = ? WHERE id = ?",
                    (to_json(progress_table(progress, points=False)), self.study(label).id),
                )

    def cut(self, run_id: str, n_points: int) -> None:
        """Drops all cost points of a run but its first ones: the others will be made again.

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
            set_place(connection, number)

    def end(self, label: str, results: Sequence[RunResult]) -> None:
        """Runs ended: their states, records, cost points and events, all or nothing.

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
        """Runs that could not be trained.

        Args:
            label: the study.
            run_ids: the runs.
            code: the exit code that goes with it.
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
        """Says how runs stand that have no result, or none any more.

        Raises:
            StoreError: there is no such run, or it is `end` that sets this state.
        """
        _check_word(state, [s for s in RUN_STATES if s not in RUN_ENDED])
        with self._database.transaction() as connection:
            for run_id in run_ids:
                connection.execute(
                    f"UPDATE runs SET state = ?, {_NO_RESULT} WHERE number = ?",
                    (state, self._number(run_id)),
                )

    def remove(self, run_ids: Iterable[str]) -> None:
        """Deletes runs and their files for good. The caller holds the store's lock.

        Where it is killed in the middle, `finish_removal` does the rest.

        Raises:
            StoreError: there is no such run: none was deleted. Or a file could not be deleted.
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
            removals.give_up(self.folder)
            raise
        removals.finish(self.folder, run_ids)

    def finish_removal(self) -> None:
        """Deletes the rest of the runs whose deletion was killed in the middle.

        Raises:
            StoreError: it cannot.
        """
        if not removals.is_pending(self.folder):
            return
        with self._database.transaction() as connection:
            # Read within it: whoever is deleting at this moment has committed by then.
            run_ids = removals.pending(self.folder)
            self._delete(connection, run_ids)
        if run_ids:
            removals.finish(self.folder, run_ids)

    # ---- parts

    def _delete(self, connection: sqlite3.Connection, run_ids: Sequence[str]) -> None:
        """All of runs but their files."""
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


def _check_word(word: str, words: Sequence[str]) -> None:
    if word not in words:
        raise StoreError(f"{shown(word)}: must be one of {', '.join(words)}")
