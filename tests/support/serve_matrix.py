"""Requests to the served app with every host, origin and token, right and wrong and missing."""

import asyncio
import base64
import itertools
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from tui.serving.guard import Guard, listen
from tui.serving.server import FONT_SIZE, AppServer

HOST = "127.0.0.1"
ROUTES = ("/", "/ws", "/static/textual.js", "/static/", "/download/key", "/nothing")


class Served(NamedTuple):
    """A server within this process, and how to reach it."""

    server: AppServer
    guard: Guard
    port: int
    said: list[str]

    @property
    def token(self) -> str:
        """What lets in."""
        return self.guard.address().partition("?token=")[2]

    def headers(self) -> dict[str, str]:
        """Of a browser that was let in."""
        return {"Origin": self.guard.url, "Cookie": f"{self.guard.cookie}={self.token}"}


class Case(NamedTuple):
    """One request, and whether it may be answered."""

    path: str
    host: str | None
    origin: str | None
    token: str | None  # of the cookie
    allowed: bool


class Figure(NamedTuple):
    """What became of all requests that are wrong in some way."""

    requests: int
    refused: int
    started: int  # processes


@asynccontextmanager
async def serving(
    arguments: Sequence[str],
    idle_seconds: float = 60.0,
    max_unauthenticated: int | None = None,
    font_size: int = FONT_SIZE,
) -> AsyncIterator[Served]:
    """A server with this command behind each tab."""
    listener = listen(HOST, 0)
    port = listener.getsockname()[1]
    said: list[str] = []
    guard = Guard(HOST, port, HOST)
    server = AppServer(
        arguments,
        guard,
        said.append,
        font_size=font_size,
        idle_seconds=idle_seconds,
        max_unauthenticated=max_unauthenticated,
    )
    async with server.listening(listener):
        yield Served(server, guard, port, said)


def cases(served: Served) -> list[Case]:
    """Every combination."""
    port, token, url = served.port, served.token, served.guard.url
    right = f"{HOST}:{port}"
    wrong = token[:-1] + ("A" if token[-1] != "A" else "B")
    hosts = [
        right,
        "evil.com",
        f"evil.com:{port}",
        f"{right}.evil.com",
        f"{HOST}:1",
        HOST,
        "",
        None,
    ]
    origins = [url, "http://evil.com", f"{url}.evil.com", f"https://{right}", "null", "", None]
    tokens = [token, wrong, token[:-1], f"{token}A", "", "é", None]
    paths: list[tuple[str, str | None]] = [(path, None) for path in ROUTES]
    paths += [(f"/?token={given}", given) for given in (token, wrong, "")]
    return [
        Case(
            path,
            host,
            origin,
            cookie,
            host == right
            and (origin == url or (origin is None and path != "/ws"))
            and (cookie if in_address is None else in_address) == token,
        )
        for (path, in_address), host, origin, cookie in itertools.product(
            paths, hosts, origins, tokens
        )
    ]


async def answer(served: Served, case: Case, method: str = "GET") -> tuple[int, dict[str, str]]:
    """The status and the headers that a request gets; a websocket is asked for on its route."""
    lines = [f"{method} {case.path} HTTP/1.1", "Connection: close"]
    if case.path == "/ws":
        key = base64.b64encode(bytes(16)).decode()
        lines[1:] = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
        lines += [f"Sec-WebSocket-Key: {key}"]
    lines += [] if case.host is None else [f"Host: {case.host}"]
    lines += [] if case.origin is None else [f"Origin: {case.origin}"]
    lines += [] if case.token is None else [f"Cookie: {served.guard.cookie}={case.token}"]
    reader, writer = await asyncio.open_connection(HOST, served.port)
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
    finally:
        writer.close()
        await writer.wait_closed()
    fields = (line.partition(": ") for line in head[1:-1])
    return int(head[0].split()[1]), {name: value for name, _, value in fields}


async def _refusals() -> Figure:
    with tempfile.TemporaryDirectory() as folder:
        started = Path(folder) / "started"
        async with serving(["/bin/sh", "-c", f"echo started >> {started}"]) as served:
            wrong = [case for case in cases(served) if not case.allowed]
            statuses = [(await answer(served, case))[0] for case in wrong]
        n_started = len(started.read_text().splitlines()) if started.exists() else 0
    # 400: HTTP demands a host.
    return Figure(len(wrong), statuses.count(403) + statuses.count(400), n_started)


def refusals() -> Figure:
    """Sends every request that is wrong in some way."""
    return asyncio.run(_refusals())
