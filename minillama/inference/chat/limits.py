"""Limits for templates, which are programs that strangers wrote: how long they run and how much they write.

The sandbox of Jinja keeps a template away from everything outside it, and bounds `range`. It bounds neither loops
inside loops nor `'a' * 10**10`. A `Budget` of one rendering is therefore asked at every turn of a loop and in every
call of a macro, function or filter; and what makes a text, a list or a number longer is measured before it is done.
"""

from __future__ import annotations

import re
import time
from collections.abc import ItemsView, KeysView, ValuesView
from typing import Any

MAX_SECONDS = 5.0  # of processor time; public templates take a few milliseconds
MAX_CHARACTERS = 1 << 22  # of one value, and of everything that is written
MAX_COPIED = 1 << 28  # characters that all sums of texts make together: a text that grows by each message is copied
MAX_BITS = 1 << 10  # of a whole number
# `%9999d`, `{:9999}`: longer widths, and those that come from an argument, are refused.
_WIDE = re.compile(r"%[^a-zA-Z%]*(?:\d{5}|\*)|\{[^{}]*(?:\{|:[^{}]*\d{5})")
_WIDEST = 10_000
# Filters that look at a list or mapping, or at a few of its entries, without making a text of all of it.
_OF_LISTS = frozenset(
    {"attr", "batch", "count", "d", "default", "dictsort", "first", "groupby", "items", "last", "length", "list"}
    | {"map", "max", "min", "random", "reject", "rejectattr", "reverse", "select", "selectattr", "slice", "sort"}
    | {"unique"}
)

# Their numbers are values, not widths.
_OF_NUMBERS = frozenset({"d", "default", "float", "int", "map", "reject", "rejectattr", "select", "selectattr", "sum"})


class LimitError(Exception):
    """The template takes more than it may."""


class Budget:
    """What one rendering may still use."""

    def __init__(self) -> None:
        self._end = time.thread_time() + MAX_SECONDS
        self._characters = self._copied = 0

    def check_time(self) -> None:
        if time.thread_time() > self._end:
            raise LimitError(f"it runs for more than {MAX_SECONDS:.0f} seconds")

    def write(self, n_characters: int) -> None:
        """Count text that the template writes, into the result or into a variable."""
        self.check_time()
        self._characters += max(n_characters, 0)
        check_size(self._characters)

    def copy(self, n_characters: int) -> None:
        """Count text that was put together from others."""
        self._copied += n_characters
        if self._copied > MAX_COPIED:
            raise LimitError(f"it puts texts of more than {MAX_COPIED} characters together")


def check_size(n_characters: int) -> None:
    if n_characters > MAX_CHARACTERS:
        raise LimitError(f"it writes more than {MAX_CHARACTERS} characters")


def check_operation(operator: str, left: Any, right: Any) -> None:
    """Refuse `left operator right` where the result would be too long."""
    if operator == "+":
        check_size(_length(left) + _length(right))
    elif operator == "*":
        for value, times in ((left, right), (right, left)):
            check_size(_length(value) * times if isinstance(times, int) else 0)
        _check_bits(_bits(left) + _bits(right))
    elif operator == "**":
        _check_bits(_bits(left) * abs(right) if isinstance(right, int) else 0)
    elif operator == "%" and isinstance(left, str):
        _check_formatted(left, right)


def check_call(name: str, arguments: tuple[Any, ...]) -> None:
    """Refuse a method or filter of that name, given its value and its arguments, where the result would be too long."""
    first, *others = arguments or ("",)
    numbers = [argument for argument in others if isinstance(argument, int)]
    for number in numbers:
        if abs(number) > MAX_CHARACTERS and name not in _OF_NUMBERS:
            raise LimitError(f"it asks {name} for a width of {number:.3g}")
    if name == "replace" and len(others) >= 2 and isinstance(first, str):
        check_size(len(first) + first.count(str(others[0])) * len(str(others[1])))
    elif name == "join":
        parts, separator = (others[0], first) if isinstance(first, str) and others else (first, [*others, ""][0])
        check_size(weight(parts) + _length(parts) * _length(separator))
    elif name in ("format", "format_map") and isinstance(first, str):
        _check_formatted(first, others)
    elif name in ("indent", "expandtabs", "tojson", "pprint"):
        check_size(weight(first) * max([1, *numbers]))
    elif name in ("wordwrap", "translate", "urlize"):
        check_size(_length(first) * weight(others))
    elif name not in _OF_LISTS:  # the others make a text of whatever they are given
        check_size(weight(first))


def weight(value: Any, known: dict[int, int] | None = None) -> int:
    """About how many characters `value` has when it is written out.

    A list that holds another one twice, which holds a third one twice, is small in memory and endless in writing:
    each is counted once, in `known`.
    """
    if isinstance(value, str):
        return len(value)
    if not isinstance(value, dict | list | tuple | KeysView | ValuesView | ItemsView):
        return 1
    known = {} if known is None else known
    if id(value) not in known:
        entries = [*value, *value.values()] if isinstance(value, dict) else list(value)
        known[id(value)] = 1 + sum(weight(entry, known) for entry in entries)
    return known[id(value)]


def _check_formatted(text: str, arguments: Any) -> None:
    if _WIDE.search(text):
        raise LimitError("it formats a text to a width of more than four digits, or to one from an argument")
    n_directives = text.count("%") + text.count("{")
    widest = _WIDEST if re.search(r"\d\d\d", text) else 100
    check_size(len(text) + n_directives * (weight(arguments) + widest))


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str | list | tuple) else 0


def _bits(value: Any) -> int:
    return value.bit_length() if isinstance(value, int) else 0


def _check_bits(n_bits: int) -> None:
    if n_bits > MAX_BITS:
        raise LimitError(f"it computes a number of more than {MAX_BITS} bits")
