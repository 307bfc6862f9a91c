"""What the store knows of a study's data, so that reports and networks need not have it again."""

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
    """The data of a stored study, as far as the store holds it."""

    facts: "DataFacts"
    contract: "Contract"
    source: str  # for people


def read_data(table: Mapping[str, Any], label: str) -> StoredData:
    """What a study was submitted with as its data.

    Args:
        table: of the study's row.
        label: the study's name, for messages.

    Raises:
        StoreError: something is missing.
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
            f"{label}: what is stored of its data is not complete ({error}); train it again "
            "(jmlp study … --fresh)"
        ) from error


def _contract(table: Mapping[str, Any], facts: "DataFacts") -> "Contract":
    from jmlp.data.contract import Contract, check_contract

    if "contract" in table:
        contract = member(table, "contract", Contract)
    else:  # of a study that an earlier version submitted
        shape = member(table, "image_shape", tuple[int, ...])
        dtype: DType = "uint8" if facts.pixel_bytes == 1 else "float32"
        contract = Contract(shape, facts.n_classes, dtype)
    check_contract(contract)
    return contract
