#!/usr/bin/env python
"""Makes the documents' pictures of the app, and a short film of it at work.

    .venv/bin/python scripts/pictures.py stills STORE [STUDY] [--configuration TEXT]
    .venv/bin/python scripts/pictures.py lessons STORE
    .venv/bin/python scripts/pictures.py film

The app runs in Chromium, as `jmlp serve` shows it, and keys are pressed. `stills` shows a study
that has been trained, and writes .github/images/app-*.png. `lessons` shows what lectures are made
of, Inside, a mistake, a boundary, a drawing, a microscope, and a replay; in its store, it trains
the studies `spirals` and `fast` first, unless they are there. `film` makes a new experiment in an
empty store, with axes typed into the form, and writes .github/images/app.gif, from first start to a
compared result.
"""

import argparse
import io
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from browser_tab import NAMES, Tab, find_browser, launch  # noqa: E402 - after the paths
from playwright.sync_api import Browser, sync_playwright  # noqa: E402
from serve_process import serve  # noqa: E402

IMAGES = ROOT / ".github" / "images"
# Pixels of the page, and of its text: 140 columns and 42 rows.
STILL = (1800, 1170), 21
MOVING = (1200, 780), 14
COLOURS = 128  # of a picture: enough for smooth letters
CONFIGURATION = re.compile(r"[ ·][A-Za-z] (.+?)  ")  # a row of the list
OPTION = re.compile(r"│   (\w[\w ]*?)  ")  # of a dialog
LARGEST = 2_000_000  # bytes of the film

# For each picture, the keys that lead to it from the previous one, and a text that it must show.
PICTURES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("study", (), "layer 1"),
    ("results", ("Tab",), "verdict"),
    ("curves", ("Tab", "configuration", "Enter"), "accuracy, %"),
    ("layers", ("Tab",), "Gradient norm"),
    ("weights", ("Tab",), "unit 0"),
    ("confusion", ("Tab",), "predicted"),
    ("mistakes", ("Tab",), "sure"),
)


# For each picture of a lesson, the study that is opened first, the keys, and a text that it shows.
# The digit is a 7 in a corner of the sheet.
LESSONS: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    ("inside", "", ("i", "~as it is given", *["ArrowRight"] * 2, "f", "c"), "by jax.vjp"),
    ("break", "", ("b", "~gradients are wrong"), "gradients are wrong"),
    ("boundary", "spirals", ("End", "Enter", "~mean of", ".", "Shift+Tab"), "misclassified"),
    (
        "draw",
        "fast",
        (
            *("Enter", "~mean of", "d", "~pen", *["ArrowLeft"] * 8, *["ArrowUp"] * 8, "Space"),
            *(*["ArrowRight"] * 9, *["ArrowDown"] * 12),
        ),
        "found, cropped",
    ),
    ("step", "spirals", ("End", "Enter", "~mean of", ".", *["Shift+Tab"] * 2), "sharpness"),
)


@contextmanager
def opened(store: Path, size: tuple[int, int], text_size: int) -> Iterator[Tab]:
    """The app on a store, in a tab of its own."""
    path = find_browser()
    if path is None:
        raise SystemExit(f"scripts/pictures.py: needs a browser: {', '.join(NAMES)}")
    options = ("--font-size", str(text_size))
    with sync_playwright() as playwright, serve(store, options=options) as server:
        browser: Browser = launch(playwright, path)
        try:
            yield Tab(browser, server[1], size)
        finally:
            browser.close()


def shot(tab: Tab) -> Image.Image:
    """Takes a picture of the app, without the page around it, once it no longer changes."""
    before = b""
    while True:
        tab.page.wait_for_timeout(150)
        found = tab.page.locator("#terminal").screenshot()
        if found == before:
            return Image.open(io.BytesIO(found)).convert("RGB")
        before = found


# ---- stills


def stills(store: Path, study: str, configuration: str) -> None:
    """Writes the pictures that the documents show, as PNG."""
    pages = [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]
    shown = "".join(page.read_text(encoding="utf-8") for page in pages)
    with opened(store, *STILL) as tab:
        tab.until_shown(study)
        tab.page.keyboard.press("Enter")
        tab.until_shown(f"studies › {study}")
        for name, keys, text in PICTURES:
            for key in keys:
                if key == "configuration":
                    find(tab, configuration)
                else:
                    tab.page.keyboard.press(key)
            tab.until_shown(text)
            tab.until(lambda: "computing" not in tab.text())
            if f"app-{name}.png" in shown:
                save(shot(tab), name)


def find(tab: Tab, text: str) -> None:
    """Moves the cursor to a configuration."""
    tab.until_shown("layer 1")
    rows = [found[1] for line in tab.lines() if (found := CONFIGURATION.match(line))]
    if text not in rows:
        raise SystemExit(f"{text}: there is no such configuration, but {', '.join(rows)}")
    tab.page.keyboard.press("Home")
    for _ in range(rows.index(text)):
        tab.page.keyboard.press("ArrowDown")
    tab.until_shown(f"{text}: cost")


# ---- lessons


def lessons(store: Path) -> None:
    """Writes the pictures of lessons, as PNG."""
    for study, *options in (["spirals"], ["fast", "--seeds", "3"]):
        command = [sys.executable, "-m", "jmlp", "study", study, *options, "--store", str(store)]
        subprocess.run([*command, "--output", str(store.parent / study), "--quiet"], check=True)
    for name, study, keys, text in LESSONS:
        with opened(store, *STILL) as tab:
            tab.until_shown("fast")
            tab.page.wait_for_timeout(1000)  # until keys reach the app
            if study:
                open_study(tab, study)
            for key in keys:
                if key.startswith("~"):
                    tab.until_shown(key[1:])
                    tab.page.wait_for_timeout(300)
                else:
                    tab.page.keyboard.press(key)
                    tab.page.wait_for_timeout(60)
            tab.until_shown(text)
            tab.until(lambda tab=tab: "computing" not in tab.text())  # type: ignore[misc]
            save(shot(tab), name)
    replay(store)


def open_study(tab: Tab, study: str) -> None:
    """Opens a study from the list of all."""
    names = [line.split()[0] for line in tab.lines() if line.split()[:1] in (["fast"], ["spirals"])]
    for _ in range(names.index(study)):
        tab.page.keyboard.press("ArrowDown")
    tab.page.keyboard.press("Enter")
    tab.until_shown(f"studies › {study}")
    tab.page.wait_for_timeout(500)


def replay(store: Path) -> None:
    """Takes a picture of the replay of a study, as a browser shows it."""
    page = store.parent / "spirals.html"
    command = [sys.executable, "-m", "jmlp", "replay", "spirals", "--store", str(store)]
    subprocess.run([*command, "--force", "-o", str(page)], check=True)
    path = find_browser()
    assert path is not None
    with sync_playwright() as playwright:
        browser: Browser = launch(playwright, path)
        shown = browser.new_page(viewport={"width": 1200, "height": 1400})
        shown.goto(page.resolve().as_uri())
        save(Image.open(io.BytesIO(shown.screenshot())).convert("RGB"), "replay")
        browser.close()


def save(picture: Image.Image, name: str) -> None:
    """Writes a picture with few colours."""
    path = IMAGES / f"app-{name}.png"
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1000} kB")


# ---- the film


class Film:
    """The frames of a film, each with the time for which it is shown."""

    def __init__(self, tab: Tab) -> None:
        """Starts without frames."""
        self.tab = tab
        self.frames: list[Image.Image] = []
        self.seconds: list[float] = []

    def take(self, seconds: float) -> None:
        """Shows what the app shows now for so long."""
        self.tab.page.wait_for_timeout(120)
        found = self.tab.page.locator("#terminal").screenshot()
        frame = Image.open(io.BytesIO(found)).convert("RGB")
        if self.frames and frame == self.frames[-1]:
            self.seconds[-1] += seconds
        else:
            self.frames.append(frame)
            self.seconds.append(seconds)

    def press(self, keys: Sequence[str], seconds: float = 0.3) -> None:
        """Presses keys, and shows what each of them does."""
        for key in keys:
            self.tab.page.keyboard.press(key)
            self.take(seconds)

    def write(self, path: Path) -> None:
        """Writes the film as a GIF with one palette, of which only what changes is stored."""
        width, height = self.frames[0].size
        chosen = self.frames[:: max(1, len(self.frames) // 8)]
        together = Image.new("RGB", (width, height * len(chosen)))
        for i, frame in enumerate(chosen):
            together.paste(frame, (0, i * height))
        palette = together.quantize(64, dither=Image.Dither.NONE)
        frames = [f.quantize(palette=palette, dither=Image.Dither.NONE) for f in self.frames]
        milliseconds = [round(1000 * s) for s in self.seconds]
        frames[0].save(
            path,
            save_all=True,
            append_images=frames[1:],
            duration=milliseconds,
            loop=0,
            optimize=True,
            disposal=1,
        )


def film() -> None:
    """Makes the film: an experiment with typed axes, its training, its table, and a network."""
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder) / "store", *MOVING) as tab:
        made = Film(tab)
        tab.until_shown("nothing is lost")
        made.take(2.0)
        made.press(["n"])
        tab.until_shown("Start from")
        choose(tab, made, "demo")
        tab.until_shown("networks to train")
        made.take(1.0)
        made.press(["Tab", "Tab"])
        made.press(["Control+u"])
        made.press([*"0.03*, 0.1, 0.3"], 0.08)
        made.take(0.5)
        made.press(["Tab", "Enter"])
        tab.until_shown("Vary or set")
        choose(tab, made, "hidden")
        tab.until(lambda: "Vary or set" not in tab.text())
        made.press(["Control+u"])
        made.press([*"20, 10* | 64"], 0.08)
        tab.until_shown("6 configurations")
        made.take(1.0)
        made.press(["Tab"] * 5, 0.12)  # to the name, past seeds, epochs and data
        made.press([*"widths"], 0.08)
        tab.until_shown("name  widths")
        made.take(1.5)
        tab.page.keyboard.press("Control+s")
        tab.until_shown("training")
        while not any(line.startswith(" done") for line in tab.lines()):
            made.take(0.25)
            tab.page.wait_for_timeout(500)
        made.take(1.5)
        made.press(["Tab"])
        tab.until_shown("verdict")
        made.take(3.0)
        made.press(["Tab"])
        made.press(["ArrowDown", "ArrowDown"], 0.8)
        made.press(["Enter"])
        tab.until_shown("mean of")
        made.take(1.5)
        made.press(["Tab"])
        tab.until_shown("Gradient norm")
        made.take(1.5)
        made.press(["Tab"])
        tab.until_shown("unit 0")
        made.take(0.8)
        made.press(["["] * 6, 0.35)
        made.take(1.5)
        path = IMAGES / "app.gif"
        made.write(path)
        size = path.stat().st_size
        seconds = sum(made.seconds)
        print(
            f"{path.relative_to(ROOT)}: {len(made.frames)} frames, {seconds:.0f} s, {size:,} bytes"
        )
        if size > LARGEST:
            raise SystemExit(f"the film must not be larger than {LARGEST:,} bytes")


def choose(tab: Tab, made: Film, name: str) -> None:
    """Chooses an option, of which each has a line of its own, from a list in a dialog."""

    def options() -> list[str]:
        return [found[1] for line in tab.lines() if (found := OPTION.search(line))]

    tab.until(lambda: name in options())
    made.press(["ArrowDown"] * options().index(name), 0.15)
    tab.page.keyboard.press("Enter")


def main() -> None:
    """Makes the stills or the film."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    pictures = commands.add_parser("stills")
    pictures.add_argument("store", type=Path, help="the folder of stored runs")
    pictures.add_argument("study", nargs="?", default="original")
    pictures.add_argument("--configuration", default="batch size 64", help="the one to show")
    taught = commands.add_parser("lessons")
    taught.add_argument("store", type=Path, help="a folder for runs")
    commands.add_parser("film")
    options = parser.parse_args()
    if options.command == "film":
        film()
    elif options.command == "lessons":
        lessons(options.store)
    else:
        stills(options.store, options.study, options.configuration)


if __name__ == "__main__":
    main()
