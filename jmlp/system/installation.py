"""How an optional package is added to this installation of jmlp: the command, to be pasted."""

import re
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

CUDA = "jax[cuda12]"  # JAX with its plugin for NVIDIA GPUs
_CUDA_PLUGIN = "jax_cuda12_plugin"


def command_that_installs(package: str) -> str:
    """The shell command that installs a package where this process imports its packages from.

    Args:
        package: its name in the package index, as in pyproject.toml.
    """
    environment = Path(sys.prefix)
    pip = (sys.executable, "-m", "pip", "install")
    if clone := _clone(environment):
        if package == CUDA:
            return shlex.join([str(clone / "scripts" / "jmlp"), "--with", "cuda", "doctor"])
        pinned = clone / "scripts" / "requirements-run.txt"
        return shlex.join([*pip, "--require-hashes", "-r", str(pinned)])
    requirement = _requirement(package)
    if (environment / "pipx_metadata.json").is_file():
        return shlex.join(["pipx", "inject", environment.name, requirement])
    if find_spec("pip") is None:  # uv makes its environments without it
        return shlex.join(["uv", "pip", "install", "--python", sys.executable, requirement])
    return shlex.join([*pip, requirement])


def lacks_cuda() -> bool:
    """Whether JAX was installed without support for NVIDIA GPUs, which exists for Linux only."""
    return sys.platform == "linux" and find_spec(_CUDA_PLUGIN) is None


def _clone(environment: Path) -> Path | None:
    """The clone whose scripts/jmlp made an environment; None if something else made it."""
    try:
        stamp = (environment / "run.stamp").read_text(encoding="utf-8")
    except OSError:
        return None
    return Path(stamp.partition("\n")[0])


def _requirement(package: str) -> str:
    """A package with the versions that jmlp accepts, if jmlp is installed and says so."""
    # Imported here, because errors about files that hide modules, such as random, are told by a
    # module that imports this one.
    from importlib import metadata

    try:
        required = metadata.requires("jmlp") or ()
    except metadata.PackageNotFoundError:
        if package == "jmlp":
            return str(Path(__file__).parent.parent.parent)
        required = ()
    own = re.compile(rf"{re.escape(package)}(?![\w.\[-])[^;]*", re.IGNORECASE)
    found = (match[0].strip() for each in required if (match := own.match(each)))
    return next(found, package)
