"""Damaged and random tables are read, or refused with an error that names the file."""

import io
import random
from pathlib import Path

from measuring import Findings, Options, Row, say

from jmlp.data.table import TableOptions, encode
from jmlp.data.table_file import read_opened
from jmlp.errors import DataError
from jmlp.study.rules import Missing

CASES = 1_000_000
NUMBERS = ("1", "2", "3.5", "-4e2", "0", "17")
CATEGORIES = ("red", "blue", "green")
WORDS = ("1", "-2.5e3", "1e308", "inf", "", "NA", "?", "red", "blue", "2020-01-31", "1,5", "=1+2")
SIGNS = (",", ";", "\t", "|", "\n", "\r\n", '"', '""', " ", "\0", "\ufeff", "ä", "\u2028")
ENCODINGS = ("utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1")
MISSING: tuple[Missing, ...] = ("error", "mean", "drop")
PATHS = [Path(f"table{suffix}") for suffix in (".csv", ".tsv", ".parquet")]  # of no file


def tables(options: Options) -> Row:
    """Reads tables made of words and signs, some of them then damaged, and encodes them."""
    findings, n = Findings(), options.count(CASES)
    chance = random.Random(options.seed)
    n_read = 0
    for case in range(n):
        path = PATHS[0] if chance.random() < 0.95 else chance.choice(PATHS)
        n_read += _reads(_content(chance), path, chance, findings, f"case {case}")
        if case % 10_000 == 0:
            say(f"case {case:,} of {n:,}")
    return Row(
        f"{n:,} tables made of numbers, words, delimiters and quotes, or of random bytes",
        "each is read, or refused by an error that names the file",
        f"{n_read:,} read, {n - n_read:,} refused{findings}",
        ok=not findings.found,
    )


def _content(chance: random.Random) -> bytes:
    if chance.random() < 0.1:
        return chance.randbytes(chance.randrange(80))
    width, delimiter = chance.randrange(1, 6), chance.choice(",;\t|")
    lines = [delimiter.join(f"c{i}" for i in range(width))] if chance.random() < 0.8 else []
    kinds = [chance.choice((NUMBERS, CATEGORIES)) for _ in range(width)]
    odd = chance.choice((0, 0, 0.02, 0.3))
    for _ in range(chance.randrange(20)):
        cells = [chance.choice(WORDS if chance.random() < odd else kind) for kind in kinds]
        lines.append(delimiter.join(cells))
    text = "\n".join(lines)
    for _ in range(chance.choice((0, 0, 0, 1, 3))):
        at = chance.randrange(len(text) + 1)
        text = text[:at] + chance.choice(SIGNS) + text[at + chance.randrange(2) :]
    data = text.encode(chance.choice(ENCODINGS), "replace")
    return data[: chance.randrange(len(data) + 1)] if chance.random() < 0.1 else data


def _reads(
    content: bytes, path: Path, chance: random.Random, findings: Findings, what: str
) -> bool:
    label, missing = f"c{chance.randrange(4)}", chance.choice(MISSING)
    test = chance.choice(("", "", 0.3, str(path)))
    options = TableOptions(label, missing, test=test, stratify=chance.random() < 0.8)
    try:
        table = read_opened(io.BytesIO(content), path)
        dataset = encode(table, options, path.name, table if test == str(path) else None)
        training, _ = dataset.split(0, 0.3)
        dataset.standardised(training)
    except DataError as error:
        text = str(error)
        # Only the split and the scale are about rows of any source.
        about = str(path) in text or "cannot be split" in text or text.startswith("column ")
        findings.expect(about, f"{what}: {text}")
        return False
    except Exception as error:  # what the row is looking for
        findings.expect(False, f"{what}: {type(error).__name__}: {error}")
        return False
    return True
