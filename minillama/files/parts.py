"""Names of files that hold one model between them: NAME-00002-of-00003.gguf, counted from 1."""

from __future__ import annotations

import re

_PART = re.compile(r"(?P<stem>.*)-(?P<number>[0-9]{5})-of-(?P<count>[0-9]{5})(?P<ending>\.gguf)", re.I | re.S)
MAX_PARTS = 999  # a name could ask for 99,999


def part_name(name: str, number: int, count: int) -> str | None:
    """The name of part `number` of `count` beside the part `name`; None if that is not the name of one of `count`."""
    found = _PART.fullmatch(name)
    if found is None or int(found["count"]) != count or not 1 <= int(found["number"]) <= count <= MAX_PARTS:
        return None
    return f"{found['stem']}-{number:05}-of-{count:05}{found['ending']}"


def part_names(name: str) -> list[str]:
    """The names of all parts that belong to `name`, in order: itself alone when it is no part."""
    found = _PART.fullmatch(name)
    count = int(found["count"]) if found else 0
    parts = [part_name(name, number + 1, count) for number in range(min(count, MAX_PARTS))]
    return [part for part in parts if part is not None] or [name]
