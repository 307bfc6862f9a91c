"""Snapshots of screens: text and pictures, which UPDATE_SCREENS=1 rewrites."""

import os
import re
from pathlib import Path

from textual.app import App
from textual.pilot import Pilot
from tui_pilot import dump, until

EXPECTED = Path(__file__).parents[1] / "tui" / "screens"


async def settled(pilot: Pilot[int]) -> str:
    """Returns the screen once it no longer changes."""
    seen = [""] * 4

    def is_still() -> bool:
        seen.append(dump(pilot.app))
        del seen[0]
        return len(set(seen)) == 1

    await until(pilot, is_still)
    return seen[-1]


def check(found: str, path: Path) -> None:
    """Compares with a snapshot, or rewrites it."""
    if os.environ.get("UPDATE_SCREENS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(found, encoding="utf-8")
    assert found == path.read_text(encoding="utf-8")


def picture(app: App[int]) -> str:
    """Returns the screen as SVG without web fonts."""
    svg = app.export_screenshot(title="jmlp")
    return re.sub(r"@font-face \{.*?\}\n *", "", svg, flags=re.DOTALL)
