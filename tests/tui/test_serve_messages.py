"""The messages that a page may send."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.serving.messages import (
    Focused,
    InvalidMessage,
    Message,
    Pinged,
    Resized,
    Typed,
    parse,
    size_of,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('["stdin", "é\\u0000"]', Typed(b"\xc3\xa9\x00")),
        ('["stdin", "\\ud800"]', Typed(b"?")),  # half a surrogate pair
        ('["resize", {"width": 80, "height": 24}]', Resized(80, 24)),
        ('["resize", {"width": -1, "height": 1000000000}]', Resized(1, 200)),
        ('["resize", {"width": 501, "height": 0}]', Resized(500, 1)),
        ('["focus"]', Focused(True)),
        ('["blur"]', Focused(False)),
        ('["ping", "12"]', Pinged("12")),
    ],
)
def test_message_of_the_page_is_parsed(text: str, message: Message) -> None:
    assert parse(text) == message


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not JSON"),
        ("[" * 60_000, "not JSON"),
        ("9" * 60_000, "not JSON"),
        ("[]", "unknown message"),
        ("{}", "unknown message"),
        ('["quit"]', "unknown message"),
        ('["stdin", 1]', "unknown message"),
        ('["stdin"]', "unknown message"),
        ('["focus", 1]', "unknown message"),
        ('["resize", {"width": 80}]', "unknown message"),
        ('["resize", {"width": "x", "height": 24}]', "width and height must be integers"),
        ('["resize", {"width": 80, "height": 24.0}]', "width and height must be integers"),
        ('["resize", {"width": true, "height": 24}]', "width and height must be integers"),
        ('["resize", {"width": NaN, "height": 24}]', "width and height must be integers"),
    ],
)
def test_anything_else_is_refused(text: str, problem: str) -> None:
    with pytest.raises(InvalidMessage, match=rf"^{problem}$"):
        parse(text)


@given(st.text() | JSON.map(json.dumps))
def test_no_text_does_harm(text: str) -> None:
    try:
        message = parse(text)
    except InvalidMessage:
        return
    assert isinstance(message, Message)


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [
        ("80", "24", (80, 24)),
        ("-1", "-1", (1, 1)),
        ("0", "201", (1, 200)),
        ("1000000000", "1", (500, 1)),
    ],
)
def test_size_in_an_address_is_clamped(width: str, height: str, size: tuple[int, int]) -> None:
    assert size_of(width, height) == size


@pytest.mark.parametrize("width", ["", "1e9", "80.0", "x", "8_0", "٨٠", "0x50", "NaN", "9" * 5000])
def test_size_that_is_not_an_integer_is_refused(width: str) -> None:
    with pytest.raises(InvalidMessage, match=r"^width and height must be integers$"):
        size_of(width, "24")
