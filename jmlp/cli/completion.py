"""`jmlp completion`: the script with which a shell completes jmlp's commands and options."""

from typing import Annotated, Literal

from cyclopts import Parameter

from jmlp.cli.output import Output


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="The shell.")],
    /,
    *,
    out: Output = Output(),  # noqa: B008 - frozen
) -> None:
    """Print the script with which bash, zsh or fish completes jmlp's commands and options."""
    from jmlp.cli.commands import app

    script = app.generate_completion(shell=shell)
    if out.json:
        out.print_json({"shell": shell, "script": script})
    else:
        print(script, end="")
