"""Demonstrations: requests of the training split with answers, drawn anew in every pass.

    demonstration = f(seed, pass, index)

What makes a small model follow a request was measured one thing at a time: the first use of a requested word weighs
more (emphasis.py), some demonstrations are dense (one or two sentences, up to five words), the sets of names, endings
(made_up.py), objects and verbs are open, counts are stated in most, two fifths have all their words in the second
sentence, and every pass puts other sentences together. Kinds and shares are settings. Part of the adversarial ones
comply, so that there is something for the later stages to change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from . import drawing, telling, vocabulary, wording
from .checks import is_happy
from .drawing import draw, drawn, pick
from .emphasis import Demonstration, demonstration_of
from .made_up import made_up_ending, made_up_name
from .requests import Message, Request
from .rules import annotator_rules
from .sentences import sentences, words
from .stories import Story

SHARES = {
    "story": 0.38,
    "kind": 0.07,
    "borderline": 0.07,
    "plain": 0.06,
    "adversarial": 0.09,
    "preprompt": 0.03,
    "persona": 0.09,
    "suffix": 0.05,
    "dialogue": 0.06,
    "follow-up": 0.11,
    "chit-chat": 0.02,
}
"""Of the demonstrations that are not dense."""

PREPROMPTS = (
    "You are a kind and gentle story teller.",
    "You are a kind and careful story teller.",
    "You tell kind stories in which nobody is hurt.",
    "Be kind and gentle in every story.",
)
"""System messages behind which demonstrations always turn to kindness."""


@dataclass(frozen=True)
class DemonstrationSettings:
    """What demonstrations are like.

    Attributes
    ----------
    dense : float
        Share of dense ones.
    shares : mapping
        Of the kinds among the others; only proportions count.
    comply : float
        Share of the adversarial ones that tell what was asked for.
    quoted : float
        Share of stories that keep the sentences in which somebody speaks.
    counted, happy : float
        How often the number of sentences is stated, and a happy end where there is one.
    in_second : float
        Share of stories whose requested words are all in the second sentence.
    contiguous : float
        How often the sentences between the first and the last follow each other in the story; else each is drawn.
    turns : tuple of int
        Fewest and most turns of a dialogue.
    made_up : float
        How often a name, or what a persona ends with, is one that nobody has.
    """

    dense: float = 0.3
    shares: Mapping[str, float] = field(default_factory=lambda: dict(SHARES))
    comply: float = 0.65
    quoted: float = 0.2
    counted: float = 0.8
    happy: float = 0.9
    in_second: float = 0.4
    contiguous: float = 0.5
    turns: tuple[int, int] = (2, 4)
    made_up: float = 0.35


class Demonstrations:
    """Demonstrations from stories.

    Parameters
    ----------
    stories : sequence of Story
        Sentences in which somebody is hurt are left out, and stories that begin or end with one.
    settings : DemonstrationSettings, optional
    seed : int
    """

    def __init__(self, stories: Sequence[Story], settings: DemonstrationSettings | None = None, seed: int = 0) -> None:
        self.settings, self.seed = settings or DemonstrationSettings(), seed
        self._makers: dict[str, Callable[[Story, np.random.Generator], Demonstration]] = {
            "story": self._story, "kind": self._event("kind"), "borderline": self._event("borderline"),
            "plain": self._event("plain"), "adversarial": self._adversarial, "preprompt": self._preprompt,
            "persona": self._persona, "suffix": self._suffix, "dialogue": self._dialogue,
            "follow-up": self._follow_up, "chit-chat": self._chat,
        }  # fmt: skip
        unknown = [kind for kind in self.settings.shares if kind not in self._makers]
        if unknown:
            raise ValueError(f"there are demonstrations of the kinds {', '.join(self._makers)}, not {unknown[0]!r}")
        rules = annotator_rules()
        gentle = [_gentle(story, rules.violations) for story in stories]
        self.stories = [story for story in gentle if story is not None]
        if not self.stories:
            raise ValueError(f"none of {len(stories)} stories can be used for demonstrations: give more of them")
        self.frequencies = telling.document_frequencies(self.stories)
        self.about = telling.sentences_about(self.stories, rules)

    def __len__(self) -> int:
        """Of a pass: every story comes once."""
        return len(self.stories)

    def draw(self, pass_: int, index: int, *, dense: float | None = None) -> Demonstration:
        """Demonstration `index` of a pass.

        Parameters
        ----------
        pass_ : int
        index : int
            0 and more; from `len(self)` on the stories come again, put together in another way.
        dense : float, optional
            In place of the settings' share: it may fall late in training.
        """
        order = np.random.default_rng([self.seed, pass_]).permutation(len(self.stories))
        rng = np.random.default_rng([self.seed, pass_, index])
        story = self.stories[order[index % len(order)]]
        if rng.random() < (self.settings.dense if dense is None else dense):
            return self._dense(story, rng)
        shares = np.array(list(self.settings.shares.values()))
        kind = pick_by(rng, list(self.settings.shares), shares)
        return self._makers[kind](story, rng)

    # --- one kind after the other ------------------------------------------------------------

    def _renamed(self, story: Story, rng: np.random.Generator) -> Story:
        """With or without what is spoken, and another name for the hero."""
        if rng.random() >= self.settings.quoted:
            story = story.without_quotes() or story
        name = self._name(story, rng)
        while name in story.text:
            name = self._name(story, rng)
        return story.named(name)

    def _name(self, story: Story, rng: np.random.Generator) -> str:
        is_made_up = rng.random() < self.settings.made_up
        return made_up_name(rng) if is_made_up else pick(rng, drawing.names_of("train", story.gender))

    def _story(self, story: Story, rng: np.random.Generator) -> Demonstration:
        request, answer = self._told(self._renamed(story, rng), rng)
        return demonstration_of(request, answer)

    def _told(self, story: Story, rng: np.random.Generator) -> tuple[Request, str]:
        """A request for a story, and the story."""
        parts = telling.subset(story, int(pick(rng, drawing.COUNTS)), rng, self.settings.contiguous)
        answer = " ".join(parts)
        n_words = int(rng.choice(4, p=(0.15, 0.3, 0.3, 0.25)))
        source = parts[1] if rng.random() < self.settings.in_second and len(parts) > 2 else answer
        asked = [
            word
            for word in telling.words_to_ask(source, n_words, self.frequencies, rng)
            if _uses(answer, word) <= 2
        ]  # fmt: skip
        count = len(sentences(answer))
        request = draw(
            "story",
            "train",
            rng,
            name=story.name,
            gender=story.gender,
            sort=story.sort if rng.random() < 0.75 else None,
            words=tuple(asked),
            count=count if rng.random() < self.settings.counted and count < len(wording.NUMBERS) else None,
            happy=is_happy(parts[-1]) and bool(rng.random() < self.settings.happy),
        )
        return request, answer

    def _dense(self, story: Story, rng: np.random.Generator) -> Demonstration:
        """One or two sentences with up to five words, or words to be repeated."""
        if rng.random() < 0.25:
            asked = tuple(rng.choice(drawing.shown_words(), int(rng.integers(1, 6)), replace=False).tolist())
            return _densely("Repeat the words {words}.", asked, f"{wording.listed(asked)}.")
        story = self._renamed(story, rng)
        n = int(rng.integers(1, 3))
        start = int(rng.integers(len(story.sentences) - n + 1))
        answer = " ".join(story.sentences[start : start + n])
        asked = telling.words_to_ask(answer, int(rng.integers(1, 6)), self.frequencies, rng)
        if not asked:
            return self._story(story, rng)
        return _densely(pick(rng, _DENSE[len(sentences(answer)) == 1]), asked, answer)

    def _event(self, kind: str) -> Callable[[Story, np.random.Generator], Demonstration]:
        def of(story: Story, rng: np.random.Generator) -> Demonstration:
            request, story = self._event_request(kind, story, rng)
            answer = self._event_told(request, story, rng)
            return demonstration_of(request, answer)

        return of

    def _event_told(self, request: Request, story: Story, rng: np.random.Generator) -> str:
        base, noun = request.verb or "", request.object or ""
        return telling.told_event(story, base, noun, _length(rng), rng, self.settings.contiguous)

    def _kindly(self, request: Request, story: Story, rng: np.random.Generator) -> str:
        return telling.kind_turn(story, request.object or "", _length(rng) - 1, rng, self.settings.contiguous)

    def _event_request(self, kind: str, story: Story, rng: np.random.Generator) -> tuple[Request, Story]:
        story = self._renamed(story, rng)
        return draw(kind, "train", rng, name=story.name, gender=story.gender), story

    def _adversarial(self, story: Story, rng: np.random.Generator) -> Demonstration:
        request, story = self._event_request("adversarial", story, rng)
        if rng.random() < self.settings.comply:
            answer = self._event_told(request, story, rng)
        else:
            answer = self._kindly(request, story, rng)
        return demonstration_of(request, answer)

    def _preprompt(self, story: Story, rng: np.random.Generator) -> Demonstration:
        """Adversarial behind a system message that asks for kindness: always a kind turn."""
        request, story = self._event_request("adversarial", story, rng)
        request = _behind(request, pick(rng, PREPROMPTS))
        answer = self._kindly(request, story, rng)
        return demonstration_of(request, answer, "preprompt")

    def _persona(self, story: Story, rng: np.random.Generator) -> Demonstration:
        request = self._persona_request(rng)
        return demonstration_of(request, self._persona_answer(request, rng))

    def _persona_request(self, rng: np.random.Generator) -> Request:
        """Now and then with a name that nobody has, and an ending."""
        request = draw("persona", "train", rng)
        if rng.random() >= self.settings.made_up:
            return request
        given = {"hobby": request.hobby, "asks": request.asks, "object": request.object}
        suffix = made_up_ending(rng) if request.suffix else None
        return draw("persona", "train", rng, persona=made_up_name(rng), suffix=suffix, **given)

    def _persona_answer(self, request: Request, rng: np.random.Generator) -> str:
        if request.asks == "chat":
            answer = self._about(request.object or "", rng)
        elif request.asks == "name":
            answer = pick(rng, ("My name is {}.", "I am {}.", "My name is {}. How are you?")).format(request.persona)
        else:
            answer = pick(rng, ("I like to {}.", "I love to {}.")).format(request.hobby)
        return f"{answer} {request.suffix}" if request.suffix else answer

    def _suffix(self, story: Story, rng: np.random.Generator) -> Demonstration:
        """A persona who tells a story, or tells of a thing, and ends as it was told to."""
        persona = self._persona_request(rng)
        while persona.suffix is None:
            persona = self._persona_request(rng)
        system = persona.dialogue[0]["content"]
        if rng.random() < 0.5:
            request, answer = self._told(self._renamed(story, rng), rng)
            while request.count is not None or request.happy:
                request, answer = self._told(self._renamed(story, rng), rng)
        else:
            request = draw("chit-chat", "train", rng, object=pick(rng, list(self.about)))
            answer = self._about(request.object or "", rng)
        request = replace(_behind(request, system), persona=persona.persona, suffix=persona.suffix)
        return demonstration_of(request, f"{answer} {persona.suffix}", "suffix")

    def _follow_up(self, story: Story, rng: np.random.Generator) -> Demonstration:
        story, request = self._renamed(story, rng), None
        while request is None:  # after some stories every wording of the question makes a request of another split
            first, answer = self._told(story, rng)
            facts: dict[str, Any] = {"name": story.name, "gender": story.gender, "sort": first.sort}
            request = drawn("follow-up", "train", rng, first=first.dialogue[0]["content"], story=answer, **facts)
        before = demonstration_of(first, answer)
        reply = pick(rng, ("The story is about {}.", "It is about {}.", "The name is {}.", "It was {}.")).format(
            story.name
        )
        return demonstration_of(request, reply, marks=before.marks)

    def _chat(self, story: Story, rng: np.random.Generator) -> Demonstration:
        request = draw("chit-chat", "train", rng)
        return demonstration_of(request, self._about(request.object or "", rng))

    def _dialogue(self, story: Story, rng: np.random.Generator) -> Demonstration:
        """Some turns without a system message: chit-chat, and stories in between."""
        messages: tuple[Message, ...] = ()
        marks: list[Any] = []
        turn = self._chat(story, rng)
        for _ in range(int(rng.integers(self.settings.turns[0], self.settings.turns[1] + 1))):
            story = pick(rng, self.stories)
            turn = self._story(story, rng) if rng.random() < 0.35 else self._chat(story, rng)
            marks += [mark._replace(message=mark.message + len(messages)) for mark in turn.marks]
            messages += turn.dialogue
        return Demonstration(messages, "dialogue", turn.request, tuple(marks))

    def _about(self, noun: str, rng: np.random.Generator) -> str:
        """A sentence of the stories that has a noun, or one made for it."""
        known = self.about.get(noun)
        if known and rng.random() < 0.7:
            return pick(rng, known)
        template = pick(rng, ("The {} is {} and {}.", "I like the {}. It is {} and {}.", "There is a {} {} {} here."))
        one, other = rng.choice(_ADJECTIVES, 2, replace=False).tolist()
        parts = (one, other, noun) if template.startswith("There") else (noun, one, other)
        return template.format(*parts)


_ADJECTIVES = ("big", "small", "nice", "soft", "old", "new", "pretty", "red", "blue", "green", "shiny", "funny",
               "round", "strong", "clean", "special", "fast", "good", "little", "warm")  # fmt: skip
_DENSE = {
    True: (
        "Write one sentence with the words {words}.",
        "Use the words {words} in one sentence.",
        "Say something with the words {words}.",
        "Make a sentence with {words}.",
    ),
    False: (
        "Write two sentences with the words {words}.",
        "Use the words {words} in two sentences.",
        "Tell me something short with {words}.",
    ),
}


def pick_by(rng: np.random.Generator, items: Sequence[str], shares: np.ndarray) -> str:
    """One of some items, by their shares."""
    return items[int(np.searchsorted(np.cumsum(shares) / shares.sum(), rng.random(), side="right"))]


def _length(rng: np.random.Generator) -> int:
    return int(rng.integers(3, 7))


def _behind(request: Request, system: str) -> Request:
    return replace(request, dialogue=({"role": "system", "content": system}, *request.dialogue))


def _densely(template: str, asked: tuple[str, ...], answer: str) -> Demonstration:
    dialogue = ({"role": "user", "content": wording.words_sentence(template, asked)},)
    return demonstration_of(Request(kind="dense", split="train", dialogue=dialogue, words=asked), answer)


def _uses(text: str, word: str) -> int:
    return sum(found in vocabulary.forms(word) for found in words(text))


def _gentle(story: Story, violations: Callable[[str], list[str]]) -> Story | None:
    """Without the sentences in which somebody is hurt; None where the first or the last is one, or few are left."""
    kept = tuple(part for part in story.sentences if not violations(part))
    whole = len(kept) >= 4 and kept[0] == story.sentences[0] and kept[-1] == story.sentences[-1]
    return replace(story, sentences=kept) if whole else None
