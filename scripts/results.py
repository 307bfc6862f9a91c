#!/usr/bin/env python3
"""Updates docs/reference/results.md from reports: .venv/bin/python scripts/results.py FOLDER...

The text between `<!-- results NAME -->` and `<!-- end -->` is replaced by the tables of the study
NAME, made from the results.json and study.toml in its folder. Its plots that the documents show are
copied, those of other studies than the original with the study's name in front.
"""

import json
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from jmlp.report import read_results
from jmlp.results.tables import ExperimentTable, labelled, study_tables
from jmlp.study.file import load_study

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "reference" / "results.md"
PICTURES = ROOT / ".github" / "images"

# The columns to show; the report has all of them.
SHOWN = (
    "configuration",
    "test accuracy %",
    "stopped epoch",
    "collapsed",
    "original test %",
    "prediction interval %",
    "original is",
    "original stopped",
)


def blocks(folder: Path) -> Iterator[str]:
    """The Markdown of one study's tables."""
    document = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    _, runs = read_results(folder / "results.json")
    study = load_study(folder / "study.toml")
    where = runs[0].provenance
    yield (
        f"Made by `{document['command']}` on {where.device}, Python {where.versions['python']}, "
        f"JAX {where.versions['jax']}, NUMERICS {document['numerics']}: {len(runs)} runs, "
        f"{sum(run.status == 'diverged' for run in runs)} diverged."
    )
    for table in study_tables(study, runs):
        yield f"**{table.title}** (experiment `{table.name}`)"
        yield _markdown(*_merged(table))
        yield "\n".join(f"- {claim.sentence}" for claim in table.claims)


def _merged(table: ExperimentTable) -> tuple[list[str], list[bool], list[list[str]]]:
    """Titles, alignments and rows: the chosen columns, and the comparison with the baseline."""
    table = labelled(table)
    titles = [column.title for column in table.columns]
    chosen = [titles.index(title) for title in SHOWN if title in titles]
    difference_titles = [column.title for column in table.difference_columns]
    verdicts = {row.label: row.cells for row in table.differences}
    rows = []
    for row in table.rows:
        cells = verdicts.get(row.label)
        points, verdict = "", "baseline"
        if cells is not None:
            points = cells[difference_titles.index("difference, points")]
            verdict = cells[difference_titles.index("verdict")]
        chosen_cells = [row.cells[i] for i in chosen]
        rows.append([*chosen_cells, f"{points} {verdict}".strip()])
    heads = [*(titles[i] for i in chosen), "against baseline, points"]
    right = [*(table.columns[i].align == "right" for i in chosen), False]
    return heads, right, rows


def _markdown(heads: Sequence[str], right: Sequence[bool], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["--:" if r else "---" for r in right], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    """Replaces the blocks of the studies whose folders are given."""
    text = DOCUMENT.read_text(encoding="utf-8")
    pages = [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]
    shown = "".join(page.read_text(encoding="utf-8") for page in pages)
    for folder in map(Path, sys.argv[1:]):
        name, _ = read_results(folder / "results.json")
        mark = re.compile(rf"(<!-- results {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
        body = "\n\n".join(block for block in blocks(folder) if block)
        before, *rest = mark.split(text)
        if len(rest) != 3:
            sys.exit(f"{DOCUMENT.name}: must have exactly one block '<!-- results {name} -->'")
        begin, end, after = rest
        text = f"{before}{begin}\n{body}\n\n{end}{after}"
        for plot in (folder / "plots").glob("*.png"):
            target = plot.name if name == "original" else f"{name}-{plot.name}"
            if f"/{target}" in shown:
                PICTURES.mkdir(parents=True, exist_ok=True)
                shutil.copy(plot, PICTURES / target)
    DOCUMENT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
