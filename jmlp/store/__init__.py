"""What is on disk: the store of runs, their files and their checkpoints.

store.sqlite          queue, commands, events, live costs, tags, and an index of all runs
worker.lock           held by the process that trains
runs/ID.safetensors   all there is to know of a run that ended
checkpoints/          cohorts in training
submissions/          the studies that were asked for, to make the database again
tags.json             the tags, to make the database again
logs/                 what the workers' libraries print
"""

from jmlp.store.filesystem import network_file_system
from jmlp.store.lock import Lock, Owner
from jmlp.store.rows import Event, RunRow, StudyRow, Submission
from jmlp.store.states import Action, RunState, StudyState
from jmlp.store.store import Store

__all__ = [
    "Action",
    "Event",
    "Lock",
    "Owner",
    "RunRow",
    "RunState",
    "Store",
    "StudyRow",
    "StudyState",
    "Submission",
    "network_file_system",
]
