"""`jmlp predict`: what a saved network says of one's own digit."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from jmlp.cli.hardware import Hardware
from jmlp.cli.output import Output
from jmlp.cli.paths import as_path

BAR_WIDTH = 40


def predict(
    file: Annotated[
        Path, Parameter(converter=as_path, help="A network, saved by jmlp train --save.")
    ],
    image: Annotated[
        Path, Parameter(converter=as_path, help="A picture (PNG) or an array (.npy).")
    ],
    /,
    *,
    hardware: Hardware = Hardware(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> None:
    """Say which class a network sees in an image, and how sure it is."""
    from jmlp.data import read_image

    hardware.start(out.say)
    import numpy as np

    from jmlp import model, numerics, weights

    network = weights.load(file)
    pixels = read_image(image, network.image_shape)

    with numerics.pinned():
        logits = np.asarray(model.predict(network.params, network.state, pixels[None]))[0]
    exp = np.exp(logits - logits.max())
    probabilities = exp / exp.sum()
    answer = int(probabilities.argmax())
    if out.json:
        out.print_json({"class": answer, "probabilities": [float(p) for p in probabilities]})
        return
    print(f"{image}: {answer} ({probabilities[answer]:.1%})")
    if not out.quiet:
        bar = "#" if out.plain else "█"
        for number, p in enumerate(probabilities):
            print(f"  {number}  {p:6.1%}  {bar * round(p * BAR_WIDTH)}".rstrip())
