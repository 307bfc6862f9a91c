"""The screen to draw a digit, and to see what all snapshots of all seeds say of it."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.geometry import Size
from textual.reactive import var
from textual.widgets import Static

from jmlp.client.texts import MISSING
from jmlp.inspection.answers import (
    Answers,
    Column,
    columns_of_all,
    columns_of_run,
    from_bytes,
    from_table,
    numbers,
    to_bytes,
)
from jmlp.training.records import epoch_text
from tui import copying, run_work
from tui.charts.matrix import shortened
from tui.charts.strip import title_of
from tui.copying import Excerpt, Heading
from tui.dialogs import Ask
from tui.feed import FeedUpdate
from tui.inspections import Failure
from tui.questions import Questions, Say
from tui.screens.base import JmlpScreen
from tui.sketch import Pixels
from tui.views.run import RunQuery, SeenRun
from tui.widgets.sheet import Seen, Sheet
from tui.widgets.strip import AnswerStrip

Request = Mapping[str, Any]
Answer = Mapping[str, Any]

PAUSE_SECONDS = 0.2  # seconds between an answer and the next question
AGAIN_SECONDS = 2.0  # between questions about the same drawing while a run is in training
AROUND_STRIP = 4  # rows: the line above it, the pointer, the epochs, the answers
LEAST_SEEN = 7  # rows of the picture that the network sees
LEAST_NOTES = 4  # rows of text, on terminals without room for that picture
SHARE = 0.45  # of the width that the sheet may take
BELOW_SHEET = 2  # rows that are left free below the sheet, at least
BLANK = (
    "Nothing is drawn yet. Draw with the mouse (its right button, or shift, erases), or move the "
    "pen with the arrows: space puts it down and lifts it."
)


@dataclass(frozen=True, eq=False)
class Heard:
    """An answer of the helper."""

    answers: Answers
    seen: Pixels
    how: str
    cautions: tuple[str, ...]


class DrawScreen(JmlpScreen[None]):
    """Asks every stored network of one configuration about a drawing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "left_square_bracket",
            "scrub(-1)",
            "Snapshot",
            key_display="[ ]",
            tooltip="Previous snapshot",
        ),
        Binding("right_square_bracket", "scrub(1)", show=False, tooltip="Next snapshot"),
        Binding("comma", "seed(-1)", "Seed", key_display=", .", tooltip="Previous seed"),
        Binding("full_stop", "seed(1)", show=False, tooltip="Next seed"),
        Binding("m", "mean", "Mean", tooltip="Answers of all seeds, or of one"),
        Binding("x", "example", "Example", tooltip="Take the next example of the data"),
        Binding("o", "open", "Open", tooltip="Take a picture from a file"),
        Binding(
            "a", "as_is", "As is", tooltip="Find and centre the ink, or use the sheet as it is"
        ),
        Binding("escape", "back", "Back", tooltip="Back to the runs"),
    ]
    DEFAULT_CSS = """
    DrawScreen #left { width: auto; }
    DrawScreen #right { width: 1fr; padding-left: 1; }
    DrawScreen #about { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    DrawScreen #below { height: 1fr; }
    DrawScreen Seen { margin-right: 2; }
    DrawScreen #notes { width: 1fr; height: 1fr; }
    """

    chosen = var(0, init=False)  # index of the seed
    together = var(False, init=False)  # whether the answers of all seeds are shown
    epoch: var[float | None] = var(None, init=False)  # of the snapshot; None: the best one
    as_is = var(False, init=False)
    _room: Size | None = None  # of the right half; None: not known yet

    def __init__(
        self,
        run_ids: Sequence[str],
        title: str,
        plane: tuple[int, int],
        *,
        chosen: int = 0,
        together: bool | None = None,
        epoch: float | None = None,
    ) -> None:
        """Initialises the screen.

        Args:
            run_ids: the ids of one or more runs.
            title: the breadcrumb.
            plane: height and width of the pictures that they were trained on.
            chosen: the index of the run that is shown first.
            together: whether all are shown first; by default if there are several.
            epoch: of the snapshot that is shown first; None: the best one.
        """
        super().__init__()
        self.breadcrumb = title
        self.run_ids, self._plane = tuple(run_ids), plane
        self.store_query = RunQuery(run_ids)
        self.runs: tuple[SeenRun, ...] = ()
        self.heard: Heard | None = None
        self.trouble = ""  # why there is no answer
        self.refused = ""  # why another picture could not be taken; the drawing has stayed
        self.said = ""  # about a slow step
        self.example = -1  # the number of the example that was taken last
        several = len(run_ids) > 1
        self.set_reactive(DrawScreen.chosen, chosen)
        self.set_reactive(DrawScreen.together, several if together is None else together)
        self.set_reactive(DrawScreen.epoch, epoch)

    def compose_body(self) -> ComposeResult:
        """Yields the sheet at the left, and the answers at the right."""
        with Horizontal():
            with Vertical(id="left"):
                yield Sheet(self._plane)
            with Vertical(id="right"):
                yield Static(id="about", markup=False)
                yield AnswerStrip(markup=False)
                with Horizontal(id="below"):
                    yield Seen()
                    yield Static(id="notes", markup=False)

    def on_mount(self) -> None:
        """Prepares the questions, and repeats the last one while runs are in training."""
        self.questions = Questions[Request, Answer](
            self,
            "ask the networks",
            self._look,
            self._answered,
            self._progressed,
            pause=PAUSE_SECONDS,
        )
        self.query_one(Sheet).focus()
        self.set_interval(AGAIN_SECONDS, self._ask_while_training)
        self.call_after_refresh(self._lay_out)

    def on_feed_update(self, event: FeedUpdate) -> None:
        """Asks again if a run has ended or was trained again."""
        self.store_error = ""
        before, self.runs = self.runs, event.value
        versions = [[(r.row.attempt, r.row.ended_at) for r in runs] for runs in (before, self.runs)]
        if before and versions[0] != versions[1]:
            self._ask()

    @property
    def terms(self) -> list[str]:
        """The sheet, the strip, and the words of its snapshots."""
        return ["sheet", "strip", "snapshot", "seed", "epoch"]

    # ---- keys and mouse

    def action_scrub(self, by: int) -> None:
        """Chooses the next or previous snapshot."""
        columns = self.columns
        if columns:
            at = max(0, min(len(columns) - 1, self._index(columns) + by))
            self.epoch = columns[at].epoch

    @on(AnswerStrip.Chosen)
    def snapshot_chosen(self, event: AnswerStrip.Chosen) -> None:
        """Chooses the snapshot that was clicked."""
        self.epoch = self.columns[event.index].epoch

    def action_seed(self, by: int) -> None:
        """Shows the next or previous seed alone."""
        self.set_reactive(DrawScreen.together, False)
        self.set_reactive(DrawScreen.chosen, (self.chosen + by) % len(self.run_ids))
        self._show()

    def action_mean(self) -> None:
        """Switches between all seeds and one."""
        self.together = not self.together

    def action_as_is(self) -> None:
        """Switches between the two ways to make a network's input of the sheet."""
        self.as_is = not self.as_is
        self._ask()

    def action_example(self) -> None:
        """Takes the next example of the validation part."""
        self.example += 1
        self._ask_about({"example": self.example})

    def action_open(self) -> None:
        """Asks for the path of a picture."""

        def chosen(text: str | None) -> None:
            if text is not None and text.strip():
                self._ask_about({"path": str(run_work.typed_target(text).absolute())})

        hint = "The path of a picture (PNG, JPEG) or of an array (.npy)."
        self.app.push_screen(Ask("Take a picture", hint=hint), chosen)

    def action_back(self) -> None:
        """Returns to the runs."""
        self.dismiss()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hides keys that make no sense now; in a browser there are no local paths."""
        if action in ("seed", "mean"):
            return len(self.run_ids) > 1
        return not (action == "open" and self.app.served)

    # ---- questions

    @on(Sheet.Changed)
    def drawn(self) -> None:
        """Asks about the new drawing."""
        self.refused = ""
        self._ask()

    def _ask(self) -> None:
        """Asks about what is on the sheet."""
        sketch = self.query_one(Sheet).sketch
        self.trouble = ""
        if sketch.is_blank:
            self.questions.give_up()
            self.heard, self.said = None, ""
            self._show()
        else:
            self._ask_about(sketch.content.loaded or {"pixels": to_bytes(sketch.pixels)})

    def _ask_about(self, what: Request) -> None:
        as_is = True if self.as_is else None
        self.questions.ask({"run_ids": self.run_ids, "as_is": as_is, **what})
        if self.heard is None:
            self._show()  # that it is asked

    def _ask_while_training(self) -> None:
        in_training = any(run.in_training for run in self.runs)
        idle = self.is_current and self.questions.is_idle
        if in_training and idle and not self.query_one(Sheet).sketch.is_blank:
            self._ask()

    def _look(self, request: Request, say: Say, stop: threading.Event) -> Answer | None:
        """Asks the helper; called in a thread."""
        answer: Answer | None = self.app.inspector.ask("draw", say, stop, **request)
        return answer

    def _progressed(self, line: str) -> None:
        self.said = line
        self._show()

    def _answered(self, request: Request, answer: Answer | Failure) -> None:
        self.said, self.trouble = "", ""
        if isinstance(answer, Failure):
            # The command's option is a key here.
            text = answer.text.replace("(--as-is)", "(key a)")
            if self._is_elsewhere(request):
                self.refused = text
            else:
                self.heard, self.trouble = None, text
        else:
            if self._is_elsewhere(request):
                self.refused = ""
            self.heard = Heard(
                from_table(answer["answers"]),
                from_bytes(answer["seen"]),
                answer["how"],
                tuple(answer["cautions"]),
            )
            self._put(request, answer)
        self._show()

    def _put(self, request: Request, answer: Answer) -> None:
        """Puts a picture that was asked about on the sheet, unless it is there or too late."""
        what = _source(request)
        if what and self._is_elsewhere(request) and not self.questions.has_newer:
            pixels = from_bytes(answer["read"])
            self.query_one(Sheet).put(pixels, what, can_continue="example" in what)

    def _is_elsewhere(self, request: Request) -> bool:
        """Whether a request is about a file or an example that is not on the sheet."""
        what = _source(request)
        return bool(what) and self.query_one(Sheet).sketch.content.loaded != what

    # ---- what is shown

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of the strip: those of the chosen seed, or of all."""
        if self.heard is None:
            return ()
        if self.together:
            return columns_of_all(self.heard.answers.runs)
        run_id = self.run_ids[self.chosen]
        found = [run for run in self.heard.answers.runs if run.run_id == run_id]
        return columns_of_run(found[0]) if found else ()

    def _index(self, columns: Sequence[Column]) -> int:
        """The index of the column nearest to the chosen epoch; by default of the best networks."""
        if self.epoch is None:
            best = [index for index, column in enumerate(columns) if column.is_best]
            return best[0] if best else len(columns) - 1
        known = [index for index, column in enumerate(columns) if column.epoch is not None]
        wanted = self.epoch
        return min(known, key=lambda i: abs((columns[i].epoch or 0) - wanted), default=0)

    def on_resize(self, event: events.Resize) -> None:
        """Lays out everything in the new size."""
        del event
        self.call_after_refresh(self._lay_out)

    def _lay_out(self) -> None:
        if not self.is_there:
            return
        body = self.query_one("#body").size
        room = Size(int(SHARE * body.width), body.height - BELOW_SHEET)
        sheet = self.query_one(Sheet).fit(room)
        self._room = Size(max(1, body.width - sheet.width - 2), body.height)
        self._show()

    def _show(self) -> None:
        """Draws everything but the sheet."""
        if not self.is_there or not self.is_mounted or self._room is None:
            return
        columns, width = self.columns, self._room.width
        names = self.heard.answers.classes if self.heard is not None else ()
        index = self._index(columns) if columns else 0
        with self.app.batch_update():
            about = self._about(columns[index] if columns else None, names)
            self.query_one("#about", Static).update(about, layout=False)
            rows = self._room.height - AROUND_STRIP
            rows -= LEAST_SEEN if rows >= 10 + LEAST_SEEN else LEAST_NOTES
            self.query_one(AnswerStrip).show(columns, names, index, width, rows)
            self.query_one("#notes", Static).update(self._notes())
            below = self._room.height - AROUND_STRIP - min(len(names), rows)
            gap = int(below > LEAST_SEEN)
            self.query_one("#below").styles.margin = (gap, 0, 0, 0)
            room = Size(width // 2, below - gap) if below >= LEAST_SEEN else Size(0, 0)
            seen = self.heard.seen if self.heard is not None else None
            self.query_one(Seen).show(seen, room)

    watch_chosen = watch_together = watch_epoch = _show

    def _about(self, column: Column | None, names: Sequence[str]) -> str:
        """The networks that are shown, and their answer, in one line."""
        parts = [self._whose()]
        if column is not None:
            kept = " (best)" if column.is_best and column.epoch is not None else ""
            parts.append(
                "best epochs" if column.epoch is None else f"epoch {epoch_text(column.epoch)}{kept}"
            )
            parts.append(self._said_by(column, names))
        return "   ".join(parts)

    def _said_by(self, column: Column, names: Sequence[str]) -> str:
        if column.answer is None:
            return "the output is not finite"
        sure = 100 * float(column.probabilities[column.answer])
        text = f"{shortened(names)[column.answer]}, {sure:.1f} %"
        if self.together:
            text += f", in {column.counts[column.answer]} of {column.n_runs}"
        return text

    def _whose(self) -> str:
        n = len(self.run_ids)
        if self.together:
            return f"all {n} seeds" if n > 1 else "its seed"
        seeds = {seen.row.run_id: seen.row for seen in self.runs}
        row = seeds.get(self.run_ids[self.chosen])
        seed = MISSING if row is None else str(row.seed)
        return f"seed {seed}" + (f" ({self.chosen + 1} of {n})" if n > 1 else "")

    def _notes(self) -> str:
        """What is to be known about the picture and the runs."""
        if self.said or self.trouble:
            return self.said or self.trouble
        if self.heard is None:
            return self.refused or ("asking…" if self.questions.is_awaited else BLANK)
        lines = [self.refused] if self.refused else []
        lines.append(f"seen: {self.heard.how}")
        lines += [f"warning: {caution}" for caution in self.heard.cautions]
        lines += self._about_runs(self.heard.answers)
        return "\n".join(lines)

    def _about_runs(self, answers: Answers) -> list[str]:
        """Lines about runs that diverged, are in training, or could not be asked."""
        chosen = self.run_ids[self.chosen]
        shown = [run for run in answers.runs if self.together or run.run_id == chosen]
        lines = []
        for run in shown:
            if run.diverged_at is not None:
                kept = ": not among these" if self.together else ""
                lines.append(f"seed {run.seed} diverged at update {run.diverged_at:,}{kept}")
        if training := [str(run.seed) for run in shown if run.state == "running"]:
            lines.append(f"in training: seed {', '.join(training)}; its networks so far")
        lines += [one.why for one in answers.left_out if self.together or one.run_id == chosen]
        return lines

    # ---- copying

    def excerpt(self) -> Excerpt | None:
        """Returns the strip as a table."""
        columns = self.columns
        if self.heard is None or not columns:
            return None
        names = self.heard.answers.classes
        headings = [Heading("epoch", "right"), Heading("answer"), Heading("seeds", "right")]
        headings += [Heading(name, "right") for name in names]
        rows = [
            [
                copying.plain(title_of(column)),
                copying.plain(MISSING if column.answer is None else names[column.answer]),
                copying.integer(column.n_runs),
                *(copying.number(p, 4) for p in numbers(column.probabilities)),
            ]
            for column in columns
        ]
        return copying.sheet("strip", headings, rows, self._index(columns))


def _source(request: Request) -> dict[str, Any]:
    """The file or example that a request is about; empty if it is about a drawing."""
    return {key: request[key] for key in ("path", "example") if key in request}
