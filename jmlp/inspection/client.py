"""What the app asks of the networks of stored runs: from the cache, or from a helper process.

The process may use JAX, which the app does not, and is kept for the next request.
"""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from jmlp.errors import CheckpointError
from jmlp.inspection import boundary_records, records
from jmlp.inspection.boundary_records import GRID, Boundary
from jmlp.inspection.records import Inspection, Part
from jmlp.inspection.views import Where
from jmlp.results import serialization
from jmlp.store import Store, networks
from jmlp.system import helper_client

WHAT = "the process that inspects networks"
Say = Callable[[str], None]
T = TypeVar("T")


class Inspector:
    """Inspects the networks of a store; may be used by several threads."""

    def __init__(self, folder: Path) -> None:
        """Starts nothing yet.

        Args:
            folder: the store.
        """
        self.folder = folder
        self._service = helper_client.Service("jmlp.inspection.helper", WHAT)

    def close(self) -> None:
        """Ends the helper process, and with it a request that waits for an answer."""
        self._service.close()

    def ask(self, do: str, say: Say, stop: threading.Event | None = None, **request: Any) -> Any:
        """The helper's answer to a request.

        Args:
            do: the name of what it computes, see `jmlp.inspection.helper`.
            say: called with one line for each slow step.
            stop: set by another thread when the answer is no longer needed.
            request: the other values of the request, as JSON.

        Returns:
            The answer, as JSON values; None if it was stopped.

        Raises:
            DeviceError: the system killed the process for lack of memory.
            JmlpError: the error that it reported, or why it ended before it answered.
        """
        request = {"do": do, "store": str(self.folder.absolute()), **request}
        answer = None
        for message in self._service.ask(request, stop):
            if "say" in message:
                say(message["say"])
            else:
                answer = message["done"]
        return answer

    def inspect(
        self, run_id: str, part: Part, say: Say, stop: threading.Event
    ) -> Inspection | None:
        """The inspection of a stored run; takes milliseconds if it is cached, otherwise seconds.

        Args:
            run_id: id of the run, which has ended or is in training.
            part: the part of the data.
            say: called with one line for each slow step.
            stop: set by another thread when the result is no longer needed.

        Returns:
            The inspection; None if it was stopped.

        Raises:
            CheckpointError: a file of the run is missing or damaged.
            DataError: the data cannot be loaded, is not that of the run, or has no such part.
            DeviceError: the system killed the process for lack of memory.
            JmlpError: the process ended in another way before it answered.
            StoreError: there is no such run, it has no networks yet, or the cache cannot be
                written.
        """
        path = records.path_of(run_id, part, self._key_of(run_id))
        return self._cached(records.read, path, "inspect", say, stop, run_id=run_id, part=part)

    def look(
        self,
        kind: type[T],
        do: str,
        where: Where,
        say: Say,
        stop: threading.Event | None = None,
        **request: Any,
    ) -> T | None:
        """A view of a step, see `inspection.views`.

        Args:
            kind: the type of the view.
            do: the name of the view in a request.
            where: which step.
            say: called with one line for each slow step.
            stop: set by another thread when the view is no longer needed.
            request: the other values of the request.

        Returns:
            The view; None if it was stopped.

        Raises:
            JmlpError: there is no such view; see `ask`.
        """
        return self.view(kind, do, say, stop, where=asdict(where), **request)

    def view(
        self,
        kind: type[T],
        do: str,
        say: Say,
        stop: threading.Event | None = None,
        **request: Any,
    ) -> T | None:
        """A record that the helper computes, such as those of `inspection.microscope.views`.

        Args:
            kind: the type of the record.
            do: its name in a request.
            say: called with one line for each slow step.
            stop: set by another thread when the record is no longer needed.
            request: the other values of the request.

        Returns:
            The record; None if it was stopped.

        Raises:
            JmlpError: there is no such record; see `ask`.
        """
        found = self.ask(do, say, stop, **request)
        return None if found is None else serialization.read(kind, found)

    def boundary(
        self, run_id: str, say: Say, stop: threading.Event | None = None, size: int = GRID
    ) -> Boundary | None:
        """The boundary of a stored run; takes milliseconds if it is cached, otherwise seconds.

        Args:
            run_id: id of the run, which has ended or is in training.
            say: called with one line for each slow step.
            stop: set by another thread when the result is no longer needed.
            size: values of each input in the grid.

        Returns:
            The boundary; None if it was stopped.

        Raises:
            CheckpointError: a file of the run is missing or damaged.
            DataError: the data cannot be loaded, are not those of the run, or have other inputs
                than two numbers.
            DeviceError: the system killed the process for lack of memory.
            JmlpError: the process ended in another way before it answered.
            StoreError: there is no such run, it has no networks yet, or the cache cannot be
                written.
        """
        path = boundary_records.path_of(run_id, size, self._key_of(run_id))
        return self._cached(
            boundary_records.read, path, "boundary", say, stop, run_id=run_id, size=size
        )

    def _key_of(self, run_id: str) -> str:
        """A digest of the networks of a run."""
        with Store(self.folder, viewer=True) as store:
            return networks.key_of(store, run_id)

    def _cached(
        self,
        read: Callable[[Path], T],
        path: Path,
        do: str,
        say: Say,
        stop: threading.Event | None,
        **request: Any,
    ) -> T | None:
        """What is read from a file, which the helper writes if it is missing or damaged."""
        with contextlib.suppress(CheckpointError):
            return read(path)
        computed = self.ask(do, say, stop, **request)
        return None if computed is None else read(Path(computed))
