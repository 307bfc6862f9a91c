"""One's own digit from a picture or an array."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from jmlp.data import read_image
from jmlp.errors import DataError

SHAPE = (28, 28)


def digit() -> NDArray[np.uint8]:
    """A light stroke on dark ground."""
    pixels = np.zeros(SHAPE, np.uint8)
    pixels[4:24, 13:16] = 200
    return pixels


def png(path: Path, image: Image.Image) -> Path:
    image.save(path, "PNG")
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "digit.png"


def test_light_on_dark_is_taken_as_it_is(path: Path) -> None:
    read = read_image(png(path, Image.fromarray(digit())), SHAPE)
    np.testing.assert_array_equal(read, digit().reshape(784), strict=True)


def test_obvious_dark_on_light_is_inverted(path: Path) -> None:
    read = read_image(png(path, Image.fromarray(255 - digit())), SHAPE)
    np.testing.assert_array_equal(read, digit().reshape(784))


@pytest.mark.parametrize(("n_dark", "inverted"), [(10, True), (11, False)])
def test_obvious_means_that_nine_of_ten_pixels_of_the_rim_are_light(
    n_dark: int, inverted: bool, path: Path
) -> None:
    pixels = 255 - digit()
    pixels[0, :n_dark] = 0  # of the 108 of the rim
    expected = 255 - pixels if inverted else pixels
    np.testing.assert_array_equal(
        read_image(png(path, Image.fromarray(pixels)), SHAPE), expected.reshape(784)
    )


@pytest.mark.parametrize("invert", [True, False])
def test_asked_inversion_does_not_look_at_the_rim(invert: bool, path: Path) -> None:
    for pixels in (digit(), 255 - digit()):
        read = read_image(png(path, Image.fromarray(pixels)), SHAPE, invert)
        np.testing.assert_array_equal(read, (255 - pixels if invert else pixels).reshape(784))


def test_colours_become_grey_and_transparent_places_paper(path: Path) -> None:
    colours = np.zeros((*SHAPE, 4), np.uint8)
    colours[digit() > 0] = (0, 0, 0, 255)
    read = read_image(png(path, Image.fromarray(colours)), SHAPE)
    np.testing.assert_array_equal(read, (digit() > 0).reshape(784) * np.uint8(255))


def test_sixteen_bit_grey_is_scaled_and_not_cut(path: Path) -> None:
    read = read_image(png(path, Image.fromarray(digit() * np.uint16(256))), SHAPE)
    np.testing.assert_array_equal(read, digit().reshape(784))


def test_another_size_is_scaled_with_its_proportions_and_filled_with_black(path: Path) -> None:
    wide = np.full((50, 100), 255, np.uint8)
    wide[20:30, 10:90] = 0  # a dark bar on light paper
    read = read_image(png(path, Image.fromarray(wide)), SHAPE).reshape(SHAPE)
    assert read[:6].max() == read[22:].max() == 0
    assert read[13:15, 6:22].min() > 200


@pytest.mark.parametrize("shape", [(28, 28), (784,), (28, 28, 1)])
def test_an_npy_array_of_the_network_s_shape_is_taken_as_it_is(
    shape: tuple[int, ...], tmp_path: Path
) -> None:
    pixels = 255 - digit()
    np.save(tmp_path / "digit.npy", pixels.reshape(shape).astype(np.int64))
    read = read_image(tmp_path / "digit.npy", (28, 28, 1) if len(shape) == 3 else SHAPE)
    np.testing.assert_array_equal(read, pixels.reshape(784), strict=True)


def refusal(path: Path, shape: tuple[int, ...] = SHAPE) -> str:
    with pytest.raises(DataError) as error:
        read_image(path, shape)
    assert str(error.value).startswith(f"{path}: ")
    return str(error.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    "array", [np.full(SHAPE, 0.5), np.full(SHAPE, 256), np.full(SHAPE, -1), np.zeros((0, 28), int)]
)
def test_an_array_that_is_no_image_is_refused(array: NDArray[np.generic], tmp_path: Path) -> None:
    np.save(tmp_path / "digit.npy", array)
    assert refusal(tmp_path / "digit.npy") == (
        f"{array.dtype} {array.shape}; an image is an array of integers 0 to 255 (uint8)"
    )


def test_pictures_for_a_network_of_plain_numbers_are_refused(path: Path) -> None:
    assert refusal(png(path, Image.fromarray(digit())), (30,)) == (
        "shape (28, 28), but the network takes (30,): save it as an .npy array of that shape"
    )


def test_an_empty_picture_is_refused(path: Path) -> None:
    blank = png(path, Image.new("L", (28, 28), "white"))
    assert refusal(blank) == "all pixels are equal: there is nothing to see"


def test_what_is_no_png_is_refused(path: Path) -> None:
    Image.fromarray(digit()).save(path, "BMP")
    assert refusal(path) == "not a PNG picture, and not named .npy"


@pytest.mark.parametrize("size", [(10_000, 5_001), (20_000, 5_000), (20_000, 10_000)])
def test_a_picture_that_unpacks_to_too_much_is_refused(size: tuple[int, int], path: Path) -> None:
    png(path, Image.new("1", size))
    assert refusal(path) == "too many pixels; at most 50,000,000"


def test_every_cut_and_every_flipped_byte_of_a_picture_is_a_picture_or_refused(path: Path) -> None:
    png(path, Image.fromarray(digit()))
    content = path.read_bytes()
    flipped = [
        content[:n] + bytes([content[n] ^ bit]) + content[n + 1 :]
        for n in range(len(content))
        for bit in (1, 0x80)
    ]
    n_read = 0
    for damaged in [content[:n] for n in range(len(content))] + flipped:
        path.write_bytes(damaged)
        try:
            assert read_image(path, SHAPE).shape == (784,)
        except DataError:
            continue
        n_read += 1
    assert n_read < len(content)
