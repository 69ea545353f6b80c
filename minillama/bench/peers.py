"""The engines that `minillama bench` compares: how each is started, asked and ended.

Every engine runs outside this process (worker.py says why) and gives tokens per second for
a prompt and a number of decoded tokens. A peer that is not installed says how to install it.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .process import PeerError, Worker

if TYPE_CHECKING:
    from ..checkpoints.common.checkpoint import Checkpoint

LLAMA_CPP_PYTHON = "MINILLAMA_LLAMA_CPP_PYTHON"
LLAMA2C_RUN = "MINILLAMA_LLAMA2C_RUN"

_WORKER = Path(__file__).with_name("worker.py")


@dataclass(frozen=True)
class Request:
    """One measurement: the tokens of the prompt, how many are decoded after it, and in how many sampled sequences."""

    ids: list[int]
    decode: int
    sequences: int = 0


@dataclass(frozen=True)
class Subject:
    """The model that all engines run.

    Attributes
    ----------
    path : Path
    tokenizer : Path or None
    checkpoint : Checkpoint
    positions : int
        The longest sequence that will be asked for.
    folder : Path
        For files that a peer needs in a format of its own.
    """

    path: Path
    tokenizer: Path | None
    checkpoint: Checkpoint
    positions: int
    folder: Path


class WorkerEngine:
    """An engine of worker.py.

    Attributes
    ----------
    about : dict
        Versions, and what else the engine says of itself.
    """

    def __init__(self, settings: dict[str, Any], timeout: float, python: str | None = None) -> None:
        command = [sys.executable, "-m", "minillama.bench.worker"] if python is None else [python, str(_WORKER)]
        self._worker = Worker(command, settings, timeout)
        self.about = self._worker.about
        self.ask, self.close = self._worker.ask, self._worker.close

    def rate(self, request: Request) -> float:
        """Tokens per second: of the decoded ones, or of the prompt when none are decoded."""
        answer = self.ask({"ids": request.ids, "decode": request.decode, "sequences": request.sequences})
        n, seconds = (
            (request.decode * max(1, request.sequences), answer["decode_seconds"])
            if request.decode
            else (len(request.ids), answer["prompt_seconds"])
        )
        return float(n * answer["repeats"] / seconds)


class Llama2c:
    """karpathy's llama2.c: its `run`, started afresh for each measurement.

    It decodes from position 0 in float32 and tells its own speed. Its arithmetic fixes RoPE's
    base and the norms' epsilon: a model with others runs as a copy of the same shapes, which
    takes the same time.
    """

    _SECONDS, _MOST_RUNS = 0.5, 40  # its clock counts milliseconds: short runs are repeated

    def __init__(self, run: str, subject: Subject, threads: int, timeout: float) -> None:
        from ..checkpoints.llama2c import NORM_EPS, ROPE_THETA, write_llama2c

        self._timeout, config = timeout, subject.checkpoint.config
        fitting = replace(
            config, norm_eps=NORM_EPS, rope_theta=ROPE_THETA, max_seq_len=min(config.max_seq_len, subject.positions)
        )
        others = [f"rope_theta {ROPE_THETA:g}"] if config.rope_theta != ROPE_THETA else []
        others += [f"norm_eps {NORM_EPS:g}"] if config.norm_eps != NORM_EPS else []
        self.about: dict[str, Any] = {"version": "float32"}
        if others:
            self.about["version"] += f", a copy of the same shapes with {' and '.join(others)}: llama2.c has no other"
        model, tokenizer = subject.folder / "model.bin", subject.folder / "tokenizer.bin"
        if not model.exists():
            write_llama2c(model, fitting, subject.checkpoint.params, version=0)
            _write_letters(tokenizer, config.vocab_size)
        self._command = [run, str(model), "-z", str(tokenizer), "-t", "0", "-n"]
        self._environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}

    def rate(self, request: Request) -> float:
        """Tokens per second over as many positions as the request's prompt and tokens take."""
        seconds_a_token: list[float] = []
        begin = time.perf_counter()
        while not seconds_a_token or (
            time.perf_counter() - begin < self._SECONDS and len(seconds_a_token) < self._MOST_RUNS
        ):
            speed = self._run(len(request.ids) + request.decode)
            seconds_a_token.append(1 / speed)
        return len(seconds_a_token) / max(sum(seconds_a_token), 1e-9)

    def _run(self, n: int) -> float:
        try:
            done = subprocess.run(
                [*self._command, str(n)], env=self._environment, capture_output=True, timeout=self._timeout
            )
        except OSError as error:
            raise PeerError(f"{self._command[0]} cannot be started: {error.strerror}") from error
        except subprocess.TimeoutExpired:
            raise PeerError(f"gave no answer in {self._timeout:g} s") from None
        said = done.stderr.decode(errors="replace")
        found = [line.split(":", 1)[1] for line in said.splitlines() if line.startswith("achieved tok/s:")]
        try:
            return float(found[0])
        except (IndexError, ValueError):
            raise PeerError(f"did not say its speed (exit code {done.returncode}): {said.strip()[:200]}") from None

    def close(self) -> None:
        """Nothing runs between measurements."""


def _write_letters(path: Path, vocab_size: int) -> None:
    """A tokenizer for llama2.c in which every token is "a": only the speed is looked at."""
    path.write_bytes(struct.pack("<I", 1) + vocab_size * (struct.pack("<fI", 0.0, 1) + b"a"))


Engine = WorkerEngine | Llama2c


@dataclass(frozen=True)
class Peer:
    """A program to compare with.

    Attributes
    ----------
    engines : tuple of str
        The ways in which it is run; for each row the fastest counts.
    install : str
    only : tuple of str
        The rows that it can be asked for; empty for all.
    """

    engines: tuple[str, ...]
    install: str
    start: Callable[[str, Subject, int, float], Engine]
    only: tuple[str, ...] = ()


def _start_llama_cpp(engine: str, subject: Subject, threads: int, timeout: float) -> Engine:
    settings = {"flash_attention": engine.endswith("+fa"), "positions": subject.positions}
    return WorkerEngine(
        {"engine": "llama.cpp", "path": _gguf(subject), "threads": threads, **settings},
        timeout,
        os.environ.get(LLAMA_CPP_PYTHON) or sys.executable,
    )


def _start_transformers(engine: str, subject: Subject, threads: int, timeout: float) -> Engine:
    path = str(subject.path) if (subject.path / "config.json").exists() else _gguf(subject)
    dtype = "bfloat16" if engine.endswith("bf16") else "float32"
    return WorkerEngine({"engine": "transformers", "path": path, "threads": threads, "dtype": dtype}, timeout)


def _start_llama2c(engine: str, subject: Subject, threads: int, timeout: float) -> Engine:
    run = os.environ.get(LLAMA2C_RUN)
    if not run:
        raise PeerError(f"not installed: {LLAMA2C_RUN} is not set")
    try:
        return Llama2c(run, subject, threads, timeout)
    except ValueError as error:
        raise PeerError(str(error)) from error


def _gguf(subject: Subject) -> str:
    if not subject.checkpoint.format.startswith("GGUF"):
        raise PeerError("reads only GGUF files: minillama convert MODEL model.gguf makes one")
    return str(subject.checkpoint.path)


PEERS = {
    "llama.cpp": Peer(
        ("llama.cpp", "llama.cpp+fa"),
        'CMAKE_ARGS="-DGGML_NATIVE=ON" pip install --no-binary llama-cpp-python llama-cpp-python, '
        f"here or in the environment whose python {LLAMA_CPP_PYTHON} names",
        _start_llama_cpp,
    ),
    "llama2.c": Peer(
        ("llama2.c",),
        "git clone https://github.com/karpathy/llama2.c, gcc -O3 -march=native -ffast-math -fopenmp run.c -lm -o run, "
        f"and set {LLAMA2C_RUN} to the path of run",
        _start_llama2c,
        only=("decode",),
    ),
    "transformers": Peer(("transformers",), "pip install -r requirements.txt", _start_transformers),
    "transformers-bf16": Peer(("transformers-bf16",), "pip install -r requirements.txt", _start_transformers),
}
