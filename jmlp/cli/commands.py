"""The commands and their help texts.

Every command's help text is here, so that listing the commands imports none of them.
"""

from typing import Any

from cyclopts import App, Parameter

from jmlp.system import environment


def _default_text(value: Any) -> str | None:
    # The defaults of flags and of optional values need no mention.
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
    suppress_keyboard_interrupt=False,  # `main` reports the interruption
    exit_on_error=False,  # the caller reports errors and decides the exit code
    print_error=False,
    result_action="return_value",
    default_parameter=Parameter(show_default=_default_text),
)

app.command(
    "jmlp.cli.app:tui",
    name="tui",
    sort_key=0.5,
    help="Open the app in this terminal: run experiments and watch them. jmlp alone does the same.",
)
app.command(
    "jmlp.cli.study:study",
    name="study",
    sort_key=1,
    help=(
        "Train every configuration of a study over several seeds; print tables, write a report.\n\n"
        "An interrupted study resumes where it stopped, from any terminal: stored runs are not "
        "trained again."
    ),
)
app.command(
    "jmlp.cli.train:train",
    name="train",
    sort_key=2,
    help="Train one configuration over any number of seeds, and save the best network.",
)
for name, text in (
    ("attach", "Watch a study that is being trained; Ctrl-C does not stop its training."),
    ("pause", "Pause a study: everything is saved, and its worker waits for jmlp resume."),
    ("resume", "Resume a paused or unfinished study where it stopped."),
    ("stop", "Stop a study's training: everything is saved, and jmlp resume continues from there."),
):
    app.command(f"jmlp.cli.steer:{name}", name=name, sort_key=2.5, help=text)
app.command(
    "jmlp.cli.predict:predict",
    name="predict",
    sort_key=3,
    help=(
        "Classify an image or the rows of a table, and print how certain the network is.\n\n"
        "The image is a drawing or a photograph, with dark or light ink: the ink is found, cropped "
        "and centred as in MNIST, and shown as the network sees it."
    ),
)
app.command(
    "jmlp.cli.explain:explain",
    name="explain",
    sort_key=3.5,
    help=(
        "Print every number of one step: forward, backward, and the update.\n\n"
        "Of a stored run or of a fresh network, with the equations beside the numbers; --cell "
        "opens a number to the sum behind it."
    ),
)
app.command(
    "jmlp.cli.boundary:boundary",
    name="boundary",
    sort_key=3.7,
    help=(
        "Print the decision boundary of a run whose data have two numerical inputs.\n\n"
        "Of several runs, the mean of their probabilities at each point, without those that have "
        "diverged. With --json, the probabilities at all points of the grid."
    ),
)

microscope = App(
    name="microscope",
    help="Dropout, batch norm and the next step of a stored run, measured.",
    sort_key=3.8,
)
microscope.command(
    "jmlp.cli.microscope:dropout",
    name="dropout",
    sort_key=1,
    help="Print which units a run drops next, and the mean over many keys against no dropout.",
)
microscope.command(
    "jmlp.cli.microscope:batch_norm",
    name="batch-norm",
    sort_key=2,
    help="Print the statistics of the batch, the running ones, and those that predictions need.",
)
microscope.command(
    "jmlp.cli.microscope:step",
    name="step",
    sort_key=3,
    help="Print the cost along the next step, the sharpness, and the noise of the gradient.",
)
microscope.command(
    "jmlp.cli.microscope:sizes",
    name="sizes",
    sort_key=4,
    help="Print noise scale, signal-to-noise ratio and sharpness beside the accuracy of each size.",
)
app.command(microscope)

app.command(
    "jmlp.cli.gradcheck:gradcheck",
    name="gradcheck",
    sort_key=4,
    help=(
        "Compare the hand-written gradient with jax.grad and with central differences.\n\n"
        "Every parameter leaf of networks with 0, 1 and 3 hidden layers, with and without batch "
        "norm and dropout, in float64. Exits with code 7 if any error exceeds its tolerance. With "
        "a FILE, the gradient of your own network, and the mistake that is in it."
    ),
)
app.command(
    "jmlp.cli.breaking:break_",
    name="break",
    sort_key=4.5,
    help=(
        "Choose a mistake, see which gradients it makes wrong, and train it beside the right "
        "network.\n\n"
        "Without a name, all mistakes. With one, the check of the gradient, and then a study of "
        "both networks with the same seeds, its table and its verdict."
    ),
)

data = App(
    name="data",
    help="Data sets: list, fetch, check and locate them.",
    sort_key=5,
)
data.command(
    "jmlp.cli.data:list_",
    name="list",
    sort_key=1,
    help="List the named data sets, and whether they have been downloaded.",
)
data.command(
    "jmlp.cli.data:get", name="get", sort_key=2, help="Download a data set, check it, and keep it."
)
data.command(
    "jmlp.cli.data:check",
    name="check",
    sort_key=3,
    help="Compare published data with their SHA-256, or describe a table; downloads nothing.",
)
data.command(
    "jmlp.cli.data:path",
    name="path",
    sort_key=4,
    help="Print where a data set is kept, whether it exists or not.",
)
app.command(data)

runs = App(
    name="runs",
    help="Stored runs: list, show, compare, tag and delete them.",
    sort_key=6,
)
runs.command("jmlp.cli.runs:ls", name="ls", sort_key=1, help="List runs, one per line.")
runs.command(
    "jmlp.cli.run_details:show",
    name="show",
    sort_key=2,
    help="Print everything known about a run: settings, outcome, costs, data, events.",
)
runs.command(
    "jmlp.cli.run_details:diff",
    name="diff",
    sort_key=3,
    help="Print how two runs differ, side by side, and whether their numbers are the same.",
)
runs.command("jmlp.cli.runs:tag", name="tag", sort_key=4, help="Add tags to runs, or remove them.")
runs.command(
    "jmlp.cli.runs:rm",
    name="rm",
    sort_key=5,
    help="Delete runs permanently: their files, costs, events and tags.",
)
runs.command("jmlp.cli.runs:path", name="path", sort_key=6, help="Print the path of a run's file.")
app.command(runs)

app.command(
    "jmlp.cli.export:export",
    name="export",
    sort_key=7,
    help="Write completed runs, with their costs, to files for other programs.",
)
app.command(
    "jmlp.cli.importing:import_",
    name="import",
    sort_key=7.2,
    help=(
        "Read a network of PyTorch, Keras or NumPy, and write it as one of jmlp's.\n\n"
        "Prints how each array was read, and how well the network classifies the data, so that a "
        "wrong reading is seen at once. No code of the file is run."
    ),
)
app.command(
    "jmlp.cli.verify:verify",
    name="verify",
    sort_key=7.5,
    help=(
        "Train stored runs again, and report whether their numbers are the same.\n\n"
        "The answer for each run is bit-identical, equal within a small relative difference, or "
        "differs from some step on, which makes the exit code 7. The store is not changed."
    ),
)
app.command(
    "jmlp.cli.report:report",
    name="report",
    sort_key=8,
    help="Print the tables of a stored study and write its report; nothing is trained.",
)
app.command(
    "jmlp.cli.replay:replay",
    name="replay",
    sort_key=8.5,
    help=(
        "Write one HTML page that plays a stored run or a study; nothing is trained.\n\n"
        "Curves with bands, weights, confusion matrix and layers, snapshot by snapshot. The file "
        "loads nothing from elsewhere and is smaller than 5 MB."
    ),
)

store = App(
    name="store",
    help="The store of runs: check it, rebuild its database, and print its path.",
    sort_key=9,
)
store.command(
    "jmlp.cli.store:check",
    name="check",
    sort_key=1,
    help="Compare the database, files and checkpoints with each other, down to the last bit.",
)
store.command(
    "jmlp.cli.store:rebuild",
    name="rebuild",
    sort_key=2,
    help="Rebuild the database from the files of runs and the checkpoints.",
)
store.command(
    "jmlp.cli.store:path",
    name="path",
    sort_key=3,
    help="Print the folder of stored runs, whether it exists or not.",
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
app.command(
    "jmlp.cli.completion:completion",
    name="completion",
    sort_key=11,
    help="Print the script with which bash, zsh or fish completes jmlp's commands and options.",
)
