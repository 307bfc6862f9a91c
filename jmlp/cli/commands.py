"""The commands and their options."""

from importlib.metadata import version

from cyclopts import App

app = App(
    name="jmlp",
    help=(
        "A multilayer perceptron from scratch in JAX, and experiments with error bars.\n\n"
        "Start with: jmlp study original"
    ),
    version=lambda: f"jmlp {version('jmlp')}",
    version_flags=("--version", "-V"),
    help_flags=("--help", "-h"),
    help_format="plaintext",
)

app.command("jmlp.cli.study:study", name="study")
app.command("jmlp.cli.train:train", name="train")
app.command("jmlp.cli.predict:predict", name="predict")
app.command("jmlp.cli.gradcheck:gradcheck", name="gradcheck")
app.command("jmlp.cli.doctor:doctor", name="doctor")

data = App(name="data", help="Data sets: what there is, where it is, whether it is what it claims.")
data.command("jmlp.cli.data:list_", name="list")
data.command("jmlp.cli.data:get", name="get")
data.command("jmlp.cli.data:check", name="check")
data.command("jmlp.cli.data:path", name="path")
app.command(data)
