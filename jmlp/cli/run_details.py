"""`jmlp runs show` and `jmlp runs diff`: all that is known of a run, and what two differ in."""

import textwrap
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from jmlp.cli import run_words as words
from jmlp.cli.output import Output, shown
from jmlp.cli.runs import RUN
from jmlp.cli.storing import StoreOption, find_one

if TYPE_CHECKING:
    from rich.console import Console

    from jmlp.results import CostPoint, RunResult
    from jmlp.store import Event, RunRow, Store
    from jmlp.store.run_files import StoredRun

OUTCOME = (
    "best_epoch",
    "stopped_epoch",
    "reached_limit",
    "collapsed",
    "diverged_at",
    *(
        f"{part}_{what}"
        for what in ("accuracy", "cost")
        for part in ("training", "validation", "test")
    ),
)
PADDING = 9  # around three columns
Values = Mapping[str, str]  # texts by name


def show(
    run: Annotated[str, RUN],
    /,
    *,
    costs: Annotated[
        bool, Parameter(negative=(), help="Every point of the cost curve, not three of them.")
    ] = False,
    store: StoreOption = StoreOption(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> None:
    """Print all that is known of a run."""
    from jmlp.store.paths import path_of

    with store.open(viewer=True) as opened:
        row = find_one(opened, run)
        points = opened.points(row.run_id)
        events = opened.events(run_id=row.run_id)
        data = opened.about_run(row.run_id)["data"]
        file = path_of(opened.folder, row.run_id)
        if out.json:
            out.print_json(
                {
                    **words.row_table(row),
                    "file": str(file) if file.exists() else None,
                    "data": data,
                    "costs": words.costs_table(points),
                    "events": [words.event_table(event) for event in events],
                }
            )
            return
        console = out.console()
        place = str(file) if file.exists() else "none yet"
        _section(console, f"run {row.run_id}", _identity(row) | {"file": place})
        _section(console, "Hyperparameters", _hyperparams(row))
        if row.result is not None:
            _section(console, "Outcome", _outcome(row.result, exact=False))
        if points:
            _costs(console, points, row, costs, out)
        if row.result is not None:
            _section(console, "Made with", _made_with(row.result))
        _section(console, "Data", _data(data))
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
    """Print what two runs differ in, side by side."""
    with store.open(viewer=True) as opened:
        rows = [find_one(opened, name) for name in (first, second)]
        sections = _differences(*(_everything(opened, row) for row in rows))
        same = _same_numbers(opened, rows)
        parting = _parting(*(opened.points(row.run_id) for row in rows))
        if out.json:
            out.print_json(
                {
                    "runs": [row.run_id for row in rows],
                    "differences": sections,
                    "same_numbers": same,
                    "first_different_update": parting,
                }
            )
            return
        ids = words.short_ids([row.run_id for row in rows])
        _print_differences(sections, [ids[row.run_id] for row in rows], out)
        if parting is not None:
            print(f"Their cost curves differ from update {parting} on.")
        if same is None:
            print("Not all numbers can be compared: a run that has not ended has no file.")
        else:
            print("The same numbers, to the last bit." if same else "Not the same numbers.")


def _identity(row: "RunRow") -> dict[str, str]:
    return {
        "number": str(row.number),
        "studies": ", ".join(row.studies) or words.MISSING,
        "experiments": ", ".join(row.result.experiments) if row.result else words.MISSING,
        "state": _state(row),
        "tags": ", ".join(row.tags) or words.MISSING,
        "seed": str(row.seed),
        "split seed": str(row.split_seed),
        "attempt": str(row.attempt),
        "ended": words.MISSING if row.ended_at is None else f"{words.time_text(row.ended_at)} UTC",
    }


def _state(row: "RunRow") -> str:
    text = words.state_text(row)
    return text if row.failure is None else f"{text} (code {row.code}): {row.failure}"


def _hyperparams(row: "RunRow") -> dict[str, str]:
    values = words.settings(row.hyperparams)
    return {words.words(name): words.text_of(name, value) for name, value in values.items()}


def _outcome(result: "RunResult", *, exact: bool) -> dict[str, str]:
    """By name; exact numbers have all their digits, for where they are compared."""
    texts = {}
    for name in OUTCOME:
        value = getattr(result, name)
        text = words.text_of("", value)
        if isinstance(value, float) and not exact:
            is_cost = name.endswith("cost")
            text = words.cost_text(value) if is_cost else f"{words.percent_text(value)} %"
        texts[words.words(name)] = text
    return texts


def _made_with(result: "RunResult") -> dict[str, str]:
    where = result.provenance
    versions = {f"version of {package}": text for package, text in sorted(where.versions.items())}
    lanes = {"device": where.device, "lane width": str(where.width), "program": where.program}
    return {**lanes, "XLA flags": where.flags or "none", **versions}


def _data(data: Mapping[str, Any]) -> dict[str, str]:
    digests = {f"SHA-256 of {array}": digest for array, digest in data["digests"].items()}
    return {"name": data["name"], "source": data["source"], **digests}


def _section(console: "Console", title: str, values: Values) -> None:
    """One value a line, never folded, so that it can be copied."""
    from jmlp.cli.show import heading

    heading(console, title)
    width = max(map(len, values))
    for name, text in values.items():
        print(f"  {name:<{width}}  {shown(text)}")


def _costs(
    console: "Console", points: Sequence["CostPoint"], row: "RunRow", all_: bool, out: Output
) -> None:
    """The first, the best and the last point, or all of them."""
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
            str(p.epoch),
            str(p.step),
            *map(words.cost_text, (p.batch_cost, p.training_cost, p.validation_cost)),
            *map(words.percent_text, (p.training_accuracy, p.validation_accuracy)),
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
        print(f"  {words.time_text(event.at)} UTC  {shown(event.kind + step + detail)}")


def _everything(store: "Store", row: "RunRow") -> dict[str, dict[str, str]]:
    """What two runs can differ in, by section."""
    seeds = {"seed": str(row.seed), "split seed": str(row.split_seed)}
    result = row.result
    return {
        "Configuration": {**_hyperparams(row), **seeds},
        "Data": _data(store.about_run(row.run_id)["data"]),
        "Outcome": {
            "state": words.state_text(row),
            **(_outcome(result, exact=True) if result else {}),
        },
        "Made with": _made_with(result) if result else {},
    }


def _differences(
    first: Mapping[str, Values], second: Mapping[str, Values]
) -> dict[str, dict[str, tuple[str, str]]]:
    """Both values of whatever differs, by section and name; sections without any are left out."""
    found = {}
    for section in first:
        names = [*first[section], *(n for n in second[section] if n not in first[section])]
        pairs = {
            n: (first[section].get(n, words.MISSING), second[section].get(n, words.MISSING))
            for n in names
        }
        found[section] = {n: pair for n, pair in pairs.items() if pair[0] != pair[1]}
    return {section: pairs for section, pairs in found.items() if pairs}


def _print_differences(
    sections: Mapping[str, Mapping[str, tuple[str, str]]], ids: Sequence[str], out: Output
) -> None:
    from jmlp.cli.show import Column, heading, print_grid

    console = out.console()
    for section, pairs in sections.items():
        heading(console, section)
        space = (console.width - max(map(len, pairs)) - PADDING) // 2
        cells = [
            [name, *(textwrap.fill(shown(text), max(space, words.SHORT_ID)) for text in pair)]
            for name, pair in pairs.items()
        ]
        print_grid(console, [Column(""), *map(Column, ids)], cells, out)
    if sections:
        print()


def _parting(first: Sequence["CostPoint"], second: Sequence["CostPoint"]) -> int | None:
    """The update from which on two cost curves are not the same."""
    for a, b in zip_longest(first, second):
        if repr(a) != repr(b):  # by their digits, so that NaN is equal to itself
            return int((a or b).step)
    return None


def _same_numbers(store: "Store", rows: Sequence["RunRow"]) -> bool | None:
    """Whether parameters, snapshots, costs and outcomes are equal bit by bit; None: not all there.

    Raises:
        CheckpointError: a run's file is damaged.
    """
    from jmlp.store import run_files
    from jmlp.store.paths import path_of

    files = [path_of(store.folder, row.run_id) for row in rows]
    if not all(file.exists() for file in files):
        return None
    first, second = (_numbers(run_files.read(file)) for file in files)
    return first == second


def _numbers(stored: "StoredRun") -> dict[str, Any]:
    parts = {"best": stored.best, "last": stored.last, "snapshots": stored.snapshots}
    arrays = {
        f"{part}.{name}": (str(array.dtype), array.shape, array.tobytes())
        for part, tensors in parts.items()
        for name, array in tensors.items()
    }
    result = stored.result
    return {**arrays, **_outcome(result, exact=True), "costs": repr(result.costs)}
