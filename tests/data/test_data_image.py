"""A user's digit from a picture or an array."""

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from own_pictures import KINDS, drawn, in_falling_light, noisy, painted, ruled
from own_pictures import png as own_png
from PIL import Image
from sklearn.datasets import load_sample_image

import jmlp
from jmlp.data import load, load_mnist, read_image, synthetic
from jmlp.data.arrays import own_dataset
from jmlp.data.contract import Contract, contract_of
from jmlp.data.image import picture_of, read_picture
from jmlp.errors import DataError

SHAPE = (28, 28)
DRAWN = synthetic(10, 40)
assert DRAWN.x_test is not None
DIGITS = DRAWN.x_test.reshape(-1, 28, 28)
LABELS = DRAWN.y_test
CONTRACT = contract_of(synthetic())
COARSE = load("digits-8x8")
COARSE_CONTRACT = contract_of(COARSE)


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


def test_as_it_is_a_picture_on_the_other_paper_has_a_caution(path: Path) -> None:
    contract = CONTRACT
    png(path, Image.fromarray(255 - digit()))
    told = "its paper is light, that of the training data dark: invert it"
    assert read_picture(path, contract, as_is=True).cautions == (told,)
    assert read_picture(path, contract, as_is=True, invert=True).cautions == ()
    png(path, Image.fromarray(digit()))
    assert read_picture(path, contract, as_is=True).cautions == ()


def test_as_it_is_a_picture_is_neither_inverted_nor_moved(path: Path) -> None:
    corner = np.full(SHAPE, 255, np.uint8)
    corner[1:9, 1:4] = 0
    png(path, Image.fromarray(corner))
    np.testing.assert_array_equal(read_image(path, SHAPE, as_is=True), corner.reshape(784))
    inverted = read_image(path, SHAPE, as_is=True, invert=True)
    np.testing.assert_array_equal(inverted, 255 - corner.reshape(784))


def test_inverted_means_the_other_ink_than_was_taken(path: Path) -> None:
    both = np.full((200, 300), 128, np.uint8)
    both[50:150, 60:72] = 0
    both[90:102, 160:240] = 255
    png(path, Image.fromarray(both))
    found, other = (
        read_image(path, SHAPE, invert=invert).reshape(SHAPE) > 127 for invert in (False, True)
    )
    assert found.any(axis=1).sum() == 20
    assert other.any(axis=0).sum() == 20
    assert found.any(axis=0).sum() < 5
    assert other.any(axis=1).sum() < 5


def test_colours_become_grey_and_transparent_places_paper(path: Path) -> None:
    colours = np.zeros((*SHAPE, 4), np.uint8)
    colours[digit() > 0] = (0, 0, 0, 255)
    read = read_image(png(path, Image.fromarray(colours)), SHAPE)
    np.testing.assert_array_equal(read, (digit() > 0).reshape(784) * np.uint8(255))


@pytest.mark.parametrize("top", [3, 200, 51200, 65535])
def test_sixteen_bit_grey_is_scaled_by_its_own_range(top: int, path: Path) -> None:
    values = np.where(digit() > 0, top, 0).astype(np.uint16)
    read = read_image(png(path, Image.fromarray(values)), SHAPE)
    np.testing.assert_array_equal(read, (digit() > 0).reshape(784) * np.uint8(255))


@pytest.mark.parametrize("as_is", [None, True, False])
@pytest.mark.parametrize("paper", ["light", "dark"])
def test_a_picture_in_memory_is_converted_like_one_in_a_file(
    paper: str, as_is: bool | None, tmp_path: Path
) -> None:
    pixels = np.asarray(bar(150, 200, (60, 20), (50, 8)))
    pixels = pixels if paper == "light" else 255 - pixels
    contract = contract_of(DRAWN)
    png(tmp_path / "bar.png", Image.fromarray(pixels))
    np.save(tmp_path / "bar.npy", pixels)
    here = picture_of(pixels, contract, as_is=as_is)
    for name in ("bar.png", "bar.npy"):
        there = read_picture(tmp_path / name, contract, as_is=as_is)
        for one, other in ((here.read, there.read), (here.seen, there.seen), (here.x, there.x)):
            np.testing.assert_array_equal(one, other, strict=True)
        assert (here.how, here.cautions) == (there.how, there.cautions)


def bar(height: int, width: int, at: tuple[int, int], size: tuple[int, int]) -> Image.Image:
    """A dark bar on light paper."""
    pixels = np.full((height, width), 240, np.uint8)
    pixels[at[0] : at[0] + size[0], at[1] : at[1] + size[1]] = 20
    return Image.fromarray(pixels)


@pytest.mark.parametrize("at", [(10, 10), (60, 250), (150, 30)])
def test_ink_anywhere_is_cropped_to_twenty_pixels_and_centred_by_its_mass(
    at: tuple[int, int], path: Path
) -> None:
    read = read_image(png(path, bar(300, 400, at, (100, 15))), SHAPE).reshape(SHAPE)
    rows, columns = np.nonzero(read > 127)
    assert (rows.min(), rows.max()) == (4, 23)
    assert abs(columns.mean() - 13.5) <= 0.5
    assert 2 <= np.ptp(columns) + 1 <= 4
    assert read.max() == 255


@pytest.mark.parametrize(("height", "width"), [(3, 400), (400, 3), (20, 2000)])
def test_picture_of_any_proportions_is_read(height: int, width: int, path: Path) -> None:
    png(path, bar(height, width, (height // 3, width // 3), (height // 3 + 1, width // 3 + 1)))
    for as_is in (True, False):
        read = read_image(path, SHAPE, as_is=as_is)
        assert read.shape == (784,)
        assert read.dtype == np.uint8
        assert np.ptp(read) > 0


def test_network_of_flat_images_takes_pictures_where_they_are_a_square(path: Path) -> None:
    png(path, bar(300, 400, (60, 200), (100, 15)))
    np.testing.assert_array_equal(read_image(path, (784,)), read_image(path, SHAPE))


def test_picture_of_the_right_number_of_pixels_is_taken_by_a_network_of_plain_numbers(
    path: Path,
) -> None:
    pixels = np.arange(30, dtype=np.uint8).reshape(5, 6)
    read = read_image(png(path, Image.fromarray(pixels)), (30,))
    np.testing.assert_array_equal(read, np.arange(30))


@pytest.mark.parametrize("kind", ["white", "noise", "falling light", "ruled"])
def test_sheet_with_nothing_on_it_is_refused(kind: str, path: Path) -> None:
    rng = np.random.default_rng(0)
    sheet = painted(np.zeros((240, 320)))
    sheet = {
        "white": sheet + (np.arange(320) % 2)[:, None],
        "noise": noisy(sheet, rng),
        "falling light": in_falling_light(sheet, rng),
        "ruled": ruled(sheet, 24, (150, 170, 200)),
    }[kind]
    path.write_bytes(own_png(sheet))
    assert refusal(path) == (
        "nothing is drawn on it: no ink stands out from the paper; if that is wrong, use the "
        "picture as it is (--as-is)"
    )


def cautions(path: Path) -> str:
    return "; ".join(read_picture(path, CONTRACT).cautions)


def test_digit_like_the_training_data_needs_no_caution(path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(3):
        path.write_bytes(KINDS["on a sheet"](DIGITS[number], rng))
        assert cautions(path) == ""


@pytest.mark.parametrize("size", [(60, 70), (80, 150)])
def test_blot_is_reported_as_unlike_the_training_data(size: tuple[int, int], path: Path) -> None:
    png(path, bar(240, 320, (60, 70), size))
    assert cautions(path).startswith("it is unlike the network's training data: ")


def test_second_thing_on_the_sheet_is_reported(path: Path) -> None:
    ink = np.zeros((240, 640))
    ink[20:220, 20:220] = drawn(DIGITS[0], 200)
    ink[20:220, 420:620] = drawn(DIGITS[1], 200)
    ink[140:200, 300:360] = drawn(DIGITS[2], 60)
    path.write_bytes(own_png(painted(ink)))
    assert "of the ink on the picture is taken for the digit: draw one digit alone" in cautions(
        path
    )


@pytest.fixture(scope="module")
def small_network() -> jmlp.RunResult:
    """A network of the synthetic digits."""
    data = synthetic()
    hp = jmlp.Hyperparams(hidden=(64,), optimizer="adam", learning_rate=0.002, epochs=8)
    return jmlp.fit(hp, data.x_train, data.y_train)


def right(
    network: jmlp.RunResult, kind: str, digits: NDArray[Any], labels: Any, path: Path
) -> float:
    """How many of a kind of picture are answered right."""
    rng = np.random.default_rng(0)
    rows = []
    for digit in digits:
        path.write_bytes(KINDS[kind](digit, rng))
        rows.append(read_image(path, SHAPE))
    logits = np.asarray(jmlp.predict(network.params, network.state, np.stack(rows)))
    return float(np.mean(logits.argmax(axis=1) == labels[: len(digits)]))


@pytest.mark.parametrize("kind", KINDS)
def test_drawn_digits_of_every_kind_are_recognised(
    kind: str, small_network: jmlp.RunResult, path: Path
) -> None:
    assert right(small_network, kind, DIGITS[:6], LABELS, path) >= 5 / 6


@functools.cache
def coarse_network() -> jmlp.RunResult:
    """A network of digits of 8 x 8 pixels, which recognises 88 % of their test pictures."""
    hp = jmlp.Hyperparams(
        hidden=(64,), optimizer="adam", learning_rate=0.005, batch_size=32, epochs=8
    )
    return jmlp.fit(hp, COARSE.x_train, COARSE.y_train)


def coarse_accuracy(x: list[NDArray[Any]]) -> float:
    """Of the first test pictures of 8 x 8 pixels, in any form."""
    network = coarse_network()
    logits = np.asarray(jmlp.predict(network.params, network.state, np.stack(x)))
    assert COARSE.y_test is not None
    return float(np.mean(logits.argmax(axis=1) == COARSE.y_test[: len(x)]))


def coarse_digits(n: int) -> list[NDArray[np.uint8]]:
    assert COARSE.x_test is not None
    return [row.reshape(8, 8) for row in COARSE.x_test[:n]]


def test_pictures_of_8_x_8_whose_digits_fill_them_are_taken_as_they_are() -> None:
    for small in coarse_digits(20):
        picture = picture_of(small, COARSE_CONTRACT)
        assert picture.how == "already placed as in the training data"
        np.testing.assert_array_equal(picture.seen, small)


@pytest.mark.parametrize("paper", ["dark", "light"])
@pytest.mark.parametrize("place", [(40, 40), (4, 70)])
def test_digits_of_8_x_8_are_recognised_when_they_come_large_and_anywhere(
    place: tuple[int, int], paper: str
) -> None:
    top, left = place
    digits = coarse_digits(30)
    seen = []
    for small in digits:
        sheet = np.zeros((200, 200), np.uint8)
        large = Image.fromarray(small).resize((120, 120), Image.Resampling.NEAREST)
        sheet[top : top + 120, left : left + 120] = np.asarray(large)
        picture = picture_of(sheet if paper == "dark" else 255 - sheet, COARSE_CONTRACT)
        assert picture.how.endswith("found, cropped and centred")
        seen.append(picture.x)
    known = coarse_accuracy([small.reshape(-1) for small in digits])
    assert known >= 0.9
    assert coarse_accuracy(seen) >= known - 0.1


def test_a_digit_for_8_x_8_pixels_gets_the_box_and_the_ink_of_the_training_digits() -> None:
    looks = COARSE_CONTRACT.looks
    assert looks is not None
    for width in (2, 12, 24):  # of the pen, on a sheet of 200 x 200
        sheet = np.zeros((200, 200), np.uint8)
        sheet[20:100, 30 : 30 + width] = sheet[20 : 20 + width, 30:90] = 255
        seen = picture_of(sheet, COARSE_CONTRACT).seen
        assert (seen > 127).any(axis=1).sum() == 8
        assert looks.ink[0] - 0.01 <= seen.mean() / 255 <= looks.ink[2] + 0.01


def looks_of(pictures: NDArray[np.uint8]) -> Contract:
    arrays: dict[str, NDArray[Any]] = {"x_train": pictures, "y_train": np.arange(len(pictures)) % 2}
    return contract_of(own_dataset("pictures", arrays, "pictures"))


def faces(side: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A light face with eyes and a mouth on a dark ground, always of nearly the same size."""
    y, x = np.mgrid[0:side, 0:side] / (side - 1) * 2 - 1
    face = np.where(
        (x / rng.uniform(0.5, 0.7)) ** 2 + (y / rng.uniform(0.8, 0.95)) ** 2 < 1, 180, 20
    )
    for eye in (-0.25, 0.25):
        face = np.where(((x - eye) / 0.1) ** 2 + ((y + 0.2) / 0.07) ** 2 < 1, 60, face)
    face = np.where((abs(x) < 0.25) & (abs(y - 0.4) < 0.05), 80, face)
    noisy_face: NDArray[np.float64] = face + rng.normal(0, 8, face.shape)
    return np.clip(noisy_face, 0, 255).astype(np.uint8)


def photographs(side: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A part of a photograph that comes with scikit-learn."""
    image = load_sample_image(str(rng.choice(["china.jpg", "flower.jpg"]))).mean(axis=2)
    size = int(rng.integers(2 * side, min(image.shape)))
    top, left = (int(rng.integers(0, n - size + 1)) for n in image.shape)
    part = Image.fromarray(image[top : top + size, left : left + size].astype(np.uint8))
    small: NDArray[np.uint8] = np.asarray(part.resize((side, side), Image.Resampling.BOX))
    return small


def clothes(side: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A light area on a dark ground, always of nearly the same size."""
    height, width = int(side * rng.uniform(0.85, 1)), int(side * rng.uniform(0.4, 1))
    sheet = np.zeros((side, side), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    sheet[top : top + height, left : left + width] = rng.integers(140, 255)
    return sheet


def grains(side: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Single light pixels."""
    return (255 * (rng.random((side, side)) < 0.2)).astype(np.uint8)


def stripes(side: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A texture."""
    y, x = np.mgrid[0:side, 0:side]
    wave: NDArray[np.float64] = np.sin(y * rng.uniform(0.3, 3) + x * rng.uniform(0, 2))
    return (127 + 127 * wave).astype(np.uint8)


@pytest.mark.parametrize("side", [8, 28, 64])
@pytest.mark.parametrize("kind", [faces, photographs, clothes, grains, stripes])
def test_pictures_without_strokes_are_not_taken_for_digits(kind: Any, side: int) -> None:
    rng = np.random.default_rng(0)
    assert not looks_of(np.stack([kind(side, rng) for _ in range(200)])).has_placed_strokes


def test_strokes_in_many_places_or_of_many_sizes_are_not_placed_alike() -> None:
    rng = np.random.default_rng(0)

    def ring(size: int, top: int, left: int) -> NDArray[np.uint8]:
        sheet = np.zeros((28, 28), np.uint8)
        sheet[top : top + size, left : left + size] = 255
        sheet[top + 2 : top + size - 2, left + 2 : left + size - 2] = 0
        return sheet

    middle = [ring(18, 5, 5)] * 100
    anywhere = [ring(16, *rng.integers(0, 13, 2)) for _ in range(100)]
    sizes = [ring(size, 14 - size // 2, 14 - size // 2) for size in rng.integers(8, 27, 100)]
    found = [looks_of(np.stack(kind)).has_placed_strokes for kind in (middle, anywhere, sizes)]
    assert found == [True, False, False]


def test_digits_of_every_source_are_strokes_that_are_placed_alike() -> None:
    assert all(contract.has_placed_strokes for contract in (CONTRACT, COARSE_CONTRACT))


def test_as_it_is_a_picture_unlike_the_training_data_has_a_caution(path: Path) -> None:
    corner = np.zeros(SHAPE, np.uint8)
    corner[1:9, 1:4] = 255
    png(path, Image.fromarray(corner))
    told = (
        "it is unlike the network's training data: ink covers 3% of it, in training 5% to 23%; the "
        "ink spans 29% of it, in training 54% to 86%; its centre is off the middle by 41% of it, "
        "in training 1% to 14%"
    )
    assert read_picture(path, CONTRACT, as_is=True).cautions == (told,)
    numbers = (corner / 255).astype(np.float32)
    assert picture_of(numbers, CONTRACT).cautions == (told,)


def test_without_looks_a_picture_as_it_is_has_no_caution(path: Path) -> None:
    png(path, Image.fromarray(digit()))
    assert read_picture(path, replace(CONTRACT, looks=None), as_is=True).cautions == ()


@functools.cache
def mnist_network() -> tuple[jmlp.RunResult, Any, Any]:
    """A network of MNIST, and test images with their labels."""
    data = load_mnist()
    hp = jmlp.Hyperparams(hidden=(128,), optimizer="adam", learning_rate=0.001, epochs=3)
    network = jmlp.fit(hp, data.x_train, data.y_train)
    assert data.x_test is not None
    return network, data.x_test[:30].reshape(-1, 28, 28), data.y_test


@pytest.mark.mnist
# Squares as dark as a pen and as wide as thin strokes cut digits up: a 1 is lost among them.
@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"dark squares"}))
def test_nine_of_ten_mnist_digits_are_recognised_in_any_kind_of_picture(
    kind: str, path: Path
) -> None:
    try:
        network, digits, labels = mnist_network()
    except DataError as reason:
        pytest.skip(str(reason))
    assert right(network, kind, digits, labels, path) >= 0.9


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
    "array",
    [
        np.full((20, 20), -0.5),
        np.full((20, 20), np.nan),
        np.full(SHAPE, 256),
        np.full(SHAPE, -1),
        np.zeros((0, 28), int),
        np.array(3),
    ],
)
def test_an_array_that_is_no_image_is_refused(array: NDArray[np.generic], tmp_path: Path) -> None:
    np.save(tmp_path / "digit.npy", array)
    assert refusal(tmp_path / "digit.npy") == (
        f"{array.dtype} {array.shape}; an image is an array of integers 0 to 255 (uint8)"
    )


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (digit() > 0, (digit() > 0) * np.uint8(255)),
        ((digit() > 0).astype(np.int64), (digit() > 0) * np.uint8(255)),
        (digit().astype(np.float64), digit()),
        (digit() / np.float32(255), digit() / np.float32(255)),
    ],
)
def test_an_array_of_another_type_is_taken_at_its_own_scale(
    array: NDArray[Any], expected: NDArray[Any], tmp_path: Path
) -> None:
    np.save(tmp_path / "digit.npy", array)
    read = read_image(tmp_path / "digit.npy", SHAPE)
    np.testing.assert_array_equal(read, expected.reshape(784), strict=True)


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.full(SHAPE, np.nan), "holds numbers that are not finite in float32"),
        (np.full(SHAPE, 0.5), "all pixels are equal: there is nothing to see"),
        (
            digit() - 100.5,
            "numbers from -100.5 to 99.5, but the network was trained on pixels: uint8 from 0 to "
            "255, or numbers from 0 to 1",
        ),
    ],
)
def test_an_array_of_floats_of_no_known_scale_is_refused(
    array: NDArray[Any], told: str, tmp_path: Path
) -> None:
    np.save(tmp_path / "digit.npy", array)
    assert refusal(tmp_path / "digit.npy") == told


def test_pictures_for_a_network_of_plain_numbers_are_refused(path: Path) -> None:
    assert refusal(png(path, Image.fromarray(digit())), (30,)) == (
        "shape (28, 28), but the network expects (30,): save it as an .npy array of that shape"
    )


def test_an_empty_picture_is_refused(path: Path) -> None:
    blank = png(path, Image.new("L", (28, 28), "white"))
    assert refusal(blank) == "all pixels are equal: there is nothing to see"


def test_a_file_that_is_not_a_png_is_refused(path: Path) -> None:
    Image.fromarray(digit()).save(path, "BMP")
    assert refusal(path) == (
        "not a PNG or JPEG picture, and not named .npy: save it as one of them"
    )


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
