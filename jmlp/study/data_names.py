"""How data are named in study files, by `--data` and in the app; every other text is a path.

    NAME                    a data set, such as mnist
    TOY:KEY=VALUE,KEY=VALUE a toy with parameters, such as moons:noise=0.2,n=2000

A toy is a set of points in the plane, drawn by `jmlp.data.toys`. Equal data have one canonical
text: the parameters in the order below, without those that have their default values.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from jmlp.study.rules import PATH, SEED, Refused, Rule, did_you_mean, integer, number, plain, shown
from jmlp.study.values import toml_or_text

FEWEST_POINTS = 20
MOST_POINTS = 1_000_000
MOST_CLASSES = 10

# Defaults; the points lie within about -1 to 1 in both directions.
TOYS: Mapping[str, Mapping[str, int | float]] = {
    "moons": {"n": 1000, "noise": 0.1, "seed": 0},
    "circles": {"n": 1000, "noise": 0.1, "classes": 2, "seed": 0},
    "spirals": {"n": 1000, "noise": 0.05, "classes": 2, "seed": 0},
    "xor": {"n": 1000, "noise": 0.05, "seed": 0},
    "blobs": {"n": 1000, "noise": 0.2, "classes": 3, "seed": 0},
}
NAMES = ("mnist", "fashion-mnist", "synthetic", "digits-8x8", "iris", "penguins", *TOYS)
# What may stand where data are named: in messages, and as the help of options.
ALLOWED = (
    "a name that 'jmlp data list' shows, a folder with IDX files, an .npz file, or a table (.csv, "
    ".tsv, .parquet)"
)
HELP = f"A{ALLOWED[1:]}."

_PARAMETERS: Mapping[str, Rule] = {
    "n": integer(FEWEST_POINTS, MOST_POINTS),
    "noise": number("from 0 to 1", lambda v: 0 <= v <= 1),
    "classes": integer(2, MOST_CLASSES),
    "seed": SEED,
}


@dataclass(frozen=True)
class DataName:
    """The name of a data set, with the values of all parameters that it has."""

    name: str
    parameters: Mapping[str, int | float] = field(default_factory=dict)

    def __str__(self) -> str:
        """The canonical text."""
        defaults = TOYS.get(self.name, {})
        changed = [
            f"{key}={self.parameters[key]}"
            for key, default in defaults.items()
            if self.parameters[key] != default
        ]
        return self.name + (f":{','.join(changed)}" if changed else "")


def is_name(data: str) -> bool:
    """Whether a text names a data set that jmlp knows, and is not a path."""
    return data.partition(":")[0].strip() in NAMES


def parse_name(data: str) -> DataName | None:
    """Reads a name with its parameters; None for a path.

    Raises:
        Refused: a parameter is wrong; the message says what is allowed.
    """
    if not is_name(data):
        return None
    name, colon, settings = (part.strip() for part in data.partition(":"))
    defaults = TOYS.get(name)
    if defaults is None:
        if colon:
            raise Refused(f"{shown(data)}: {name} takes no parameters")
        return DataName(name)
    given: dict[str, int | float] = {}
    for setting in settings.split(",") if colon else ():
        key, equals, value = (part.strip() for part in setting.partition("="))
        if not equals:
            raise Refused(
                f"{shown(data)}: each parameter of {name} is written KEY=VALUE, as in "
                f"{name}:{_example(defaults)}; {_allowed(defaults)}"
            )
        if key not in defaults:
            near = did_you_mean(key, defaults) or f"; {_allowed(defaults)}"
            raise Refused(f"{shown(data)}: {name} has no parameter {plain(key)}{near}")
        if key in given:
            raise Refused(f"{shown(data)}: {key} is given twice")
        rule = _PARAMETERS[key]
        try:
            given[key] = rule.read(toml_or_text(value))
        except Refused as refused:
            message = f"{shown(data)}: {key} must be {rule.wanted}, got {refused}"
            raise Refused(message) from None
    return DataName(name, {**defaults, **given})


def similar_name(data: str) -> str:
    """`; did you mean moons?`, or an empty string if no name is similar to a text."""
    return did_you_mean(data.partition(":")[0].strip().lower(), NAMES)


def _example(defaults: Mapping[str, int | float]) -> str:
    return ",".join(f"{key}={defaults[key]}" for key in ("n", "noise"))


def _allowed(defaults: Mapping[str, int | float]) -> str:
    return "; ".join(f"{key}: {_PARAMETERS[key].wanted}" for key in defaults)


def _read(value: object) -> str:
    data: str = PATH.read(value)
    named = parse_name(data)
    return data if named is None else str(named)


DATA = Rule(f"the name of a data set (jmlp data list) or a path, {PATH.wanted}", _read)
