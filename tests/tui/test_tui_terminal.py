"""The app in a real terminal: its start, its output, and that it restores the terminal."""

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import command
from tui_terminal import READY, Terminal

BROKEN = """
import sys
from tui.app import JmlpApp
def broken(self):
    raise ValueError("[red]of a test[/")
JmlpApp.action_help = broken
from jmlp.cli import main
sys.exit(main({arguments}))
"""
STUCK = """
import os, sys, threading, tui.launch
from tui.app import JmlpApp
tui.launch.LEAVE_SECONDS = 0.2
def stuck(self):
    os.write(2, b"stuck")
    threading.Event().wait()
JmlpApp.{where} = stuck
from jmlp.cli import main
sys.exit(main([]))
"""
TOUCHED = {"mode 1000", "mode 1003", "mode 1006", "mode 1049", "mode 2004", "mode 25"}


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Terminal]:
    """The app without a store, once it has been drawn."""
    with Terminal(store=tmp_path / "store") as terminal:
        terminal.until_shown(READY)
        terminal.until_shown("no worker")  # the store was read: nothing more will change
        yield terminal


def test_key_q_ends_the_app_with_code_0_and_restores_the_terminal(opened: Terminal) -> None:
    assert {*opened.odd()} >= {"its settings", "the keyboard's protocol", *TOUCHED}
    opened.press("q")
    assert opened.wait() == 0
    assert opened.odd() == []
    assert opened.rest() == ""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1"])
def test_signal_ends_the_app_with_its_code_and_restores_the_terminal(
    opened: Terminal, name: str
) -> None:
    number = signal.Signals[name]
    opened.send(number)
    assert opened.wait() == 128 + number
    assert opened.odd() == []
    assert opened.rest() == ""


@pytest.mark.parametrize("arguments", [[], ["tui"], ["tui", "--debug"]])
def test_bug_is_reported_after_the_terminal_is_restored(
    arguments: list[str], tmp_path: Path
) -> None:
    code = BROKEN.format(arguments=arguments)
    with Terminal("-c", code, store=tmp_path / "store") as terminal:
        terminal.until_shown(READY)
        terminal.press("?")
        assert terminal.wait() == 1
        assert terminal.odd() == []
        output = terminal.rest()
    if "--debug" in arguments:
        assert output.startswith("Traceback (most recent call last):\n")
        assert output.endswith("\nValueError: [red]of a test[/\n")
    else:
        assert output == (
            "jmlp: error: this is a bug in jmlp: ValueError: [red]of a test[/\n"
            "  Please report it with the output of --debug.\n"
        )


@pytest.mark.parametrize("where", ["action_help", "on_unmount"])
def test_signal_ends_even_an_app_that_does_not_respond(where: str, tmp_path: Path) -> None:
    code = STUCK.format(where=where)
    with Terminal("-c", code, store=tmp_path / "store") as terminal:
        terminal.until_shown(READY)
        if where == "action_help":
            terminal.press("?")
            # Not on the screen: it may be inside an escape sequence that the app was writing.
            terminal.until(lambda: b"stuck" in terminal.written)
        terminal.send(signal.SIGTERM)
        assert terminal.wait() == 143
        assert terminal.odd() == []


@pytest.mark.parametrize("ignored", [False, True])
def test_app_ends_with_its_terminal(ignored: bool, tmp_path: Path) -> None:
    # With SIGHUP ignored, as under nohup, only the terminal itself tells that it is gone.
    ignore = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" if ignored else ""
    with Terminal("-c", f"{ignore}import jmlp.__main__", store=tmp_path / "store") as terminal:
        terminal.until_shown(READY)
        terminal.close_window()
        assert terminal.wait() == 129


def test_signal_ignored_at_the_start_does_not_end_the_app(tmp_path: Path) -> None:
    ignore = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    with Terminal("-c", f"{ignore}import jmlp.__main__", store=tmp_path / "store") as terminal:
        terminal.until_shown(READY)
        terminal.send(signal.SIGHUP)
        terminal.press("q")
        assert terminal.wait() == 0


def test_ctrl_z_restores_the_terminal_and_resuming_repaints_it(opened: Terminal) -> None:
    painted = opened.text()
    for _ in range(2):
        opened.press("\x1a")
        opened.until(lambda: _is_stopped(opened))
        assert opened.odd() == []
        opened.written = b""
        opened.send(signal.SIGCONT)
        opened.until(lambda: READY.encode() in opened.written)
        assert opened.text() == painted
    opened.press("q")
    assert opened.wait() == 0
    assert opened.odd() == []


def test_app_stopped_from_outside_restores_the_terminal_at_its_end(
    opened: Terminal,
) -> None:
    opened.send(signal.SIGSTOP)
    opened.until(lambda: _is_stopped(opened))
    n_written = len(opened.written)
    opened.send(signal.SIGCONT)
    opened.until(lambda: READY.encode() in opened.written[n_written:])
    opened.press("q")
    assert opened.wait() == 0
    assert opened.odd() == []


def _is_stopped(terminal: Terminal) -> bool:
    pid, status = os.waitpid(terminal.process.pid, os.WUNTRACED | os.WNOHANG)
    return pid != 0 and os.WIFSTOPPED(status)


@pytest.mark.parametrize(
    ("environ", "lacks"),
    [
        ({"TERM": ""}, "TERM is not set"),
        ({"TERM": "dumb"}, "TERM is 'dumb'"),
        ({"TERM": "unknown"}, "TERM is 'unknown'"),
    ],
)
def test_app_is_refused_on_a_terminal_without_capabilities(
    environ: dict[str, str], lacks: str, tmp_path: Path
) -> None:
    with Terminal("-m", "jmlp", "tui", store=tmp_path, environ=environ) as terminal:
        assert terminal.wait() == 2
        assert terminal.written.decode().replace("\r\n", "\n") == (
            f"jmlp: error: the app needs a terminal, but {lacks}\n"
            "  without one: jmlp study original, jmlp runs ls, jmlp --help\n"
        )


def test_app_is_refused_if_input_is_not_a_terminal(tmp_path: Path) -> None:
    done = command("tui", cwd=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "jmlp: error: the app needs a terminal, but standard input is not a terminal\n"
        "  without one: jmlp study original, jmlp runs ls, jmlp --help\n"
    )


def test_another_package_named_tui_is_not_run(tmp_path: Path) -> None:
    other = tmp_path / "tui"
    other.mkdir()
    (other / "__init__.py").write_text("def run(*arguments): raise SystemExit('wrong')\n")
    ours = Path(__file__).parent.parent.parent / "tui"
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import jmlp.__main__"
    with Terminal("-c", code, store=tmp_path / "store") as terminal:
        assert terminal.wait() == 2
        assert terminal.written.decode().replace("\r\n", "\n") == (
            f"jmlp: error: the app's package tui is {ours}, but Python finds another package of "
            f"that name first: {other}\n"
            f"  remove it from {tmp_path}, or remove that folder from PYTHONPATH\n"
        )


def test_no_color_disables_all_colour_codes(tmp_path: Path) -> None:
    for environ in ({"NO_COLOR": "1"}, {"NO_COLOR": "1", "FORCE_COLOR": "3"}):
        with Terminal(store=tmp_path, environ=environ) as terminal:
            terminal.until_shown(READY)
            terminal.press("?")
            terminal.until_shown("╭")
            terminal.press("\x1b")
            terminal.until_shown(READY)
            terminal.press("\x10")
            terminal.until_shown("Search")
            terminal.send(signal.SIGTERM)
            terminal.wait()
            assert terminal.colours() == set()


def test_colours_are_sent_by_default(opened: Terminal) -> None:
    assert opened.colours() >= {b"38", b"48"}


@pytest.mark.parametrize(
    "environ",
    [
        {"LANG": "C"},
        {"LC_ALL": "POSIX"},
        {"LANG": "de_DE.ISO-8859-1"},
        {"LC_CTYPE": "en_US"},
        {"PYTHONIOENCODING": "latin-1"},
    ],
)
def test_only_ascii_is_sent_if_the_locale_is_not_utf_8(
    environ: dict[str, str], tmp_path: Path
) -> None:
    with Terminal(store=tmp_path, environ=environ) as terminal:
        terminal.until_shown(READY)
        terminal.press("?")
        terminal.until_shown("+--")
        terminal.send(signal.SIGTERM)
        assert terminal.wait() == 143
        assert terminal.written.isascii()


@pytest.mark.parametrize("environ", [{}, {"LANG": ""}, {"LANG": "C", "LC_ALL": "en_US.utf8"}])
def test_boxes_are_sent_if_the_locale_is_utf_8_or_unset(
    environ: dict[str, str], tmp_path: Path
) -> None:
    with Terminal(store=tmp_path, environ=environ) as terminal:
        terminal.until_shown(READY)
        terminal.press("?")
        terminal.until_shown("╭")


@pytest.mark.parametrize("size", [(1, 1), (500, 2), (2, 500), (59, 20), (60, 19)])
def test_too_small_terminal_shows_one_line(size: tuple[int, int], tmp_path: Path) -> None:
    with Terminal(store=tmp_path, size=size) as terminal:
        columns, rows = size
        text = f"jmlp needs 60×20, this is {columns}×{rows}"
        text = text if len(text) <= columns else "jmlp"[:columns]
        terminal.until(lambda: terminal.lines() == [text] + [""] * (rows - 1))
        terminal.press("q")
        assert terminal.wait() == 0


def test_terminal_without_a_size_counts_as_80_by_24(tmp_path: Path) -> None:
    with Terminal(store=tmp_path, size=(80, 24)) as terminal:
        terminal.resize(0, 0)
        terminal.until_shown(READY)


def test_screen_is_right_after_many_fast_resizes(opened: Terminal, tmp_path: Path) -> None:
    painted = opened.text()
    numbers = random.Random(0)
    for _ in range(60):
        opened.resize(numbers.randint(1, 400), numbers.randint(1, 120))
        opened.read(0.005)
        if numbers.random() < 0.2:
            opened.press("?" if numbers.random() < 0.5 else "\x1b")
    opened.press("\x1b")
    opened.resize(80, 24)
    opened.until(lambda: opened.text() == painted)


def test_invalid_input_does_not_end_the_app(opened: Terminal) -> None:
    painted = opened.text()
    numbers = random.Random(1)
    hostile = [
        b"\x1b[48;99999999;99999999;1;1t",  # a size
        b"\x1b[999999;999999R",  # a cursor position
        b"\x1b[?2048;2$y\x1b[?2026;2$y",
        b"\x1b[<0;99999999;99999999M\x1b[<64;1;1M",
        b"\x1b[M\xff\xff\xff",
        b"\xff\xfe\x80\xc0",
        b"\x1b[200~\xff\x00\x1b[201~",
    ]
    for _ in range(300):
        noise = bytes(numbers.randrange(128, 256) for _ in range(20))
        opened.press(noise + numbers.choice(hostile))
    for _ in range(2000):
        opened.press(b"\x1b[<35;%d;%dM" % (numbers.randint(1, 80), numbers.randint(1, 24)))
    opened.press("\x1b[<35;1;10M")
    opened.until(lambda: opened.text() == painted)
    assert opened.process.poll() is None
    opened.press("q")
    assert opened.wait() == 0
    assert opened.odd() == []


def test_idle_app_uses_almost_no_cpu(opened: Terminal) -> None:
    opened.read(0.5)
    before, started = opened.cpu_seconds(), time.monotonic()
    opened.read(1.0)
    assert opened.cpu_seconds() - before < 0.5 * (time.monotonic() - started)
