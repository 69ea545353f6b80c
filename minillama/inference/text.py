"""Generated tokens as text, piece by piece, up to a stop string."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ..tokenizers import StreamDecoder, Tokenizer, TokenType
from .arguments import stop_strings
from .generate import GeneratedSequence, TokenStream
from .tokens import FinishReason, GeneratedToken


def ends_of(tokenizer: Tokenizer) -> frozenset[int]:
    """The tokens that end a text. A BOS begins the next one: the TinyStories models end with it."""
    return tokenizer.stop_ids | ({tokenizer.bos_id} if tokenizer.bos_id is not None else set())


def text_of(id_: int, decoder: StreamDecoder, tokenizer: Tokenizer) -> str:
    """The text that a generated token completes.

    Padding has none, neither rows beyond the vocabulary nor the unused tokens that GGUF files have for them.
    """
    is_padding = id_ >= tokenizer.vocab_size or tokenizer.types[id_] == TokenType.UNUSED
    return "" if is_padding else decoder.feed(id_)


@dataclass
class Generation:
    """Generated text and how it came about.

    Attributes
    ----------
    text : str
        Without the prompt, cut before a stop string.
    ids : list of int
        With `keep_stop`, the stop id that ended the text is the last; the text does not have it.
    logprobs : list of float
        log p of each id under the model itself (temperature and filters do not enter).
    sampled_logprobs : list of float
        log p of each id under the distribution that it was drawn from; see `GeneratedToken`.
    finish_reason : str or None
        "stop" (a stop id or stop string), "length" (max_tokens), "context" (no room left).
    """

    text: str = ""
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    sampled_logprobs: list[float] = field(default_factory=list)
    finish_reason: FinishReason | None = None


def generation_of(
    row: GeneratedSequence, prompt: Sequence[int], tokenizer: Tokenizer, *, keep_stop: bool
) -> Generation:
    """A row of a batch as text; `keep_stop` says whether the id that ended it is there."""
    decoder = tokenizer.stream()
    for id_ in prompt:
        decoder.feed(id_)
    spoken = row.ids[:-1] if keep_stop and row.finish_reason == "stop" else row.ids
    text = "".join([text_of(id_, decoder, tokenizer) for id_ in spoken]) + decoder.flush()
    return Generation(text, row.ids, row.logprobs, row.sampled_logprobs, row.finish_reason)


class StopStrings:
    """Passes text on, except what is or may become one of the stop strings.

    A stop string may be split over tokens: the end of the text that could begin one is held
    back until the next piece decides.
    """

    def __init__(self, stop: str | Iterable[str] | None) -> None:
        self._stop = stop_strings(stop)
        self._held = ""
        self.found = False

    def feed(self, text: str) -> str:
        """The text that can be shown now; sets `found` when a stop string has come."""
        held = self._held + text
        ends = [at for s in self._stop if (at := held.find(s)) >= 0]
        if ends:
            self.found, self._held = True, ""
            return held[: min(ends)]
        keep = max((_overlap(held, s) for s in self._stop), default=0)
        self._held = held[len(held) - keep :]
        return held[: len(held) - keep]

    def flush(self) -> str:
        """What was held back and turned out to be ordinary text."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that `stop` begins with."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if stop.startswith(text[-n:])), 0)


class TextStream:
    """Iterator over pieces of generated text; `result` fills up as they come.

    Concatenated, the pieces are `result.text`. Breaking off leaves the session usable.
    """

    def __init__(
        self,
        tokens: TokenStream,
        tokenizer: Tokenizer,
        before: Sequence[int] = (),
        stop: str | Iterable[str] | None = None,
    ) -> None:
        self.tokens, self.result = tokens, Generation()
        self._tokenizer, self._decoder = tokenizer, tokenizer.stream()
        for id_ in before:  # so that a first " word" keeps its space after a prompt
            self._decoder.feed(id_)
        self._stop = StopStrings(stop)

    def __iter__(self) -> Iterator[str]:
        for token in self.tokens:
            self._note(token)
            if token.id in self.tokens.stop_ids:
                continue
            if piece := self._show(text_of(token.id, self._decoder, self._tokenizer)):
                yield piece
            if self._stop.found:
                self.result.finish_reason = "stop"
                return
        self.result.finish_reason = self.tokens.finish_reason
        rest = self._stop.feed(self._decoder.flush())
        if not self._stop.found:
            rest += self._stop.flush()
        self.result.text += rest
        if rest:
            yield rest

    def _note(self, token: GeneratedToken) -> None:
        self.result.ids.append(token.id)
        self.result.logprobs.append(token.logprob)
        self.result.sampled_logprobs.append(token.sampled_logprob)

    def _show(self, text: str) -> str:
        piece = self._stop.feed(text)
        self.result.text += piece
        return piece

    def run(self) -> Generation:
        """Generate to the end."""
        for _ in self:
            pass
        return self.result
