"""The models that alignment passes from stage to stage: one that chats, and what it is asked."""

from .chat_model import ChatModel
from .prompts import Prompt

__all__ = ["ChatModel", "Prompt"]
