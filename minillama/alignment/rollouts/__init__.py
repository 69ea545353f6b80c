"""Sampled answers: what preferences, rejection sampling, PPO and Ghost Attention are made from."""

from .sampling import Answer, sample_answers

__all__ = ["Answer", "sample_answers"]
