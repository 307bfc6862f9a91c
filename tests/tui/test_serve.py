"""The server: access control and responses."""

import asyncio
import re
import sys
from pathlib import Path

import aiohttp
import pytest
from serve_matrix import HOST, Case, Served, answer, cases, refusals, serving

from tui.serving import server as server_module
from tui.serving.guard import Guard

# No tab is opened here, so the app never starts.
NO_APP = ["/bin/false"]


async def get(served: Served, path: str) -> tuple[int, dict[str, str]]:
    """Requests a path as a browser with the cookie."""
    case = Case(path, f"{HOST}:{served.port}", served.guard.url, served.token, allowed=True)
    return await answer(served, case)


def test_every_request_with_a_wrong_or_missing_host_origin_or_token_starts_nothing() -> None:
    figure = refusals()
    assert figure.requests > 3000
    assert (figure.refused, figure.started) == (figure.requests, 0)


def test_requests_from_the_page_itself_are_answered() -> None:
    async def statuses() -> dict[str, set[int]]:
        found: dict[str, set[int]] = {}
        async with serving(NO_APP) as served:
            for case in cases(served):
                if case.allowed:
                    path = case.path.replace(served.token, "TOKEN")
                    found.setdefault(path, set()).add((await answer(served, case))[0])
        return found

    assert asyncio.run(statuses()) == {
        "/": {200},
        "/ws": {101},
        "/static/textual.js": {200},
        "/static/": {404},
        "/download/key": {404},
        "/nothing": {404},
        "/?token=TOKEN": {200},
    }


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_nothing_but_get_is_answered(method: str) -> None:
    async def status() -> int:
        async with serving(NO_APP) as served:
            case = Case("/", f"{HOST}:{served.port}", None, served.token, allowed=False)
            return (await answer(served, case, method))[0]

    assert asyncio.run(status()) == 405


def test_address_sets_a_cookie_hidden_from_scripts_and_other_sites() -> None:
    async def cookie() -> tuple[Served, str]:
        async with serving(NO_APP) as served:
            case = Case(f"/?token={served.token}", f"{HOST}:{served.port}", None, None, True)
            return served, (await answer(served, case))[1]["Set-Cookie"]

    served, given = asyncio.run(cookie())
    name = f"jmlp-{served.port}"
    assert given == f"{name}={served.token}; HttpOnly; Path=/; SameSite=Strict"
    assert len(served.token) == 43  # 32 bytes, 6 bits per character


def test_address_on_the_command_line_of_a_browser_works_once() -> None:
    async def statuses() -> list[int]:
        async with serving(NO_APP) as served:
            path = served.guard.address_once().removeprefix(served.guard.url)
            case = Case(path, f"{HOST}:{served.port}", None, None, True)
            return [(await answer(served, case))[0] for _ in range(2)]

    assert asyncio.run(statuses()) == [200, 403]


@pytest.mark.parametrize("path", ["/", "/?token=wrong", "/static/page.js", "/nothing"])
def test_every_response_has_the_security_headers(path: str) -> None:
    async def headers() -> tuple[int, dict[str, str]]:
        async with serving(NO_APP) as served:
            return served.port, (await get(served, path))[1]

    port, found = asyncio.run(headers())
    assert found["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
        "font-src 'self'; img-src data:; "
        f"connect-src 'self' ws://127.0.0.1:{port} ws://localhost:{port}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert found["X-Content-Type-Options"] == "nosniff"
    assert found["X-Frame-Options"] == "DENY"
    assert found["Referrer-Policy"] == "no-referrer"
    assert found["Cache-Control"] == ("no-cache" if path.endswith(".js") else "no-store")


def test_page_and_its_files_name_no_other_host() -> None:
    own = list(server_module.PAGE.iterdir())
    scripts = {"colours.js", "keys.js", "page.js", "size.js"}
    assert {file.name for file in own} == {"index.html", "page.css", "braille.ttf", *scripts}
    read = (file.read_bytes() for file in own)
    assert not re.search(rb"https?:|//[a-z]", b"".join(read))


@pytest.mark.parametrize(
    "name",
    ["", "server.py", "..%2fserver.py", "%2e%2e/server.py", "page.css/", "%00", "/etc/passwd"],
)
def test_no_name_reaches_another_file(name: str) -> None:
    async def status() -> int:
        async with serving(NO_APP) as served:
            return (await get(served, f"/static/{name}"))[0]

    assert asyncio.run(status()) == 404


@pytest.mark.parametrize(
    "text", [b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nHost"]
)
def test_requests_that_are_not_http_are_ignored_silently(
    text: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    async def status() -> int:
        async with serving(NO_APP) as served:
            _, writer = await asyncio.open_connection(HOST, served.port)
            writer.write(text)
            await writer.drain()
            found = (await get(served, "/"))[0]  # while the other one is open
            writer.close()
            await writer.wait_closed()
            return found

    assert asyncio.run(status()) == 200
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("host", "address", "port", "url", "hosts"),
    [
        ("127.0.0.1", "127.0.0.1", 8000, "127.0.0.1:8000", "127.0.0.1:8000 localhost:8000"),
        ("::1", "::1", 80, "[::1]", "127.0.0.1 127.0.0.1:80 [::1] [::1]:80 localhost localhost:80"),
        ("Lab", "10.0.0.7", 8000, "lab:8000", "10.0.0.7:8000 lab:8000"),
    ],
)  # fmt: skip
def test_hosts_are_the_names_that_a_browser_may_use(
    host: str, address: str, port: int, url: str, hosts: str
) -> None:
    guard = Guard(host, port, address)
    assert guard.url == f"http://{url}"
    assert sorted(guard.hosts) == hosts.split()


def test_page_has_the_size_of_text_that_was_asked_for() -> None:
    async def page() -> str:
        async with (
            serving(NO_APP, font_size=28) as served,
            aiohttp.ClientSession(headers=served.headers()) as client,
            client.get(served.guard.url) as response,
        ):
            return await response.text()

    assert 'data-font-size="28"' in asyncio.run(page())


def test_command_behind_a_tab_is_fixed() -> None:
    command = server_module.command(Path("/a store/$(x)"))
    assert command == [sys.executable, "-P", "-m", "tui.serving.child", "/a store/$(x)"]


def test_a_bug_is_reported_and_the_server_keeps_running(monkeypatch: pytest.MonkeyPatch) -> None:
    async def found() -> tuple[int, list[str]]:
        async with serving(NO_APP) as served:
            monkeypatch.setattr(served.server, "_page", None)
            return (await get(served, "/"))[0], served.said

    status, said = asyncio.run(found())
    assert status == 500
    assert [line.partition(" object")[0] for line in said] == [
        "this is a bug in jmlp: AttributeError: 'NoneType'"
    ]
