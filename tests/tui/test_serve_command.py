"""The command `jmlp serve`, with the real app behind a real websocket."""

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.util import spec_from_file_location
from pathlib import Path

import aiohttp
import pytest
from commands import Here, until
from serve_process import serve

from jmlp.cli import terminal
from jmlp.system.installation import command_that_installs

RISK = (
    "anyone who learns the address with its token can train and delete runs here, and the traffic "
    "is not encrypted. A tunnel is safer: ssh -L 8000:127.0.0.1:8000 MACHINE"
)


@asynccontextmanager
async def tab(address: str, awaited: bytes = b"studies") -> AsyncIterator[None]:
    """Opens the page as a browser does, and waits until the app has drawn something."""
    url, _, _ = address.partition("/?")
    jar = aiohttp.CookieJar(unsafe=True)  # accepts cookies from an IP address
    async with aiohttp.ClientSession(cookie_jar=jar) as client:
        async with client.get(address) as opened:
            assert opened.status == 200
        async with client.get(url) as opened:
            found = re.search(r'socket-url="([^"]+)"', await opened.text())
        assert found is not None
        async with client.ws_connect(found[1], headers={"Origin": url}) as websocket:
            drawn = b""
            async with asyncio.timeout(60.0):
                while awaited not in drawn:
                    drawn += await websocket.receive_bytes()
            yield


def child_of(process: int) -> int:
    """Returns the id of a process's only child."""
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process)], capture_output=True, text=True, check=True
    )
    return int(found.stdout)


def is_alive(process: int) -> bool:
    """Returns whether a process is running."""
    found = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True, check=False
    )
    return found.stdout.strip()[:1] not in ("", "Z")


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, -9)],
)
def test_app_ends_with_the_server_however_that_ends(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    async def end(process: "subprocess.Popen[str]", address: str) -> tuple[int, str]:
        async with tab(address):
            app = child_of(process.pid)
            process.send_signal(number)
            return app, (await asyncio.to_thread(process.communicate))[1]

    with serve(tmp_path / "store") as (process, address):
        app, said = asyncio.run(end(process, address))
        assert process.returncode == code
        until(lambda: not is_alive(app), 5.0)
    expected = (
        "open this address in a browser; it is the key to the app, so keep it to yourself:\n"
        "Ctrl-C ends the server; training continues\n"
    )
    assert said == expected + (
        "ended; training continues\n" if number is not signal.SIGKILL else ""
    )
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{43}", address)


def test_app_tells_the_page_its_background(tmp_path: Path) -> None:
    async def see(address: str) -> None:
        async with tab(address, b"\x1b]11;#0F1419\x07"):
            pass

    with serve(tmp_path / "store") as (_, address):
        asyncio.run(see(address))


def test_server_keeps_ignoring_signals_ignored_at_its_start_as_under_nohup(tmp_path: Path) -> None:
    nohup = ("sh", "-c", "trap '' HUP; exec \"$@\"", "sh")
    with serve(tmp_path / "store", *nohup) as (process, _):
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 143


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--font-size", "5"], "--font-size 5: must be from 6 to 64 pixels"),
        (["--port", "65536"], "--port 65536: must be from 0 (any free port) to 65535"),
        (["--host", "203.0.113.1"], "--host 203.0.113.1: is not an address of this machine"),
        (
            ["--host", "no.such.invalid"],
            "--host no.such.invalid: is not an address of this machine",
        ),
        (["--host", "a" * 70], f"--host {'a' * 59}…: is not a valid host name"),
        (
            ["--host", "0.0.0.0", "--port", "0"],
            "--host 0.0.0.0: is not an address that a browser can open; give an address of this "
            "machine",
        ),
    ],
)
def test_invalid_option_is_refused(arguments: list[str], error: str, here: Here) -> None:
    assert here("serve", *arguments) == (2, "", f"jmlp: error: {error}\n")


def test_port_in_use_is_named(here: Here) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert here("serve", "--port", str(port)) == (
            2,
            "",
            f"jmlp: error: --port {port}: is used by another program; "
            "--port 0 takes any free port\n",
        )


def test_child_processes_do_not_inherit_the_pipes() -> None:
    code = (
        "import os, subprocess; from tui.serving.child import keep_pipes_private\n"
        "keep_pipes_private(); import sys\n"
        "print(sys.stdin.readline(), end='', flush=True); sys.__stderr__.write('here')\n"
        "subprocess.run('cat; echo no; echo no >&2', shell=True, check=True)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        input="typed\nmore\n",
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent.parent.parent,
    )
    assert (done.stdout, done.stderr) == ("typed\n", "here")


class Listener:
    """Pretends to listen at an address that other machines can reach."""

    def __enter__(self) -> "Listener":
        return self

    def __exit__(self, *_: object) -> None:
        """Does nothing."""

    def getsockname(self) -> tuple[str, int]:
        return "192.0.2.7", 8000

    def close(self) -> None:
        """Does nothing."""


@pytest.fixture
def not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is ready, and ended by SIGTERM, at once."""

    async def run(_: object, __: object, ready: Callable[[], object]) -> signal.Signals:
        ready()
        return signal.SIGTERM

    monkeypatch.setattr("tui.serving.server.AppServer.run", run)


@pytest.mark.usefixtures("not_served")
def test_other_machines_have_access_only_with_allow_remote(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui.serving.guard.listen", lambda *_: Listener())
    refused = here("serve", "--host", "lab", "--no-open")
    assert refused == (
        2,
        "",
        "jmlp: error: --host lab: other machines can reach it; add --allow-remote if that is "
        f"intended: {RISK}\n",
    )
    allowed = here("serve", "--host", "lab", "--no-open", "--allow-remote", "--quiet")
    assert (allowed.code, allowed.err) == (143, f"warning: other machines can reach lab: {RISK}\n")
    assert re.fullmatch(r"http://lab:8000/\?token=[\w-]{43}\n", allowed.out)


@pytest.mark.usefixtures("not_served")
def test_address_as_json(here: Here) -> None:
    done = here("serve", "--port", "0", "--no-open", "--json", "--quiet")
    assert (done.code, done.err) == (143, "")
    assert list(json.loads(done.out)) == ["url"]


@pytest.mark.parametrize(
    ("environment", "opens"),
    [
        ({"DISPLAY": ":0"}, True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, True),
        ({}, False),
        ({"DISPLAY": ":10", "SSH_CONNECTION": "a b c d"}, False),
    ],
)
@pytest.mark.usefixtures("not_served")
def test_browser_opens_only_on_a_local_display_with_its_own_address(
    environment: dict[str, str], opens: bool, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    done = here("serve", "--port", "0")
    until(lambda: bool(opened) is opens)
    assert all(re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{43}", url) for url in opened)
    assert done.out.strip() not in opened


@pytest.mark.parametrize("name", ["tui.py", "tui/__init__.py"])
def test_another_package_named_tui_is_reported_and_not_mistaken_for_a_missing_extra(
    name: str, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = here.folder / name
    other.parent.mkdir(exist_ok=True)
    other.touch()
    inside = None if name == "tui.py" else [str(other.parent)]
    spec = spec_from_file_location("tui", other, submodule_search_locations=inside)
    monkeypatch.setattr(terminal, "find_spec", lambda wanted: spec)
    done = here("serve")
    first = other if name == "tui.py" else other.parent
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("jmlp: error: the app's package tui is ")
    assert f"but Python finds another package of that name first: {first}\n" in done.err
    assert f"remove it from {here.folder}, or" in done.err


def test_missing_package_is_named(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tui.serving.server", None)
    done = here("serve")
    assert done.code == 2
    assert done.err == (
        "jmlp: error: jmlp serve: needs the package textual-serve (import of tui.serving.server "
        "halted; None in sys.modules); install it with: "
        f"{command_that_installs('textual-serve')}\n"
    )
