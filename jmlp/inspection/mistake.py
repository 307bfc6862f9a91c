"""The check of the gradient with a mistake in it, by a helper process, which may use JAX."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass

from jmlp.inspection.client import Inspector
from jmlp.study.mistakes import Mistake

OK = "ok"
WRONG = "WRONG"


@dataclass(frozen=True)
class LeafGradient:
    """The wrong gradient of one array of parameters beside the right one, that of `jax.grad`."""

    layer: str  # "hidden 1", …, "output"
    letter: str  # W, b, gamma or beta
    error: float  # the norm of the difference, relative to the larger gradient
    ratio: float | None  # the norm of the wrong one as a multiple of the right one; None: none
    cosine: float | None  # of the angle between them; None: one of them is 0
    ok: bool  # whether the check passes it

    def texts(self) -> tuple[str, ...]:
        """The cells of a table with the titles `TITLES`."""
        numbers = (
            "" if value is None else f"{value:{form}}"
            for value, form in ((self.ratio, ".4g"), (self.cosine, ".4f"))
        )
        return (self.layer, self.letter, OK if self.ok else WRONG, f"{self.error:.1e}", *numbers)


TITLES = ("layer", "array", "", "error", "ratio", "cosine")


def check(
    mistake: Mistake, inspector: Inspector, stop: threading.Event | None = None
) -> tuple[LeafGradient, ...]:
    """The gradient with a mistake, array by array in the order of the layers; takes seconds.

    Args:
        mistake: one that a check of the gradient can find.
        inspector: asks the process that computes it.
        stop: set by another thread when the result is no longer needed.

    Returns:
        What was found; empty if it was stopped.

    Raises:
        DeviceError: the system killed the process for lack of memory.
        JmlpError: the process ended in another way before it answered.
    """
    leaves = inspector.ask("mistake", lambda _: None, stop, name=mistake.name)
    return tuple(LeafGradient(**leaf) for leaf in leaves or ())


def network_text(mistake: Mistake) -> str:
    """What the network is on which the gradient is checked."""
    checked = mistake.checked
    assert checked is not None
    parts = [f"hidden {'-'.join(map(str, checked.hidden))}"]
    parts += [f"batch norm {checked.batch_norm} ReLU"] if checked.batch_norm else []
    parts += [f"drop rate {checked.drop_rate:g}"] if checked.drop_rate else []
    return ", ".join(parts)


def summary(leaves: tuple[LeafGradient, ...]) -> Iterator[str]:
    """How many arrays fail, and which is the first of them on the way back."""
    wrong = [leaf for leaf in leaves if not leaf.ok]
    yield f"{len(wrong)} of {len(leaves)} gradients are wrong"
    if wrong:
        last = wrong[-1]
        yield f"the first, going backward from the cost, in layer {last.layer}"
