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
    if not isinstance(expected, list):
        return _about_text(expected, got)
    return _about_list(expected, list(got), n, dims) or _about_elements(expected, list(got))


def _about_text(expected: Any, got: Any) -> list[Statement]:
    """What has to be left out of two texts so that they are equal."""
    for what, alike in (
        ("capitals", lambda text: text.lower()),
        ("spaces and line ends", lambda text: text[:0].join(text.split())),
    ):
        if alike(expected) == alike(got):
            return [Statement(f"Your result is right but for {what}.")]
    return _more_or_less(list(expected), list(got), element_of(expected))


def _about_elements(expected: list[Any], got: list[Any]) -> list[Statement]:
    """Parts of a text that is cut otherwise, lists that are divided otherwise, and elements too many or too few."""
    if all(isinstance(x, str) for x in [*expected, *got]) and "".join(expected) == "".join(got):
        few = "fewer, longer ones" if len(got) < len(expected) else "more, shorter ones"
        how = few if len(got) != len(expected) else "as many, cut at other places"
        return [Statement(f"Joined, your parts are the right text, but they are {how}.")]
    nested = all(isinstance(x, list | tuple) for x in [*expected, *got])
    if nested and same_value([y for x in expected for y in x], [y for x in got for y in x]):
        return [Statement("Your elements are right and in order, but grouped otherwise.")]
    if all(isinstance(x, bool) for x in [*expected, *got]) and len(expected) == len(got):
        return one_sided([*zip(expected, got)])
    return _more_or_less(expected, got, "element")


def one_sided(pairs: list[tuple[Any, Any]]) -> list[Statement]:
    """Truth values, expected and yours, that are wrong in one direction only."""
    wrong = {(e, g) for e, g in pairs if e is not g}
    if len(wrong) != 1:
        return []
    e, g = wrong.pop()
    return [Statement(f"Where yours is wrong it says {g} and {e} is right; never the other way round.")]


def _more_or_less(expected: list[Any], got: list[Any], what: str) -> list[Statement]:
    if 0 < len(expected) < len(got) and same_value(expected, got[-len(expected) :]):
        return [_counted(f"Your result ends like the right one, but has {what}s in front of it", "")]
    if len(got) < len(expected) and _is_within(got, expected):
        return [_counted(f"Some {what}s are missing; those that you have are right and in order", "")]
    if len(expected) < len(got) and _is_within(expected, got):
        return [_counted(f"All right {what}s are there and in order, with others between them", "")]
    if what == "element" and len(expected) > 2 and len(got) > 2:
        return _as_sets(expected, got)
    return []


def _as_sets(expected: list[Any], got: list[Any]) -> list[Statement]:
    """Which elements there are, whatever their order."""
    right = [any(same_value(x, y) for y in expected) for x in got]
    there = [any(same_value(x, y) for y in got) for x in expected]
    if not any(right):
        return [Statement("None of your elements is among the right ones.")]
    if all(right) and all(there):
        return [Statement("Your elements are the right ones, but not as often, or in another order.")]
    if all(right):
        return [Statement("All your elements are among the right ones, but some of those are missing.")]
    return [Statement("All right elements are among yours, and others with them.")] if all(there) else []


def _is_within(few: list[Any], many: list[Any]) -> bool:
    """Whether `few` is `many` with some left out."""
    rest = iter(many)
    return all(any(same_value(a, b) for b in rest) for a in few)


def equal_up_to(expected: Any, got: Any) -> int:
    return next(
        (i for i, (a, b) in enumerate(zip(expected, got)) if not same_value(a, b)), min(len(expected), len(got))
    )


def element_of(sequence: Any) -> str:
    return "character" if isinstance(sequence, str) else "byte" if isinstance(sequence, bytes) else "element"


def _counted(claim: str, how: str) -> Statement:
    return Statement(f"{claim}: {how}." if how else f"{claim}.", claim)


def _about_entries(expected: dict[Any, Any], got: dict[Any, Any], dims: Dims) -> list[Statement]:
    missing, extra = [k for k in expected if k not in got], [k for k in got if k not in expected]
    if missing or extra:
        return [
            Statement(f"Your result {word}: {', '.join(map(repr, keys[:4]))}{' …' * (len(keys) > 4)}.", word)
            for word, keys in (("lacks entries", missing), ("has entries that are not wanted", extra))
            if keys
        ]
    keys = [key for key in expected if not same_value(expected[key], got[key])]
    if all(isinstance(x, bool) for x in [*expected.values(), *got.values()]):
        return one_sided([(expected[key], got[key]) for key in expected])
    rule = _as_numbers(list(expected.values()), [got[key] for key in expected], dims)
    if rule or len(keys) > 4:
        return rule or _direction(expected, got, keys)
    listed = ", ".join(map(repr, keys))
    text = f"Only the entries {listed} differ." if len(keys) > 1 else f"Only the entry {listed} differs."
    return [Statement(text, of_one_case=True)]


def _direction(expected: dict[Any, Any], got: dict[Any, Any], keys: list[Any]) -> list[Statement]:
    """Whether all wrong numbers are too small, or all too large."""
    pairs = [(expected[key], got[key]) for key in keys]
    if not all(isinstance(x, int | float) and not isinstance(x, bool) for pair in pairs for x in pair):
        return []
    for word, test in (("small", all(g < e for e, g in pairs)), ("large", all(g > e for e, g in pairs))):
        if test:
            return [_counted(f"Every number that is wrong is too {word}", "the others are right")]
    return []


def _about_list(expected: list[Any], got: list[Any], n: int, dims: Dims) -> list[Statement]:
    if len(expected) > 2 and n == 0 and (same_value(expected[1:], got) or same_value(expected, got[1:])):
        how = "one is missing" if len(got) < len(expected) else "one is too many"
        return [Statement(f"Your result is right but for its beginning: {how} there.")]
    if len(expected) > 2 and same_value(expected, got[::-1]):
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
