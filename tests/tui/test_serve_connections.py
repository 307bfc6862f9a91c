"""The server with many open connections: which are answered, and what is reported."""

import asyncio
import contextlib
import errno
import os
import resource
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from serve_matrix import HOST, Case, Served, answer, serving

from tui.serving import connections
from tui.serving.connections import RepeatLog

NO_APP = ["/bin/false"]
CLOSED = "more than 16 connections without the token: the oldest closed"


@asynccontextmanager
async def half_open(
    served: Served, n: int, text: bytes = b""
) -> AsyncIterator[list[asyncio.StreamReader]]:
    """Opens so many connections with an incomplete request."""
    readers, writers = [], []
    for _ in range(n):
        reader, writer = await asyncio.open_connection(HOST, served.port)
        writer.write(text)
        readers.append(reader)
        writers.append(writer)
    try:
        yield readers
    finally:
        for writer in writers:
            writer.transport.abort()


def page(served: Served) -> Case:
    """A request for the page by a browser with the cookie."""
    return Case("/", f"{HOST}:{served.port}", served.guard.url, served.token, allowed=True)


@pytest.mark.parametrize("text", [b"", b"GET / HTTP/1.1\r\nHost: "])
def test_page_is_answered_despite_sixty_half_open_connections_and_a_limit_of_sixteen(
    text: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    async def found() -> tuple[list[int], list[str]]:
        async with (
            serving(NO_APP, max_unauthenticated=16) as served,
            half_open(served, 60, text) as readers,
        ):
            statuses = [(await answer(served, page(served)))[0] for _ in range(3)]
            for reader in readers[:44]:  # the oldest: this waits until they are closed
                with contextlib.suppress(ConnectionError):
                    await asyncio.wait_for(reader.read(), 30)
            return statuses, served.said

    assert asyncio.run(found()) == ([200] * 3, [CLOSED])
    assert capfd.readouterr() == ("", "")


def test_connection_with_the_token_is_never_closed_to_make_room() -> None:
    async def found() -> list[bytes]:
        async with serving(NO_APP, max_unauthenticated=16) as served:
            reader, writer = await asyncio.open_connection(HOST, served.port)
            cookie = served.headers()["Cookie"]
            request = f"GET /nothing HTTP/1.1\r\nHost: {HOST}:{served.port}\r\nCookie: {cookie}"
            answers = []
            for n_others in (0, 60):
                async with half_open(served, n_others):
                    writer.write(f"{request}\r\n\r\n".encode())
                    head = await reader.readuntil(b"\r\n\r\n")
                    await reader.readexactly(len(b"404: Not Found"))
                    answers.append(head.partition(b"\r\n")[0])
            writer.close()
            return answers

    assert asyncio.run(found()) == [b"HTTP/1.1 404 Not Found"] * 2


@pytest.mark.parametrize("text", [b"", b"GET / HTTP/1.1\r\nHost: "])
def test_connection_without_a_complete_request_is_closed(
    text: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.05)

    async def rest() -> bytes:
        async with serving(NO_APP) as served:
            reader, writer = await asyncio.open_connection(HOST, served.port)
            writer.write(text)
            found = await reader.read()
            writer.close()
            return found

    assert asyncio.run(rest()) == b""


def test_repeated_error_of_the_event_loop_is_reported_in_one_line(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async def said() -> list[str]:
        async with serving(NO_APP) as served:
            loop = asyncio.get_running_loop()
            for _ in range(1000):
                error = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
                message = "socket.accept() out of system resource"
                loop.call_exception_handler({"message": message, "exception": error})
            return served.said

    assert asyncio.run(said()) == ["socket.accept() out of system resource: Too many open files"]
    assert capfd.readouterr() == ("", "")


def test_repetitions_are_counted_and_reported_after_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    later: list[tuple[float, Callable[[str], None], str]] = []

    class Loop:
        def call_later(self, seconds: float, function: Callable[[str], None], text: str) -> None:
            later.append((seconds, function, text))

    monkeypatch.setattr(asyncio, "get_running_loop", Loop)
    said: list[str] = []
    report = RepeatLog(said.append)
    for _ in range(1000):
        report("this")
    report("that")
    assert said == ["this", "that"]
    for seconds, function, text in list(later):
        assert seconds == 60
        function(text)
    assert said == ["this", "that", "this (999 more times within 60 seconds)"]
    report("this")
    report("that")
    assert said[3:] == ["that"]


@pytest.mark.parametrize(("limit", "most"), [(1024, 256), (256, 64), (resource.RLIM_INFINITY, 256)])
def test_connection_limit_is_a_quarter_of_the_open_file_limit(
    limit: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (limit, limit))
    assert connections.max_unauthenticated() == most
