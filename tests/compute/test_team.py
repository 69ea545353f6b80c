"""Threads that share phases: every chunk once, nobody waited for who holds nothing."""

import threading

import numpy as np
import pytest
from numba import config

from minillama.compute.jit import kernel
from minillama.compute.team import claim, fetch_add, finish, load_acquire, new_board


@kernel
def _walk(board, own, n_chunks, done, reached):
    """Every chunk of a phase needs all chunks of the phase before; where one is missing, 100 is added."""
    for phase in range(len(board)):
        n_done = 0
        chunk = claim(board, phase, own, n_chunks)
        while chunk >= 0:
            done[phase, chunk] += 1 if reached.min() >= phase else 100
            reached[chunk] = phase + 1
            n_done += 1
            chunk = claim(board, phase, own, n_chunks)
        finish(board, phase, n_done, n_chunks)


@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
@pytest.mark.parametrize("n_chunks", [1, 2, 5, 64])
def test_every_chunk_once_and_phases_in_order(n_threads, n_chunks):
    n_phases = 50
    board, done = new_board(n_phases, n_threads), np.zeros((n_phases, n_chunks), np.int64)
    reached = np.zeros(n_chunks, np.int64)
    if config.DISABLE_JIT:  # Python threads do not add at once: one after the other
        for own in range(n_threads):
            _walk(board, own, n_chunks, done, reached)
    else:
        _walk(new_board(1, 1), 0, 1, np.zeros((1, 1), np.int64), np.zeros(1, np.int64))  # compile
        threads = [
            threading.Thread(target=_walk, args=(board, own, n_chunks, done, reached)) for own in range(n_threads)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        assert not any(thread.is_alive() for thread in threads)
    assert (done == 1).all()


def test_one_thread_does_the_work_of_an_absent_one():
    """The operating system may start fewer threads than were asked for."""
    board, done = new_board(3, 4), np.zeros((3, 10), np.int64)
    _walk(board, 2, 10, done, np.zeros(10, np.int64))
    assert (done == 1).all()
    _walk(board, 0, 10, done, np.full(10, 9))  # one that comes late passes through
    assert (done == 1).all()


@kernel
def _count(counter, n):
    for _ in range(n):
        fetch_add(counter, 1)
    return load_acquire(counter)


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="the compiler is off")
def test_additions_do_not_get_lost():
    counter = np.zeros(8, np.int64)
    assert _count(counter, 0) == 0
    threads = [threading.Thread(target=_count, args=(counter, 200_000)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.tolist() == [800_000, *[0] * 7]
