"""`jmlp predict`: classifies a user's image with a saved network."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from jmlp.cli.hardware import Hardware
from jmlp.cli.output import Output
from jmlp.cli.paths import as_path
from jmlp.errors import CheckpointError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from jmlp.data.image import Picture

BAR_WIDTH = 40
PICTURE_WIDTH = 32  # columns, at most
SHADES, PLAIN_SHADES = " ░▒▓█", " .+*#"  # from black to white


def predict(
    file: Annotated[
        Path, Parameter(converter=as_path, help="A network saved by jmlp train --save.")
    ],
    image: Annotated[
        Path, Parameter(converter=as_path, help="A picture (PNG, JPEG) or an array (.npy).")
    ],
    /,
    *,
    invert: Annotated[
        bool,
        Parameter(negative=(), help="Take light areas for ink instead of dark ones, or reversed."),
    ] = False,
    as_is: Annotated[
        bool | None,
        Parameter(
            help="Only scale the picture, without finding, cropping and centring the ink. The "
            "default for a network whose training data are not like MNIST."
        ),
    ] = None,
    hardware: Hardware = Hardware(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> None:
    """Classify an image with a saved network, and print how certain it is."""
    from jmlp.data.image import read_picture

    hardware.start(out.say)
    import numpy as np

    from jmlp.nn import model
    from jmlp.results import weights
    from jmlp.system import numerics

    network = weights.load(file)
    picture = read_picture(image, network.contract, invert=invert, as_is=as_is)
    cautions = list(picture.cautions)
    if network.contract.dtype is None:
        cautions.append(
            f"{file} was written by an earlier version and does not record the range of its "
            "training data; pixels are scaled to 0-1"
        )
    if (fault := network.hyperparams.backward_fault) != "none":
        cautions.append(f"{file} was trained with a mistake in the backward pass: {fault}")

    with numerics.pinned():
        logits = np.asarray(model.predict(network.params, network.state, picture.x[None]))[0]
    if not np.isfinite(logits).all():
        raise CheckpointError(
            f"{file}: its parameters are too large: the output for {image} is not finite; train "
            "it again"
        )
    exp = np.exp(logits - logits.max())
    probabilities = exp / exp.sum()
    answer = int(probabilities.argmax())
    if out.json:
        out.print_json(
            {
                "class": answer,
                "probabilities": [float(p) for p in probabilities],
                "seen": picture.seen.tolist(),
                "how": picture.how,
                "cautions": cautions,
            }
        )
        return
    print(f"{image}: {answer} ({probabilities[answer]:.1%})")
    if not out.quiet:
        bar = "#" if out.plain else "█"
        for number, p in enumerate(probabilities):
            print(f"  {number}  {p:6.1%}  {bar * round(p * BAR_WIDTH)}".rstrip())
        print()
        for line in _side_by_side(picture, out.plain):
            print(line)
    for caution in cautions:
        out.say(f"warning: {caution}")


def _side_by_side(picture: "Picture", plain: bool) -> list[str]:
    """Lines that show the picture as read and as the network sees it; light is a full block."""
    read, seen = _drawn(picture.read, plain), _drawn(picture.seen, plain)
    height, width = picture.read.shape
    left = f"  read: {width} x {height}"
    column = max(len(left), 2 + max(map(len, read))) + 3
    height, width = picture.seen.shape
    lines = [f"{left:<{column}}seen: {width} x {height}, {picture.how}"]
    for index in range(max(len(read), len(seen))):
        at_left = read[index] if index < len(read) else ""
        at_right = seen[index] if index < len(seen) else ""
        lines.append(f"  {at_left:<{column - 2}}{at_right}".rstrip())
    return lines


def _drawn(pixels: "NDArray[np.uint8]", plain: bool) -> list[str]:
    from math import ceil

    from tui.charts.picture import as_plane, shades, shrink

    plane = as_plane(pixels / 255.0, pixels.shape)
    lines = shades(shrink(plane, ceil(max(plane.shape) / PICTURE_WIDTH)))
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    if plain or encoding != "utf8":
        lines = [line.translate(str.maketrans(SHADES, PLAIN_SHADES)) for line in lines]
    return lines
