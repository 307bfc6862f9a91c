"""Tables: what is read from files and frames, how it is encoded, and what is refused."""

import csv
import io
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock, patch

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from jmlp.data import load as load_data
from jmlp.data import table_file
from jmlp.data.columns import Columns, check_columns, number_text, row_texts, scale_of, standardise
from jmlp.data.contract import Contract, check_contract, contract_of
from jmlp.data.dataset import Dataset
from jmlp.data.frames import is_columns, read_columns
from jmlp.data.order import split
from jmlp.data.table import HOLD_OUT_SEED, TableOptions, encode, load_table, stored_options
from jmlp.data.table_file import RawTable, read_table
from jmlp.errors import DataError

HEADER = "bill,mass,island,species\n"
ROWS = (
    "39.1,3750,Torgersen,Adelie\n"
    "46.5,3500,Dream,Chinstrap\n"
    "47.5,5000,Biscoe,Gentoo\n"
    "38.6,3450,Torgersen,Adelie\n"
    "49.3,4050,Dream,Chinstrap\n"
    "50.4,5750,Biscoe,Gentoo\n"
)
PENGUINS = HEADER + ROWS
SPECIES = TableOptions(label="species")


def written(folder: Path, text: str | bytes, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(folder: Path, text: str | bytes, name: str = "table.csv", **options: Any) -> RawTable:
    return read_table(written(folder, text, name), **options)


def content(table: RawTable) -> dict[str, list[Any]]:
    """The values by column, None where one is missing."""
    return {
        column.name: [None if value != value else value for value in column.values.tolist()]
        for column in table.columns
    }


def load(folder: Path, text: str | bytes, options: TableOptions = SPECIES) -> Dataset:
    return load_table(written(folder, text), options)


def columns_of(dataset: Dataset) -> Columns:
    assert dataset.columns is not None
    return dataset.columns


# ---- reading


def test_numbers_are_numbers_and_words_are_words(tmp_path: Path) -> None:
    assert content(read(tmp_path, "a,b\n1,x\n-2.5e3, y \n,NA\n")) == {
        "a": [1.0, -2500.0, None],
        "b": ["x", "y", None],
    }


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(tmp_path: Path, delimiter: str) -> None:
    text = PENGUINS.replace(",", delimiter)
    assert content(read(tmp_path, text)) == content(read(tmp_path, PENGUINS))


def test_a_tsv_is_divided_by_tabs_even_if_its_values_hold_commas(tmp_path: Path) -> None:
    table = read(tmp_path, "a\tb\np,q\tx,y\n", "table.tsv", header=True)
    assert table.names == ("a", "b")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_encodings_and_line_ends_do_not_matter(tmp_path: Path, encoding: str, end: str) -> None:
    text = PENGUINS.replace("Biscoe", "Bïscoe").replace("\n", end)
    expected = content(read(tmp_path, PENGUINS.replace("Biscoe", "Bïscoe")))
    assert content(read(tmp_path, text.encode(encoding))) == expected


def test_a_quoted_value_may_hold_delimiters_quotes_and_line_ends(tmp_path: Path) -> None:
    table = read(tmp_path, 'name,x\n"a, ""b""\nc",1\nd,2\n')
    assert content(table) == {"name": ['a, "b"\nc', "d"], "x": [1.0, 2.0]}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a,b\n1,2\n", ("a", "b")),
        ("1,2\n3,4\n", ("column 1", "column 2")),
        ("x,\ny,4\n", ("column 1", "column 2")),  # a missing value is no name
        (",a\n0,4\n", ("column 1", "a")),  # as pandas writes its index
        ("0,1,y\n5,6,z\n", ("0", "1", "y")),  # as pandas names columns
    ],
)
def test_a_first_line_with_numbers_has_no_names(
    tmp_path: Path, text: str, names: tuple[str, ...]
) -> None:
    assert read(tmp_path, text).names == names


def test_whether_the_first_line_has_names_can_be_said(tmp_path: Path) -> None:
    assert read(tmp_path, "2019,2020\n1,2\n", header=True).names == ("2019", "2020")
    assert read(tmp_path, "a,b\nc,d\n", header=False).n_rows == 2


def test_a_formula_is_text(tmp_path: Path) -> None:
    table = read(tmp_path, "a,b\n=1+2,x\n=A1,y\n")
    assert content(table)["a"] == ["=1+2", "=A1"]


def test_chunks_leave_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = content(read(tmp_path, PENGUINS))
    monkeypatch.setattr(table_file, "ROWS_AT_ONCE", 1)
    assert content(read(tmp_path, PENGUINS)) == whole


UNREADABLE = [
    ("", "is empty (0 bytes): get the file again"),
    ("\n\n", "has a single column: its lines hold none of comma, semicolon, tab and bar equally"),
    ("a\n1\n2\n", "has a single column"),
    ("a,b\n", "has only one line, taken for the names of its columns (a, b): there are no rows"),
    ("a,b\n1,2\n3\n", "line 3 has 1 values, but the first line has 2: correct it, and put values"),
    ("a,b\n1,2\n\n3,4,5\n", "line 4 has 3 values, but the first line has 2"),
    ('a,b\n1,"x\n2,y\n', "line 2: a quote is opened and not closed before the end of the file"),
    ('a,b\n1,"x"y\n', "line 2: a quote within a value"),
    ("a,b\n1,x\0y\n", "holds NUL bytes, so it is not a text file, or it is UTF-16 without a"),
    ("a,b\n1,2\n".encode("utf-16-le"), "holds NUL bytes"),
    (b"a,b\n1,\xff\n", "line 2: byte 0xff is not UTF-8: save the file as UTF-8"),
    ("a,b\n1,2\n".encode("utf-16")[:-1], "it is not UTF-16 to its end"),
    ("a,b,a\n1,2,3\n", "columns 1 and 3 have the same name, a: give each a name of its own"),
    (
        "a,b\n1,x\n2,y\nz,x\n",
        "column a: row 3 is 'z', which is not a number, but 2 other values are: correct it",
    ),
    ('a;b\n"1,5";x\n"2,5";y\n', "column a: its numbers have a comma, as in '1,5': write them with"),
    ("a,b\n1_000,x\n2,y\n", "column a: row 1 is '1_000', which is not a number, but 1 other"),
]


@pytest.mark.parametrize(("text", "told"), UNREADABLE)
def test_what_is_no_table_is_refused_with_place_and_remedy(
    tmp_path: Path, text: str | bytes, told: str
) -> None:
    with pytest.raises(DataError) as error:
        read(tmp_path, text)
    assert str(error.value).startswith(f"{tmp_path / 'table.csv'}: {told}")


def test_a_nul_after_the_beginning_is_refused_too(tmp_path: Path) -> None:
    text = "a,b\n" + "1,x\n" * 20_000 + "1,x\0y\n"
    with pytest.raises(DataError, match="row 20001 holds a NUL character"):
        read(tmp_path, text)


def test_a_file_that_does_not_fit_in_memory_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "large.csv"
    with open(path, "wb") as file:
        file.truncate(5 * 10**9)  # sparse: takes no room on the disk
    monkeypatch.setattr(table_file, "free_memory", lambda: 8 * 10**9)
    with pytest.raises(DataError) as error:
        read_table(path)
    assert str(error.value) == (
        f"{path}: is 5.0 GB and would need about 50 GB of memory; 8.0 GB are free: use fewer rows "
        "or columns, or more memory"
    )


def test_parquet_is_read_and_damaged_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    pyarrow.parquet.write_table(pa.table({"a": [1, 2, None], "b": ["x", None, "y"]}), path)
    assert content(read_table(path)) == {"a": [1.0, 2.0, None], "b": ["x", None, "y"]}
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match="not a Parquet file, or damaged"):
        read_table(path)


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)


@given(st.lists(st.lists(CELLS, min_size=2, max_size=2), min_size=2, max_size=5))
def test_whatever_python_writes_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    path = tmp_path_factory.getbasetemp() / "any.tsv.csv"
    path.write_bytes(text.getvalue().encode())
    try:
        table = read_table(path, header=False)
    except DataError:
        return
    assert len(table.columns) >= 2


def outcome(path: Path, header: bool | None) -> Any:
    """What is read of a file, or the error."""
    try:
        return [
            (c.name, c.is_text, repr(c.values.tolist())) for c in read_table(path, header).columns
        ]
    except DataError as error:
        return str(error)


NUMBERS = ("1", "-2.5e3", "1e999", "nan", "", " 7 ", "NA", "1_0", "0x1", "٣", "\x1c0", "1\xa0")
SIGNS = (",", ",", ",", "\n", "\r\n", "\r", "\u2028", '"', "\0")
PLAIN = st.sampled_from((*NUMBERS, "red", "a b", *SIGNS))


@given(st.lists(PLAIN, max_size=40), st.sampled_from([None, True, False]), st.integers(1, 4))
@example(["a", ",", "b", "\n", "1", ",", "2", "\n"] * 3 + ["x", ",", "1"], True, 1)
@example(["a", ",", "b", "\n"] + ["1", ",", "", "\n"] * 5, True, 1)
def test_numpy_reads_what_the_exact_way_reads(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str], header: bool | None, n: int
) -> None:
    text = "a,b\n" * (header is True) + "".join(parts)
    path = written(tmp_path_factory.getbasetemp(), text, "plain.csv")
    with patch.object(table_file, "CELLS_AT_ONCE", n):
        found = outcome(path, header)
    refuse = Mock(side_effect=table_file._NotPlainError)
    with patch.object(table_file._TextFile, "_plain_chunks", refuse):
        assert found == outcome(path, header)


def test_a_file_without_quotes_is_read_by_numpy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "a,b,c\n" + "".join(f"{i},{i / 8},{'xy'[i % 2]}\n" for i in range(50)) + "3,,z\n"
    monkeypatch.setattr(table_file, "CELLS_AT_ONCE", 30)
    monkeypatch.setattr(table_file._TextFile, "_exact_chunks", None)
    found = content(read(tmp_path, text))
    assert found["a"] == [*range(50), 3]
    assert found["c"] == [*"xy" * 25, "z"]
    assert found["b"] == [*(i / 8 for i in range(50)), None]


def test_digits_that_a_frame_has_as_words_are_words() -> None:
    table = read_columns({"code": ["1", "2", "1"], "n": [1, 2, 3]}, "fit: x")
    assert [column.is_text for column in table.columns] == [True, False]
    assert list(table.columns[0].values) == ["1", "2", "1"]


@given(st.binary(max_size=60), st.sampled_from([".csv", ".tsv"]))
@example(b"\x1c0", ".tsv")  # a space for `str.strip`, and none for `float`
def test_whatever_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, suffix: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"bytes{suffix}"
    path.write_bytes(data)
    try:
        table = read_table(path)
        load_table(path, TableOptions(label=table.names[-1]))
    except DataError:
        return
    assert table.n_rows


# ---- encoding


def test_categories_are_one_hot_and_numbers_stay_as_they_are(tmp_path: Path) -> None:
    dataset = load(tmp_path, PENGUINS)
    columns = columns_of(dataset)
    assert columns.inputs == (
        "bill",
        "mass",
        "island = Biscoe",
        "island = Dream",
        "island = Torgersen",
    )
    assert dataset.x_train[:2].tolist() == [[39.1, 3750, 0, 0, 1], [46.5, 3500, 0, 1, 0]]
    assert dataset.y_train.tolist() == [0, 1, 2, 0, 1, 2]
    assert columns.classes == ("Adelie", "Chinstrap", "Gentoo")
    assert columns.sentence(3) == (
        "3 classes, 3 features: 2 numbers standardised by the training part, 1 category one-hot"
    )


def test_scaling_and_one_hot_agree_with_scikit_learn(tmp_path: Path) -> None:
    dataset = load(tmp_path, PENGUINS)
    training = np.array([0, 1, 2, 4])
    raw = pd.read_csv(tmp_path / "table.csv")
    scaler = StandardScaler().fit(raw[["bill", "mass"]].to_numpy()[training])
    encoder = OneHotEncoder(sparse_output=False).fit(raw[["island"]].to_numpy())
    expected = np.hstack(
        [
            scaler.transform(raw[["bill", "mass"]].to_numpy()),
            encoder.transform(raw[["island"]].to_numpy()),
        ]
    )
    found = dataset.standardised(training).x_train
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


def test_the_scale_is_that_of_the_training_part_alone(tmp_path: Path) -> None:
    dataset = load(tmp_path, "x,y\n0,a\n2,b\n1000,a\n-5,b\n", TableOptions("y"))
    scale = dataset.scale(np.array([0, 1]))
    assert scale is not None
    assert (scale.mean, scale.std) == ((1.0,), (1.0,))
    assert dataset.standardised(np.array([0, 1])).x_train.ravel().tolist() == [-1, 1, 999, -6]


def test_a_column_constant_in_the_training_part_gives_0_everywhere(tmp_path: Path) -> None:
    dataset = load(tmp_path, "x,z,y\n7,1,a\n7,2,b\n9,3,a\n", TableOptions("y"))
    assert dataset.standardised(np.array([0, 1])).x_train[:, 0].tolist() == [0, 0, 0]


MISSING = "x,c,y\n1,r,a\n,s,b\n3,,a\n5,s,b\n"


def test_a_missing_value_is_an_error_with_row_column_and_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        load(tmp_path, MISSING, TableOptions("y"))
    assert str(error.value) == (
        f"{tmp_path / 'table.csv'}: row 2, column x: the value is missing, and 2 of 4 rows lack "
        'one (x, c): fill in what is missing, or choose missing = "mean" (the mean of the '
        'training part in its place) or "drop" (such rows are left out)'
    )


def test_the_first_row_of_the_file_with_a_missing_value_is_named(tmp_path: Path) -> None:
    # Row 3 lacks a value in the first column, row 2 in the second.
    text = "a,b,y\n1,1,p\n2,,q\n,3,p\n4,5,q\n"
    with pytest.raises(DataError, match="row 2, column b: the value is missing, and 2 of 4 rows"):
        load(tmp_path, text, TableOptions("y"))
    alone = "a,b,y\n1,1,p\n2,,q\n3,3,p\n4,5,q\n"
    with pytest.raises(DataError, match="row 2, column b: the value is missing: fill in what is"):
        load(tmp_path, alone, TableOptions("y"))
    dropped = load(tmp_path, text, TableOptions("y", "drop"))
    assert (len(dropped.y_train), dropped.n_left_out) == (2, 2)
    assert load(tmp_path, text, TableOptions("y", "mean")).n_left_out == 0


def test_a_number_that_is_infinite_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="row 2 is inf, and numbers must be finite: correct it, or"):
        load(tmp_path, "x,y\n1,a\ninf,b\n3,a\n", TableOptions("y"))


@pytest.mark.parametrize(("fraction", "stratify"), [(0.9, True), (0.999, False)])
def test_a_test_set_that_cannot_be_held_out_is_refused_by_its_name(
    tmp_path: Path, fraction: float, stratify: bool
) -> None:
    rows = "".join(f"{i},{'ab'[i % 2]}\n" for i in (3, 1, 4, 15, 9, 2))
    with pytest.raises(DataError, match=r"^6 examples (of 2 classes )?cannot be split with test 0"):
        load(tmp_path, f"x,y\n{rows}", TableOptions("y", test=fraction, stratify=stratify))


def test_a_missing_value_is_replaced_by_the_mean_of_the_training_part(tmp_path: Path) -> None:
    dataset = load(tmp_path, MISSING, TableOptions("y", "mean"))
    x = dataset.standardised(np.array([0, 1, 3])).x_train  # x of 1 and 5 there; r, s, s
    np.testing.assert_allclose(x[:, 0], [-1, 0, 0, 1])
    np.testing.assert_allclose(x[2, 1:], [1 / 3, 2 / 3], rtol=1e-6)


def test_rows_with_missing_values_can_be_dropped(tmp_path: Path) -> None:
    dataset = load(tmp_path, MISSING, TableOptions("y", "drop"))
    assert dataset.x_train.tolist() == [[1, 1, 0], [5, 0, 1]]


def test_a_column_without_a_value_in_the_training_part_has_no_mean(tmp_path: Path) -> None:
    dataset = load(tmp_path, "x,z,y\n,1,a\n,2,b\n1,3,a\n2,4,b\n", TableOptions("y", "mean"))
    with pytest.raises(DataError, match="column x: all values in the training part are missing"):
        dataset.standardised(np.array([0, 1]))


@pytest.mark.parametrize(
    ("labels", "classes", "keys"),
    [
        (("b", "a", "b"), ("a", "b"), [1, 0, 1]),
        (("10", "9", "10"), ("9", "10"), [1, 0, 1]),
        (("1.0", "2.0", "3.0"), ("1", "2", "3"), [0, 1, 2]),
        (("True", "False", "True"), ("False", "True"), [1, 0, 1]),
        (("-1", "1", "-1"), ("-1", "1"), [0, 1, 0]),
    ],
)
def test_labels_of_any_kind_are_classes_in_sorted_order(
    tmp_path: Path, labels: tuple[str, ...], classes: tuple[str, ...], keys: list[int]
) -> None:
    text = "x,y\n" + "".join(f"{i * i},{label}\n" for i, label in enumerate(labels))
    dataset = load(tmp_path, text, TableOptions("y"))
    assert columns_of(dataset).classes == classes
    assert dataset.y_train.tolist() == keys


@pytest.mark.parametrize("kind", ["csv", "pandas", "polars", "pyarrow", "mapping"])
def test_every_form_of_a_table_is_the_same_data(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path, PENGUINS)
    table = pl.read_csv(path)
    forms: dict[str, Any] = {
        "pandas": pd.read_csv(path),
        "polars": table,
        "pyarrow": table.to_arrow(),
        "mapping": {column.name: column.to_list() for column in table},
    }
    expected = load_table(path, SPECIES).digests
    raw = read_table(path) if kind == "csv" else read_columns(forms[kind], "frame")
    assert encode(raw, SPECIES, "any").digests == expected


def test_frames_are_told_from_arrays() -> None:
    assert all(map(is_columns, (pd.DataFrame({"a": [1]}), pl.DataFrame({"a": [1]}), {"a": [1]})))
    assert not any(map(is_columns, (np.eye(2), [[1, 2]], 3, None)))


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (pd.DataFrame({"a": pd.to_datetime(["2020-01-01"])}), "is of type|of type"),
        (pl.DataFrame({"a": [[1, 2]]}), "row 1 is '\\[1, 2\\]', of type list, which is not read"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "frame"),
        (pl.DataFrame({"a": []}), "frame: has no rows"),
        (pl.DataFrame(), "frame: has no columns"),
        ({"a": [1, 2], "b": [1]}, r"frame: the columns have \[1, 2\] values"),
    ],
)
def test_what_is_no_frame_of_numbers_and_words_is_refused(frame: Any, told: str) -> None:
    with pytest.raises(DataError, match=told):
        read_columns(frame, "frame")


def rows_of(n: int, row: str) -> str:
    return "".join(row.format(i=i, j=i % 3, k=i % 7) + "\n" for i in range(n))


REFUSED = [
    (
        'which column is the label, the one to predict? Name it, as label = "NAME"',
        PENGUINS,
        TableOptions(),
    ),
    ("label: there is no column 'specie'; its columns are bill,", PENGUINS, TableOptions("specie")),
    ("leave_out: there is no column 'id'", PENGUINS, TableOptions("species", leave_out=("id",))),
    (
        "leave_out: 'species' is the label",
        PENGUINS,
        TableOptions("species", leave_out=("species",)),
    ),
    (
        "has no column besides the label: no features",
        "a,y\n1,x\n2,z\n",
        TableOptions("y", leave_out=("a",)),
    ),
    (
        "column x: row 2 is 1e+308, and numbers must be below 3.4e+38: correct it, or use other",
        "x,y\n1,a\n1e308,b\n",
        TableOptions("y"),
    ),
    ("column x: row 1 is inf, and numbers", "x,y\ninf,a\n1,b\n", TableOptions("y")),
    (
        "column d: holds dates or times, as in '2020-01-31': convert them to numbers (days since",
        "d,y\n2020-01-31,a\n2021-01-31,b\n",
        TableOptions("y"),
    ),
    ("column d: holds dates or times", "d,y\n31.1.2020 10:00,a\n1.2.2020,b\n", TableOptions("y")),
    ("label y: every label is a: at least 2 classes", "x,y\n1,a\n2,a\n", TableOptions("y")),
    (
        "label y: 30 different labels in 30 rows: they look like names of rows",
        "x,y\n" + rows_of(30, "{j},name{i}"),
        TableOptions("y"),
    ),
    (
        "label y: 30 different labels in 30 rows: they look like regression, and jmlp predicts",
        "x,y\n" + rows_of(30, "{j},{i}"),
        TableOptions("y"),
    ),
    (
        "label y: row 2 is 1.5: labels that are not whole numbers look like regression",
        "x,y\n1,1\n5,1.5\n",
        TableOptions("y"),
    ),
    (
        "column x: is 4 in every row, so nothing can be learned from it: leave it out (leave_out",
        "x,y\n4,a\n4,b\n",
        TableOptions("y"),
    ),
    ("column x: is 'r' in every row, so nothing", "x,y\nr,a\nr,b\n", TableOptions("y")),
    (
        "column x: 30 different words in 30 rows, as in 'w0': they are no categories: leave it",
        "x,y\n" + rows_of(30, "w{i},{j}"),
        TableOptions("y"),
    ),
    (
        "column id only counts the rows: leave it out (leave_out = ['id'], or --leave-out id)",
        "id,x,y\n" + "".join(f"{i},{i * i},{'ab'[i % 2]}\n" for i in range(1, 13)),
        TableOptions("y"),
    ),
    ("column x: has no values: leave it out", "x,z,y\n,1,a\n,2,b\n", TableOptions("y", "drop")),
    ("row 2, column y: the label is missing", "x,y\n1,a\n2,\n3,b\n", TableOptions("y", "mean")),
    ("every row has a missing value", "x,z,y\n1,,a\n,2,b\n", TableOptions("y", "drop")),
]


@pytest.mark.parametrize(("told", "text", "options"), REFUSED)
def test_what_cannot_be_trained_on_is_refused_with_place_and_remedy(
    tmp_path: Path, told: str, text: str, options: TableOptions
) -> None:
    with pytest.raises(DataError) as error:
        load(tmp_path, text, options)
    assert str(error.value).startswith(f"{tmp_path / 'table.csv'}: {told}")


# ---- test set


def test_a_test_table_has_the_columns_of_the_training_table_in_any_order(tmp_path: Path) -> None:
    test = written(tmp_path, "species,island,mass,bill\nGentoo,Dream,4000,40\n", "test.csv")
    dataset = load(tmp_path, PENGUINS, TableOptions("species", test=str(test)))
    assert dataset.x_test is not None
    assert dataset.y_test is not None
    assert dataset.x_test.tolist() == [[40, 4000, 0, 1, 0]]
    assert dataset.y_test.tolist() == [2]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("bill,mass,species\n1,2,Adelie\n", "has no column island; its columns are bill, mass"),
        (
            HEADER + "1,2,Dream,Emperor\n",
            "row 1, label species: 'Emperor' is no class of the training table (Adelie, Chinstrap,",
        ),
        (
            HEADER + "1,2,Dream,Adelie\n1,2,Mars,Adelie\n",
            "column island: row 2 is 'Mars', which the training table does not have; its levels "
            "are Biscoe, Dream, Torgersen",
        ),
        (HEADER + "heavy,2,Dream,Adelie\n", "column bill: row 1 is 'heavy', and the network was"),
        (HEADER + "1,,Dream,Adelie\n", "row 1, column mass: the value is missing"),
    ],
)
def test_a_test_table_that_does_not_fit_is_refused(tmp_path: Path, text: str, told: str) -> None:
    test = written(tmp_path, text, "test.csv")
    with pytest.raises(DataError) as error:
        load(tmp_path, PENGUINS, TableOptions("species", test=str(test)))
    assert str(error.value).startswith(f"{test}: {told}")


def test_a_held_out_test_set_is_stratified_and_the_same_each_time(tmp_path: Path) -> None:
    text = "x,y\n" + "".join(f"{i * i},{'ab'[i % 4 == 0]}\n" for i in range(40))
    options = TableOptions("y", test=0.25)
    first, second = load(tmp_path, text, options), load(tmp_path, text, options)
    assert first.y_test is not None
    assert np.bincount(first.y_test).tolist() == [8, 2]  # of 30 and 10, the larger class first
    assert first.digests == second.digests
    whole = load(tmp_path, text, TableOptions("y"))
    assert first.x_test is not None
    together = np.concatenate([first.x_train, first.x_test])
    assert sorted(together.ravel()) == sorted(whole.x_train.ravel())


# ---- identity


def test_digests_change_with_values_labels_names_and_what_is_done_about_missing(
    tmp_path: Path,
) -> None:
    variants = (
        PENGUINS,
        PENGUINS.replace("3750", "3751"),
        PENGUINS.replace("Torgersen,Adelie\n46", "Torgersen,Gentoo\n46"),
        PENGUINS.replace("Dream", "Dreams"),
        PENGUINS.replace("bill", "beak"),
        "mass,bill" + PENGUINS.removeprefix("bill,mass"),
    )
    digests = [tuple(load(tmp_path, text).digests.values()) for text in variants]
    digests.append(
        tuple(load(tmp_path, PENGUINS, TableOptions("species", "mean")).digests.values())
    )
    assert len(set(digests)) == len(digests)


def test_without_stratification_parts_are_random_and_the_data_are_others(tmp_path: Path) -> None:
    n = 100
    text = "a,kind\n" + "".join(f"{i * 7 % 13},{'xy'[i % 5 != 0]}\n" for i in range(n))
    options = TableOptions("kind", test=0.2)
    stratified = load(tmp_path, text, options)
    random = load(tmp_path, text, replace(options, stratify=False))
    found = random.split(3, 0.25)
    for part, expected in zip(found, split(80, 3, 0.25), strict=True):
        np.testing.assert_array_equal(part, expected)
    held_out = np.sort(split(n, HOLD_OUT_SEED, 0.2)[1])
    np.testing.assert_array_equal(random.y_test, held_out % 5 != 0)
    assert random.digests["columns"] != stratified.digests["columns"]
    assert random.standardised(found[0]).stratify is False


def test_what_is_said_of_missing_values_replaces_what_holds_for_a_set() -> None:
    assert columns_of(load_data("penguins")).missing == "drop"
    assert columns_of(load_data("penguins", options=TableOptions(missing="mean"))).missing == "mean"
    with pytest.raises(DataError, match="the value is missing"):
        load_data("penguins", options=TableOptions(missing="error"))
    # Written by a version in which "error" was the default.
    old: dict[str, Any] = {
        "label": "",
        "missing": "error",
        "leave_out": [],
        "header": None,
        "test": "",
    }
    assert stored_options(old) == TableOptions()
    assert stored_options(asdict(TableOptions(missing="error"))).missing == "error"


def test_stratify_is_refused_for_what_is_no_table() -> None:
    for name in ("synthetic", "moons:n=20"):
        with pytest.raises(DataError, match="test and stratify are only for tables"):
            load_data(name, options=TableOptions(stratify=False))


def test_digests_depend_on_nothing_else(tmp_path: Path) -> None:
    same = (
        PENGUINS,
        PENGUINS.replace(",", ";"),
        PENGUINS.replace("3750", "3750.0"),
        PENGUINS.replace("Dream", '"Dream"'),
    )
    assert len({tuple(load(tmp_path, text).digests.values()) for text in same}) == 1


# ---- the contract


def trained_contract(dataset: Dataset) -> Contract:
    from dataclasses import replace

    return replace(contract_of(dataset), scale=dataset.scale(np.arange(len(dataset.y_train))))


def test_rows_in_any_form_become_the_same_inputs(tmp_path: Path) -> None:
    dataset = load(tmp_path, PENGUINS)
    contract = trained_contract(dataset)
    expected = dataset.standardised(np.arange(6)).x_train
    frame = pl.read_csv(tmp_path / "table.csv")
    features = frame.drop("species").to_numpy()
    for rows in (frame, frame.to_pandas(), frame.select("island", "mass", "bill"), features):
        np.testing.assert_array_equal(contract.inputs_of(rows), expected)
    one = {"bill": 39.1, "mass": 3750, "island": "Torgersen"}
    np.testing.assert_array_equal(contract.inputs_of(one), expected[:1])


def test_a_level_that_training_did_not_have_is_refused_by_name(tmp_path: Path) -> None:
    contract = trained_contract(load(tmp_path, PENGUINS))
    with pytest.raises(DataError) as error:
        contract.inputs_of({"bill": 1.0, "mass": 2.0, "island": "Mars"})
    assert str(error.value) == (
        "rows: column island: row 1 is 'Mars', which the training table does not have; its levels "
        "are Biscoe, Dream, Torgersen"
    )


def test_a_table_is_never_a_picture(tmp_path: Path) -> None:
    text = "a,b,c,d,y\n1,5,2,7,u\n2,3,4,1,v\n"
    contract = trained_contract(load(tmp_path, text, TableOptions("y")))
    assert (contract.n_in, contract.plane, contract.has_placed_strokes) == (4, None, False)
    check_contract(contract)


@pytest.mark.parametrize(
    "change",
    [
        {"n_classes": 4},
        {"image_shape": (3,)},
        {"columns": None},
    ],
)
def test_a_contract_that_no_table_has_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    from dataclasses import replace

    contract = replace(trained_contract(load(tmp_path, PENGUINS)), **change)
    with pytest.raises(ValueError, match=r"columns|names of 4 classes|scale"):
        check_contract(contract)


def test_scale_of_other_inputs_is_refused(tmp_path: Path) -> None:
    dataset = load(tmp_path, PENGUINS)
    scale = dataset.scale(np.arange(3))
    columns = columns_of(load(tmp_path, "x,y\n1,a\n2,b\n", TableOptions("y")))
    with pytest.raises(ValueError, match="its scale is not that of 1 inputs"):
        check_columns(columns, scale)


@given(
    st.lists(st.floats(-1e30, 1e30, allow_nan=False, allow_subnormal=False), min_size=2, max_size=9)
)
def test_standardised_numbers_have_mean_0_and_deviation_1(values: list[float]) -> None:
    columns = Columns(features=(table_column("x"),), label="y", classes=("a", "b"), missing="error")
    raw = np.array(values)[:, None]
    rows = np.arange(len(values))
    z = standardise(columns, scale_of(columns, raw, rows), raw).astype(np.float64)
    assert np.isfinite(z).all()
    spread = raw.max() - raw.min()
    if spread > 1e-6 * np.abs(raw).max():
        assert abs(z.mean()) < 1e-5
        assert z.std() == pytest.approx(1, rel=1e-5)


def test_a_row_is_read_back_as_it_stood_in_the_table(tmp_path: Path) -> None:
    text = (
        "bill,mass,island,species\n"
        "39.1,3750,Torgersen,Adelie\n"
        ",3500,,Gentoo\n"
        "-4.75e-7,1e21,Biscoe,Gentoo\n"
        "0.1,3450,Biscoe,Adelie\n"
    )
    dataset = load(tmp_path, text, TableOptions("species", "mean"))
    features = columns_of(dataset).features
    assert [row_texts(features, row) for row in dataset.x_train.astype(np.float64)] == [
        ("39.1", "3750", "Torgersen"),
        (None, "3500", None),
        ("-4.75e-07", "1e+21", "Biscoe"),
        ("0.1", "3450", "Biscoe"),
    ]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_text_of_a_number_is_that_number(value: float) -> None:
    text = number_text(value)
    assert float(text) == value or np.float32(text) == value


def test_numbers_of_float32_have_no_digits_that_they_do_not_know() -> None:
    assert number_text(float(np.float32(0.1))) == "0.1"
    assert number_text(0.1) == "0.1"
    assert number_text(3.0) == "3"


@pytest.mark.parametrize(
    ("shape", "dtype", "low", "high", "names"),
    [
        ((2,), "float32", -1.2, 1.3, ("input 0", "input 1")),  # a toy
        ((4,), "float32", 0.1, 7.9, ("input 0", "input 1", "input 2", "input 3")),
        ((4,), "float32", 0.0, 1.0, ()),  # brightness of a square
        ((28, 28), "uint8", 0.0, 255.0, ()),
        ((784,), "uint8", 0.0, 255.0, ()),
        ((32, 32, 3), "uint8", 0.0, 255.0, ()),
    ],
)
def test_flat_numbers_are_a_row_and_pixels_are_not(
    shape: tuple[int, ...], dtype: Any, low: float, high: float, names: tuple[str, ...]
) -> None:
    contract = Contract(shape, 3, dtype, low, high)
    assert tuple(column.name for column in contract.row) == names


def test_an_example_of_a_table_is_a_row_of_its_features(tmp_path: Path) -> None:
    dataset = load(tmp_path, PENGUINS)
    assert contract_of(dataset).row == columns_of(dataset).features


def table_column(name: str) -> Any:
    from jmlp.data.columns import Column

    return Column(name)
