"""Questions of a screen that take a while: asked one at a time, of which the newest counts."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tui.feed import error_text
from tui.inspections import Failure

if TYPE_CHECKING:
    from tui.screens.base import JmlpScreen

Q = TypeVar("Q")
A = TypeVar("A")
Say = Callable[[str], None]


class Questions(Generic[Q, A]):
    """Asks one question at a time; of those that come meanwhile, only the newest is kept.

    A question is not stopped when another one comes: that would end the helper process, and with it
    its compiled programs.
    """

    def __init__(
        self,
        screen: "JmlpScreen[Any]",
        what: str,
        answer: Callable[[Q, Say, threading.Event], A | None],
        answered: Callable[[Q, A | Failure], object],
        said: Callable[[str], object],
        *,
        pause: float = 0.0,
    ) -> None:
        """Asks nothing yet.

        Args:
            screen: that asks; once it is gone, nothing more is asked or answered.
            what: the name of the threads, such as "look inside".
            answer: called in a thread with a question, with what it calls with each line about a
                slow step, and with what is set once the answer is no longer needed; returns None if
                it was stopped.
            answered: called in the app's thread with each question and its answer.
            said: called in the app's thread with each line about a slow step.
            pause: seconds between an answer and the next question.
        """
        self._screen, self._what, self._pause = screen, what, pause
        self._answer, self._answered, self._said = answer, answered, said
        self._stop = threading.Event()
        self._asked: Q | None = None  # whose answer is still to come and was not given up
        self._waiting: Q | None = None
        self._is_busy = False
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
        return self._asked is not None or self._waiting is not None

    def ask(self, question: Q) -> None:
        """Asks a question as soon as the one before has been answered."""
        self._waiting = question if question != self._asked else None
        self._next()

    def give_up(self) -> None:
        """Drops the question that waits, and the answer that is still to come."""
        self._waiting = self._asked = None
        self._given_up += 1

    def close(self) -> None:
        """Stops the computation of the answer that is still to come; nothing is asked any more."""
        self.give_up()
        self._stop.set()

    def _next(self) -> None:
        if self._is_busy or self._waiting is None or self._stop.is_set():
            return
        question, self._waiting, asked = self._waiting, None, self._given_up
        self._is_busy, self._asked = True, question
        self._screen.app.perform(
            self._what,
            lambda: self._compute(question),
            lambda answer: self._done(question, answer, asked),
        )

    def _compute(self, question: Q) -> A | Failure | None:
        """Computes the answer; called in a thread."""

        def say(line: str) -> None:
            self._screen.app.call_later(self._progressed, line)

        try:
            return self._answer(question, say, self._stop)
        except Exception as error:  # even a bug is shown in place of the answer
            return Failure(error_text(error))

    def _progressed(self, line: str) -> None:
        if self._asked is not None and self._screen.is_there:
            self._said(line)

    def _done(self, question: Q, answer: A | Failure | None, asked: int) -> None:
        if not self._screen.is_there:
            return
        if self._pause:
            self._screen.set_timer(self._pause, self._rested)
        else:
            self._is_busy = False
        if asked == self._given_up:
            self._asked = None
            if answer is not None:
                self._answered(question, answer)
        self._next()

    def _rested(self) -> None:
        self._is_busy = False
        self._next()
