"""The list of a study's configurations, each with a sparkline of its validation cost."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.reactive import reactive

from jmlp.client.texts import MISSING
from jmlp.training.records import epoch_text
from tui.charts.lines import letter
from tui.charts.sparkline import Scale, sparkline
from tui.glossary import mentioned
from tui.text import duration, fit, shortened, values_only
from tui.theme import N_CURVES
from tui.views.study import ConfigurationLine, ExperimentLines
from tui.widgets.line_list import LineList

GAP = "  "
EPOCH = 5  # columns of the terminal
NUMBERS = ("train. cost", "val. cost", "range", "acc. %", "epoch", "seeds", "left")  # titles
BASELINE = "·"  # marks the baseline
LETTER = "A "  # of its curve
CURVE = "cost"  # title of the sparklines, before their scale
MIN_LABEL, MIN_SPARK, MAX_SPARK = 14, 11, 100  # a sparkline is as wide as its scale


@dataclass(frozen=True)
class Columns:
    """Which columns are shown, and the widths of those that are not fixed."""

    label: int
    spark: int
    state: int
    training: bool = False
    spread: bool = False  # the range over seeds
    accuracy: bool = True
    epoch: bool = True
    left: bool = False

    @classmethod
    def for_width(cls, width: int, longest: int, shortest: int) -> "Columns":
        """Chooses the columns for a width.

        Args:
            width: the list's width in columns of the terminal.
            longest: the length of the longest name.
            shortest: the length of the longest abbreviated name.
        """
        made = cls(
            label=0,
            spark=0,
            state=26 if width >= 130 else 20 if width >= 90 else 15 if width >= 72 else 14,
            training=width >= 104,
            spread=width >= 144,
            accuracy=width >= 72,
            epoch=width >= 72,
            left=width >= 116,
        )
        room = made.room(width)
        for column in ("epoch", "accuracy"):  # matter less than the names
            if room - MIN_SPARK < shortest:
                made = replace(made, **{column: False})
                room = made.room(width)
        # Names take up to two thirds, or more if even the abbreviated ones need it.
        label = min(longest, max(shortest, room * 2 // 3), max(MIN_LABEL, room - MIN_SPARK))
        spark = max(MIN_SPARK, min(MAX_SPARK, room - label))
        return replace(made, label=label, spark=spark)

    def room(self, width: int) -> int:
        """Returns the columns that are left for names and sparklines in a list of this width."""
        return width - len(self.numbers_head()) - self.state - 6 - len(LETTER)

    def numbers_head(self) -> str:
        """Returns the titles of the number columns."""
        return self._join(*NUMBERS)

    def numbers(self, line: ConfigurationLine) -> str:
        """Returns a configuration's numbers, aligned with their titles."""
        spread = f"{line.range[0]:.4f}–{line.range[1]:.4f}" if line.range else MISSING
        accuracy = line.validation_accuracy
        return self._join(
            _cost(line.training_cost),
            _cost(line.validation_cost),
            spread,
            MISSING if accuracy is None else f"{100 * accuracy:.2f}",
            _epoch(line.epoch),
            f"{line.n_done}/{line.n_seeds}",
            "" if line.left is None else f"≈ {duration(line.left)}",
        )

    def _join(
        self,
        training: str,
        cost: str,
        spread: str,
        accuracy: str,
        epoch: str,
        seeds: str,
        left: str,
    ) -> str:
        parts = [
            *([training.rjust(11)] if self.training else ()),
            cost.rjust(9),
            *([spread.rjust(15)] if self.spread else ()),
            *([accuracy.rjust(6)] if self.accuracy else ()),
            *([epoch.rjust(EPOCH)] if self.epoch else ()),
            seeds.rjust(5),
            *([left.rjust(8)] if self.left else ()),
        ]
        return (GAP if self.left else " ").join(parts)


def _epoch(epoch: float | None) -> str:
    """Formats an epoch, with as many of its decimals as fit into the column."""
    whole, _, decimals = epoch_text(epoch).partition(".")
    room = EPOCH - len(whole) - 1
    return f"{whole}.{decimals[:room]}" if decimals and room > 0 else whole


def _longest(names: Iterable[str]) -> int:
    return max(map(cell_len, names), default=0)


def _name(label: str, width: int, longest: int, shortest: int) -> str:
    """Fits a configuration's name into its column, abbreviated like all of its experiment.

    Args:
        label: the name.
        width: of the column.
        longest: the length of the longest name.
        shortest: the length of the longest abbreviated name.
    """
    shorten = str if longest <= width else shortened if shortest <= width else values_only
    return fit(shorten(label), width)


def _cost(value: float | None) -> str:
    return MISSING if value is None else f"{value:.4f}"


class ConfigurationList(LineList[ConfigurationLine]):
    """Configurations, grouped by experiment."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "list--title",
        *(f"list--{i}" for i in range(N_CURVES)),
    }
    DEFAULT_CSS = "\n".join(
        [
            "ConfigurationList > .list--title { text-style: bold; }",
            *(f"ConfigurationList > .list--{i} {{ color: $curve-{i}; }}" for i in range(N_CURVES)),
        ]
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Open", tooltip="Open the runs of this configuration"),
    ]
    page_size = 10
    log_scale = reactive(False)

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._experiments: Sequence[ExperimentLines] = ()
        self._indices: dict[tuple[str, str], int] = {}  # of configurations in their experiments
        self._cap = math.inf
        self._scales: dict[str, Scale] = {}  # by experiment
        self._last_epochs: dict[str, float] = {}
        # Of the longest name by experiment, in full and abbreviated.
        self._lengths: dict[str, tuple[int, int]] = {}

    # ---- what is shown

    def show(self, experiments: Sequence[ExperimentLines], n_classes: int) -> None:
        """Shows these configurations."""
        rows: list[ExperimentLines | ConfigurationLine | None] = []
        for experiment in experiments:
            rows += [None] if rows else []
            rows += [experiment, *experiment.lines]
        places = [i for i, row in enumerate(rows) if isinstance(row, ConfigurationLine)]
        self._cap = math.log(max(2, n_classes))
        self._last_epochs = {
            e.name: max((line.curve[-1][0] for line in e.lines if line.curve), default=0)
            for e in experiments
        }
        self._experiments = experiments
        self._indices = {
            self.key_of(line): i for e in experiments for i, line in enumerate(e.lines)
        }
        names = {e.name: [line.label for line in e.lines] for e in experiments}
        self._lengths = {e: (_longest(n), _longest(map(shortened, n))) for e, n in names.items()}
        self._rescale()
        self.show_rows(rows, places)

    def key_of(self, line: ConfigurationLine) -> tuple[str, str]:
        """Identifies a configuration by its experiment and label."""
        return line.experiment, line.label

    @property
    def terms(self) -> list[str]:
        """The state and the hyperparameters of the configuration at the cursor, and the columns."""
        line = self.at_cursor
        if line is None:
            return []
        words = ["configuration", *mentioned(line.state), *mentioned(line.label)]
        words += ["baseline"] if line.is_baseline else []
        return [*words, "experiment", CURVE, *NUMBERS, "state"]

    def watch_log_scale(self) -> None:
        """Redraws the curves, and reports the new scale."""
        self._rescale()
        self.action_move(0)

    @property
    def scale_text(self) -> str:
        """The scale at the cursor: `cost from ▁ 0.2034 to █ 0.9026, ▲ above`."""
        line = self.at_cursor
        shown = (e for e in self._experiments if line is not None and e.name == line.experiment)
        experiment = next(shown, None)
        costs = [cost for line in experiment.lines for _, cost in line.curve] if experiment else []
        if experiment is None or not costs:
            return ""
        scale = self._scales[experiment.name]
        above = ", ▲ above" if any(cost > scale.high for cost in costs) else ""
        log = ", log" if scale.log else ""
        return f"cost from ▁ {scale.low:.4f} to █ {scale.high:.4f}{above}{log}"

    def _rescale(self) -> None:
        self._scales = {
            e.name: Scale.useful(
                [value for line in e.lines for _, value in line.curve],
                self._cap,
                log=self.log_scale,
            )
            for e in self._experiments
        }

    # ---- drawing

    def draw_row(self, row: Any, base: Style) -> list[Segment]:
        """Draws an experiment's heading, a configuration, or a blank line."""
        longest = max((full for full, _ in self._lengths.values()), default=0)
        shortest = max((short for _, short in self._lengths.values()), default=0)
        columns = Columns.for_width(self.size.width, longest, shortest)
        if isinstance(row, ExperimentLines):
            return self._heading(row, columns)
        return [] if row is None else self._configuration(row, columns, base)

    def _heading(self, experiment: ExperimentLines, columns: Columns) -> list[Segment]:
        base = self.visual_style.rich_style
        muted = base + self.style("list--muted")
        scale = self._scales[experiment.name]
        ends = f"▁{scale.low:.2f} █{scale.high:.2f}"
        curve = f"{CURVE} {ends} ▲ above" if columns.spark > len(ends) + 14 else ends
        if not any(line.curve for line in experiment.lines):
            curve = CURVE
        curve += ", log" if scale.log and columns.spark > len(curve) + 5 else ""
        title = experiment.title
        if self._lengths[experiment.name][1] > columns.label:  # values alone: say of what
            title = ", ".join(axis.replace("_", " ") for axis in experiment.lines[0].axes)
        title = " " + fit(title, len(LETTER) + columns.label)
        return [
            Segment(title, base + self.style("list--title")),
            Segment(GAP + fit(curve, columns.spark), muted),
            Segment(" " + columns.numbers_head(), muted),
            Segment(GAP + fit("state", columns.state), muted),
        ]

    def _configuration(
        self, line: ConfigurationLine, columns: Columns, base: Style
    ) -> list[Segment]:
        mark = BASELINE if line.is_baseline else " "
        curve = sparkline(
            line.curve,
            columns.spark,
            self._last_epochs[line.experiment],
            self._scales[line.experiment],
        )
        troubled = any(word in line.state for word in ("diverged", "failed", "collapsed"))
        state = base + self.style("list--trouble" if troubled else "list--muted")
        index = self._indices[self.key_of(line)]
        return [
            Segment(mark, base),
            Segment(letter(index) + " ", base + self.style(f"list--{index % N_CURVES}")),
            Segment(_name(line.label, columns.label, *self._lengths[line.experiment]) + GAP, base),
            Segment(curve, base + self.style("list--accent")),
            Segment(" " + columns.numbers(line), base),
            Segment(GAP + fit(line.state, columns.state), state),
        ]
