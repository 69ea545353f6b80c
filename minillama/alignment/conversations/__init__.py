"""Conversations as ids with spans, and what is learned of them.

    dialogue -> Conversation(ids, spans) -> Example(ids, weights) -> WeightedRows -> WeightedNextToken

A *span* says whose tokens are whose; a weight says how much predicting a token counts. Supervised fine-tuning, reward
models, PPO and Ghost Attention take their masks from the spans and from nothing else.
"""

from .examples import Example, WeightedRows, answers_learned, digest_of, last_answer_learned, rows_of
from .objective import WeightedNextToken
from .packing import packed, side_by_side
from .spans import Conversation, Span, answered, conversation_of

__all__ = [
    "Conversation",
    "Example",
    "Span",
    "WeightedNextToken",
    "WeightedRows",
    "answered",
    "answers_learned",
    "conversation_of",
    "digest_of",
    "last_answer_learned",
    "packed",
    "rows_of",
    "side_by_side",
]
