"""`jmlp explain`: one step of a network in all its numbers, each with the sum behind it."""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from jmlp.cli.hardware import Hardware
from jmlp.cli.output import Output
from jmlp.cli.store_option import StoreOption, find_one
from jmlp.cli.train import HyperparameterOptions, settings_of
from jmlp.errors import CheckFailed, ConfigError
from jmlp.inspection import texts
from jmlp.inspection.views import UNIT_LETTERS
from jmlp.study import data_names, mistakes
from jmlp.study.rules import plain
from jmlp.training.records import epoch_text

if TYPE_CHECKING:
    from jmlp.inspection.inside import Inside
    from jmlp.inspection.step import Change, Step
    from jmlp.inspection.views import AnyPart
    from jmlp.nn.trace import Operation
    from jmlp.store.networks import Networks

MOST_UNITS = 12  # of a layer that are shown
MOST_TERMS = 3  # of a sum that are shown in a table
MOST_WEIGHTS = 3  # of each array of parameters whose update is shown
_CELL = re.compile(r"(?P<layer>.+?)\.(?P<letter>\w+)\[(?P<i>\d+)(?:\s*,\s*(?P<j>\d+))?\]", re.ASCII)


def explain(
    run: Annotated[
        str | None,
        Parameter(help="A stored run: the first digits of its id, a tag, or last."),
    ] = None,
    /,
    *,
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
    stored: StoreOption = StoreOption(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> None:
    """Print every number of one step: forward, backward, and the update.

    Of a stored run it is the next update after one of its networks, with the run's own mini-batch,
    augmentation and dropout; of a fresh network its first update, or any later one. Each table has
    the equations of its operation beside it, and the letters in them as columns. `--cell` opens a
    number to the sum behind it, `--check` computes each derivative in three ways.
    """
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
    if cell is not None:
        _print_cell(inside, cell, out, check=check, double=float64)
    elif check:
        _print_check(inside, out, double=float64)
    elif out.json:
        out.print_json(_document(inside.step, run))
    else:
        for line in _lines(inside, out.plain):
            print(line)


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


def _print_cell(inside: "Inside", text: str, out: Output, *, check: bool, double: bool) -> None:
    match = _CELL.fullmatch(text.strip())
    if match is None:
        raise ConfigError(
            f"--cell: must be LAYER.LETTER[ROW] or LAYER.LETTER[ROW,COLUMN], as in "
            f"'hidden 1.Z[2]' or 'output.dW[0,3]', got {plain(text)}"
        )
    layer, letter, i = match["layer"].strip(), match["letter"], int(match["i"])
    operations = inside.view().operations
    named = [k for k, one in enumerate(operations) if one.layer == layer]
    if not named:
        names = ", ".join(dict.fromkeys(one.layer for one in operations))
        raise ConfigError(f"--cell: {plain(layer)}: there is no such layer: it has {names}")
    having = [k for k in named if letter in operations[k].shapes]
    if not having:
        letters = dict.fromkeys(name for k in named for name in operations[k].shapes)
        raise ConfigError(f"--cell: {layer} has no {letter}: it has {', '.join(letters)}")
    shape = operations[having[0]].shapes[letter]
    j = int(match["j"] or (0 if shape[1] == 1 else inside.step.column))
    if not (0 <= i < shape[0] and 0 <= j < shape[1]):
        raise ConfigError(f"--cell: {layer}.{letter}[{i}, {j}]: {letter} is {_by(shape)}")
    # Where it was computed, rather than where it is read.
    origin = [k for k in having if inside.step.trace.origin(k, letter) == (k, letter)]
    chosen = (origin or having)[0], letter, i, j
    found, chain = inside.cell(*chosen), inside.chain(*chosen)
    ways = inside.ways(*chosen, double=double) if check else None
    if out.json:
        from jmlp.inspection.inside import as_json

        out.print_json(
            {
                **as_json(found),
                "chain": as_json(chain),
                "ways": None if ways is None else as_json(ways),
            }
        )
    else:
        parts = [texts.cell_lines(found)]
        parts += [texts.chain_lines(chain)] if len(chain) > 1 else []
        parts += [texts.ways_lines(ways)] if ways is not None else []
        print("\n\n".join("\n".join(lines) for lines in parts))
    if ways is not None and ways.is_mistake:
        raise CheckFailed(f"{layer}.{texts.place(found)} by hand differs without a reason")


def _print_check(inside: "Inside", out: Output, *, double: bool) -> None:
    """Prints the derivatives of all arrays by three ways.

    Raises:
        CheckFailed: some differ without a reason.
    """
    found = inside.all_ways(double=double)
    n_mistakes = sum(one.n_mistakes for one in found)
    if out.json:
        from jmlp.inspection.inside import as_json

        out.print_json({"float64": double, "arrays": as_json(found)})
    else:
        for line in texts.array_ways_lines(found):
            print(line)
        if not double and any(one.reasons for one in found):
            out.say("--float64 computes all of it again with more digits")
    if n_mistakes:
        raise CheckFailed(
            f"{n_mistakes:,} of the derivatives by hand differ from the others without a reason"
        )


def _by(shape: tuple[int, int]) -> str:
    return f"{shape[0]} by {shape[1]}"


# ---- all of them


def _lines(inside: "Inside", plain_text: bool) -> Iterator[str]:
    step = inside.step
    yield _title(step, inside.networks)
    for mistake in mistakes.made_by(inside.networks.hyperparams):
        yield f"with the mistake {mistake.name}: {mistake.wrong}, instead of {mistake.right}"
    yield ""
    for layer in step.trace.layers:
        for operation in layer.operations:
            yield from _operation_lines(layer.name, operation, step, plain_text)
    yield from _operation_lines("cost", step.trace.cost, step, plain_text)
    costs = step.trace.cost
    whole = "" if step.is_prediction else f"; of the mini-batch: {_batch_cost(step)}"
    yield f"  cost of this example: {float(costs['costs'][0, step.column]):.6g}{whole}"
    yield ""
    yield from _change_lines(step.changes)


def _batch_cost(step: "Step") -> str:
    value = float(step.trace.cost["cost"][0, 0])
    if "share" in step.trace.cost.arrays:
        return f"{value:.6g} from this block of it"
    return f"{value:.6g}"


def _title(step: "Step", networks: "Networks") -> str:
    hp = networks.hyperparams
    which = f"run {networks.run_id[:8]}" if networks.run_id else "a fresh network"
    sizes = "-".join(map(str, hp.hidden))
    network = f"{which} (hidden {sizes}), after epoch {epoch_text(step.epoch)}"
    label = f"class {step.class_names[step.label]}"
    if step.is_prediction:
        return f"{network}: its prediction of example {step.row:,} of the {step.part} part, {label}"
    return (
        f"{network}: update {step.update:,}, a mini-batch of {step.n_examples:,}, learning rate "
        f"{step.rate:.6g}; example {step.row:,} of the training part, {label}"
    )


def _operation_lines(
    name: str, operation: "Operation", step: "Step", plain_text: bool
) -> Iterator[str]:
    """The equations of an operation, and its numbers for one example."""
    called = "" if name == operation.name else f", {operation.name.replace('_', ' ')}"
    yield f"{name}{called}"
    yield from (f"    {line}" for line in operation.equations.splitlines() if line)
    letters = [letter for letter in UNIT_LETTERS[operation.kind] if letter in operation.arrays]
    n_units = operation[letters[-1]].shape[0]
    rows = [_row(operation, letters, unit, step.column) for unit in range(min(n_units, MOST_UNITS))]
    titles = ["unit" if name != "cost" else "class", *letters]
    if operation.kind == "dense":
        titles.append("Z is the sum of")
        for unit, row in enumerate(rows):
            row.append(_largest(operation, unit, step.column))
    if plain_text:
        for row in rows:
            n = len(letters) + 1
            parts = [f"{title} is {cell}" for title, cell in zip(letters, row[1:n], strict=True)]
            parts += [f"{title} {cell}" for title, cell in zip(titles[n:], row[n:], strict=True)]
            yield f"  {titles[0]} {row[0]}: {', '.join(parts)}."
    else:
        yield from _aligned(titles, rows)
    if n_units > MOST_UNITS:
        yield f"  and {n_units - MOST_UNITS:,} more (--json has all of them)"
    yield ""


def _row(operation: "Operation", letters: Sequence[str], unit: int, column: int) -> list[str]:
    cells = [str(unit)]
    for letter in letters:
        array = operation[letter]
        cells.append(f"{float(array[unit, column if array.shape[1] > 1 else 0]) + 0.0:.5g}")
    return cells


def _largest(operation: "Operation", unit: int, column: int) -> str:
    """The largest terms of a unit's Z."""
    terms = operation.explain("Z", unit, column).largest_first
    shown = [
        (term.value, " ".join(factor.name for factor in term.factors))
        for term in terms[:MOST_TERMS]
    ]
    if rest := terms[MOST_TERMS:]:
        shown.append((sum(term.value for term in rest), f"{len(rest):,} more"))
    (first, name), *others = shown
    text = f"{first + 0.0:.4g} ({name})"
    for value, name in others:
        text += f" {'-' if value < 0 else '+'} {abs(value):.4g} ({name})"
    return text


def _aligned(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows under their titles, numbers to the right; a last column of text to the left."""
    n_numbers = max(len(titles) - (titles[-1].startswith("Z is")), 0)
    widths = [max(len(line[k]) for line in [titles, *rows]) for k in range(n_numbers)]
    for line in [titles, *rows]:
        cells = [cell.rjust(width) for cell, width in zip(line, widths, strict=False)]
        yield "  " + "  ".join([*cells, *line[n_numbers:]]).rstrip()


def _change_lines(changes: "Sequence[Change]") -> Iterator[str]:
    """The update of the parameters that it changes most."""
    import numpy as np

    if not changes:
        return
    known = changes[0].new is not None
    yield "update: " + (
        "old, gradient, step, new"
        if known
        else "the optimiser's moments are not stored with a "
        "network, so of an update after the first one only the gradient is known"
    )
    for change in changes:
        by = change.gradient if change.new is None else change.new - change.old
        for flat in np.argsort(-np.abs(by), axis=None, kind="stable")[:MOST_WEIGHTS]:
            at = np.unravel_index(flat, by.shape)
            place = f"{change.layer} {change.letter}[{', '.join(map(str, at))}]"
            old, gradient = float(change.old[at]), float(change.gradient[at])
            if change.new is None:
                yield f"  {place}: {old:.6g}, gradient {gradient:.6g}"
                continue
            new = float(change.new[at])
            yield f"  {place}: {old:.6g}, gradient {gradient:.6g}, {new - old:+.6g} = {new:.6g}"
        if change.old.size > MOST_WEIGHTS:
            yield f"    the largest of {change.old.size:,}"


def _document(step: "Step", run: str | None) -> dict[str, Any]:
    """Everything as JSON: columns are examples, the chosen one is `column`."""
    import numpy as np

    def operation(op: "Operation") -> dict[str, Any]:
        return {
            "kind": op.kind,
            "name": op.name,
            "equations": op.equations,
            "arrays": {name: np.asarray(array).tolist() for name, array in op.arrays.items()},
        }

    return {
        "run": run,
        "epoch": step.epoch,
        "update": step.update or None,
        "learning_rate": None if step.is_prediction else step.rate,
        "part": step.part,
        "example": step.row,
        "column": step.column,
        "class": step.class_names[step.label],
        "layers": [
            {"name": layer.name, "operations": [operation(op) for op in layer.operations]}
            for layer in step.trace.layers
        ],
        "cost": operation(step.trace.cost),
        "changes": [
            {
                "layer": change.layer,
                "letter": change.letter,
                "old": change.old.tolist(),
                "gradient": change.gradient.tolist(),
                "new": None if change.new is None else change.new.tolist(),
            }
            for change in step.changes
        ],
    }
