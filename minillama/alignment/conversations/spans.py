"""Whose each token of a conversation is.

    <s>[INST] <<SYS>> Your name is Pip. <</SYS>> Hello! [/INST] Hi! </s><s>[INST] … [/INST] …
    |----------------- prompt ---------------------------------| answer |--- prompt --------|

A chat model conditions on all of it and writes the answers alone. The ids up to an answer are those that the format
gives for the messages before it, with its generation prompt; the answer is what the format adds for it, its end
included. Formats for which the first is not a beginning of the second are refused: a mask would be off by some
tokens, silently.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ...compute.array_types import Ints
from ...inference.chat import ChatTemplate
from ...tokenizers import Tokenizer


class Span(NamedTuple):
    """Tokens `start` to `stop` (not included), and whose they are.

    A prompt is everything between two answers: system and user messages, and the format around them.
    """

    start: int
    stop: int
    is_answer: bool


class Conversation(NamedTuple):
    """Ids (T,), int64, and spans that follow each other from 0 to T."""

    ids: Ints
    spans: tuple[Span, ...]

    @property
    def answers(self) -> list[Span]:
        return [span for span in self.spans if span.is_answer]

    def extended(self, prompt: Sequence[int], answer: Sequence[int]) -> Conversation:
        """With a prompt and an answer more, given as ids: what a model sampled keeps its own tokens."""
        return joined([self.ids, np.array([*prompt, *answer], np.int64)], [*self.spans, *_pair(prompt, answer)])


def _pair(prompt: Sequence[int], answer: Sequence[int]) -> list[Span]:
    return [Span(0, len(prompt), False), Span(0, len(answer), True)]


def joined(ids: Sequence[Ints], lengths: Sequence[Span]) -> Conversation:
    """Parts one after the other; of the spans only length and owner count."""
    spans, start = [], 0
    for span in lengths:
        spans.append(Span(start, start + span.stop - span.start, span.is_answer))
        start = spans[-1].stop
    return Conversation(np.concatenate(ids).astype(np.int64), tuple(spans))


def answered(prompt: Sequence[int], answer: Sequence[int]) -> Conversation:
    """A prompt's ids and the ids that a model answered with, its end included if it came to it."""
    return joined([np.array([*prompt, *answer], np.int64)], _pair(prompt, answer))


def conversation_of(dialogue: Sequence[Mapping[str, str]], chat: ChatTemplate, tokenizer: Tokenizer) -> Conversation:
    """The ids of a dialogue in a chat format, with a span for every answer and everything before it.

    Parameters
    ----------
    dialogue : sequence of {"role": "system" | "user" | "assistant", "content": str}
        It ends with an answer.
    chat : ChatTemplate
    tokenizer : Tokenizer

    Raises
    ------
    ValueError
        When the dialogue does not end with an answer, or the format does not write an answer after the prompt that
        it is given.
    """
    if not dialogue or dialogue[-1]["role"] != "assistant":
        raise ValueError("a conversation to learn from ends with an answer: its last message is to be the assistant's")
    spans: list[Span] = []
    ids: list[int] = []
    for n, message in enumerate(dialogue):
        if message["role"] != "assistant":
            continue
        before = chat.encode(dialogue[:n], tokenizer)
        whole = chat.encode(dialogue[: n + 1], tokenizer, generation_prompt=False)
        if before[: len(ids)] != ids or whole[: len(before)] != before:
            raise ValueError(
                f"the chat format {getattr(chat, 'name', type(chat).__name__)} encodes the conversation up to message "
                f"{n} in another way once it has an answer: which tokens are the answer's cannot be said"
            )
        spans += [Span(len(ids), len(before), False), Span(len(before), len(whole), True)]
        ids = whole
    return Conversation(np.array(ids, np.int64), tuple(spans))
