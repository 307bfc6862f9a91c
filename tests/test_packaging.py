"""The wheel holds all that the packages need, and works where there is no clone."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")


def run(folder: Path, *command: str | Path) -> str:
    """What a command prints that runs in `folder` and finds no clone by PYTHONPATH."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without a network from what is installed here."""
    folder = tmp_path_factory.mktemp("wheel")
    run(folder, *PIP, "wheel", "--no-index", "--no-deps", "--no-build-isolation", ROOT)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of a new environment that has the wheel, and what it depends on from here."""
    folder = tmp_path_factory.mktemp("else where")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    run(folder, *PIP, "--python", python, "install", "--no-index", "--no-deps", wheel)
    site = run(folder, python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    # Such a path comes after the new environment's own, and no .pth file in it is followed: the
    # editable clone is not found through it.
    pth = Path(site.strip()) / "dependencies.pth"
    pth.write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return folder / "bin"


def test_wheel_holds_every_file_of_both_packages_and_nothing_else(wheel: Path) -> None:
    files = [
        path.relative_to(ROOT)
        for package in ("jmlp", "tui")
        for path in (ROOT / package).rglob("*")
        if path.is_file()
    ]
    wanted = {
        str(file)
        for file in files
        if not any(part.startswith(".") or part == "__pycache__" for part in file.parts)
    }
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert found == wanted
    assert {"jmlp/py.typed", "jmlp/__init__.pyi", "jmlp/study/shipped/original.toml"} <= found


def test_what_runs_elsewhere_is_the_wheel(elsewhere: Path, tmp_path: Path) -> None:
    code = "import jmlp, tui; print(jmlp.__file__); print(tui.__file__)"
    for file in run(tmp_path, elsewhere / "python", "-c", code).splitlines():
        assert Path(file).is_relative_to(elsewhere.parent)


def test_library_works_from_a_zip_archive_and_so_does_a_child_process(
    wheel: Path, tmp_path: Path
) -> None:
    code = (
        "import jmlp; from jmlp.system import processes; "
        'print(jmlp.Hyperparams().batch_size, jmlp.load_study("demo").name, jmlp.__file__); '
        "print(processes.run('-c', 'import jmlp.worker; print(jmlp.worker.__file__)').stdout)"
    )
    command = [sys.executable, "-P", "-c", code]
    environ = {**os.environ, "PYTHONPATH": str(wheel)}
    out = subprocess.run(
        command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
    )
    found = [wheel / "jmlp" / "__init__.py", wheel / "jmlp" / "worker" / "__init__.py"]
    assert (out.stderr, out.stdout.split()) == ("", ["128", "demo", *map(str, found)])


def test_command_elsewhere_reports_its_version(elsewhere: Path, tmp_path: Path) -> None:
    assert run(tmp_path, elsewhere / "jmlp", "--version").split()[-1] == version("jmlp")


def test_shipped_study_can_be_planned_elsewhere(elsewhere: Path, tmp_path: Path) -> None:
    assert "batch-size" in run(tmp_path, elsewhere / "jmlp", "study", "original", "--dry-run")
