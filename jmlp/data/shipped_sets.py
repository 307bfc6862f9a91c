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
# Of the tables read in this way.
TABLE_DIGESTS: Mapping[str, Mapping[str, str]] = {
    "iris": {
        "x_train": "b1106d663f1d65bf6b602800e71f538ab2f025cb6d822bc1482ee65630253b71",
        "y_train": "a3bfbbe9c7c8d3527823fbdfd8845b09ed6bdcd7bb73a9cd43079a9727651575",
        "x_test": "1a7d5013ed1afeb4b886dd1ba937c8127656f664ad67216818b7b2a11912f17f",
        "y_test": "8e5fc5618bbe5abb798b769fe68f3c691b2ba184e1da5c6155522cc7ea77de48",
        "columns": "b70cf1f39be09d275f79d49df23f3591ba2a087ca484b1ca990abb71cf05a6d6",
    },
    "penguins": {
        "x_train": "2aa31fae220c5e9eabb7be4163302921fe4d22ac6b47f7f440061b665fd88b7b",
        "y_train": "97fc59f92f09a61fc80589a0e9df4ad2a660e40e4d897a0b60db9f018e629e06",
        "x_test": "4cfd7a358846ae1921c5200cf97178ee0ed5cebbba90609b19658429197c5434",
        "y_test": "78b893c35e60ca3f518a7dab985ebdc963f5103878eab16bda0efc955b258efb",
        "columns": "239af3b73151f448ea40ee082541d236bae5fbc9d5e8b551bc707528929599d1",
    },
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
