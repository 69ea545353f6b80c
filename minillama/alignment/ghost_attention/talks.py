"""Conversations side by side, each with keys and values of its own: a turn costs its own tokens.

    talks = Talks(model, n, temperature=0.3)
    answers = talks.answers({0: ids, 1: ids, …}, seeds)      whole prompts; what a cache holds already is not run again

A dialogue of 20 turns given anew at every turn runs ten times its tokens. Here the cache of each is cut back to what
the new prompt has in common with it, so that a question asked aside, an answer drawn once more, and an instruction
that moves from one message to the next all cost the tokens that differ.

The answers are a function of prompts and seeds on one machine with one number of threads, and of the conversations
beside them in the last bits only: whoever resumes runs the same conversations together again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...inference.prompts import run_prompt
from ...inference.sampling import Sampling, sample_rows
from ...kv_cache import CacheRows, KVCache
from ..models import ChatModel

Dialogue = Sequence[Mapping[str, str]]


class Talks:
    """`n` conversations of one model.

    Parameters
    ----------
    model : ChatModel
    n : int
        Conversations, numbered from 0.
    temperature, top_p : float
        0 is greedy.
    max_tokens : int
        Of an answer.
    """

    def __init__(
        self, model: ChatModel, n: int, *, temperature: float = 0.7, top_p: float = 1.0, max_tokens: int = 80
    ) -> None:
        self.model, self._runner = model, model.runner()
        self.sampling, self.max_tokens = Sampling(temperature=temperature, top_p=top_p), max_tokens
        self._caches = [KVCache(model.config) for _ in range(n)]
        self._held: list[list[int]] = [[] for _ in range(n)]

    def answers(
        self, prompts: Mapping[int, Sequence[int]], seeds: Mapping[int, int], *, greedy: bool = False
    ) -> dict[int, list[int]]:
        """An answer to each prompt, with the id that ends it where the model came to it.

        Parameters
        ----------
        prompts : mapping of int to ids
            By the number of the conversation.
        seeds : mapping of int to int
            What each answer is drawn from.
        greedy : bool
            The most probable token each time, whatever the temperature.

        Raises
        ------
        ContextFullError
            When a prompt does not fit in the context.
        """
        sampling = Sampling(temperature=0.0) if greedy else self.sampling
        numbers = list(prompts)
        if not numbers:
            return {}
        logits = np.concatenate([self._read(i, list(prompts[i])) for i in numbers])
        rows, answers = CacheRows(len(numbers)), {i: list[int]() for i in numbers}
        places = {i: rows.join(self._caches[i]) for i in numbers}
        rngs = {i: np.random.default_rng(seeds[i]) for i in numbers}
        try:
            while numbers:
                drawn = sample_rows(
                    logits,
                    sampling,
                    [rngs[i] for i in numbers],
                    n_ids=self.model.tokenizer.vocab_size,
                    stop_ids=self.model.stop_ids,
                )
                for i, token in zip(numbers, drawn.ids.tolist()):
                    answers[i].append(token)
                going = [n for n, i in enumerate(numbers) if self._goes_on(i, answers[i])]
                numbers = [numbers[n] for n in going]
                if numbers:
                    at = np.array([places[i] for i in numbers], np.int64)
                    logits = self._runner.step_rows(drawn.ids[going].astype(np.int64), rows, at)
        finally:
            for i, place in places.items():
                rows.leave(place)
                self._held[i] = [*prompts[i], *answers[i]][: int(self._caches[i].lengths[0])]
        return answers

    def _goes_on(self, i: int, answer: Sequence[int]) -> bool:
        is_full = int(self._caches[i].lengths[0]) >= self.model.config.max_seq_len
        return answer[-1] not in self.model.stop_ids and len(answer) < self.max_tokens and not is_full

    def _read(self, i: int, prompt: list[int]) -> np.ndarray:
        """Run what the cache of a conversation does not hold of a prompt: the logits (1, vocab_size) after it."""
        cache, held = self._caches[i], self._held[i]
        n = min(common_length(held, prompt), len(prompt) - 1)
        cache.truncate(n)
        self._held[i] = prompt[:n]  # in case that what follows is interrupted
        return run_prompt(self._runner, np.array([prompt], np.int64), cache)


def common_length(first: Sequence[int], second: Sequence[int]) -> int:
    """How many ids two sequences begin with in common."""
    n = 0
    for a, b in zip(first, second):
        if a != b:
            break
        n += 1
    return n


def next_prompt(model: ChatModel, dialogue: Dialogue) -> list[int]:
    """What stands between the end of the last answer and the next one: the ids that a new message adds.

    An answer that was sampled keeps its own ids, which need not be those that its text is encoded to. What the format
    writes after the token that ends it belongs to the next prompt.

    Parameters
    ----------
    dialogue : messages
        It ends with the new message; all of it where there is no answer yet.

    Raises
    ------
    ValueError
        When the format does not continue a conversation by adding to its ids.
    """
    if len(dialogue) < 3:
        return model.encode(dialogue)
    asked, answer, new = dialogue[-3:]  # enough: what stands before is the same in both
    whole = model.chat.encode([asked, answer], model.tokenizer, generation_prompt=False)
    prompt = model.encode([asked, answer, new])
    ends = [n for n, token in enumerate(whole) if token in model.stop_ids]
    if prompt[: len(whole)] != whole or not ends:
        name = getattr(model.chat, "name", type(model.chat).__name__)
        raise ValueError(f"the chat format {name} does not add a message after the token that ends an answer")
    return prompt[ends[-1] + 1 :]


def unended(answer: Sequence[int], stop_ids: frozenset[int]) -> bool:
    """Whether an answer was cut at a limit."""
    return not answer or answer[-1] not in stop_ids


def closing_id(model: ChatModel) -> int:
    """The id with which the format ends an answer: what one that was cut at a limit lacks."""
    dialogue = [{"role": "user", "content": "Yes?"}, {"role": "assistant", "content": "Yes."}]
    ids = model.chat.encode(dialogue, model.tokenizer, generation_prompt=False)
    return next(token for token in reversed(ids) if token in model.stop_ids)
