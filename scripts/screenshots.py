#!/usr/bin/env python
"""Makes the documents' pictures of the app, from a store with a trained study.

    .venv/bin/python scripts/screenshots.py STORE [STUDY] [--configuration TEXT]

The app runs without a terminal, keys are pressed, and the screens that the documents show are
written to .github/images/app-*.png by Chromium.
"""

import argparse
import asyncio
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from tui_pilot import dump, until, until_shown  # noqa: E402 - after the paths

from tui.app import JmlpApp  # noqa: E402

IMAGES = ROOT / ".github" / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SIZE = (110, 34)
SCALE = 1.5  # device pixels to a CSS pixel, so that text is sharp

# For each picture, the keys that lead to it from the previous one, and a text that it must show.
PICTURES = (
    ("study", (), "seeds"),
    ("results", ("tab",), "verdict"),
    ("curves", ("tab", "enter"), "cost, nats"),
    ("layers", ("tab",), "gradient"),
    ("weights", ("tab",), "unit"),
    ("confusion", ("tab",), "predicted"),
    ("mistakes", ("tab",), "sure"),
)


async def draw(store: Path, study: str, configuration: str) -> dict[str, str]:
    """The SVG of each picture."""
    app, found = JmlpApp(store, start=study), {}
    async with app.run_test(size=SIZE) as pilot:
        await until_shown(pilot, f"studies › {study}")
        await until_shown(pilot, "seeds")
        for name, keys, text in PICTURES:
            for key in keys:
                if key == "enter":
                    await find(pilot.press, lambda: dump(app), configuration)
                await pilot.press(key)
            await until_shown(pilot, text)
            await until(pilot, lambda: "computing" not in dump(app))
            await pilot.pause(0.5)
            found[name] = app.export_screenshot(title=f"jmlp: {study}")
    return found


async def find(press: Callable[..., object], screen: Callable[[], str], text: str) -> None:
    """Moves the cursor down to a configuration."""
    for _ in range(200):
        if any(line.startswith(f" {text}   ") for line in screen().splitlines()[-4:]):
            return
        await press("down")  # type: ignore[misc]
    raise SystemExit(f"{text}: there is no such configuration")


def write(pictures: dict[str, str], browser: str) -> None:
    """Converts SVG to PNG, so that blocks and fine lines look the same everywhere."""
    from playwright.sync_api import sync_playwright

    IMAGES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        window = playwright.chromium.launch(executable_path=browser, args=options)
        page = window.new_page(device_scale_factor=SCALE)
        for name, svg in pictures.items():
            page.set_content(f"<body style='margin:0'>{svg}</body>")
            path = IMAGES / f"app-{name}.png"
            page.locator("svg").first.screenshot(path=path, omit_background=True)
            print(path.relative_to(ROOT))
        window.close()


def main() -> None:
    """Draws the pictures and writes those that the documents show."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("store", type=Path, help="the folder of stored runs")
    parser.add_argument("study", nargs="?", default="original")
    parser.add_argument("--configuration", default="batch size 64", help="the one to show")
    options = parser.parse_args()
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise SystemExit(f"scripts/screenshots.py: needs a browser: {', '.join(BROWSERS)}")
    pictures = asyncio.run(draw(options.store, options.study, options.configuration))
    pages = "".join(page.read_text(encoding="utf-8") for page in ROOT.glob("docs/**/*.md"))
    write({n: svg for n, svg in pictures.items() if f"app-{n}.png" in pages}, browser)


if __name__ == "__main__":
    main()
