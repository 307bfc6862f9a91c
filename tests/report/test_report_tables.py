"""Tables for other documents: LaTeX with booktabs, and Markdown."""

# ruff: noqa: E501

import re

from hypothesis import given
from hypothesis import strategies as st
from report_runs import sizes_runs, sizes_study
from table_runs import HP, SPREAD, STUDY, runs, shifted, size, sizes

from jmlp.report import latex as module
from jmlp.report.latex import latex
from jmlp.report.markdown import markdown_tables
from jmlp.results.tables import experiment_table, study_tables
from jmlp.study.config import Reference

TABLE = experiment_table(
    STUDY,
    sizes(
        16, 128, title="Size & more", reference=(Reference({"batch_size": 16}, test_accuracy=0.1),)
    ),
    [*runs(size(16), shifted(-0.03)), *runs(HP, SPREAD)],
)

LATEX = r"""% Size & more: Results
\begin{tabular}{lrrrrrrrr}
\toprule
configuration & seeds & training accuracy \% & validation accuracy \% & test accuracy \% & best epoch & stopped epoch & diverged & collapsed \\
\midrule
batch size 16 & 5 & 91.00 $\pm$ 2.16 & 90.00 $\pm$ 2.16 & 89.00 $\pm$ 2.16 & 42, 40--44 & 44, 42--46 & 0 & 0 \\
batch size 128 (baseline, best) & 5 & 94.00 $\pm$ 1.96 & 93.00 $\pm$ 1.96 & 92.00 $\pm$ 1.96 & 42, 40--44 & 44, 42--46 & 0 & 0 \\
\bottomrule
\end{tabular}

% Size & more: Beside the original
\begin{tabular}{lrrlrr}
\toprule
configuration & original test \% & prediction interval \% & original is & seeds below it & original stopped \\
\midrule
batch size 16 & 10.00 & 83.71 to 94.29 & below & 0 of 5 & -- \\
\bottomrule
\end{tabular}

% Size & more: Differences to the baseline
\begin{tabular}{lrrrrrl}
\toprule
configuration & difference, points & simultaneous 95 \% interval & p & pairs & left out & verdict \\
\midrule
batch size 16 & $-$3.00 & $-$3.20 to $-$2.80 & \textless{}0.0001 & 5 & 0 & lower \\
\bottomrule
\end{tabular}
"""


def test_a_table_as_latex_is_exactly_this() -> None:
    assert latex([TABLE]) == LATEX


@given(st.text(max_size=30))
def test_no_text_can_be_a_command_or_end_a_cell(text: str) -> None:
    cell = module._cell(text)
    plain = re.sub(
        r"\\(textbackslash|textasciicircum|textasciitilde|textless|textgreater|phantom)\{0?\}"
        r"|\\[{}$&#%_]|\$(\\pm|\\geq|-)\$",
        "",
        cell,
    )
    assert not set(plain) & set("\\{}$&#%_^~\n")


def test_tables_as_markdown_have_a_heading_and_every_row() -> None:
    text = markdown_tables(study_tables(sizes_study(), sizes_runs()))
    headings = re.findall(r"^\*\*.*: (.*)\*\*$", text, re.MULTILINE)
    assert headings == ["Results", "Beside the original", "Differences to the baseline"]
    for table in study_tables(sizes_study(), sizes_runs()):
        for row in table.rows:
            assert f"| {row.label}" in text
