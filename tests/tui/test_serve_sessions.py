"""The process behind a tab: its packets, its environment, and how it is ended."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest
from commands import until
from serve_matrix import Served, serving

from tui.serving import server as server_module
from tui.serving import session as session_module
from tui.serving.session import environment

# Sends its process id and size, then echoes its input.
ECHO = """
import json, os, signal, subprocess, sys
def say(kind, data):
    os.write(1, kind + len(data).to_bytes(4, "big") + data)
{first}
os.write(1, b"__GANGLION__\\n")
say(b"D", json.dumps([os.getpid(), os.environ["COLUMNS"], os.environ["ROWS"]]).encode())
while data := os.read(0, 65536):
    say(b"D", data)
    {each}
"""
LEAVE = 'if b"quit" in data: break'
STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"


def echo(each: str = LEAVE, first: str = "") -> list[str]:
    """Returns the command that starts `ECHO`."""
    return [sys.executable, "-I", "-c", ECHO.format(first=first, each=each)]


@asynccontextmanager
async def tab(served: Served, query: str = "") -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """Opens a websocket as a browser does."""
    url = f"{served.guard.url}/ws{query}".replace("http", "ws")
    async with (
        aiohttp.ClientSession() as client,
        client.ws_connect(url, headers=served.headers()) as websocket,
    ):
        yield websocket


async def started(websocket: aiohttp.ClientWebSocketResponse) -> int:
    """Waits until the process behind the tab has started, and returns its id."""
    process: int = json.loads(await websocket.receive_bytes())[0]
    return process


def is_alive(process: int) -> bool:
    """Returns whether a process exists."""
    with suppress(ProcessLookupError):
        os.kill(process, 0)
        return True
    return False


async def all_ended(served: Served) -> None:
    """Waits until all sessions have ended."""
    while served.server.sessions:
        await asyncio.sleep(0.001)


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortens the wait for processes that will not end."""
    monkeypatch.setattr(session_module, "GRACE_SECONDS", 0.2)


def test_input_reaches_the_app_and_its_output_reaches_the_page() -> None:
    async def packets() -> list[bytes]:
        async with serving(echo()) as served, tab(served) as websocket:
            await started(websocket)
            found = []
            for message in (
                ["stdin", "aé"],
                ["resize", {"width": 900, "height": 30}],
                ["focus"],
                ["blur"],
            ):
                await websocket.send_json(message)
                found.append(await websocket.receive_bytes())
            await websocket.send_json(["ping", "7"])
            found.append((await websocket.receive_str()).encode())
            return found

    assert asyncio.run(packets()) == [
        b"D\0\0\0\x03a\xc3\xa9",
        b'M\0\0\0\x2e{"type": "resize", "width": 500, "height": 30}',
        b'M\0\0\0\x11{"type": "focus"}',
        b'M\0\0\0\x10{"type": "blur"}',
        b'["pong", "7"]',
    ]


@pytest.mark.parametrize(
    ("query", "size"),
    [
        ("", ["80", "24"]),
        ("?width=120&height=40", ["120", "40"]),
        ("?width=-1&height=0", ["1", "1"]),
        ("?width=1000000000&height=1000", ["500", "200"]),
    ],
)
def test_size_of_a_new_tab_is_clamped(query: str, size: list[str]) -> None:
    async def found() -> list[str]:
        async with serving(echo()) as served, tab(served, query) as websocket:
            sizes: list[str] = json.loads(await websocket.receive_bytes())[1:]
            return sizes

    assert asyncio.run(found()) == size


def test_size_that_is_not_an_integer_starts_no_process() -> None:
    async def status() -> tuple[int, int]:
        async with serving(echo()) as served:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                async with tab(served, "?width=1e9"):
                    pass
            return refused.value.status, len(served.server.sessions)

    assert asyncio.run(status()) == (400, 0)


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        ("[]", 1008, "unknown message"),
        ("{", 1008, "not JSON"),
        (b"[]", 1008, "binary message"),
        ('["resize", {"width": "x", "height": 1}]', 1008, "width and height must be integers"),
        (json.dumps(["stdin", "x" * 64 * 1024]), 1009, None),
    ],
)
def test_invalid_message_closes_the_tab(
    message: str | bytes, code: int, reason: str | None
) -> None:
    async def found() -> tuple[aiohttp.WSMessage, int]:
        async with serving(echo()) as served, tab(served) as websocket:
            process = await started(websocket)
            if isinstance(message, str):
                await websocket.send_str(message)
            else:
                await websocket.send_bytes(message)
            last = await websocket.receive()
            await all_ended(served)
            return last, process

    last, process = asyncio.run(found())
    assert (last.type, last.data) == (aiohttp.WSMsgType.CLOSE, code)
    assert reason is None or last.extra == reason
    assert not is_alive(process)


def test_largest_allowed_message_arrives_complete() -> None:
    async def size() -> int:
        async with serving(echo()) as served, tab(served) as websocket:
            await started(websocket)
            text = json.dumps(["stdin", ""])
            await websocket.send_json(["stdin", "x" * (64 * 1024 - len(text))])
            wanted, found = 64 * 1024 - len(text) + 5, 0
            while found < wanted:
                found += len(await websocket.receive_bytes())
            return found - wanted

    assert asyncio.run(size()) == 0


def test_idle_tab_is_closed() -> None:
    async def reason() -> str | None:
        async with serving(echo(), idle_seconds=0.05) as served, tab(served) as websocket:
            while (last := await websocket.receive()).type is not aiohttp.WSMsgType.CLOSE:
                pass
            return last.extra

    assert asyncio.run(reason()) == "it was idle for too long"


def test_at_most_four_tabs_are_open_and_closing_one_makes_room() -> None:
    async def found() -> tuple[list[int], list[int]]:
        async with serving(echo()) as served, aiohttp.ClientSession() as client:
            ws = served.guard.url.replace("http", "ws") + "/ws"
            tabs = [await client.ws_connect(ws, headers=served.headers()) for _ in range(4)]
            processes = [await started(each) for each in tabs]
            refused = []
            for path in ("/ws", "/"):
                async with client.get(served.guard.url + path, headers=served.headers()) as more:
                    refused.append(more.status)
                    assert await more.text() == server_module.FULL
            await tabs[0].close()
            while len(served.server.sessions) == 4:
                await asyncio.sleep(0.001)
            tabs.append(await client.ws_connect(ws, headers=served.headers()))
            processes.append(await started(tabs[-1]))
            return refused, processes

    refused, processes = asyncio.run(found())
    assert refused == [503, 503]
    assert not any(map(is_alive, processes))  # the server has ended


@pytest.mark.parametrize(
    "arguments",
    [echo(), echo(each=""), echo(each="", first=STUBBORN)],
    ids=["asked", "terminated", "killed"],
)
@pytest.mark.usefixtures("short_grace")
def test_process_ends_with_its_tab_even_if_it_resists(
    arguments: Sequence[str],
) -> None:
    async def found() -> tuple[int, list[str]]:
        async with serving(arguments) as served:
            async with tab(served) as websocket:
                process = await started(websocket)
            await all_ended(served)
            assert not is_alive(process)
            return process, served.said

    assert asyncio.run(found())[1] == []  # an expected end is not reported


@pytest.mark.usefixtures("short_grace")
def test_helpers_of_a_killed_app_end_with_it_and_training_continues(tmp_path: Path) -> None:
    start = (
        f"{STUBBORN}; import pathlib; nowhere = subprocess.DEVNULL\n"
        "found = [subprocess.Popen(['sleep', '600'], stdin=nowhere, stdout=nowhere, stderr=nowhere,"
        " start_new_session=own).pid for own in (False, True)]\n"
        f"pathlib.Path({str(tmp_path / 'pids')!r}).write_text(json.dumps(found))"
    )

    async def close() -> None:
        async with serving(echo(each="", first=start)) as served:
            async with tab(served) as websocket:
                await started(websocket)
            await all_ended(served)

    asyncio.run(close())
    helper, training = json.loads((tmp_path / "pids").read_text())
    try:
        until(lambda: not _runs(helper))
        assert _runs(training)
    finally:
        os.kill(training, 9)


def _runs(process: int) -> bool:
    """Returns whether a process is running; a zombie is not."""
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0] != "Z"
    return False


def test_quitting_the_app_closes_its_tab() -> None:
    leave = "say(b'M', b'{\"type\": \"exit\"}'); break"

    async def found() -> tuple[aiohttp.WSMessage, list[str]]:
        async with serving(echo(each=leave)) as served, tab(served) as websocket:
            await started(websocket)
            await websocket.send_json(["stdin", "q"])
            assert await websocket.receive_bytes() == b"D\0\0\0\x01q"
            last = await websocket.receive()
            await all_ended(served)
            return last, served.said

    last, said = asyncio.run(found())
    assert (last.type, last.data, last.extra) == (
        aiohttp.WSMsgType.CLOSE,
        1000,
        "the app was closed",
    )
    assert said == []


def test_crash_of_the_app_closes_its_tab_and_the_end_of_stderr_is_reported() -> None:
    code = "import sys; print('x' * 5000, 'it broke', file=sys.stderr); sys.exit(3)"

    async def found() -> tuple[aiohttp.WSMsgType, list[str]]:
        async with serving([sys.executable, "-I", "-c", code]) as served, tab(served) as websocket:
            last = await websocket.receive()
            await all_ended(served)
            return last.type, served.said

    kind, said = asyncio.run(found())
    assert kind is aiohttp.WSMsgType.CLOSE
    words = ("x" * 5000 + " it broke\n")[-session_module.LAST_BYTES :].strip()
    assert said == [f"the app of a tab ended with code 3\n{words}"]


def test_app_that_cannot_be_started_closes_its_tab() -> None:
    async def found() -> tuple[str | None, list[str]]:
        async with serving(["/nowhere"]) as served, tab(served) as websocket:
            return (await websocket.receive()).extra, served.said

    assert asyncio.run(found()) == (
        "the app could not be started",
        ["the app could not be started: No such file or directory"],
    )


@pytest.mark.usefixtures("short_grace")
def test_browser_that_stops_reading_does_not_block_the_shutdown(tmp_path: Path) -> None:
    full = tmp_path / "full"
    code = (
        "import os, pathlib, select\n"
        "os.write(1, b'__GANGLION__\\n')\n"
        "os.set_blocking(1, False)\n"
        "packet = b'D' + (2**15).to_bytes(4, 'big') + bytes(2**15)\n"
        "while True:\n"
        "    rest = packet\n"
        "    while rest:\n"
        "        if select.select([], [1], [], 0.2)[1]: rest = rest[os.write(1, rest):]\n"
        f"        else: pathlib.Path({str(full)!r}).touch()\n"
    )

    async def end() -> tuple[int, int]:
        async with aiohttp.ClientSession() as client:
            async with serving([sys.executable, "-I", "-c", code]) as served:
                url = f"{served.guard.url}/ws".replace("http", "ws")
                websocket = await client.ws_connect(url, headers=served.headers())
                while not full.exists():
                    await asyncio.sleep(0.001)
                [session] = served.server.sessions
                assert session.process is not None
            await websocket.close()
            return session.process.pid, len(served.server.sessions)

    process, n_sessions = asyncio.run(end())
    assert not is_alive(process)
    assert n_sessions == 0


def test_server_that_ends_closes_every_tab_with_a_reason() -> None:
    async def found() -> tuple[str | None, int]:
        async with aiohttp.ClientSession() as client:
            async with serving(echo()) as served:
                url = f"{served.guard.url}/ws".replace("http", "ws")
                websocket = await client.ws_connect(url, headers=served.headers())
                process = await started(websocket)
                last = asyncio.create_task(websocket.receive())
            return (await last).extra, process

    reason, process = asyncio.run(found())
    assert reason == "jmlp serve was ended"
    assert not is_alive(process)


def test_environment_of_the_app_has_what_it_needs_and_no_secrets() -> None:
    mine = {
        "HOME": "/home/x",
        "JMLP_HOME": "/runs",
        "XLA_FLAGS": "--a",
        "LC_ALL": "C",
        "COLUMNS": "7",
        "TERM": "dumb",
        "NO_COLOR": "1",
        "TEXTUAL": "devtools",
        "AWS_SECRET_ACCESS_KEY": "s",
        "SSH_AUTH_SOCK": "/s",
        "GITHUB_TOKEN": "s",
    }
    assert environment(mine, 100, 30) == {
        "HOME": "/home/x",
        "JMLP_HOME": "/runs",
        "XLA_FLAGS": "--a",
        "LC_ALL": "C",
        "COLORTERM": "truecolor",
        "COLUMNS": "100",
        "ROWS": "30",
        "TERM": "xterm-256color",
        "TEXTUAL_COLOR_SYSTEM": "truecolor",
        "TEXTUAL_DRIVER": "tui.framework.served:ServedDriver",
    }
