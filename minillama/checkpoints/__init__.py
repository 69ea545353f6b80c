"""Checkpoints: reading, writing, finding and fetching weights in every format."""

from ..files.errors import CheckpointError
from .common.checkpoint import Checkpoint
from .convert import convert_checkpoint
from .loading import load_checkpoint, tokenizer_of

__all__ = ["Checkpoint", "CheckpointError", "convert_checkpoint", "load_checkpoint", "tokenizer_of"]
