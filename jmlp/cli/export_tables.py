"""Exports stored runs as one document: JSON and CSV as in a report, or Parquet."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from jmlp.cli.extras import needs
from jmlp.errors import StoreError
from jmlp.report.files import results_csv, results_head, results_json
from jmlp.results.serialization import FLAT_FIELDS
from jmlp.study.config import Hyperparams, Study
from jmlp.study.rules import PER_LAYER
from jmlp.training.records import CostPoint, RunResult

if TYPE_CHECKING:
    from jmlp.store import RunRow, Store


def json(store: "Store", rows: Sequence["RunRow"], results: Sequence[RunResult]) -> bytes:
    """The content of a `results.json`; if runs belong to several studies, it names all of them.

    Raises:
        StoreError: the runs use different data, and the document can describe only one data set.
    """
    common = [label for label in rows[0].studies if all(label in row.studies for row in rows)]
    labels = common[:1] or sorted({label for row in rows for label in row.studies})
    studies = [store.study(label) for label in labels]
    of_runs = _data_of(store, rows)
    data = studies[0].data if studies else of_runs[0]
    if any(other["digests"] != data["digests"] for other in of_runs):
        names = sorted({str(other["name"]) for other in of_runs})
        raise StoreError(
            f"the runs use different data ({', '.join(names)}); export one study at a time"
        )
    head = results_head(
        Study(", ".join(study.name for study in studies), (), data["name"]),
        data["source"],
        data["digests"],
        "; ".join(study.command for study in studies),
        datetime.now(UTC),
    )
    return results_json(head, results).encode("utf-8", "backslashreplace")


def _data_of(store: "Store", rows: Sequence["RunRow"]) -> list[Mapping[str, Any]]:
    """The data of each run: those of a study that it belongs to, or as recorded with the run."""
    studies = {row.studies[0] for row in rows if row.studies}
    of_study = {label: store.study(label).data for label in studies}
    return [
        of_study[row.studies[0]] if row.studies else store.about_run(row.run_id)["data"]
        for row in rows
    ]


def csv(store: "Store", rows: Sequence["RunRow"], results: Sequence[RunResult]) -> bytes:
    """The content of a `results.csv`: one row per run, without costs, safe in any spreadsheet."""
    return results_csv(results, _data_of(store, rows)).encode("utf-8", "backslashreplace")


def parquet(store: "Store", rows: Sequence["RunRow"], results: Sequence[RunResult]) -> bytes:
    """A Parquet file with one row per run; its costs are a list of points, its versions a map.

    Raises:
        ConfigError: the package pyarrow is not installed.
    """
    with needs("pyarrow", "--as parquet"):
        import pyarrow as pa
        from pyarrow import parquet as pq

    hints = get_type_hints(RunResult)
    columns = {name: _arrow_type(pa, hints[name]) for name in FLAT_FIELDS}
    columns |= {name: _arrow_type(pa, hint) for name, hint in get_type_hints(Hyperparams).items()}
    columns |= {"data": pa.string(), "data_source": pa.string()}
    columns["data_digests"] = pa.map_(pa.string(), pa.string())
    columns |= {"device": pa.string(), "width": pa.int64(), "can_drop": pa.bool_()}
    columns["flags"] = pa.string()
    columns["settings"] = columns["versions"] = pa.map_(pa.string(), pa.string())
    columns["source"] = pa.string()
    columns |= {"studies": pa.list_(pa.string()), "tags": pa.list_(pa.string())}
    point = [(name, _arrow_type(pa, hint)) for name, hint in get_type_hints(CostPoint).items()]
    columns["costs"] = pa.list_(pa.struct(point))
    each = zip(rows, results, _data_of(store, rows), strict=True)
    values = [_row(row, result, data) for row, result, data in each]
    table = pa.Table.from_pylist(values, schema=pa.schema(list(columns.items())))
    pq.write_table(table, file := io.BytesIO())
    return file.getvalue()


def _row(row: "RunRow", result: RunResult, data: Mapping[str, Any]) -> dict[str, Any]:
    hp = {f.name: getattr(result.hyperparams, f.name) for f in fields(Hyperparams)}
    hp |= {name: hp[name] if isinstance(hp[name], tuple) else (hp[name],) for name in PER_LAYER}
    hp["evaluate_every"] = str(hp["evaluate_every"])
    where = result.provenance
    return {
        **{name: getattr(result, name) for name in FLAT_FIELDS},
        **hp,
        "data": data["name"],
        "data_source": data["source"],
        "data_digests": list(data["digests"].items()),
        "device": where.device,
        "width": where.width,
        "can_drop": where.can_drop,
        "flags": where.flags,
        "settings": None if where.settings is None else list(where.settings.items()),
        "source": where.source,
        "versions": list(where.versions.items()),
        "studies": row.studies,
        "tags": row.tags,
        "costs": [asdict(point) for point in result.costs],
    }


def _arrow_type(pa: Any, hint: Any) -> Any:
    """The Arrow type of a column.

    One that holds either a value or a list is a list; one that holds a number or a word is a text.
    """
    arguments = [a for a in get_args(hint) if a is not type(None) and a is not ...]
    if lists := [a for a in arguments if get_origin(a) is tuple]:
        return _arrow_type(pa, lists[0])
    if get_origin(hint) is tuple:
        return pa.list_(_arrow_type(pa, arguments[0]))
    if any(get_origin(a) is Literal for a in arguments):
        return pa.string()
    if get_origin(hint) is UnionType:
        return _arrow_type(pa, arguments[-1])
    if get_origin(hint) is Literal:
        return pa.string()
    return {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}[hint]
