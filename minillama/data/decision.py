"""What a filter of pretraining texts is: a function from a text to a `Decision`."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Decision(NamedTuple):
    """What a filter decides about one text."""

    text: str | None
    """The text that is kept, changed or not; None drops the document."""
    findings: dict[str, int]
    """How often each rule of the filter applied; empty when nothing was found."""
    examples: dict[str, str]
    """For some of the rules a short excerpt (at most 100 characters) or figure that shows why."""


class Filter(Protocol):
    """A named filter; calling it with a text gives a `Decision`. It keeps no state between texts."""

    name: str

    def __call__(self, text: str) -> Decision: ...


def keep(text: str) -> Decision:
    """The decision of a filter that found nothing."""
    return Decision(text, {}, {})
