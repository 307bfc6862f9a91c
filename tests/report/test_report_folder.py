"""The report folder: what is written, in which order, and that its documents can be trusted."""

import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from commands import python
from report_runs import sizes_runs, sizes_study, write
from table_runs import HP, SPREAD, STUDY, diverged, finished, grid, grid_runs, runs, sizes

from jmlp.errors import DiskFullError, StoreError
from jmlp.report import check_output, plots, read_csv, read_results
from jmlp.report.document import grids, make_section
from jmlp.results.tables import experiment_table, study_tables
from jmlp.study.config import Reference, configurations
from jmlp.system import fault_injection

NASTY = "<script>alert(1)</script> | *x* [a](http://b) `c` $d$ # \x1b[2J\u202e"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report whose every free text tries to be markup."""
    study = sizes_study(title=NASTY, notes=(NASTY, "1. no list", "- none"))
    (experiment,) = study.experiments
    claims = tuple(replace(claim, text=NASTY) for claim in experiment.claims)
    study = replace(study, experiments=(replace(experiment, title=NASTY, claims=claims),))
    path = tmp_path_factory.mktemp("report") / "new" / "mine"
    write(path, study, sizes_runs(), command=f"jmlp study '{NASTY}' ```", source=NASTY)
    return path


# ---- files


def test_the_folder_holds_exactly_these_files_the_results_first(tmp_path: Path) -> None:
    written = write(tmp_path, sizes_study(), sizes_runs())
    stems = ("sizes-cost-against-epochs", "sizes-cost-against-updates", "sizes-accuracy")
    assert [str(path.relative_to(tmp_path)) for path in written] == [
        "results.json",
        "results.csv",
        "tables.json",
        "tables.csv",
        "study.toml",
        *(f"plots/{stem}.{suffix}" for stem in stems for suffix in ("png", "svg")),
        "report.md",
        "report.html",
    ]
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == set(written)
    assert (tmp_path / "study.toml").read_text() == 'name = "mine"\n'


@pytest.mark.parametrize(
    ("backend", "kept"),
    [
        ("module://matplotlib_inline.backend_inline",) * 2,  # of a notebook
        ("module://not_there", "module://not_there"),
        ("no-such", "agg"),
        ("svg", "svg"),
    ],
)
def test_report_is_written_with_any_backend_set_and_the_setting_is_kept(
    backend: str, kept: str, tmp_path: Path
) -> None:
    code = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent.parent / "support")!r})
from report_runs import sizes_runs, sizes_study, write
from pathlib import Path
write(Path({str(tmp_path)!r}), sizes_study(), sizes_runs())
import matplotlib.pyplot
print(os.environ["MPLBACKEND"], matplotlib.get_backend().lower())
"""
    done = python("-c", code, cwd=tmp_path, env={"MPLBACKEND": backend, "DISPLAY": ""})
    assert (done.err, done.out) == ("", f"{backend} {kept}\n")
    assert (tmp_path / "report.html").exists()


def test_results_do_not_depend_on_the_order_in_which_runs_end(tmp_path: Path) -> None:
    runs = [
        diverged(c.hyperparams, s, 1)
        for c in configurations(sizes_study().experiments[0])
        for s in (0, 1, 2)
    ]
    write(tmp_path / "a", sizes_study(), runs)
    write(tmp_path / "b", sizes_study(), [*runs[::-1], runs[0]])
    for name in ("results.json", "results.csv", "report.html", "report.md"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert read_results(tmp_path / "a" / "results.json") == ("mine", runs)
    assert [row["run_id"] for row in read_csv(tmp_path / "a" / "results.csv")] == [
        r.run_id for r in runs
    ]


def test_results_are_safe_when_a_plot_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no plot")

    monkeypatch.setattr(plots, "experiment_plots", fail)
    with pytest.raises(RuntimeError, match="no plot"):
        write(tmp_path, sizes_study(), sizes_runs())
    assert read_results(tmp_path / "results.json")[1] == sizes_runs()


def test_a_folder_that_holds_files_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(StoreError) as error:
        write(tmp_path, sizes_study(), sizes_runs())
    assert str(error.value) == (
        f"{tmp_path}: holds other files; give another folder (--output DIR), or write into it "
        "anyway (--force)"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_study_may_replace_its_own_report_and_no_other_one(tmp_path: Path) -> None:
    write(tmp_path, sizes_study(), sizes_runs())
    check_output(tmp_path, force=False, of="mine")
    for name in ("another", None):
        with pytest.raises(StoreError, match=": holds other files; "):
            check_output(tmp_path, force=False, of=name)
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(StoreError, match=": holds other files; "):
        check_output(tmp_path, force=False, of="mine")


def test_a_folder_with_nothing_but_leftovers_of_a_kill_is_free_and_tidied(tmp_path: Path) -> None:
    (tmp_path / f".results.json.{2**22 + 1}.0123abcd.tmp").touch()  # no process has that id
    check_output(tmp_path, force=False)
    written = write(tmp_path, sizes_study(), sizes_runs())
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == set(written)


@pytest.mark.parametrize("k", [9, 12, 20])
def test_a_report_that_was_killed_at_any_moment_is_written_by_the_next_without_force(
    k: int, tmp_path: Path
) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent.parent / "support")!r})
from jmlp import report
from jmlp.system import fault_injection
report._documents = lambda *_: {{f"plots/{{n}}.svg": b"x" for n in "ab"}} | {{"report.html": b"x"}}
from report_runs import sizes_runs, sizes_study, write
from pathlib import Path
fault_injection.arm("any:{k}:kill")
write(Path("out"), sizes_study(), sizes_runs())
"""
    assert python("-c", code, cwd=tmp_path).code == -signal.SIGKILL
    check_output(tmp_path / "out", force=False, of="mine")
    written = write(tmp_path / "out", sizes_study(), sizes_runs(), force=True)
    files = {path for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert files - set(written) <= {tmp_path / "out" / "plots" / f"{n}.svg" for n in "ab"}


def test_plots_that_hold_a_file_or_are_elsewhere_are_not_taken_for_leftovers(
    tmp_path: Path,
) -> None:
    for name in ("mine", "elsewhere"):
        (tmp_path / name).mkdir()
    (tmp_path / "mine" / "plots").mkdir()
    check_output(tmp_path / "mine", force=False)
    (tmp_path / "mine" / "plots" / "mine.svg").touch()
    (tmp_path / "elsewhere" / "plots").symlink_to(tmp_path)
    for name in ("mine", "elsewhere"):
        with pytest.raises(StoreError, match=": holds other files; "):
            check_output(tmp_path / name, force=False)


@pytest.mark.parametrize("point", ["write", "rename"])
def test_a_report_whose_writing_failed_is_whole_or_has_no_page_and_is_replaced_by_the_next(
    point: str, tmp_path: Path
) -> None:
    n_files = len(write(tmp_path, sizes_study(), sizes_runs(), command="old"))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for k in (1, 2, n_files):
        fault_injection.arm(f"{point}:{k}:enospc")
        with pytest.raises(DiskFullError, match="cannot be written: No space left on device"):
            write(tmp_path, sizes_study(), sizes_runs(), command="new", force=True)
        now = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        if point == "write":
            assert now == before
        else:
            assert now.keys() == before.keys() - {tmp_path / "report.html"}
    check_output(tmp_path, force=False, of="mine")
    write(tmp_path, sizes_study(), sizes_runs(), command="new", force=True)
    assert b"new" in (tmp_path / "report.html").read_bytes()


def test_a_page_does_not_stay_beside_results_that_it_is_not_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, sizes_study(), sizes_runs())
    monkeypatch.setattr(plots, "experiment_plots", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write(tmp_path, sizes_study(), [], force=True)
    assert read_results(tmp_path / "results.json") == ("mine", [])
    assert not (tmp_path / "report.html").exists()


def test_results_that_are_a_pipe_are_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "results.json")
    with pytest.raises(StoreError, match=r"results.json: cannot be read: it is a pipe, not a file"):
        read_results(tmp_path / "results.json")
    with pytest.raises(StoreError, match=": holds other files; "):
        check_output(tmp_path, force=False, of="mine")


def test_a_folder_that_holds_files_is_written_to_by_force_and_keeps_them(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "results.json").write_text("old")
    write(tmp_path, sizes_study(), [], force=True)
    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert read_results(tmp_path / "results.json") == ("mine", [])


def test_a_folder_that_cannot_be_made_is_reported_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder, reason in (
        (tmp_path / "file" / "x", "Not a directory"),
        (tmp_path / "file", "File exists"),
    ):
        with pytest.raises(StoreError) as error:
            check_output(folder, force=True)
        assert str(error.value) == (
            f"{folder}: no report can be written there: {reason}; give another folder "
            "(--output DIR)"
        )


def test_a_check_leaves_an_empty_folder_that_a_report_may_be_written_to(tmp_path: Path) -> None:
    check_output(tmp_path / "a" / "b", force=False)
    assert list((tmp_path / "a" / "b").iterdir()) == []
    check_output(tmp_path / "a" / "b", force=False)


def test_importing_the_report_loads_nothing_that_only_writing_one_needs() -> None:
    code = "import sys, jmlp.report; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"matplotlib", "jinja2", "scipy", "jax"} & set(done.stdout.split())


# ---- the page


class Page(HTMLParser):
    """Tags, ids, references and text of a page; fails where tags do not match."""

    VOID = frozenset({"meta", "link", "img", "br", "hr", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.references: list[str] = []
        self.said = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in {"src", "href", "xlink:href", "data", "action", "srcset"}:
                self.references.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said += data


@pytest.fixture(scope="module")
def html(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


def test_the_page_refers_to_nothing_outside_itself(html: str) -> None:
    page = Page(html)
    assert page.references
    assert all(reference.startswith("#") for reference in page.references)
    assert {reference[1:] for reference in page.references} <= set(page.ids)
    assert not {"script", "link", "img", "iframe", "object"} & page.tags
    assert not re.search(r"url\((?!#)|@import|\son\w+=", html.partition("<body>")[0])
    assert not re.search(r"url\((?!#)", html)


def test_no_two_parts_of_the_page_have_one_id(html: str) -> None:
    ids = Page(html).ids
    assert len(ids) == len(set(ids))


def test_the_page_shows_free_text_as_it_is_and_hidden_characters_as_escapes(html: str) -> None:
    shown = NASTY.replace("\x1b", "\\x1b").replace("\u202e", "\\u202e")
    assert Page(html).said.count(shown) >= 6
    assert not re.search("[\x1b\u202e]", html)


def test_the_page_holds_every_plot_and_every_cell(html: str, folder: Path) -> None:
    said = Page(html).said
    assert html.count("<svg") == len(list(folder.glob("plots/*.svg"))) == 3
    for text in ("batch size 16", "10.28", "too few pairs", "9 of 9 runs have ended", "ab12"):
        assert text in said


def test_plots_in_the_page_take_its_colours(html: str) -> None:
    drawings = html[html.index("<svg") :]
    assert "var(--ink)" in drawings
    assert not re.search(r"(fill|stroke): #", drawings)
    assert html.count("<style") == 1  # a drawing's own would hold for the whole page


# ---- tables


def test_the_parts_after_plus_minus_are_equally_wide_so_that_digits_align() -> None:
    runs = [
        finished(replace(HP, batch_size=size), seed, 0.8 + spread * seed)
        for size, spread in ((16, 0.01), (64, 0.05), (128, 0.0))
        for seed in range(3)
    ]
    (table,) = study_tables(sizes_study(), runs)
    results = make_section("sizes", table, ()).grids[0]
    assert [row[4] for row in results.rows] == [
        "81.00 ± \N{FIGURE SPACE}2.48",
        "85.00 ± 12.42",
        "80.00 ± \N{FIGURE SPACE}0.00",
    ]


def test_the_columns_of_a_grids_axes_stay_in_view_side_by_side() -> None:
    (results, differences) = grids(experiment_table(STUDY, grid(), grid_runs(0.02, -0.03)))
    assert (results.n_names, results.name_widths) == (3, [5, 4, 8])  # "batch", "none", "baseline"
    assert (results.mark, results.keeps_axes) == (2, "keeps-all")  # marks may scroll away
    assert (differences.n_names, differences.name_widths) == (2, [5, 4])
    (one, _) = grids(experiment_table(STUDY, sizes(16, 128), runs(HP, SPREAD)))
    assert (one.n_names, one.name_widths) == (1, [len("batch size 128 (baseline)")])
    assert one.mark is None


def test_a_grid_with_figures_other_than_test_accuracies_has_a_page(tmp_path: Path) -> None:
    where = {"batch_norm": False, "drop_rate": 0.0}
    experiment = replace(grid(), reference=(Reference(where, stopped=9),))
    write(tmp_path, replace(STUDY, experiments=(experiment,)), grid_runs(0.02, -0.03))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert '<th scope="row" class="left axis" style="left: calc(0ch + 0 * var(--gap));' in page
    assert '<th scope="row" class="right axis" style="left: calc(5ch + 1 * var(--gap));' in page
    assert "Beside the original" not in page


def test_the_figures_of_the_original_are_a_table_of_their_own_with_those_rows_only() -> None:
    (table,) = study_tables(sizes_study(), sizes_runs())
    grids = make_section("sizes", table, ()).grids
    assert [grid.title for grid in grids] == [
        "Results",
        "Beside the original",
        "Differences to the baseline",
    ]
    assert [row[:2] for row in grids[1].rows] == [["batch size 16", "10.28"]]
    assert (grids[0].best, grids[1].best) == (2, None)


# ---- Markdown


@pytest.fixture(scope="module")
def markdown(folder: Path) -> str:
    return (folder / "report.md").read_text(encoding="utf-8")


def cells(line: str) -> list[str]:
    return re.split(r"(?<!\\)\|", line)


def test_every_row_of_a_markdown_table_has_the_columns_of_its_head(markdown: str) -> None:
    tables = re.findall(r"(?:^\|.*\n)+", markdown, flags=re.MULTILINE)
    assert len(tables) == 3
    for table in tables:
        lines = table.splitlines()
        assert len({len(cells(line)) for line in lines}) == 1
        assert len({len(line) for line in lines}) == 1  # in line as raw text too
        assert re.fullmatch(r"\|( -+:? \|)+", lines[1])


def test_markdown_shows_free_text_as_it_is(markdown: str) -> None:
    escaped = (
        r"\<script\>alert(1)\</script\> \| \*x\* \[a\](http://b) \`c\` \$d\$ \# "
        r"\\x1b\[2J\\u202e"
    )
    assert markdown.startswith(f"# {escaped}\n\n{escaped}\n\n1\\. no list\n\n\\- none\n\n")
    assert markdown.count(escaped) >= 6
    assert not re.search("[\x1b\u202e]", markdown)


def test_a_command_with_backticks_stays_in_its_block(markdown: str) -> None:
    assert re.search(r"^````\njmlp study .* ```\n````$", markdown, flags=re.MULTILINE)


def test_every_file_that_markdown_refers_to_is_there(markdown: str, folder: Path) -> None:
    prose = re.sub(r"^````.*?^````$", "", markdown, flags=re.DOTALL | re.MULTILINE)
    targets = re.findall(r"(?<!\\)\]\(([^)]+)\)", prose)
    assert len(targets) == 5 + 2 * 3
    assert all((folder / target).is_file() for target in targets)


def test_runs_of_several_devices_are_counted(tmp_path: Path) -> None:
    runs = [diverged(c.hyperparams, 0, 1) for c in configurations(sizes_study().experiments[0])]
    gpu = replace(runs[0].provenance, device="gpu")
    write(tmp_path, sizes_study(), [replace(runs[0], provenance=gpu), *runs[1:]])
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    devices = "- Device: cpu (2 runs); gpu (1 run)\n- Lane width: 8\n- Program: without dropout\n"
    assert f"{devices}- XLA flags: none\n" in text
    assert "- Data: a shelf; 48,000 training, 12,000 validation, 10,000 test examples\n" in text
    assert "3 of 9 runs have ended: 0 finished, 3 diverged." in text
