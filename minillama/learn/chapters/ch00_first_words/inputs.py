"""Arguments and shapes that several exercises of the chapter share."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ....config import ModelConfig


def make_config(**fields: int) -> dict[str, Any]:
    """A configuration as a dict; whatever makes no sense together raises ValueError."""
    given: dict[str, Any] = {"n_layers": 1, "max_seq_len": 4096, **fields, "tied": bool(fields.get("tied", 0))}
    return asdict(ModelConfig(**given))
