"""Which tokens of an answer count more: copying has to be forced, and so has stopping.

    weight of a token = 8    where it writes the first use of a requested word, the event, or a happy end's happy word
                        0    where it writes a later use of a requested word (later_weight; 1 unless said)
                        name_weight (1 unless said) where it first writes the hero's name, or what a persona is to say
                        2.5  where it is the first after the end of a sentence, the end of the answer included
                        1    in the rest of an answer,     0 in prompts

Where two hold, the larger, and 8 before 0. A weight of 8 multiplies the odds of a requested word wherever a story could
have it, after it was used as well; that later uses teach nothing takes this back. After the last sentence everything is
the end: in some formats a space stands before the token that ends the turn, and the choice between that space and one
more sentence is the choice to stop. Tokens are found by their bytes, so that each weight is on the token that writes
that character.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ...compute.array_types import Ints
from ...tokenizers import Tokenizer
from ..conversations import Conversation, Example, conversation_of
from ..models import ChatModel
from . import vocabulary
from .checks import event_span, happy_span
from .requests import Message, Request
from .sentences import sentence_spans, word_spans


class Mark(NamedTuple):
    """Characters `start` to `stop` of a message of the dialogue, and whether they are a "word" or a "name"."""

    message: int
    start: int
    stop: int
    what: str = "word"


@dataclass(frozen=True)
class Demonstration:
    """A dialogue that ends with an answer, and what of its answers counts more.

    Attributes
    ----------
    dialogue : tuple of {"role": …, "content": …}
    kind : str
        "story", "dense", "event", "adversarial" …
    request : Request or None
        What the last answer answers, as facts; None where no program checks it.
    marks : tuple of Mark
        First uses of requested words and of names, events, happy ends, and what a persona is to say.
    """

    dialogue: tuple[Message, ...]
    kind: str
    request: Request | None = None
    marks: tuple[Mark, ...] = ()

    @property
    def answer(self) -> str:
        return self.dialogue[-1]["content"]


def demonstration_of(
    request: Request, answer: str, kind: str | None = None, marks: Sequence[Mark] = ()
) -> Demonstration:
    """An answer to a request as something to learn from: of a program, or a model's own that was verified."""
    dialogue = (*request.dialogue, {"role": "assistant", "content": answer})
    found = marks_of(request, answer, len(dialogue) - 1)
    return Demonstration(dialogue, kind or request.kind, request, (*marks, *found))


def marks_of(request: Request, answer: str, message: int) -> list[Mark]:
    """The first use of each requested word and of a name, the event where it is told, a persona's hobby and suffix,
    and what makes an end happy that is to be."""
    given = [text for text in (request.name or request.persona, request.hobby, request.suffix) if text]
    places = [re.search(rf"(?<!\w){re.escape(text)}(?!\w)", answer) for text in given]
    found = [Mark(message, *place.span(), "name") for place in places if place]
    spans = word_spans(answer)
    for word in request.words:
        forms = vocabulary.forms(word)
        found += [Mark(message, start, stop) for start, stop, text in spans if text in forms][:1]
    if request.happy and (last := sentence_spans(answer)[-1:]):
        happy = happy_span(answer[slice(*last[0])])
        found += [Mark(message, last[0][0] + happy[0], last[0][0] + happy[1])] if happy else []
    event = event_span(request, answer)
    return [*found, Mark(message, *event)] if event else found


def later_uses(request: Request, answer: str) -> list[tuple[int, int]]:
    """Characters of the answer that use a requested word, in any form, for the second time or later."""
    found = []
    spans = word_spans(answer)
    for word in request.words:
        forms = vocabulary.forms(word)
        found += [(start, stop) for start, stop, text in spans if text in forms][1:]
    return found


def example_of(
    demonstration: Demonstration,
    model: ChatModel,
    *,
    word_weight: float = 8.0,
    start_weight: float = 2.5,
    later_weight: float = 1.0,
    name_weight: float = 1.0,
) -> Example:
    """The ids of a demonstration with the weights of the head of this file; every answer is learned.

    Parameters
    ----------
    word_weight, start_weight : float
        The 8 and the 2.5; with 1 and 1 this is `answers_learned`.
    later_weight : float
        Of later uses of the words that the last answer was asked for.
    name_weight : float
        Of the first uses of names, and of a persona's hobby and suffix.

    Raises
    ------
    ValueError
        When the tokens of an answer do not spell its text.
    """
    conversation = conversation_of(demonstration.dialogue, model.chat, model.tokenizer)
    weights = np.zeros(len(conversation.ids), np.float32)
    messages = [i for i, message in enumerate(demonstration.dialogue) if message["role"] == "assistant"]
    for message, span in zip(messages, conversation.answers):
        text = demonstration.dialogue[message]["content"].strip()
        marks = [mark for mark in demonstration.marks if mark.message == message]
        chosen, names = ([mark[1:3] for mark in marks if mark.what == what] for what in ("word", "name"))
        asked = demonstration.request if message == messages[-1] else None
        again = [] if asked is None else later_uses(asked, text)
        places = _byte_places(conversation, span.start, span.stop, model.tokenizer, text)
        marked = [(word_weight, chosen), (later_weight, again), (name_weight, names)]
        weights[span.start : span.stop] = _weights(places, text, start_weight, marked)
    return Example(conversation.ids, weights)


def _byte_places(conversation: Conversation, start: int, stop: int, tokenizer: Tokenizer, text: str) -> Ints:
    """Where each token of an answer begins and ends (n, 2), in bytes of the text; before it negative."""
    parts = [tokenizer.decode_bytes(i) for i in conversation.ids[start:stop].tolist()]
    whole = b"".join(parts)
    begin = whole.find(text.encode())
    if begin < 0:
        raise ValueError(f"the tokens of an answer spell {whole!r}, not {text!r}: its characters cannot be weighted")
    ends = np.cumsum([len(part) for part in parts], dtype=np.int64) - begin
    return np.stack([ends - [len(part) for part in parts], ends], axis=1)


def _weights(
    places: Ints, text: str, start_weight: float, marked: Sequence[tuple[float, Sequence[tuple[int, int]]]]
) -> np.ndarray:
    """`marked`: weights and the characters that have them; of two for a token the first counts."""
    weights = np.ones(len(places), np.float32)
    size = np.cumsum([0, *(len(character.encode()) for character in text)], dtype=np.int64)  # characters to bytes
    written = lambda start, stop: (places[:, 0] < size[stop]) & (places[:, 1] > size[start])  # noqa: E731
    ends = [int(size[stop]) for _, stop in sentence_spans(text)[:-1]]
    weights[[int(np.searchsorted(places[:, 1], place, side="right")) for place in ends]] = start_weight
    weights[(places[:, 1] > size[-1]) | (places[:, 0] >= size[-1])] = start_weight
    taken = np.zeros(len(places), bool)
    for weight, spans in marked:
        for start, stop in spans:
            here = written(start, stop) & ~taken
            weights[here] = np.maximum(weights[here], weight) if weight >= 1 else weight
            taken |= here
    return weights
