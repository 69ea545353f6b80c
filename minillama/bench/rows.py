"""What a benchmark measures, and the figures that come out."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .peers import PEERS

OURS = "minillama"


@dataclass(frozen=True)
class Row:
    """One thing to measure.

    Attributes
    ----------
    what : str
    unit : "tokens/s", "s" or "MB"
    prompt, decode : int
        Tokens, of each sequence; both 0 for what is measured by starting a program.
    sequences : int
        How many are continued at once, each token drawn at temperature 1; 0 for one, of which nothing is drawn.
    """

    what: str
    unit: str = "tokens/s"
    prompt: int = 0
    decode: int = 0
    sequences: int = 0

    @property
    def positions(self) -> int:
        """Room that a sequence needs: one step between prompt and decoded tokens is not timed."""
        return self.prompt + self.decode + (self.decode > 0)


ROWS = {
    "decode": Row("48 tokens after a prompt of 12", prompt=12, decode=48),
    "decode-1024": Row("48 tokens after a prompt of 1024", prompt=1024, decode=48),
    "prefill-512": Row("a prompt of 512 tokens", prompt=512),
    "sampled": Row("48 tokens after a prompt of 12, drawn at temperature 1", prompt=12, decode=48, sequences=1),
    "sampled-16": Row("the same of 16 sequences at once, tokens of all", prompt=12, decode=48, sequences=16),
    "sampled-64": Row("of 64 sequences at once", prompt=12, decode=48, sequences=64),
    "first-token": Row("from process start to the first byte of text", "s"),
    "import": Row("python -c 'import minillama', from start to end", "s"),
    "import-numba": Row("the same of Numba, with which the first token begins", "s"),
    "memory": Row("peak memory of `minillama generate`", "MB"),
}


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Attributes
    ----------
    model : str
        A known name or a path.
    tokenizer : Path, optional
        Where the model's format carries none.
    threads : tuple of int
    rounds : int
    rows : tuple of str
        Keys of ROWS.
    against : tuple of str
        Keys of PEERS.
    timeout : float
        Seconds that an engine may take to load, or for one measurement.
    array_bytes : int
        What the bandwidth is measured with; well above the caches.
    """

    model: str
    tokenizer: Path | None = None
    threads: tuple[int, ...] = (1,)
    rounds: int = 5
    rows: tuple[str, ...] = tuple(ROWS)
    against: tuple[str, ...] = ()
    timeout: float = 300.0
    array_bytes: int = 128 << 20

    def __post_init__(self) -> None:
        from ..compute.threads import most_threads

        _check_names("row", self.rows, ROWS)
        _check_names("engine", self.against, PEERS)
        if self.rounds < 1:
            raise ValueError(f"rounds must be 1 or more, got {self.rounds}")
        if not self.threads:
            raise ValueError("give at least one number of threads")
        for n in self.threads:
            if not 1 <= n <= most_threads():
                raise ValueError(f"threads must be between 1 and {most_threads()}, the cores of this machine; got {n}")


def _check_names(kind: str, given: Sequence[str], known: dict[str, Any]) -> None:
    unknown = [name for name in given if name not in known]
    if unknown:
        raise ValueError(f"unknown {kind} {unknown[0]!r}; possible: {', '.join(known)}")
    if kind == "row" and not given:
        raise ValueError(f"give at least one row; possible: {', '.join(known)}")


@dataclass
class Results:
    """All figures of a run; complete up to the point where it was interrupted.

    Attributes
    ----------
    machine, model : dict
    roofs : dict
        For each number of threads, "bytes_per_second" and "flops_per_second": the best of all rounds.
    series : dict
        (threads, row, engine) to a figure for each round, in the row's unit.
    engines : dict
        What each engine says of itself.
    notes : list of str
        What was left out, and why.
    """

    settings: Settings
    machine: dict[str, Any]
    model: dict[str, Any]
    roofs: dict[int, dict[str, float]] = field(default_factory=dict)
    series: dict[tuple[int, str, str], list[float]] = field(default_factory=dict)
    engines: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    interrupted: bool = False

    def median(self, threads: int, row: str, engine: str) -> float | None:
        """The median over the rounds; None where nothing was measured."""
        figures = self.series.get((threads, row, engine))
        return statistics.median(figures) if figures else None

    def best(self, threads: int, row: str, peer: str) -> tuple[str, float] | None:
        """The fastest engine of a peer in a row, and its median."""
        medians = [(name, self.median(threads, row, name)) for name in PEERS[peer].engines]
        found = [(name, value) for name, value in medians if value is not None]
        return max(found, key=lambda pair: pair[1], default=None)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)
