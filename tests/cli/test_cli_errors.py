"""Every error of the command: one message on stderr, its exit code, nothing on stdout."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import STUDY, Here
from table_runs import HP, finished

from jmlp import data
from jmlp.cli import main
from jmlp.report.files import results_json
from jmlp.study import data_names
from jmlp.training import plan

SEE_HELP = "\n  See jmlp --help, or jmlp COMMAND --help."
SIZES = "must be a list of 1 to 64 integers from 1 to 1,048,576"
COUNT = "must be an integer from 1 to 100,000"
SEEDS = f"{COUNT}, or a list of distinct integers from 0 to 2**63 - 1"
DATA = f"allowed are {data_names.ALLOWED}"

USAGE = {
    "stdy": 'Unknown command "stdy". Did you mean "study"? Available commands: tui, study, '
    f"train, attach, pause, resume, stop, predict, ...{SEE_HELP}",
    "data frob": f'Unknown command "frob". Available commands: list, get, check, path.{SEE_HELP}',
    "study original more": f"more: one argument too many{SEE_HELP}",
    "study original more and": f"more and: 2 arguments too many{SEE_HELP}",
    "predict last -0.5,1": "-0.5,1: write -- before a number with a minus sign, as in -- -0.5,1"
    + SEE_HELP,
    "study original --sed 3": f"Unknown option: --sed. Did you mean --seeds?{SEE_HELP}",
    "study original --seeds": 'Command "study" parameter --seeds requires an argument.' + SEE_HELP,
    "study original --seeds x": 'Invalid value for --seeds: unable to convert "x" into int.'
    + SEE_HELP,
    "study original --device tpu": 'Invalid value "tpu" for --device. Choose from: "auto", "cpu", '
    f'"gpu". Did you mean "gpu"?{SEE_HELP}',
    "study original --fail-on collapsed": 'Invalid value "collapsed" for --fail-on. Choose from: '
    f'"diverged".{SEE_HELP}',
}
CONFIGURATION = {
    "study": "study: name one (demo, best, fast, forensics, original, replica, spirals, stopping), "
    "give the path of a study file, or print a pattern for your own: jmlp study --template demo > "
    "my-study.toml",
    "study --template origin": "origin: there is no shipped study of that name (demo, best, fast, "
    "forensics, original, replica, spirals, stopping); did you mean original?",
    "study mine.toml --template demo": "--template demo: prints a file and trains nothing; leave "
    "mine.toml out",
    "study origina": "origina: there is no such file, nor a shipped study of that name (demo, "
    "best, fast, forensics, original, replica, spirals, stopping); did you mean original?",
    "study bad.toml": f"bad.toml: seeds: {SEEDS}, got true (a boolean)\n"
    "  bad.toml: learning_rte: unknown key; did you mean learning_rate?",
    "study original --experiment fnal": "--experiment fnal: there is no such experiment (there "
    "are: batch-size, dropout, final); did you mean final?",
    "study original --set epochs": "--set epochs: must be key=value, as in learning_rate=0.1 or "
    "experiments.NAME.patience=5",
    "study original --set learning_rate=0 --set momentum=2": "--set learning_rate: must be a "
    "finite number > 0, got 0\n"
    "  --set momentum: must be a finite number >= 0 and < 1, got 2",
    "study original --set lr=0": "--set lr: unknown key; did you mean learning_rate?",
    "study original --seeds 0": f"--seeds: {SEEDS}, got 0",
    "study original --cores 0": "--cores: must be 1 to 256, got 0",
    "train --cores 257": "--cores: must be 1 to 256, got 257",
    "predict net.safetensors digit.png --cores 0": "--cores: must be 1 to 256, got 0",
    "doctor --cores -1": "--cores: must be 1 to 256, got -1",
    "train --hidden 20,x --batch-size 0 --epochs 0 --seeds -1": f"--hidden: {SIZES}, got 'x' "
    "(a string) in [20, 'x']\n"
    "  --batch-size: must be an integer from 1 to 1,048,576, got 0\n"
    f"  --epochs: {COUNT}, got 0\n"
    f"  --seeds: {SEEDS}, got -1",
    "train --lr 1e400": "--learning-rate: must be a finite number > 0, got inf",
    "train --patience never": f"--patience: {COUNT}, or 'none', got 'never' (a string)",
    "train --momentum 0.5": "--momentum: has no effect without optimizer = 'momentum' or "
    "'nesterov': set that, or leave momentum out",
    "train --drop-rate 0.1,0.2": "--drop-rate: needs one value, or one per hidden layer: got 2 "
    "values for the 3 of hidden = [20, 7, 5]",
    "train --data small.npz --batch-size 167": "train: batch_size: must be at most the 166 "
    "examples of the training part of small.npz, got 167: choose a smaller one, such as 32",
    "study small.toml --set batch_size=167 --dry-run": "small: batch_size: must be at most the 166 "
    "examples of the training part of small.npz, got 167: choose a smaller one, such as 32",
    "gradcheck --seed -1": "--seed: must be 0 to 4294967295, got -1",
}
DATA_ERRORS = {
    "study small.toml --data nowhere": f"no data named 'nowhere': {DATA}",
    "train --data nowhere": f"no data named 'nowhere': {DATA}",
    "data get empty": "empty: train-images-idx3-ubyte is missing (plain, or with .gz)",
    "data get page.npz": "page.npz: not an .npz file, or damaged (File is not a zip file)",
    "data check cut.npz": "cut.npz: not an .npz file, or damaged (File is not a zip file)",
    "data path synthetic": "synthetic: is generated when it is used; there is no file",
}


@pytest.fixture
def inputs(here: Here) -> Here:
    """Bad ones."""
    (here.folder / "bad.toml").write_text(
        STUDY.replace("learning_rate", "learning_rte").replace("seeds = 2", "seeds = true")
    )
    (here.folder / "empty").mkdir()
    (here.folder / "page.npz").write_text("<html>an error</html>")
    (here.folder / "cut.npz").write_bytes((here.folder / "small.npz").read_bytes()[:-1])
    return here


@pytest.mark.parametrize(("line", "told"), (USAGE | CONFIGURATION).items())
def test_wrong_usage_or_configuration_ends_with_code_2(inputs: Here, line: str, told: str) -> None:
    assert inputs(*line.split()) == (2, "", f"jmlp: error: {told}\n")


EMPTY = [
    ("runs ls", "--store"),
    ("export all --as csv", "--output"),
    ("export all --as csv", "-o"),
    ("study small.toml", "--output"),
    ("report small", "--output"),
    ("train", "--save"),
    ("predict net.safetensors", "a path"),
]


@pytest.mark.parametrize(("line", "name"), EMPTY)
def test_empty_path_is_refused_and_never_the_current_folder(
    here: Here, line: str, name: str
) -> None:
    told = f"jmlp: error: {name}: must not be empty; the current folder is .\n"
    option = [name] if name.startswith("-") else []
    before = sorted(here.folder.rglob("*"))
    assert here(*line.split(), *option, "") == (2, "", told)
    if name.startswith("--"):
        assert here(*line.split(), f"{name}=") == (2, "", told)
    assert here("data", "path", "").code == 2
    assert sorted(here.folder.rglob("*")) == before


@pytest.mark.parametrize(("line", "told"), DATA_ERRORS.items())
def test_bad_data_ends_with_code_3(inputs: Here, line: str, told: str) -> None:
    assert inputs(*line.split()) == (3, "", f"jmlp: error: {told}\n")


def test_mnist_that_cannot_be_loaded_ends_with_code_3(here: Here) -> None:
    done = here("study", "original", "--quiet")
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith("jmlp: error: MNIST could not be loaded. Tried:\n")


def test_network_that_needs_too_much_memory_is_refused_before_anything_is_allocated(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "total_memory", lambda: 16_000_000_000)
    told = (
        "needs about {} GB of memory, this machine has 16.0 GB; use smaller layers or batches, or "
        "fewer cores\n"
    )
    network = ["--hidden", "1000000,8225", "--batch-size", "16", "--data", "small.npz", "--quiet"]
    assert here("train", *network) == (2, "", f"jmlp: error: train: {told.format('626.6')}")
    # Two runs side by side take three times as much: they have a program of four lanes.
    plan_only = ["--set", "hidden=[1000000,8225]", "--cores", "2", "--dry-run"]
    for way in ("--plain", "--json"):
        done = here("study", "small.toml", *plan_only, way)
        assert (done.code, done.err) == (2, f"jmlp: error: small: {told.format('1,912.4')}")


STORE_ERRORS = {
    "study small.toml --output small.npz": "small.npz: no report can be written there: File "
    "exists; give another folder (--output DIR)",
    "study small.toml --output small.npz/report": "small.npz/report: no report can be written "
    "there: Not a directory; give another folder (--output DIR)",
    **{
        f"study small.toml --output {name}": f"{name}: holds other files; give another folder "
        "(--output DIR), or write into it anyway (--force)"
        for name in ("mine", "damaged", "other")
    },
    "train --save small.npz": "small.npz: exists; give another name to --save, or replace it with "
    "--force",
    "train --save mine --force": "mine: is a folder; give --save the name of a file",
    "train --save small.npz/net": "small.npz/net: cannot be written: File exists; give another "
    "name to --save",
}


@pytest.mark.parametrize(("line", "told"), STORE_ERRORS.items())
def test_place_that_cannot_be_written_or_holds_other_things_ends_with_code_4_before_training(
    here: Here, line: str, told: str
) -> None:
    for name in ("mine", "damaged", "other"):
        (here.folder / name).mkdir()
    (here.folder / "mine" / "letter.txt").write_text("Dear Ada")
    (here.folder / "damaged" / "results.json").write_text("{")
    others = results_json({"study": "smaller"}, [finished(HP, seed, 0.9) for seed in (0, 1)])
    (here.folder / "other" / "results.json").write_text(others)
    before = {path: path.read_bytes() for path in here.folder.rglob("*") if path.is_file()}
    assert here(*line.split()) == (4, "", f"jmlp: error: {told}\n")
    assert before == {path: path.read_bytes() for path in here.folder.rglob("*") if path.is_file()}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_permission_ends_with_code_4(here: Here) -> None:
    (here.folder / "locked").mkdir(mode=0o500)
    told = "no report can be written there: Permission denied; give another folder (--output DIR)"
    assert here("study", "small.toml", "-o", "locked") == (4, "", f"jmlp: error: locked: {told}\n")


def test_missing_device_ends_with_code_6_and_nothing_is_trained_elsewhere(
    here: Here,
) -> None:
    done = here("train", "--data", "small.npz", "--device", "gpu")
    assert (done.code, done.out) == (6, "")
    *_, told = done.err.splitlines()  # after the notes on the settings
    assert told.startswith("jmlp: error: --device gpu: JAX finds no such device (")
    assert " use --device cpu, " in done.err  # and, on Linux, how support for GPUs is added
    assert told.endswith("or see what `jmlp doctor` says")


def test_control_characters_are_shown_and_not_obeyed(here: Here) -> None:
    assert here("study", "a\x1b[31m\nb") == (
        2,
        "",
        "jmlp: error: 'a\\x1b[31m\\nb': there is no such file, nor a shipped study of that name "
        "(demo, best, fast, forensics, original, replica, spirals, stopping)\n",
    )
    assert here("data", "get", "a\x1b[31m").err.startswith(
        "jmlp: error: no data named 'a\\x1b[31m': "
    )


def test_bug_is_one_message_with_code_1_and_debug_shows_where(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "catalogue", lambda: 1 / 0)
    assert here("data", "list") == (
        1,
        "",
        "jmlp: error: this is a bug in jmlp: ZeroDivisionError: division by zero\n"
        "  Please report it with the output of --debug.\n",
    )
    with pytest.raises(ZeroDivisionError):
        main(["data", "list", "--debug"])


def test_debug_shows_the_traceback_above_the_message_of_an_error(here: Here) -> None:
    told = "jmlp: error: synthetic: is generated when it is used; there is no file\n"
    done = here("data", "path", "synthetic", "--debug")
    assert done.code == 3
    assert done.err.startswith("Traceback")
    assert done.err.endswith(told)


def test_interrupt_before_training_ends_with_code_130(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(data, "load", interrupted)
    assert here("train", "--data", "small.npz") == (130, "", "jmlp: error: interrupted\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_output_that_cannot_be_written_ends_with_code_4(tmp_path: Path) -> None:
    done = shell('exec "$0" -m jmlp data list > /dev/full', tmp_path)
    told = "jmlp: error: the output cannot be written: No space left on device\n"
    assert (done.returncode, done.stdout, done.stderr) == (4, "", told)


def test_closed_streams_are_no_error_and_never_taken_for_one_another(tmp_path: Path) -> None:
    done = shell('exec "$0" -m jmlp data list >&- <&-', tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = shell('exec "$0" -m jmlp data get nowhere 2>&-', tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "")


def shell(script: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Runs a line of shell in which "$0" is Python."""
    return subprocess.run(
        ["sh", "-c", script, sys.executable], cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("file", "path", "arguments"),
    [
        ("random.py", ".", "--version"),
        ("cyclopts.py", os.pathsep, "--version"),
        ("rich.py", ".", "--help"),
        ("numpy.py", ".", "data list"),
        ("jax/__init__.py", ".", "gradcheck"),
    ],
)
def test_file_that_takes_the_place_of_a_module_is_named_with_code_2(
    file: str, path: str, arguments: str, tmp_path: Path
) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).touch()
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "jmlp", *arguments.split()],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    told = (
        f"jmlp: error: PYTHONPATH={path}: Python imports {tmp_path / file} in place of the module"
    )
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(told)
    assert line.endswith("; rename it, or take its folder out of PYTHONPATH")
