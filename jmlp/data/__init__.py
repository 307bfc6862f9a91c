"""Data sets: sources, digests, the validation split, the user's own files. Imports no JAX."""

from jmlp.data.dataset import Dataset
from jmlp.data.digits import synthetic
from jmlp.data.image import read_image
from jmlp.data.mnist import load_mnist
from jmlp.data.order import batch_order, split
from jmlp.data.sources import (
    ArrayCheck,
    CatalogueEntry,
    catalogue,
    check,
    checks_of,
    load,
    load_stored,
)
from jmlp.data.table import TableOptions, load_table

__all__ = [
    "ArrayCheck",
    "CatalogueEntry",
    "Dataset",
    "TableOptions",
    "batch_order",
    "catalogue",
    "check",
    "checks_of",
    "load",
    "load_mnist",
    "load_stored",
    "load_table",
    "read_image",
    "split",
    "synthetic",
]
