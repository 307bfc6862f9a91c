"""Rows of a table brought up to date in place: the cursor stays, and nothing flickers.

Textual's `DataTable` can be emptied and filled, which loses cursor and scroll and draws all anew.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widgets import DataTable


class Table(DataTable[Text]):
    """A table of rows, in which home and end go to the first and the last one.

    In Textual's they go to the first and last column, which a cursor of whole rows does not show.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("home", "scroll_top", "First", show=False),
        Binding("end", "scroll_bottom", "Last", show=False),
    ]


def show_rows(table: "DataTable[Text]", rows: Mapping[str, Sequence[Text]]) -> None:
    """Makes a table show these rows, in this order, and its columns as wide as they need.

    Args:
        table: with its columns.
        rows: cells by the row's key.
    """
    if _fit(table, rows) or [str(key.value) for key in table.rows] != list(rows):
        shown, scroll = [str(key.value) for key in table.rows], table.scroll_offset
        row = table.cursor_row
        at_cursor = shown[row] if row < len(shown) else ""
        table.clear()
        for key, cells in rows.items():
            table.add_row(*cells, key=key)
        keys = list(rows)
        row = keys.index(at_cursor) if at_cursor in rows else min(row, max(0, len(rows) - 1))
        table.move_cursor(row=row, animate=False, scroll=False)
        table.scroll_to(y=scroll.y, animate=False)
        return
    columns = list(table.columns)
    for key, cells in rows.items():
        for column, cell, before in zip(columns, cells, table.get_row(key), strict=True):
            if cell != before or cell.style != before.style:
                table.update_cell(key, column, cell)


def _fit(table: "DataTable[Text]", rows: Mapping[str, Sequence[Text]]) -> bool:
    """Sets the columns' widths; whether one has changed.

    Textual measures the columns itself, but may draw before it has, and keeps what it drew.
    """
    changed = False
    for index, column in enumerate(table.columns.values()):
        width = max(column.label.cell_len, *(cells[index].cell_len for cells in rows.values()), 0)
        if column.auto_width or column.width != width:
            column.auto_width, column.width = False, width
            changed = True
    return changed
