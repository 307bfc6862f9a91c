"""How the command talks: tables on terminals of all kinds, in pipes and in ASCII."""

import io
import json
import re
import sys
from collections import Counter

import pytest
from commands import ESCAPE, Terminal
from table_runs import HP, SEEDS, SPREAD, STUDY, runs, shifted, size, sizes

from jmlp.cli.output import Output
from jmlp.cli.show import show_tables
from jmlp.results.tables import experiment_table, study_tables
from jmlp.study.config import Claim, Experiment, Reference, Study, configurations
from jmlp.system import streams
from jmlp.system.streams import say_error

EXPERIMENT = sizes(
    128,
    2048,
    claims=(Claim("128 is best", best={"batch_size": 128}),),
    reference=(Reference({"batch_size": 128}, test_accuracy=0.9232, stopped=45),),
)
RUNS = [*runs(size(128), SPREAD), *runs(size(2048), shifted(0, spread=0.03))]
(TABLE,) = study_tables(Study("study", (EXPERIMENT,)), RUNS)

AT_80_COLUMNS = """
sizes
                           training accuracy          validation           test
 configuration     seeds                   %          accuracy %     accuracy %
 ──────────────────────────────────────────────────────────────────────────────
 batch size 128
 (baseline)            5        94.00 ± 1.96        93.00 ± 1.96   92.00 ± 1.96
 batch size 2048
 (best)                5   94.00 (86.15–100)   93.00 (85.15–100)   92.00 ± 7.85

                        best     stopped
 configuration         epoch       epoch   diverged   collapsed
 ──────────────────────────────────────────────────────────────
 batch size 128
 (baseline)        42, 40–44   44, 42–46          0           0
 batch size 2048
 (best)            42, 40–44   44, 42–46          0           0

                                                           seeds
                   original       prediction   original    below   original
 configuration       test %       interval %   is             it    stopped
 ──────────────────────────────────────────────────────────────────────────
 batch size 128
 (baseline)           92.32   87.19 to 96.81   inside     3 of 5         45
 batch size 2048
 (best)                   –                –   –               –          –

Differences to the baseline
                   difference,     simultaneous                    left
 configuration          points    95 % interval        p   pairs    out
 ──────────────────────────────────────────────────────────────────────
 batch size 2048          0.00   -5.89 to +5.89   1.0000       5      0

 configuration     verdict
 ───────────────────────────────────────────────
 batch size 2048   not settled (about 873 seeds)

What the original says
"""


@pytest.fixture(autouse=True)
def _ordinary_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("CI", raising=False)


def shown(
    monkeypatch: pytest.MonkeyPatch, stream: io.TextIOBase, columns: int = 80, plain: bool = False
) -> None:
    """Prints the table to a stream."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys, "stdout", stream)
    show_tables([TABLE], Output(plain=plain))
    stream.flush()


def without_escapes(text: str) -> str:
    """What a terminal shows, without the spaces at the ends of lines."""
    return "\n".join(line.rstrip() for line in ESCAPE.sub("", text).split("\n"))


def test_table_too_wide_for_a_terminal_is_broken_between_groups_of_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown(monkeypatch, stream := Terminal())
    assert without_escapes(stream.getvalue()).startswith(AT_80_COLUMNS)


@pytest.mark.parametrize("columns", [80, 100, 120, 160, 200])
def test_nothing_is_cut_off_and_no_line_is_too_long(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown(monkeypatch, stream := Terminal(), columns)
    lines = without_escapes(stream.getvalue()).splitlines()
    assert max(map(len, lines)) <= columns
    text = " ".join(lines)
    assert "…" not in text
    for cells in [row.cells for row in TABLE.rows] + [row.cells for row in TABLE.differences]:
        assert all(cell in text for cell in cells[1:])  # the first is broken into lines
    words = text.split()
    for sentence in (*[claim.sentence for claim in TABLE.claims], *TABLE.notes):
        assert all(word in words for word in sentence.split())


def test_table_in_a_pipe_is_one_table_without_escapes_or_trailing_spaces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown(monkeypatch, stream := io.StringIO())
    lines = stream.getvalue().splitlines()
    assert [line for line in lines if line != line.rstrip() or "\x1b" in line] == []
    titles = re.split("  +", lines[2].strip())
    assert titles == [column.title for column in TABLE.columns]
    cells = [re.split("  +", line.strip()) for line in lines[4:6]]
    assert cells == [list(row.cells) for row in TABLE.rows]
    for note in TABLE.notes:
        assert f"- {note}" in lines


def test_plain_table_has_neither_boxes_nor_escapes_on_any_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown(monkeypatch, stream := Terminal(), columns=300, plain=True)
    lines = stream.getvalue().splitlines()
    assert "\x1b" not in stream.getvalue()
    assert not set(stream.getvalue()) & set("─━│┃")
    assert lines[2].startswith("configuration ")
    assert lines[3].startswith("batch size 128 (baseline)  ")


def test_terminal_gets_bold_titles(monkeypatch: pytest.MonkeyPatch) -> None:
    shown(monkeypatch, stream := Terminal())
    assert "\x1b[1msizes\x1b[0m\n" in stream.getvalue()


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "1", "CI": "true"}, True),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, True),
        ({"FORCE_COLOR": "1", "TERM": ""}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ({"FORCE_COLOR": "0"}, False),
        ({"FORCE_COLOR": ""}, False),
        ({"TTY_COMPATIBLE": "1"}, False),
    ],
)
@pytest.mark.parametrize("plain", [False, True])
def test_pipe_is_coloured_where_that_is_forced_and_its_cursor_never_moves(
    variables: dict[str, str], coloured: bool, plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    shown(monkeypatch, stream := io.StringIO(), plain=plain)
    found = set(ESCAPE.findall(stream.getvalue()))
    assert found == ({"\x1b[1m", "\x1b[0m"} if coloured and not plain else set())


@pytest.mark.parametrize(
    ("name", "value"), [("NO_COLOR", "1"), ("CI", "true"), ("TERM", "dumb"), ("TERM", "")]
)
def test_terminal_that_wants_no_escapes_gets_none(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    shown(monkeypatch, stream := Terminal())
    assert stream.getvalue().startswith("\nsizes\n ")
    assert "\x1b" not in stream.getvalue()


def test_stream_without_unicode_gets_ascii_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(raw := io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    streams.make_safe()
    shown(monkeypatch, stream)
    text = raw.getvalue().decode("ascii")
    assert "94.00 +/- 1.96" in text
    assert "42, 40-44" in text
    assert "?" not in text
    titles, rule, *rows = text.splitlines()[2:6]
    assert rule == f" {'-' * (len(titles) - 1)}"
    ends = {row.rindex(" +/- ") for row in rows}
    assert len(ends) == 1  # aligned


def test_sign_that_has_no_ascii_form_does_not_end_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.TextIOWrapper(raw := io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", stream)
    streams.make_safe()
    print("█ 数 \udcff")
    assert raw.getvalue() == b"# ? ?\n"


def test_json_is_one_value_and_never_one_that_json_does_not_know(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Output(json=True).print_json({"a": [1.5, None, "±"]})
    assert json.loads(capsys.readouterr().out) == {"a": [1.5, None, "±"]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        Output(json=True).print_json(float("nan"))


def test_error_is_shown_and_not_obeyed_by_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    say_error("name \x1b[31m\nthe \u202e second ± line")
    told = "jmlp: error: name \\x1b[31m\n  the \\u202e second ± line\n"
    assert capsys.readouterr() == ("", told)


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Output().say("said")
    Output(quiet=True).say("not said")
    assert capsys.readouterr() == ("", "said\n")


AXES = {
    "batch_norm": (False, True),
    "initialization": ("he", "normal"),
    "learning_rate": (0.0003, 0.001),
}
BASE = {"batch_norm": False, "initialization": "he", "learning_rate": 0.001}


def show_grid(columns: int, stream: io.TextIOBase, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines of the tables of a grid with three axes, without the notes."""
    reference = (Reference(BASE, test_accuracy=0.9, stopped=9),)
    experiment = Experiment("grid", HP, AXES, SEEDS, BASE, reference=reference)
    results = [
        run
        for number, configuration in enumerate(configurations(experiment))
        for run in runs(configuration.hyperparams, shifted(-0.01 * number))
    ]
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys, "stdout", stream)
    show_tables([experiment_table(STUDY, experiment, results)], Output())
    stream.flush()
    text = stream.getvalue() if isinstance(stream, io.StringIO) else ""
    return without_escapes(text).partition("Notes")[0].splitlines()


def test_a_grid_of_three_axes_fits_80_columns_and_every_part_names_its_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = show_grid(80, Terminal(), monkeypatch)
    assert max(map(len, lines)) <= 80
    names = Counter(
        tuple(line.split()[:3]) for line in lines if " he " in line or " normal " in line
    )
    assert set(names) == {
        (norm, weights, rate)
        for norm in ("no", "yes")
        for weights in ("he", "normal")
        for rate in ("0.0003", "0.001")
    }
    n_parts = sum(line.endswith("─") for line in lines)
    start = lines.index("Differences to the baseline")
    n_differences = sum(line.endswith("─") for line in lines[start:])
    assert names.pop(("no", "he", "0.001")) == n_parts - n_differences  # the baseline
    assert set(names.values()) == {n_parts}


def test_no_line_of_a_grid_is_too_long_at_any_width(monkeypatch: pytest.MonkeyPatch) -> None:
    forms = set()
    for columns in range(50, 120, 3):
        lines = show_grid(columns, Terminal(), monkeypatch)
        assert max(map(len, lines)) <= columns
        forms.add("configuration" in " ".join(lines).split())
    assert forms == {True, False}  # labels where the axes are too wide
