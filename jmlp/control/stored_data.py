"""What the store knows of a study's data, so that reports and networks need not have it again."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jmlp.errors import StoreError
from jmlp.records import UnreadableError, member

if TYPE_CHECKING:
    from jmlp.plan import DataFacts


@dataclass(frozen=True)
class StoredData:
    """The data of a stored study, as far as the store holds it."""

    facts: "DataFacts"
    image_shape: tuple[int, ...]
    source: str  # for people


def read_data(table: Mapping[str, Any], label: str) -> StoredData:
    """What a study was submitted with as its data.

    Args:
        table: of the study's row.
        label: the study's name, for messages.

    Raises:
        StoreError: something is missing.
    """
    from jmlp.plan import DataFacts

    try:
        facts = member(table, "facts", DataFacts)
        shape = member(table, "image_shape", tuple[int, ...])
        if facts.n_in != math.prod(shape) or min(shape) < 1:
            raise UnreadableError(f'"image_shape" is {shape}, of {facts.n_in} inputs')
        return StoredData(facts, shape, member(table, "source", str))
    except UnreadableError as error:
        raise StoreError(
            f"{label}: what is stored of its data is not complete ({error}); train it again "
            "(jmlp study … --fresh)"
        ) from error
