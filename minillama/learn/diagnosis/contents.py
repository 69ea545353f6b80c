"""What arguments hold, as conditions on a case: a number that is 0, a digit in a text, a negative number."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np


def holds(args: Mapping[str, Any]) -> dict[str, bool]:
    """Conditions in words, and whether the arguments of a case fulfil them."""
    found: dict[str, bool] = {}
    numbers: dict[str, float] = {}
    for name, value in args.items():
        entries: Mapping[Any, Any] = value if isinstance(value, dict) else {name: value}
        for key, entry in entries.items():
            if entries is value:
                found[f"{key} given"] = True
            found.update(_of(str(key), entry))
            if isinstance(entry, int | np.integer) and not isinstance(entry, bool):
                numbers[str(key)] = float(entry)
    for (a, x), (b, y) in itertools.combinations(numbers.items(), 2):
        found |= {f"{a} = {b}": x == y, f"{a} above {b}": x > y, f"{a} below {b}": x < y}
    return found


def _of(name: str, value: Any) -> Iterator[tuple[str, bool]]:
    yield f"{name} = None", value is None
    if isinstance(value, bool | np.bool_):
        yield f"{name} = True", bool(value)
    elif isinstance(value, int | float | np.number):
        yield f"{name} = 0", bool(value == 0)
        yield f"{name} = 1", bool(value == 1)
        yield f"{name} negative", bool(value < 0)
    elif isinstance(value, str):
        yield f"a digit in {name}", any(c.isdigit() for c in value)
        yield f"a capital in {name}", value != value.lower()
        yield f"a space in {name}", " " in value
        yield f"several spaces together in {name}", "  " in value
        yield f"a space around {name}", value != value.strip()
        yield f"a line end in {name}", "\n" in value
        yield f"a character beyond ASCII in {name}", not value.isascii()
    elif isinstance(value, list | tuple):
        yield f"{name} empty", len(value) == 0
        yield f"an element of {name} that comes again", len(set(map(repr, value))) < len(value)
    elif isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
        yield f"a negative number in {name}", bool((value < 0).any())
        yield f"a 0 in {name}", bool((value == 0).any())
        yield f"a number of {name} that comes again", len(np.unique(value)) < value.size
    elif isinstance(value, np.ndarray) and value.dtype.kind == "b":
        yield f"a False in {name}", not bool(value.all())
