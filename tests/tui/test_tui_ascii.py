"""Text on ASCII terminals: it keeps its width and stays readable."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tui.framework.ascii import to_ascii, wants_ascii


@pytest.mark.parametrize(
    ("text", "ascii_"),
    [
        (" ▁▂▃▄▅▆▇█", " _.-=+*%#"),
        ("╭─┬─╮│x│└┴┘├┼┤", "+-+-+|x|++++++"),
        ("╔═╗║┃━┅╎", "+=+||--|"),
        ("⠀⠁⠉⡀⣀⣿⡇", " ''..::"),
        ("0.0812 ± 0.0021 × 3 – 4 − 5…", "0.0812 ~ 0.0021 x 3 - 4 - 5."),
        ("←→↑↓ ▲▼ ●○ ✓✗ ·• ‑‖ ›", "<>^v ^v *o vx .* -| >"),
        ("é Å ñ 三 😀 e\u0301", "e A n ?? ?? e"),
        ("\x1b[1m▀▌\x1b[0m\u00a0|", '\x1b[1m"|\x1b[0m |'),
    ],
)
def test_characters_become_their_ascii_likeness(text: str, ascii_: str) -> None:
    assert to_ascii(text) == ascii_


@given(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]))
def test_any_character_becomes_ascii_of_its_width(sign: str) -> None:
    found = to_ascii(sign)
    assert found.isascii()
    assert len(found) == cell_len(sign)


def test_ascii_is_unchanged() -> None:
    text = string.printable + "\x1b[38;2;1;2;3m"
    assert to_ascii(text) == text


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, False),
        ({"LANG": ""}, False),
        ({"LANG": "C"}, True),
        ({"LANG": "C.UTF-8"}, False),
        ({"LANG": "POSIX"}, True),
        ({"LANG": "en_US.utf8", "LC_CTYPE": "C"}, True),
        ({"LANG": "C", "LC_CTYPE": "UTF-8"}, False),
        ({"LC_ALL": "de_DE.ISO-8859-1", "LANG": "C.UTF-8"}, True),
        ({"LC_ALL": "", "LANG": "de_DE.UTF-8"}, False),
        ({"LANG": "de_DE@euro"}, True),
    ],
)
def test_locale_tells_whether_the_terminal_needs_ascii(
    environ: dict[str, str], wanted: bool
) -> None:
    assert wants_ascii(environ) is wanted
