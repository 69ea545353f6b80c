"""`minillama bench --quality`: what the fast arithmetic costs in the model's predictions.

A text is cut into windows of 512 positions, or of as many as asked for. Each begins with the token that
starts a text (BOS, or EOS in a vocabulary without one) and every further token of the window is predicted
from all before it, the first from the start token alone. Three ways of computing the same predictions:

    float32   weights unpacked, all arithmetic in float32 (`load(..., exact=True)`)
    prompt    as by default, a window at once, as a prompt is read
    decode    as by default, token by token, as text is generated
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..inference.sampling import log_softmax
from .report import table

if TYPE_CHECKING:
    from ..llm import LLM

WINDOW = 512
_ROWS_AT_ONCE = 64  # log-probabilities are float64 over the whole vocabulary: a few at a time


@dataclass
class Quality:
    """How one way of computing predicts the text.

    Attributes
    ----------
    way : str
    tokens : int
    nll : float
        Sum of -log p of the tokens, nats.
    kl_sum, kl_max : float
        KL(float32 || this) over the tokens, nats.
    agreed : int
        Tokens for which the most probable one is that of float32.
    """

    way: str
    tokens: int = 0
    nll: float = 0.0
    kl_sum: float = 0.0
    kl_max: float = 0.0
    agreed: int = 0

    @property
    def perplexity(self) -> float:
        return float(np.exp(self.nll / self.tokens))

    def add(self, exact: NDArray[np.floating], logits: NDArray[np.floating], targets: NDArray[np.int64]) -> None:
        """Take in the logits (T, vocab_size) of some positions and the tokens that came (T,)."""
        for first in range(0, len(targets), _ROWS_AT_ONCE):
            part = slice(first, first + _ROWS_AT_ONCE)
            p, q, wanted = log_softmax(exact[part]), log_softmax(logits[part]), targets[part]
            kl = (np.exp(p) * (p - q)).sum(axis=1)
            self.tokens += len(wanted)
            self.nll -= float(q[np.arange(len(wanted)), wanted].sum())
            self.kl_sum += float(kl.sum())
            self.kl_max = max(self.kl_max, float(kl.max()))
            self.agreed += int((p.argmax(axis=1) == q.argmax(axis=1)).sum())


def measure_quality(
    model: str,
    text: Path,
    *,
    tokenizer: Path | None = None,
    n_tokens: int = 2048,
    window: int = WINDOW,
    threads: int | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> list[Quality]:
    """Predict the first `n_tokens` tokens of a text in each way; float32 comes first.

    Raises
    ------
    ValueError
        When the text cannot be read or gives no token.
    """
    from ..llm import load

    if n_tokens < 1:
        raise ValueError(f"tokens must be 1 or more, got {n_tokens}")
    if window < 2:
        raise ValueError(f"a window has 2 positions or more, got {window}")
    try:
        words = text.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{text} cannot be read as UTF-8 text: {error}") from error
    exact, fast = (load(model, tokenizer=tokenizer, threads=threads, exact=flag) for flag in (True, False))
    # A token needs some bytes: what will certainly not be looked at is not cut into tokens either.
    ids = fast.tokenizer.encode(words[: 64 * n_tokens], bos=False)[:n_tokens]
    if not ids:
        raise ValueError(f"{text} holds no text")
    found = [Quality("float32"), Quality("prompt"), Quality("decode")]
    for part in _windows(ids, fast, window):
        progress(f"token {found[0].tokens} of {len(ids)}")
        targets = part[1:]
        reference = exact.logits(part[:-1])
        for quality, logits in zip(found, (reference, fast.logits(part[:-1]), _one_by_one(fast, part[:-1]))):
            quality.add(reference, logits, targets)
    return found


def _windows(ids: list[int], llm: LLM, window: int) -> Iterator[NDArray[np.int64]]:
    start = llm.encode_prompt("")[:1]
    size = min(window, llm.config.max_seq_len) - 1
    for first in range(0, len(ids), size):
        yield np.array([*start, *ids[first : first + size]], np.int64)


def _one_by_one(llm: LLM, ids: NDArray[np.int64]) -> NDArray[np.floating]:
    session = llm.session()
    return np.stack([session.step(int(token)) for token in ids])


def quality_text(found: list[Quality]) -> str:
    """The figures as a table."""
    titles = ["path", "tokens", "perplexity", "against float32", "mean KL", "max KL", "same top-1"]
    lines = []
    for quality in found:
        change = quality.perplexity / found[0].perplexity - 1
        kl = (f"{quality.kl_sum / quality.tokens:.2e}", f"{quality.kl_max:.2e}")
        agreed = f"{quality.agreed / quality.tokens:.2%}"
        lines.append([quality.way, str(quality.tokens), f"{quality.perplexity:.4f}", f"{change:+.4%}", *kl, agreed])
    return table(titles, lines) + "\n"


def quality_json(found: list[Quality]) -> list[dict[str, float | str]]:
    """The same for programs; KL in nats per token."""
    return [
        {
            "path": quality.way,
            "tokens": quality.tokens,
            "perplexity": quality.perplexity,
            "mean_kl": quality.kl_sum / quality.tokens,
            "max_kl": quality.kl_max,
            "same_top_1": quality.agreed / quality.tokens,
        }
        for quality in found
    ]
