"""How many connections a server holds: those that never ask for anything take no place for long."""

import asyncio
import resource
from collections.abc import Callable

from aiohttp import web

# Connections beyond which the oldest that has not shown the token makes room for a new one. A
# browser has about six.
MAX_UNAUTHENTICATED = 256
REQUEST_SECONDS = 15.0  # in which a whole request has to come
REPORT_SECONDS = 60.0  # between two lines about the same thing

Say = Callable[[str], object]


def max_unauthenticated() -> int:
    """As many as leave three quarters of the files that this process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (
        MAX_UNAUTHENTICATED
        if soft == resource.RLIM_INFINITY
        else min(MAX_UNAUTHENTICATED, soft // 4)
    )


class Connections:
    """Accepts connections for a server, and closes those that are too many."""

    def __init__(self, server: web.Server, most: int, report: "RepeatLog") -> None:
        """Nothing is accepted yet.

        Args:
            server: what answers.
            most: how many may be open that have not shown the token.
            report: takes what the person at the server should know.
        """
        self._server, self._most, self._report = server, most, report
        self._authenticated: set[asyncio.Protocol] = set()

    def authenticate(self, request: web.Request) -> None:
        """This one has shown the token: its connection is never closed to make room."""
        self._authenticated.add(request.protocol)

    def accept(self) -> asyncio.Protocol:
        """The protocol of a new connection."""
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
            transport.abort()  # `close` would wait for a peer that does not read
            self._report(f"more than {self._most} connections without the token: the oldest closed")
        return self._server()


class RepeatLog:
    """Says each thing at once, and then once a minute how often it came again."""

    def __init__(self, say: Say) -> None:
        """Nothing has come yet.

        Args:
            say: takes the lines.
        """
        self._say = say
        self._more: dict[str, int] = {}  # of what was logged within the last minute

    def __call__(self, text: str) -> None:
        """Something came."""
        if text in self._more:
            self._more[text] += 1
            return
        self._more[text] = 0
        self._say(text)
        asyncio.get_running_loop().call_later(REPORT_SECONDS, self._again, text)

    def unexpected(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """The event loop's exception handler, which would write a traceback each time."""
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
