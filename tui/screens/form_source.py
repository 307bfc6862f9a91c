"""Asks what a new study is made from: a built-in study, one in the store, or a file."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from jmlp.client.choice import Choice
from tui.dialogs import Ask, Choose
from tui.text import fit
from tui.views import form
from tui.views.form import Stored

if TYPE_CHECKING:
    from tui.app import JmlpApp

PATH = "Path of a study file"


def choose(
    app: "JmlpApp", stored: Sequence[Stored], then: Callable[[Choice | None], object]
) -> None:
    """Asks for a study.

    Args:
        app: shows the dialogs; in a browser it does not offer files.
        stored: the studies in the store.
        then: called with the unchanged study, or None.
    """

    def chose(answer: str | None) -> None:
        kind, _, name = (answer or "").partition(" ")
        if kind == "file":
            app.push_screen(Ask(PATH, hint="such as my-study.toml"), chose_file)
        elif kind == "shipped":
            then(Choice(name))
        else:
            rows = [s.row for s in stored if kind == "stored" and s.row.label == name]
            then(Choice(row=rows[0]) if rows else None)

    def chose_file(path: str | None) -> None:
        if path and path.strip():
            then(Choice(path.strip()))
        else:  # cancelled: ask the first question again
            choose(app, stored, then)

    names = form.shipped()
    width = max(len(name) for name, _ in names) + 2
    options = [(f"shipped {name}", fit(name, width) + title) for name, title in names]
    options += [
        (f"stored {s.row.label}", f"{s.row.label}, in the store ({s.text()})") for s in stored
    ]
    if not app.served:
        options.append(("file", "a study file …"))
    app.push_screen(Choose("Start from", options), chose)
