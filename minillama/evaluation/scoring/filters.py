"""What is cut out of a generated text before it is compared with the answer.

A filter is a function of text; its name stands in the metric's key ("exact_match,strict-match"). Generation ends at a
stop text before any filter sees it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

INVALID = "[invalid]"  # what the harness puts where a pattern does not match


def strip(text: str) -> str:
    """Without white space at both ends; the harness calls it remove_whitespace."""
    return text.strip()


def found(pattern: str, which: int = 0) -> Callable[[str], str]:
    """A filter that takes the first (`which` 0) or the last (-1) match of a pattern.

    The match's group; the first that is not empty if there are several; "[invalid]" where nothing matches.
    """
    compiled = re.compile(pattern)

    def filtered(text: str) -> str:
        matches = compiled.findall(text)
        if not matches:
            return INVALID
        match = matches[which]
        if isinstance(match, tuple):
            match = next(filter(None, match), INVALID)
        return match.strip()

    return filtered


def first_line(text: str) -> str:
    """The first line, without a dot or comma at its end: how the LLaMA papers take an answer out of a text."""
    return re.sub(r"[.,]$", "", text.strip().partition("\n")[0].rstrip())
