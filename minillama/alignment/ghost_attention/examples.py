"""What is learned of a dialogue whose instruction stands in the first message alone.

    [inst + u_1] a_1 [u_2] a_2 … [u_n] a_n          ids of the answers as they were sampled
                                       ---          "last": the loss is that of the last answer       (section 3.3)
                 ---       --- …       ---          "each": every beginning of it is an example too

The earlier answers were sampled with the instruction beside them, and are not learned where it is missing. A dialogue
of n turns holds n - 1 such examples, one ending with each a_t, t > 1. Attention is causal: the loss of a_t is the same
in the whole dialogue as in the beginning that ends with it. So "each" is one row with weights on all answers but the
first, which costs what "last" costs and teaches many times the tokens; the gradient is the sum of those of the n - 1
examples (a test holds them equal). Which of the two the authors had is not said; "last" is what the text says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from ..conversations import Conversation, Example, last_answer_learned
from ..conversations.spans import answered
from ..models import ChatModel
from .synthesis import Ghost, turn_prompt

Learned = Literal["last", "each"]


def conversation_of_ghost(model: ChatModel, ghost: Ghost) -> Conversation:
    """The dialogue with its instruction in the first message alone."""
    said = [ghost.scene.instruction.text, *[""] * len(ghost.answers)]
    prompts = [turn_prompt(model, ghost.scene, turn, said[turn]) for turn in range(len(ghost.answers))]
    conversation = answered(prompts[0], ghost.answers[0])
    for prompt, answer in zip(prompts[1:], ghost.answers[1:]):
        conversation = conversation.extended(prompt, answer)
    return conversation


def later_answers_learned(conversation: Conversation) -> Example:
    """Every answer but the first, which has the instruction before its eyes."""
    weights = np.zeros(len(conversation.ids), np.float32)
    for span in conversation.answers[1:]:
        weights[span.start : span.stop] = 1
    return Example(conversation.ids, weights)


def beginnings(conversation: Conversation) -> Iterator[Conversation]:
    """The conversation up to its second answer, up to its third, … up to its last."""
    for span in conversation.answers[1:]:
        spans = tuple(s for s in conversation.spans if s.stop <= span.stop)
        yield Conversation(conversation.ids[: span.stop], spans)


def examples_of(model: ChatModel, ghosts: Sequence[Ghost], learned: Learned = "last") -> list[Example]:
    """An example of each dialogue.

    Raises
    ------
    ValueError
        When `learned` is neither "last" nor "each".
    """
    if learned not in ("last", "each"):
        raise ValueError(f'learned must be "last" or "each", got {learned!r}')
    of = last_answer_learned if learned == "last" else later_answers_learned
    return [of(conversation_of_ghost(model, ghost)) for ghost in ghosts]
