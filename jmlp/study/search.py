"""Searches: what a search may contain, and the candidates drawn from its ranges.

The candidates are a function of the search, its seed and the baseline. A study in the store lists
them, so that another version of SciPy can't change a study that was begun.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from jmlp.study import rules
from jmlp.study.config import (
    FLOAT_FIELDS,
    Cell,
    Hyperparams,
    Law,
    Method,
    Range,
    Search,
    Value,
    canonical,
    changed,
)
from jmlp.study.rules import (
    HYPERPARAMETERS,
    Refused,
    Rule,
    shown,
    toml_value,
    value_text,
    with_kind,
)
from jmlp.study.toml_reader import Document, Key, Reader

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_CANDIDATES = 1000
MAX_ROUNDS = 10
CONFIRM = 10  # seeds of the confirmation, unless a study says otherwise
_DIGITS = 4  # of a value drawn from a logarithmic range
_STEPS = 3  # decimals of a value drawn from a uniform range, in units of its width
# Points drawn for each candidate before the ranges count as exhausted. To draw all of 1000 equally
# probable configurations takes about 7.5 for each (the coupon collector's problem).
_POINTS_EACH = 64

_COUNT = rules.integer(1, rules.MAX_RUNS)
LAWS: tuple[Law, ...] = get_args(Law)
METHODS: tuple[Method, ...] = get_args(Method)
SETTINGS: Mapping[str, Rule] = {
    "configurations": rules.integer(1, MAX_CANDIDATES),
    "method": rules.choice(*METHODS),
    "seed": rules.SEED,
    "halving": rules.list_of(
        "a list of the epochs of the rounds before the last, as in halving = [3, 9]",
        HYPERPARAMETERS["epochs"],
        1,
        MAX_ROUNDS - 1,
    ),
    # A number is read as the smallest seeds that the search does not use.
    "confirm": Rule(
        f"{rules.SEEDS.wanted}, none of them a seed of the search",
        lambda value: rules.SEEDS.read(value) if isinstance(value, list) else _COUNT.read(value),
    ),
}


def read_search(
    table: Document, at: Key, seeds: Sequence[int], baseline: Hyperparams, reader: Reader
) -> Search | None:
    """The search described by a table; None if the reader recorded problems with it.

    Args:
        table: the content of `[experiments.NAME.search]`.
        at: its key.
        seeds: the seeds of the search.
        baseline: the configuration that no candidate repeats.
        reader: takes the problems.
    """
    n_problems = reader.n_problems
    settings: Document = {"confirm": CONFIRM, "method": "sobol", "seed": 0, "halving": ()}
    space: dict[str, Range | tuple[Value, ...]] = {}
    for key, value in table.items():
        if key in SETTINGS:
            reader.value(value, (*at, key), SETTINGS[key], settings)
        elif key in HYPERPARAMETERS:
            reader.value(value, (*at, key), space_rule(key), space)
        elif key != "drawn":
            reader.unknown((*at, key), [*SETTINGS, *HYPERPARAMETERS])
    if not table.keys() & HYPERPARAMETERS.keys():
        reader.problem(
            at, "varies nothing: give a hyperparameter, as in learning_rate = { log = [1e-4, 1] }"
        )
    if "configurations" not in table:
        reader.problem(
            (*at, "configurations"), "is missing: say how many to try, as in configurations = 20"
        )
    confirm = settings["confirm"]
    if isinstance(confirm, int):
        confirm = fresh_seeds(seeds, confirm)
    elif both := sorted({*confirm} & {*seeds}):
        reader.problem(
            (*at, "confirm"),
            f"has seeds of the search, {shown(both)}, with which the winner was chosen: leave them "
            "out, or give a number, as in confirm = 10",
        )
    if "halving" in table and "epochs" in table:
        reader.problem(
            (*at, "halving"),
            "its rounds differ in epochs, which is searched: leave one of them out",
        )
    elif problem := _halving_problem(settings["halving"], baseline.epochs):
        reader.problem((*at, "halving"), problem)
    if reader.n_problems > n_problems:
        return None
    space = {name: space[name] for name in HYPERPARAMETERS if name in space}
    search = Search(
        space,
        settings["configurations"],
        tuple(confirm),
        settings["method"],
        settings["seed"],
        settings["halving"],
    )
    if "drawn" in table:
        drawn = _read_drawn(table["drawn"], (*at, "drawn"), search, reader)
    else:
        try:
            drawn = draw(search, baseline)
        except Refused as refused:
            reader.problem((*at, "configurations"), str(refused))
            return None
    warmup = max(cell.get("warmup", 0.0) for cell in (baseline.__dict__, *drawn))
    if search.halving and warmup > search.halving[0]:
        reader.problem(
            (*at, "halving"),
            f"the first round, of {search.halving[0]} epochs, would end within the warm-up of "
            f"{warmup:g}: begin with a longer one",
        )
    return None if reader.n_problems > n_problems else replace(search, drawn=drawn)


def _halving_problem(halving: Sequence[int], epochs: int) -> str | None:
    """Why a search whose last round has so many epochs can't have these rounds before it."""
    for before, after in itertools.pairwise((*halving, epochs)):
        if before >= after:
            return (
                f"must rise from round to round, up to below the {epochs} epochs of the last one, "
                f"got {shown(list(halving))}"
            )
    return None


def rounds(search: Search, epochs: int) -> tuple[tuple[int, int], ...]:
    """The epochs and the number of candidates of each round of a search.

    Each round costs about as much as the one before: when epochs triple, a third of the candidates
    remain, rounded down, but at least one (successive halving: Jamieson and Talwalkar 2016,
    "Non-stochastic Best Arm Identification and Hyperparameter Optimization", AISTATS).

    Args:
        search: the search.
        epochs: those of its last round.
    """
    found: list[tuple[int, int]] = []
    for limit in (*search.halving, epochs):
        n = search.configurations
        if found:
            before, n_before = found[-1]
            n = max(1, n_before * before // limit)
        found.append((limit, n))
    return tuple(found)


def round_name(name: str, number: int) -> str:
    """The name of the experiment with a further round of a search; the second has number 2."""
    return f"{name}-round-{number}"


def confirmation_name(name: str) -> str:
    """The name of the experiment that confirms the winner of the search in this experiment."""
    return f"{name}-confirmation"


def later_names(name: str, n_rounds: int) -> tuple[str, ...]:
    """The names of all experiments that the results of a search with so many rounds can make."""
    numbers = range(2, n_rounds + 1)
    return (*(round_name(name, number) for number in numbers), confirmation_name(name))


def fresh_seeds(used: Sequence[int], n: int) -> tuple[int, ...]:
    """The `n` smallest seeds that are not in use."""
    return tuple(
        itertools.islice(itertools.filterfalse({*used}.__contains__, itertools.count()), n)
    )


def space_rule(name: str) -> Rule:
    """The values over which a hyperparameter is searched: a range, or a list of choices."""
    rule, choices = HYPERPARAMETERS[name], rules.axis(name)
    wanted = "a list of choices"
    if _is_number(name):
        wanted = (
            f"a range, as in {{ log = [LOW, HIGH] }} or {{ uniform = [LOW, HIGH] }}, or {wanted}"
        )

    def read(value: Any) -> Range | tuple[Value, ...]:
        if isinstance(value, list):
            try:
                read_choices: tuple[Value, ...] = choices.read(value)
            except Refused as refused:
                raise Refused(f"{refused}; each must be {rule.wanted}") from None
            return read_choices
        if not isinstance(value, dict):
            raise Refused(with_kind(value))
        if not _is_number(name):
            raise Refused("a range, and it is not a number")
        law, *others = value or [""]
        ends = value.get(law)
        if law not in LAWS or others or not isinstance(ends, list) or len(ends) != 2:
            raise Refused(f"a table with {', '.join(map(shown, value)) or 'nothing in it'}")
        text = f"{law} = {shown(ends)}"
        for end in ends:
            try:
                if not isinstance(rule.read(end), int | float):
                    raise Refused("")
            except Refused:
                raise Refused(f"{text}, whose {shown(end)} is not {rule.wanted}") from None
        low, high = map(rule.read, ends)
        if low >= high:
            raise Refused(f"{text}: the lower end must come first")
        if law == "log" and low <= 0:
            raise Refused(f"{text}: a logarithmic range must begin above 0")
        return Range(law, low, high)

    return Rule(wanted, read)


def _is_number(name: str) -> bool:
    """Whether a hyperparameter has a range of numbers."""
    for value in (1, 0.5):
        try:
            read = HYPERPARAMETERS[name].read(value)
        except Refused:
            continue
        return isinstance(read, int | float)
    return False


def _read_drawn(value: Any, at: Key, search: Search, reader: Reader) -> tuple[Cell, ...]:
    """The candidates as `drawn_table` wrote them."""
    table = reader.table(value, at)
    columns: dict[str, tuple[Value, ...]] = {}
    n, redo = search.configurations, "delete drawn, and they are drawn again"
    for name in search.space:
        column: Document = {}
        values = rules.list_of("a list", HYPERPARAMETERS[name], n, n)
        if name in table:
            reader.value(table[name], (*at, name), Rule(f"{n:,} values", values.read), column)
        else:
            reader.problem((*at, name), f"is missing: {redo}")
        columns[name] = column.get(name, ())
        if outside := [v for v in columns[name] if not _allows(search.space[name], v)]:
            text = shown(toml_value(outside[0]))
            reader.problem((*at, name), f"{text} is not what the search may draw: {redo}")
    for name in table.keys() - search.space.keys():
        reader.unknown((*at, name), list(search.space))
    return tuple(
        dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=False)
    )


def drawn_table(search: Search) -> Document:
    """The candidates as TOML values: the list of values of each hyperparameter."""
    return {name: [toml_value(cell[name]) for cell in search.drawn] for name in search.space}


def space_value(values: Range | tuple[Value, ...]) -> Any:
    """The TOML value that `space_rule` reads as these values."""
    if isinstance(values, Range):
        return {values.law: [values.low, values.high]}
    return [toml_value(value) for value in values]


def space_text(name: str, values: Range | tuple[Value, ...]) -> str:
    """What a hyperparameter is drawn from, as shown: `0.0001 to 1 (logarithmic)`, `32 or 64`."""
    if isinstance(values, Range):
        ends = " to ".join(value_text(end) for end in (values.low, values.high))
        return ends + (" (logarithmic)" if values.law == "log" else "")
    return " or ".join(value_text(value, name) for value in values)


def _allows(values: Range | tuple[Value, ...], value: Value) -> bool:
    if isinstance(values, Range):
        return isinstance(value, int | float) and values.low <= value <= values.high
    return value in values


# ---- drawing


def draw(search: Search, baseline: Hyperparams) -> tuple[Cell, ...]:
    """The candidates of a search, all different from each other and from the baseline.

    Each hyperparameter is one dimension of the points that are drawn: independent ones ("random"),
    or the scrambled sequences of Sobol' (Owen 1998) or Halton, which cover the ranges more evenly.
    More candidates of the same search begin with those of fewer.

    Raises:
        Refused: the ranges have fewer different configurations.
    """
    found: dict[Hyperparams, Cell] = {canonical(baseline): {}}
    n = search.configurations
    for point in itertools.islice(_points(search), _POINTS_EACH * (n + 1)):
        cell = {
            name: _value(name, values, u)
            for (name, values), u in zip(search.space.items(), point.tolist(), strict=True)
        }
        found.setdefault(canonical(changed(baseline, **cell)), cell)
        if len(found) > n:
            return tuple(found.values())[1:]
    raise Refused(
        f"must be at most {len(found) - 1:,}, got {n:,}: there are no more different "
        "configurations besides the baseline; ask for fewer, or vary more"
    )


def _points(search: Search) -> "Iterator[NDArray[Any]]":
    """The points of a search in the unit cube, without end."""
    import numpy as np

    rng = np.random.default_rng(search.seed)
    n_dimensions = len(search.space)
    # Sobol' points are balanced in blocks whose size is a power of 2.
    block = 1 << (search.configurations - 1).bit_length()
    if search.method == "random":
        while True:
            yield from rng.random((block, n_dimensions))
    from scipy.stats import qmc  # slow to import

    sequence = qmc.Sobol if search.method == "sobol" else qmc.Halton
    engine = sequence(n_dimensions, scramble=True, rng=rng)
    while True:
        yield from engine.random(block)


def _value(name: str, values: Range | tuple[Value, ...], u: float) -> Value:
    """The value at the fraction `u` of the distribution, 0 <= u < 1."""
    if not isinstance(values, Range):
        return values[int(u * len(values))]
    low, high = values.low, values.high
    if name not in FLOAT_FIELDS:
        # Each integer i has the probability of the reals from i to below i + 1.
        high += 1
    drawn = low * (high / low) ** u if values.law == "log" else low + u * (high - low)
    if name not in FLOAT_FIELDS:
        return min(int(drawn), int(values.high))
    if values.law == "log":
        drawn = float(f"{drawn:.{_DIGITS}g}")
    else:
        drawn = round(drawn, _STEPS - math.floor(math.log10(high - low)))
    return min(max(drawn, low), high)
