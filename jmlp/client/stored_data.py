"""What the store knows about a study's data, so that reports need not load the data again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jmlp.errors import StoreError
from jmlp.results.serialization import UnreadableError, member

if TYPE_CHECKING:
    from jmlp.data.contract import Contract, DType
    from jmlp.training.plan import DataFacts


@dataclass(frozen=True)
class StoredData:
    """What the store records about the data of a study."""

    facts: "DataFacts"
    contract: "Contract"
    source: str  # where the data came from, for display


def read_data(table: Mapping[str, Any], label: str) -> StoredData:
    """Reads the data column of a study's row.

    Args:
        table: the column, as JSON values.
        label: the study's label, for messages.

    Raises:
        StoreError: an entry is missing or invalid.
    """
    from jmlp.training.plan import DataFacts

    try:
        facts = member(table, "facts", DataFacts)
        contract = _contract(table, facts)
        if (facts.n_in, facts.n_classes) != (contract.n_in, contract.n_classes):
            raise UnreadableError(
                f'"image_shape" is {contract.image_shape}, of {facts.n_in} inputs'
            )
        return StoredData(facts, contract, member(table, "source", str))
    except (UnreadableError, ValueError) as error:
        raise StoreError(
            f"{label}: what is stored about its data is incomplete ({error}); train it again "
            "(jmlp study … --fresh)"
        ) from error


def _contract(table: Mapping[str, Any], facts: "DataFacts") -> "Contract":
    from jmlp.data.contract import Contract, check_contract

    if "contract" in table:
        contract = member(table, "contract", Contract)
    else:  # submitted by an earlier version
        shape = member(table, "image_shape", tuple[int, ...])
        dtype: DType = "uint8" if facts.pixel_bytes == 1 else "float32"
        contract = Contract(shape, facts.n_classes, dtype)
    check_contract(contract)
    return contract
