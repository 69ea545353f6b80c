"""Checkpoints: reading, writing, finding and fetching weights in every format.

Names are imported when they are first used: to look a model up needs no format, and no compiler.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ..files.errors import CheckpointError

if TYPE_CHECKING:
    from .common.checkpoint import Checkpoint
    from .convert import convert_checkpoint
    from .loading import load_checkpoint, open_model, tokenizer_of

_HOME = {
    "Checkpoint": "common.checkpoint",
    "convert_checkpoint": "convert",
    "load_checkpoint": "loading",
    "open_model": "loading",
    "tokenizer_of": "loading",
}

__all__ = ["Checkpoint", "CheckpointError", "convert_checkpoint", "load_checkpoint", "open_model", "tokenizer_of"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'minillama.checkpoints' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
