"""Arguments and shapes that several exercises of the chapter share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...exercises.exercise import Function

NOUNS = "boat river garden window market lantern teacher kettle ladder harbour basket meadow".split()  # noqa: SIM905
SHORT = ["cat", "dog", "sun", "hat", "cup", "bed", "map", "jar", "box", "pen", "fox", "hen"]
LONG = ["conversation", "electricity", "architecture", "neighbourhoods", "grandchildren", "understanding"]


def each(function: Function, args: tuple[Any, ...]) -> Any:
    """What the function says of every item of the first argument."""
    items, *rest = args
    return {item: function(item, *rest) for item in items}


def pick(rng: np.random.Generator, words: Sequence[str], n: int) -> list[str]:
    return [words[int(i)] for i in rng.integers(0, len(words), n)]
