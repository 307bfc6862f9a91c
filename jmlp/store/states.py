"""In which states studies and runs can be, and what a study can be told to do."""

from typing import Literal, get_args

StudyState = Literal["queued", "running", "paused", "stopped", "interrupted", "done", "failed"]
RunState = Literal["queued", "running", "stopped", "finished", "diverged", "failed"]
Action = Literal["pause", "resume", "stop"]

STUDY_STATES: tuple[StudyState, ...] = get_args(StudyState)
RUN_STATES: tuple[RunState, ...] = get_args(RunState)
ACTIONS: tuple[Action, ...] = get_args(Action)

# A study: in the hands of its worker, or of one that died; over for its worker; not done.
STUDY_IN_HAND: tuple[StudyState, ...] = ("running", "paused")
STUDY_OVER: tuple[StudyState, ...] = ("done", "failed", "stopped", "interrupted")
STUDY_UNFINISHED: tuple[StudyState, ...] = (
    "queued",
    *STUDY_IN_HAND,
    "stopped",
    "interrupted",
    "failed",
)

# A run: there is a result; there is nothing to train any more.
RUN_ENDED: tuple[RunState, ...] = ("finished", "diverged")
RUN_OVER: tuple[RunState, ...] = (*RUN_ENDED, "failed")
