"""Room that grows."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise


def make_append(rng: np.random.Generator, K: int, head_dim: int, capacity: int, chunk: int) -> tuple[Any, ...]:
    """An array with two positions filled, and chunks that fill it, overfill it, and then come one by one."""
    if capacity < 2:
        raise ValueError("two positions are filled from the start")
    sizes = (1, chunk, 1, 1, 1, 1, 3 * capacity + chunk, 1)
    buffer = np.zeros((K, capacity, head_dim), np.float32)
    buffer[:, :2] = rng.normal(size=(K, 2, head_dim))
    return buffer, 2, [rng.normal(size=(K, t, head_dim)).astype(np.float32) for t in sizes]


def observe_append(function, args):
    """Append all chunks, one after the other: what the caller sees after every call, and what is there at the end."""
    buffer, length, chunks = args
    lengths, capacities, moved = [], [], []
    for new in chunks:
        old = buffer
        buffer, length = function(buffer, length, new)
        lengths.append(int(length))
        capacities.append(buffer.shape[1])
        moved.append(not np.shares_memory(old, buffer))
    return np.array(lengths), buffer[:, :length].copy(), np.array(capacities), np.array(moved)


@exercise(
    title="Room that grows",
    task="Store new keys after those already there; when the room is used up, move to an array twice as long.",
    writes_to=("buffer",),
    difficulty=2,
    minutes=15,
    make=make_append,
    observe=observe_append,
    outputs=("lengths", "contents", "capacities", "moved"),
    axes=("call",),
    shapes=(
        {"K": 1, "head_dim": 2, "capacity": 2, "chunk": 1},
        {"K": 2, "head_dim": 2, "capacity": 2, "chunk": 3},
        {"K": 2, "head_dim": 4, "capacity": 5, "chunk": 2},
        {"K": 3, "head_dim": 6, "capacity": 4, "chunk": 5},
        {"K": 5, "head_dim": 8, "capacity": 16, "chunk": 7},
    ),
    hints=(
        "Two numbers describe the array: its capacity, buffer.shape[1], and how much of it is filled, `length`. "
        "Only when length + t passes the capacity is another array needed.",
        "The new capacity is max(needed, 2 * capacity): doubling is not enough for a long chunk. Copy what was "
        "there along the axis of positions, then write at [:, length:needed].",
        "needed = length + new.shape[1]\n"
        "if needed > buffer.shape[1]:\n"
        "    larger = np.zeros((K, max(needed, 2 * buffer.shape[1]), head_dim), buffer.dtype)\n"
        "    larger[:, : buffer.shape[1]] = buffer      # and from here on buffer = larger\n"
        "buffer[:, length:needed] = new",
    ),
    why=(
        "Doubling makes moves so rare that each number is copied about once on average, however long the text "
        "becomes; room that is just enough would be outgrown at every token. While there is room nothing is allocated "
        "at all. Heads have their own blocks of memory, so the old numbers are copied along the axis of positions and "
        "each head keeps its own."
    ),
)
def append_with_growth(buffer, length, new):
    """Store new positions after the `length` that are filled, in a larger array if they do not fit.

    While there is room, write into `buffer` itself. Otherwise move to an array of capacity
    max(length + t, 2 * capacity).

    Parameters
    ----------
    buffer : ndarray of shape (K, capacity, head_dim)
    length : int
        Positions 0 ... length - 1 are filled.
    new : ndarray of shape (K, t, head_dim)

    Returns
    -------
    buffer : ndarray of shape (K, capacity or more, head_dim)
        The same array while there was room.
    length : int
        How many positions are filled now.
    """
    needed, capacity = length + new.shape[1], buffer.shape[1]
    if needed > capacity:
        larger = np.zeros((buffer.shape[0], max(needed, 2 * capacity), buffer.shape[2]), buffer.dtype)
        larger[:, :capacity] = buffer
        buffer = larger
    buffer[:, length:needed] = new
    return buffer, needed


def grown(buffer, capacity):
    new = np.zeros((buffer.shape[0], capacity, buffer.shape[2]), buffer.dtype)
    new[:, : buffer.shape[1]] = buffer
    return new


@append_with_growth.mistake(
    "Your function makes the array only as long as it has to be.",
    "Then every single token moves the whole cache: n tokens copy n * n / 2 positions. With doubling all "
    "copies together are fewer than 2 n positions.",
)
def append_exactly(buffer, length, new):
    needed = length + new.shape[1]
    if needed > buffer.shape[1]:
        buffer = grown(buffer, needed)
    buffer[:, length:needed] = new
    return buffer, needed


@append_with_growth.mistake(
    "Your function joins old and new in an array without room to spare, in every call.",
    "The contents are right, but n tokens copy n * n / 2 positions. While there is room, write into the "
    "array that was given; when there is none, make the next one twice as long.",
)
def append_joins(buffer, length, new):
    return np.concatenate((buffer[:, :length], new), axis=1), length + new.shape[1]


@append_with_growth.mistake(
    "Your function makes a new array in every call.",
    "While there is room, write into the array that was given: a token's work must not grow with the length.",
)
def append_always_copies(buffer, length, new):
    return append_with_growth(buffer.copy(), length, new)


@append_with_growth.mistake(
    "Your function forgets what was stored when it grows.",
    "The larger array starts empty: copy the old positions into it before you write the new ones.",
)
def append_forgets(buffer, length, new):
    needed = length + new.shape[1]
    if needed > buffer.shape[1]:
        capacity = max(needed, 2 * buffer.shape[1])
        buffer = np.zeros((buffer.shape[0], capacity, buffer.shape[2]), buffer.dtype)
    buffer[:, length:needed] = new
    return buffer, needed


@append_with_growth.mistake(
    "Your function joins the new positions to the end of the array, behind the unused room.",
    "The array is longer than what is filled: the next free position is `length`, not buffer.shape[1].",
)
def append_behind_the_room(buffer, length, new):
    return np.concatenate((buffer, new), axis=1), length + new.shape[1]


@append_with_growth.mistake(
    "Your function writes every chunk at position 0.",
    "Positions 0 ... length - 1 are taken: write at length ... length + t - 1.",
)
def append_at_start(buffer, length, new):
    needed = length + new.shape[1]
    if needed > buffer.shape[1]:
        buffer = grown(buffer, max(needed, 2 * buffer.shape[1]))
    buffer[:, : new.shape[1]] = new
    return buffer, needed


@append_with_growth.mistake(
    "Your function counts calls, not positions.",
    "A chunk brings t = new.shape[1] positions at once: the length grows by t.",
)
def append_counts_calls(buffer, length, new):
    return append_with_growth(buffer, length, new)[0], length + 1


@append_with_growth.mistake(
    "Your function moves the numbers as one flat run: heads run into one another.",
    "Positions are the second of three axes. Copy with a slice along it, larger[:, :capacity] = buffer; "
    "np.resize and ndarray.resize know nothing of axes.",
)
def append_resized(buffer, length, new):
    """The bytes one after the other in a larger array: heads run into one another."""
    needed = length + new.shape[1]
    if needed > buffer.shape[1]:
        shape = buffer.shape[0], max(needed, 2 * buffer.shape[1]), buffer.shape[2]
        flat = np.zeros(int(np.prod(shape)), buffer.dtype)
        flat[: buffer.size] = buffer.reshape(-1)
        buffer = flat.reshape(shape)
    buffer[:, length:needed] = new
    return buffer, needed
