"""What each step of fine-tuning learns from: a fixed list, seen some times, or examples drawn anew all the time.

    source.examples(step) -> list of Example                 a function of the step, whatever was asked before

A list takes its turns in an order that the seed and the number of the pass give. Drawn examples come in pools: one pool
is drawn, sorted by length and cut into so many steps, which keeps the rows of a step alike, and no example is seen
twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Protocol

import numpy as np

from .conversations import Example, digest_of, packed, side_by_side


class ExampleSource(Protocol):
    """What a step learns from.

    Attributes
    ----------
    fingerprint : str
        Of the data: a run is not resumed on other.
    """

    @property
    def fingerprint(self) -> str: ...

    def examples(self, step: int) -> list[Example]:
        """Those of step `step`, from 1: the same each time."""


class Passes:
    """A fixed list in so many passes.

    Parameters
    ----------
    examples : sequence of Example
    epochs : int
    seed : int
        Of the order, which differs between passes.
    rows, length : int
        Packed: so many rows of `length` predictions in a step.
    tokens : int, optional
        In their place: side by side, about so many tokens in a step.

    Attributes
    ----------
    n_steps : int
    """

    def __init__(
        self,
        examples: Sequence[Example],
        *,
        epochs: int,
        seed: int = 0,
        rows: int = 64,
        length: int = 4096,
        tokens: int | None = None,
    ) -> None:
        if not any(example.n_learned for example in examples):
            raise ValueError("there is nothing to learn: no example has a token with a weight")
        self.fingerprint = digest_of(examples)
        self._steps: list[list[Example]] = []
        for epoch in range(epochs):
            rng = np.random.default_rng([seed, epoch])
            if tokens is not None:
                self._steps += side_by_side(examples, tokens, rng)
                continue
            found = packed([examples[i] for i in rng.permutation(len(examples))], length)
            self._steps += [found[i : i + rows] for i in range(0, len(found), rows)]
        self.n_steps = len(self._steps)

    def examples(self, step: int) -> list[Example]:
        return self._steps[step - 1]


class Drawn:
    """Examples that are drawn anew, a pool at a time.

    Parameters
    ----------
    draw : callable
        Pool number -> examples; a function of the number (and of a seed of its own). A pool has about `steps` times
        as many tokens as a step should have.
    steps : int
        Steps for which a pool lasts.
    seed : int
        Of the order of the steps in a pool.
    """

    def __init__(self, draw: Callable[[int], Sequence[Example]], *, steps: int, seed: int = 0) -> None:
        self._draw, self._n_steps, self._seed = draw, steps, seed
        self._pool: tuple[int, list[list[Example]]] = (-1, [])

    @cached_property
    def fingerprint(self) -> str:
        """Of the first pool: what draws it is taken to draw the others as before."""
        return digest_of([example for step in self._of_pool(0) for example in step])

    def examples(self, step: int) -> list[Example]:
        pool, place = divmod(step - 1, self._n_steps)
        return self._of_pool(pool)[place]

    def _of_pool(self, pool: int) -> list[list[Example]]:
        if self._pool[0] != pool:
            rng = np.random.default_rng([self._seed, pool])
            self._pool = pool, evenly(self._draw(pool), self._n_steps, rng)
        return self._pool[1]


def evenly(examples: Sequence[Example], n: int, rng: np.random.Generator) -> list[list[Example]]:
    """Examples sorted by length and cut into `n` steps with about as many tokens each, in an order of the generator.

    Raises
    ------
    ValueError
        When there are fewer than `n`.
    """
    if len(examples) < n:
        raise ValueError(f"{len(examples)} examples cannot be cut into {n} steps: draw more for a pool")
    mixed = [examples[i] for i in rng.permutation(len(examples))]
    mixed.sort(key=lambda example: len(example.ids))
    left, steps = sum(len(example.ids) for example in mixed), []
    for k in range(n, 0, -1):
        step = [mixed.pop()]
        taken = len(step[0].ids)
        while len(mixed) >= k and (k == 1 or taken + len(mixed[-1].ids) / 2 <= left / k):
            step.append(mixed.pop())
            taken += len(step[-1].ids)
        steps.append(step)
        left -= taken
    return [steps[i] for i in rng.permutation(n)]
