"""The speed card of a kernel: naive loops, NumPy, yours, the package's kernel, PyTorch, on this machine's roofline."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .exercises.exercise import Exercise, Function, Speed

_LEAST_SECONDS = 0.2
_MOST_CALLS = 200


@dataclass(frozen=True)
class Timing:
    """How fast one function is.

    Attributes
    ----------
    name : str
    seconds : float
        Median of a call.
    compile_seconds : float
        What the first call took beyond that.
    """

    name: str
    seconds: float
    compile_seconds: float


@dataclass(frozen=True)
class SpeedCard:
    """All timings of an exercise, and the roofs of this machine.

    Attributes
    ----------
    exercise : str
    timings : list of Timing
    flops, bytes : float
        Of one call.
    bandwidth, peak : float
        Bytes and float32 operations a second that this machine reaches on one thread.
    cached : float
        Bytes a second when only as many as a call needs are read again and again; 0 where nothing was above the roof.
    """

    exercise: str
    dims: str
    timings: list[Timing]
    flops: float
    bytes: float
    bandwidth: float
    peak: float
    cached: float = 0.0

    @property
    def roof_seconds(self) -> float:
        """The least time that memory and arithmetic allow for one call."""
        return max(self.bytes / self.bandwidth, self.flops / self.peak)

    def lines(self) -> list[str]:
        """The card as text."""
        bound = "memory" if self.bytes / self.bandwidth > self.flops / self.peak else "arithmetic"
        lines = [
            f" {self.exercise} · {self.dims}",
            f"   {self.flops / 1e6:.3g} MFLOP and {self.bytes / 1e6:.3g} MB a call, "
            f"{self.flops / self.bytes:.2g} FLOP per byte: bound by {bound}",
            f"   this machine, one thread: {self.bandwidth / 1e9:.0f} GB/s, {self.peak / 1e9:.0f} GFLOP/s",
            "",
            f"   {'':<12}{'a call':>12}{'GFLOP/s':>10}{'GB/s':>9}{'of roof':>9}   compiling",
        ]
        for t in self.timings:
            share = self.roof_seconds / t.seconds
            compiling = f"{t.compile_seconds:.1f} s" if t.compile_seconds > 0.05 else ""
            lines.append(
                f"   {t.name:<12}{_time(t.seconds):>12}{self.flops / t.seconds / 1e9:>10.3g}"
                f"{self.bytes / t.seconds / 1e9:>9.3g}{share:>9.1%}   {compiling}"
            )
        return [*lines, *self._above_the_roof()]

    def _above_the_roof(self) -> list[str]:
        """Why something is faster than the roof, if it is: the roof of memory is not that of the cache."""
        fastest = min(t.seconds for t in self.timings)
        if fastest >= self.roof_seconds:
            return []
        if self.bytes / self.bandwidth < self.flops / self.peak:
            return ["", "   Above 100 %: the roof of arithmetic is that of float32; integers have a higher one."]
        if self.cached < 1.1 * self.bandwidth:
            return ["", "   Above 100 %: by no more than such measurements scatter."]
        share = max(self.bytes / self.cached, self.flops / self.peak) / fastest
        return [
            "",
            f"   Above 100 %: a call's {self.bytes / 1e6:.3g} MB stay in the cache from call to call. Read again and",
            f"   again, so many bytes come at {self.cached / 1e9:.0f} GB/s: another roof, of which the fastest has "
            f"{share:.0%}.",
        ]


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def time_function(function: Callable[[], Any]) -> tuple[float, float]:
    """Median seconds of a call, and what the first one took beyond that."""
    begin = time.perf_counter()
    function()
    first = time.perf_counter() - begin
    times: list[float] = []
    end = time.perf_counter() + _LEAST_SECONDS
    while len(times) < 3 or (time.perf_counter() < end and len(times) < _MOST_CALLS):
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
        if first > 2:
            break  # naive loops: once more is enough
    median = float(np.median(times))
    return median, max(0.0, first - median)


def roofs(n_bytes: int = 128 << 20) -> tuple[float, float]:
    """Bytes and float32 operations a second of this machine on the threads in use.

    By default memory is read; an array of few bytes stays in the cache.
    """
    from ..bench.worker import Machine
    from ..compute.jit import kernel_threads

    found = Machine({"threads": kernel_threads(), "array_bytes": n_bytes}).answer({})
    return found["bytes_per_second"], found["flops_per_second"]


def speed_card(exercise: Exercise, yours: Function | None) -> SpeedCard:
    """Measure every version of a kernel on one thread.

    Raises
    ------
    ValueError
        When the exercise is not about speed.
    """
    from ..compute.jit import kernel_threads
    from ..compute.threads import set_threads

    speed = exercise.speed
    if speed is None:
        raise ValueError(f"{exercise.id} is not about speed; `minillama learn` marks those that are")
    args = exercise.make(np.random.default_rng(0), **speed.dims)
    versions: dict[str, Callable[[], Any]] = {
        "NumPy": lambda: exercise.reference(*args),
        "package": lambda: speed.fast(*args),
    }
    if yours is not None:
        versions["yours"] = lambda: yours(*args)
    versions |= _torch_version(speed, args)
    if speed.naive is not None:
        naive = speed.naive
        versions["naive loops"] = lambda: naive(*args)
    before = kernel_threads()
    set_threads(1)
    try:
        bandwidth, peak = roofs()
        timings = [Timing(name, *time_function(function)) for name, function in versions.items()]
        flops, n_bytes = speed.flops(**speed.dims), speed.bytes(**speed.dims)
        is_above = min(t.seconds for t in timings) < max(n_bytes / bandwidth, flops / peak)
        cached = roofs(int(n_bytes))[0] if is_above else 0.0
    finally:
        set_threads(before)
    dims = " ".join(f"{name}={size}" for name, size in speed.dims.items())
    timings.sort(key=lambda timing: timing.seconds)
    return SpeedCard(exercise.id, dims, timings, flops, n_bytes, bandwidth, peak, cached)


def _torch_version(speed: Speed, args: tuple[Any, ...]) -> dict[str, Callable[[], Any]]:
    try:
        import torch
    except ImportError:
        return {}
    if speed.torch is None:
        return {}
    tensors = [torch.tensor(a) if isinstance(a, np.ndarray) else a for a in args]
    function = speed.torch

    def run() -> Any:
        with torch.no_grad():
            return function(*tensors)

    torch.set_num_threads(1)
    return {"PyTorch": run}
