"""What generation gives: tokens, and why there are no more."""

from __future__ import annotations

from typing import Literal, NamedTuple

from .sampling_kernels import Drawn

FinishReason = Literal["stop", "length", "context"]


class GeneratedToken(NamedTuple):
    """One step of generation.

    Attributes
    ----------
    id : int
    logprob : float
        log p of the token under the model itself: temperature and filters do not enter.
    sampled_logprob : float
        log p of the token under the distribution that it was drawn from: at the temperature, with the repetition
        penalty, over the tokens that the filters left (they add up to 1). Without penalty and filters that is,
        but for rounding, `sequence_logprobs(..., temperature=T)`, the denominator of PPO's ratio. 0 when greedy:
        nothing is drawn.
    """

    id: int
    logprob: float
    sampled_logprob: float


def tokens_of(drawn: Drawn) -> list[GeneratedToken]:
    """One for each row."""
    return list(map(GeneratedToken._make, zip(*(column.tolist() for column in drawn))))
