"""One's own digit, from a picture or an array, in the form that a network takes."""

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
WORKING = 640  # pixels of the longer side at which ink is looked for
LOOKS_OF_MNIST = Looks(
    ink=(0.054, 0.125, 0.239),
    stroke=(0.038, 0.069, 0.122),
    box=(0.71, 0.714, 0.72),
    offset=(0.003, 0.025, 0.04),
    paper="dark",
)
MOST = 0.75  # of the ink on a picture: less, and there may be more than one digit


@dataclass(frozen=True)
class Picture:
    """One's own picture, and what became of it."""

    read: NDArray[np.uint8]  # (height, width) as it lies in the file, upright and in grey
    seen: NDArray[np.uint8]  # (height, width) as the network sees it
    x: NDArray[Any]  # (n_in,) of the type and scale of the network's training data
    how: str  # it was made, for people
    cautions: tuple[str, ...]  # why its answer may be worth little


def read_image(
    path: Path, image_shape: tuple[int, ...], *, invert: bool = False, as_is: bool | None = None
) -> NDArray[Any]:
    """Read one picture as a network trained on MNIST takes it; see `read_picture`.

    Args:
        path: A PNG or JPEG picture, or an `.npy` array.
        image_shape: Shape of one image of the network's data.
        invert: As for `read_picture`.
        as_is: As for `read_picture`.

    Returns:
        Shape (n_in,), `uint8`.

    Raises:
        DataError: As `read_picture`.
    """
    contract = Contract(image_shape, 10, "uint8", looks=LOOKS_OF_MNIST)
    return read_picture(path, contract, invert=invert, as_is=as_is).x


def read_picture(
    path: Path, contract: Contract, *, invert: bool = False, as_is: bool | None = None
) -> Picture:
    """Read one picture as a network takes it.

    For a network that was trained on pictures like MNIST's, the ink is found, dark or light,
    whatever the paper, cropped, scaled into the box that digits have there, and centred by its
    mass. A picture of the network's own size in which the digit lies so already is left as it lies.

    As it is, a picture of another size is scaled to fit, its proportions kept, the rest filled with
    the colour of its rim. An `.npy` array of the network's own shape is taken as it is, too.

    Args:
        path: A PNG or JPEG picture, or an `.npy` array.
        contract: What the network takes.
        invert: Take light for ink where dark was taken, or the reverse.
        as_is: Whether the picture is taken as it is; None: unless the network was trained on
            pictures like MNIST's.

    Raises:
        DataError: Not such a file, damaged, of an impossible size, with nothing drawn on it, or it
            cannot become what the network takes.
    """
    name = shown(path)
    if Path(path).suffix == ".npy":
        array = read_npy_file(path)
        own = array.shape in (contract.image_shape, (contract.n_in,))
        if own and not as_is and array.size:
            as_is = True
        if array.dtype.kind == "f" and own and array.size:
            return _numbers(array, contract, invert, name)
        pixels = _pixels(array, contract, name)
        colour: NDArray[np.float32] = pixels.astype(np.float32)
    else:
        pixels, colour = _read_file(path, name)
    if pixels.min() == pixels.max() and (
        colour.ndim == 2 or np.ptp(colour, axis=(0, 1)).max() == 0
    ):
        raise DataError(f"{name}: all pixels are equal: there is nothing to see")
    if as_is is None:
        as_is = not contract.like_mnist
    if as_is or contract.plane is None:
        return _as_is(pixels, contract, invert, name)
    return _digit(pixels, colour, contract, invert, name)


# What the network sees


def _digit(
    pixels: NDArray[np.uint8],
    colour: NDArray[np.float32],
    contract: Contract,
    invert: bool,
    name: str,
) -> Picture:
    """The digit on a picture, placed as MNIST's are."""
    assert contract.plane is not None
    looks = contract.looks or LOOKS_OF_MNIST
    light = _lies_right(pixels, contract.plane, looks)
    if light is not None and not invert:
        how = "it lies as in the training data"
        return _picture(pixels, light, contract, how, (), name)
    if min(contract.plane) < SMALLEST:
        raise DataError(
            f"{name}: the network takes pictures of {_by(contract.plane)} pixels, too small for a "
            "digit to be found and placed; take it as it is (--as-is)"
        )
    ink = find_ink(colour, invert)
    if ink is None:
        if invert:
            raise DataError(f"{name}: there is no ink on it under the other reading (--invert)")
        raise DataError(
            f"{name}: nothing is drawn on it: no ink stands out from the paper; if that is wrong, "
            "take the picture as it is (--as-is)"
        )
    found: list[str] = []
    if ink.share < MOST:
        found.append(
            f"only {ink.share:.0%} of the ink on the picture is taken for the digit: draw one "
            "digit alone, or crop the picture"
        )
    seen = normalise(ink.strength, contract.plane, looks.box[1])
    ground = "dark ink on light paper" if ink.is_dark else "light ink on dark paper"
    how = f"{ground}: found, cropped and centred"
    return _picture(pixels, seen, contract, how, tuple(found), name)


def _lies_right(
    pixels: NDArray[np.uint8], plane: tuple[int, int], looks: Looks
) -> NDArray[np.uint8] | None:
    """The picture, light on dark, if the digit in it lies as in the training data."""
    if pixels.shape != plane:
        return None
    rim = np.concatenate((pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]))
    light = pixels if np.median(rim) < 128 else 255 - pixels
    found = {key: float(value[0]) for key, value in measure(light[None] / 255.0).items()}
    pixel = 1 / max(plane)
    fits = all(
        low - pixel <= found[key] <= high + pixel
        for key, (low, _, high) in (("box", looks.box), ("offset", looks.offset))
    )
    fits = fits and bool(np.mean(np.where(np.median(rim) < 128, rim, 255 - rim) < 64) > 0.9)
    return light if fits else None


def _picture(
    read: NDArray[np.uint8],
    light: NDArray[np.uint8],
    contract: Contract,
    how: str,
    found: tuple[str, ...],
    name: str,
) -> Picture:
    """Of light ink on dark, what the network takes; and a word where it is unlike its data."""
    looks = contract.looks or LOOKS_OF_MNIST
    unlike = _unlike(light, looks)
    seen = light if looks.paper == "dark" else 255 - light
    x = contract.take(seen.reshape(-1), name)
    return Picture(read, seen, x, how, (*found, *unlike))


def _unlike(light: NDArray[np.uint8], looks: Looks) -> list[str]:
    """In which way a picture is unlike those that the network was trained on, if it is."""
    found = measure(light[None] / 255.0)
    told = []
    for key, words in (("ink", "ink covers"), ("stroke", "strokes are wide")):
        value, (low, _, high) = float(found[key][0]), getattr(looks, key)
        if not low / 1.25 <= value <= high * 1.25:
            told.append(f"{words} {value:.0%} of it, in training {low:.0%} to {high:.0%}")
    if not told:
        return []
    return [f"it is unlike the network's training data: {'; '.join(told)}"]


def _as_is(pixels: NDArray[np.uint8], contract: Contract, invert: bool, name: str) -> Picture:
    """The picture without a look at what is on it."""
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
        how = "as it is" if pixels.shape == plane else f"scaled to {_by(plane)}, else as it is"
        pixels = _fit(pixels, plane)
    else:
        raise DataError(
            f"{name}: shape {pixels.shape}, but the network takes {shape}: save it as an .npy "
            "array of that shape"
        )
    seen = pixels.reshape(plane) if plane else pixels.reshape(1, -1)
    how = f"{how}, inverted" if invert else how
    flat = np.ascontiguousarray(pixels.reshape(-1))
    return Picture(read, seen, contract.take(flat, name), how, ())


def _numbers(array: NDArray[Any], contract: Contract, invert: bool, name: str) -> Picture:
    """An array of floating-point numbers of the network's own shape."""
    with np.errstate(over="ignore"):
        numbers = np.ascontiguousarray(array.reshape(-1), np.float32)
    if not np.isfinite(numbers).all():
        raise DataError(f"{name}: holds numbers that are not finite in float32")
    x = contract.take_numbers(numbers, name)
    low, high = float(x.min()), float(x.max())
    if low == high:
        raise DataError(f"{name}: all pixels are equal: there is nothing to see")
    if invert:
        x = (low + high - x).astype(x.dtype)
    shape = contract.plane or (1, contract.n_in)
    seen = np.rint(255 * (x.astype(np.float64) - low) / (high - low)).astype(np.uint8)
    how = "as it is, inverted" if invert else "as it is"
    return Picture(seen.reshape(shape), seen.reshape(shape), x, how, ())


def _fit(pixels: NDArray[np.uint8], plane: tuple[int, int]) -> NDArray[np.uint8]:
    """Scaled to fit, the rest filled with the colour of the rim."""
    from PIL import Image

    if pixels.shape == plane:
        return pixels
    scale = min(plane[0] / pixels.shape[0], plane[1] / pixels.shape[1])
    # A very wide or high picture would get no pixels at all.
    height, width = (max(1, round(n * scale)) for n in pixels.shape)
    small = Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS)
    rim = np.concatenate((pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]))
    frame = np.full(plane, np.uint8(np.median(rim)), np.uint8)
    top, left = (plane[0] - height) // 2, (plane[1] - width) // 2
    frame[top : top + height, left : left + width] = np.asarray(small)
    return frame


# What is in the file


def _pixels(array: NDArray[Any], contract: Contract, name: str) -> NDArray[np.uint8]:
    """Pixels 0 to 255 of an array in an `.npy` file."""
    wanted = f"{array.dtype} {array.shape}; an image is an array of integers 0 to 255 (uint8)"
    if array.size == 0 or array.ndim == 0:
        raise DataError(f"{name}: {wanted}")
    if array.dtype.kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind == "f":
        low, high = float(array.min()), float(array.max())
        if not (low >= 0 and high <= 255):  # NaN is neither
            raise DataError(f"{name}: {wanted}")
        whole: NDArray[np.uint8] = np.rint(array * (255 if high <= 1 else 1)).astype(np.uint8)
        return whole
    if array.min() < 0 or array.max() > 255:
        raise DataError(f"{name}: {wanted}")
    # Ink and paper as 1 and 0 would be black on black.
    white = 255 if array.max() == 1 else 1
    return array.astype(np.uint8) * np.uint8(white)


def _read_file(path: Path, name: str) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A picture upright: in grey (height, width), and in colour at the size to look for ink."""
    from PIL import Image, ImageOps

    with opened(path) as file:
        content = file.read(LARGEST_PICTURE + 1)
    if len(content) > LARGEST_PICTURE:
        raise DataError(f"{name}: more than {LARGEST_PICTURE:,} bytes")
    with _as_data_errors(name), warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", category=UserWarning)  # of damaged EXIF data
        picture: Image.Image = Image.open(io.BytesIO(content), formats=["PNG", "JPEG"])
        if math.prod(picture.size) > MOST_PIXELS:
            raise Image.DecompressionBombError
        picture.draft(None, (2 * WORKING, 2 * WORKING))  # a JPEG is unpacked smaller, if it can be
        picture = ImageOps.exif_transpose(picture)
        picture = _plain(picture)
        grey = np.asarray(picture.convert("L"))
        small = picture.copy()
        small.thumbnail((WORKING, WORKING), Image.Resampling.BOX)
        return grey, np.asarray(small, np.float32)


@contextmanager
def _as_data_errors(name: str) -> Iterator[None]:
    """What Pillow raises for a file made by anybody, in our words."""
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
    ) as error:  # as Pillow reports damage
        raise DataError(f"{name}: a damaged picture ({shown(error)})") from error


def _plain(picture: "Image") -> "Image":
    """In grey (L) or in colour (RGB), of 8 bits, nothing transparent."""
    from PIL import Image

    if picture.mode.startswith(("I", "F")):
        # 16 bits, of which the values may take up any part: Pillow's own conversion cuts them off.
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
        # White strokes on nothing are not to be seen on white paper.
        return max((on_white, on_black), key=_contrast)
    return picture.convert("L" if picture.mode in ("1", "L") else "RGB")


def _contrast(picture: "Image") -> int:
    low, high = picture.convert("L").getextrema()
    return int(high) - int(low) >= 32  # type: ignore[arg-type]


def _by(plane: tuple[int, int]) -> str:
    return f"{plane[0]} x {plane[1]}"
