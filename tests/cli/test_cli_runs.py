"""`jmlp runs`: listing, showing, comparing, tagging and deleting stored runs."""

import io
import json
import sys
from pathlib import Path

import pytest
from commands import ESCAPE, Here, Terminal
from run_lists import cells, short
from store_runs import HP, end, fill, plan, points, result, submission

from jmlp.store import Lock, Store, run_files
from jmlp.study.config import Experiment, Study
from jmlp.system import streams
from jmlp.training.plan import Run, make_plan


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a store of six runs: one diverged, four finished, one is not done yet."""
    monkeypatch.setenv("JMLP_RUNS", str(tmp_path / "store"))
    fill(tmp_path / "store", n_left=1)
    return tmp_path / "store"


@pytest.fixture
def runs(folder: Path) -> tuple[Run, ...]:
    """The runs of that store in its order."""
    return plan().runs


# ls


def test_list_has_one_line_a_run_with_configuration_and_outcome(
    runs: tuple[Run, ...], here: Here
) -> None:
    done = here("runs", "ls")
    assert (done.code, done.err) == (0, "")
    ids = short(runs)
    assert cells(done.out) == [
        [ids[0], "small", "learning rate 0.2", "0", "diverged @7", "–", "42", "–", "–"],
        [ids[1], "small", "learning rate 0.1", "0", "stopped early", "40", "42", "0.0990", "90.10"],
        [ids[2], "small", "learning rate 0.1", "1", "stopped early", "41", "43", "0.0980", "90.20"],
        [ids[3], "small", "learning rate 0.2", "1", "stopped early", "41", "43", "0.0970", "90.30"],
        [ids[4], "small", "learning rate 0.1", "2", "stopped early", "42", "44", "0.0960", "90.40"],
        [ids[5], "small", "learning rate 0.2", "2", "queued", "–", "–", "–", "–"],
    ]
    titles = "run study configuration seed state best epoch stopped epoch validation cost"
    assert done.out.split("\n")[0].split() == [*titles.split(), "test", "accuracy", "%", "tags"]


def test_numbers_stand_below_each_other(folder: Path, here: Here) -> None:
    lines = here("runs", "ls", "--plain").out.splitlines()
    assert len({line.index(".09", 70) for line in lines[2:6]}) == 1
    ends = [line.index(str(epoch)) + 2 for line, epoch in zip(lines[1:3], (42, 40), strict=True)]
    assert ends[1] < ends[0]  # one is in the column of the best epoch, one in that of the last


@pytest.mark.parametrize(
    ("arguments", "chosen"),
    [
        (["small"], [0, 1, 2, 3, 4, 5]),
        (["--state", "finished"], [1, 2, 3, 4]),
        (["--sort", "validation-cost"], [4, 3, 2, 1, 0, 5]),  # what has none comes last
        (["--sort", "test-accuracy", "--limit", "2"], [4, 3]),
        (["--sort", "seed"], [0, 1, 2, 3, 4, 5]),
        (["--sort", "state"], [0, 1, 2, 3, 4, 5]),
        (["--tag", "odd"], [1, 3]),
        (["small", "--tag", "odd", "--sort", "validation-cost"], [3, 1]),
    ],
)
def test_list_is_filtered_and_sorted_best_first(
    arguments: list[str], chosen: list[int], folder: Path, runs: tuple[Run, ...], here: Here
) -> None:
    with Store(folder) as store:
        for run in (runs[1], runs[3]):
            store.tag(run.run_id, "odd")
    listed = json.loads(here("runs", "ls", *arguments, "--json").out)
    assert [run["run_id"] for run in listed] == [runs[i].run_id for i in chosen]


def test_run_that_ended_last_is_first_when_sorted_by_end(
    folder: Path, runs: tuple[Run, ...], here: Here
) -> None:
    with Store(folder) as store:
        end(store, "small", [result(runs[5])])
    listed = json.loads(here("runs", "ls", "--sort", "ended", "--json").out)
    assert listed[0]["run_id"] == runs[5].run_id


def test_list_of_nothing_is_empty_and_says_so(folder: Path, here: Here) -> None:
    assert here("runs", "ls", "--tag", "nothing") == (0, "", "there are no such runs\n")
    assert here("runs", "ls", "--tag", "nothing", "--json") == (0, "[]\n", "")


def test_states_are_shown_in_words(tmp_path: Path, here: Here) -> None:
    made = plan(rates=(0.1,), n_seeds=4)
    a, b, c, d = made.runs
    with Store(tmp_path / "s") as store:
        store.submit(submission(made))
        limit = {"best_epoch": 4, "stopped_epoch": 4, "reached_limit": True}
        end(store, "small", [result(a, **limit), result(b, collapsed=True)])
        store.begin("small", [c.run_id])
        store.record("small", [(c.run_id, point) for point in points(3)], None)
        store.fail("small", [d.run_id], 6, "out of memory")
    listed = cells(here("runs", "ls", "--store", str(tmp_path / "s")).out)
    states = ["finished", "stopped early, collapsed", "running, epoch 2", "failed"]
    assert [row[4] for row in listed] == states
    # Where all runs of a study agree, its non-default values distinguish it from others.
    assert listed[0][2] == "hidden 3, batch size 16, learning rate 0.1, epochs 4"


def test_configuration_names_what_has_an_effect_only(tmp_path: Path, here: Here) -> None:
    axes = {"optimizer": ("sgd", "momentum"), "momentum": (0.5,)}
    baseline = {"optimizer": "sgd", "momentum": 0.5}
    experiment = Experiment("a", HP, axes, (0,), baseline)
    made = make_plan(Study("small", (experiment,), data="small"), plan().facts)
    with Store(tmp_path / "s") as store:
        store.submit(submission(made))
    listed = cells(here("runs", "ls", "--store", str(tmp_path / "s")).out)
    assert {row[2] for row in listed} == {"optimizer sgd", "optimizer momentum, momentum 0.5"}


def test_text_of_users_is_shown_and_neither_markup_nor_obeyed(
    folder: Path, runs: tuple[Run, ...], here: Here
) -> None:
    tags = ("[red]x[/red]", "a\x1b[31mb", "c\nd")
    with Store(folder) as store:
        for tag in tags:
            store.tag(runs[0].run_id, tag)
    for arguments in (["ls"], ["show", short(runs)[0]], ["tag", "all", "--add", "e\x07"]):
        told = here("runs", *arguments).out
        assert "[red]x[/red], a\\x1b[31mb, c\\nd" in told
        assert "\x1b" not in told
        assert "\x07" not in told


def test_list_fits_a_terminal_of_80_columns_and_repeats_the_ids(
    runs: tuple[Run, ...], here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(sys, "stdout", stream := Terminal())
    here("runs", "ls")
    lines = ESCAPE.sub("", stream.getvalue()).splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(line.startswith(f" {short(runs)[2]} ") for line in lines) == 2


def test_list_is_ascii_on_a_stream_without_unicode(
    folder: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw := io.BytesIO(), encoding="ascii"))
    streams.make_safe()
    here("runs", "ls")
    assert b"diverged @7" in raw.getvalue()
    assert b"?" not in raw.getvalue()


# Which run


def test_run_is_named_by_the_beginning_of_its_id_its_tag_or_as_the_last(
    folder: Path, runs: tuple[Run, ...], here: Here
) -> None:
    here("runs", "tag", runs[2].run_id, "--add", "mine")
    for word, run in ((runs[1].run_id[:5], runs[1]), ("mine", runs[2]), ("last", runs[4])):
        path = run_files.path_of(folder, run.run_id)
        assert here("runs", "path", word) == (0, f"{path}\n", "")


def test_several_runs_where_one_is_wanted_are_refused_with_code_2(
    runs: tuple[Run, ...], here: Here
) -> None:
    near = ", ".join(short(runs)[:4])
    message = f"jmlp: error: small: matches 6 runs ({near}, ...); give one of them\n"
    assert here("runs", "show", "small") == (2, "", message)


def test_unknown_run_study_and_store_end_with_code_4(
    folder: Path, here: Here, tmp_path: Path
) -> None:
    for arguments in (["show", "0123"], ["ls", "smal"], ["diff", "last", "nothing"]):
        done = here("runs", *arguments)
        assert (done.code, done.out) == (4, "")
        assert "small" in done.err
    done = here("runs", "ls", "--store", str(tmp_path / "none"))
    message = f"jmlp: error: there is no store at {tmp_path / 'none'}: run a study first\n"
    assert done == (4, "", message)
    assert not (tmp_path / "none").exists()


def test_run_that_has_not_ended_has_no_path(runs: tuple[Run, ...], here: Here) -> None:
    message = f"jmlp: error: {runs[5].run_id[:8]}: has no file yet: it is queued\n"
    assert here("runs", "path", runs[5].run_id) == (4, "", message)


def test_any_run_of_an_empty_store_is_refused(tmp_path: Path, here: Here) -> None:
    Store(tmp_path / "s").close()
    done = here("runs", "show", "all", "--store", str(tmp_path / "s"))
    assert done == (4, "", f"jmlp: error: {tmp_path / 's'}: there are no runs yet\n")


# tag


def test_tags_are_put_on_and_taken_off_several_runs(runs: tuple[Run, ...], here: Here) -> None:
    a, b = short(runs)[:2]
    done = here("runs", "tag", a, b, "--add", "good", "--add", "new")
    assert done == (0, f"{a}  good, new\n{b}  good, new\n", "")
    done = here("runs", "tag", b, "--remove", "good", "--remove", "new")
    assert done == (0, f"{b}  no tags\n", "")
    done = here("runs", "tag", "good", "--add", "best", "--json")
    assert json.loads(done.out) == {runs[0].run_id: ["best", "good", "new"]}


def test_tag_without_a_word_is_refused(folder: Path, here: Here) -> None:
    message = "jmlp runs tag: give a tag to add (--add TAG) or remove (--remove TAG)"
    assert here("runs", "tag", "last") == (2, "", f"jmlp: error: {message}\n")


# rm


def test_deleted_runs_are_gone_with_their_files(
    folder: Path, runs: tuple[Run, ...], here: Here
) -> None:
    done = here("runs", "rm", runs[0].run_id, runs[5].run_id, "--yes")
    assert done == (0, "", "deleted 2 runs\n")
    left = {run.run_id for run in runs[1:5]}
    assert {path.stem for path in (folder / "runs").iterdir()} == left
    assert {run["run_id"] for run in json.loads(here("runs", "ls", "--json").out)} == left


def test_nothing_is_deleted_without_a_yes(
    folder: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = "jmlp: error: jmlp runs rm: deletes permanently: give --yes if there is no terminal\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert here("runs", "rm", "all") == (2, "", refused)
    monkeypatch.setattr(sys, "stdin", None)
    assert here("runs", "rm", "all") == (2, "", refused)
    question = "delete 6 runs permanently? [y/n] "
    for answer in ("n\n", "", "\n"):
        terminal = Terminal(answer)
        monkeypatch.setattr(sys, "stdin", terminal)
        assert here("runs", "rm", "all") == (0, "", f"{question}nothing was deleted\n")
    assert len(list((folder / "runs").iterdir())) == 5
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert here("runs", "rm", "all") == (0, "", f"{question}deleted 6 runs\n")
    assert list((folder / "runs").iterdir()) == []


def test_nothing_is_deleted_while_a_worker_trains(folder: Path, here: Here) -> None:
    lock = Lock(folder)
    assert lock.acquire()
    done = here("runs", "rm", "all", "--yes")
    owner = lock.owner()
    lock.release()
    assert owner is not None
    message = (
        f"jmlp: error: {folder}: runs are being trained (process {owner.pid} on {owner.host}); "
        "stop that first (jmlp stop STUDY), then delete\n"
    )
    assert done == (4, "", message)
    assert len(list((folder / "runs").iterdir())) == 5
