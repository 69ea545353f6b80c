"""Where a text ends: `eos_token_id` of generation_config.json, or of config.json where that names none.

A chat model ends its turns with another token than its tokenizer's EOS, and says so here. As in transformers,
generation_config.json decides alone where it names a token; unlike there, one that names none leaves it to config.json.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...files.json_object import Fields, read_object
from ..common.checkpoint import token_ids
from .names import CONFIG_NAME

GENERATION_NAME = "generation_config.json"
KEY = "eos_token_id"


def read_stop_ids(folder: Path, description: dict[str, Any]) -> frozenset[int]:
    """The ids that end a text.

    Parameters
    ----------
    folder : Path
    description : dict
        The content of config.json.

    Raises
    ------
    CheckpointError
        When generation_config.json is damaged, or a file says something other than ids.
    """
    path = folder / GENERATION_NAME
    found = token_ids(Fields(read_object(path), path), KEY) if path.is_file() else frozenset()
    return found or token_ids(Fields(description, folder / CONFIG_NAME), KEY)
