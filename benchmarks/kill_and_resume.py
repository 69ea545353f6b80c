"""Kills training runs at random moments with SIGKILL, resumes them, and compares with a run nobody disturbed.

    python benchmarks/kill_and_resume.py --kills 50 [--seed N] [--threads N]
    python benchmarks/kill_and_resume.py --at-every-write

The first kills whole processes of `minillama train … --resume`: some while they start, the others up to a fifth of a
second after they have made a step. Checkpoints are written every second step, so that many die in the middle of
one. The second forks, and kills itself at the first, second, third … call that changes the disk (fsync, rename,
unlink, mkdir, truncate, write of a log), until a run gets through without having been killed.

After every run the newest weights and moments must be equal byte for byte, metrics and samples line by line,
and nothing half written may be left. Prints a summary and ends with 1 where anything differs.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "training"))
from tiny_run import kept, record, write_config, write_data

STEPS = 120


def main() -> int:
    """Run one of both; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--at-every-write", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.at_every_write:
            found = kill_at_every_write(Path(folder), progress=print)
        else:
            found = kill_at_random(Path(folder), options.kills, options.seed, options.threads, progress=print)
    print(found["summary"])
    return 1 if found["differences"] else 0


# --- whole processes at random moments ----------------------------------------------------


def kill_at_random(
    folder: Path, kills: int, seed: int, threads: int, progress: Callable[[str], object] = lambda text: None
) -> dict[str, Any]:
    """Kill `kills` processes; several runs one after the other where one is finished before."""
    write_data(folder)
    config = write_config(folder, steps=STEPS, checkpoint_every=2)
    command = [sys.executable, "-m", "minillama", "train", str(config), "--threads", str(threads), "-q"]
    subprocess.run([*command, "--out", str(folder / "whole")], check=True, stdout=subprocess.DEVNULL)
    expected = record(folder / "whole")
    rng = random.Random(seed)
    done, runs, differences, in_checkpoint = 0, 0, [], 0
    while done < kills:
        run = folder / f"run{runs}"
        while True:
            arguments = [*command, "--out", str(run), "--resume"]
            killed = False if done >= kills else _start_and_kill(arguments, run, rng)
            if not killed:
                subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)
                break
            done += 1
            half = list((run / "checkpoints").glob(".*")) if (run / "checkpoints").is_dir() else []
            in_checkpoint += bool(half)
            if done % 10 == 0:
                progress(f"{done} kills, {in_checkpoint} of them while a checkpoint was written or removed")
        differences += _differences(expected, run, f"run {runs}")
        runs += 1
    summary = (
        f"{done} kills in {runs} runs of {STEPS} steps, {in_checkpoint} while a checkpoint was written or removed: "
        + ("; ".join(differences) if differences else "every run ended with the same bytes")
    )
    return {"kills": done, "in_checkpoint": in_checkpoint, "differences": differences, "summary": summary}


def _start_and_kill(command: list[str], run: Path, rng: random.Random) -> bool:
    """Start a process and kill it; False when it had ended before."""
    metrics = run / "metrics.jsonl"
    before = metrics.stat().st_mtime_ns if metrics.exists() else 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    if rng.random() < 0.2:  # while it starts
        time.sleep(rng.uniform(0, 1.5))
    else:
        while process.poll() is None and (not metrics.exists() or metrics.stat().st_mtime_ns == before):
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.2))
    process.kill()
    return process.wait() == -signal.SIGKILL


def _differences(expected: dict[str, Any], run: Path, name: str) -> list[str]:
    found = record(run)
    wrong = [f"{name}: {key} differs" for key in expected if found.get(key) != expected[key]]
    left = [entry for entry in [*kept(run), *os.listdir(run)] if entry.startswith(".") and entry != ".lock"]
    return wrong + [f"{name}: {entry} was left behind" for entry in left]


# --- one process at every write -----------------------------------------------------------

_CALLS = ("fsync", "replace", "rename", "unlink", "rmdir", "mkdir", "truncate", "chmod")


def kill_at_every_write(
    folder: Path, steps: int = 6, progress: Callable[[str], object] = lambda text: None
) -> dict[str, Any]:
    """Die at the n-th change of the disk, for n = 1, 2, …; after each death the run is resumed to its end."""
    write_data(folder)
    config = write_config(folder, steps=steps, checkpoint_every=2)
    _train(config, folder / "whole")  # in this process: its children inherit what is imported and compiled
    expected = record(folder / "whole")
    differences, n = [], 0
    while True:
        n += 1
        run = folder / f"at{n}"
        if _in_child(lambda run=run: _train(config, run), n) != -signal.SIGKILL:
            break
        if _in_child(lambda run=run: _train(config, run), None) != 0:
            differences.append(f"killed at change {n}: could not be resumed")
            continue
        differences += _differences(expected, run, f"killed at change {n}")
        if n % 20 == 0:
            progress(f"killed at {n} different changes of the disk")
    problems = "; ".join(differences[:5]) if differences else "every run ended with the same bytes"
    return {"kills": n - 1, "differences": differences, "summary": f"killed at each of {n - 1} changes: {problems}"}


def _train(config: Path, run: Path) -> None:
    """Train in this process as the command does, resuming what is there."""
    from minillama.training.pretraining import prepare, settings_before
    from minillama.training.run_folder import RunFolder
    from minillama.training.settings_toml import read_settings
    from minillama.training.trainer import train

    class Nobody:
        def begin(self, step: int, steps: int) -> None: ...
        def row(self, row: dict[str, Any]) -> None: ...
        def note(self, text: str) -> None: ...

    folder = RunFolder(run)
    stage = prepare(read_settings(config), settings_before(folder))
    train(stage, folder, Nobody(), threads=1, resume=True)


def _in_child(work: Callable[[], None], die_at: int | None) -> int:
    """Do the work in a fork of this process, which kills itself at a certain change of the disk; how it ended."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        if die_at is not None:
            _die_at(die_at)
        work()
        code = 0
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    finally:
        os._exit(code)


def _die_at(n: int) -> None:
    """Let this process be killed in place of the n-th call that changes the disk."""
    left = n

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return call

    for name in _CALLS:
        setattr(os, name, counted(getattr(os, name)))
    from minillama.training import metrics

    metrics._write = counted(metrics._write)


if __name__ == "__main__":
    sys.exit(main())
