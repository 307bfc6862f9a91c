"""Python processes that jmlp starts: what they import, and what they inherit."""

import ast
import os
import sys
from pathlib import Path

import pytest
from commands import python

import jmlp
from jmlp.errors import DeviceError
from jmlp.system import processes
from jmlp.system.processes import child_environment, command_line

ROOT = Path(__file__).parent.parent.parent
STARTS = {
    "asyncio": {"create_subprocess_exec", "create_subprocess_shell"},
    "os": {"execv", "execve", "execvp", "execvpe", "fork", "popen", "posix_spawn", "system"},
    "subprocess": {"Popen", "call", "check_call", "check_output", "getoutput", "run"},
}
MARK = "from pathlib import Path; Path('I-RAN').touch()\n"


def homework(folder: Path) -> Path:
    """A folder with files that have the names of modules."""
    for name in ("random", "numbers", "select", "jax", "numpy", "sitecustomize"):
        (folder / f"{name}.py").write_text(MARK, encoding="utf-8")
    (folder / "jmlp").mkdir()
    (folder / "jmlp" / "__init__.py").write_text(MARK, encoding="utf-8")
    return folder


def calls(path: Path) -> set[str]:
    """What a source file calls of the things that start processes, and `sys.executable`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            module = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
            if node.func.attr in STARTS.get(module, ()):
                found.add(f"{module}.{node.func.attr}")
        if isinstance(node, ast.ImportFrom) and node.module in STARTS:
            found |= {
                f"{node.module}.{a.name}" for a in node.names if a.name in STARTS[node.module]
            }
        if isinstance(node, ast.Attribute) and node.attr == "executable":
            found.add("sys.executable")
    return found


def test_processes_are_started_in_one_module_by_the_server_of_the_app_and_to_ask_ps() -> None:
    found = {
        str(path.relative_to(ROOT)): names
        for package in ("jmlp", "tui")
        for path in (ROOT / package).rglob("*.py")
        if (names := calls(path))
    }
    assert found == {
        "jmlp/system/processes.py": {
            *("sys.executable", "subprocess.Popen", "subprocess.run", "os.execve")
        },
        "jmlp/system/installation.py": {"sys.executable"},  # in commands that users paste
        "jmlp/system/process_usage.py": {"subprocess.run"},  # ps
        "tui/serving/session.py": {"asyncio.create_subprocess_exec"},
    }


@pytest.mark.parametrize("path", [None, "", ":", ".", ":/none", "/none:", "./", "/none:.:"])
def test_child_imports_this_jmlp_and_nothing_from_the_current_folder(
    path: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(homework(tmp_path))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    if path is not None:
        monkeypatch.setenv("PYTHONPATH", path)
    code = "import random, numbers, select, importlib.util as i, jmlp; print(jmlp.__file__)"
    done = processes.run("-c", f"{code}; print(i.find_spec('jax').origin)")
    assert done.stderr == ""
    found, jax = done.stdout.splitlines()
    assert found == jmlp.__file__
    assert Path(jax).name == "__init__.py"
    assert not Path("I-RAN").exists()


def test_child_of_a_clone_that_the_current_folder_hides_imports_that_clone(tmp_path: Path) -> None:
    (tmp_path / "clone").mkdir()
    for package in ("jmlp", "tui"):
        (tmp_path / "clone" / package).symlink_to(ROOT / package)
    code = (
        "from jmlp.system.processes import run; print(run('-c', 'import tui; print(tui)').stdout)"
    )
    for path, cwd in (("", "clone"), ("clone", ".")):
        done = python("-c", code, cwd=tmp_path / cwd, env={"PYTHONPATH": path})
        assert f"'{tmp_path}/clone/tui/__init__.py'" in done.out


def test_named_folders_of_the_path_stay_in_their_order_and_the_current_one_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = child_environment({"PYTHONPATH": "/b::libs:.:/a:/b"})["PYTHONPATH"]
    assert path.split(":") == [str(ROOT), "/b", f"{tmp_path}/libs", "/a"]


def test_installed_jmlp_is_not_put_before_the_standard_library(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import site

    monkeypatch.setattr(processes, "ROOT", Path(site.getsitepackages()[0]))
    assert "PYTHONPATH" not in child_environment({})
    assert child_environment({"PYTHONPATH": "/a"})["PYTHONPATH"] == "/a"


def test_folder_that_was_removed_leaves_the_absolute_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert child_environment({"PYTHONPATH": "x:/a"})["PYTHONPATH"] == f"{ROOT}:/a"
    assert processes.run("-c", "import jmlp; print(1)").stdout == "1\n"


def test_what_is_meant_for_the_users_own_programs_is_not_inherited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    monkeypatch.setenv("PYTHONINSPECT", "1")
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    monkeypatch.setenv("OWN", "1")
    code = "import os, sys, warnings; warnings.warn('w'); print('± \\udcff', os.environ['OWN'])"
    done = processes.run("-c", f"{code}; sys.exit(5)")
    assert (done.returncode, done.stdout) == (5, "± \\udcff 1\n")
    assert "UserWarning: w" in done.stderr


def test_python_that_the_system_cannot_start_ends_with_code_6(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/python")
    with pytest.raises(DeviceError) as error:
        processes.run("-c", "")
    told = "Python (/no/python) cannot be started again: No such file or directory"
    assert str(error.value) == told


def test_command_line_is_this_python_without_the_current_folder() -> None:
    assert command_line("-m", "x") == [sys.executable, "-P", "-m", "x"]


def test_training_in_a_folder_of_homework_runs_none_of_it(tmp_path: Path) -> None:
    store = {"JMLP_RUNS": str(tmp_path / "runs"), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    (tmp_path / "home work").mkdir()
    folder = homework(tmp_path / "home work")
    options = ["--data", "synthetic", "--hidden", "3", "--epochs", "1", "--quiet"]
    done = python("-P", "-m", "jmlp", "train", *options, cwd=folder, env=store)
    assert (done.code, done.err) == (0, "")
    assert not (folder / "I-RAN").exists()


def test_children_of_a_process_that_was_started_with_sigchld_ignored_end_with_their_own_code(
    tmp_path: Path,
) -> None:
    code = """
import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
code = '''
import jmlp.cli, jmlp.system.processes as processes
assert processes.run("-c", "raise SystemExit(3)").returncode == 0, "the code is lost"
jmlp.cli.main(["--version"])
print(processes.run("-c", "raise SystemExit(3)").returncode)
'''
os.execv(sys.executable, [sys.executable, "-P", "-c", code])
"""
    done = python("-c", code, cwd=tmp_path)
    assert (done.code, done.out.splitlines()[-1:], done.err) == (0, ["3"], "")
