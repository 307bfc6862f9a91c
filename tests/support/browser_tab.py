"""A real browser, and the served app or a page of ours in a tab of it."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pyte
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Playwright, WebSocket, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
WAIT_SECONDS = 300.0  # for a study on a busy machine; nothing here is measured
POLL_MILLISECONDS = 50.0
PNG_COLOURS = 100_000


def find_browser() -> str | None:
    """Returns the path of a browser that starts, and is not a wrapper that prints a hint."""
    return next(filter(_starts, filter(None, map(shutil.which, NAMES))), None)


def _starts(path: str) -> bool:
    done = subprocess.run([path, "--version"], capture_output=True, check=False)
    return done.returncode == 0


def launch(playwright: Playwright, path: str) -> Browser:
    """Starts a browser without a window."""
    arguments = ["--headless", "--disable-gpu", "--disable-background-networking"]
    arguments += ["--no-sandbox"] if os.geteuid() == 0 else []
    return playwright.chromium.launch(executable_path=path, args=arguments)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A headless Chromium; the test is skipped where there is none."""
    path = find_browser()
    if path is None:
        pytest.skip(f"no browser on this machine: none of {', '.join(NAMES)} is there and starts")
    with sync_playwright() as playwright:
        browser = launch(playwright, path)
        yield browser
        browser.close()


class Tab:
    """A tab with the app; its text is read from the websocket, its picture from the page."""

    def __init__(
        self,
        browser: Browser,
        address: str,
        size: tuple[int, int] = (1000, 700),
        touch: bool = False,
        script: str = "",
    ) -> None:
        width, height = size
        context = browser.new_context(
            viewport={"width": width, "height": height},
            has_touch=touch,
            is_mobile=touch,
        )
        self.page: Page = context.new_page()
        self.page.add_init_script(script)  # runs before those of the page
        self.typed: list[str] = []
        self.hosts: set[str] = set()
        self.complaints: list[str] = []
        self._screen = pyte.Screen(80, 24)
        self._stream = pyte.ByteStream(self._screen)
        self.page.on("websocket", self._follow)
        self.page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "console",
            lambda message: (
                self.complaints.append(message.text)
                if message.type in ("error", "warning")
                and "task queue exceeded" not in message.text  # the terminal's, if all is slow
                else None
            ),
        )
        self.page.goto(address)

    def _follow(self, websocket: WebSocket) -> None:
        size = parse_qs(urlsplit(websocket.url).query)
        self._screen.reset()
        self._screen.resize(int(size["height"][0]), int(size["width"][0]))
        websocket.on("framereceived", self._draw)
        websocket.on("framesent", self._resize)

    def _draw(self, frame: str | bytes) -> None:
        if isinstance(frame, bytes):
            self._stream.feed(frame)

    def _resize(self, frame: str | bytes) -> None:
        match json.loads(frame):
            case ["stdin", str(data)] if not data.startswith("\x1b[?"):  # the terminal's answer
                self.typed.append(data)
            case ["resize", {"width": width, "height": height}]:
                self._screen.resize(height, width)

    def lines(self) -> list[str]:
        """Returns the lines that the app shows."""
        return [line.rstrip() for line in self._screen.display]

    def text(self) -> str:
        """Returns them as one text."""
        return "\n".join(self.lines())

    def cells(self) -> tuple[int, int]:
        """Returns the columns and rows of the app."""
        return self._screen.columns, self._screen.lines

    def text_size(self) -> float:
        """Returns the size of the text in pixels that the page names."""
        return float(self.page.locator("#size").text_content() or "nan")

    def background(self) -> str:
        """Returns the background of the page around the app."""
        found: str = self.page.evaluate("getComputedStyle(document.body).backgroundColor")
        return found

    def until(self, condition: Callable[[], object]) -> None:
        """Lets the browser run until a condition holds."""
        for _ in range(int(WAIT_SECONDS * 1000 / POLL_MILLISECONDS)):
            if condition():
                return
            self.page.wait_for_timeout(POLL_MILLISECONDS)
        raise AssertionError(f"it did not come; the app shows:\n{self.text()}")

    def until_shown(self, text: str) -> None:
        """Waits until the app shows a text."""
        self.until(lambda: text in self.text())

    def drag(self, start: tuple[int, int], end: tuple[int, int]) -> None:
        """Drags the mouse from one cell to another."""
        box = self.page.locator(".xterm-screen").bounding_box()
        assert box is not None
        width, height = box["width"] / self._screen.columns, box["height"] / self._screen.lines
        (x, y), *others = (
            (box["x"] + (column + 0.5) * width, box["y"] + (row + 0.5) * height)
            for column, row in (start, (end[0] - 1, end[1]), end)
        )
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        for x, y in others:
            self.page.mouse.move(x, y)
        self.page.mouse.up()

    def place(self, text: str) -> tuple[int, int]:
        """Returns the cell in which a text begins."""
        row = next(y for y, line in enumerate(self.lines()) if text in line)
        return self.lines()[row].index(text), row

    def clipboard(self) -> str:
        """Returns the browser's clipboard, as another page reads it."""
        context = self.page.context
        context.grant_permissions(["clipboard-read"])
        other = context.new_page()
        other.goto(f"{self.page.url}static/page.css")
        found = other.evaluate("navigator.clipboard.readText()")
        other.close()
        context.clear_permissions()
        self.page.bring_to_front()
        return str(found)

    def colours(self, file: Path) -> set[object]:
        """Returns the colours of all pixels of the page."""
        self.page.screenshot(path=file)
        with Image.open(file) as image:
            found = image.convert("RGB").getcolors(PNG_COLOURS)
        return {colour for _, colour in found or ()}
