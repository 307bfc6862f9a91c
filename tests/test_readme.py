"""The README is run: its programs are doctests, and what it lists is what there is."""

import doctest
import re
from dataclasses import fields
from pathlib import Path

import jmlp
from jmlp.study.config import Hyperparams
from jmlp.study.file import load_study

README = Path(__file__).parent.parent / "README.md"
TEXT = README.read_text(encoding="utf-8")


def test_the_programs_in_the_readme_print_what_it_shows() -> None:
    result = doctest.testfile(str(README), module_relative=False)
    assert result.attempted > 0
    assert result.failed == 0


def test_the_readme_lists_exactly_the_public_names() -> None:
    listed = re.search(r"The public names are (.*?)\.\s", TEXT, re.DOTALL)
    assert listed is not None
    assert sorted(re.findall(r"`(\w+)`", listed[1])) == sorted(dir(jmlp))


def test_the_readme_lists_every_hyperparameter() -> None:
    section = TEXT.split("| hyperparameter |")[1].split("The upper six")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [
        field.name for field in fields(Hyperparams)
    ]


def test_the_study_file_in_the_readme_is_read(tmp_path: Path) -> None:
    toml = re.search(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    assert toml is not None
    path = tmp_path / "my.toml"
    path.write_text(toml[1], encoding="utf-8")
    assert len(load_study(path).experiments[0].axes) == 2
