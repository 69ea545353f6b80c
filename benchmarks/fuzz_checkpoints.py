"""Damages model files in thousands of ways and counts what the readers do about it.

    python benchmarks/fuzz_checkpoints.py --count 20000 [--format NAME] [--seed N]

Each mutation must load or raise CheckpointError, within 2 s and with at most four times the
size of the files and 100 MB of memory. Anything else is printed with its seed; the same seed
with `--count 1` and the format's name repeats it. A run over all formats writes
results/fuzz_checkpoints.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import resource
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "checkpoints"))
from mutation import MAX_SECONDS, attempt, max_memory, mutate, read_everything, write_files
from mutation_models import FORMAT_NAMES, Model, build

RESULTS = Path(__file__).parent / "results" / "fuzz_checkpoints.json"
MEASURE_EVERY = 20  # tracing memory makes a load several times slower
_COLUMNS = ("mutations", "loaded", "refused", "other", "slowest_ms", "peak_memory_mb")
_TITLES = ("mutations", "loaded fine", "CheckpointError", "violations", "slowest ms", "largest MB")


def main() -> int:
    """Run, print the table, record it; the exit status."""
    options = parse_options()
    warnings.simplefilter("error")  # a reader does not warn, either
    # All of them first: what their writers load, such as PyTorch, must not count as the readers' memory.
    models = {name: build(name) for name in ([options.format] if options.format else FORMAT_NAMES)}
    formats: dict[str, dict[str, Any]] = {}
    start, rss = time.perf_counter(), max_rss()
    try:
        for name, model in models.items():
            run_format(name, model, options, formats.setdefault(name, new_row()))
        growth = (max_rss() - rss) / 1e6  # before memory is traced, as each trace leaves some KB behind
        for name, model in models.items():
            measure_memory(name, model, options, formats[name])
    except KeyboardInterrupt:
        print("\ninterrupted; until now:", file=sys.stderr)
        print_table(formats)
        return 130
    print_table(formats)
    print(f"largest memory of the process grew by {growth:.0f} MB")
    violations = sum(row["other"] for row in formats.values())
    allowed = max_memory(max(row["model_bytes"] for row in formats.values())) / 1e6
    if growth > allowed:
        violations += 1
        print(f"violation: at most {allowed:.0f} MB allowed")
    if not options.format:
        record(options, formats, growth, time.perf_counter() - start)
    return 1 if violations else 0


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000, help="mutations of each format (default 20000)")
    parser.add_argument("--format", choices=FORMAT_NAMES, help="only this one")
    parser.add_argument("--seed", type=int, default=0, help="of the first mutation; the others follow (default 0)")
    return parser.parse_args()


def new_row() -> dict[str, Any]:
    """The counts of one format before anything was done."""
    return {"model_bytes": 0, **dict.fromkeys(_COLUMNS, 0)}


def run_format(name: str, model: Model, options: argparse.Namespace, row: dict[str, Any]) -> None:
    """Try the mutations of a format and count into `row`, so that an interrupt loses nothing."""
    count = options.count
    row["model_bytes"] = sum(map(len, model.files.values()))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_files(model.files, folder)
        read_everything(model, folder)
        for n in range(count):
            files = mutate(name, model, options.seed + n)
            outcome = attempt(model, files, folder, False)
            row["mutations"] += 1
            row["other" if outcome.kind == "violation" else outcome.kind] += 1
            row["slowest_ms"] = max(row["slowest_ms"], round(1000 * outcome.seconds, 1))
            if outcome.kind == "violation":
                print(f"--- {name}, seed {options.seed + n}\n{outcome.report}", flush=True)
            if n % 500 == 499 or n + 1 == count:
                print(f"\r{name}: {n + 1} of {count}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def measure_memory(name: str, model: Model, options: argparse.Namespace, row: dict[str, Any]) -> None:
    """Read a part of the same mutations once more, and trace how much they allocate."""
    print(f"{name}: memory", file=sys.stderr)
    with tempfile.TemporaryDirectory() as temporary:
        for seed in range(options.seed, options.seed + options.count, MEASURE_EVERY):
            outcome = attempt(model, mutate(name, model, seed), Path(temporary), True)
            row["peak_memory_mb"] = max(row["peak_memory_mb"], round((outcome.peak or 0) / 1e6, 2))
            if outcome.kind == "violation":
                row["other"] += 1
                print(f"--- {name}, seed {seed}, memory traced\n{outcome.report}", flush=True)


def max_rss() -> int:
    """The most memory that the process has had so far, in bytes."""
    found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found if sys.platform == "darwin" else 1024 * found


def print_table(formats: dict[str, dict[str, Any]]) -> None:
    print(f"{'format':28}" + "".join(f"{title:>16}" for title in _TITLES))
    for name, row in formats.items():
        print(f"{name:28}" + "".join(f"{row[column]:>16}" for column in _COLUMNS))


def record(options: argparse.Namespace, formats: dict[str, dict[str, Any]], growth: float, seconds: float) -> None:
    """Write the results beside this file."""
    results = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "seeds": [options.seed, options.seed + options.count - 1],
        "mutations_of_each_format": options.count,
        "limit_seconds": MAX_SECONDS,
        "limit_memory": "4 x files + 100 MB",
        "memory_traced_every": MEASURE_EVERY,
        "max_rss_growth_mb": round(growth, 1),
        "seconds": round(seconds),
        "formats": formats,
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    print(f"recorded in {RESULTS.name}")


if __name__ == "__main__":
    sys.exit(main())
