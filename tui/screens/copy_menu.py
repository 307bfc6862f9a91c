"""The menu "Copy": cells, rows and tables to the clipboard or a file; pictures and replays."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jmlp.client import exports
from jmlp.results.drawing import Drawing
from jmlp.system import files
from tui.copying import FORMS, Excerpt
from tui.dialogs import Choose
from tui.screens.saving import choose_place
from tui.text import visible

if TYPE_CHECKING:
    from tui.screens.base import JmlpScreen

PICTURES = {".png": "PNG", ".svg": "SVG"}
MAX_TITLE = 24  # columns of the terminal


def open_menu(screen: "JmlpScreen[Any]") -> None:
    """Asks what to copy from a screen."""
    app, excerpt, drawing = screen.app, screen.excerpt(), screen.drawing()
    actions: dict[str, tuple[str, Callable[[], object]]] = {}
    if excerpt is not None:
        if excerpt.row:
            actions["cell"] = ("Cell …", lambda: _choose_cell(screen, excerpt))
            text = "\t".join(excerpt.row.values())
            actions["row"] = (
                "Row, with tabs between its cells",
                lambda: app.copy_to_clipboard(text, "the row"),
            )
        for suffix in excerpt.forms:
            copy = partial(_copy_table, screen, excerpt, suffix)
            actions[suffix] = (f"Table as {FORMS[suffix]}", copy)
        actions["file"] = ("Table to a file …", lambda: _choose_form(screen, excerpt))
    if drawing is not None:
        actions["curves"] = ("Picture of the curves …", lambda: _choose_picture(screen, drawing))
    if (replayed := screen.replayed()) is not None:
        actions["replay"] = (
            "Replay of the training, HTML …",
            lambda: _write_replay(screen, *replayed),
        )
    actions["screen"] = ("Picture of the screen, SVG …", lambda: _save_screen(screen))

    def chosen(key: str | None) -> None:
        if key is not None:
            app.call_after_refresh(actions[key][1])  # once the menu is gone

    title = f"Copy: {excerpt.name}" if excerpt is not None else "Copy"
    app.push_screen(
        Choose(visible(title), [(key, text) for key, (text, _) in actions.items()]), chosen
    )


def _choose_cell(screen: "JmlpScreen[Any]", excerpt: Excerpt) -> None:
    cells = list(excerpt.row.items())
    width = min(MAX_TITLE, max(len(title) for title, _ in cells))
    options = [
        (str(index), f"{title:<{width}}  {value}") for index, (title, value) in enumerate(cells)
    ]

    def chosen(key: str | None) -> None:
        if key is not None:
            title, value = cells[int(key)]
            screen.app.copy_to_clipboard(value, title)

    screen.app.push_screen(Choose("Copy a cell of the row", options), chosen)


def _copy_table(screen: "JmlpScreen[Any]", excerpt: Excerpt, suffix: str) -> None:
    what = f"{excerpt.name} as {FORMS[suffix]}"
    screen.app.perform(
        f"copy {what}",
        excerpt.forms[suffix],
        lambda text: screen.app.copy_to_clipboard(text, what),
    )


# ---- files


def _choose_form(screen: "JmlpScreen[Any]", excerpt: Excerpt) -> None:
    app, name = screen.app, exports.file_name(excerpt.name) or "table"

    def chosen(suffix: str | None) -> None:
        if suffix is not None:
            title = f"Write {excerpt.name} as {FORMS[suffix]}"
            choose_place(app, visible(title), name + suffix, lambda *to: write(suffix, *to))

    def write(suffix: str, target: Path, replace: bool) -> None:
        make = excerpt.forms[suffix]
        _write(screen, target, lambda: _write_text(target, make(), replace=replace))

    options = [(suffix, FORMS[suffix]) for suffix in excerpt.forms]
    app.push_screen(Choose(f"Write {visible(excerpt.name)} as", options), chosen)


def _choose_picture(screen: "JmlpScreen[Any]", drawing: Drawing) -> None:
    app = screen.app

    def write(target: Path, replace: bool) -> None:
        app.toast(f"drawing {target} …")
        _write(screen, target, lambda: exports.draw(drawing, target, replace=replace))

    def chosen(suffix: str | None) -> None:
        if suffix is not None:
            choose_place(app, f"Draw the curves as {PICTURES[suffix]}", f"curves{suffix}", write)

    app.push_screen(Choose("Draw the curves as", list(PICTURES.items())), chosen)


def _write_replay(screen: "JmlpScreen[Any]", name: str, file: str) -> None:
    app = screen.app

    def write(target: Path, replace: bool) -> None:
        app.toast(f"writing {target} …")
        app.perform(
            f"write {target.name}",
            lambda: exports.replay(app.folder, name, target, replace=replace),
            app.toast,
        )

    hint = "The path of an HTML file, which plays the training in any browser."
    choose_place(app, "Write a replay of the training", f"{file}.html", write, hint=hint)


def _save_screen(screen: "JmlpScreen[Any]") -> None:
    svg = screen.app.export_screenshot(title=f"jmlp  {visible(screen.breadcrumb)}")

    def write(target: Path, replace: bool) -> None:
        _write(screen, target, lambda: _write_text(target, svg, replace=replace))

    choose_place(screen.app, "Write a picture of the screen as SVG", "screen.svg", write)


def _write(screen: "JmlpScreen[Any]", target: Path, work: Callable[[], object]) -> None:
    screen.app.perform(f"write {target.name}", work, lambda _: screen.app.toast(f"wrote {target}"))


def _write_text(target: Path, text: str, *, replace: bool) -> None:
    path = files.user_file(target, "the file", force=replace)
    files.write_atomically(path, text.encode("utf-8", "backslashreplace"))
