"""The views of a step as lines of text, for the command and the app."""

from collections.abc import Iterable, Sequence

from jmlp.inspection.views import ArrayWaysView, CellView, FactorView, TermView, WaysView

MOST_LINES = 8  # of the terms of a sum


def number(value: float) -> str:
    """A number with six digits; 0 rather than -0."""
    return f"{value + 0.0:.6g}"


def place(cell: CellView) -> str:
    """Such as `Z[2, 0]`."""
    return f"{cell.letter}[{cell.at[0]}, {cell.at[1]}]"


def name(cell: CellView) -> str:
    """Such as `hidden 1.Z[2, 0]`, or `hidden 1 dropout.dA[2, 0]`."""
    return f"{cell.place}.{place(cell)}"


def factor_text(factor: FactorView) -> str:
    """Its name and its value, or only the value of a number such as -1."""
    value = number(factor.value)
    return value if factor.name == value else f"{factor.name} {value}"


def term_text(term: TermView) -> str:
    """The product."""
    return " * ".join(map(factor_text, term.factors))


def cell_lines(cell: CellView, most: int = MOST_LINES) -> list[str]:
    """The value and its equation, then a line for each term, the largest first.

    Args:
        cell: the number.
        most: terms that are shown one by one.
    """
    first = f"{cell.place}: {place(cell)} = {number(cell.value)}"
    if cell.equation is None:
        lines = [f"{first}, as it is given"]
        if cell.update is not None:
            lines.append(update_text(cell))
        return lines
    shown, hidden = cell.terms[:most], cell.terms[most:]
    rows = [(number(term.value), term_text(term)) for term in shown]
    n_more = len(hidden) + cell.n_more
    if n_more:
        rest = sum(term.value for term in hidden) + cell.rest
        what = "a smaller term" if n_more == 1 else f"{n_more:,} smaller terms together"
        rows.append((number(rest), what))
    width = max((len(value) for value, _ in rows), default=0)
    head = f"{first}, by {cell.equation}"
    if cell.total is not None:
        head = f"{first}, wrong: by {cell.equation} it is {number(cell.total)}"
    return [head, *(f"  {v:>{width}} = {text}" for v, text in rows)]


def update_text(cell: CellView) -> str:
    """What the update does to a parameter."""
    update = cell.update
    assert update is not None
    if update.new is None:
        return (
            f"  gradient {number(update.gradient)}; the new value is not known, because the "
            "optimiser's moments are not stored with a network"
        )
    step = update.new - update.old
    return (
        f"  update: {number(update.old)} {'-' if step < 0 else '+'} {number(abs(step))} = "
        f"{number(update.new)}, gradient {number(update.gradient)}"
    )


def chain_lines(chain: Sequence[CellView]) -> list[str]:
    """A chain of numbers: each with the largest term of its sum, in which the next one is."""
    is_derivative = chain[0].letter.startswith("d")
    lines = ["from the cost, by the largest term of each sum:" if is_derivative else "from:"]
    names = [name(cell) for cell in chain]
    values = [number(cell.value) for cell in chain]
    widths = max(map(len, names)), max(map(len, values))
    for cell, called, value in zip(chain, names, values, strict=True):
        text = f"  {called:<{widths[0]}} {value:>{widths[1]}}"
        if cell.terms:
            n_others = len(cell.terms) - 1 + cell.n_more
            others = f" + {n_others:,} more" if n_others else ""
            text += f" = {term_text(cell.terms[0])}{others}"
        lines.append(text)
    return lines


def ways_lines(ways: WaysView) -> list[str]:
    """One derivative by three ways, and why they differ."""
    rows = [
        ("by hand", ways.by_hand, ""),
        ("by jax.vjp", ways.by_vjp, f"relative error {ways.vjp_error:.1e}"),
        (
            "by central differences",
            ways.by_differences,
            f"relative error {ways.difference_error:.1e}, with h = {ways.step:g}",
        ),
    ]
    lines = [f"in {ways.type}:"]
    lines += [f"  {name:<22}  {value:>18.10g}  {error}".rstrip() for name, value, error in rows]
    lines += [f"  {reason}" for reason in ways.reasons]
    if ways.is_mistake:
        lines.append("  they differ without a reason: the derivative by hand is wrong")
    return lines


def array_ways_lines(found: Iterable[ArrayWaysView]) -> list[str]:
    """A table of arrays of derivatives by three ways, then the reasons."""
    found = list(found)
    names = [f"{one.place}.{one.letter}" for one in found]
    width = max(map(len, names))
    title = f"{'array':<{width}}  {'numbers':>9}  {'vjp':>8}  {'differences':>11}  {'checked':>9}"
    lines = ["relative error of the derivatives by hand, against jax.vjp and central differences"]
    lines.append(title)
    for one, called in zip(found, names, strict=True):
        checked = "all" if one.n_checked == one.size else f"{one.n_checked:,}"
        line = (
            f"{called:<{width}}  {one.size:>9,}  {one.vjp_error:>8.1e}  "
            f"{one.difference_error:>11.1e}  {checked:>9}"
        )
        lines.append(f"{line}  {one.n_mistakes:,} wrong" if one.n_mistakes else line)
    if any(one.reasons for one in found):
        lines.append("why numbers differ by more than the type allows:")
    for one, called in zip(found, names, strict=True):
        kinds = [f"{kind} ({n:,} of {one.n_checked:,})" for kind, n in one.reasons.items()]
        lines += [f"  {called}: {', '.join(kinds)}"] if kinds else []
    return lines
