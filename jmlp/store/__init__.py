"""The on-disk store of runs, their files and their checkpoints.

store.sqlite          queue, commands, events, live costs, tags, and an index of all runs
worker.lock           held by the process that trains
runs/ID.safetensors   everything that is known about a completed run
checkpoints/          cohorts in training
submissions/          the submitted studies, for rebuilding the database
tags.json             the tags, for rebuilding the database
logs/                 output of the libraries that the workers use
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
