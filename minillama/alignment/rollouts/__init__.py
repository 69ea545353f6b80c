"""Sampled answers: what preferences, rejection sampling, PPO and Ghost Attention are made from."""

from .answers import Answer
from .logprobs import answer_logprobs, answer_logprobs_and_entropies, logprobs_of_rows
from .sampling import sample_answers

__all__ = ["Answer", "answer_logprobs", "answer_logprobs_and_entropies", "logprobs_of_rows", "sample_answers"]
