"""Whose each token of a conversation is.

    <s>[INST] <<SYS>> Your name is Pip. <</SYS>> Hello! [/INST] Hi! </s><s>[INST] … [/INST] …
    |--format--------|---- system -----|-format-|-user-|-format|assist.|--format--|

A chat model conditions on all of it and writes the answers alone. The ids up to an answer are those that the format
gives for the messages before it, with its generation prompt; the answer is what the format adds for it up to the token
that ends it, as a model samples it. What a format sets behind that token, ChatML a line break, belongs to the next
prompt; after the last answer it is left out. Formats for which the first is not a beginning of the second are refused:
a mask would be off by some tokens, silently.

Inside a prompt the tokens of a message are those that change when another text stands in its place: what is the
same at both sides, a space that is a token of its own included, is the format's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple, cast, get_args

import numpy as np

from ...compute.array_types import Ints
from ...inference.chat import ChatTemplate
from ...tokenizers import Tokenizer

Owner = Literal["system", "user", "assistant", "format", "prompt"]
"""Who wrote a token. "prompt" is a whole prompt of which the ids alone are known."""

Dialogue = Sequence[Mapping[str, str]]


class Span(NamedTuple):
    """Tokens `start` to `stop` (not included), and whose they are."""

    start: int
    stop: int
    owner: Owner

    @property
    def is_answer(self) -> bool:
        return self.owner == "assistant"


class Conversation(NamedTuple):
    """Ids (T,), int64, and spans that follow each other from 0 to T."""

    ids: Ints
    spans: tuple[Span, ...]

    @property
    def answers(self) -> list[Span]:
        return [span for span in self.spans if span.is_answer]

    def extended(self, prompt: Sequence[int], answer: Sequence[int]) -> Conversation:
        """With a prompt and an answer more, given as ids: what a model sampled keeps its own tokens."""
        return joined([self, answered(prompt, answer)])


def joined(parts: Sequence[Conversation]) -> Conversation:
    """Conversations one after the other, as one."""
    spans, start = [], 0
    for part in parts:
        spans += [Span(start + span.start, start + span.stop, span.owner) for span in part.spans]
        start += len(part.ids)
    return Conversation(np.concatenate([part.ids for part in parts]).astype(np.int64), tuple(spans))


def answered(prompt: Sequence[int], answer: Sequence[int]) -> Conversation:
    """A prompt's ids and the ids that a model answered with, its end included if it came to it."""
    n = len(prompt)
    spans = (Span(0, n, "prompt"), Span(n, n + len(answer), "assistant"))
    return Conversation(np.array([*prompt, *answer], np.int64), spans)


def conversation_of(dialogue: Dialogue, chat: ChatTemplate, tokenizer: Tokenizer) -> Conversation:
    """The ids of a dialogue in a chat format, with spans that say whose they are.

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
    first, stop_ids = 0, chat.stop_ids(tokenizer)
    for n, message in enumerate(dialogue):
        if message["role"] != "assistant":
            continue
        before = chat.encode(dialogue[:n], tokenizer)
        whole = up_to_end(chat.encode(dialogue[: n + 1], tokenizer, generation_prompt=False), len(before), stop_ids)
        if before[: len(ids)] != ids or whole[: len(before)] != before:
            raise ValueError(
                f"the chat format {getattr(chat, 'name', type(chat).__name__)} encodes the conversation up to message "
                f"{n} in another way once it has an answer: which tokens are the answer's cannot be said"
            )
        spans += _prompt_spans(dialogue[:n], first, before, len(ids), chat, tokenizer)
        spans.append(Span(len(before), len(whole), "assistant"))
        ids, first = whole, n + 1
    return Conversation(np.array(ids, np.int64), tuple(spans))


def up_to_end(ids: list[int], start: int, stop_ids: Collection[int]) -> list[int]:
    """Ids up to the token that ends the answer from `start` on; all of them where nothing does."""
    last = next((i for i in range(len(ids) - 1, start - 1, -1) if ids[i] in stop_ids), len(ids) - 1)
    return ids[: last + 1]


# --- inside a prompt ----------------------------------------------------------------------


def _prompt_spans(
    dialogue: Dialogue, first: int, ids: list[int], start: int, chat: ChatTemplate, tokenizer: Tokenizer
) -> list[Span]:
    """Spans of `ids[start:]`, which are what the messages from `first` on add."""
    spans = []
    for n in range(first, len(dialogue)):
        role, content = dialogue[n]["role"], dialogue[n]["content"].strip()
        if not content or role not in get_args(Owner):
            continue
        other = [*dialogue[:n], {**dialogue[n], "content": _unlike(content)}, *dialogue[n + 1 :]]
        begin, end = _changed(ids, chat.encode(other, tokenizer))
        begin = max(begin, start)
        if begin < end:
            spans += [Span(start, begin, "format")] if start < begin else []
            spans.append(Span(begin, end, cast(Owner, role)))
            start = end
    return [*spans, Span(start, len(ids), "format")] if start < len(ids) else spans


def _unlike(content: str) -> str:
    """A text that neither begins nor ends as `content` does, and is not begun with the same token."""
    return next(letter for letter in "QZ0" if letter not in (content[0], content[-1]))


def _changed(ids: list[int], others: list[int]) -> tuple[int, int]:
    """Where `ids` differ from `others`: first token, and the one after the last."""
    least = min(len(ids), len(others))
    begin = next((i for i in range(least) if ids[i] != others[i]), least)
    same = next((i for i in range(least - begin) if ids[-1 - i] != others[-1 - i]), least - begin)
    return begin, len(ids) - same
