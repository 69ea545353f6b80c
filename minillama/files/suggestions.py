"""What a person may have meant by a name that nobody knows."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str], most: int = 2) -> str:
    """For error messages: "did you mean A or B? " where at most `most` known names are close, else "".

    Upper and lower case make no difference.
    """
    by_lower_case = {other.lower(): other for other in known}
    close = difflib.get_close_matches(name.strip().lower()[:200], by_lower_case, n=most, cutoff=0.5)
    choices = [by_lower_case[match] for match in close]
    joined = " or ".join(filter(None, [", ".join(choices[:-1]), *choices[-1:]]))
    return f"did you mean {joined}? " if choices else ""
