"""`jmlp data`: what there is, where it is, whether it is what it claims to be."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from commands import Here, without_privileges
from helpers import SMALL_DATA
from mnist_sources import TINY, World, put

from jmlp.data.dataset import digest
from jmlp.data.digits import SYNTHETIC_DIGESTS
from jmlp.system import files


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A machine whose MNIST has 12 + 11 images, all in jmlp's cache."""
    made = World(tmp_path, monkeypatch)
    put(made.cache)
    return made


def test_list_shows_available_data(here: Here) -> None:
    assert here("data", "list") == (
        0,
        """\
mnist          70,000 handwritten digits, 28 x 28    not here yet
fashion-mnist  70,000 pictures of clothes, 28 x 28   not here yet
synthetic      7,000 digits drawn by jmlp, 28 x 28   here
digits-8x8     1,797 handwritten digits, 8 x 8       here
iris           150 flowers of 3 species, 4 numbers   here
penguins       344 penguins of 3 species, 7 columns  here
moons          two half-moons of points              n=1000, noise=0.1, seed=0
circles        circles of points, one in another     n=1000, noise=0.1, classes=2, seed=0
spirals        the arms of a spiral of points        n=1000, noise=0.05, classes=2, seed=0
xor            points of a square, XOR of two signs  n=1000, noise=0.05, seed=0
blobs          round clouds of points                n=1000, noise=0.2, classes=3, seed=0

Parameters are written after the name, as in moons:noise=0.2,n=2000: n points for
training, and as many for the test; noise is their standard deviation.
""",
        "",
    )
    entries = {entry["name"]: entry for entry in json.loads(here("data", "list", "--json").out)}
    mnist, synthetic = entries["mnist"], entries["synthetic"]
    assert (mnist["cached"], mnist["path"]) == (False, str(files.data_dir() / "mnist.npz"))
    assert (synthetic["cached"], synthetic["path"], synthetic["parameters"]) == (True, None, {})
    assert entries["xor"]["parameters"] == {"n": 1000, "noise": 0.05, "seed": 0}


def test_get_reports_what_it_got(here: Here) -> None:
    assert here("data", "get", "small.npz") == (
        0,
        "small.npz: 208 training and 60 test images of 4 x 5, 3 classes; source: small.npz\n",
        "",
    )
    assert json.loads(here("data", "get", "synthetic", "--json").out) == {
        "name": "synthetic",
        "source": "synthetic digits, drawn with seed 0",
        "training": 6000,
        "test": 1000,
        "classes": 10,
        "digests": SYNTHETIC_DIGESTS,
    }


def test_check_compares_with_the_published_digests(world: World, here: Here) -> None:
    lines = [f"{name:<8} {array.shape!s:<16} {digest(array)}  ok" for name, array in TINY.items()]
    assert here("data", "check") == (0, "\n".join(lines) + "\n", "")


def test_damaged_array_is_named_and_ends_with_code_3(world: World, here: Here) -> None:
    put(world.cache, TINY | {"y_test": TINY["y_test"][::-1]})
    done = here("data", "check", "--json")
    assert {a["array"]: a["ok"] for a in json.loads(done.out)} == {
        "x_train": True,
        "y_train": True,
        "x_test": True,
        "y_test": False,
    }
    assert (done.code, done.err) == (
        3,
        "jmlp: error: mnist: y_test: the SHA-256 is not the published one; delete the file "
        "(jmlp data path mnist) and run: jmlp data get mnist\n",
    )
    assert here("data", "check").out.endswith(f"{digest(TINY['y_test'][::-1])}  WRONG\n")


def test_digests_of_user_data_are_shown_without_a_judgement(here: Here) -> None:
    done = here("data", "check", "small.npz")
    assert done.code == 0
    assert [line.split("  ")[-1] for line in done.out.splitlines()] == ["no digest is known"] * 4
    assert digest(SMALL_DATA.x_train.reshape(-1, 4, 5)) in done.out
    assert done.out.startswith("x_train  (208, 4, 5) ")


def test_path_is_printed_whether_it_exists_or_not(world: World, here: Here) -> None:
    assert here("data", "path") == (0, f"{world.cache}\n", "")
    told = {"name": "mnist", "path": str(world.cache), "exists": True}
    assert json.loads(here("data", "path", "--json").out) == told
    world.cache.unlink()
    assert json.loads(here("data", "path", "--json").out) == told | {"exists": False}


LONG = "x" * 300  # a name that the system refuses to look up, for root too


def test_data_that_the_system_does_not_let_be_seen_are_not_called_missing(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    why = "cannot be read: File name too long"
    for arguments in (
        ("train", "--epochs", "1", "--hidden", "3", "--data", LONG),
        ("data", "check", LONG),
        ("data", "path", LONG, "--json"),
    ):
        assert here(*arguments) == (3, "", f"jmlp: error: {LONG}: {why}\n")
    monkeypatch.setenv("JMLP_DATA", str(here.folder / LONG))
    told = f"{here.folder / LONG / 'mnist.npz'}: {why}"
    assert here("data", "list").out.splitlines()[0].endswith(f"  {told}")
    assert json.loads(here("data", "list", "--json").out)[0]["problem"] == told
    assert here("data", "check") == (3, "", f"jmlp: error: {told}\n")


def test_folder_without_permission_to_look_into_is_not_called_empty(tmp_path: Path) -> None:
    run = without_privileges()
    folder = tmp_path / "closed"
    folder.mkdir(mode=0)
    try:
        done = subprocess.run(
            [*run, sys.executable, "-m", "jmlp", "data", "check", str(folder)],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            check=False,
        )
    finally:
        folder.chmod(0o700)
    told = f"jmlp: error: {folder}/train-images-idx3-ubyte: cannot be read: Permission denied\n"
    assert (done.returncode, done.stderr) == (3, told)
