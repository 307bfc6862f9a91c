"""The states of studies and runs, and the commands that can be sent to a study."""

from typing import Literal, get_args

StudyState = Literal["queued", "running", "paused", "stopped", "interrupted", "done", "failed"]
RunState = Literal["queued", "running", "stopped", "finished", "diverged", "failed"]
Action = Literal["pause", "resume", "stop"]

STUDY_STATES: tuple[StudyState, ...] = get_args(StudyState)
RUN_STATES: tuple[RunState, ...] = get_args(RunState)
ACTIONS: tuple[Action, ...] = get_args(Action)

# Studies: begun by a worker, which may have died; over for its worker; not done yet.
STUDY_ACTIVE: tuple[StudyState, ...] = ("running", "paused")
STUDY_OVER: tuple[StudyState, ...] = ("done", "failed", "stopped", "interrupted")
STUDY_UNFINISHED: tuple[StudyState, ...] = (
    "queued",
    *STUDY_ACTIVE,
    "stopped",
    "interrupted",
    "failed",
)

# Runs: it has a result; there is nothing left to train.
RUN_ENDED: tuple[RunState, ...] = ("finished", "diverged")
RUN_OVER: tuple[RunState, ...] = (*RUN_ENDED, "failed")
