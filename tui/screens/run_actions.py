"""The dialogs for tagging, deleting and exporting runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jmlp.client import exports
from jmlp.client.deleting import delete as delete_runs
from tui import run_work
from tui.dialogs import Ask, Choose, Confirm
from tui.screens.saving import choose_place
from tui.text import count
from tui.views.runs import RunLine

if TYPE_CHECKING:
    from tui.app import JmlpApp


def tag(app: "JmlpApp", lines: Sequence[RunLine]) -> None:
    """Asks for a tag, and adds it to these runs or removes it."""
    if not lines:
        return

    def change(text: str | None) -> None:
        if text is not None and (word := text.strip()):
            ids = [line.run_id for line in lines]
            app.perform(
                f"tag {named(lines)}", lambda: run_work.change_tag(app.folder, ids, word), app.toast
            )

    tags = sorted({tag for line in lines for tag in line.tags})
    hint = "A word to find them by; -word removes it."
    if tags:
        hint += f"\nTags now: {', '.join(tags)}"
    app.push_screen(Ask(f"Tag {named(lines)}", hint=hint), change)


def delete(app: "JmlpApp", lines: Sequence[RunLine], n_hidden: int) -> None:
    """Asks for confirmation, in a browser twice, and deletes these runs."""
    if not lines:
        return
    what, ids = named(lines), [line.run_id for line in lines]

    def begin(yes: bool | None) -> None:
        if yes:
            app.perform(
                f"delete {what}",
                lambda: delete_runs(app.folder, ids),
                lambda _: app.toast(f"deleted {count(len(ids), 'run')}"),
            )

    def once_more(yes: bool | None) -> None:
        if yes:
            question = f"Really delete {what}? This cannot be undone."
            app.push_screen(Confirm(question, "Delete"), begin)

    question = f"Delete {what} for good: files, costs, events and tags?"
    if n_hidden:
        question += f"\nThe filter hides {n_hidden:,} of them."
    app.push_screen(Confirm(question, "Delete"), once_more if app.served else begin)


def export(app: "JmlpApp", lines: Sequence[RunLine]) -> None:
    """Asks for a format and a path, and exports these runs.

    In a browser it does not ask for a path: they are written to a folder in the store.
    """
    if not lines:
        return

    def chosen(as_: str | None) -> None:
        if as_ is None:
            return
        in_folder = as_ in run_work.FOLDERS
        what = "folder with one entry per run" if in_folder else "file"
        choose_place(
            app,
            f"Write {named(lines)} as {as_}",
            run_work.FORMATS[as_][1],
            lambda target, replace: _write(app, lines, as_, target, replace=replace),
            hint=f"The path of a {what}. Only runs that have ended are written.",
            in_the_way=run_work.files_in_the_way if in_folder else run_work.file_in_the_way,
        )

    formats = [(as_, text) for as_, (text, _) in run_work.FORMATS.items()]
    app.push_screen(Choose(f"Write {named(lines)} as", formats), chosen)


def _write(
    app: "JmlpApp", lines: Sequence[RunLine], as_: str, target: Path, *, replace: bool
) -> None:
    ids = [line.run_id for line in lines]
    app.toast(f"writing {target} …")
    app.perform(
        f"export {named(lines)}",
        lambda: exports.export(app.folder, ids, as_, target, replace=replace),
        app.toast,
    )


def named(lines: Sequence[RunLine]) -> str:
    """Names runs in messages: `run 9a4da2f1`, `3 runs`."""
    return f"run {lines[0].short_id}" if len(lines) == 1 else count(len(lines), "run")
