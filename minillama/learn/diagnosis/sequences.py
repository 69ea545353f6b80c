"""What is wrong with a list, a text, bytes or a dict."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..exercises.exercise import Dims
from . import geometry
from .compare import same_value
from .statement import Statement


def describe_sequence(expected: Any, got: Any, dims: Dims) -> list[Statement]:
    """Statements about a sequence that is another one than expected; none where no rule is found."""
    if isinstance(expected, dict) and isinstance(got, dict):
        return _about_entries(expected, got, dims)
    if not isinstance(expected, list | str | bytes) or type(got) is not type(expected):
        return []
    n, what = equal_up_to(expected, got), element_of(expected)
    if len(got) == 0:
        return [Statement("Your result is empty.")]
    if n == len(got) < len(expected):
        few = len(expected) - n
        return [
            _counted("Your result stops too early", f"{few} {what}{'s are' if few > 1 else ' is'} missing at the end")
        ]
    if n == len(expected) < len(got):
        many = len(got) - n
        return [
            _counted("Your result is right, but does not end", f"{many} {what}{'s' * (many > 1)} too many at the end")
        ]
    return _about_list(expected, list(got), n, dims) if isinstance(expected, list) else []


def equal_up_to(expected: Any, got: Any) -> int:
    return next(
        (i for i, (a, b) in enumerate(zip(expected, got)) if not same_value(a, b)), min(len(expected), len(got))
    )


def element_of(sequence: Any) -> str:
    return "character" if isinstance(sequence, str) else "byte" if isinstance(sequence, bytes) else "element"


def _counted(claim: str, how: str) -> Statement:
    return Statement(f"{claim}: {how}.", claim)


def _about_entries(expected: dict[Any, Any], got: dict[Any, Any], dims: Dims) -> list[Statement]:
    missing, extra = [k for k in expected if k not in got], [k for k in got if k not in expected]
    if missing or extra:
        return [
            Statement(f"Your result {word}: {', '.join(map(repr, keys[:4]))}{' …' * (len(keys) > 4)}.", word)
            for word, keys in (("lacks entries", missing), ("has entries that are not wanted", extra))
            if keys
        ]
    keys = [key for key in expected if not same_value(expected[key], got[key])]
    rule = _as_numbers(list(expected.values()), [got[key] for key in expected], dims)
    if rule or len(keys) > 4:
        return rule
    listed = ", ".join(map(repr, keys))
    return [Statement(f"Only the entries {listed} differ." if len(keys) > 1 else f"Only the entry {listed} differs.")]


def _about_list(expected: list[Any], got: list[Any], n: int, dims: Dims) -> list[Statement]:
    if len(expected) > 2 and n == 0 and (same_value(expected[1:], got) or same_value(expected, got[1:])):
        how = "one is missing" if len(got) < len(expected) else "one is too many"
        return [Statement(f"Your result is right but for its beginning: {how} there.")]
    if len(expected) > 1 and same_value(expected, got[::-1]):
        return [Statement("Your result is the right one in reverse order.")]
    found = _as_numbers(expected, got, dims)
    try:
        if not found and sorted(expected) == sorted(got):
            return [Statement("Your result has the right elements in another order.")]
    except (TypeError, ValueError):  # no order among them
        pass
    return found


def _as_numbers(expected: list[Any], got: list[Any], dims: Dims) -> list[Statement]:
    """What geometry says of two lists of as many numbers, if they are that."""
    if len(expected) != len(got) or len(expected) < 3:
        return []
    if not all(isinstance(x, int | float) and not isinstance(x, bool) for x in [*expected, *got]):
        return []
    try:
        e, g = np.array(expected), np.array(got)
    except OverflowError:
        return []
    if e.dtype.kind not in "fiu" or g.dtype.kind not in "fiu":
        return []
    return geometry.describe(e, g, np.asarray(e != g), ("element",), dims, {})
