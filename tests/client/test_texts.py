"""Texts that the command and the app share."""

from dataclasses import replace

import pytest
from helpers import SMALL

from jmlp.client.texts import estimate_text, learning_rate_text, speed_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "about 0 s"),
        (59.4, "about 59 s"),
        (59.6, "about 1 min"),
        (60, "about 1 min"),
        (3569, "about 59 min"),
        (3570, "about 1 h 0 min"),
        (8999, "about 2 h 30 min"),
    ],
)
def test_a_time_left_has_the_digits_of_an_estimate(seconds: float, text: str) -> None:
    assert estimate_text(seconds) == text


@pytest.mark.parametrize(
    ("speed", "text"),
    [
        (0.0, "0 examples/s"),
        (7.256, "7.26 examples/s"),
        (850.4, "850 examples/s"),
        (1234.5, "1,230 examples/s"),
        (411_980.0, "412,000 examples/s"),
        (999_499.0, "999,000 examples/s"),
        (999_501.0, "1 million examples/s"),
        (2_391_000.0, "2.39 million examples/s"),
        (24_000_000.0, "24 million examples/s"),
    ],
)
def test_a_speed_has_three_digits(speed: float, text: str) -> None:
    assert speed_text(speed) == text


def test_a_learning_rate_under_a_schedule_is_that_of_the_next_update() -> None:
    constant = replace(SMALL, learning_rate=0.1, epochs=4)
    assert learning_rate_text(constant, 20, 10) == "0.1"
    linear = replace(constant, schedule="linear")
    texts = [learning_rate_text(linear, updates, 10) for updates in (0, 20, 23, 39)]
    assert texts == [
        "0.1 (linear from 0.1)",
        "0.05 (linear from 0.1)",
        "0.0425 (linear from 0.1)",
        "0.0025 (linear from 0.1)",
    ]
