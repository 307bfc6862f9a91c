"""The served app in a real browser: painting, keys, and a study that runs to its result table."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pyte
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, WebSocket, sync_playwright
from run_lines import PLAN
from serve_process import serve
from store_runs import fill

NAMES = ("chromium", "chromium-browser", "google-chrome")
WAIT_SECONDS = 300.0  # for a study on a busy machine; nothing here is measured
POLL_MILLISECONDS = 50.0
PNG_COLOURS = 100_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    path = next(filter(_starts, filter(None, map(shutil.which, NAMES))), None)
    if path is None:
        pytest.skip(f"no browser on this machine: none of {', '.join(NAMES)} is there and starts")
    arguments = ["--headless", "--disable-gpu", "--disable-background-networking"]
    arguments += ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


def _starts(path: str) -> bool:
    """Returns whether a path is a browser that starts, and not a wrapper that prints a hint."""
    done = subprocess.run([path, "--version"], capture_output=True, check=False)
    return done.returncode == 0


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
            viewport={"width": width, "height": height}, has_touch=touch, is_mobile=touch
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


@pytest.fixture
def tab(browser: Browser, tmp_path: Path) -> Iterator[Tab]:
    """The app in a tab, on a store that does not exist yet."""
    with serve(tmp_path / "store") as (process, address):
        tab = Tab(browser, address)
        yield tab
        tab.page.context.close()
        process.terminate()
        process.communicate()


def test_app_paints_reacts_to_keys_and_can_be_closed_and_reopened(tab: Tab, tmp_path: Path) -> None:
    tab.until_shown("Demo")
    tab.until(lambda: len(tab.colours(tmp_path / "page.png")) > 20)  # smooth letters, in colours
    assert "token" not in tab.page.url
    tab.page.keyboard.press("?")
    tab.until_shown("Show all keys")
    tab.page.keyboard.press("Escape")
    tab.until(lambda: "Show all keys" not in tab.text())
    tab.page.set_viewport_size({"width": 700, "height": 500})
    tab.until(lambda: len(tab.lines()) == 22 and "Quit" in tab.lines()[-1])
    tab.page.keyboard.press("q")
    tab.page.get_by_text("the app was closed").wait_for()
    tab.page.get_by_role("button", name="Open again").click()
    tab.until_shown("Demo")
    assert tab.hosts == {urlsplit(tab.page.url).netloc}
    assert tab.complaints == []


@pytest.fixture
def tab_with_runs(browser: Browser, tmp_path: Path) -> Iterator[Tab]:
    """The app in a tab, on a store of six runs."""
    fill(tmp_path / "store", PLAN)
    with serve(tmp_path / "store") as (process, address):
        tab = Tab(browser, address)
        yield tab
        tab.page.context.close()
        process.terminate()
        process.communicate()


def test_what_the_app_copies_is_in_the_clipboard_of_the_browser(tab_with_runs: Tab) -> None:
    tab = tab_with_runs
    tab.until_shown("small")
    tab.page.keyboard.press("2")
    tab.until_shown("stopped early")
    tab.page.keyboard.press("C")
    tab.until_shown("Table as Markdown")
    for key in ("ArrowDown", "ArrowDown", "Enter"):
        tab.page.keyboard.press(key)
    tab.until_shown("copied runs as Markdown")
    lines = tab.clipboard().splitlines()
    assert " | run " in lines[0]
    assert len(lines) == 2 + len(PLAN.runs)
    # Selected in the app, by the mouse.
    column, row = tab.place("stopped early")
    tab.drag((column, row), (column + 6, row))
    tab.page.keyboard.press("Control+c")
    tab.until_shown("copied the selection")
    assert tab.clipboard() == "stopped"
    # Selected in the browser's terminal, with shift.
    column, row = tab.place("6 runs")
    tab.page.keyboard.down("Shift")
    tab.drag((column, row), (column + 5, row))
    tab.page.keyboard.up("Shift")
    tab.page.keyboard.press("Control+c")
    assert tab.clipboard().startswith("6 run")
    assert tab.complaints == []


def test_a_page_that_may_not_write_to_the_clipboard_copies_with_the_next_key(
    browser: Browser, tmp_path: Path
) -> None:
    """As on http from another machine, or with an app that takes long to answer."""
    script = """
        navigator.clipboard.writeText = () => Promise.reject();
        const copy = document.execCommand;
        window.refused = 0;
        document.execCommand = function (name) {
            return window.refused++ < 1 ? false : copy.call(document, name);
        };
    """
    fill(tmp_path / "store", PLAN)
    with serve(tmp_path / "store") as (process, address):
        tab = Tab(browser, address, script=script)
        tab.until_shown("small")
        for key in ("C", "ArrowDown", "Enter"):  # the row
            tab.page.keyboard.press(key)
        tab.until_shown("copied the row")
        tab.until(lambda: tab.page.evaluate("window.refused"))
        assert tab.clipboard() == ""
        tab.page.keyboard.press("ArrowDown")
        assert tab.clipboard().startswith("small\t")
        tab.page.context.close()
        process.terminate()
        process.communicate()


def test_demo_runs_to_its_result_table(tab: Tab) -> None:
    tab.until_shown("Demo")
    tab.page.keyboard.press("d")
    tab.until_shown("20 of 20 runs")
    tab.page.keyboard.press("Tab")
    tab.until_shown("learning rate 0.01 (baseline)")
    tab.until(lambda: len(re.findall(r"\d ± \d", tab.text())) == 4)  # every mean has its interval
    assert tab.complaints == []


def test_size_of_the_text_is_set_by_option_buttons_and_keys_and_remembered(
    browser: Browser, tmp_path: Path
) -> None:
    with serve(tmp_path / "store", options=["--font-size", "24"]) as (_, address):
        tab = Tab(browser, address, (1280, 800))
        tab.until_shown("Demo")
        assert (tab.text_size(), tab.cells()) == (24, (91, 24))
        tab.page.get_by_role("button", name="A+").click()
        tab.until(lambda: tab.cells() == (85, 22))
        assert tab.text_size() == 26
        tab.page.keyboard.press("Control+-")
        tab.page.get_by_role("button", name="A−").click()
        tab.until(lambda: tab.cells()[0] > 91)
        assert tab.text_size() == 22
        tab.page.reload()
        tab.until_shown("Demo")
        assert tab.text_size() == 22
        tab.page.keyboard.press("Control+0")
        tab.until(lambda: tab.cells() == (91, 24))
        assert tab.typed == []
        assert tab.complaints == []
        tab.page.close()


def test_text_never_grows_beyond_what_leaves_the_app_its_room(tab: Tab) -> None:
    tab.until_shown("Demo")
    larger = tab.page.get_by_role("button", name="A+")
    while larger.is_enabled():
        larger.click()
    columns, rows = tab.cells()
    assert columns >= 60
    assert rows >= 20
    tab.page.set_viewport_size({"width": 600, "height": 900})
    tab.until(lambda: tab.cells()[0] != columns)
    assert tab.cells()[0] >= 60


PHONES = [(390, 844), (360, 640), (844, 390), (640, 360)]


@pytest.mark.parametrize("size", PHONES)
def test_phone_shows_the_whole_app_in_the_largest_text_and_keys_for_fingers(
    size: tuple[int, int], browser: Browser, tmp_path: Path
) -> None:
    width, height = size
    with serve(tmp_path / "store") as (_, address):
        tab = Tab(browser, address, size, touch=True)
        tab.until_shown("Demo")
        columns, rows = tab.cells()
        assert columns >= 60
        assert rows >= 20
        assert columns < 66 or rows < 22  # no room is left for larger text
        inside = "document.documentElement.scrollWidth <= innerWidth && visualViewport.scale === 1"
        assert tab.page.evaluate(inside)
        for button in tab.page.locator("#bar button").all():
            box = button.bounding_box()
            assert box is not None
            assert 0 <= box["x"] <= box["x"] + box["width"] <= width
            assert 0 <= box["y"] <= box["y"] + box["height"] <= height
            assert min(box["width"], box["height"]) >= 40  # for a finger
        tab.page.set_viewport_size({"width": height, "height": width})  # the phone is turned
        tab.until(lambda: tab.cells() != (columns, rows))
        assert min(tab.cells()[0] / 60, tab.cells()[1] / 20) >= 1
        assert tab.complaints == []
        tab.page.close()


@pytest.fixture
def phone(browser: Browser, tmp_path: Path) -> Iterator[Tab]:
    """The app in a phone."""
    with serve(tmp_path / "store") as (_, address):
        tab = Tab(browser, address, PHONES[0], touch=True)
        tab.until_shown("Demo")
        yield tab
        tab.page.close()


def test_keys_for_fingers_are_those_of_a_keyboard(phone: Tab) -> None:
    phone.page.get_by_role("button", name="all keys").tap()
    phone.until_shown("Show all keys")
    phone.page.get_by_role("button", name="esc").tap()
    phone.until(lambda: "Show all keys" not in phone.text())
    names = ["tab", "enter", "space", "left", "up", "down", "right"]
    for name in names:
        phone.page.get_by_role("button", name=name, exact=True).tap()
    phone.until(lambda: len(phone.typed) == 2 + len(names))
    keys = ["\t", "\r", " ", "\x1b[D", "\x1b[A", "\x1b[B", "\x1b[C"]
    assert phone.typed == ["?", "\x1b", *keys]


def test_keyboard_of_a_phone_opens_only_by_its_key(phone: Tab) -> None:
    def mode() -> object:
        return phone.page.evaluate("document.activeElement.inputMode")

    assert mode() == "none"
    phone.page.locator("#terminal").tap(position={"x": 5, "y": 5})
    assert mode() == "none"
    letters = phone.page.get_by_role("button", name="keyboard")
    letters.tap()
    assert mode() == "text"
    phone.page.keyboard.type("?")
    phone.until_shown("Show all keys")
    letters.tap()
    assert mode() == "none"


def test_finger_that_moves_turns_the_wheel(phone: Tab) -> None:
    touch = phone.page.context.new_cdp_session(phone.page)
    for kind, y in (("Start", 400), ("Move", 370), ("Move", 330)):
        touch.send(
            "Input.dispatchTouchEvent",
            {"type": f"touch{kind}", "touchPoints": [{"x": 100, "y": y}]},
        )
    phone.until(lambda: len([data for data in phone.typed if data.startswith("\x1b[<65;")]) >= 3)
    phone.typed.clear()
    touch.send(
        "Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": 9, "y": 380}]}
    )
    phone.until(lambda: any(data.startswith("\x1b[<64;") for data in phone.typed))
    assert phone.complaints == []


def test_page_has_the_background_of_the_apps_theme(tab: Tab) -> None:
    tab.until_shown("Demo")
    tab.until(lambda: tab.background() == "rgb(15, 20, 25)")
    tab.page.keyboard.press("t")
    tab.until(lambda: tab.background() == "rgb(255, 255, 255)")
    tab.page.keyboard.press("t")
    tab.until(lambda: tab.background() == "rgb(15, 20, 25)")
