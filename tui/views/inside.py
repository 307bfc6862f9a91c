"""What the screen *Inside* shows of a step, as texts and rows; pure functions of its views."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jmlp.inspection.texts import number
from jmlp.inspection.views import UNIT_LETTERS, OperationView, StepView, UpdateView
from jmlp.training.records import epoch_text
from tui.widgets.number_grid import Row

WEIGHT_LETTERS = ("A", "W", "W A", "dW", "gradient", "step", "new")
UPDATE = "update"
TITLE = 10  # columns of "forward" and "backward" beside their equations


@dataclass(frozen=True)
class OperationLine:
    """A line of the list of operations."""

    index: int  # in the step; as many as there are: the update
    text: str
    is_first: bool  # of its layer


def operation_lines(view: StepView) -> list[OperationLine | str]:
    """The operations in the order of the forward pass; a text is the name of a layer."""
    lines: list[OperationLine | str] = []
    layer = ""
    for index, operation in enumerate(view.operations):
        if operation.layer != layer:
            layer = operation.layer
            if layer != "cost":
                lines.append(layer)
        lines.append(OperationLine(index, _operation_text(operation), False))
    if view.update is not None:
        lines.append(OperationLine(len(view.operations), UPDATE, True))
    return lines


def _operation_text(operation: OperationView) -> str:
    name = operation.name.replace("_", " ")
    if operation.kind == "dense":
        n_out, n_in = operation.shapes["W"]
        return f"dense {n_in:,} → {n_out:,}"
    return name


def compact(equations: str) -> list[str]:
    """The lines of some equations without what aligns their columns."""
    lines = []
    for line in filter(None, re.sub(r" +=", " =", equations).splitlines()):
        title, *parts = re.split(r" {2,}", line)
        lines.append(f"{title:<{TITLE}}{'  '.join(parts)}")
    return lines


def about_step(view: StepView) -> str:
    """The step and its example in one line."""
    if view.update is None:
        step = f"prediction of example {view.row:,} of {view.n_examples:,}, {view.part} part"
    else:
        number_of = f"{view.where.example + 1:,} of {view.n_examples:,}"
        step = f"update {view.update:,}   example {number_of} (row {view.row:,})"
    if view.predicted is None:
        answer = "outputs not finite"
    else:
        sign = "→" if view.predicted == view.label else "≠"
        answer = f"{sign} {view.class_names[view.predicted]} ({view.probability:.0%})"
    parts = [step, f"class {view.class_names[view.label]} {answer}", f"cost {number(view.cost)}"]
    if view.learning_rate is not None:
        parts.append(f"learning rate {number(view.learning_rate)}")
    made = [f"with the mistake {' and '.join(view.mistakes)}"] if view.mistakes else []
    return "   ".join([*made, *parts, f"epoch {epoch_text(view.epoch)}"])


def unit_letters(operation: OperationView) -> tuple[str, ...]:
    """The columns of an operation's table."""
    return tuple(name for name in UNIT_LETTERS[operation.kind] if name in operation.shapes)


def first_derivative(letters: Sequence[str]) -> int:
    """The index of the first derivative among these letters."""
    return next((k for k, name in enumerate(letters) if name.startswith("d")), len(letters))


def unit_rows(
    view: StepView, operation: OperationView, numbers: Mapping[str, Sequence[float]]
) -> list[Row]:
    """A row per unit, or per class or input."""
    letters = unit_letters(operation)
    n = operation.shapes[letters[-1]][0]
    names = _names(view, operation, n)
    return [
        Row(k, names[k], tuple(_cell(numbers[letter][k]) for letter in letters)) for k in range(n)
    ]


def weight_letters(numbers: Mapping[str, Sequence[float]]) -> tuple[str, ...]:
    """The columns of the table of a unit's weights."""
    known = {*numbers, "W A"} | ({"step"} if "new" in numbers else set())
    return tuple(letter for letter in WEIGHT_LETTERS if letter in known)


def weight_rows(view: StepView, index: int, numbers: Mapping[str, Sequence[float]]) -> list[Row]:
    """A row per input of a unit: the input, its weight, their product, the derivative, the update.

    Args:
        view: the step.
        index: of the dense operation.
        numbers: as `inspection.inside.Inside.weights` returns them.
    """
    n = len(numbers["W"])
    is_first = all(operation.kind != "dense" for operation in view.operations[:index])
    names = _input_names(view, n) if is_first else [f"unit {k}" for k in range(n)]
    rows = []
    for k in range(n):
        values = {name: column[k] for name, column in numbers.items()}
        values["W A"] = values["A"] * values["W"]
        if "new" in values:
            values["step"] = values["new"] - values["W"]
        rows.append(
            Row(k, names[k], tuple(_cell(values[name]) for name in weight_letters(numbers)))
        )
    return rows


def update_rows(changes: Sequence[UpdateView]) -> list[Row]:
    """A row per parameter: old, gradient, step, new."""
    rows = []
    for k, change in enumerate(changes):
        name = f"{change.layer}.{change.letter}[{change.at[0]}, {change.at[1]}]"
        new, step = "", ""
        if change.new is not None:
            new, step = _cell(change.new), _cell(change.new - change.old)
        rows.append(Row(k, name, (_cell(change.old), _cell(change.gradient), step, new)))
    return rows


def _names(view: StepView, operation: OperationView, n: int) -> list[str]:
    if operation.kind == "cost":
        return list(view.class_names)
    if operation.layer == "inputs":
        return _input_names(view, n)
    return [f"unit {k}" for k in range(n)]


def _input_names(view: StepView, n: int) -> list[str]:
    if len(view.input_names) == n:
        return list(view.input_names)
    if view.plane is not None and view.plane[0] * view.plane[1] == n:
        return [f"pixel {k // view.plane[1]}, {k % view.plane[1]}" for k in range(n)]
    return [f"input {k}" for k in range(n)]


def _cell(value: float) -> str:
    return f"{value + 0.0:.5g}"
