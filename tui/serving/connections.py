"""Limits the number of open connections, so that idle strangers cannot block the server."""

import asyncio
import resource
from collections.abc import Callable

from aiohttp import web

# Connections without the token, above which a new one replaces the oldest. A browser opens about
# six.
MAX_UNAUTHENTICATED = 256
REQUEST_SECONDS = 15.0  # within which a complete request must arrive
REPORT_SECONDS = 60.0  # between two lines about the same event

Say = Callable[[str], object]


def max_unauthenticated() -> int:
    """Returns the limit, at most a quarter of the files that this process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (
        MAX_UNAUTHENTICATED
        if soft == resource.RLIM_INFINITY
        else min(MAX_UNAUTHENTICATED, soft // 4)
    )


class Connections:
    """Accepts connections for a server, and closes the oldest ones above the limit."""

    def __init__(self, server: web.Server, most: int, report: "RepeatLog") -> None:
        """Initialises the limit.

        Args:
            server: handles the connections.
            most: how many connections without the token may be open.
            report: logs that connections were closed.
        """
        self._server, self._most, self._report = server, most, report
        self._authenticated: set[asyncio.Protocol] = set()

    def authenticate(self, request: web.Request) -> None:
        """Exempts a request's connection from the limit, because it has the token."""
        self._authenticated.add(request.protocol)

    def accept(self) -> asyncio.Protocol:
        """Returns the protocol of a new connection."""
        connections = self._server.connections
        self._authenticated.intersection_update(connections)
        strangers = [
            each.transport
            for each in connections
            if each not in self._authenticated
            and each.transport is not None
            and not each.transport.is_closing()
        ]
        for transport in strangers[: max(0, len(strangers) - self._most + 1)]:
            transport.abort()  # `close` would wait until the peer has read everything
            self._report(f"more than {self._most} connections without the token: the oldest closed")
        return self._server()


class RepeatLog:
    """Logs an event at once, and then once a minute how often it was repeated."""

    def __init__(self, say: Say) -> None:
        """Initialises the log.

        Args:
            say: prints a line.
        """
        self._say = say
        self._more: dict[str, int] = {}  # repetitions of each event within the last minute

    def __call__(self, text: str) -> None:
        """Logs an event."""
        if text in self._more:
            self._more[text] += 1
            return
        self._more[text] = 0
        self._say(text)
        asyncio.get_running_loop().call_later(REPORT_SECONDS, self._again, text)

    def unexpected(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """Handles the event loop's exceptions, for which the default would print tracebacks."""
        del loop
        error = context.get("exception")
        if isinstance(error, OSError):
            self(f"{context['message']}: {error.strerror}")
        else:
            self(f"this is a bug in jmlp: {context['message']}: {type(error).__name__}: {error}")

    def _again(self, text: str) -> None:
        more = self._more.pop(text)
        if more:
            self._say(f"{text} ({more} more times within {REPORT_SECONDS:.0f} seconds)")
            self._more[text] = 0
            asyncio.get_running_loop().call_later(REPORT_SECONDS, self._again, text)
