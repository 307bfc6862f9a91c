"""The rows of the table that measure a whole process, from its start."""

import math
import os
import re
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

from benchmark import environments
from benchmark.environments import PEERS, Peer
from benchmark.rows import HERE, Figures, Options, ours, say

from jmlp.system import files

WANTED = 0.98  # test accuracy
MAX_EPOCHS = 40  # that a peer may take to reach it


def command(*arguments: str, home: Path) -> tuple[float, int]:
    """Runs `jmlp` in an empty home; returns seconds, and the peak memory of its largest process."""
    timed = (
        "import resource, subprocess, sys; "
        "code = subprocess.run(sys.argv[1:]).returncode; "
        "print('PEAK', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code)"
    )
    environ = os.environ | {"JMLP_DATA": str(files.data_dir()), "JMLP_HOME": str(home)}
    environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE.parent.parent), *sys.path]))
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", timed, sys.executable, "-m", "jmlp", *arguments],
        cwd=home,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    peak = re.search(r"^PEAK (\d+)$", done.stdout, re.MULTILINE)
    assert peak is not None
    unit = 1 if sys.platform == "darwin" else 1024
    return time.monotonic() - started, unit * int(peak[1])


@cache
def original(seeds: int, *more: str) -> tuple[float, int]:
    """Seconds and peak memory of the original study, with an empty store and compile cache."""
    with tempfile.TemporaryDirectory() as home:
        arguments = ("study", "original", "--seeds", str(seeds), "--fresh", *more)
        return command(*arguments, home=Path(home))


def whole(options: Options) -> Figures:
    """Measures `jmlp study original`: 19 configurations, from compilation to report."""
    figures = Figures("min", more_is_better=False)
    seeds = 2 if options.quick else 10
    figures.add("whole", "jmlp", original(seeds)[0] / 60)
    figures.notes = [f"{19 * seeds} runs"]
    return figures


def memory(options: Options) -> Figures:
    """Measures the peak memory of the process that trains the whole study."""
    figures = Figures("GB", more_is_better=False)
    seeds = 2 if options.quick else 10
    figures.add("memory", "jmlp", original(seeds)[1] / 1e9)
    figures.notes = [f"{19 * seeds} runs"]
    return figures


def gpu(options: Options) -> Figures:
    """Measures the original study with 100 seeds on a GPU, if there is one."""
    figures = Figures("s", more_is_better=False)
    probe = [sys.executable, "-c", "import jax; jax.devices('gpu')"]
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    if subprocess.run(probe, env=environ, capture_output=True, check=False).returncode:
        figures.notes = ["none could be used: JAX finds no GPU here"]
        return figures
    seeds = 10 if options.quick else 100
    figures.add("gpu", "jmlp", original(seeds, "--device", "gpu")[0])
    figures.notes = [f"{19 * seeds} runs"]
    return figures


def start(options: Options) -> Figures:
    """Measures the time from process start to the first trained steps, including compilation."""
    figures = Figures("s", more_is_better=False)
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            for work in ("start_cold", "start"):
                began = time.monotonic()
                result = ours(epochs=1, cache=folder)
                figures.add(work, "jmlp", result["first_step"] - began)
    return figures


def until(options: Options) -> Figures:
    """Measures the time to 98 % test accuracy: study `fast`; 256-128 with Adam for peers."""
    figures = Figures("s", more_is_better=False)
    peers = [PEERS[name] for name in ("keras", "pytorch") if PEERS[name] in options.peers]
    with tempfile.TemporaryDirectory() as warm:
        ours(study="fast", seeds=[0], cache=warm)
        for seed in range(2 if options.quick else 10):
            figures.add("until", "jmlp", _reached(ours, study="fast", seeds=[seed], cache=warm))
            figures.add("until_cold", "jmlp", _reached(ours, study="fast", seeds=[seed]))
            for peer in peers:  # none of them caches compiled programs
                seconds = _reached(_adam, peer=peer, seed=seed)
                for work in ("until", "until_cold"):
                    figures.add(work, peer.name, seconds)
                say(f"until: {peer.name} {seconds:.1f} s")
    return figures


def _reached(train: Any, **request: Any) -> float:
    """Seconds from the start of a process to its end; infinite if it missed the accuracy."""
    began = time.monotonic()
    result = train(**request)
    return float(result["ended"]) - began if result["test_accuracies"][-1] >= WANTED else math.inf


def _adam(peer: Peer, seed: int) -> dict[str, Any]:
    task = {"batch_size": 128, "epochs": MAX_EPOCHS, "until": WANTED, "seed": seed}
    n_cores = len(environments.cores())
    (result,) = environments.lines(environments.start(peer, [task], None, n_cores))
    return {"ended": result["ends"][-1], "test_accuracies": result["accuracies"]}
