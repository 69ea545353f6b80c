"""Shares of the kinds of requests in the world of stories: what is learned by reward, and what is replayed."""

from __future__ import annotations

MIX = {
    "story": 0.34, "kind": 0.11, "borderline": 0.19, "adversarial": 0.2, "persona": 0.08, "follow-up": 0.04,
    "chit-chat": 0.04,
}  # fmt: skip
"""Of the requests that policies are trained on by reward."""

VALIDATION_MIX = {**MIX, "adversarial": 0.08}
"""Of the requests that PPO is stopped by: few that may elicit what is unsafe. There it wins early and for good, and so
many wins would hide what it loses elsewhere.
"""

BESIDE = {
    # replayed examples for each kept one, where [distillation] replay is 1
    "distillation": {
        "borderline": 1.0,
        "kind": 0.6,
        "story": 1.0,
        "persona": 0.2,
        "suffix": 0.1,
        "follow-up": 0.2,
        "dialogue": 0.1,
    },
    "rejection": {
        "story": 0.4,
        "kind": 0.05,
        "borderline": 0.1,
        "adversarial": 0.15,
        "persona": 0.1,
        "suffix": 0.05,
        "follow-up": 0.1,
        "dialogue": 0.05,
    },
    "ghost-attention": {
        "story": 0.35,
        "kind": 0.08,
        "borderline": 0.12,
        "adversarial": 0.25,
        "persona": 0.07,
        "suffix": 0.05,
        "follow-up": 0.08,
    },
}
"""Replayed by the steps, by kind."""
