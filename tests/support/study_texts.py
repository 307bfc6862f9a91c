"""A small study as text, and what comes of reading it."""

from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from jmlp.errors import ConfigError
from jmlp.study.config import Study
from jmlp.study.file import load_study

SMALL = """
name = "small"
seeds = 3
epochs = 9
[experiments.rate]
epochs = 5
seeds = [7, 8]
axes.drop_rate = [0, 0.5]
baseline.drop_rate = 0
[experiments.size]
axes.batch_size = [16, 32]
baseline.batch_size = 16
"""


def load(text: str | bytes, **flags: Any) -> Study:
    """The study that a file "study.toml" of this content gives."""
    with TemporaryDirectory() as folder, chdir(folder):
        Path("study.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_study("study.toml", **flags)


def problems(text: str | bytes, **flags: Any) -> list[str]:
    """The problems reported for a study, without the prefix `study.toml: ` where it has it."""
    with pytest.raises(ConfigError) as error:
        load(text, **flags)
    assert error.value.exit_code == 2
    return [problem.removeprefix("study.toml: ") for problem in error.value.problems]
