"""Runs by tags, words and ids; and runs that are removed."""

from dataclasses import replace
from pathlib import Path

import pytest
from store_checks import refusal
from store_runs import fill, result, submission

from jmlp.store import Store, run_files
from jmlp.training.plan import Plan

ABSENT = "0123" * 16


def test_tags_are_put_on_and_taken_off(store: Store, made: Plan) -> None:
    first, second, *_ = (run.run_id for run in made.runs)
    for tag in ("b", "a", "a"):
        store.tag(first, tag)
    store.tag(second, "a")
    assert store.run(first).tags == ("a", "b")
    assert [r.run_id for r in store.find_runs("a")] == [first, second]
    store.untag(first, "a")
    assert [r.tags for r in store.runs()][:2] == [("b",), ("a",)]
    assert refusal(store.untag, first, "a") == f"{first[:59]}…: has no tag a; its tags: b"


@pytest.mark.parametrize("tag", ["", "all", "last"])
def test_a_tag_that_could_not_be_found_is_refused(tag: str, store: Store, made: Plan) -> None:
    message = f"{tag or repr(tag)}: cannot be a tag: no run could be found by it"
    assert refusal(store.tag, made.runs[0].run_id, tag) == message


def test_runs_are_found_by_word(store: Store, made: Plan) -> None:
    ids = [run.run_id for run in made.runs]
    assert refusal(store.find_runs, "last") == "DATABASE: last: no run has ended yet"
    store.end("small", [result(made.runs[2])])
    store.end("small", [result(made.runs[1])])
    store.tag(ids[3], "good")
    store.tag(ids[4], ids[5][:6])
    for text, found in {
        "all": ids,
        "last": [ids[2] if store.run(ids[2]).ended_at > store.run(ids[1]).ended_at else ids[1]],  # type: ignore[operator]
        "small": ids,
        "good": [ids[3]],
        ids[0][:4]: [ids[0]],
        ids[0]: [ids[0]],
        ids[5][:6]: [ids[4]],  # a tag goes before an id
    }.items():
        assert [r.run_id for r in store.find_runs(text)] == found, text


def test_words_that_match_no_run_or_several_are_reported(tmp_path: Path, made: Plan) -> None:
    alike = [replace(run, run_id=f"abcd{run.run_id[4:]}") for run in made.runs[:2]]
    with Store(tmp_path) as store:
        assert store.find_runs("all") == []
        store.submit(submission(made, runs=alike))
        store.tag(alike[0].run_id, "good")
        ids = ", ".join(run.run_id[:12] for run in alike)
        assert refusal(store.find_runs, "abcd") == (
            f"DATABASE: abcd: is the beginning of 2 ids; they are: {ids}"
        )
        rest = "give all, last, a tag, a study, or at least 4 characters of an id"
        known = "(tags: good; studies: small)"
        for text, shown in (("abc", "abc"), ("dcba", "dcba"), ("abc*", "abc*"), ("", "''")):
            assert refusal(store.find_runs, text) == (
                f"DATABASE: {shown}: matches no run; {rest} {known}"
            )
        assert refusal(store.find_runs, "goof") == (
            f"DATABASE: goof: matches no run; did you mean good?; {rest} {known}"
        )


def test_a_missing_study_or_run_is_reported(store: Store) -> None:
    by_label = (store.study, store.runs, store.results, store.counts, store.take_commands)
    for asked in by_label:
        assert refusal(asked, "smal") == (
            "smal: there is no study of that name in IN; did you mean small?; studies: small"
        )
    absent = f"{ABSENT[:59]}…: there is no such run in IN"
    for call in (store.run, store.points, store.about_run):
        assert refusal(call, ABSENT) == absent
    assert refusal(store.tag, ABSENT, "x") == absent
    assert refusal(store.begin, "small", [ABSENT]) == absent
    assert refusal(store.remove, [store.runs()[0].run_id, ABSENT]) == absent
    assert len(store.runs()) == 6


def test_runs_that_are_removed_leave_nothing(tmp_path: Path, made: Plan) -> None:
    fill(tmp_path, made)
    gone, kept = made.runs[0].run_id, made.runs[1].run_id
    with Store(tmp_path) as store:
        store.tag(gone, "x")
        store.tag(kept, "x")
        store.remove([gone])
        assert gone not in {r.run_id for r in store.runs()}
        assert gone not in {r.run_id for r in store.results("small")}
        assert store.events(run_id=gone) == []
        assert [r.run_id for r in store.find_runs("x")] == [kept]
        assert gone not in {run_id for run_id, _ in store.new_points("small", 0)[1]}
    assert not run_files.path_of(tmp_path, gone).exists()
    assert run_files.path_of(tmp_path, kept).exists()
    assert gone not in (tmp_path / "tags.json").read_text()
