"""`jmlp data`: lists, fetches, checks and locates data sets."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from jmlp.cli.output import Output
from jmlp.cli.table_flags import TableFlags
from jmlp.errors import ConfigError, DataError
from jmlp.study import data_names

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from jmlp.data import Dataset, TableOptions
    from jmlp.data.columns import Column

NAME = Parameter(help=data_names.HELP)
MOST_COLUMNS = 40  # that are listed
MANY_ROWS = 20  # in so many, whole numbers that all differ look like names of the rows


def list_(*, out: Output = Output()) -> None:  # noqa: B008 - frozen
    """List the named data sets, and whether they have been downloaded."""
    from jmlp import data

    entries = data.catalogue()
    if out.json:
        out.print_json(
            [
                {
                    "name": e.name,
                    "title": e.title,
                    "cached": e.cached,
                    "path": _text(e.path),
                    "problem": e.problem or None,
                    "parameters": dict(e.parameters),
                }
                for e in entries
            ]
        )
        return
    names, titles = (max(len(getattr(e, part)) for e in entries) for part in ("name", "title"))
    for entry in entries:
        state = "here" if entry.cached else entry.problem or "not here yet"
        if entry.parameters:
            state = ", ".join(f"{key}={value}" for key, value in entry.parameters.items())
        print(f"{entry.name:<{names}}  {entry.title:<{titles}}  {state}")
    print(
        "\nParameters are written after the name, as in moons:noise=0.2,n=2000: n points for\n"
        "training, and as many for the test; noise is their standard deviation."
    )


def get(name: Annotated[str, NAME] = "mnist", /, *, out: Output = Output()) -> None:  # noqa: B008
    """Download a data set, check it, and keep it."""
    from jmlp import data

    dataset = data.load(name, out.say)
    n_test = 0 if dataset.y_test is None else len(dataset.y_test)
    if out.json:
        out.print_json(
            {
                "name": dataset.name,
                "source": dataset.source,
                "training": len(dataset.y_train),
                "test": n_test,
                "classes": dataset.n_classes,
                "digests": dict(dataset.digests),
            }
        )
        return
    shape = " x ".join(map(str, dataset.image_shape))
    examples = f"images of {shape}" if len(dataset.image_shape) > 1 else f"rows of {shape} numbers"
    print(
        f"{dataset.name}: {len(dataset.y_train):,} training and {n_test:,} test {examples}, "
        f"{dataset.n_classes} classes; source: {dataset.source}"
    )


def check(
    name: Annotated[str, NAME] = "mnist",
    /,
    *,
    table: TableFlags = TableFlags(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> None:
    """Compare published data with their SHA-256, or describe a table; downloads nothing."""
    from jmlp import data
    from jmlp.data.sources import PUBLISHED, check_name
    from jmlp.data.table_file import is_table

    check_name(name)
    options = table_options(name, table)
    if name in PUBLISHED:
        arrays = data.check(name, options)
    else:
        dataset = data.load(name, options=options)
        arrays = data.checks_of(name, dataset)
        if dataset.columns is not None and not out.json:
            _describe_table(dataset)
    if out.json:
        out.print_json(
            [
                {
                    "array": a.array,
                    "shape": list(a.shape),
                    "sha256": a.sha256,
                    "expected": a.expected,
                    "ok": a.ok,
                }
                for a in arrays
            ]
        )
    else:
        for a in () if is_table(Path(name)) else arrays:
            word = "no digest is known" if a.expected is None else ("ok" if a.ok else "WRONG")
            print(f"{a.array:<8} {a.shape!s:<16} {a.sha256}  {word}")
    wrong = [a.array for a in arrays if not a.ok]
    if wrong:
        raise DataError(
            f"{name}: {', '.join(wrong)}: the SHA-256 is not the published one; delete the file "
            f"(jmlp data path {name}) and run: jmlp data get {name}"
        )


def table_options(name: str, table: TableFlags) -> "TableOptions":
    """The options of a table, checked by the rules of study files.

    Raises:
        ConfigError: an option is wrong.
    """
    from jmlp.study.schema import study_of
    from jmlp.training.plan import table_options as options_of

    return options_of(study_of("jmlp data", {"seeds": 1, "data": name, **table.settings()}))


def _describe_table(dataset: "Dataset") -> None:
    from jmlp.data.contract import contract_of

    columns = dataset.columns
    assert columns is not None
    n_test = 0 if dataset.y_test is None else len(dataset.y_test)
    held_out = f" for training, {n_test:,} for the test" if n_test else ""
    about = columns.sentence(dataset.n_classes)
    print(f"{dataset.source}: {len(dataset.y_train):,} rows{held_out}; {about}")
    counts = [0] * dataset.n_classes
    for label in dataset.y_train.tolist():
        counts[label] += 1
    names = contract_of(dataset).class_names
    classes = (f"{n:,} {name}" for name, n in zip(names, counts, strict=True))
    print(f"  {columns.label}: {', '.join(classes)}")
    if dataset.n_left_out:
        print(f"  {dataset.n_left_out:,} more rows have missing values, and are left out")
    start = 0
    for column in columns.features[:MOST_COLUMNS]:
        values = dataset.x_train[:, start]
        start += len(column.inputs)
        print(f"  {column.name}: {_described(column, values)}")
    if (more := len(columns.features) - MOST_COLUMNS) > 0:
        print(f"  and {more:,} more")
    if not n_test:
        print("  no test set (--test): no verdicts")


def _described(column: "Column", values: "NDArray[Any]") -> str:
    """What a column of a table holds.

    Args:
        column: the column.
        values: its numbers, or the first of its one-hot inputs; NaN where a value is missing.
    """
    import numpy as np

    absent = np.isnan(values)
    text = f"one of {', '.join(column.levels)}"
    if not column.levels:
        numbers = values[~absent]
        text = f"a number from {numbers.min():g} to {numbers.max():g}"
        whole = (numbers == np.rint(numbers)).all()
        if whole and len(numbers) > MANY_ROWS and len(np.unique(numbers)) == len(numbers):
            text += "; as all of them differ, leave it out if it only names the rows"
    if n := int(absent.sum()):
        text += f"; missing in {n:,} {'row' if n == 1 else 'rows'}, replaced by the mean"
    return text


def path(
    name: Annotated[str, NAME] = "mnist",
    /,
    *,
    out: Output = Output(),  # noqa: B008 - frozen
) -> None:
    """Print where a data set is kept, whether it exists or not."""
    from jmlp import data
    from jmlp.data.files import is_there

    if not name:
        raise ConfigError("jmlp data path: the name must not be empty; the current folder is .")
    places = {entry.name: entry.path for entry in data.catalogue()}
    place = places.get(name.partition(":")[0], Path(name))
    if place is None:
        raise DataError(f"{name}: is generated when it is used; there is no file")
    if out.json:
        exists = is_there(place) and os.path.exists(place)
        out.print_json({"name": name, "path": str(place), "exists": exists})
    else:
        print(place)


def _text(place: Path | None) -> str | None:
    return None if place is None else str(place)
