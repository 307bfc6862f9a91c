"""The served app in a real browser: painting, keys, and a study that runs to its result table."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from browser_tab import Tab, open_browser
from playwright.sync_api import Browser
from run_lines import PLAN
from serve_process import serve
from store_runs import fill


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    with open_browser() as browser:
        yield browser


HELP = "type to search all words and keys"  # in the title of the help


@contextmanager
def tab_of(browser: Browser, store: Path) -> Iterator[Tab]:
    """The app on a store, in a tab of its own."""
    with serve(store) as (process, address):
        tab = Tab(browser, address)
        yield tab
        tab.page.context.close()
        process.terminate()
        process.communicate()


@pytest.fixture
def tab(browser: Browser, tmp_path: Path) -> Iterator[Tab]:
    """The app in a tab, on a store that does not exist yet."""
    with tab_of(browser, tmp_path / "store") as tab:
        yield tab


def test_app_paints_reacts_to_keys_and_can_be_closed_and_reopened(tab: Tab, tmp_path: Path) -> None:
    tab.until_shown("Demo")
    tab.until(lambda: len(tab.colours(tmp_path / "page.png")) > 20)  # smooth letters, in colours
    assert "token" not in tab.page.url
    tab.page.keyboard.press("?")
    tab.until_shown(HELP)
    tab.page.keyboard.press("Escape")
    tab.until(lambda: HELP not in tab.text())
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
    with tab_of(browser, tmp_path / "store") as tab:
        yield tab


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
        before = tab.clipboard()  # of the whole browser, where an earlier test may have copied
        for key in ("C", "ArrowDown", "Enter"):  # the row
            tab.page.keyboard.press(key)
        tab.until_shown("copied the row")
        tab.until(lambda: tab.page.evaluate("window.refused"))
        assert tab.clipboard() == before
        assert not before.startswith("small\t")
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
    phone.until_shown(HELP)
    phone.page.get_by_role("button", name="esc").tap()
    phone.until(lambda: HELP not in phone.text())
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
    phone.until_shown(HELP)
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


def test_braille_is_drawn_with_the_font_of_the_page(tab: Tab) -> None:
    tab.until_shown("Demo")
    loaded = "[...document.fonts].filter(f => f.status === 'loaded').map(f => f.unicodeRange)"
    assert "U+2800-28FF" in tab.page.evaluate(loaded)
    assert tab.complaints == []
