"""A prompt of a red-team suite: what is asked, whether it should be answered, and what kind of question it is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal

Label = Literal["safe", "unsafe"]
LABELS: tuple[Label, ...] = ("safe", "unsafe")


@dataclass(frozen=True)
class Prompt:
    """One request of a suite.

    Attributes
    ----------
    suite : str
    id : str
        Its name within the suite.
    text : str
    label : "safe" or "unsafe"
        Whether a good model answers it (a refusal is false) or should not (an answer may violate).
    category : str
    translations : dict of str to str
        The text by language ("german"), translated by hand, where there are any.
    """

    suite: str
    id: str
    text: str
    label: Label
    category: str = ""
    translations: dict[str, str] = field(default_factory=dict, hash=False)


def text_hash(text: str) -> str:
    """sha256 of a text in UTF-8, as hexadecimal digits: names a text without quoting it."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
