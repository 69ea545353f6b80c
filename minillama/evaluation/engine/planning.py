"""From sequences to feeds: what is run, in which order, and which logits are looked at.

Sequences are sorted by their tokens. Each then has the longest beginning in common with its neighbour, and leaves
that neighbour's path as a branch (`inference/branches.py`): the header of a subject runs once for all its questions, a
question once for its options, and equal sequences once altogether. No tree is built: a list of places where neighbours
part is one.

A feed is some branches of that list, one after another, as many tokens as FEED_TOKENS; a branch that does not fit is
cut, and goes on in the next feed. Where products are integer ones no cut changes a bit of the results; others run in
whole tiles, for the same reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...inference.branches import Branch
from .encoding import Pair

# Tokens that run together: enough that weights are read, and unpacked, for many of them.
FEED_TOKENS = 512
# Bytes of logits that a feed may give.
LOGITS_BYTES = 64 << 20


@dataclass(frozen=True)
class Lookup:
    """The continuation of one pair, to be looked up in logits.

    Attributes
    ----------
    pair : int
        Its number.
    first : int
        The position of the token whose logits predict the first of its tokens.
    ids : tuple of int
    """

    pair: int
    first: int
    ids: tuple[int, ...]


@dataclass
class Path:
    """A sequence of the plan: the part of it that its neighbour before does not have, and what is asked about it.

    Attributes
    ----------
    ids : int64 ndarray
        All of it, from position 0.
    start : int
        Tokens that it shares with the path before.
    lookups : list of Lookup
    asked : dict of int to dict
        For positions from `start` on, the ids that this path or one that branches off later is asked about there.
    """

    ids: NDArray[np.int64]
    start: int = 0
    lookups: list[Lookup] = field(default_factory=list)
    asked: dict[int, dict[int, None]] = field(default_factory=dict)

    def wanted(self, first: int, end: int) -> list[int]:
        """The positions among first ... end - 1 after which logits are wanted."""
        return [position for position in range(first, end) if position in self.asked]


@dataclass(frozen=True)
class Feed:
    """Branches that run together.

    Attributes
    ----------
    branches : list of Branch
    paths : list of int
        The number of the path that each branch is a part of.
    """

    branches: list[Branch]
    paths: list[int]

    @property
    def n_tokens(self) -> int:
        return sum(len(branch.ids) for branch in self.branches)


def paths_of(pairs: Sequence[Pair]) -> list[Path]:
    """Sequences in the order in which they run; equal ones are one."""
    paths: list[Path] = []
    owners: list[int] = []  # for each position of the last path the number of the one that runs it
    previous: tuple[int, ...] = ()
    inputs = [pair.inputs for pair in pairs]
    for number in sorted(range(len(pairs)), key=inputs.__getitem__):
        ids, pair = inputs[number], pairs[number]
        if not paths or ids != previous:
            start = shared_tokens(previous, ids)
            paths.append(Path(np.array(ids, np.int64), start))
            owners[start:] = [len(paths) - 1] * (len(ids) - start)
            previous = ids
        lookup = Lookup(number, len(pair.context) - 1, pair.continuation)
        paths[-1].lookups.append(lookup)
        for position, id_ in enumerate(lookup.ids, lookup.first):
            paths[owners[position]].asked.setdefault(position, {})[id_] = None
    return paths


def shared_tokens(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens two sequences have in common at their beginning, found by halving."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def feeds_of(paths: Sequence[Path], vocab_size: int, batch_size: int) -> Iterator[Feed]:
    """What runs together, in order.

    Parameters
    ----------
    paths : sequence of Path
        As `paths_of` gives them.
    vocab_size : int
    batch_size : int
        Paths in a feed at most.
    """
    most_wanted = max(1, LOGITS_BYTES // (4 * vocab_size))
    branches: list[Branch] = []
    numbers: list[int] = []
    room, wanted_room = FEED_TOKENS, most_wanted
    for number, path in enumerate(paths):
        first = path.start
        while first < len(path.ids):
            end = _end_of_piece(path, first, room, wanted_room)
            if end == first or len(branches) >= batch_size:
                yield Feed(branches, numbers)
                branches, numbers, room, wanted_room = [], [], FEED_TOKENS, most_wanted
                continue
            wanted = np.array(path.wanted(first, end), np.int64) - first
            branches.append(Branch(first, path.ids[first:end], wanted))
            numbers.append(number)
            room, wanted_room, first = room - (end - first), wanted_room - len(wanted), end
    if branches:
        yield Feed(branches, numbers)


def _end_of_piece(path: Path, first: int, room: int, wanted_room: int) -> int:
    """How far a path can go in what is left of a feed."""
    end = min(len(path.ids), first + room)
    ahead = path.wanted(first, end)
    return ahead[wanted_room] if len(ahead) > wanted_room else end


def tokens_of(paths: Sequence[Path]) -> int:
    """Tokens that run: those that paths share count once."""
    return sum(len(path.ids) - path.start for path in paths)
