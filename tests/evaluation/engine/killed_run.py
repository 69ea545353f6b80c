"""A run that is killed: asks the model in the package about some requests and writes the answers to a file.

python killed_run.py STORE OUT [SECONDS]     kill -9 of itself after so many seconds of asking
"""

import json
import os
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path

import minillama
from minillama.evaluation.common.requests import Generation, LogLikelihood, Rolling
from minillama.evaluation.engine.engine import Engine
from minillama.evaluation.engine.store import Store

HEADER = "Tom and Sam were friends. They liked to play in the park every day. " * 4
NAMES = ("Tom", "Lily", "The dog", "A bird", "Mom", "The girl", "Dad", "The cat")


def requests():
    choices = [LogLikelihood(f"{HEADER}{name}", f" {end}.") for name in NAMES for end in ("ran", "sat down", "slept")]
    return [*choices, *(Rolling(f"{name} {HEADER}") for name in NAMES), *(Generation(name, (), 24) for name in NAMES)]


def main(store: str, out: str, step: str = "0") -> None:
    """`step`: after how many answers are kept to be killed, in the middle of writing the next one; 0 is never."""
    left = int(step)
    engine = Engine(minillama.load("stories3M", threads=1), batch_size=4, store=Store(store))
    if left:
        threading.Thread(target=_kill_when_written, args=(Path(store), left), daemon=True).start()
    answers = engine.ask(requests())
    Path(out).write_text(json.dumps([asdict(answer) for answer in answers]))


def _kill_when_written(folder: Path, n_bytes: int) -> None:
    """Watch the file grow, and die as soon as it has so many bytes."""
    while sum(path.stat().st_size for path in folder.glob("*.jsonl")) < n_bytes:
        pass
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
