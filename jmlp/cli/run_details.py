"""`jmlp runs show` and `jmlp runs diff`: everything about a run, and how two runs differ."""

import textwrap
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from jmlp.cli.output import Output
from jmlp.cli.runs import RUN
from jmlp.cli.store_option import StoreOption, find_one
from jmlp.client import texts
from jmlp.client.differences import (
    Values,
    data_texts,
    differing,
    first_difference,
    first_difference_text,
    hyperparams_texts,
    made_with_texts,
    numbers_text,
    outcome_texts,
    same_numbers,
    sections,
    side_by_side,
)
from jmlp.system.streams import shown
from jmlp.training.records import epoch_text

if TYPE_CHECKING:
    from rich.console import Console

    from jmlp.store import Event, RunRow
    from jmlp.training.records import CostPoint, RunResult

PADDING = 9  # around three columns


def show(
    run: Annotated[str, RUN],
    /,
    *,
    costs: Annotated[
        bool, Parameter(negative=(), help="Print every point of the cost curve, not just three.")
    ] = False,
    store: StoreOption = StoreOption(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> None:
    """Print everything known about a run."""
    from jmlp.store.paths import path_of
    from jmlp.system.files import is_there

    with store.open(viewer=True) as opened:
        row = find_one(opened, run)
        points = opened.points(row.run_id)
        events = opened.events(run_id=row.run_id)
        data = opened.about_run(row.run_id)["data"]
        file = path_of(opened.folder, row.run_id)
        if out.json:
            out.print_json(
                {
                    **texts.row_table(row),
                    "file": str(file) if is_there(file) else None,
                    "data": data,
                    "costs": texts.costs_table(points),
                    "events": [texts.event_table(event) for event in events],
                }
            )
            return
        console = out.console()
        place = str(file) if is_there(file) else "none yet"
        _section(console, f"run {row.run_id}", _identity(row) | {"file": place})
        _section(console, "Hyperparameters", hyperparams_texts(row))
        if row.result is not None:
            _section(console, "Outcome", outcome_texts(row.result, exact=False))
        if points:
            _costs(console, points, row, costs, out)
        if row.result is not None:
            _section(console, "Made with", made_with_texts(row.result))
        _section(console, "Data", data_texts(data))
        if events:
            _events(console, events, out)


def diff(
    first: Annotated[str, RUN],
    second: Annotated[str, RUN],
    /,
    *,
    store: StoreOption = StoreOption(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> None:
    """Print how two runs differ, side by side."""
    with store.open(viewer=True) as opened:
        rows = [find_one(opened, name) for name in (first, second)]
        found = differing(side_by_side([sections(opened, row) for row in rows]))
        same = same_numbers(opened.folder, [row.run_id for row in rows])
        update = first_difference(*(opened.points(row.run_id) for row in rows))
        if out.json:
            out.print_json(
                {
                    "runs": [row.run_id for row in rows],
                    "differences": found,
                    "same_numbers": same,
                    "first_different_update": update,
                }
            )
            return
        ids = texts.short_ids([row.run_id for row in rows])
        _print_differences(found, [ids[row.run_id] for row in rows], out)
        if update is not None:
            print(first_difference_text(update))
        print(numbers_text(same))


def _identity(row: "RunRow") -> dict[str, str]:
    return {
        "number": str(row.number),
        "studies": ", ".join(row.studies) or texts.MISSING,
        "experiments": ", ".join(row.result.experiments) if row.result else texts.MISSING,
        "state": _state(row),
        "tags": ", ".join(row.tags) or texts.MISSING,
        "seed": str(row.seed),
        "split seed": str(row.split_seed),
        "attempt": str(row.attempt),
        "ended": texts.MISSING if row.ended_at is None else f"{texts.time_text(row.ended_at)} UTC",
        "trained for": _training_time(row.result),
    }


def _training_time(result: "RunResult | None") -> str:
    if result is None or result.training_seconds is None:
        return texts.MISSING
    return f"{result.training_seconds:.1f} s"


def _state(row: "RunRow") -> str:
    text = texts.state_text(row)
    return text if row.failure is None else f"{text} (code {row.code}): {row.failure}"


def _section(console: "Console", title: str, values: Values) -> None:
    """Prints one value per line, never wrapped, so that it can be copied."""
    from jmlp.cli.show import heading

    heading(console, title)
    width = max(map(len, values))
    for name, text in values.items():
        print(f"  {name:<{width}}  {shown(text)}")


def _costs(
    console: "Console", points: Sequence["CostPoint"], row: "RunRow", all_: bool, out: Output
) -> None:
    """Prints the first, the best and the last point, or all of them."""
    from jmlp.cli.show import Column, heading, print_grid

    best = row.result.best_epoch if row.result else None
    names: dict[int, list[str]] = defaultdict(list)
    names[0].append("first")
    for index, p in enumerate(points):
        if p.epoch == best:
            names[index].append("best")
    names[len(points) - 1].append("last")
    costs = ("batch cost", "training cost", "validation cost")
    accuracies = ("training accuracy %", "validation accuracy %")
    columns = [
        Column(""),
        *(Column(title, "right") for title in ("epoch", "update")),
        *(Column(title, "right", "cost") for title in costs),
        *(Column(title, "right", "accuracy") for title in accuracies),
    ]
    cells = [
        [
            ", ".join(names.get(index, ())),
            epoch_text(p.epoch),
            str(p.step),
            *map(texts.cost_text, (p.batch_cost, p.training_cost, p.validation_cost)),
            *map(texts.percent_text, (p.training_accuracy, p.validation_accuracy)),
        ]
        for index, p in enumerate(points)
        if all_ or index in names
    ]
    heading(console, f"Costs ({len(points)} points)")
    print_grid(console, columns, cells, out)


def _events(console: "Console", events: Sequence["Event"], out: Output) -> None:
    from jmlp.cli.show import heading

    heading(console, "Events")
    for event in events:
        step = "" if event.step is None else f" at update {event.step}"
        detail = f": {event.detail}" if event.detail else ""
        print(f"  {texts.time_text(event.at)} UTC  {shown(event.kind + step + detail)}")


def _print_differences(
    found: Mapping[str, Mapping[str, tuple[str, ...]]], ids: Sequence[str], out: Output
) -> None:
    from jmlp.cli.show import Column, heading, print_grid

    console = out.console()
    for section, pairs in found.items():
        heading(console, section)
        space = (console.width - max(map(len, pairs)) - PADDING) // 2
        cells = [
            [name, *(textwrap.fill(shown(text), max(space, texts.SHORT_ID)) for text in pair)]
            for name, pair in pairs.items()
        ]
        print_grid(console, [Column(""), *map(Column, ids)], cells, out)
    if found:
        print()
