"""The commands, their options and their help.

Every command's help stands here, so that listing them imports none of them.
"""

from typing import Any

from cyclopts import App, Parameter

from jmlp import environment


def _default_text(value: Any) -> str | None:
    # That a flag is off, and that what is not given is not there, goes without saying.
    return None if value is None or value is False else str(value)


app = App(
    name="jmlp",
    help=(
        "A multilayer perceptron from scratch in JAX, and experiments with error bars.\n\n"
        "Start with: jmlp study original"
    ),
    version=lambda: f"jmlp {environment.versions()['jmlp']}",
    version_flags=("--version", "-V"),
    help_flags=("--help", "-h"),
    help_format="plaintext",
    suppress_keyboard_interrupt=False,  # `main` says that it was interrupted
    default_parameter=Parameter(show_default=_default_text),
)

app.command(
    "jmlp.cli.study:study",
    name="study",
    sort_key=1,
    help=(
        "Train every configuration of a study over several seeds; print tables, write a report.\n\n"
        "A study that was ended goes on where it was: runs that are in the report's folder are "
        "not trained again."
    ),
)
app.command(
    "jmlp.cli.train:train",
    name="train",
    sort_key=2,
    help="Train one configuration, over as many seeds as wanted, and save the best network.",
)
app.command(
    "jmlp.cli.predict:predict",
    name="predict",
    sort_key=3,
    help="Say which class a saved network sees in an image, and how sure it is.",
)
app.command(
    "jmlp.cli.gradcheck:gradcheck",
    name="gradcheck",
    sort_key=4,
    help=(
        "Compare the hand-written gradient with jax.grad and with central differences.\n\n"
        "Every parameter leaf of networks with 0, 1 and 3 hidden layers, with and without batch "
        "norm and dropout, in float64. Ends with code 7 if any error is beyond its tolerance."
    ),
)

data = App(
    name="data",
    help="Data sets: what there is, where it is, whether it is what it claims.",
    sort_key=5,
)
data.command(
    "jmlp.cli.data:list_",
    name="list",
    sort_key=1,
    help="List the data sets that have names, and whether they are here already.",
)
data.command(
    "jmlp.cli.data:get", name="get", sort_key=2, help="Fetch a data set, check it, and keep it."
)
data.command(
    "jmlp.cli.data:check",
    name="check",
    sort_key=3,
    help="Compare every array with its published SHA-256; nothing is fetched.",
)
data.command(
    "jmlp.cli.data:path",
    name="path",
    sort_key=4,
    help="Print where a data set is kept, whether it is there or not.",
)
app.command(data)

app.command(
    "jmlp.cli.doctor:doctor",
    name="doctor",
    sort_key=6,
    help="Print versions, devices, flags, paths and free space, each with ok or the remedy.",
)
