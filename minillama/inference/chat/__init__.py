"""Chat formats: how a conversation becomes the ids that a chat model was trained on.

The model's own Jinja template decides (`model_template.py`), rendered as `transformers` does (`rendering.py`) within
limits (`limits.py`), with what a user wrote kept plain text (`protection.py`). Three formats are written out to be
read (`formats.py`). `messages.py` is the door.
"""

from .formats import ChatML, ChatTemplate, Llama2Chat, Zephyr
from .messages import Message
from .model_template import TEMPLATES, JinjaChat, recorded, template_for

__all__ = [
    "TEMPLATES",
    "ChatML",
    "ChatTemplate",
    "JinjaChat",
    "Llama2Chat",
    "Message",
    "Zephyr",
    "recorded",
    "template_for",
]
