"""Threads that work through a list of phases together, inside one compiled call.

A decoded token is some 150 small steps, each of which needs the whole result of the one before.
Starting Numba's threads for every step costs more than many of the steps. Here they start once,
and each thread walks through all phases:

    chunk = claim(board, phase, own)          # take a chunk of the phase's work, until there is none
    finish(board, phase, n_done)              # report; wait until every chunk of the phase is done

Each thread owns a share of the chunks, neighbours in memory, and takes them in order; when its
share is empty it takes from the others'. No thread is ever waited for unless it holds a chunk: if
the operating system starts only one of them, that one does all the work, and a thread that comes
late finds the phases done and passes through.

Counting must not be interrupted by another thread: `fetch_add` is one instruction of the CPU
(`lock xadd`). Waiting reads a counter again and again; what other threads wrote before they
reported is visible afterwards (acquire and release, as in C++'s std::atomic).
"""

from __future__ import annotations

import sys

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numpy.typing import NDArray

from .jit import helper
from .simd import address, with_twin

_LINE = 8  # int64 numbers of a cache line; a counter each, so that threads do not share lines
# Looks at a counter before the core is offered to other programs (about 50 microseconds).
_PATIENCE = 1_000


def new_board(n_phases: int, n_threads: int) -> NDArray[np.int64]:
    """Counters for `n_phases` phases, to be set to 0 before each walk through them.

    One counter for the chunks taken of each thread's share, then one for the chunks finished.
    """
    return np.zeros((n_phases, n_threads + 1, _LINE), np.int64)


def cleared_board(boards: dict[int, NDArray[np.int64]], n_phases: int, n_threads: int) -> NDArray[np.int64]:
    """The board of so many threads among those that were made before, with all its counters at 0."""
    board = boards.get(n_threads)
    if board is None:
        board = boards[n_threads] = new_board(n_phases, n_threads)
    board[:] = 0
    return board


def _fetch_add_twin(counter, value):
    before = int(counter[0])
    counter[0] += value
    return before


@with_twin(_fetch_add_twin)
def fetch_add(typingctx, counter, value):
    """Add to the first number of an int64 array at once, whatever other threads do; what it was before."""

    def build(context, builder, signature, args):
        place = address(context, builder, signature.args[0], args[0], ir.Constant(ir.IntType(64), 0), ir.IntType(64))
        return builder.atomic_rmw("add", place, args[1], "acq_rel")

    return types.int64(counter, types.int64), build


@with_twin(lambda counter: int(counter[0]))
def load_acquire(typingctx, counter):
    """The first number of an int64 array, as other threads have written it last."""

    def build(context, builder, signature, args):
        place = address(context, builder, signature.args[0], args[0], ir.Constant(ir.IntType(64), 0), ir.IntType(64))
        return builder.load_atomic(place, "acquire", align=8)

    return types.int64(counter), build


@with_twin(lambda: None)
def yield_core(typingctx):
    """Let another program have the core, if one wants it (POSIX; nothing elsewhere)."""

    def build(context, builder, signature, args):
        if sys.platform != "win32":
            kind = ir.FunctionType(ir.IntType(32), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "sched_yield"), [])
        return context.get_dummy_value()

    return types.void(), build


@helper
def claim(board, phase, own, n_chunks):
    """The next chunk for thread `own`, or -1 when all are taken."""
    n_threads = board.shape[1] - 1
    for i in range(n_threads):
        share = (own + i) % n_threads
        first, last = share * n_chunks // n_threads, (share + 1) * n_chunks // n_threads
        counter = board[phase, share]
        if first + load_acquire(counter) < last:
            chunk = first + fetch_add(counter, 1)
            if chunk < last:
                return chunk
    return -1


@helper
def finish(board, phase, n_done, n_chunks):
    """Report `n_done` chunks as done and wait for the phase to be complete."""
    finished = board[phase, board.shape[1] - 1]
    if n_done:
        fetch_add(finished, n_done)
    looks = 0
    while load_acquire(finished) < n_chunks:
        looks += 1
        if looks > _PATIENCE:
            yield_core()
