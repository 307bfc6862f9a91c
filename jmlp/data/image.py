"""Reads a user's digit, from a picture or an array, and converts it to a network's input."""

import io
import math
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from jmlp.data.contract import SMALLEST, Contract, Looks, measure
from jmlp.data.files import opened, shown
from jmlp.data.ink import find_ink, normalise
from jmlp.data.npz import read_npy_file
from jmlp.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

LARGEST_PICTURE = 2**25  # bytes
MOST_PIXELS = 50_000_000
WORKING_SIZE = 640  # pixels of the longer side for the search for ink
LOOKS_OF_MNIST = Looks(
    ink=(0.054, 0.125, 0.239),
    stroke=(0.038, 0.069, 0.122),
    box=(0.71, 0.714, 0.72),
    offset=(0.003, 0.025, 0.04),
    paper="dark",
)
# How a picture can differ from the training data: in its ink, and in the place of the ink.
INK = {"ink": "ink covers", "stroke": "strokes are wide"}
PLACE = {"box": "the ink spans", "offset": "its centre is off the middle by"}
MIN_SHARE = 0.75  # of the ink on a picture: with less, there may be more than one digit


@dataclass(frozen=True)
class Picture:
    """A user's picture and the network input made from it."""

    read: NDArray[np.uint8]  # (height, width) as in the file, upright and in grey
    seen: NDArray[np.uint8]  # (height, width) as the network sees it
    x: NDArray[Any]  # (n_in,), in the type and scale of the training data
    how: str  # how `x` was made, as shown to users
    cautions: tuple[str, ...]  # why the prediction may be unreliable


def read_image(
    path: Path, image_shape: tuple[int, ...], *, invert: bool = False, as_is: bool | None = None
) -> NDArray[Any]:
    """Read one picture as input for a network trained on MNIST; see `read_picture`.

    Args:
        path: A PNG or JPEG picture, or an `.npy` array.
        image_shape: Shape of one image of the network's data.
        invert: See `read_picture`.
        as_is: See `read_picture`.

    Returns:
        Shape (n_in,), `uint8`.

    Raises:
        DataError: See `read_picture`.
    """
    contract = Contract(image_shape, 10, "uint8", looks=LOOKS_OF_MNIST)
    return read_picture(path, contract, invert=invert, as_is=as_is).x


def read_picture(
    path: Path, contract: Contract, *, invert: bool = False, as_is: bool | None = None
) -> Picture:
    """Read one picture as input for a network.

    For a network trained on pictures of strokes that are placed alike (see
    `Contract.has_placed_strokes`), such as MNIST's, the ink is found, dark or light, on any paper,
    cropped, scaled into the box of the training digits, and centred by its mass. A picture of the
    network's own size in which the digit is already placed like that is not changed.

    With `as_is`, a picture of another size is scaled to fit, keeping its proportions, and padded
    with the colour of its border. An `.npy` array of the network's own shape is also used as it is.

    Args:
        path: A PNG or JPEG picture, or an `.npy` array.
        contract: The input contract of the network.
        invert: Take light for ink where dark was taken, or the reverse.
        as_is: Whether to use the picture as it is; None means yes unless the network was trained
            on strokes that are placed alike.

    Raises:
        DataError: Not such a file, damaged, of an impossible size, blank, or not convertible to the
            network's input.
    """
    name = shown(path)
    if Path(path).suffix != ".npy":
        pixels, colour = _read_file(path, name)
        return _of_pixels(pixels, colour, contract, name, invert=invert, as_is=as_is)
    array = read_npy_file(path)
    if array.shape in (contract.image_shape, (contract.n_in,)) and not as_is and array.size:
        as_is = True
    return picture_of(array, contract, name, invert=invert, as_is=as_is)


def picture_of(
    array: NDArray[Any],
    contract: Contract,
    name: str = "the picture",
    *,
    invert: bool = False,
    as_is: bool | None = None,
) -> Picture:
    """Converts a picture in memory, as `read_picture` does one in a file.

    Args:
        array: `(height, width)`: integers from 0 to 255, or numbers; or of the network's own shape.
        contract: The input contract of the network.
        name: What it is; error messages begin with it.
        invert: See `read_picture`.
        as_is: Likewise.

    Raises:
        DataError: Blank, or not convertible to the network's input.
    """
    fits = array.shape in (contract.image_shape, (contract.n_in,))
    if array.dtype.kind == "f" and fits and array.size:
        return _numbers(array, contract, invert, name)
    pixels = _pixels(array, contract, name)
    colour = pixels.astype(np.float32)
    return _of_pixels(pixels, colour, contract, name, invert=invert, as_is=as_is)


# From pixels to the network's input


def _of_pixels(
    pixels: NDArray[np.uint8],
    colour: NDArray[np.float32],
    contract: Contract,
    name: str,
    *,
    invert: bool,
    as_is: bool | None,
) -> Picture:
    """Chooses the way that suits the network's training data, unless the caller has."""
    if pixels.min() == pixels.max() and (
        colour.ndim == 2 or np.ptp(colour, axis=(0, 1)).max() == 0
    ):
        raise DataError(f"{name}: all pixels are equal: there is nothing to see")
    if as_is is None:
        as_is = not contract.has_placed_strokes
    if as_is or contract.plane is None:
        return _as_is(pixels, contract, invert, name)
    return _digit(pixels, colour, contract, invert, name)


def _digit(
    pixels: NDArray[np.uint8],
    colour: NDArray[np.float32],
    contract: Contract,
    invert: bool,
    name: str,
) -> Picture:
    """Finds the digit on a picture and places it like those of the training data."""
    assert contract.plane is not None
    looks = contract.looks or LOOKS_OF_MNIST
    light = _already_placed(pixels, contract.plane, looks)
    if light is not None and not invert:
        how = "already placed as in the training data"
        return _picture(pixels, light, contract, how, (), name)
    if min(contract.plane) < SMALLEST:
        raise DataError(
            f"{name}: the network expects pictures of {_by(contract.plane)} pixels, too "
            "small for a digit to be found and placed; use it as it is (--as-is)"
        )
    ink = find_ink(colour, invert)
    if ink is None:
        if invert:
            raise DataError(f"{name}: there is no ink on it under the other reading (--invert)")
        raise DataError(
            f"{name}: nothing is drawn on it: no ink stands out from the paper; if that is wrong, "
            "use the picture as it is (--as-is)"
        )
    cautions: list[str] = []
    if ink.share < MIN_SHARE:
        cautions.append(
            f"only {ink.share:.0%} of the ink on the picture is taken for the digit: draw one "
            "digit alone, or crop the picture"
        )
    seen = normalise(ink.strength, contract.plane, looks.box[1], (looks.ink[0], looks.ink[2]))
    ground = "dark ink on light paper" if ink.is_dark else "light ink on dark paper"
    how = f"{ground}: found, cropped and centred"
    return _picture(pixels, seen, contract, how, tuple(cautions), name)


def _already_placed(
    pixels: NDArray[np.uint8], plane: tuple[int, int], looks: Looks
) -> NDArray[np.uint8] | None:
    """The picture, light on dark, if its digit is placed as in the training data, else None."""
    if pixels.shape != plane:
        return None
    rim = _rim(pixels)
    light = pixels if np.median(rim) < 128 else 255 - pixels
    measured = {key: float(value[0]) for key, value in measure(light[None] / 255.0).items()}
    pixel = 1 / max(plane)
    fits = all(
        low - pixel <= measured[key] <= high + pixel
        for key, (low, _, high) in (("box", looks.box), ("offset", looks.offset))
    )
    # Where digits fill the picture, as in 8 x 8, they are on its rim as well.
    has_margin = looks.box[2] + 2 * pixel <= 1
    paper = np.mean(np.where(np.median(rim) < 128, rim, 255 - rim) < 64)
    return light if fits and paper > (0.9 if has_margin else 0.5) else None


def _picture(
    read: NDArray[np.uint8],
    light: NDArray[np.uint8],
    contract: Contract,
    how: str,
    cautions: tuple[str, ...],
    name: str,
) -> Picture:
    """The network's input from light ink on dark, with a caution if unlike the training data."""
    looks = contract.looks or LOOKS_OF_MNIST
    differences = _differences(light, looks, placed=True)
    seen = light if looks.paper == "dark" else 255 - light
    x = contract.convert_pixels(seen.reshape(-1), name)
    return Picture(read, seen, x, how, (*cautions, *differences))


def _differences(light: NDArray[np.uint8], looks: Looks, *, placed: bool) -> list[str]:
    """A caution that states how a picture differs from the training data; empty if it does not.

    Args:
        light: light ink on dark paper.
        looks: of the training data.
        placed: whether its ink has been placed like that of the training data.
    """
    measured = measure(light[None] / 255.0)
    pixel = 1 / max(light.shape)
    differences = []
    for key, words in (INK if placed else INK | PLACE).items():
        value, (low, _, high) = float(measured[key][0]), getattr(looks, key)
        least, most = (low / 1.25, high * 1.25) if key in INK else (low - pixel, high + pixel)
        if not least <= value <= most:
            differences.append(f"{words} {value:.0%} of it, in training {low:.0%} to {high:.0%}")
    if not differences:
        return []
    return [f"it is unlike the network's training data: {'; '.join(differences)}"]


def _as_is(pixels: NDArray[np.uint8], contract: Contract, invert: bool, name: str) -> Picture:
    """The picture as it is, without a search for a digit."""
    shape, plane = contract.image_shape, contract.plane
    read = (
        pixels
        if pixels.ndim == 2
        else pixels.reshape(1, -1)
        if pixels.ndim == 1
        else pixels[..., 0]
    )
    if invert:
        pixels = 255 - pixels
    if pixels.shape in (shape, (contract.n_in,)) or (
        pixels.size == contract.n_in and plane is None
    ):
        how = "as it is"
    elif plane is not None and pixels.ndim == 2:
        how = "as it is" if pixels.shape == plane else f"scaled to {_by(plane)}, otherwise as it is"
        pixels = _fit(pixels, plane)
    else:
        raise DataError(
            f"{name}: shape {pixels.shape}, but the network expects {shape}: save it as an .npy "
            "array of that shape"
        )
    seen = pixels.reshape(plane) if plane else pixels.reshape(1, -1)
    how = f"{how}, inverted" if invert else how
    flat = np.ascontiguousarray(pixels.reshape(-1))
    cautions = _unlike(seen, contract.looks)
    return Picture(read, seen, contract.convert_pixels(flat, name), how, cautions)


def _unlike(seen: NDArray[np.uint8], looks: Looks | None) -> tuple[str, ...]:
    """A caution if a picture that is used as it is does not look like the training data."""
    if looks is None or seen.shape[0] == 1:
        return ()
    paper = "dark" if np.median(_rim(seen)) < 128 else "light"
    if paper != looks.paper:
        return (f"its paper is {paper}, that of the training data {looks.paper}: invert it",)
    return tuple(_differences(seen if paper == "dark" else 255 - seen, looks, placed=False))


def _rim(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The pixels of the border."""
    return np.concatenate((pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]))


def _numbers(array: NDArray[Any], contract: Contract, invert: bool, name: str) -> Picture:
    """The input from an array of floating-point numbers in the network's own shape."""
    with np.errstate(over="ignore"):
        numbers = np.ascontiguousarray(array.reshape(-1), np.float32)
    if not np.isfinite(numbers).all():
        raise DataError(f"{name}: holds numbers that are not finite in float32")
    x = contract.convert_numbers(numbers, name)
    low, high = float(x.min()), float(x.max())
    if low == high:
        raise DataError(f"{name}: all pixels are equal: there is nothing to see")
    if invert:
        x = (low + high - x).astype(x.dtype)
    seen = np.rint(255 * (x.astype(np.float64) - low) / (high - low)).astype(np.uint8)
    seen = seen.reshape(contract.plane or (1, contract.n_in))
    how = "as it is, inverted" if invert else "as it is"
    return Picture(seen, seen, x, how, _unlike(seen, contract.looks))


def _fit(pixels: NDArray[np.uint8], plane: tuple[int, int]) -> NDArray[np.uint8]:
    """Scaled to fit, and padded with the median colour of the border."""
    from PIL import Image

    if pixels.shape == plane:
        return pixels
    scale = min(plane[0] / pixels.shape[0], plane[1] / pixels.shape[1])
    # Without max, a very wide or tall picture would get a side of 0 pixels.
    height, width = (max(1, round(n * scale)) for n in pixels.shape)
    small = Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS)
    frame = np.full(plane, np.uint8(np.median(_rim(pixels))), np.uint8)
    top, left = (plane[0] - height) // 2, (plane[1] - width) // 2
    frame[top : top + height, left : left + width] = np.asarray(small)
    return frame


# From the file to pixels


def _pixels(array: NDArray[Any], contract: Contract, name: str) -> NDArray[np.uint8]:
    """Pixels 0 to 255 from the array of an `.npy` file."""
    rule = f"{array.dtype} {array.shape}; an image is an array of integers 0 to 255 (uint8)"
    if array.size == 0 or array.ndim == 0:
        raise DataError(f"{name}: {rule}")
    if array.dtype.kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind == "f":
        low, high = float(array.min()), float(array.max())
        if not (low >= 0 and high <= 255):  # rejects NaN too
            raise DataError(f"{name}: {rule}")
        whole: NDArray[np.uint8] = np.rint(array * (255 if high <= 1 else 1)).astype(np.uint8)
        return whole
    if array.min() < 0 or array.max() > 255:
        raise DataError(f"{name}: {rule}")
    # With values of 1 and 0 unscaled, ink and paper would both be black.
    white = 255 if array.max() == 1 else 1
    return array.astype(np.uint8) * np.uint8(white)


def _read_file(path: Path, name: str) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """An upright picture: in grey (height, width), and in colour at the working size."""
    from PIL import Image, ImageOps

    with opened(path) as file:
        content = file.read(LARGEST_PICTURE + 1)
    if len(content) > LARGEST_PICTURE:
        raise DataError(f"{name}: more than {LARGEST_PICTURE:,} bytes")
    with _as_data_errors(name), warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", category=UserWarning)  # about damaged EXIF data
        picture: Image.Image = Image.open(io.BytesIO(content), formats=["PNG", "JPEG"])
        if math.prod(picture.size) > MOST_PIXELS:
            raise Image.DecompressionBombError
        picture.draft(None, (2 * WORKING_SIZE, 2 * WORKING_SIZE))  # decode a JPEG at reduced size
        picture = ImageOps.exif_transpose(picture)
        picture = _plain(picture)
        grey = np.asarray(picture.convert("L"))
        small = picture.copy()
        small.thumbnail((WORKING_SIZE, WORKING_SIZE), Image.Resampling.BOX)
        return grey, np.asarray(small, np.float32)


@contextmanager
def _as_data_errors(name: str) -> Iterator[None]:
    """Converts what Pillow raises for an untrusted file to `DataError`."""
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except UnidentifiedImageError as error:
        raise DataError(
            f"{name}: not a PNG or JPEG picture, and not named .npy: save it as one of them"
        ) from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise DataError(f"{name}: too many pixels; at most {MOST_PIXELS:,}") from error
    except (
        OSError,
        ValueError,
        TypeError,
        ArithmeticError,
        LookupError,
        SyntaxError,
        EOFError,
        struct.error,
    ) as error:  # Pillow reports damage by any of these
        raise DataError(f"{name}: a damaged picture ({shown(error)})") from error


def _plain(picture: "Image") -> "Image":
    """Converts to 8-bit grey (L) or colour (RGB), without transparency."""
    from PIL import Image

    if picture.mode.startswith(("I", "F")):
        # The values may use any part of 16 bits; Pillow's own conversion would clip them.
        values = np.asarray(picture, np.float64)
        low, high = values.min(), values.max()
        scaled = np.rint(255 * (values - low) / max(high - low, 1)).astype(np.uint8)
        return Image.fromarray(scaled)
    if picture.has_transparency_data:
        layers = picture.convert("RGBA")
        on_white, on_black = (
            Image.alpha_composite(Image.new("RGBA", picture.size, ground), layers).convert("RGB")
            for ground in ("white", "black")
        )
        # White strokes on a transparent ground would be invisible on white.
        return max((on_white, on_black), key=_contrast)
    return picture.convert("L" if picture.mode in ("1", "L") else "RGB")


def _contrast(picture: "Image") -> int:
    low, high = picture.convert("L").getextrema()
    return int(high) - int(low) >= 32  # type: ignore[arg-type]


def _by(plane: tuple[int, int]) -> str:
    return f"{plane[0]} x {plane[1]}"
