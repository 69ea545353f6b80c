"""Functions that the mistakes of several exercises are made of, and the package's with the same arguments."""

from __future__ import annotations

import re


def later(lines: list[str]) -> list[str]:
    return [line for n, line in enumerate(lines) if line in lines[:n]]


def normal_words(
    text: str, lower: bool = True, signs: bool = True, digits: bool = True, each: bool = False
) -> list[str]:
    """Words as copies are compared; `each` writes every digit as 0, not every run of them."""
    text = text.lower() if lower else text
    text = re.sub(r"\d" if each else r"\d+", "0", text) if digits else text
    return re.sub(r"[^\w\s]|_", " ", text).split() if signs else text.split()
