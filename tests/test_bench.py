"""What scripts/bench.py makes of its measurements; nothing is measured here."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def bench(*args: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "bench.py"), *map(str, args)]
    environ = {"PYTHONPATH": str(ROOT), "PATH": ""}
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


def work(unit: str, *, more: bool, series: bool = False, **found: Any) -> dict[str, Any]:
    about = {"unit": unit, "more_is_better": more, "series": series}
    return {**about, "notes": found.pop("notes", []), "found": found.pop("points", found)}


def write(path: Path, **works: Any) -> Path:
    call = {"machine": "a machine", "started": "2026-01-02 03:04", "works": works}
    path.write_text(json.dumps({"calls": [call]}), encoding="utf-8")
    return path


def test_tables_and_ratios_of_two_calls_are_computed_by_hand(tmp_path: Path) -> None:
    sweep = work("trainings/min", more=True, jmlp=[66, 60, 60], numpy=[20, 25, 20])
    speed = write(
        tmp_path / "speed",
        sweep_128=sweep,
        alone=work("s of 10 epochs", more=False, jmlp=[0.5], pytorch=[2]),
        limit=work("share", more=True, jmlp=[0.7], notes=["140 of 200 GFLOP/s"]),
    )
    growth = work(
        "GFLOP/s",
        more=True,
        series=True,
        points={"lanes 1": {"jmlp": [50, 60, 52]}, "lanes 1000": {"jmlp": [140]}},
    )
    rest = write(tmp_path / "rest", growth=growth, gpu=work("s", more=False, notes=["none"]))
    done = bench("--with", speed, "--with", rest, "--json", tmp_path / "both")
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "2026-01-02 03:04, a machine: sweep_128, alone, limit",
        "2026-01-02 03:04, a machine: growth, gpu",
        "",
        "| | jmlp | NumPy from scratch | PyTorch |",
        "|---|---|---|---|",
        "| dropout sweep, trainings/min | **60 ±10 %** | 20 ±25 %, ×3 |  |",
        "| one run, s of 10 epochs | **0.5** |  | 2, ×4 |",
        "",
        "| row | jmlp |",
        "|---|---|",
        "| limit | 0.7 share; 140 of 200 GFLOP/s |",
        "| growth | lanes 1: 52, 1,000: 140 GFLOP/s |",
        "| gpu | none |",
    ]
    both = json.loads((tmp_path / "both").read_text(encoding="utf-8"))
    assert both["ratios"] == {"sweep_128": {"numpy": 3}, "alone": {"pytorch": 4}}
    assert [list(call["works"]) for call in both["calls"]] == [
        ["sweep_128", "alone", "limit"],
        ["growth", "gpu"],
    ]
    again = bench("--with", tmp_path / "both")
    assert again.stdout == done.stdout


def test_unreached_targets_are_stated_and_are_strict_json(tmp_path: Path) -> None:
    late = work("s", more=False, jmlp=[4], keras=[8, 9, "Infinity"], pytorch=[7, *["Infinity"] * 2])
    done = bench("--with", write(tmp_path / "a", until=late), "--json", tmp_path / "b")
    assert done.stdout.splitlines()[-2:] == [
        "| 98 %, s | **4** | not reached 2 times of 3 | 9 ±11 %, not reached 1 times of 3, ×2.2 |",
        "",
    ]
    text = (tmp_path / "b").read_text(encoding="utf-8")
    refused: list[str] = []
    both = json.loads(text, parse_constant=refused.append)
    assert (both["ratios"], refused) == ({"until": {"keras": 2.25, "pytorch": "Infinity"}}, [])


def test_a_row_that_two_files_hold_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "a", alone=work("s", more=False, jmlp=[1]))
    done = bench("--with", file, "--with", file)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "--with: two files contain the same row; leave one out\n"


def test_a_row_that_does_not_exist_is_refused() -> None:
    done = bench("sweep_129")
    assert done.returncode == 2
    assert "no such row: sweep_129; there are sweep_128, sweep_sizes" in done.stderr
