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

from ...compute.array_types import Float, Ints
from ...compute.forking import one_at_a_time
from ...inference.runner import RopeTable
from ...inference.sampling import Sampling, sample_rows
from ...inference.together import PromptsTogether
from ...kv_cache import CacheRows, KVCache
from ...model import extend_cached
from ...ops import FAST
from ..models import ChatModel

_READ_AT_ONCE = 2048  # tokens of prompts

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
        self.model, self._runner, self._rope = model, model.runner(), RopeTable(model.config)
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
        logits = self._read(prompts)
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

    def _read(self, prompts: Mapping[int, Sequence[int]]) -> Float:
        """Run what the caches do not hold of these prompts: the logits (B, vocab_size) after each.

        Products are those of one long prompt, `_READ_AT_ONCE` tokens at a time; attention goes from one to the next.
        """
        ids = {i: self._missing(i, list(prompt)) for i, prompt in prompts.items()}
        logits, now = [], list[int]()
        for i in ids:
            if now and sum(ids[n].shape[1] for n in [*now, i]) > _READ_AT_ONCE:
                logits.append(self._run([ids[n] for n in now], [self._caches[n] for n in now]))
                now = []
            now.append(i)
        logits.append(self._run([ids[n] for n in now], [self._caches[n] for n in now]))
        return np.concatenate(logits)

    def _missing(self, i: int, prompt: list[int]) -> Ints:
        """The ids (1, T) that a prompt has beyond what its cache, cut back, has in common with it."""
        n = min(common_length(self._held[i], prompt), len(prompt) - 1)
        self._caches[i].truncate(n)
        self._held[i] = prompt[:n]  # in case that what follows is interrupted
        return np.array([prompt[n:]], np.int64)

    def _run(self, ids: Sequence[Ints], caches: Sequence[KVCache]) -> Float:
        lengths = [part.shape[1] for part in ids]
        together = PromptsTogether(caches, lengths, FAST.attention_forward)
        rope = self._rope.reach(max(int(cache.lengths[0]) + n for cache, n in zip(caches, lengths)))
        ops, new = FAST._replace(attention_forward=together.attend), np.concatenate(ids, axis=1)
        with one_at_a_time():
            return extend_cached(self.model.params, self.model.config, new, together, rope, ops, all_logits=False)


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
