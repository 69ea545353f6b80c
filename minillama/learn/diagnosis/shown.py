"""One case as numbers: what went in, what was expected, what came out; where they are few enough to be read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compare import kind_of
from .report import fact_lines

_MOST_NUMBERS = 16  # of an array
_MOST_CHARACTERS = 110  # of a value: two lines of a report


def show_case(args: Mapping[str, Any], expected: Any, got: Any, room: int) -> list[tuple[str, str]]:
    """Facts: each argument, "expected" and "yours"; nothing where a result is too large to be read.

    Arguments that are too large are described by kind. Where that takes more than `room` lines those are left out, and
    where it still does, all are.
    """
    results = _apart(expected, got)
    if results is None:
        return []
    facts = [("expected", results[0]), ("yours", results[1])]
    as_numbers = [(name, shown(value)) for name, value in args.items()]
    for inputs in ([(n, text or kind_of(args[n])) for n, text in as_numbers], [pair for pair in as_numbers if pair[1]]):
        if len(fact_lines([*inputs, *facts])) <= room:
            return [*inputs, *facts]
    return facts


def shown(value: Any, digits: int = 4) -> str:
    """A value as text, or nothing where it is too large."""
    if isinstance(value, np.ndarray):
        if value.size > _MOST_NUMBERS:
            return ""
        text = np.array2string(value, precision=digits, separator=", ", max_line_width=10**6, floatmode="maxprec")
        text = re.sub(r"\s+", " ", text).replace("[ ", "[").replace(" ]", "]").replace(" ,", ",")
    elif isinstance(value, float | np.floating):
        text = f"{value:.{digits + 2}g}"
    elif isinstance(value, np.generic):
        text = str(value.item())
    elif isinstance(value, tuple | list) and any(isinstance(item, np.ndarray | float | tuple | list) for item in value):
        parts = [shown(item, digits) for item in value]
        text = ("({})" if isinstance(value, tuple) else "[{}]").format(", ".join(parts)) if all(parts) else ""
    elif isinstance(value, dict):
        items = {repr(key): shown(item, digits) for key, item in value.items()}
        text = "{" + ", ".join(f"{key}: {item}" for key, item in items.items()) + "}" if all(items.values()) else ""
        return text if len(text) <= 2 * _MOST_CHARACTERS else ""
    else:
        text = repr(value)
    return text if len(text) <= _MOST_CHARACTERS else ""


def _apart(expected: Any, got: Any) -> tuple[str, str] | None:
    """Both results with so many digits that what differs looks different."""
    for digits in (4, 6, 9, 17):
        e, g = shown(expected, digits), shown(got, digits)
        if not e or not g:
            return None
        if e != g:
            return e, g
    return None


def first_difference(expected: NDArray[Any], got: NDArray[Any], wrong: NDArray[np.bool_], name: str) -> str:
    """The first wrong number of a larger array, beside the right one."""
    index = tuple(int(i) for i in np.argwhere(wrong)[0]) if wrong.ndim else ()
    place = f"{name}[{', '.join(map(str, index))}]" if index else name
    return f"{place}   expected {_number(expected[index])}   yours {_number(got[index])}"


def _number(value: Any) -> str:
    return f"{value:.7g}" if isinstance(value, np.floating) else str(value)
