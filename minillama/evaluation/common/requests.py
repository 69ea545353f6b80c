"""What is asked of a model, and what it answers. Three kinds, as in lm-evaluation-harness:

    LogLikelihood   how probable a continuation is after a context
    Rolling         how probable a whole text is, in windows of the context's length
    Generation      what it writes after a context, greedily, up to a stop text

A request is text and holds nothing of a model; the engine turns it into tokens.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LogLikelihood:
    """log p(continuation | context).

    Attributes
    ----------
    context, continuation : str
        White space at the end of the context counts as the continuation's, see `engine/encoding.py`.
    is_chat : bool
        The context was written by a chat template: it has its special tokens, BOS too.
    """

    context: str
    continuation: str
    is_chat: bool = False


@dataclass(frozen=True)
class Rolling:
    """log p(text), the first token after BOS (or EOS) alone."""

    text: str


@dataclass(frozen=True)
class Generation:
    """The greedy continuation of a context.

    Attributes
    ----------
    context : str
    until : tuple of str
        Texts it ends before; they are not part of the answer.
    max_tokens : int
        Of the answer; the context is cut from the left so that they fit.
    is_chat : bool
        As in `LogLikelihood`.
    """

    context: str
    until: tuple[str, ...] = ()
    max_tokens: int = 256
    is_chat: bool = False


Request = LogLikelihood | Rolling | Generation


@dataclass(frozen=True)
class Likelihood:
    """The answer to a `LogLikelihood` or a `Rolling`.

    Attributes
    ----------
    logprob : float
        Natural logarithm, summed over tokens; -inf where `problem` is set.
    is_greedy : bool
        Every token of it was the most probable one.
    n_tokens : int
        Of the continuation or the text.
    n_context : int
        Tokens before them, after any cutting; 0 for a Rolling.
    truncated : bool
        The context did not fit and was cut from the left.
    problem : str or None
        Why it cannot be scored, in one sentence: the continuation leaves no token, it is longer than the context.
    """

    logprob: float
    is_greedy: bool
    n_tokens: int
    n_context: int = 0
    truncated: bool = False
    problem: str | None = None


@dataclass(frozen=True)
class Written:
    """The answer to a `Generation`.

    Attributes
    ----------
    text : str
        Before the first stop text.
    ids : tuple of int
        What was generated, the stop included.
    smallest_margin : float
        The least difference between the two largest logits of a choice: where it is small, another arithmetic may
        go another way. inf when nothing was generated.
    n_context, truncated, problem
        As in `Likelihood`.
    """

    text: str
    ids: tuple[int, ...] = ()
    smallest_margin: float = float("inf")
    n_context: int = 0
    truncated: bool = False
    problem: str | None = None


Answer = Likelihood | Written
