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
    "iris": TableOptions(label="species", test=0.3),
    "penguins": TableOptions(label="species", missing="drop", test=0.3),
}
# Of the tables read in this way.
TABLE_DIGESTS: Mapping[str, Mapping[str, str]] = {
    "iris": {
        "x_train": "c9bc1c30733858b96620016da27bcd650b107852fd1014b480943eb41791c280",
        "y_train": "095bf34ee0b4aaddc04f8389a788491ed20723a0a28d8809f38245604647c1be",
        "x_test": "8426d136f20b286133313f775b48539fd17d4c6eff9579d1f056cc0cd8bd0f51",
        "y_test": "42def27b72a333454a4afe91892d8b41c444462e6abf68a2c8c8dbf6674f0053",
        "columns": "b70cf1f39be09d275f79d49df23f3591ba2a087ca484b1ca990abb71cf05a6d6",
    },
    "penguins": {
        "x_train": "38766b1ad808dc4cb4642041dbb248a6b3697f47e68d257e7fab4e87004137f2",
        "y_train": "dea011f66e7afae27a774f68e9acb300689c6bd010a599908b6ed7e86583936d",
        "x_test": "4d9115ef20c25589b34a19689b16f92ea1b77398735528ee54b58c5eacd5d27c",
        "y_test": "55e4adfd66120eddc21b0fe63950e35bee448f65cc3745e83cd276a056ed0a7f",
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
