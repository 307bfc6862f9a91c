"""The filter of the runs: what it matches, and its error messages."""

import pytest
from run_lines import line

from jmlp.errors import ConfigError
from tui.views.run_filter import parse

FOUND = line(
    studies=("original", "wide nets"),
    configuration="batch size 64, drop rate none",
    seed=3,
    tags=("Best of all",),
)
NOT_ENDED = line(state="running", state_text="running", epoch=None, cost=None, accuracy=None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "batch",
        "BATCH 64 early",  # in any order, in the configuration and in the state
        '"batch size 64"',
        '"batch size 6',  # still being typed
        "9a4da2",
        "wide best",
        "!running",
        "state:finished",
        "state:f",
        "study:original",
        'study:"wide nets"',
        "tag:best",
        "!tag:worst",
        "seed:3",
        "seed=3",
        "cost<0.3 cost<=0.25 cost>=0.25 cost>0.2499",
        "accuracy>92 accuracy=92.5%",
        "epoch>39 number=1",
        "!cost<0.1",
    ],
)
def test_run_matches_filters_that_hold(text: str) -> None:
    assert parse(text).matches(FOUND)


@pytest.mark.parametrize(
    "text",
    [
        "batch 128",  # all words must match
        '"size batch"',
        "!batch",
        "state:running",
        "study:replica",
        "tag:worst",
        "!seed:3",
        "seed:33",
        "cost<0.25",
        "accuracy>92.5",
        "batch cost>1",
    ],
)
def test_run_does_not_match_filters_that_do_not_hold(text: str) -> None:
    assert not parse(text).matches(FOUND)


def test_number_is_compared_as_it_is_shown() -> None:
    assert parse("accuracy=92.15 cost=0.2346").matches(line(accuracy=0.92149, cost=0.234567))


def test_missing_number_is_neither_below_nor_above_any() -> None:
    assert not parse("cost<1e9").matches(NOT_ENDED)
    assert not parse("accuracy>=0").matches(NOT_ENDED)
    assert parse("!cost<1e9").matches(NOT_ENDED)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "state:done",
            "state: must be one of queued, running, stopped, finished, diverged, failed, got done",
        ),
        (
            "state:",
            "state: must be one of queued, running, stopped, finished, diverged, failed",
        ),
        ("tag:", "tag: needs a word after it"),
        ("!", "!: needs a word"),
        ("sede:3", "sede: cannot be searched; use state:, study:, tag:, seed:"),
        ("cost<", "cost< needs a number, such as cost<0.3"),
        ("cost<low", "cost< needs a number, such as cost<0.3, got low"),
        ("seed:x", "seed: needs a number, such as seed:3, got x"),
        ("accuracy>nan", "accuracy> needs a number, such as accuracy>92, got nan"),
        ("loss<1", "loss: is not a numeric field; those are accuracy, cost, epoch, number, seed"),
        (
            "!tag: ok cost<",
            "tag: needs a word after it\ncost< needs a number, such as cost<0.3",
        ),
    ],
)
def test_mistake_is_reported_with_what_is_allowed(text: str, error: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert str(caught.value) == error
