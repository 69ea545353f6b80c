"""The model that a stage is shown by: the folder that it left behind, or the chat model's file."""

from __future__ import annotations

from ...models import ChatModel
from ..pipeline import Context
from .chat import CHAT
from .shared import chat_model, template_of


def stage_model(context: Context, step: str) -> ChatModel:
    """The model of a step; of the chat step what its file holds."""
    if (file := context.of(step) / CHAT).exists():
        return ChatModel.load(file, template_of(context))
    return chat_model(context, step)
