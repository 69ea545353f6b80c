"""What memory really delivers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise


def make_walk(rng: np.random.Generator, first: int, step: int, count: int, itemsize: int, line: int) -> tuple[Any, ...]:
    if itemsize not in (1, 2, 4, 8) or line not in (32, 64, 128) or step < 1 or count < 1:
        raise ValueError("elements of 1, 2, 4 or 8 bytes, lines of 32, 64 or 128")
    return first * itemsize, step * itemsize, count, itemsize, line


@exercise(
    title="What memory really delivers",
    task="Count the cache lines that a walk through memory touches: `count` elements, `stride` bytes apart.",
    difficulty=2,
    minutes=10,
    make=make_walk,
    shapes=tuple(
        dict(zip(("first", "step", "count", "itemsize", "line"), numbers))
        for numbers in (
            (0, 1, 16, 4, 64),
            (15, 1, 2, 4, 64),
            (3, 2, 37, 4, 64),
            (0, 576, 30, 4, 64),
            (7, 5, 100, 2, 128),
            (60, 1, 1000, 1, 32),
        )
    ),
    exact=True,
    hints=(
        "Memory comes in lines of `line` bytes that begin at multiples of `line`. In which line does the byte at an "
        "address lie?",
        "Element i begins at address + i * stride, in line number (address + i * stride) // line. Elements never "
        "cross a line here. Several may share one: count different numbers.",
        "return len({(address + i * stride) // line for i in range(count)})",
    ),
    why=(
        "Memory is fetched in whole lines, so what counts is not how many numbers are read but in how many different "
        "lines they lie. An address divided by the size of a line, without remainder, is the number of its line, and "
        "a set holds each number once. That one expression covers a small stride, where many elements share a line, a "
        "large one, where each has its own, and a walk that begins in the middle of a line."
    ),
)
def cache_lines_read(address, stride, count, itemsize, line):
    """How many cache lines a walk through memory touches.

    Element i lies at address + i * stride. Memory is read in lines of `line` bytes that begin at
    multiples of `line`; no element crosses from one line to the next.

    Parameters
    ----------
    address, stride : int
        Bytes; the stride is positive.
    count : int
        Elements.
    itemsize, line : int
        Bytes.

    Returns
    -------
    n : int
        Each line once.
    """
    return len({(address + i * stride) // line for i in range(count)})


@cache_lines_read.mistake(
    "Your function counts a line for every element.",
    "Neighbours share a line: sixteen float32 fit in one of 64 bytes. Count different line numbers.",
)
def counts_line_for_every_element(address, stride, count, itemsize, line):
    return count


@cache_lines_read.mistake(
    "Your function takes the elements as neighbours, whatever the stride.",
    "With a stride of 2304 bytes, every element lies in a line of its own.",
)
def takes_elements_as_neighbours(address, stride, count, itemsize, line):
    return -(-count * itemsize // line)


@cache_lines_read.mistake(
    "Your function counts all lines between the first element and the last.",
    "With a stride above the size of a line, some lines in between are never touched.",
)
def counts_all_lines_in_between(address, stride, count, itemsize, line):
    return (address + stride * (count - 1)) // line - address // line + 1


@cache_lines_read.mistake(
    "Your function lets the walk begin at the beginning of a line.",
    "Two neighbours may lie on both sides of a border: the address counts.",
)
def lets_walk_begin_at_beginning_of_line(address, stride, count, itemsize, line):
    return cache_lines_read(0, stride, count, itemsize, line)


@cache_lines_read.mistake(
    "Your function forgets the line in which the walk begins.",
    "From line 3 to line 5 there are three lines, not two.",
)
def forgets_line_in_which_walk_begins(address, stride, count, itemsize, line):
    return cache_lines_read(address, stride, count, itemsize, line) - 1
