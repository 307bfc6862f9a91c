"""Questions to the helper process while somebody draws: one at a time, the newest first."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tui.feed import error_text
from tui.inspections import Failure

if TYPE_CHECKING:
    from textual.screen import Screen

    from tui.app import JmlpApp

Request = Mapping[str, Any]
Answer = Mapping[str, Any]

PAUSE_SECONDS = 0.2  # between an answer and the next question


class Questions:
    """Asks one question at a time; of those that come meanwhile, only the newest is kept."""

    def __init__(
        self,
        app: "JmlpApp",
        screen: "Screen[Any]",
        answered: Callable[[Request, Answer | Failure], object],
        said: Callable[[str], object],
    ) -> None:
        """Asks nothing yet.

        Args:
            app: runs the questions in threads.
            screen: that asks; once it is gone, nothing more is asked.
            answered: called in the app's thread with each question and its answer.
            said: called in the app's thread with each line about a slow step.
        """
        self._app, self._screen, self._answered, self._said = app, screen, answered, said
        self._waiting: Request | None = None
        self._is_busy = False
        self._is_awaited = False
        self._given_up = 0  # how often all questions were given up

    @property
    def is_idle(self) -> bool:
        """Whether a question would be asked at once."""
        return not self._is_busy

    @property
    def has_newer(self) -> bool:
        """Whether another question has come since the one that was asked last."""
        return self._waiting is not None

    @property
    def is_awaited(self) -> bool:
        """Whether an answer is still to come that has not been given up."""
        return self._is_awaited or self._waiting is not None

    def ask(self, request: Request) -> None:
        """Asks a question as soon as the one before has been answered."""
        self._waiting = request
        self._next()

    def give_up(self) -> None:
        """Drops the question that waits, and the answer that is still to come."""
        self._waiting, self._is_awaited = None, False
        self._given_up += 1

    def _next(self) -> None:
        if self._is_busy or self._waiting is None:
            return
        request, self._waiting, asked = self._waiting, None, self._given_up
        self._is_busy = self._is_awaited = True
        self._app.perform(
            "ask the networks",
            lambda: self._compute(request),
            lambda answer: self._done(request, answer, asked),
        )

    def _compute(self, request: Request) -> Answer | Failure:
        """Asks the helper; called in a thread."""

        def say(line: str) -> None:
            self._app.call_later(self._said, line)

        try:
            answer: Answer = self._app.inspector.ask("draw", say, **request)
        except Exception as error:  # even a bug is shown in place of the answer
            return Failure(error_text(error))
        return answer

    def _done(self, request: Request, answer: Answer | Failure, asked: int) -> None:
        if not self._screen.is_attached:
            return
        self._screen.set_timer(PAUSE_SECONDS, self._rested)
        if asked == self._given_up:
            self._is_awaited = False
            self._answered(request, answer)

    def _rested(self) -> None:
        self._is_busy = False
        self._next()
