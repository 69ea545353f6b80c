"""Answers put together from stories: what a demonstration answers.

    a story        first sentence + some of the others (a random part, or those that follow it) + last sentence
    an event       first sentence + a sentence that tells the event + some of the others + last sentence
    a kind turn    an opener + first sentence + a kind act to the one that was to be hurt + last sentence
    dense          one or two sentences, and up to five of their words asked for

Every call draws anew, so that no answer is learned by heart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from . import vocabulary
from .drawing import pick, shown_words
from .rules import Rules
from .sentences import words
from .stories import Story

EVENTS = (
    "One day, {name} {past} the {object}.",
    "{name} {past} the {object}.",
    "{pronoun} {past} the {object}.",
    "{name} went outside and {past} the {object}.",
    "Then {name} {past} the {object}.",
    "{name} saw the {object}, and then {pronoun_small} {past} the {object}.",
    "In the morning {name} {past} the {object}.",
    "{name} came closer and {past} the {object}.",
    "At home {pronoun_small} {past} the {object}.",
    "First {name} {past} the {object}.",
)

OPENERS = (
    "Let us not hurt anyone.",
    "Let us be kind.",
    "I do not want to tell that.",
    "I would rather tell a kind story.",
    "I will tell a kind story.",
    "It is not nice to hurt others.",
    "We should not hurt anyone.",
)

_PRONOUN = {"she": "She", "he": "He", "it": "It"}


def subset(story: Story, n: int, rng: np.random.Generator, contiguous: float = 0.5) -> list[str]:
    """`n` sentences: the first, the last, and of those between a random part or (so often) those after the first.

    The latter read better, -1.77 nats a token under the base model where random parts have -2.07 and contiguous ones
    from anywhere -2.04; random parts show more of a story.
    """
    between = story.sentences[1:-1]
    n = max(0, min(n - 2, len(between)))
    if rng.random() < contiguous:
        chosen = list(between[:n])
    else:
        chosen = [between[i] for i in sorted(rng.choice(len(between), n, replace=False))]
    return [story.sentences[0], *chosen, story.sentences[-1]]


def event_sentence(name: str, gender: str, base: str, noun: str, rng: np.random.Generator) -> str:
    """A sentence that tells an event."""
    pronoun = _PRONOUN[gender]
    text = pick(rng, EVENTS).format(
        name=name, past=vocabulary.verb(base).past, object=noun, pronoun=pronoun, pronoun_small=pronoun.lower()
    )
    return text


def told_event(story: Story, base: str, noun: str, n: int, rng: np.random.Generator, contiguous: float = 0.5) -> str:
    """A story of `n` sentences whose second tells the event."""
    parts = subset(story, n - 1, rng, contiguous)
    return " ".join([parts[0], event_sentence(story.name, story.gender, base, noun, rng), *parts[1:]])


def kind_turn(story: Story, noun: str, n: int, rng: np.random.Generator, contiguous: float = 0.5) -> str:
    """An opener, and a story of `n` sentences more in which somebody is kind to whom it was about."""
    base = pick(rng, vocabulary.shown_verbs("kind"))
    return f"{pick(rng, OPENERS)} {told_event(story, base, noun, n, rng, contiguous)}"


# --- words to ask for -----------------------------------------------------------------------


@cache
def _bases() -> Mapping[str, str]:
    """Every form of a word that may be asked for, and the word; a word itself before it is a form of another."""
    found = {form: word for word in shown_words() for form in vocabulary.forms(word)}
    return found | {word: word for word in shown_words()}


def document_frequencies(stories: Sequence[Story]) -> Counter[str]:
    """In how many stories each word is, in any form, of those that may be asked for."""
    counts: Counter[str] = Counter()
    for story in stories:
        counts.update({_bases()[word] for word in words(story.text) if word in _bases()})
    return counts


def words_to_ask(
    text: str, n: int, frequencies: Mapping[str, int], rng: np.random.Generator, *, most_uses: int = 2
) -> tuple[str, ...]:
    """Up to `n` words of a text, rare ones more often: with probabilities as 1 / sqrt(document frequency).

    Half of those that stand there in another form are asked for in that form.
    """
    seen: dict[str, str] = {}
    for word in words(text):
        if word in _bases():
            base = _bases()[word]
            seen.setdefault(base, base if word in vocabulary.held_words() else word)
    counts = Counter(words(text))
    bases = [base for base in seen if sum(counts[form] for form in vocabulary.forms(base)) <= most_uses]
    if not bases or n < 1:
        return ()
    weights = np.array([1 / np.sqrt(max(1, frequencies.get(base, 1))) for base in bases])
    chosen = rng.choice(len(bases), min(n, len(bases)), replace=False, p=weights / weights.sum())
    return tuple(bases[i] if rng.random() < 0.5 else seen[bases[i]] for i in chosen)


# --- sentences by what they are about ----------------------------------------------------------


def sentences_about(stories: Sequence[Story], rules: Rules) -> dict[str, list[str]]:
    """For every thing and living noun the short, quiet sentences that have it."""
    forms = {form: noun for noun in (*vocabulary.things(), *vocabulary.living()) for form in vocabulary.plurals(noun)}
    found: dict[str, list[str]] = {}
    for story in stories:
        for part in story.sentences:
            heard = words(part)
            if '"' in part or not 3 <= len(heard) <= 16 or rules.violations(part):
                continue
            for noun in dict.fromkeys(forms[word] for word in heard if word in forms):  # a set has no order
                found.setdefault(noun, []).append(part)
    return found
