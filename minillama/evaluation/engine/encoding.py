"""Requests as tokens, divided and cut exactly as lm-evaluation-harness 0.4.13 does it for a causal model.

    context + continuation   white space at the end of the context moves to the continuation; both are encoded
                             together, and the continuation has the ids after as many as the context alone has
    special tokens           spelled in any text they are those tokens
    BOS                      where the tokenizer adds it, but never twice; an empty context becomes BOS, or EOS
    length                   the last max_length + 1 ids of a continuation with its context; of a prompt the last
                             max_length - max_tokens; a rolling text goes in windows

Where the harness dies (a continuation without a token of its own, no context at all, a continuation longer than the
context window) `Unanswerable` says why.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...tokenizers import Tokenizer
from ..common.requests import Generation, LogLikelihood, Rolling


class Unanswerable(ValueError):
    """A request that the model cannot be asked; the message is one sentence."""


@dataclass(frozen=True)
class Pair:
    """A continuation after a context, in ids that fit: together one more than the model reads.

    Attributes
    ----------
    context, continuation : tuple of int
        Neither is empty.
    truncated : bool
        The context was cut from the left.
    """

    context: tuple[int, ...]
    continuation: tuple[int, ...]
    truncated: bool = False

    @property
    def inputs(self) -> tuple[int, ...]:
        """What the model reads: the last token is predicted, never read."""
        return self.context + self.continuation[:-1]


@dataclass(frozen=True)
class Prompt:
    """A context to continue, in ids that leave room for the answer."""

    ids: tuple[int, ...]
    truncated: bool = False


class Encoder:
    """A tokenizer and a model's limits.

    Parameters
    ----------
    tokenizer : Tokenizer
    max_length : int
        Tokens that the model reads at most.
    vocab_size : int
        Rows of the model's embedding; a tokenizer may have more ids than that.
    """

    def __init__(self, tokenizer: Tokenizer, max_length: int, vocab_size: int) -> None:
        self.tokenizer, self.max_length, self.vocab_size = tokenizer, max_length, vocab_size
        self._last: tuple[str | None, tuple[int, ...]] = None, ()  # options of a question have the same context

    @property
    def start_id(self) -> int:
        """What stands before a text without a context: BOS, or EOS.

        Raises
        ------
        Unanswerable
            When the vocabulary has neither.
        """
        for id_ in (self.tokenizer.bos_id, self.tokenizer.eos_id):
            if id_ is not None:
                return id_
        raise Unanswerable("the text has no context, and the vocabulary has neither BOS nor EOS to start from")

    def encode(self, text: str, *, bos: bool | None = None) -> tuple[int, ...]:
        """The ids of a text; `bos` as in `Tokenizer.encode`."""
        ids = tuple(self.tokenizer.encode(text, bos=bos, allow_special=True))
        if beyond := [id_ for id_ in ids if id_ >= self.vocab_size]:
            spelled = self.tokenizer.token_text(beyond[0])
            raise Unanswerable(f"the text has the token {spelled!r} (id {beyond[0]}), which the model has no row for")
        return ids

    def pair(self, request: LogLikelihood) -> Pair:
        """A continuation and its context.

        Raises
        ------
        Unanswerable
        """
        context, continuation = self._divide(request)
        if not continuation:
            raise Unanswerable(
                f"the continuation {request.continuation!r:.60} leaves no token of its own after its context"
            )
        if not context:
            raise Unanswerable(f"the context {request.context!r:.60} leaves no token")
        if len(continuation) > self.max_length:
            raise Unanswerable(
                f"the continuation has {len(continuation)} tokens, the model reads {self.max_length} at most"
            )
        room = self.max_length + 1 - len(continuation)
        return Pair(context[-room:], continuation, len(context) > room)

    def _divide(self, request: LogLikelihood) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Context and continuation in ids, whatever their length."""
        if not request.context:
            ids, start = self.encode(request.continuation, bos=False), self.start_id
            return (ids[:1], ids[1:]) if ids[:1] == (start,) else ((start,), ids)
        context = request.context.rstrip()
        before = self._encode_context(context)
        whole = self.encode(request.context + request.continuation)
        return before, whole[len(before) :]

    def _encode_context(self, text: str) -> tuple[int, ...]:
        if self._last[0] != text:
            self._last = text, self.encode(text)
        return self._last[1]

    def windows(self, request: Rolling) -> list[Pair]:
        """A whole text, in pieces that the model reads one by one; none if the text is empty.

        The first follows BOS (or EOS), each later one the last token of the one before; the last piece is filled up
        from the left with what it follows.

        Raises
        ------
        Unanswerable
        """
        ids, n = self.encode(request.text), self.max_length
        if not ids:
            return []
        pairs = [Pair((self.start_id,), ids[:n])]
        for first in range(n, len(ids), n):
            end = min(first + n, len(ids))
            pairs.append(Pair(ids[end - n - 1 : first], ids[first:end]))
        return pairs

    def prompt(self, request: Generation) -> Prompt:
        """A context to continue.

        Raises
        ------
        Unanswerable
        """
        room = self.max_length - request.max_tokens
        if request.max_tokens < 1:
            raise Unanswerable(f"at least 1 token has to be asked for, not {request.max_tokens}")
        if room < 1:
            raise Unanswerable(
                f"an answer of {request.max_tokens} tokens leaves no room for a prompt: the model reads "
                f"{self.max_length} at most"
            )
        ids = self.encode(request.context)
        if not ids:
            raise Unanswerable("the prompt is empty")
        return Prompt(ids[-room:], len(ids) > room)


class Stops:
    """Where an answer ends, as the harness finds it.

    Parameters
    ----------
    tokenizer : Tokenizer
    until : tuple of str
        Looked for in the last tokens of the answer: as many as the stop text has itself, and two more. The text of EOS
        is one of them.
    stop_ids : frozenset of int
        EOS, and what else the model's files say ends a text.
    """

    def __init__(self, tokenizer: Tokenizer, until: tuple[str, ...], stop_ids: frozenset[int]) -> None:
        self._tokenizer, self._stop_ids = tokenizer, stop_ids
        eos = "" if tokenizer.eos_id is None else tokenizer.decode([tokenizer.eos_id], skip_special=False)
        self._texts = list(dict.fromkeys(text for text in (*until, eos) if text))
        self._look_back = [len(tokenizer.encode(text, bos=False, allow_special=True)) + 2 for text in self._texts]

    def are_met(self, ids: list[int]) -> bool:
        """Whether the last token of an answer ends it."""
        if ids[-1] in self._stop_ids:
            return True
        return any(
            text in self._tokenizer.decode(ids[-n:], skip_special=False)
            for text, n in zip(self._texts, self._look_back)
        )

    def text(self, ids: list[int]) -> str:
        """An answer as text, before the first stop text."""
        text = self._tokenizer.decode(ids)
        for stop in self._texts:
            text = text.split(stop)[0]
        return text
