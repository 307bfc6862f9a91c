"""Random rotations and shifts of the pictures of a mini-batch, in training only.

Each picture gets an angle t and a shift s = (s_row, s_column) of its own. Its pixel p = (row,
column) is read at q, which is p moved back and then turned back about the centre c of the picture:

    t     uniform in [-rotation, rotation]
    s     uniform integers in [-shift, shift]^2
    q   = R(t) (p - s - c) + c      R(t) = [[cos t, sin t], [-sin t, cos t]]
                                    c    = ((h - 1) / 2, (w - 1) / 2)
    y_p = sum_k x_k max(0, 1 - |q_row - k_row|) max(0, 1 - |q_column - k_column|)

The sum over pixels k is bilinear interpolation: at most the four around q have a weight. Outside
the picture x is 0. A positive angle turns the picture counter-clockwise, a positive shift moves it
down or right. Without rotation q is a pixel itself, and y is x, moved. Bytes stay bytes, rounded.

The label is that of the original: the network learns that such changes do not matter. Sources:
Simard, Steinkraus and Platt, "Best Practices for Convolutional Neural Networks Applied to Visual
Document Analysis", ICDAR 2003, section 2 (affine distortions with bilinear interpolation);
Ciresan, Meier, Gambardella and Schmidhuber, "Deep, Big, Simple Neural Nets for Handwritten Digit
Recognition", Neural Computation 22 (2010), section 3 (all pictures are changed anew every epoch).
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmlp.study.config import Hyperparams


class Augmentation(NamedTuple):
    """The limits of the changes; compiled into the program."""

    plane: tuple[int, int]  # h, w
    shift: int  # pixels
    rotation: float  # degrees

    def apply(self, x: Array, key: Array) -> Array:
        """Changes every picture at random; the result has the shape and the type of `x`.

        Args:
            x: pictures, `(B, h w)`, uint8 or floating-point.
            key: the PRNG key that alone decides angles and shifts.
        """
        shift_key, angle_key = jax.random.split(key)
        shifts = jax.random.randint(shift_key, (len(x), 2), -self.shift, self.shift + 1, jnp.int32)
        pictures = x.reshape(len(x), *self.plane)
        if self.rotation == 0:
            return _each(partial(move, most=self.shift), pictures, shifts).reshape(x.shape)
        largest = self.rotation * jnp.pi / 180
        angles = jax.random.uniform(angle_key, (len(x),), jnp.float32, -largest, largest)
        # Not within `_each`, where XLA would compute them again for every pixel.
        cos, sin = jnp.cos(angles), jnp.sin(angles)
        return _each(turn_and_move, pictures, shifts, cos, sin).reshape(x.shape)


def augmentation_of(hp: Hyperparams, plane: tuple[int, int] | None) -> Augmentation | None:
    """The augmentation of a run; None if it has none.

    Args:
        hp: hyperparameters.
        plane: height and width of the pictures; None only where there is no augmentation.
    """
    if plane is None or not (hp.shift or hp.rotation):
        return None
    return Augmentation(plane, hp.shift, hp.rotation)


def move(x: Array, s: Array, most: int) -> Array:
    """A picture `x` `(h, w)` moved by `s` `(2,)`, in either direction by at most `most` pixels."""
    return jax.lax.dynamic_slice(jnp.pad(x, most), (most - s[0], most - s[1]), x.shape)


def turn_and_move(x: Array, s: Array, cos: Array, sin: Array) -> Array:
    """A picture turned by an angle t, and then moved.

    Args:
        x: the picture, `(h, w)`.
        s: the shift, `(2,)`.
        cos: cos t, a floating-point scalar; the picture is computed in its type.
        sin: sin t.
    """
    h, w = x.shape
    c_row, c_column = (h - 1) / 2, (w - 1) / 2
    s_row, s_column = s.astype(cos.dtype)
    row = jnp.arange(h, dtype=cos.dtype)[:, None] - s_row - c_row
    column = jnp.arange(w, dtype=cos.dtype)[None, :] - s_column - c_column
    q_row = cos * row + sin * column + c_row
    q_column = cos * column - sin * row + c_column

    # With a margin of zeros around x, everything beyond it is what is at its outermost pixels.
    margin = jnp.pad(x.astype(cos.dtype), ((1, 2), (1, 2))).reshape(-1)
    q_row, q_column = jnp.clip(q_row + 1, 0, h + 1), jnp.clip(q_column + 1, 0, w + 1)
    k_row, k_column = q_row.astype(jnp.int32), q_column.astype(jnp.int32)  # rounded down
    down, right = q_row - k_row.astype(cos.dtype), q_column - k_column.astype(cos.dtype)

    def at(rows_below: int, columns_right: int) -> Array:
        index = (k_row + rows_below) * (w + 3) + k_column + columns_right
        return margin.at[index].get(mode="promise_in_bounds")

    upper = (1 - right) * at(0, 0) + right * at(0, 1)
    lower = (1 - right) * at(1, 0) + right * at(1, 1)
    y = (1 - down) * upper + down * lower
    return (jnp.round(y) if x.dtype == jnp.uint8 else y).astype(x.dtype)


def _each(function: Callable[..., Array], *arrays: Array) -> Array:
    """Applies a function of one picture to all of a mini-batch.

    One after the other on a CPU: 128 pictures of MNIST take 1.4 ms if they are turned and 0.25 ms
    if they are only moved, against 2.5 ms and 5.5 ms all at once, as on other devices.
    """

    def in_turn(*arrays: Array) -> Array:
        changed: Array = jax.lax.map(lambda picture: function(*picture), arrays)
        return changed

    changed: Array = jax.lax.platform_dependent(*arrays, cpu=in_turn, default=jax.vmap(function))
    return changed
