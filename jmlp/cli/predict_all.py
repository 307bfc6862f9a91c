"""`jmlp predict --every --seeds`: what all stored networks of a run, or of its seeds, answer."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from jmlp.cli.output import Output
from jmlp.cli.predict import has_unicode, picture_lines, read_example, read_rows
from jmlp.cli.store_option import StoreOption, find_one
from jmlp.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from jmlp.data.contract import Contract
    from jmlp.data.image import Picture
    from jmlp.inspection.answers import Answers, Column
    from jmlp.store import RunRow, Store

Inputs = Callable[["Contract"], "NDArray[Any]"]


def predict_all(
    name: str,
    arguments: Sequence[str],
    stored: StoreOption,
    out: Output,
    *,
    every: bool,
    seeds: bool,
    invert: bool,
    as_is: bool | None,
) -> None:
    """Asks several networks about one picture or row, and prints the strip of their answers.

    Args:
        name: of a stored run.
        arguments: a path, or the values of one row of a table.
        stored: the store.
        out: the options of the output.
        every: whether all networks of a run are asked, and not only the kept one.
        seeds: whether the runs with all seeds of the configuration are asked.
        invert: see `jmlp.data.image.read_picture`.
        as_is: likewise.

    Raises:
        ConfigError: the name refers to several runs, or there are several rows.
        DataError: the picture or row cannot be read.
        StoreError: there is no such run, or none has networks.
    """
    from jmlp.inspection import asking

    with stored.open(viewer=True) as store:
        row = find_one(store, name)
        rows = _seeds_of(store, row) if seeds else [row]
        asked, left_out = asking.gather(store, rows)
    contract, picture = asked[0].contract, None
    if contract.is_table:
        inputs_of, what = _of_rows(arguments), "the row"
        cautions = contract.unusual(inputs_of(contract))
    else:
        what = " ".join(arguments)
        picture = read_example(name, arguments, contract, invert, as_is)
        x, cautions = picture.x[None], list(picture.cautions)

        def inputs_of(contract: "Contract") -> "NDArray[Any]":
            del contract  # equal for all of them
            return x

    answers = asking.answers(asked, inputs_of, left_out)
    cautions += _about_runs(answers, several=seeds)
    if (fault := row.hyperparams.backward_fault) != "none":
        cautions.append(f"{name} was trained with a mistake in the backward pass: {fault}")
    columns = _columns(answers, every=every, seeds=seeds)
    if out.json:
        out.print_json(_document(answers, columns, picture, contract, cautions))
        return
    print(f"{what}: {_headline(columns, answers.classes, seeds)}")
    if not out.quiet:
        for line in _lines(columns, answers.classes, seeds, out):
            print(line)
        if picture is not None:
            print()
            for line in picture_lines(picture, contract, out.plain):
                print(line)
    for caution in cautions:
        out.say(f"warning: {caution}")


def _seeds_of(store: "Store", row: "RunRow") -> "list[RunRow]":
    """The runs with all seeds of a run's configuration, in its studies."""
    from jmlp.study.config import canonical

    labels = row.studies or (None,)
    found = {one.run_id: one for label in labels for one in store.runs(label)}
    wanted = canonical(row.hyperparams), row.split_seed
    runs = [one for one in found.values() if (canonical(one.hyperparams), one.split_seed) == wanted]
    return sorted(runs, key=lambda one: one.seed)


def _of_rows(arguments: Sequence[str]) -> Inputs:
    """Returns the row in the arguments as each network takes it: each has a scale of its own."""
    rows, source = read_rows(arguments)

    def inputs_of(contract: "Contract") -> "NDArray[Any]":
        x = contract.inputs_of(rows, source)
        if len(x) != 1:
            raise ConfigError(
                f"{source}: {len(x):,} rows: several networks are asked about one at a time, as in "
                "bill=39.1 island=Biscoe"
            )
        return x

    return inputs_of


def _columns(answers: "Answers", *, every: bool, seeds: bool) -> "tuple[Column, ...]":
    from jmlp.inspection.answers import columns_of_all, columns_of_run

    columns = columns_of_all(answers.runs) if seeds else columns_of_run(answers.runs[0])
    return columns if every else tuple(column for column in columns if column.is_best)


def _about_runs(answers: "Answers", *, several: bool) -> list[str]:
    """What is to be known about runs that diverged, are in training, or were not asked."""
    notes = []
    for run in answers.runs:
        name = f"run {run.run_id[:8]} (seed {run.seed})"
        if run.diverged_at is not None:
            kept = ": it is not among these" if several else ""
            notes.append(f"{name} diverged at update {run.diverged_at:,}{kept}")
        elif run.state == "running":
            notes.append(f"{name} is in training: these are its networks so far")
    return [*notes, *(one.why for one in answers.left_out)]


def _headline(columns: "Sequence[Column]", names: Sequence[str], seeds: bool) -> str:
    """The answer of the kept networks; without any, that of the last one."""
    if not columns:
        return "no network is left to ask: all runs diverged"
    kept = [column for column in columns if column.is_best]
    column = kept[0] if kept else columns[-1]
    after = "" if kept else f", {_when(column)}"
    return _answer(column, names, seeds) + after


def _when(column: "Column") -> str:
    from jmlp.training.records import epoch_text

    return "best epochs" if column.epoch is None else f"epoch {epoch_text(column.epoch)}"


def _answer(column: "Column", names: Sequence[str], seeds: bool) -> str:
    if column.answer is None:
        return "the output is not finite"
    text = f"{names[column.answer]} ({column.probabilities[column.answer]:.1%})"
    return f"{text}, in {column.counts[column.answer]} of {column.n_runs} seeds" if seeds else text


def _lines(
    columns: "Sequence[Column]", names: Sequence[str], seeds: bool, out: Output
) -> Iterator[str]:
    """The strip, in as many parts as the terminal needs; or sentences."""
    from tui.charts.strip import strip

    if out.plain or not has_unicode():
        for column in columns:
            kept = " (best)" if column.is_best and column.epoch is not None else ""
            yield f"  {_when(column)}{kept}: {_answer(column, names, seeds)}"
        return
    width, first = out.console().width - 2, 0
    while first < len(columns):
        part = strip(columns, names, width, first=first, numbers=True)
        yield from ("", *(f"  {line}" for line in part.texts))
        first += part.n


def _document(
    answers: "Answers",
    columns: "Sequence[Column]",
    picture: "Picture | None",
    contract: "Contract",
    cautions: Sequence[str],
) -> dict[str, Any]:
    """Everything as JSON: each network of each run, and the strip."""
    from jmlp.inspection.answers import numbers, to_table

    seen: dict[str, Any] = {}
    if picture is not None:
        seen["seen"] = (picture.x if contract.row else picture.seen).tolist()
        seen["how"] = picture.how
    strip = [
        {
            "epoch": column.epoch,
            "best": column.is_best,
            "class": column.answer,
            "probabilities": numbers(column.probabilities),
            "seeds": column.n_runs,
            "seeds_by_class": column.counts.tolist(),
        }
        for column in columns
    ]
    return {**to_table(answers), "strip": strip, **seen, "cautions": list(cautions)}
