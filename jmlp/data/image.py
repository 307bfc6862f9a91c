"""One's own digit, from a picture or an array."""

import io
import math
import struct
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from jmlp.data.files import opened, shown
from jmlp.data.npz import read_npy_file
from jmlp.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

LARGEST_PICTURE = 2**25  # bytes
MOST_PIXELS = 50_000_000
LIGHT = 170  # two thirds of white
OBVIOUS = 0.9  # of the border's pixels


def read_image(
    path: Path, image_shape: tuple[int, ...], invert: bool | None = None
) -> NDArray[np.uint8]:
    """Read one image as a network takes it: light strokes on dark ground.

    A picture that is dark on light is inverted only where that is obvious: where at least nine of
    ten pixels of its outermost rim are light (170 to 255). `invert` says it instead. Transparent
    places are white paper, colours become grey. Another size is scaled to fit, its proportions
    kept, the rest filled with black. An `.npy` array of the network's own shape is taken as it is.

    Args:
        path: A PNG picture, or an `.npy` array of integers 0 to 255, flat or of the image's shape.
        image_shape: Shape of one image of the network's data.
        invert: Whether to invert; None decides by the rim, and never inverts an `.npy` array.

    Returns:
        Shape (n_in,).

    Raises:
        DataError: Not such a file, damaged, of an impossible size, or all pixels are equal.
    """
    name = shown(path)
    pixels = _read_array(path, name) if Path(path).suffix == ".npy" else _read_png(path, name)
    if invert is None:
        invert = Path(path).suffix != ".npy" and _is_dark_on_light(pixels)
    if invert:
        pixels = 255 - pixels
    if pixels.min() == pixels.max():
        raise DataError(f"{name}: all pixels are equal: there is nothing to see")
    if pixels.shape not in (image_shape, (math.prod(image_shape),)):
        pixels = _fit(pixels, image_shape, name)
    return np.ascontiguousarray(pixels.reshape(-1))


def _read_array(path: Path, name: str) -> NDArray[np.uint8]:
    array = read_npy_file(path)
    if array.dtype.kind not in "iu" or array.size == 0 or array.min() < 0 or array.max() > 255:
        raise DataError(
            f"{name}: {array.dtype} {array.shape}; an image is an array of integers 0 to 255 "
            "(uint8)"
        )
    return array.astype(np.uint8)


def _read_png(path: Path, name: str) -> NDArray[np.uint8]:
    from PIL import Image, UnidentifiedImageError

    with opened(path) as file:
        content = file.read(LARGEST_PICTURE + 1)
    if len(content) > LARGEST_PICTURE:
        raise DataError(f"{name}: more than {LARGEST_PICTURE:,} bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(content), formats=["PNG"])
        if math.prod(picture.size) > MOST_PIXELS:
            raise Image.DecompressionBombError
        return _grey(picture)
    except UnidentifiedImageError as error:
        raise DataError(f"{name}: not a PNG picture, and not named .npy") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise DataError(f"{name}: too many pixels; at most {MOST_PIXELS:,}") from error
    except (
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        struct.error,
    ) as error:  # as Pillow reports damage
        raise DataError(f"{name}: a damaged PNG picture ({shown(error)})") from error


def _grey(picture: "Image") -> NDArray[np.uint8]:
    from PIL import Image

    if picture.mode.startswith("I"):  # 16 bits of grey; Pillow's own conversion cuts, not scales
        return (np.asarray(picture, np.uint32) >> 8).astype(np.uint8)
    if picture.has_transparency_data:
        paper = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(paper, picture.convert("RGBA"))
    return np.asarray(picture.convert("L"))


def _is_dark_on_light(pixels: NDArray[np.uint8]) -> bool:
    rim = np.concatenate((pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]))
    return bool(np.mean(rim >= LIGHT) >= OBVIOUS)


def _fit(pixels: NDArray[np.uint8], image_shape: tuple[int, ...], name: str) -> NDArray[np.uint8]:
    from PIL import Image, ImageOps

    shape = image_shape[:2] if image_shape[2:] == (1,) else image_shape
    if len(shape) != 2 or pixels.ndim != 2:
        raise DataError(
            f"{name}: shape {pixels.shape}, but the network takes {image_shape}: save it as an "
            ".npy array of that shape"
        )
    fitted = ImageOps.pad(Image.fromarray(pixels), shape[::-1], Image.Resampling.LANCZOS, color=0)
    return np.asarray(fitted)
