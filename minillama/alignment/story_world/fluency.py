"""How well an answer reads: the mean log-probability of its tokens under the base model.

    fluency(x) = 1/n sum_t log p(x_t | <s>, x_<t)          nats a token, the beginning token alone before the text

The base model has never seen a request, so that what is measured is the text. It is a part of what annotator and judge
find helpful, and chooses among verified answers: a policy is trained towards it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...compute.array_types import Ints
from ...config import ModelConfig
from ...layers.cross_entropy import losses_in_place
from ...model import backbone_forward, output_head
from ...ops import FAST
from ...params import Params
from ...tokenizers import Tokenizer

_ROWS_AT_A_TIME = 1024  # of the head: 2,048 logits each are 8 MB
_TOKENS_AT_A_TIME = 4096  # of the backbone
_NUMBERS_AT_A_TIME = 100_000_000  # of the layers
_LOWEST = -20.0  # of an empty answer


class BaseFluency:
    """A callable over texts; it remembers what it has read.

    The last bits of a fluency depend on the texts that it is computed with: the same calls in the same order give the
    same numbers.

    Parameters
    ----------
    params, config, tokenizer
        Of the pretrained model.
    remembered : int
        Texts whose fluency is kept.
    per_byte : bool
        Nats a byte of the text in place of nats a token: what can be compared between tokenizers.
    """

    def __init__(
        self,
        params: Params,
        config: ModelConfig,
        tokenizer: Tokenizer,
        remembered: int = 200_000,
        *,
        per_byte: bool = False,
    ) -> None:
        self.params, self.config, self.tokenizer = params, config, tokenizer
        self._found: dict[str, float] = {}
        self._remembered, self._per_byte = remembered, per_byte

    def __call__(self, texts: Sequence[str]) -> list[float]:
        """The fluency of every text; those of like length run together."""
        new = [text for text in dict.fromkeys(texts) if text not in self._found]
        found = dict(self._found) if len(self._found) + len(new) > self._remembered else self._found
        for text, value in zip(new, self._of(new)):
            found[text] = value
        values = [found[text] for text in texts]
        if found is not self._found:
            self._found = dict(zip(texts, values))  # the latest are the likeliest to come again
        return values

    def _of(self, texts: Sequence[str]) -> list[float]:
        limit = self.config.max_seq_len
        rows = [self.tokenizer.encode(text, bos=True)[: limit + 1] for text in texts]
        values = np.full(len(rows), _LOWEST)
        order = sorted((i for i in range(len(rows)) if len(rows[i]) > 1), key=lambda i: len(rows[i]))
        for some in _groups([len(rows[i]) for i in order], self._at_a_time):
            chosen = [order[i] for i in some]
            sums = self._sums([rows[i] for i in chosen])
            values[chosen] = sums / [self._size(texts[i], rows[i]) for i in chosen]
        return values.tolist()

    @property
    def _at_a_time(self) -> int:
        """Tokens: a layer leaves some widths of numbers for each, and a large model has many layers."""
        numbers = self.config.n_layers * (6 * self.config.dim + 3 * self.config.hidden_dim)
        return max(1, min(_TOKENS_AT_A_TIME, _NUMBERS_AT_A_TIME // numbers))

    def _size(self, text: str, row: Sequence[int]) -> int:
        """Tokens or bytes that a text has; bytes of the tokens that were read, where it is longer than the context."""
        if not self._per_byte:
            return len(row) - 1
        is_whole = len(row) <= self.config.max_seq_len
        return len(text.encode()) if is_whole else sum(len(self.tokenizer.decode_bytes(i)) for i in row[1:])

    def _sums(self, rows: Sequence[Sequence[int]]) -> np.ndarray:
        longest = max(map(len, rows)) - 1
        tokens, counted = np.zeros((len(rows), longest), np.int64), np.zeros((len(rows), longest), bool)
        targets = np.zeros((len(rows), longest), np.int64)
        for b, row in enumerate(rows):
            n = len(row) - 1
            tokens[b, :n], targets[b, :n], counted[b, :n] = row[:-1], row[1:], True
        h, _ = backbone_forward(self.params, self.config, tokens, FAST)
        losses = np.zeros((len(rows), longest), np.float64)
        losses[counted] = self._losses(h[counted], targets[counted])
        return -losses.sum(axis=1)

    def _losses(self, h: np.ndarray, targets: Ints) -> np.ndarray:
        head, parts = output_head(self.params), []
        for start in range(0, len(h), _ROWS_AT_A_TIME):
            part = slice(start, start + _ROWS_AT_A_TIME)
            logits, _ = FAST.linear_forward(h[part], head)
            parts.append(losses_in_place(logits, targets[part]))
        return np.concatenate(parts)


def _groups(lengths: Sequence[int], most: int) -> list[range]:
    """Runs of ascending lengths of which each is at most `most` tokens with its padding, or one text."""
    found, start = [], 0
    for i, length in enumerate(lengths):
        if i > start and (i - start + 1) * length > most:
            found.append(range(start, i))
            start = i
    return [*found, range(start, len(lengths))] if lengths else []
