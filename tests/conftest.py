"""What every test stands on: JAX as the command starts it, and places that are the tests' own."""

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from jmlp.system import environment, fault_injection, files

if TYPE_CHECKING:
    from commands import Here
    from queues import Queue

    from jmlp.store import Store
    from jmlp.training.plan import Plan

# The developer's own copy of MNIST, found before the places are moved.
_JMLP_DATA, _KERAS_HOME = str(files.data_dir()), os.environ.get("KERAS_HOME")

# How the developer's own terminal looks is not what the command is tested on.
OUTPUT = ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "PYTHONUNBUFFERED", "TTY_COMPATIBLE")
for name in list(os.environ):
    if name.startswith(("JAX_", "JMLP_", "KERAS_", "ONEDNN_", "XLA_")) or name in OUTPUT:
        del os.environ[name]

# What the developer's own shell had ignored, as a background job has it, is heard here.
for number in (signal.SIGHUP, signal.SIGQUIT):
    signal.signal(number, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

# Two devices on any machine; compiled programs stay from one session to the next.
environment.prepare("cpu", 2, Path(__file__).parent.parent / ".pytest_cache" / "jax")
os.environ["JAX_NUMPY_DTYPE_PROMOTION"] = "strict"  # no type may widen unseen

_HOME = tempfile.TemporaryDirectory(prefix="jmlp-tests-")
os.environ |= {"JMLP_HOME": _HOME.name, "JMLP_OFFLINE": "1"}
os.environ |= {"KERAS_HOME": _HOME.name, "KERAS_BACKEND": "jax"}


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Failures are printed when they occur, too: a run that is cut off names them."""
    if reporter := config.pluginmanager.get_plugin("terminalreporter"):  # not in xdist's workers
        config.pluginmanager.register(_PrintFailures(reporter))


class _PrintFailures:
    def __init__(self, reporter: pytest.TerminalReporter) -> None:
        self._reporter = reporter

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            what = crash.message.partition("\n")[0] if crash else report.when
            self._reporter.write_line(f"\nFAILED {report.nodeid}: {what}")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes are named by their argument: gzip writes the second into them, and every worker
    of pytest-xdist must come to the same names."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture(scope="session", autouse=True)
def _jax() -> None:
    """Starts JAX with the settings of the session, whatever environment the first test makes."""
    import jax

    jax.devices()


@pytest.fixture(autouse=True)
def _real_data(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests marked `mnist` use the developer's own copy, and fetch it where there is none."""
    if request.node.get_closest_marker("mnist"):
        monkeypatch.setenv("JMLP_DATA", _JMLP_DATA)
        monkeypatch.delenv("JMLP_OFFLINE")
        monkeypatch.delenv("KERAS_HOME")
        if _KERAS_HOME:
            monkeypatch.setenv("KERAS_HOME", _KERAS_HOME)


@pytest.fixture
def here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> "Here":
    """The command, called within this process in its own folder."""
    from commands import Here

    return Here(tmp_path, capsys, monkeypatch)


@pytest.fixture
def queue(here: "Here", monkeypatch: pytest.MonkeyPatch) -> "Queue":
    """A store with a queue, and a worker within this process."""
    from queues import Queue

    return Queue(here, monkeypatch)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Digests of the numbers that the runs of `small.toml` have when nothing happens, by id."""
    from queues import numbers_undisturbed

    return numbers_undisturbed(tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture
def made() -> "Plan":
    """The plan of a study of made-up runs."""
    from store_runs import plan

    return plan()


@pytest.fixture
def store(tmp_path: Path, made: "Plan") -> Iterator["Store"]:
    """A store with that study in its queue."""
    from store_runs import submission

    from jmlp.store import Store

    with Store(tmp_path) as opened:
        opened.submit(submission(made))
        yield opened


@pytest.fixture(autouse=True)
def _unarmed() -> Iterator[None]:
    """No write or commit fails in another test than the one that asked for it."""
    yield
    fault_injection.arm(None)


@pytest.fixture
def gradients_compiled_anew() -> Iterator[None]:
    """Lets a test change the backward pass that `gradcheck` compiles, and no other test see it."""
    from jmlp.nn import gradcheck

    functions: Any = (gradcheck.gradients, gradcheck.by_derivatives)
    for function in functions:
        function.clear_cache()
    yield
    for function in functions:
        function.clear_cache()


@pytest.fixture
def databases(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Closes what a test of databases opened: from Python 3.13 on, one left open is a warning."""
    from jmlp.store.database import Database

    opened: list[Database] = []
    init = Database.__init__

    def remembered(database: Database, *arguments: Any, **options: Any) -> None:
        init(database, *arguments, **options)
        opened.append(database)

    monkeypatch.setattr(Database, "__init__", remembered)
    yield
    for database in opened:
        database.close()
