"""The command that adds an optional package, for each way in which jmlp is installed."""

import re
import sys
from importlib import metadata
from pathlib import Path

import pytest

from jmlp.system import installation
from jmlp.system.installation import CUDA, command_that_installs, lacks_cuda

REQUIRED = [
    "jax<0.13,>=0.10",
    "textual==8.2.8",
    "jax[cuda12]<0.13,>=0.10; extra == 'cuda'",
    "pyarrow>=21; extra == 'parquet'",
    "textual-serve<2,>=1.1.3; extra == 'serve'",
    "tensorboardx<3,>=2.6.4; extra == 'tensorboard'",
]


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an environment with pip, in which jmlp is installed."""
    folder = tmp_path / "an env"
    folder.mkdir()
    monkeypatch.setattr(sys, "prefix", str(folder))
    monkeypatch.setattr(sys, "executable", f"{folder}/bin/python")
    monkeypatch.setattr(metadata, "requires", lambda name: {"jmlp": REQUIRED}[name])
    monkeypatch.setattr(installation, "find_spec", lambda name: name)
    return folder


@pytest.mark.parametrize(
    ("package", "requirement"),
    [
        ("jax", "'jax<0.13,>=0.10'"),
        (CUDA, "'jax[cuda12]<0.13,>=0.10'"),
        ("textual-serve", "'textual-serve<2,>=1.1.3'"),
        ("tensorboardX", "'tensorboardx<3,>=2.6.4'"),
        ("other", "other"),
    ],
)
def test_pip_of_the_environment_installs_what_jmlp_accepts(
    package: str, requirement: str, prefix: Path
) -> None:
    assert command_that_installs(package) == (f"'{prefix}/bin/python' -m pip install {requirement}")


def test_environment_without_pip_is_one_of_uv(
    prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation, "find_spec", lambda _: None)
    assert command_that_installs("pyarrow") == (
        f"uv pip install --python '{prefix}/bin/python' 'pyarrow>=21'"
    )


def test_pipx_injects_into_its_environment(prefix: Path) -> None:
    (prefix / "pipx_metadata.json").touch()
    assert command_that_installs("pyarrow") == "pipx inject 'an env' 'pyarrow>=21'"


def test_environment_of_a_clone_gets_what_its_lock_pins(prefix: Path) -> None:
    (prefix / "run.stamp").write_text("/a clone\nthe lock\n", encoding="utf-8")
    pinned = "--require-hashes -r '/a clone/scripts/requirements-run.txt'"
    assert command_that_installs("pyarrow") == f"'{prefix}/bin/python' -m pip install {pinned}"
    assert command_that_installs(CUDA) == "'/a clone/scripts/jmlp' --with cuda doctor"


def test_without_an_installation_the_package_is_named_without_versions(
    prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", missing)
    pip = f"'{prefix}/bin/python' -m pip install "
    assert command_that_installs("pyarrow") == f"{pip}pyarrow"
    root = Path(installation.__file__).parent.parent.parent
    assert re.fullmatch(
        rf"{re.escape(pip)}'?{re.escape(str(root))}'?", command_that_installs("jmlp")
    )


def test_support_for_cuda_can_be_lacking_on_linux_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "find_spec", lambda _: None)
    monkeypatch.setattr(sys, "platform", "linux")
    assert lacks_cuda()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not lacks_cuda()
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(installation, "find_spec", lambda name: name)
    assert not lacks_cuda()
