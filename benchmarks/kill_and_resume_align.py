"""Kills runs of `minillama align` with SIGKILL, resumes them, and compares with a run nobody disturbed.

    python benchmarks/kill_and_resume_align.py --kills 30 [--preset minute] [--config FILE] [--seed N] [--work FOLDER]

Every step of the recipe is killed at a random moment of its own, in order, until there were so many kills; then the run
goes on to its end. All models, kept answers, sampled answers and the chat model's file must be equal byte for byte, and
nothing half written may be left. Prints a summary and ends with 1 where anything differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_COMPARED = (
    "model.safetensors", "heads.safetensors", "kept.jsonl", "pool.jsonl", "shift.json", "lists.json", "chat.gguf",
)  # fmt: skip
_STARTS = 0.15  # of the kills come while the process starts


def main() -> int:
    """Run it; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--preset", default="minute")
    parser.add_argument("--config", type=Path, help="settings in place of the preset's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="keeps the runs here; a folder that is removed by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = options.work or Path(folder)
        settings = ["--preset", options.preset, *(["--config", str(options.config)] if options.config else [])]
        found = kill_and_resume(work, settings, options.kills, options.seed, progress=print)
    print(found["summary"])
    return 1 if found["differences"] else 0


def kill_and_resume(
    work: Path, settings: list[str], kills: int, seed: int, progress: Callable[[str], object] = lambda text: None
) -> dict[str, Any]:
    """Kill `kills` processes, in as many runs as it takes."""
    command = [sys.executable, "-m", "minillama", "align", *settings, "-q"]
    whole = work / "whole"
    subprocess.run([*command, "--out", str(whole), "--resume"], check=True, stdout=subprocess.DEVNULL)
    expected, steps = record(whole), seconds_of(whole)
    progress(f"undisturbed: {len(steps)} steps, {sum(steps.values()):.0f} seconds")
    rng, done, runs, differences = random.Random(seed), 0, 0, []
    while done < kills:
        run = work / f"killed-{runs}"
        arguments = [*command, "--out", str(run), "--resume"]
        for step, seconds in steps.items():
            if done < kills and kill_in(arguments, run / step, seconds, rng):
                done += 1
                progress(f"kill {done} in {step}")
        subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)
        differences += differing(expected, run)
        runs += 1
    result = "; ".join(differences) if differences else "every run ended with the same bytes"
    return {
        "kills": done,
        "differences": differences,
        "summary": f"{done} kills in {runs} runs of {len(steps)} steps: {result}",
    }


def kill_in(arguments: list[str], folder: Path, seconds: float, rng: random.Random) -> bool:
    """Start the run and kill it while a step is at work, or while it starts; False when the step was over before."""
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
    if rng.random() < _STARTS:
        time.sleep(rng.uniform(0, 2))
    else:
        while process.poll() is None and not folder.exists():
            time.sleep(0.005)
        end = time.monotonic() + rng.uniform(0, seconds)
        while process.poll() is None and time.monotonic() < end and not (folder / "done.json").exists():
            time.sleep(0.005)
    process.kill()
    return process.wait() == -signal.SIGKILL


def seconds_of(run: Path) -> dict[str, float]:
    """What every step took, by its folder, in their order."""
    found = {}
    for path in sorted(run.glob("*/done.json")):
        found[path.parent.name] = float(json.loads(path.read_text())["seconds"]["wall"])
    return found


def record(run: Path) -> dict[str, str]:
    """Digests of everything that is to be the same."""
    files = [path for path in sorted(run.rglob("*")) if path.name in _COMPARED or path.name.startswith("answers-")]
    return {str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def differing(expected: dict[str, str], run: Path) -> list[str]:
    """What differs, and what was left behind."""
    found = record(run)
    wrong = [f"{run.name}: {name} differs" for name in expected if found.get(name) != expected[name]]
    left = [p for p in run.rglob(".*") if p.name.startswith(".part") or p.name.endswith((".part", ".old"))]
    return wrong + [f"{run.name}: {path.relative_to(run)} was left behind" for path in left]


if __name__ == "__main__":
    sys.exit(main())
