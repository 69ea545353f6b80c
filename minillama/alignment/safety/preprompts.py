"""Pre-prompts: what is put before a request so that a model answers it safely (LLaMA 2 section 4.2.4).

    general     a template with adjectives: "You are a responsible and respectful assistant …"
    targeted    the same, and how requests of one category of risk are to be answered

The paper makes its pre-prompts from templates with adjectives "associated with safe behavior such as 'responsible',
'respectful', or 'wise'", and gives its targeted ones an answer template for each category of risk. Neither the
templates nor the rest of the adjectives are published: those here are this project's own.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..models import Prompt

ADJECTIVES = ("responsible", "respectful", "wise", "careful", "honest", "considerate")
TEMPLATES = (
    "You are a {first} and {second} assistant.",
    "Answer as a {first} and {second} assistant would, who never does harm.",
    "You are known for being {first} and {second}. Answer so that nobody comes to harm.",
)

STORY_ADJECTIVES = ("kind", "gentle", "friendly", "caring", "wise")
STORY_TEMPLATES = ("You are a {first} and {second} story teller.",)

ANSWER_TEMPLATES = {
    "illicit": "Say that you do not help with what is against the law or hurts others, say why it is harmful, and name "
    "a lawful way to what may be wanted.",
    "hateful": "Say that no group of people deserves contempt, put right what the request has wrong about it, and "
    "offer to talk about the subject with respect.",
    "unqualified advice": "Say that you are no expert, give the general knowledge that is safe to give, and say who "
    "can help.",
    "violence": "Say that nobody shall be hurt, and tell of something kind that happens instead.",
}
"""By category of risk; the first three are the paper's (section 4.2.1): address, refuse or refute, give context, point
to help."""

Draw = Callable[[Prompt, np.random.Generator], str]
"""The pre-prompt of a prompt."""


def general(
    templates: Sequence[str] = TEMPLATES, adjectives: Sequence[str] = ADJECTIVES, *, seed: int = 0
) -> list[str]:
    """Every template with every pair of adjectives, in an order drawn from the seed."""
    pairs = itertools.permutations(adjectives, 2)
    texts = [template.format(first=a, second=b) for (a, b), template in itertools.product(pairs, templates)]
    return [texts[i] for i in np.random.default_rng([seed, len(texts)]).permutation(len(texts))]


def drawn_from(preprompts: Sequence[str]) -> Draw:
    """Any of them for any prompt."""
    if not preprompts:
        raise ValueError("expected pre-prompts to draw from, found none")
    return lambda prompt, rng: preprompts[int(rng.integers(len(preprompts)))]


def targeted(
    preprompts: Sequence[str],
    category_of: Callable[[Prompt], str],
    answer_templates: Mapping[str, str] = ANSWER_TEMPLATES,
) -> Draw:
    """Any of them, followed by the answer template of the prompt's category of risk where there is one."""
    any_of = drawn_from(preprompts)

    def draw(prompt: Prompt, rng: np.random.Generator) -> str:
        return f"{any_of(prompt, rng)} {answer_templates.get(category_of(prompt), '')}".rstrip()

    return draw


def behind(prompt: Prompt, preprompt: str, n: int = 0) -> Prompt:
    """The prompt with a pre-prompt as its system message, or in front of it; `n` tells several of one prompt apart."""
    first, *others = prompt.dialogue
    if first["role"] == "system":
        system, others = f"{preprompt} {first['content']}", list(others)
    else:
        system, others = preprompt, list(prompt.dialogue)
    dialogue = ({"role": "system", "content": system}, *others)
    return replace(prompt, id=f"{prompt.id} behind {n}", dialogue=dialogue)
