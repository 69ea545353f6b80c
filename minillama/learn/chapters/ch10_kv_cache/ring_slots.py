"""A cache that overwrites its oldest."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise


def make_ring(rng: np.random.Generator, n_seen: int, window: int) -> tuple[Any, ...]:
    return n_seen, window


def ring(n_seen, window):
    slots = np.full(window, -1)
    for position in range(max(0, n_seen - window), n_seen):
        slots[position % window] = position
    return slots.tolist()


@exercise(
    title="A cache that overwrites its oldest",
    task="Say which position every slot of a ring of `window` slots holds after n_seen tokens; -1 where none does.",
    difficulty=2,
    minutes=10,
    reference=ring,
    make=make_ring,
    exact=True,
    shapes=(
        {"n_seen": 1, "window": 2},
        {"n_seen": 2, "window": 3},
        {"n_seen": 4, "window": 3},
        {"n_seen": 6, "window": 3},
        {"n_seen": 17, "window": 5},
        {"n_seen": 9, "window": 16},
        {"n_seen": 1000, "window": 7},
    ),
    hints=(
        "Position p is written to slot p % window, over whatever was there. Nothing ever moves.",
        "Only the last `window` positions are still there: max(0, n_seen - window) ... n_seen - 1.",
        "slots = np.full(window, -1)\nfor p in range(max(0, n_seen - window), n_seen):\n    slots[p % window] = p",
    ),
    why=(
        "The remainder by the window puts a new token where the one that has just left the window stood, so nothing "
        "is ever moved. Only the last `window` positions can have survived, and the loop visits no others. Slots need "
        "not be in the order of the text: attention sums over keys, and each key was rotated by its own position."
    ),
)
def ring_slots(n_seen, window):
    """Which position every slot of a ring holds after `n_seen` tokens.

    Position p is written to slot p % window, over whatever was there.

    Parameters
    ----------
    n_seen : int
        Positions 0 ... n_seen - 1 have been written, in this order.
    window : int
        Number of slots.

    Returns
    -------
    slots : integer ndarray of shape (window,)
        -1 for a slot that nothing was written to.
    """
    slots = np.full(window, -1)
    for position in range(max(0, n_seen - window), n_seen):
        slots[position % window] = position
    return slots


@ring_slots.mistake(
    "Your slots are in the order of the text, the oldest first.",
    "In a ring nothing moves: position p stays in slot p % window until it is overwritten.",
)
def ring_from_oldest(n_seen, window):
    return np.maximum(max(0, n_seen - window) + np.arange(window), -1) * (np.arange(window) < n_seen) - (
        np.arange(window) >= n_seen
    )


@ring_slots.mistake(
    "Your slots are in the order of the text, the newest first.",
    "In a ring nothing moves: position p stays in slot p % window until it is overwritten.",
)
def ring_newest_first(n_seen, window):
    positions = n_seen - 1 - np.arange(window)
    return np.where(positions >= 0, positions, -1)


@ring_slots.mistake(
    "Your function counts one token too many.",
    "After n_seen tokens the last position is n_seen - 1: counting begins at 0.",
)
def counts_one_token_too_many(n_seen, window):
    return ring(n_seen + 1, window)


@ring_slots.mistake(
    "Your function gives positions to slots that nothing was written to.",
    "With fewer tokens than slots some slots are empty: -1, or attention would read what is not there.",
)
def ring_no_empty(n_seen, window):
    slots = np.arange(window)
    return slots + window * ((n_seen - 1 - slots) // window).clip(0)


@ring_slots.mistake(
    "Your first tokens stay for ever.",
    "When the ring is full the next token overwrites the oldest: slot p % window then holds p.",
)
def ring_first_stay(n_seen, window):
    slots = np.arange(window)
    return np.where(slots < n_seen, slots, -1)
