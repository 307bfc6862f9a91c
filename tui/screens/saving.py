"""Asks for the place of a new file, and never replaces one without being told to."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tui import run_work
from tui.dialogs import Ask, Confirm

if TYPE_CHECKING:
    from tui.app import JmlpApp

Write = Callable[[Path, bool], object]  # to a path; whether it may replace what is there


def choose_place(
    app: "JmlpApp",
    title: str,
    name: str,
    write: Write,
    *,
    hint: str = "The path of a file.",
    in_the_way: Callable[[Path], str] = run_work.file_in_the_way,
) -> None:
    """Asks for a path, and for confirmation if something is there.

    In a browser it does not ask: the file goes to a folder in the store, under an unused name.

    Args:
        app: the app.
        title: what is written.
        name: the suggested name of the file or folder.
        write: called with the path.
        hint: what to type.
        in_the_way: returns a question about what is at a path; empty: it is free.
    """
    if app.served:
        write(run_work.unused_target(app.folder, name), False)
        return

    def check(text: str | None) -> None:
        if text is None or not text.strip():
            return
        target = run_work.typed_target(text)

        def replace(yes: bool | None) -> None:
            if yes:
                write(target, True)

        if question := in_the_way(target):
            app.push_screen(Confirm(question, "Write"), replace)
        else:
            write(target, False)

    app.push_screen(Ask(title, run_work.default_target(name), hint), check)
