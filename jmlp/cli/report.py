"""`jmlp report`: writes the report of a stored study from what is in the store."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from jmlp.cli.output import Output
from jmlp.cli.paths import as_path
from jmlp.cli.store_option import StoreOption
from jmlp.errors import ConfigError, StoreError
from jmlp.study.rules import is_name, plain


def report(
    study: Annotated[str, Parameter(help="The name of a stored study.")],
    /,
    *,
    output: Annotated[
        Path | None,
        Parameter(
            name=("--output", "-o"),
            converter=as_path,
            help="The report's folder; default: reports/STUDY.",
        ),
    ] = None,
    force: Annotated[
        bool,
        Parameter(name=("--force", "-f"), negative=(), help="Replace an existing report."),
    ] = False,
    as_: Annotated[
        Literal["text", "markdown", "latex"],
        Parameter(name="--as", help="The form of the printed tables; latex needs booktabs."),
    ] = "text",
    store: StoreOption = StoreOption(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> None:
    """Print the tables of a stored study and write its report; nothing is trained."""
    with store.open(viewer=True) as opened:
        row = opened.study(study)
        if output is None and not is_name(study):
            raise ConfigError(
                f"{plain(study)}: not a valid name for a folder; give one with --output DIR"
            )
        if out.json and as_ != "text":
            raise ConfigError(f"--as {as_} and --json: give one of them")
        folder = output or Path("reports") / study
        results = opened.results(study)
        if not results:
            raise StoreError(f"{plain(study)}: there is nothing to report: no run has ended yet")

        from jmlp.cli.show import show_tables
        from jmlp.client.stored_data import read_data
        from jmlp.report import check_output, write_report
        from jmlp.results.search import staged
        from jmlp.results.tables import study_tables
        from jmlp.study.file import parse_study
        from jmlp.training.plan import make_plan

        check_output(folder, force, of=row.name)
        loaded = staged(parse_study(row.toml, study), results)
        data = read_data(row.data, study)
        n_runs = len(make_plan(loaded, data.facts).runs)
        if len(results) < n_runs:
            out.say(f"{len(results)} of {n_runs} runs have ended; the report covers only those")
        tables = study_tables(loaded, results, data.facts)
        write_report(
            folder,
            loaded,
            results,
            tables,
            facts=data.facts,
            source=data.source,
            study_toml=row.toml,
            command=row.command,
            force=True,  # `check_output` above has ensured that they may be replaced
        )
        if as_ == "markdown":
            from jmlp.report.markdown import markdown_tables

            print(markdown_tables(tables), end="")
        elif as_ == "latex":
            from jmlp.report.latex import latex

            print(latex(tables), end="")
        elif out.json:
            print((folder / "results.json").read_text(encoding="utf-8"), end="")
        else:
            show_tables(tables, out)
        out.say(f"report: {folder / 'report.html'}")
