"""The cache of compiled programs after a kill, or a full disk, in the middle of writing to it."""

from pathlib import Path

import pytest
from commands import python

from jmlp.system import environment

# Compiles a program, cuts what was kept of it, and compiles it as the next process does.
TWICE = """
import os, sys, warnings
from jmlp.system import environment, files

folder, size = files.compile_cache_dir(), int(sys.argv[1])
assert environment.prepare("cpu", 2, folder) == ""
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
environment.report_warnings(print)
warnings.simplefilter("always")

import jax, jax.numpy as jnp
from jax.experimental.compilation_cache import compilation_cache

for number in range(3):
    jax.clear_caches()
    compilation_cache.reset_cache()
    jax.jit(lambda x: jnp.tanh(x) @ x)(jnp.ones((3, 3))).block_until_ready()
    (path,) = folder.glob("jit__lambda-*-cache")
    assert path.stat().st_size > 1000
    if number == 0:
        os.truncate(path, size)
"""


@pytest.mark.parametrize("size", [0, 100])
def test_program_that_was_half_written_is_compiled_and_kept_again_and_reported_once(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")  # that of the tests
    done = python("-c", TWICE, str(size), cwd=tmp_path, env={"JMLP_HOME": str(tmp_path)})
    told = "warning: a partially written compiled program is compiled again\n"
    assert done == (0, told, "")


def test_cache_that_the_user_chose_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    (tmp_path / "jit_f-0123-cache").touch()
    assert not environment.remove_program("jit_f")
    assert [path.name for path in tmp_path.iterdir()] == ["jit_f-0123-cache"]
