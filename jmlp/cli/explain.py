"""`jmlp explain`: one step of a network in all its numbers, each with the sum behind it."""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from cyclopts import Parameter

from jmlp.cli import explain_step
from jmlp.cli.hardware import Hardware
from jmlp.cli.output import Output
from jmlp.cli.store_option import StoreOption, find_one
from jmlp.cli.train import HyperparameterOptions, settings_of
from jmlp.errors import CheckFailed, ConfigError
from jmlp.inspection import sentences, texts
from jmlp.study import data_names
from jmlp.study.rules import plain
from jmlp.training.records import epoch_text

if TYPE_CHECKING:
    from jmlp.inspection.inside import Inside
    from jmlp.inspection.views import AnyPart

_CELL = re.compile(r"(?P<place>.+?)\.(?P<letter>\w+)\[(?P<i>\d+)(?:\s*,\s*(?P<j>\d+))?\]", re.ASCII)


def explain(
    run: Annotated[
        str | None,
        Parameter(help="A stored run: the first digits of its id, a tag, or last."),
    ] = None,
    /,
    *more: Annotated[str, Parameter(show=False, help="Nothing: refused with a hint.")],
    epoch: Annotated[
        float | None,
        Parameter(help="The stored network nearest to this epoch; default: the one that is kept."),
    ] = None,
    part: Annotated[
        Literal["training", "validation", "test"] | None,
        Parameter(
            help="Explain how an example of this part is predicted, instead of the next update."
        ),
    ] = None,
    example: Annotated[
        int, Parameter(help="The number of the example in the mini-batch, or in the part.")
    ] = 0,
    cell: Annotated[
        str | None,
        Parameter(
            help="One number, the sum behind it, and its chain of factors, as in 'hidden 1.Z[2]', "
            "'output.dW[0,3]' or 'cost.P[7]'."
        ),
    ] = None,
    check: Annotated[
        bool,
        Parameter(
            negative=(),
            help="Compare the derivatives, or that of --cell, with jax.vjp and with central "
            "differences, and say why they differ where they do.",
        ),
    ] = False,
    float64: Annotated[
        bool, Parameter(negative=(), help="Compare in float64, from the same numbers.")
    ] = False,
    update: Annotated[
        int | None, Parameter(help="Without a run: the number of the update; default: 1.")
    ] = None,
    hyperparams: HyperparameterOptions = HyperparameterOptions(),  # noqa: B008 - frozen
    data: Annotated[
        str | None, Parameter(help=f"Without a run: {data_names.HELP} Default: xor.")
    ] = None,
    seed: Annotated[int | None, Parameter(help="Without a run: the network's seed.")] = None,
    layer: Annotated[str | None, Parameter(show=False, help="Refused with a hint.")] = None,
    stored: StoreOption = StoreOption(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> None:
    """Print every number of one step: forward, backward, and the update.

    Of a stored run it is the next update after one of its networks, with the run's own mini-batch,
    augmentation and dropout; of a fresh network its first update, or any later one. Each table has
    the equations of its operation beside it, and the letters in them as columns. `--cell` opens a
    number to the sum behind it, `--check` computes each derivative in three ways.
    """
    chosen = None if cell is None else _cell_of(cell, [*([] if run is None else [run]), *more])
    if more:
        raise ConfigError(f"{plain(' '.join(more))}: explain takes one run; leave this out")
    if layer is not None:
        raise ConfigError(
            "--layer: a layer stands in --cell, beside a letter and a unit, as in "
            "--cell 'hidden 1.Z[2]'"
        )
    usual = settings_of(HyperparameterOptions())
    given = {k: v for k, v in settings_of(hyperparams).items() if v != usual.get(k)}
    settings = given | ({} if data is None else {"data": data})
    settings |= {} if seed is None else {"seeds": [seed]}
    flags = {"seeds": "seed"} | ({} if update is None else {"update": "update"})
    if run is not None and (named := [*settings, *list(flags)[1:]]):
        flag = flags.get(named[0], named[0]).replace("_", "-")
        raise ConfigError(f"--{flag}: a run has its own; leave it out")
    if run is None and epoch is not None:
        raise ConfigError("--epoch: only a stored run has several networks: give --update")
    if update is not None and update < 1:
        raise ConfigError(f"--update: must be at least 1, got {update}")
    if float64 and not check:
        raise ConfigError("--float64: is for --check; add it")
    Hardware(device="cpu", cores=1).start(out.say)
    inside = (
        _of_run(run, stored, epoch, part, example, out)
        if run
        else _fresh(settings, (update or 1) - 1, part, example, out)
    )
    if chosen is not None:
        _print_cell(inside, chosen, out, check=check, double=float64)
    elif check:
        _print_check(inside, out, double=float64)
    elif out.json:
        out.print_json(explain_step.document(inside))
    else:
        _print(explain_step.sentences(inside) if out.plain else explain_step.lines(inside))


def _of_run(
    run: str,
    stored: StoreOption,
    epoch: float | None,
    part: "AnyPart | None",
    example: int,
    out: Output,
) -> "Inside":
    """A step of a stored run.

    Raises:
        ConfigError: there is no such step.
        DataError: the data cannot be loaded, or have changed.
        StoreError: there is no such run, or it has no networks.
    """
    from jmlp.inspection.compute import data_of
    from jmlp.inspection.inside import Inside
    from jmlp.inspection.records import network_at
    from jmlp.inspection.views import Where
    from jmlp.store import networks

    with stored.open(viewer=True) as store:
        found = networks.read(store, find_one(store, run).run_id)
    index = None if epoch is None else network_at(found.epochs, found.best, epoch)
    if index is not None and found.epochs[index] != epoch:
        out.say(
            f"no network is stored after epoch {epoch:g}: the nearest is that after epoch "
            f"{epoch_text(found.epochs[index])}"
        )
    where = Where(found.run_id, snapshot=index, part=part, example=example)
    return Inside(where, found, data_of(found, out.say))


def _fresh(
    settings: dict[str, Any], updates: int, part: "AnyPart | None", example: int, out: Output
) -> "Inside":
    """A step of a network that no store has.

    Raises:
        ConfigError: the layers, the data, the seed or the step are not allowed.
        DataError: the data cannot be loaded.
    """
    from jmlp.inspection.inside import Inside, fresh_run
    from jmlp.inspection.views import Where

    made = fresh_run(settings, out.say)
    stored, moments = made.after(updates)
    where = Where(None, settings, updates, part, example)
    return Inside(where, stored, made.dataset, moments)


# ---- one number


class _Cell(NamedTuple):
    """The place of a number, as it is given."""

    place: str
    letter: str
    i: int
    j: int | None  # None: the column of the example


def _cell_of(text: str, others: Sequence[str]) -> _Cell:
    """The place of a number in a text.

    Args:
        text: what was given to `--cell`.
        others: what was given beside it without a flag: what follows a blank in the place, where
            the shell has divided it.

    Raises:
        ConfigError: it is no place.
    """
    match = _CELL.fullmatch(text.strip())
    if match is not None:
        i, j = int(match["i"]), match["j"]
        return _Cell(match["place"].strip(), match["letter"], i, None if j is None else int(j))
    for first in reversed(range(len(others))):
        if _CELL.fullmatch(whole := " ".join([text, *others[first:]])):
            raise ConfigError(f"--cell: quote it, because of its blank: --cell '{plain(whole)}'")
    raise ConfigError(
        "--cell: must be LAYER.LETTER[ROW] or LAYER.LETTER[ROW,COLUMN], as in 'hidden 1.Z[2]' or "
        f"'output.dW[0,3]', got {plain(text)}"
    )


def _print_cell(inside: "Inside", cell: "_Cell", out: Output, *, check: bool, double: bool) -> None:
    """Prints a number, its sum and its chain; and its derivative by three ways.

    Raises:
        CheckFailed: it is wrong.
        ConfigError: there is no such number, or it is no derivative.
    """
    try:
        operation, letter = inside.find(cell.place, cell.letter)
        is_of_examples = inside.operations[operation][letter].shape[1] > 1
        j = cell.j if cell.j is not None else inside.step.column if is_of_examples else 0
        chosen = operation, letter, cell.i, j
        found, chain = inside.cell(*chosen), inside.chain(*chosen)
    except ConfigError as error:
        raise ConfigError(f"--cell: {error}") from None
    ways = inside.ways(*chosen, double=double) if check else None
    if out.json:
        from jmlp.inspection.inside import as_json

        out.print_json(
            {
                **as_json(found),
                "chain": as_json(chain),
                "ways": None if ways is None else as_json(ways),
                "step": explain_step.about(inside),
            }
        )
    elif out.plain:
        _print(explain_step.title_sentences(inside))
        _print(["", *sentences.cell_sentences(found)])
        _print(["", *sentences.chain_sentences(chain)] if len(chain) > 1 else ())
        _print(["", *sentences.ways_sentences(found, ways)] if ways is not None else ())
    else:
        _print(explain_step.title_lines(inside))
        _print(["", *texts.cell_lines(found)])
        _print(["", *texts.chain_lines(chain)] if len(chain) > 1 else ())
        _print(["", *texts.ways_lines(ways)] if ways is not None else ())
    if ways is not None and ways.is_mistake:
        raise CheckFailed(f"{texts.name(found)} by hand differs without a reason")


def _print_check(inside: "Inside", out: Output, *, double: bool) -> None:
    """Prints the derivatives of all arrays by three ways.

    Raises:
        CheckFailed: some are wrong.
    """
    found = inside.all_ways(double=double)
    n_mistakes = sum(one.n_mistakes for one in found)
    if out.json:
        from jmlp.inspection.inside import as_json

        about = explain_step.about(inside)
        out.print_json({"float64": double, "arrays": as_json(found), "step": about})
    elif out.plain:
        _print(explain_step.title_sentences(inside))
        _print(["", *sentences.array_ways_sentences(found)])
    else:
        _print([*explain_step.title_lines(inside), "", *texts.array_ways_lines(found)])
    if n_mistakes:
        raise CheckFailed(
            f"{n_mistakes:,} of the derivatives by hand differ from the others without a reason"
        )
    if not out.json and not double and any(one.reasons for one in found):
        out.say("--float64 computes all of it again with more digits")


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)
