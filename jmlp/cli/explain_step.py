"""One step as text: as tables, as sentences, or as JSON; for `jmlp explain`."""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from jmlp.inspection.sentences import listed, update_sentence
from jmlp.inspection.texts import number
from jmlp.inspection.views import UNIT_LETTERS, UpdateView
from jmlp.study.mistakes import made_by
from jmlp.training.records import epoch_text

if TYPE_CHECKING:
    from jmlp.inspection.inside import Inside
    from jmlp.inspection.step import Change, Step
    from jmlp.nn.trace import Operation

MOST_UNITS = 12  # of a layer that are shown
MOST_TERMS = 3  # of a sum that are shown in a table
MOST_WEIGHTS = 3  # of each array of parameters whose update is shown
NAMES = {"logits": "the logit", "dlogits": "its derivative"}  # of letters that are a plural
UNKNOWN = (
    "the optimiser's moments are not stored with a network, so of an update after the first one "
    "only the gradient is known"
)


def lines(inside: "Inside") -> Iterator[str]:
    """The step as tables."""
    step = inside.step
    yield from title_lines(inside)
    yield ""
    for name, operation in _operations(step):
        yield from _operation_lines(name, operation, step)
    whole = "" if step.is_prediction else f"; of the mini-batch: {_batch_cost(step)}"
    yield f"  cost of this example: {_example_cost(step)}{whole}"
    yield ""
    yield from _change_lines(step.changes)


def sentences(inside: "Inside") -> Iterator[str]:
    """The step as sentences, for screen readers and lecture notes."""
    step = inside.step
    yield from title_sentences(inside)
    yield ""
    for name, operation in _operations(step):
        yield from _operation_sentences(name, operation, step)
    whole = "" if step.is_prediction else f", and that of the mini-batch {_batch_cost(step)}"
    yield f"The cost of this example is {_example_cost(step)}{whole}."
    if step.changes:
        yield ""
        yield from _change_sentences(step.changes)


def _operations(step: "Step") -> list[tuple[str, "Operation"]]:
    """All operations, each with the name of its layer."""
    return list(zip(step.trace.layer_names, step.trace.operations, strict=True))


def _example_cost(step: "Step") -> str:
    return number(float(step.trace.cost["costs"][0, step.column]))


def _batch_cost(step: "Step") -> str:
    value = number(float(step.trace.cost["cost"][0, 0]))
    return f"{value} from this block of it" if "share" in step.trace.cost.arrays else value


def title_lines(inside: "Inside") -> Iterator[str]:
    """Which step of which network it is, and the mistakes that the network makes."""
    step, networks = inside.step, inside.networks
    which = f"run {networks.run_id[:8]}" if networks.run_id else "a fresh network"
    sizes = "-".join(map(str, networks.hyperparams.hidden))
    network = f"{which} (hidden {sizes}), after epoch {epoch_text(step.epoch)}"
    label = f"class {step.class_names[step.label]}"
    if step.is_prediction:
        yield f"{network}: its prediction of example {step.row:,} of the {step.part} part, {label}"
    else:
        yield (
            f"{network}: update {step.update:,}, a mini-batch of {step.n_examples:,}, learning "
            f"rate {step.rate:.6g}; example {step.row:,} of the training part, {label}"
        )
    for mistake in made_by(networks.hyperparams):
        yield f"with the mistake {mistake.name}: {mistake.wrong}, instead of {mistake.right}"


def title_sentences(inside: "Inside") -> Iterator[str]:
    """The same in sentences."""
    step, networks = inside.step, inside.networks
    which = f"run {networks.run_id[:8]}" if networks.run_id else "a fresh network"
    hidden = [f"{size:,}" for size in networks.hyperparams.hidden]
    layers = f"hidden layers of {listed(hidden)} units" if hidden else "no hidden layer"
    layers = f"a hidden layer of {hidden[0]} units" if len(hidden) == 1 else layers
    yield f"This is {which} with {layers}, after epoch {epoch_text(step.epoch)}."
    if step.is_prediction:
        yield f"It predicts example {step.row:,} of the {step.part} part."
    else:
        yield (
            f"It makes update {step.update:,}, with a mini-batch of {step.n_examples:,} and the "
            f"learning rate {step.rate:.6g}."
        )
        yield f"The numbers are those of example {step.row:,} of the training part."
    yield f"Its class is {step.class_names[step.label]}."
    for mistake in made_by(networks.hyperparams):
        yield (
            f"The network has the mistake {mistake.name}: {mistake.wrong}, instead of "
            f"{mistake.right}."
        )


def _operation_lines(name: str, operation: "Operation", step: "Step") -> Iterator[str]:
    """The equations of an operation, and its numbers for one example."""
    called = "" if name == operation.name else f", {operation.title}"
    yield f"{name}{called}"
    yield from (f"    {line}" for line in operation.equations.splitlines() if line)
    letters, rows = _unit_rows(operation, step)
    titles = [_unit(operation), *letters]
    if operation.kind == "dense":
        titles.append("Z is the sum of")
        for unit, row in enumerate(rows):
            row.append(_largest(operation, unit, step.column))
    yield from _aligned(titles, rows)
    if more := _n_units(operation) - len(rows):
        yield f"  and {more:,} more (--json has all of them)"
    yield ""


def _operation_sentences(name: str, operation: "Operation", step: "Step") -> Iterator[str]:
    """The same in sentences."""
    if name == operation.name:
        yield f"This is the {name}."
    else:
        yield f"This is the operation {operation.title} in the layer {name}."
    for line in re.sub(r" +=", " =", operation.equations).splitlines():
        title, equation, *notes = re.split(r" {2,}", line) if line else ("", "")
        if not equation:
            continue
        heading = f"{title.capitalize()}: " if title else ""
        note = "".join(f", of shape {note}" if note[0] == "(" else f", {note}" for note in notes)
        yield f"{heading}{equation}{note}."
    letters, rows = _unit_rows(operation, step)
    for unit, (_, *cells) in enumerate(rows):
        said = [f"{NAMES.get(k, k)} is {cell}" for k, cell in zip(letters, cells, strict=True)]
        yield f"{_unit(operation).capitalize()} {unit}: {listed(said)}."
        if operation.kind == "dense":
            terms = [
                f"{value:.4g} from {' times '.join(names)}"
                for value, names in _largest_terms(operation, unit, step.column)
            ]
            yield f"Its Z is the sum of {listed(terms)}."
    if more := _n_units(operation) - len(rows):
        yield f"There are {more:,} more; --json has all of them."
    yield ""


def _unit(operation: "Operation") -> str:
    return "class" if operation.kind == "cost" else "unit"


def _n_units(operation: "Operation") -> int:
    return int(operation[_letters(operation)[-1]].shape[0])


def _letters(operation: "Operation") -> list[str]:
    return [letter for letter in UNIT_LETTERS[operation.kind] if letter in operation.arrays]


def _unit_rows(operation: "Operation", step: "Step") -> tuple[list[str], list[list[str]]]:
    """Letters of arrays; and of each unit that is shown, its number and its cells as texts."""
    letters, n = _letters(operation), min(_n_units(operation), MOST_UNITS)
    return letters, [_row(operation, letters, unit, step.column) for unit in range(n)]


def _row(operation: "Operation", letters: Sequence[str], unit: int, column: int) -> list[str]:
    cells = [str(unit)]
    for letter in letters:
        array = operation[letter]
        cells.append(f"{float(array[unit, column if array.shape[1] > 1 else 0]) + 0.0:.5g}")
    return cells


def _largest_terms(operation: "Operation", unit: int, column: int) -> list[tuple[float, list[str]]]:
    """The largest terms of a unit's Z with the names of their factors, and the rest."""
    terms = operation.explain("Z", unit, column).largest_first
    shown = [
        (term.value + 0.0, [factor.name for factor in term.factors]) for term in terms[:MOST_TERMS]
    ]
    if rest := terms[MOST_TERMS:]:
        shown.append((sum(term.value for term in rest) + 0.0, [f"{len(rest):,} more"]))
    return shown


def _largest(operation: "Operation", unit: int, column: int) -> str:
    """The same as a text."""
    (first, names), *others = _largest_terms(operation, unit, column)
    text = f"{first:.4g} ({' '.join(names)})"
    for value, names in others:
        text += f" {'-' if value < 0 else '+'} {abs(value):.4g} ({' '.join(names)})"
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
    if not changes:
        return
    known = changes[0].new is not None
    yield "update: " + ("old, gradient, step, new" if known else UNKNOWN)
    for change in changes:
        for update in _most_changed(change):
            place = f"{update.layer} {update.letter}[{', '.join(map(str, update.at))}]"
            line = f"  {place}: {update.old:.6g}, gradient {update.gradient:.6g}"
            if update.new is not None:
                line += f", {update.new - update.old:+.6g} = {update.new:.6g}"
            yield line
        if change.old.size > MOST_WEIGHTS:
            yield f"    the largest of {change.old.size:,}"


def _change_sentences(changes: "Sequence[Change]") -> Iterator[str]:
    """The same in sentences."""
    known = changes[0].new is not None
    yield (
        "This is the update of the parameters that it changes most."
        if known
        else (f"Of the update, {UNKNOWN.partition(', so ')[2]}: {UNKNOWN.partition(', so ')[0]}.")
    )
    for change in changes:
        yield from (update_sentence(update) for update in _most_changed(change))


def _most_changed(change: "Change") -> Iterator[UpdateView]:
    import numpy as np

    by = change.gradient if change.new is None else change.new - change.old
    for flat in np.argsort(-np.abs(by), axis=None, kind="stable")[:MOST_WEIGHTS]:
        i, j = map(int, np.unravel_index(flat, by.shape))
        yield change.at(i, j)


def document(inside: "Inside") -> dict[str, Any]:
    """Everything as JSON: columns are examples, the chosen one is `column`."""
    import numpy as np

    def operation(op: "Operation") -> dict[str, Any]:
        return {
            "kind": op.kind,
            "name": op.name,
            "equations": op.equations,
            "arrays": {name: np.asarray(array).tolist() for name, array in op.arrays.items()},
        }

    step = inside.step
    return about(inside) | {
        "inputs": None if step.trace.input_dropout is None else operation(step.trace.input_dropout),
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


def about(inside: "Inside") -> dict[str, Any]:
    """Which step of which network it is, as JSON."""
    step = inside.step
    return {
        "run": inside.networks.run_id or None,
        "epoch": step.epoch,
        "update": step.update or None,
        "learning_rate": None if step.is_prediction else step.rate,
        "part": step.part,
        "example": step.row,
        "column": step.column,
        "class": step.class_names[step.label],
        "mistakes": [mistake.name for mistake in made_by(inside.networks.hyperparams)],
    }
