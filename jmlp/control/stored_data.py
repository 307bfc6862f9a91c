"""What the store knows of a study's data, so that reports and networks need not have it again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jmlp.errors import StoreError

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
        facts = DataFacts(**table["facts"])
        return StoredData(facts, tuple(table["image_shape"]), table["source"])
    except (KeyError, TypeError) as error:
        raise StoreError(
            f"{label}: what is stored of its data is not complete ({error}); train it again "
            "(jmlp study … --fresh)"
        ) from error
