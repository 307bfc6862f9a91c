"""The views of a step in sentences, for screen readers and lecture notes; see `texts`."""

from collections.abc import Iterable, Iterator, Sequence

from jmlp.inspection.texts import MOST_LINES, name, number
from jmlp.inspection.views import (
    ArrayWaysView,
    CellView,
    FactorView,
    TermView,
    UpdateView,
    WaysView,
)


def listed(parts: Sequence[str]) -> str:
    """Such as "a, b, and c"."""
    *first, last = parts
    if len(first) < 2:
        return " and ".join(parts)
    return f"{', '.join(first)}, and {last}"


def cell_sentences(cell: CellView, most: int = MOST_LINES) -> Iterator[str]:
    """The value and its equation, then the terms, the largest first.

    Args:
        cell: the number.
        most: terms that are said one by one.
    """
    if cell.equation is None:
        given = f"{name(cell)} is {number(cell.value)}, as it is given."
        yield given if cell.update is None else update_sentence(cell.update)
        return
    if cell.total is not None:
        yield (
            f"{name(cell)} is {number(cell.value)}, which is wrong: by {cell.equation} it is "
            f"{number(cell.total)}."
        )
    else:
        yield f"{name(cell)} is {number(cell.value)}, by {cell.equation}."
    n = len(cell.terms) + cell.n_more
    if n == 1:
        yield f"It is {_product(cell.terms[0])}."
        return
    yield f"It is a sum of {n:,} terms."
    for k, term in enumerate(cell.terms[:most], start=1):
        yield f"Term {k} is {number(term.value)}: {_product(term)}."
    if n > most:
        rest = sum(term.value for term in cell.terms[most:]) + cell.rest
        yield f"The other {n - most:,} together are {number(rest)}."


def update_sentence(update: UpdateView) -> str:
    """What the update does to a parameter."""
    place = f"{update.layer}.{update.letter}[{update.at[0]}, {update.at[1]}]"
    said = f"{place} is {number(update.old)}, and its gradient is {number(update.gradient)}"
    if update.new is None:
        return f"{said}; the update is not known, as the optimiser's moments are not stored."
    step = update.new - update.old
    what = "adds" if step >= 0 else "subtracts"
    return f"{said}; the update {what} {number(abs(step))}, which gives {number(update.new)}."


def chain_sentences(chain: Sequence[CellView]) -> Iterator[str]:
    """A chain of numbers: each with the largest term of its sum, in which the next one is."""
    is_derivative = chain[0].letter.startswith("d")
    yield f"This is the chain {'from the cost' if is_derivative else 'of factors'}, link by link."
    for cell in chain:
        said = f"{name(cell)} is {number(cell.value)}"
        n_others = len(cell.terms) - 1 + cell.n_more
        if cell.terms and n_others:
            others = "one more term" if n_others == 1 else f"{n_others:,} more terms"
            said += f"; its largest term is {_product(cell.terms[0])}, beside {others}"
        elif cell.terms:
            said += f": {_product(cell.terms[0])}"
        yield f"{said}."


def ways_sentences(cell: CellView, ways: WaysView) -> Iterator[str]:
    """One derivative by three ways, and why they differ."""
    yield f"In {ways.type}, {name(cell)} is {ways.by_hand:.10g} by hand."
    yield f"By jax.vjp it is {ways.by_vjp:.10g}, a relative error of {ways.vjp_error:.1e}."
    yield (
        f"By central differences with h = {ways.step:g} it is {ways.by_differences:.10g}, a "
        f"relative error of {ways.difference_error:.1e}."
    )
    for reason in ways.reasons:
        yield f"Why they differ: {reason}."
    if ways.is_mistake:
        yield "They differ without a reason: the derivative by hand is wrong."


def array_ways_sentences(found: Iterable[ArrayWaysView]) -> Iterator[str]:
    """The arrays of derivatives by three ways, each with its reasons."""
    yield "The derivatives by hand are compared with those by jax.vjp and by central differences."
    for one in found:
        checked = "all" if one.n_checked == one.size else f"the largest {one.n_checked:,}"
        yield (
            f"{one.place}.{one.letter} has {one.size:,} numbers: the relative error is "
            f"{one.vjp_error:.1e} against jax.vjp, and {one.difference_error:.1e} against "
            f"differences, by which {checked} are checked."
        )
        if one.n_mistakes:
            yield f"Of these, {one.n_mistakes:,} are wrong by hand."
        if one.reasons:
            kinds = listed([f"{kind} ({n:,})" for kind, n in one.reasons.items()])
            yield f"Why some of these differ by more than the type allows: {kinds}."


def _product(term: TermView) -> str:
    """Such as "W[0, 3], which is 0.5, times A[3, 0], which is 2"."""
    *first, last = [_factor(factor) for factor in term.factors]
    return ", times ".join([*first, last])


def _factor(factor: FactorView) -> str:
    value = number(factor.value)
    return value if factor.name == value else f"{factor.name}, which is {value}"
