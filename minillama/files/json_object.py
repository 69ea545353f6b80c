"""JSON that describes a model, read within bounds and with every value checked for its type."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from .disguise import refuse_disguise
from .errors import CheckpointError
from .text import decode_text

# 2 MB describe 17,000 tensors; LLaMA 2 70B has 723. Parsed JSON takes up to
# 25 times the memory of its text, so a higher limit would let a small file fill the memory.
MAX_JSON_BYTES = 2 << 20


def parse_object(raw: bytes, path: Path, field: str) -> dict[str, Any]:
    """Parse JSON that must be one object, without repeated keys, NaN or Infinity.

    Raises
    ------
    CheckpointError
        About `field` of the file `path`.
    """
    try:
        found = DECODER.decode(decode_text(raw))
    except (ValueError, RecursionError) as error:
        reason = "is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise CheckpointError(path, field, f"expected JSON: {reason}") from error
    if not isinstance(found, dict):
        raise CheckpointError(path, field, f"expected a JSON object, found {kind(found)}")
    return found


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that must be one object of at most `MAX_JSON_BYTES`.

    Raises
    ------
    CheckpointError
        When the file is missing, too large or not such JSON.
    """
    try:
        with open(path, "rb") as file:
            raw = file.read(MAX_JSON_BYTES + 1)
    except (OSError, ValueError) as error:
        raise CheckpointError(path, "file", f"cannot be read: {error}") from error
    refuse_disguise(path, raw, "JSON")
    if len(raw) > MAX_JSON_BYTES:
        raise CheckpointError(path, "file", f"expected at most {MAX_JSON_BYTES} bytes of JSON, found more")
    return parse_object(raw, path, "file")


def kind(value: Any) -> str:
    """A JSON value for an error message: its type, and the value itself where that is short."""
    names = {dict: "an object", list: "a list", str: "the text", bool: "the boolean", type(None): "null"}
    name = names.get(type(value), "the number")
    if value is None or isinstance(value, dict | list):
        return name
    text = json.dumps(value)
    return f"{name} {text if len(text) <= 60 else text[:60] + '…'}"


def list_names(names: list[str], limit: int = 5) -> str:
    """The first few of `names` for an error message, and how many more there are."""
    shown = ", ".join(json.dumps(name[:120]) for name in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of `pairs`; of two values under one key nobody can say which is meant."""
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        repeated = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {json.dumps(repeated[:120])} is there twice")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number of JSON")


# Strict: a key that is there twice, and NaN, are errors (ValueError).
DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant)


class Fields:
    """The keys of a JSON object, asked for by type.

    `null` counts as absent. An absent key gives the default, or an error when there is none.

    Parameters
    ----------
    values : dict
    path : Path
        The file, for messages.
    prefix : str
        Where in the file the object stands, for messages: "rope_parameters.".

    Raises
    ------
    CheckpointError
        From every method: names the key, what was expected and what was found.
    """

    def __init__(self, values: dict[str, Any], path: Path, prefix: str = "") -> None:
        self.values, self.path, self.prefix = values, path, prefix

    def error(self, key: str, problem: str) -> CheckpointError:
        """An error about `key`, for the caller to raise."""
        return CheckpointError(self.path, self.prefix + key, problem)

    def has(self, key: str) -> bool:
        return self.values.get(key) is not None

    def integer(self, key: str, default: int | None = None) -> int:
        """A whole number of 64 bits; neither `true` nor 4096.0 is one."""
        value = self._get(key, default)
        if type(value) is not int or not -(2**63) <= value < 2**63:
            raise self.error(key, f"expected an integer, found {kind(value)}")
        return value

    def positive(self, key: str, default: int | None = None) -> int:
        """An integer of at least 1."""
        value = self.integer(key, default)
        if value < 1:
            raise self.error(key, f"expected a positive integer, found {value}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A finite float or integer."""
        value = self._get(key, default)
        if type(value) not in (int, float) or not abs(value) < 1e300 or not math.isfinite(value):
            raise self.error(key, f"expected a finite number, found {kind(value)}")
        return float(value)

    def boolean(self, key: str, default: bool | None = None) -> bool:
        value = self._get(key, default)
        if not isinstance(value, bool):
            raise self.error(key, f"expected true or false, found {kind(value)}")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        value = self._get(key, default)
        if not isinstance(value, str):
            raise self.error(key, f"expected a text, found {kind(value)}")
        return value

    def object(self, key: str, default: dict[str, Any] | None = None) -> Fields:
        """The object under `key`, as `Fields` of their own."""
        value = self._get(key, default)
        if not isinstance(value, dict):
            raise self.error(key, f"expected an object, found {kind(value)}")
        return Fields(value, self.path, f"{self.prefix}{key}.")

    def _get(self, key: str, default: Any) -> Any:
        value = self.values.get(key)
        if value is not None:
            return value
        if default is None:
            raise self.error(key, "is missing")
        return default
