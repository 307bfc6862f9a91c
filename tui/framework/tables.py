"""Updates a table in place, so that the cursor stays and nothing flickers.

Clearing and refilling Textual's `DataTable` loses cursor and scroll position and redraws it all.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widgets import DataTable

from tui.framework.selection import SelectableTable


class Table(SelectableTable[Text]):
    """A table in which home and end go to the first and the last row.

    In Textual's they go to the first and last column, which means nothing for a row cursor.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("home", "scroll_top", "First", show=False),
        Binding("end", "scroll_bottom", "Last", show=False),
    ]


def show_rows(table: "DataTable[Text]", rows: Mapping[str, Sequence[Text]]) -> None:
    """Shows these rows in this order, and makes the columns as wide as their cells.

    Args:
        table: a table that already has its columns.
        rows: each row's cells by its key.
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
    """Sets the columns' widths; returns whether one has changed.

    Textual measures the columns itself, but may draw the table before that and cache the result.
    """
    changed = False
    for index, column in enumerate(table.columns.values()):
        width = max(column.label.cell_len, *(cells[index].cell_len for cells in rows.values()), 0)
        if column.auto_width or column.width != width:
            column.auto_width, column.width = False, width
            changed = True
    return changed
