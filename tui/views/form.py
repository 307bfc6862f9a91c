"""The logic of the study form: turns what is typed into a study, and checks it."""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from jmlp.client.choice import Choice
from jmlp.client.submitting import NAMED_DATA
from jmlp.errors import ConfigError, DataError
from jmlp.store import StudyRow
from jmlp.study.config import DEFAULTS, USED_ONLY_WITH, Experiment, Study, in_use
from jmlp.study.file import SHIPPED, load_study
from jmlp.study.rules import plain, toml_value
from tui.feed import StoreView
from tui.text import count

if TYPE_CHECKING:
    from jmlp.training.plan import DataFacts

FIRST = ("seeds", "epochs", "data")
# The most important come first; one that has an effect only with another comes after that one.
_ORDER = (
    "learning_rate",
    "schedule",
    "batch_size",
    "hidden",
    "drop_rate",
    "batch_norm",
    "optimizer",
    "momentum",
    "initialization",
    "weight_std",
    "patience",
    "min_delta",
    "evaluate_every",
    "batch_norm_place",
    "batch_norm_scale",
    "backward_fault",
)
KEYS = tuple(dict.fromkeys((*FIRST, *_ORDER, *DEFAULTS)))
LONGEST = 200  # characters of a field
LONGEST_PATH = 4096
SHOWN = 4  # values of an axis, above which some are left out

NO_PATHS = "in the browser: mnist or synthetic"
NO_EXPERIMENT = "choose at least one experiment (space)"

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_FLAG = re.compile(r"--(?:set )?(?P<key>\w+)(?P<step>[^:]*): (?P<text>.*)", re.DOTALL)
_IN_FILE = re.compile(r"(?:experiments\.[^:]*?\.)?(?P<key>\w+)(?:\[\d+\])*: .*", re.DOTALL)


def title(key: str) -> str:
    """Returns a field's label, such as `learning rate`."""
    return key.replace("_", " ")


def shipped() -> list[tuple[str, str]]:
    """Returns the names and titles of the built-in studies."""
    return [(name, load_study(name).title) for name in SHIPPED]


# ---- what is typed


def choice_of(origin: Choice, experiments: Sequence[str], texts: Mapping[str, str]) -> Choice:
    """Returns the choice that the same options of the command would make.

    Args:
        origin: the unchanged study.
        experiments: the experiments to run; none means all of them.
        texts: the text of each field; an empty one changes nothing.
    """
    numbers: dict[str, Any] = {}
    overrides = []
    for key in KEYS:
        text = texts.get(key, "").strip()
        if not text:
            continue
        if key == "data":
            numbers[key] = text
        elif key in FIRST and _INTEGER.fullmatch(text):
            numbers[key] = int(text)
        else:
            overrides.append(f"{key}={text}")
    return replace(origin, experiments=tuple(experiments), overrides=tuple(overrides), **numbers)


# ---- the unchanged study


@dataclass(frozen=True)
class Part:
    """An experiment that can be chosen or left out."""

    name: str
    title: str
    n_configurations: int
    n_seeds: int

    @property
    def text(self) -> str:
        """`Batch size, 8 configurations × 5 seeds`."""
        grid = f"{count(self.n_configurations, 'configuration')} × {count(self.n_seeds, 'seed')}"
        return ", ".join(filter(None, (self.title, grid)))


@dataclass(frozen=True)
class Outline:
    """An unchanged study, for the form's experiments and placeholders."""

    study: Study

    @property
    def parts(self) -> tuple[Part, ...]:
        """Its experiments."""
        return tuple(
            Part(e.name, e.title, math.prod(map(len, e.axes.values())), len(e.seeds))
            for e in self.study.experiments
        )

    def hint(self, key: str, experiments: Sequence[str]) -> str:
        """Returns a field's placeholder: the value in these experiments, as one would type it.

        Args:
            key: the field.
            experiments: names of the chosen experiments.
        """
        if key == "data":
            return self.study.data
        chosen = [e for e in self.study.experiments if e.name in experiments]
        texts = dict.fromkeys(_seeds(e) if key == "seeds" else _setting(e, key) for e in chosen)
        return " or ".join(texts)


def _seeds(experiment: Experiment) -> str:
    seeds = experiment.seeds
    return str(len(seeds)) if seeds == tuple(range(len(seeds))) else _text(seeds)


def _setting(experiment: Experiment, key: str) -> str:
    if key in experiment.axes:
        return f"varied: {_some([_text(value) for value in experiment.axes[key]])}"
    if not in_use(key, experiment.base, experiment.axes):
        other, needed = USED_ONLY_WITH[key]
        return f"only with {title(other)}" + ("" if needed is True else f" {needed}")
    return _text(getattr(experiment.base, key))


def _text(value: Any) -> str:
    """Formats a value as in a study file, but strings without quotes."""
    value = toml_value(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    return value if isinstance(value, str) else json.dumps(value)


def _some(texts: Sequence[str]) -> str:
    """Joins the texts; of many, the first two and the last."""
    if len(texts) <= SHOWN:
        return ", ".join(texts)
    return f"{', '.join(texts[:2])} … {texts[-1]}"


# ---- the check


@dataclass(frozen=True)
class Checked:
    """The result of checking a choice."""

    outline: Outline | None = None  # None: the study cannot be read at all
    label: str = ""  # in the store
    plan: tuple[str, ...] = ()  # lines; none if there are problems
    summary: str = ""  # of the plan
    problems: tuple[tuple[str, str], ...] = ()  # the field or "", and the message

    def __post_init__(self) -> None:
        """Sorts the problems in the order of the fields."""
        order = {key: i for i, key in enumerate(("", "experiments", *KEYS))}
        problems = sorted(self.problems, key=lambda problem: order[problem[0]])
        object.__setattr__(self, "problems", tuple(problems))

    @property
    def ok(self) -> bool:
        """Whether the study can be started."""
        return bool(self.plan)

    def of(self, key: str) -> str:
        """Returns the problems of a field, one per line."""
        return "\n".join(text for at, text in self.problems if at == key)

    def verdict(self) -> str:
        """Returns one line: what would be trained, or which fields have problems."""
        if self.ok:
            return self.summary
        if not self.problems:
            return ""
        places = dict.fromkeys(title(key) or "the study" for key, _ in self.problems)
        n = len(self.problems)
        return f"{count(n, 'problem')}: {', '.join(places)}"


def check(
    choice: Choice,
    origin: Choice,
    facts: Callable[[str], "DataFacts"],
    n_cores: int,
    *,
    none_chosen: bool = False,
    served: bool = False,
) -> Checked:
    """Checks a choice as the command would, and collects all problems.

    Args:
        choice: the changed study.
        origin: the unchanged study.
        facts: reads the facts of data, given its name or path.
        n_cores: the number of CPU cores to train on.
        none_chosen: whether all experiments were left out.
        served: whether the app runs in a browser, where it accepts no local paths.
    """
    try:
        outline = Outline(origin.study())
    except ConfigError as error:
        return Checked(problems=tuple(("", problem) for problem in error.problems))
    study, found = None, None
    problems = [("experiments", NO_EXPERIMENT)] if none_chosen else []
    try:
        study = choice.study()
    except ConfigError as error:
        name = plain(choice.source if choice.row is None else choice.row.label, limit=200)
        problems += [placed(problem, name) for problem in error.problems]
    if served and choice.data not in (None, *NAMED_DATA):
        problems.append(("data", NO_PATHS))
    elif "data" not in dict(problems):
        try:
            found = facts(choice.data or outline.study.data)
        except DataError as error:
            problems.append(("data", str(error)))
    label = choice.label(outline.study.name)
    if problems or study is None or found is None:
        return Checked(outline, label, problems=tuple(problems))
    try:
        lines, summary = _plan(study, found, n_cores)
    except ConfigError as error:
        problems = [placed(problem, study.name) for problem in error.problems]
        return Checked(outline, label, problems=tuple(problems))
    return Checked(outline, label, lines, summary)


def _plan(study: Study, facts: "DataFacts", n_cores: int) -> tuple[tuple[str, ...], str]:
    """Returns the plan's lines and its summary in one line.

    Raises:
        ConfigError: the study does not fit the data or this machine.
    """
    from jmlp.client.plans import checked_plan, plan_lines
    from jmlp.training.plan import memory, size_text

    plan = checked_plan(study, facts, n_cores)
    runs, programs = count(len(plan.runs), "run"), count(len(plan.groups), "program")
    size = size_text(memory(plan, n_cores))
    return tuple(plan_lines(plan, n_cores)), f"{runs} · {programs} to compile · about {size}"


def placed(problem: str, name: str) -> tuple[str, str]:
    """Returns the field that a message is about, or "", and the message without the field's name.

    Args:
        problem: the message as the command prints it.
        name: the study's name in messages.
    """
    if (flag := _FLAG.fullmatch(problem)) and flag["key"] in KEYS:
        step = f"{flag['key']}{flag['step']}: " if flag["step"] else ""
        return flag["key"], step + flag["text"]
    text = problem.removeprefix(f"{name}: ")
    if (place := _IN_FILE.fullmatch(text)) and place["key"] in KEYS:
        return place["key"], text
    return "", problem


@dataclass(frozen=True)
class Stored:
    """A study in the store that one can start from."""

    row: StudyRow
    done: int
    n_runs: int

    def text(self) -> str:
        """Returns its state and progress."""
        return f"{self.row.state}, {self.done} of {self.n_runs} runs"

    def note(self) -> str:
        """Says what is already there, for a user about to start the same study."""
        known = "; those are not trained again" if self.done else ""
        return f"in the store: {self.text()}{known}"


def stored_studies(view: StoreView) -> tuple[Stored, ...]:
    """Returns all studies in the store, the newest first."""
    if view.store is None:
        return ()
    return tuple(
        Stored(row, *view.store.counts(row.label)) for row in reversed(view.store.studies())
    )
