"""The page of a replay in a real browser, opened as a file."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser_tab import Tab, open_browser
from inspections import made_up, of_table
from playwright.sync_api import Browser
from replays import data_in, plane, run_replay, study_replay
from report_runs import point

from jmlp.replay.content import Replay
from jmlp.replay.page import page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    with open_browser() as browser:
        yield browser


def opened(
    browser: Browser, folder: Path, replay: Replay, size: tuple[int, int] = (1400, 900)
) -> Tab:
    """The page in a tab."""
    file = folder / "replay.html"
    file.write_text(page(replay), encoding="utf-8")
    return Tab(browser, file.as_uri(), size)


def text(tab: Tab, place: str) -> str:
    """What stands at a place."""
    return tab.page.locator(place).inner_text().replace("\N{NO-BREAK SPACE}%", " %")


def test_keys_move_the_snapshot_and_every_number_with_it(browser: Browser, tmp_path: Path) -> None:
    tab = opened(browser, tmp_path, run_replay())
    data = data_in((tmp_path / "replay.html").read_text(encoding="utf-8"))["networks"][0]
    assert text(tab, "#epoch") == "epoch 1, the kept network (snapshot 3 of 4)"
    cursor = tab.page.locator("#cost .cursor")
    for key, e in (("ArrowRight", 3), ("ArrowRight", 3), ("Home", 0), ("ArrowLeft", 0), ("End", 3)):
        tab.page.keyboard.press(key)
        assert f"(snapshot {e + 1} of 4)" in text(tab, "#epoch")
        assert f"cost {data['cost'][e]:.4f}, accuracy {100 * data['accuracy'][e]:.2f} %" in text(
            tab, "#about"
        )
        cells = tab.page.locator("#confusion td").all_inner_texts()
        assert [int(cell) for cell in cells] == data["confusion"][e]
        assert f"{data['dead_units'][e][0]} of 3" in text(tab, "#layers")
        assert f"±{data['weights']['scale'][e]:#.3g} " in text(tab, "#weights-words")
    assert float(cursor.get_attribute("x1") or "nan") > 1300 / 2 - 100
    assert tab.complaints == []
    assert tab.hosts == {""}
    tab.page.context.close()


def test_it_plays_only_when_told_to_and_up_to_the_last_snapshot(
    browser: Browser, tmp_path: Path
) -> None:
    tab = opened(browser, tmp_path, run_replay())
    tab.page.locator("#speed").select_option("4")
    tab.page.locator("h1").click()
    assert text(tab, "#play") == "Play"
    tab.page.evaluate(
        """window.seen = []; new MutationObserver(() => seen.push(
            document.getElementById("epoch").textContent
        )).observe(document.getElementById("epoch"), { childList: true })"""
    )
    tab.page.keyboard.press("Space")  # the kept network was shown: it begins with the first one
    assert "(snapshot 1 of 4)" in tab.page.evaluate("seen[0]")
    assert text(tab, "#play") == "Pause"
    tab.until(lambda: "(snapshot 4 of 4)" in text(tab, "#epoch"))
    tab.until(lambda: text(tab, "#play") == "Play")
    tab.page.locator("#play").click()  # from the first one again
    tab.until(lambda: "(snapshot 2 of 4)" in text(tab, "#epoch"))
    tab.page.keyboard.press("Space")  # the button has the key for itself
    assert text(tab, "#play") == "Play"
    assert tab.complaints == []
    tab.page.context.close()


def test_configurations_are_turned_off_and_their_networks_chosen(
    browser: Browser, tmp_path: Path
) -> None:
    tab = opened(browser, tmp_path, study_replay())
    lines = tab.page.locator("#cost .line")
    assert (lines.count(), tab.page.locator("#cost .band").count()) == (3, 2)
    assert tab.page.locator("#cost .cross").count() == 1
    tab.page.get_by_role("checkbox", name="batch size 16").uncheck()
    assert (lines.count(), tab.page.locator("#cost .cross").count()) == (2, 0)
    tab.page.locator("#network").select_option("2")
    assert "seed 0, the first ended seed of its configuration" in text(tab, "#about")
    assert tab.page.locator("#cost .chosen").count() == 1
    tab.page.locator("#numbers summary").click()
    assert "batch size 128 (baseline, best), 3 seeds: cost" in text(tab, "#numbers thead")
    assert "1.2900 (1.2652 to 1.3148)" in text(tab, "#numbers tbody")
    assert tab.complaints == []
    tab.page.context.close()


def test_the_boundary_is_drawn_in_the_colours_of_the_classes(
    browser: Browser, tmp_path: Path
) -> None:
    inspection, boundary = plane()
    tab = opened(browser, tmp_path, run_replay(inspection, boundary=boundary))
    assert tab.page.locator("#classes li").all_inner_texts() == ["class 0", "class 1", "class 2"]
    words = text(tab, "#boundary-words")
    assert words.startswith("x from -2.00 to 3.00 to the right, y</b> from 0.00 to 1.00 upwards.")
    assert "200 of 300 examples of the validation part" in words
    assert "the 0 with a ring are misclassified" in words
    row = """() => [...document.getElementById("boundary").getContext("2d")
        .getImageData(0, 100, 640, 1).data]"""
    pixels = np.array(tab.page.evaluate(row)).reshape(640, 4)
    assert pixels[20, 2] > pixels[20, 0]  # blue, of class 0
    assert pixels[620, 1] > max(pixels[620, 0], pixels[620, 2])  # green, of class 2
    assert pixels[:, 3].min() > 0
    assert tab.complaints == []
    tab.page.context.close()


def test_costs_of_any_size_have_ticks_within_the_margin(browser: Browser, tmp_path: Path) -> None:
    costs = [point(0, 0.7), point(1, 6e24), point(2, 3e-9)]
    tab = opened(browser, tmp_path, run_replay(points=costs), (390, 844))
    ticks = tab.page.locator("#cost text[text-anchor=end]").all_text_contents()
    numbers = [float(tick) for tick in ticks if tick != "epoch"]
    assert 3 <= len(numbers) <= 7
    assert numbers == sorted(numbers)
    assert max(map(len, ticks)) <= 5
    tab.page.get_by_label("logarithmic cost").uncheck()
    ticks = tab.page.locator("#cost text[text-anchor=end]").all_text_contents()
    assert ticks[1:4] == ["0", "1e24", "2e24"]
    assert tab.complaints == []
    tab.page.context.close()


@pytest.mark.parametrize("width", [390, 1400])
def test_the_page_is_never_wider_than_the_window(
    width: int, browser: Browser, tmp_path: Path
) -> None:
    for replay in (run_replay(made_up(hidden=(40, 30))), run_replay(of_table()), study_replay()):
        tab = opened(browser, tmp_path, replay, (width, 844))
        assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert tab.complaints == []
        tab.page.context.close()


def test_weights_of_a_table_are_numbers_by_input_column(browser: Browser, tmp_path: Path) -> None:
    tab = opened(browser, tmp_path, run_replay(of_table()))
    tab.page.keyboard.press("End")
    rows = tab.page.locator("#weights tbody tr")
    assert rows.locator("th").all_inner_texts() == list(of_table().input_names)
    weights = of_table().weights[3]
    scale = of_table().weight_scale(3)
    for unit in range(3):
        found = rows.locator(f"td:nth-child({unit + 2})").all_inner_texts()
        for cell, weight in zip(found, weights[unit].tolist(), strict=True):
            assert abs(float(cell) - weight) <= 0.01 / 2 + scale / 127 / 2
    tab.page.context.close()
