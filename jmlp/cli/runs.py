"""`jmlp runs`: lists stored runs, tags and deletes them, and prints the paths of their files."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from jmlp.cli.output import Output
from jmlp.cli.store_option import StoreOption, find, find_one
from jmlp.errors import ConfigError, StoreError
from jmlp.system.streams import shown

if TYPE_CHECKING:
    from jmlp.store import RunRow

RUN = Parameter(help="The first digits of a run's id, a tag, or last.")
RUNS = Parameter(
    help="First digits of ids, tags, names of studies, last, or all.",
    negative=(),
)
State = Literal["queued", "running", "stopped", "finished", "diverged", "failed"]
Order = Literal["number", "seed", "state", "ended", "validation-cost", "test-accuracy"]


def ls(
    study: Annotated[str | None, Parameter(help="Only the runs of this study.")] = None,
    /,
    *,
    state: Annotated[State | None, Parameter(help="Only runs in this state.")] = None,
    tag: Annotated[str | None, Parameter(help="Only runs with this tag.")] = None,
    sort: Annotated[
        Order, Parameter(help="The order: oldest first, last ended first, or best first.")
    ] = "number",
    limit: Annotated[int | None, Parameter(help="List at most this many runs.")] = None,
    store: StoreOption = StoreOption(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> None:
    """List runs, one per line."""
    if limit is not None and limit < 1:
        raise ConfigError(f"--limit: must be at least 1, got {limit}")
    from jmlp.client.texts import row_table

    with store.open(viewer=True) as opened:
        rows = opened.runs(study)
    chosen = [
        row
        for row in rows
        if (state is None or row.state == state) and (tag is None or tag in row.tags)
    ]
    chosen = sorted(chosen, key=ORDERS[sort])[:limit]
    if out.json:
        out.print_json([row_table(row) for row in chosen])
    elif chosen:
        _print_list(rows, chosen, study, out)
    else:
        out.say("there are no such runs" if rows else "there are no runs yet")


def path(
    run: Annotated[str, RUN],
    /,
    *,
    store: StoreOption = StoreOption(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> None:
    """Print the path of a run's file."""
    from jmlp.store.paths import path_of
    from jmlp.system.files import is_there

    with store.open(viewer=True) as opened:
        row = find_one(opened, run)
        file = path_of(opened.folder, row.run_id)
        if not is_there(file):
            raise StoreError(f"{row.run_id[:8]}: has no file yet: it is {row.state}")
        if out.json:
            out.print_json({"run_id": row.run_id, "path": str(file)})
        else:
            print(file)


def tag(
    runs: Annotated[list[str], RUNS],
    /,
    *,
    add: Annotated[
        list[str] | None,
        Parameter(help="A tag to add; may be given several times.", negative=()),
    ] = None,
    remove: Annotated[
        list[str] | None,
        Parameter(help="A tag to remove; may be given several times.", negative=()),
    ] = None,
    store: StoreOption = StoreOption(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> None:
    """Add tags to runs, or remove them."""
    if not add and not remove:
        raise ConfigError("jmlp runs tag: give a tag to add (--add TAG) or remove (--remove TAG)")
    with store.open() as opened:
        rows = find(opened, runs)
        for row in rows:
            for name in add or ():
                opened.tag(row.run_id, name)
            for name in remove or ():
                opened.untag(row.run_id, name)
        tagged = {row.run_id: opened.run(row.run_id).tags for row in rows}
        if out.json:
            out.print_json(tagged)
            return
        for run_id, tags in tagged.items():
            print(f"{run_id[:8]}  {shown(', '.join(tags) or 'no tags')}")


def rm(
    runs: Annotated[list[str], RUNS],
    /,
    *,
    yes: Annotated[
        bool, Parameter(name=("--yes", "-y"), negative=(), help="Do not ask for confirmation.")
    ] = False,
    store: StoreOption = StoreOption(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> None:
    """Delete runs permanently: their files, costs, events and tags."""
    from jmlp.client.deleting import delete

    with store.open() as opened:
        run_ids = [row.run_id for row in find(opened, runs)]
    what = "1 run" if len(run_ids) == 1 else f"{len(run_ids)} runs"
    if not yes and not _confirmed(f"delete {what} permanently? [y/n] "):
        out.say("nothing was deleted")
        return
    delete(store.folder(), run_ids)
    if out.json:
        out.print_json(run_ids)
    else:
        out.say(f"deleted {what}")


def _missing_last(value: float | None) -> tuple[bool, float]:
    """A sort key that puts missing values last, whatever the order of the others."""
    return (value is None, value or 0.0)


def _outcome(row: "RunRow", name: str) -> float | None:
    return None if row.result is None else getattr(row.result, name)


def _negative(value: float | None) -> float | None:
    return None if value is None else -value


ORDERS: dict[str, Callable[["RunRow"], Any]] = {
    "number": lambda row: row.number,
    "seed": lambda row: (row.seed, row.number),
    "state": lambda row: (row.state, row.number),
    "ended": lambda row: (*_missing_last(_negative(row.ended_at)), -row.number),
    "validation-cost": lambda row: (*_missing_last(_outcome(row, "validation_cost")), row.number),
    "test-accuracy": lambda row: (
        *_missing_last(_negative(_outcome(row, "test_accuracy"))),
        row.number,
    ),
}


def _print_list(
    rows: "list[RunRow]", chosen: "list[RunRow]", study: str | None, out: Output
) -> None:
    from jmlp.cli.show import Column, print_grid
    from jmlp.client import texts
    from jmlp.training.records import epoch_text

    columns = [
        Column("run"),
        *([] if study else [Column("study")]),
        Column("configuration"),
        Column("seed", "right"),
        Column("state", group="outcome"),
        Column("best epoch", "right", "outcome"),
        Column("stopped epoch", "right", "outcome"),
        Column("validation cost", "right", "outcome"),
        Column("test accuracy %", "right", "outcome"),
        Column("tags", group="tags"),
    ]
    ids = texts.short_ids([row.run_id for row in rows])
    configurations = texts.configuration_texts(rows, study)
    cells = []
    for row in chosen:
        cells.append(
            [
                ids[row.run_id],
                *([] if study else [shown(", ".join(row.studies)) or texts.MISSING]),
                configurations[row.run_id],
                str(row.seed),
                texts.state_text(row),
                epoch_text(_outcome(row, "best_epoch")),
                epoch_text(_outcome(row, "stopped_epoch")),
                texts.cost_text(_outcome(row, "validation_cost")),
                texts.percent_text(_outcome(row, "test_accuracy")),
                shown(", ".join(row.tags)),
            ]
        )
    print_grid(out.console(), columns, cells, out)


def _confirmed(question: str) -> bool:
    """Asks for confirmation on the terminal.

    Raises:
        ConfigError: there is no terminal.
    """
    if sys.stdin is None or not sys.stdin.isatty():
        raise ConfigError("jmlp runs rm: deletes permanently: give --yes if there is no terminal")
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
