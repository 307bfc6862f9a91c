"""Small data sets that are part of jmlp; `shipped/README.md` names their sources and licences."""

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from jmlp.data.dataset import Dataset, make_dataset
from jmlp.data.files import shown
from jmlp.data.npz import read_npz
from jmlp.data.table import TableOptions, load_table

FOLDER = Path(__file__).parent / "shipped"
DIGITS_FILE = FOLDER / "digits-8x8.npz"
N_TEST_DIGITS = 360  # the last ones
WHITE = 16  # in the file

DIGITS_DIGESTS = {
    "x_train": "1a5fd3b5c524e826767083c882fe4f8c91850d3568a78caadaa66eb3fe78f5b6",
    "y_train": "00d355536cfe54c3c5aaa1bbc756008bcc5ba7030407f225954ebda1d1ca46c9",
    "x_test": "a422c8110b35908d8bc868469498d8bc67c5d5f4357631b3ded0ee283ca6a1e9",
    "y_test": "7a7a9acee298b8862700d7c2a0341a0ee3744e1369c9107a26149f5d0e61b304",
}

# How the tables are read unless a study says otherwise.
SHIPPED_TABLES: Mapping[str, TableOptions] = {
    "iris": TableOptions(label="species", test=0.2),
    "penguins": TableOptions(label="species", missing="drop", test=0.2),
}


def digits_8x8() -> Dataset:
    """Load the digits of 8 x 8 pixels: 1,437 training and 360 test images.

    Raises:
        DataError: the file of this installation is missing or damaged.
    """
    arrays = read_npz(DIGITS_FILE, ("images", "labels"))
    images = np.rint(arrays["images"] * (255 / WHITE)).astype(np.uint8)
    labels = arrays["labels"]
    cut = len(images) - N_TEST_DIGITS
    parts = {
        "x_train": images[:cut],
        "y_train": labels[:cut],
        "x_test": images[cut:],
        "y_test": labels[cut:],
    }
    return make_dataset("digits-8x8", parts, shown(DIGITS_FILE))


def table_file(name: str) -> Path:
    """The path of a shipped table."""
    return FOLDER / f"{name}.csv"


def load_shipped_table(name: str, options: TableOptions) -> Dataset:
    """Load a shipped table.

    Args:
        name: one of `SHIPPED_TABLES`.
        options: replace the table's own where they differ from the defaults.

    Raises:
        DataError: the file is missing or damaged, or the options do not fit it.
    """
    given = {
        option.name: value
        for option in fields(TableOptions)
        if (value := getattr(options, option.name)) != option.default
    }
    return replace(load_table(table_file(name), replace(SHIPPED_TABLES[name], **given)), name=name)
