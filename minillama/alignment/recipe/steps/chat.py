"""The chat model as a file: GGUF with weights of 8 bits, its chat format and tokenizer inside."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ....checkpoints.convert import convert_checkpoint
from ..pipeline import Context

CHAT = "chat.gguf"


def chat(context: Context, policy: str) -> Mapping[str, Any]:
    """chat.gguf here, and in the folder of the run."""
    model = context.made(policy, "model")
    # under a name of its own: while it is made the file has another
    made = context.once(CHAT, lambda path: convert_checkpoint(model, path, to="Q8_0", name=Path(CHAT).stem))
    beside(made, context.folder.parent / CHAT)
    return {"bytes": made.stat().st_size}


def beside(made: Path, target: Path) -> None:
    """A copy that is whole or not there."""
    temporary = target.with_name(f".part-{target.name}")
    shutil.copyfile(made, temporary)
    os.replace(temporary, target)
