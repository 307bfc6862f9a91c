"""Reads tables from files: CSV and TSV, and Parquet where pyarrow is installed.

The result are the raw values of named columns, without any statistics. Nothing in a cell is
evaluated: a formula is text.
"""

import codecs
import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from jmlp.data.columns import named
from jmlp.data.files import free_memory, opened, shown, size_of
from jmlp.errors import DataError
from jmlp.system.files import TABLE_SUFFIXES

MISSING = frozenset(
    ("", "?", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NAN", "null", "NULL", "Null")
)
DELIMITERS = ",;\t|"
MOST_COLUMNS = 100_000
SAMPLE_BYTES = 2**16  # of the beginning of a file, in which the delimiter is found
SAMPLE_LINES = 100
ROWS_AT_ONCE = 1000
CELLS_AT_ONCE = 100_000  # of those that NumPy reads
# Peak memory per byte of a file while it is read and encoded; measured: 7 for numbers of two
# digits, less for longer ones.
CSV_FACTOR = 10
PARQUET_FACTOR = 20  # Parquet packs its columns
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DECIMAL_COMMA = re.compile(r"[+-]?\d{1,3}([.\u202f' ]?\d{3})*,\d+")

Values = NDArray[np.float64] | NDArray[np.object_]


@dataclass(frozen=True, eq=False)
class RawColumn:
    """One column as it was read.

    `values` is float64 `(N,)`, NaN where a value is missing, if every value is a number; otherwise
    text, None where it is missing.
    """

    name: str
    values: Values

    @property
    def is_text(self) -> bool:
        """Whether it holds text."""
        return self.values.dtype == object

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Where a value is missing, `(N,)`."""
        if self.is_text:
            return np.fromiter((v is None for v in self.values), np.bool_, len(self.values))
        return np.isnan(self.values.astype(np.float64, copy=False))


@dataclass(frozen=True, eq=False)
class RawTable:
    """Columns of equal length, with unique names."""

    source: str  # error messages begin with it
    columns: tuple[RawColumn, ...]

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return len(self.columns[0].values)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.name for column in self.columns)


def is_table(path: Path) -> bool:
    """Whether a file is read as a table, by its name."""
    return path.suffix.lower() in TABLE_SUFFIXES


def read_table(path: Path, header: bool | None = None) -> RawTable:
    """Reads a table from a file.

    The delimiter of a text file is the one of comma, semicolon, tab and bar that divides its lines
    into equally many parts. Its encoding is UTF-8, or UTF-16 with a byte-order mark.

    Args:
        path: a CSV, TSV or Parquet file.
        header: whether the first line has the names of the columns; None: it has, unless a value in
            it is a number or missing (see `_is_header`). Columns without a name are called
            `column 1` and so on.

    Raises:
        DataError: it is not such a file, its lines differ in length, or it does not fit in memory.
    """
    name = shown(path)
    with opened(path) as file:
        size = size_of(file)
        if size == 0:
            raise DataError(f"{name}: is empty (0 bytes): get the file again")
        _check_memory(name, size, PARQUET_FACTOR if _is_parquet(path) else CSV_FACTOR)
        return read_opened(file, path, header)


def read_opened(file: BinaryIO, path: Path, header: bool | None = None) -> RawTable:
    """Reads a table, like `read_table`, from the content of a file that fits in memory.

    Args:
        file: the content, from its beginning.
        path: the name of the file, which says how it is read.
        header: as for `read_table`.

    Raises:
        DataError: it is no such content, or its lines differ in length.
    """
    if _is_parquet(path):
        return _read_parquet(file, shown(path))
    return _TextFile(file, path, shown(path), header).read()


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


def _check_memory(name: str, size: int, factor: int) -> None:
    free, needed = free_memory(), factor * size
    if free is not None and needed > free:
        raise DataError(
            f"{name}: is {size / 1e9:.1f} GB and would need about {needed / 1e9:.0f} GB of memory; "
            f"{free / 1e9:.1f} GB are free: use fewer rows or columns, or more memory"
        )


def _read_parquet(file: BinaryIO, name: str) -> RawTable:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(
            f"{name}: reading Parquet needs pyarrow: install jmlp[parquet], or save the table as "
            "CSV"
        ) from error
    from jmlp.data.frames import read_frame

    try:
        table = pyarrow.parquet.ParquetFile(file).read()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        reason = shown(str(error).partition("\n")[0])
        raise DataError(f"{name}: not a Parquet file, or damaged ({reason})") from error
    return read_frame(table, name)


class _NotPlainError(Exception):
    """A file holds what only the exact way of reading knows."""


class _TextFile:
    """A CSV or TSV file.

    It is read in one of two ways, with the same result. A file without quotes is divided by NumPy,
    which also reads columns of numbers, by the algorithm of `float`: four times as fast. Whatever
    that cannot read, or has to refuse, is read from the beginning by `csv`, cell by cell.
    """

    def __init__(self, file: BinaryIO, path: Path, name: str, header: bool | None) -> None:
        self.file, self.name, self.header = file, name, header
        beginning = file.read(SAMPLE_BYTES)
        self.encoding = next(
            (encoding for mark, encoding in _BYTE_ORDER_MARKS if beginning.startswith(mark)),
            "utf-8",
        )
        if self.encoding != "utf-16" and b"\0" in beginning:
            raise DataError(
                f"{name}: holds NUL bytes, so it is not a text file, or it is UTF-16 without a "
                "byte-order mark: save it as UTF-8"
            )
        self.delimiter = (
            "\t" if path.suffix.lower() in (".tsv", ".tab") else self._find_delimiter(beginning)
        )

    def read(self) -> RawTable:
        """The whole table."""
        try:
            try:
                return self._read(self._plain_chunks)
            except _NotPlainError:
                return self._read(self._exact_chunks)
        except UnicodeError as error:
            raise DataError(f"{self.name}: {self._bad_byte()}: save the file as UTF-8") from error

    def _read(self, chunks: "_Chunks") -> RawTable:
        self.file.seek(0)
        text = io.TextIOWrapper(self.file, self.encoding, newline="")
        try:
            return self._read_text(text, chunks)
        finally:
            text.detach()

    def _read_text(self, text: io.TextIOWrapper, chunks: "_Chunks") -> RawTable:
        rows = self._rows(text)
        first = next(rows, None)
        if first is None:
            raise DataError(f"{self.name}: has no lines with values: get the file again")
        has_header = self.header if self.header is not None else _is_header(first)
        if len(first) > MOST_COLUMNS:
            raise DataError(f"{self.name}: has {len(first):,} columns, at most {MOST_COLUMNS:,}")
        names = self._names(first if has_header else ["" for _ in first])
        columns = [_Cells() for _ in names]
        n_rows = 0
        first_rows = () if has_header else ([(cell,) for cell in first],)
        for chunk in itertools.chain(first_rows, chunks(text, rows, columns)):
            for column, cells in zip(columns, chunk, strict=True):
                if (bad := column.add(cells)) is not None:
                    raise DataError(
                        f"{self.name}: row {n_rows + bad + 1} holds a NUL character: it is not a "
                        "text file, or it is damaged"
                    )
            n_rows += len(chunk[0])
        if not n_rows:
            raise DataError(
                f"{self.name}: has only one line, taken for the names of its columns "
                f"({named(names)}): there are no rows"
            )
        where = f"{self.name}: column"
        made = [
            RawColumn(name, column.values(f"{where} {name}"))
            for name, column in zip(names, columns, strict=True)
        ]
        return RawTable(self.name, tuple(made))

    def _rows(self, text: io.TextIOWrapper) -> Iterator[list[str]]:
        """The lines of the file as lists of values; empty lines are skipped."""
        reader = csv.reader(
            text, delimiter=self.delimiter, strict=True, skipinitialspace=self.delimiter != "\t"
        )
        before = 0  # lines up to the last complete row: a value in quotes can have several
        try:
            for row in reader:
                before = reader.line_num
                if row:
                    yield row
        except csv.Error as error:
            raise DataError(f"{self.name}: line {before + 1}: {_reason(error)}") from error

    def _exact_chunks(
        self, text: io.TextIOWrapper, rows: Iterator[list[str]], columns: "Sequence[_Cells]"
    ) -> "Iterator[_Chunk]":
        """The cells of some rows at a time, column by column."""
        while chunk := list(itertools.islice(rows, ROWS_AT_ONCE)):
            if set(map(len, chunk)) != {len(columns)}:
                raise self._ragged(len(columns))
            yield list(zip(*chunk, strict=True))

    def _plain_chunks(
        self, text: io.TextIOWrapper, rows: Iterator[list[str]], columns: "Sequence[_Cells]"
    ) -> "Iterator[_Chunk]":
        """The same, with numbers in place of cells where all have been numbers so far.

        Raises:
            _NotPlainError: the file is to be read exactly.
        """
        as_cells = np.dtype([(str(index), object) for index in range(len(columns))])
        dtype = as_cells
        n_lines = max(1, CELLS_AT_ONCE // len(columns))
        while lines := list(itertools.islice(text, n_lines)):
            whole = "".join(lines)
            if '"' in whole or "\0" in whole or max(map(len, lines)) > csv.field_size_limit():
                raise _NotPlainError
            if not (lines := [line for line in lines if line.strip("\r\n")]):
                continue
            try:
                try:
                    read = self._divided(lines, dtype)
                except ValueError:  # a number is missing, or is none
                    read = self._divided(lines, as_cells)
            except ValueError as error:  # the lines differ in length
                raise _NotPlainError from error
            yield [read[name] for name in as_cells.names or ()]
            kinds = (np.float64 if column.has_numbers else object for column in columns)
            dtype = np.dtype([(str(index), kind) for index, kind in enumerate(kinds)])

    def _divided(self, lines: list[str], dtype: np.dtype[Any]) -> NDArray[Any]:
        return np.loadtxt(lines, dtype, comments=None, delimiter=self.delimiter, ndmin=1)

    def _names(self, first: Sequence[str]) -> list[str]:
        names = [cell.strip() or f"column {number}" for number, cell in enumerate(first, start=1)]
        for name, count in Counter(names).items():
            if count > 1:
                at = [str(i) for i, other in enumerate(names, start=1) if other == name]
                raise DataError(
                    f"{self.name}: columns {' and '.join(at[:3])} have the same name, "
                    f"{shown(name)}: give each a name of its own"
                )
        return [shown(name) for name in names]

    def _ragged(self, width: int) -> DataError:
        """The error for the first line of another length."""
        self.file.seek(0)
        text = io.TextIOWrapper(self.file, self.encoding, newline="")
        reader = csv.reader(
            text, delimiter=self.delimiter, strict=True, skipinitialspace=self.delimiter != "\t"
        )
        line, n = next((reader.line_num, len(row)) for row in reader if row and len(row) != width)
        text.detach()
        return DataError(
            f"{self.name}: line {line} has {n} values, but the first line has {width}: correct it, "
            "and put values that hold the delimiter in quotes"
        )

    def _find_delimiter(self, beginning: bytes) -> str:
        decoder = codecs.getincrementaldecoder(self.encoding)("replace")
        text = decoder.decode(beginning)
        lines = text.splitlines()[: SAMPLE_LINES + 1]
        if len(lines) > 1 and len(beginning) == SAMPLE_BYTES:
            lines.pop()  # may be cut off
        found = []
        for delimiter in DELIMITERS:
            widths = Counter(_widths("\n".join(lines[:SAMPLE_LINES]), delimiter))
            width, count = max(widths.items(), key=lambda item: item[1], default=(1, 0))
            if width > 1:
                found.append((count / widths.total(), width, delimiter))
        if not found:
            raise DataError(
                f"{self.name}: has a single column: its lines hold none of comma, semicolon, tab "
                "and bar equally often; a table needs a label and at least one feature"
            )
        return max(found, key=lambda item: item[:2])[2]

    def _bad_byte(self) -> str:
        self.file.seek(0)
        decoder = codecs.getincrementaldecoder(self.encoding)()
        for number, line in enumerate(self.file, start=1):
            try:
                decoder.decode(line)
            except UnicodeDecodeError as error:
                return f"line {number}: byte 0x{error.object[error.start]:02x} is not UTF-8"
            except UnicodeError:
                break
        return f"it is not {self.encoding.upper()} to its end"


def _widths(text: str, delimiter: str) -> list[int]:
    """The number of values in each line, as far as lines can be read with this delimiter."""
    widths = []
    try:
        for row in csv.reader(io.StringIO(text), delimiter=delimiter):
            if row:
                widths.append(len(row))
    except csv.Error:
        pass
    return widths


def _reason(error: csv.Error) -> str:
    text = str(error)
    if "unexpected end of data" in text:
        return "a quote is opened and not closed before the end of the file"
    if "expected after" in text:
        return "a quote within a value: quotes enclose a whole value, and are doubled within it"
    if "field larger than field limit" in text:
        return "a value of more than 131,072 characters: is a quote missing?"
    return text


def _is_header(cells: Sequence[str]) -> bool:
    """Whether a first line has names: none of its values is a number or missing.

    Two exceptions, both of which pandas writes: the first name may be empty, above row numbers, and
    several names may be the numbers 0, 1, 2 … in order.
    """
    words = [cell.strip() for cell in cells]
    numbers = [word for word in words if _is_number(word)]
    if len(numbers) > 1 and numbers == [str(n) for n in range(len(numbers))]:
        return True
    return not numbers and not any(word in MISSING for word in words[1:])


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


_Chunk = Sequence[Sequence[str] | Values]  # of some rows, what each column has
_Chunks = Callable[[io.TextIOWrapper, Iterator[list[str]], Sequence["_Cells"]], Iterator[_Chunk]]


class _Cells:
    """The cells of one column while a file is read.

    They are kept as text, because a column of numbers may turn out to hold words; as one string for
    each part of the file, since a string of its own for each cell takes ten times the memory.
    """

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.numbers: list[NDArray[np.float64]] | None = []  # None: it holds a word
        self.lacks_texts = False  # some cells were read as numbers

    @property
    def has_numbers(self) -> bool:
        """Whether all cells so far are numbers or missing."""
        return self.numbers is not None

    def add(self, cells: "Sequence[str] | Values") -> int | None:
        """Adds cells, or the numbers in them; returns the index of a cell with a NUL, if any.

        Raises:
            _NotPlainError: there is a word, and the text of cells before it is not known.
        """
        if isinstance(cells, np.ndarray) and cells.dtype == np.float64:
            assert self.numbers is not None
            self.numbers.append(cells.astype(np.float64))  # no view of all columns
            self.lacks_texts = True
            return None
        joined = "\0".join(cells)
        if joined.count("\0") != len(cells) - 1:
            return next(i for i, cell in enumerate(cells) if "\0" in cell)
        self.texts.append(joined)
        if self.numbers is not None:
            numbers = None if "_" in joined else _numbers(cells)
            if numbers is None and self.lacks_texts:
                raise _NotPlainError
            if numbers is None:
                self.numbers = None
            else:
                self.numbers.append(numbers)
        return None

    def values(self, where: str) -> Values:
        """All values of the column.

        Raises:
            DataError: it holds both numbers and words, so that what it is is unclear.
        """
        if self.numbers is not None:
            return np.concatenate(self.numbers)
        words: dict[str, str | None] = {}  # one object for all equal words
        values: list[str | None] = []
        for text in self.texts:
            for cell in text.split("\0"):
                word = words.get(cell, "")
                if word == "":
                    stripped = cell.strip()
                    word = None if stripped in MISSING else stripped
                    words[cell] = word
                values.append(word)
        return as_words(values, where)


def as_words(values: Sequence[str | None], where: str) -> NDArray[np.object_]:
    """An array of words, which must not be numbers with a few mistakes.

    If all are numbers, they were given as words on purpose, as by a frame.

    Raises:
        DataError: half of the values or more are numbers, but not all, or all have a decimal comma.
    """
    counts = Counter(value for value in values if value is not None)
    n_numbers = sum(n for word, n in counts.items() if _is_number(word))
    if counts.total() / 2 <= n_numbers < counts.total():
        row, word = next(
            (row, word)
            for row, word in enumerate(values, start=1)
            if word is not None and not _is_number(word)
        )
        raise DataError(
            f"{where}: row {row} is {short(word)}, which is not a number, but {n_numbers:,} other "
            "values are: correct it, leave the cell empty if the value is missing, or leave the "
            "column out"
        )
    if counts and all(map(_DECIMAL_COMMA.fullmatch, counts)):
        example = next(iter(counts))
        raise DataError(
            f"{where}: its numbers have a comma, as in {short(example)}: write them with a decimal "
            "point, and without separators of thousands"
        )
    array = np.empty(len(values), object)
    array[:] = values
    return array


def short(word: object) -> str:
    """A value for an error message, quoted."""
    text = shown(word)
    return repr(text if len(text) <= 40 else text[:39] + "…")


def _numbers(cells: Sequence[str] | Values) -> NDArray[np.float64] | None:
    """The cells as numbers, NaN where one is missing; None if one is a word."""
    try:
        return np.array(list(map(float, cells)))
    except ValueError:
        pass
    try:
        # `float` alone does not strip all that counts as space in words.
        stripped = map(str.strip, cells)
        return np.array([np.nan if cell in MISSING else float(cell) for cell in stripped])
    except ValueError:
        return None
