"""The quick way into `minillama generate`: its usual options read by hand.

What reads the command line (typer, and pydantic below it) takes longer to import than the tokens of a short answer
take to compute. So a command of plain options with plain values is read here. At anything else, a mistake, an
abbreviation, `--help`, an option that is not in the table, this gives up and commands.py reads the line from its
beginning: there is one place that explains and complains. A test holds the table against the options that are
declared.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .common.given import checked_limit, checked_seed
from .continuation import Request

_WHOLE, _DECIMAL = re.compile(r"[0-9]{1,18}"), re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?")

# Options with a value: the field of `Request`, and its type.
VALUES: dict[str, tuple[str, type]] = {
    "--prompt": ("prompt", str),
    "-p": ("prompt", str),
    "--model": ("model", str),
    "-m": ("model", str),
    "--tokenizer": ("tokenizer", Path),
    "--max-tokens": ("max_tokens", int),
    "-n": ("max_tokens", int),
    "--temperature": ("temperature", float),
    "-t": ("temperature", float),
    "--top-k": ("top_k", int),
    "--top-p": ("top_p", float),
    "--min-p": ("min_p", float),
    "--repetition-penalty": ("repetition_penalty", float),
    "--seed": ("seed", int),
    "--threads": ("threads", int),
}
FLAGS = {"--echo": "echo", "--quiet": "quiet", "-q": "quiet"}


def plain_request(arguments: Sequence[str]) -> Request | None:
    """What a command line asks `generate` for; None where it is another command or anything but plain."""
    if arguments[:1] != ["generate"] or os.name == "nt" or any(name.endswith("_COMPLETE") for name in os.environ):
        return None
    given: dict[str, Any] = {}
    left = iter(arguments[1:])
    for word in left:
        if word in FLAGS:
            name, value = FLAGS[word], True
        elif word in VALUES:
            name, kind = VALUES[word]
            value = _value(next(left, ""), kind)
        else:
            name, value = "text", _value(word, str)
        if value is None or name in given:
            return None
        given[name] = value
    try:
        checked_limit(given.get("max_tokens"))
        checked_seed(given.get("seed"))
    except ValueError:
        return None
    return Request(**given)


def _value(word: str, kind: type) -> Any:
    """A value as `kind`; None where that is not plain."""
    if not word or word.startswith("-"):
        return None
    if kind in (int, float) and (_WHOLE if kind is int else _DECIMAL).fullmatch(word) is None:
        return None
    return kind(word)
