"""`minillama bench`: speed, memory and share of the memory's bandwidth, beside other engines.

Engines take turns, a measurement each, round after round: a machine that slows down for a while
slows all of them. What is reported are medians over the rounds and the ratios of medians.

Decoding a token reads every weight once, and the keys and values of all positions before it:

    tokens/s  <=  bandwidth / (bytes of weights + bytes of keys and values)

so the bandwidth that was reached, as a share of what the machine can read, says how much is left.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .machine import describe_machine, describe_model
from .peers import PEERS, Engine, Request, Subject, WorkerEngine
from .process import PeerError
from .rows import OURS, ROWS, Results, Settings


def run_bench(settings: Settings, progress: Callable[[str], None] = lambda text: None) -> Results:
    """Measure; Ctrl-C ends the engines and returns what there is.

    Parameters
    ----------
    settings : Settings
    progress : callable
        Called with a line about what happens now.

    Raises
    ------
    ValueError
        When the model cannot be read, or minillama itself cannot run it.
    """
    from ..checkpoints.hub.models import resolve
    from ..checkpoints.loading import load_checkpoint

    found = resolve(settings.model)
    checkpoint = load_checkpoint(found.path)
    results = Results(settings, describe_machine(), describe_model(settings.model, checkpoint))
    rows = _rows_that_fit(results, checkpoint.config.max_seq_len)
    positions = max(64, *(ROWS[name].positions for name in rows))
    with tempfile.TemporaryDirectory() as folder:
        subject = Subject(found.path, settings.tokenizer or found.tokenizer, checkpoint, positions, Path(folder))
        try:
            for threads in dict.fromkeys(settings.threads):
                _Turns(results, subject, rows, threads, progress).run()
        except KeyboardInterrupt:
            results.interrupted = True
            results.note("interrupted: the medians are over the rounds until then")
    return results


def _rows_that_fit(results: Results, max_seq_len: int) -> list[str]:
    fitting = []
    for name in dict.fromkeys(results.settings.rows):
        if ROWS[name].positions > max_seq_len:
            results.note(f"{name} is left out: it needs {ROWS[name].positions} positions, the model has {max_seq_len}")
        else:
            fitting.append(name)
    return fitting


class _Turns:
    """The rounds for one number of threads."""

    def __init__(
        self, results: Results, subject: Subject, rows: list[str], threads: int, progress: Callable[[str], None]
    ) -> None:
        self.results, self.subject, self.rows, self.threads = results, subject, rows, threads
        self.progress = progress
        self.warm: set[str] = set()  # programs that have run once
        self.engines: dict[str, tuple[Engine, tuple[str, ...]]] = {}  # and the rows that it can be asked for

    def run(self) -> None:
        with contextlib.ExitStack() as stack:
            machine, commands = (self._own(stack, name) for name in ("machine", "commands"))
            if any(ROWS[row].prompt for row in self.rows):
                self._start_all(stack)
            for n in range(self.results.settings.rounds):
                self.progress(f"{self._name()}: round {n + 1} of {self.results.settings.rounds}")
                self._look_at_roofs(machine)
                done: dict[str, dict[str, Any]] = {}
                for row in self.rows:
                    if ROWS[row].prompt:
                        self._ask_everyone(row)
                    else:
                        self._start_program(row, commands, done)

    def _name(self) -> str:
        return f"{self.threads} thread{'' if self.threads == 1 else 's'}"

    def _own(self, stack: contextlib.ExitStack, name: str) -> WorkerEngine:
        """An engine without which there is nothing to report."""
        settings = {"engine": name, "threads": self.threads, "path": str(self.subject.path)}
        settings["array_bytes"] = self.results.settings.array_bytes
        if self.subject.tokenizer is not None:
            settings["tokenizer"] = str(self.subject.tokenizer)
        try:
            engine = WorkerEngine(settings, self.results.settings.timeout)
        except PeerError as error:
            raise ValueError(f"{name}: {error}") from error
        stack.callback(engine.close)
        return engine

    def _start_all(self, stack: contextlib.ExitStack) -> None:
        ours = self._own(stack, OURS)
        self.results.engines[OURS] = ours.about
        self.engines[OURS] = (ours, ())
        for peer in self.results.settings.against:
            for name in PEERS[peer].engines:
                self.progress(f"{self._name()}: starting {name}")
                try:
                    engine = PEERS[peer].start(name, self.subject, self.threads, self.results.settings.timeout)
                except PeerError as error:
                    how = f"; to install it: {PEERS[peer].install}" if str(error).startswith("not installed") else ""
                    self.results.note(f"{peer}: {error}{how}")
                    continue
                stack.callback(engine.close)
                self.results.engines[name] = engine.about
                self.engines[name] = (engine, PEERS[peer].only)
        self._warm_up()

    def _warm_up(self) -> None:
        """Compiling, first touches and clocks that have to rise are not measured."""
        for name, (engine, _) in list(self.engines.items()):
            self._rate(name, engine, Request(self._ids(16), 2))

    def _ask_everyone(self, row: str) -> None:
        request = Request(self._ids(ROWS[row].prompt), ROWS[row].decode, ROWS[row].sequences)
        for name, (engine, only) in list(self.engines.items()):
            if only and row not in only:
                continue
            rate = self._rate(name, engine, request)
            if rate is not None:
                self._add(row, name, rate)

    def _rate(self, name: str, engine: Engine, request: Request) -> float | None:
        try:
            return engine.rate(request)
        except PeerError as error:
            if name == OURS:
                raise ValueError(f"{name}: {error}") from error
            self.results.note(f"{name}, {self._name()}: {error}")
            engine.close()
            del self.engines[name]
            return None

    def _ids(self, n: int) -> list[int]:
        """Any tokens will do, apart from the few that control a text."""
        vocab_size = self.subject.checkpoint.config.vocab_size
        return [3 + i % (vocab_size - 3) for i in range(n)]

    def _look_at_roofs(self, machine: WorkerEngine) -> None:
        roofs = self.results.roofs.setdefault(self.threads, {})
        for name, value in machine.ask({}).items():
            roofs[name] = max(value, roofs.get(name, 0.0))

    def _start_program(self, row: str, commands: WorkerEngine, done: dict[str, dict[str, Any]]) -> None:
        """first-token, the imports and memory: a program from its start to its end, once a round."""
        request = {"command": self._command(row)}
        key = " ".join(request["command"])
        try:
            if key not in self.warm:  # files in the page cache, kernels compiled
                commands.ask(request)
                self.warm.add(key)
            if key not in done:
                done[key] = commands.ask(request)
        except PeerError as error:
            self.results.note(f"{row}: {error}")
            return
        figure = {"first-token": "first_byte", "memory": "peak_bytes"}.get(row, "seconds")
        self._add(row, OURS, done[key][figure] / (1e6 if row == "memory" else 1))

    def _command(self, row: str) -> list[str]:
        if row in ("import", "import-numba"):
            return [sys.executable, "-c", "import minillama" if row == "import" else "import numba"]
        command = [sys.executable, "-m", "minillama", "generate", "Once upon a time", "--quiet"]
        command += ["--model", str(self.subject.path), "--threads", str(self.threads)]
        command += ["--temperature", "0", "--max-tokens", "32"]
        tokenizer = self.subject.tokenizer
        return command if tokenizer is None else [*command, "--tokenizer", str(tokenizer)]

    def _add(self, row: str, engine: str, value: float) -> None:
        self.results.series.setdefault((self.threads, row, engine), []).append(value)
