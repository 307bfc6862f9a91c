"""The commands, their options and their help.

Every command's help stands here, so that listing them imports none of them.
"""

from typing import Any

from cyclopts import App, Parameter

from jmlp.system import environment


def _default_text(value: Any) -> str | None:
    # That a flag is off, and that what is not given is not there, goes without saying.
    return None if value is None or value is False else str(value)


app = App(
    name="jmlp",
    help=(
        "A multilayer perceptron from scratch in JAX, and experiments with error bars.\n\n"
        "On a terminal, jmlp alone opens the app. Elsewhere, start with: jmlp study original"
    ),
    version=lambda: f"jmlp {environment.versions()['jmlp']}",
    version_flags=("--version", "-V"),
    help_flags=("--help", "-h"),
    help_format="plaintext",
    suppress_keyboard_interrupt=False,  # `main` says that it was interrupted
    default_parameter=Parameter(show_default=_default_text),
)

app.command(
    "jmlp.cli.app:tui",
    name="tui",
    sort_key=0.5,
    help="Open the app on this terminal: run experiments and watch them. jmlp alone does it too.",
)
app.command(
    "jmlp.cli.study:study",
    name="study",
    sort_key=1,
    help=(
        "Train every configuration of a study over several seeds; print tables, write a report.\n\n"
        "A study that was interrupted resumes where it was, from any terminal: what is stored is "
        "not trained again."
    ),
)
app.command(
    "jmlp.cli.train:train",
    name="train",
    sort_key=2,
    help="Train one configuration, over as many seeds as wanted, and save the best network.",
)
for name, text in (
    ("attach", "Watch a study that is being trained; Ctrl-C leaves it at work."),
    ("pause", "Let a study rest: all is saved, and its worker waits for jmlp resume."),
    ("resume", "Go on with a study where it was: paused, or ended before its end."),
    ("stop", "End a study's training: all is saved, and jmlp resume continues from there."),
):
    app.command(f"jmlp.cli.steer:{name}", name=name, sort_key=2.5, help=text)
app.command(
    "jmlp.cli.predict:predict",
    name="predict",
    sort_key=3,
    help=(
        "Say which class a saved network sees in an image, and how sure it is.\n\n"
        "The image is a drawing or a photograph, dark ink or light: the ink is found, cropped and "
        "centred as in MNIST, and shown as the network sees it."
    ),
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

runs = App(
    name="runs",
    help="Stored runs: list, look at, compare, tag and delete them.",
    sort_key=6,
)
runs.command("jmlp.cli.runs:ls", name="ls", sort_key=1, help="List runs, one a line.")
runs.command(
    "jmlp.cli.run_details:show",
    name="show",
    sort_key=2,
    help="Print all that is known of a run: settings, outcome, costs, data, events.",
)
runs.command(
    "jmlp.cli.run_details:diff",
    name="diff",
    sort_key=3,
    help="Print what two runs differ in, side by side, and whether their numbers are the same.",
)
runs.command(
    "jmlp.cli.runs:tag", name="tag", sort_key=4, help="Put tags on runs, or take them off."
)
runs.command(
    "jmlp.cli.runs:rm",
    name="rm",
    sort_key=5,
    help="Delete runs for good: their files, costs, events and tags.",
)
runs.command("jmlp.cli.runs:path", name="path", sort_key=6, help="Print the path of a run's file.")
app.command(runs)

app.command(
    "jmlp.cli.export:export",
    name="export",
    sort_key=7,
    help="Write runs that have ended, with their costs, for other programs.",
)
app.command(
    "jmlp.cli.verify:verify",
    name="verify",
    sort_key=7.5,
    help=(
        "Train stored runs again, and say whether their numbers are the same.\n\n"
        "The answer for each run is bit-identical, equal within a small relative difference, or "
        "differs from some step on, which ends the command with code 7. The store is not changed."
    ),
)
app.command(
    "jmlp.cli.report:report",
    name="report",
    sort_key=8,
    help="Print the tables of a stored study and write its report; nothing is trained.",
)

store = App(
    name="store",
    help="The store of runs: where it is, whether it is whole, and how to mend it.",
    sort_key=9,
)
store.command(
    "jmlp.cli.store:check",
    name="check",
    sort_key=1,
    help="Compare database, files and checkpoints with each other, to the last bit.",
)
store.command(
    "jmlp.cli.store:rebuild",
    name="rebuild",
    sort_key=2,
    help="Make the database again from the files of runs and the checkpoints.",
)
store.command(
    "jmlp.cli.store:path",
    name="path",
    sort_key=3,
    help="Print the folder of stored runs, whether it is there or not.",
)
app.command(store)

app.command(
    "jmlp.cli.serve:serve",
    name="serve",
    sort_key=9.5,
    help="Serve the app to browsers on this machine, until Ctrl-C; training continues without it.",
)
app.command(
    "jmlp.cli.doctor:doctor",
    name="doctor",
    sort_key=10,
    help="Print versions, devices, flags, paths and free space, each with ok or the remedy.",
)
