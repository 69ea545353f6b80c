"""What a run of the filters counts, as plain numbers that add up over batches and survive in JSON."""

from __future__ import annotations

from typing import Any

from ..decision import Decision
from ..rules.languages import BOUND, guessed_language
from ..rules.words import n_bytes

MAX_EXAMPLES = 5

Tally = dict[str, Any]
"""Nested: numbers are added, lists of examples are joined up to `MAX_EXAMPLES`."""


def merge(into: Tally, other: Tally) -> None:
    """Add the counts and examples of another tally to this one."""
    for key, value in other.items():
        if isinstance(value, dict):
            merge(into.setdefault(key, {}), value)
        elif isinstance(value, list):
            known = into.setdefault(key, [])
            known += value[: MAX_EXAMPLES - len(known)]
        else:
            into[key] = into.get(key, 0) + value


def filter_tally(tally: Tally, name: str) -> Tally:
    """A filter's part of the tally, made where it is missing."""
    empty = {"documents": 0, "bytes": 0, "dropped": 0, "bytes_dropped": 0, "changed": 0, "bytes_removed": 0}
    found: Tally = tally.setdefault("filters", {}).setdefault(name, {**empty, "seconds": 0.0, "rules": {}})
    return found


def count(tally: Tally, name: str, text: str, decision: Decision, seconds: float) -> None:
    """Add what a filter decided about one text."""
    part = filter_tally(tally, name)
    size = n_bytes(text)
    part["documents"] += 1
    part["bytes"] += size
    part["seconds"] += seconds
    if decision.text is None:
        part["dropped"] += 1
        part["bytes_dropped"] += size
    elif decision.text is not text and decision.text != text:
        part["changed"] += 1
        part["bytes_removed"] += size - n_bytes(decision.text)
    for rule, times in decision.findings.items():
        counts = part["rules"].setdefault(rule, {"documents": 0, "times": 0, "in_dropped": 0, "examples": []})
        counts["documents"] += 1
        counts["times"] += times
        counts["in_dropped"] += decision.text is None
        if rule in decision.examples and len(counts["examples"]) < MAX_EXAMPLES:
            counts["examples"].append(decision.examples[rule])


def count_language(tally: Tally, name: str, text: str, decision: Decision) -> None:
    """Add the language of a text that a rule bound to some languages dropped."""
    if decision.text is None and BOUND.get(name, {}).keys() & decision.findings.keys():
        code = guessed_language(text)
        if code is not None:
            merge(filter_tally(tally, name), {"languages": {code: 1}})


def count_problem(tally: Tally, kind: str, message: str) -> None:
    """Add a place in the input that is not a document."""
    part = tally.setdefault("problems", {}).setdefault(kind, {"times": 0, "examples": []})
    part["times"] += 1
    if len(part["examples"]) < MAX_EXAMPLES:
        part["examples"].append(message)


def count_documents(tally: Tally, key: str, documents: int, size: int) -> None:
    """Add documents that were read or written."""
    merge(tally, {key: {"documents": documents, "bytes": size}})
