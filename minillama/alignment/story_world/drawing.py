"""Requests, drawn: three sets that share none, and rows of what no demonstration has.

A request belongs to the split that its own text gives (`vocabulary.split_of`), and so do pairs of a verb and its
object, names, words, hobbies and suffixes: what is drawn for one split is never drawn for another, whatever the seeds.
Of validation and test requests, every pair is one that training never has; a third of the events have a verb or a
wording that no demonstration has. Names, words, hobbies and suffixes are those of training and some of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from . import vocabulary, wording
from .requests import Message, Request
from .told import told_stories
from .vocabulary import SPLITS, of_split, split_of

MIX = {"story": 200, "kind": 50, "borderline": 80, "adversarial": 120}
"""Of the requests that preferences and reports are made of; only proportions count."""
SKILLS = {"chit-chat": 1, "persona": 2, "follow-up": 1}
"""What later stages forget unless they are measured."""
EVERYTHING = {"story": 200, "kind": 50, "borderline": 80, "adversarial": 120, "chit-chat": 20, "persona": 50,
              "follow-up": 30}  # fmt: skip

UNSEEN_VERB, UNSEEN_WORDING, UNSEEN_NAME = 1 / 6, 1 / 5, 0.15
COUNTS = (3, 4, 5, 6)
SORTS = ("bunny", "dog", "cat", "bear", "bird", "fox", "frog", "mouse", "duck", "pig", "lion", "turtle")
_MOST_TRIES, _MOST_KNOWN = 1000, 200


def draw_requests(split: str, n: int, seed: int = 0, mix: Mapping[str, float] | None = None) -> list[Request]:
    """`n` different requests of a split.

    Parameters
    ----------
    split : "train", "validation" or "test"
    mix : mapping of kind to proportion, optional
        MIX by default; SKILLS and EVERYTHING are others.

    Returns
    -------
    list of Request
        As many of each kind as the proportions say, in a random order.

    Raises
    ------
    ValueError
        For an unknown split or kind, or when there are not so many requests of a kind.
    """
    mix = dict(MIX if mix is None else mix)
    if split not in SPLITS:
        raise ValueError(f"split is one of {', '.join(SPLITS)}, got {split!r}")
    for kind in mix:
        if kind not in _MAKERS:
            raise ValueError(f"there are requests of the kinds {', '.join(_MAKERS)}, not {kind!r}")
    requests = [r for kind, count in shares_of(n, mix).items() for r in _different(kind, split, count, seed)]
    order = np.random.default_rng([seed, n, 7]).permutation(len(requests))
    return [requests[i] for i in order]


def shares_of(n: int, mix: Mapping[str, float]) -> dict[str, int]:
    """`n` in whole numbers after proportions; what is left goes to the largest remainders."""
    total = sum(mix.values())
    if not total > 0 or min(mix.values()) < 0:
        raise ValueError(f"proportions are 0 or more, and one is more, got {dict(mix)}")
    exact = {kind: n * share / total for kind, share in mix.items()}
    counts = {kind: int(share) for kind, share in exact.items()}
    for kind in sorted(exact, key=lambda kind: counts[kind] - exact[kind])[: n - sum(counts.values())]:
        counts[kind] += 1
    return counts


def _different(kind: str, split: str, n: int, seed: int) -> list[Request]:
    """`n` different requests; request i is a function of kind, split, seed and those before it."""
    found: dict[str, Request] = {}
    rng = np.random.default_rng([seed, SPLITS.index(split), list(_MAKERS).index(kind)])
    n_known = 0  # one after the other
    while len(found) < n:
        request = draw(kind, split, rng)
        n_known = n_known + 1 if request.id in found else 0
        found.setdefault(request.id, request)
        if n_known > _MOST_KNOWN:
            raise ValueError(
                f"there are no {n} different requests of the kind {kind!r} in {split}: ask for fewer than {len(found)}"
            )
    return list(found.values())


def draw(kind: str, split: str, rng: np.random.Generator, **given: Any) -> Request:
    """One request of a kind, its text among those of the split.

    Parameters
    ----------
    given
        Facts that are known already: those of a demonstration's answer.
    """
    request = drawn(kind, split, rng, **given)
    if request is None:
        raise ValueError(f"{_MOST_TRIES} wordings of a {kind} request belong to no {split}: give it other facts")
    return request


def drawn(kind: str, split: str, rng: np.random.Generator, **given: Any) -> Request | None:
    """As `draw`; None where the facts leave so few wordings that none is of the split."""
    for _ in range(_MOST_TRIES):
        request: Request = _MAKERS[kind](split, rng, **given)
        if belongs(request):
            return request
    return None


def belongs(request: Request) -> bool:
    """Whether a request's text is one of its split."""
    return split_of(*(message["content"] for message in request.dialogue)) == request.split


# --- parts ---------------------------------------------------------------------------------


def pick(rng: np.random.Generator, items: Sequence[Any]) -> Any:
    """One of some items."""
    return items[int(rng.integers(len(items)))]


@cache
def shown_names() -> tuple[str, ...]:
    """Names that demonstrations may have."""
    return names_of("train", None)


@cache
def names_of(split: str, gender: str | None) -> tuple[str, ...]:
    """Names that belong to a split, of a gender or of any (None or "it")."""
    return tuple(n for n in of_split(vocabulary.names(), split) if gender in (None, "it", vocabulary.names()[n]))


@cache
def shown_words() -> tuple[str, ...]:
    """Words that demonstrations and training requests may ask for."""
    return tuple(of_split(vocabulary.request_words(), "train"))


@cache
def split_words(split: str) -> tuple[str, ...]:
    """Words that requests of a split may ask for: the shown ones, and its own that nothing else asks for."""
    own = [] if split == "train" else of_split(vocabulary.request_words(), split)
    return (*shown_words(), *own)


@cache
def objects_of(of: str, base: str, split: str) -> tuple[str, ...]:
    """Objects ("living", "things") that make pairs of a split with a verb."""
    nouns = vocabulary.living() if of == "living" else vocabulary.things()
    return tuple(noun for noun in nouns if split_of(base, noun) == split)


def name_of(split: str, rng: np.random.Generator, rows: list[str], gender: str | None = None) -> str:
    """A first name; in validation and test now and then one of those that no demonstration has."""
    unseen = split != "train" and rng.random() < UNSEEN_NAME
    if unseen:
        rows.append("unseen name")
    return pick(rng, names_of(split if unseen else "train", gender))


def worded(wordings: wording.Wordings, split: str, rng: np.random.Generator, rows: list[str]) -> str:
    """The wording that a request begins with; in validation and test a fifth have one that no demonstration has."""
    if split != "train" and rng.random() < UNSEEN_WORDING:
        rows.append("unseen wording")
        return pick(rng, wordings.of_split(split))
    return pick(rng, wordings.shown)


def worded_alike(wordings: wording.Wordings, split: str, rng: np.random.Generator, rows: list[str]) -> str:
    """The wording of a further part: every other time unseen where the first one is."""
    if "unseen wording" in rows and rng.random() < 0.5:
        return pick(rng, wordings.of_split(split))
    return pick(rng, wordings.shown)


@cache
def _persona_items(what: str, split: str) -> tuple[str, ...]:
    """Hobbies or suffixes: those of training, and those that the split has beside them."""
    items = vocabulary.hobbies() if what == "hobbies" else vocabulary.suffixes()
    return tuple(item for item in items if split_of(item) in ("train", split))


def _asked(*texts: str) -> tuple[Message, ...]:
    """Messages, the user's and the assistant's in turns."""
    roles = ("user", "assistant")
    return tuple({"role": roles[i % 2], "content": text} for i, text in enumerate(texts))


# --- kinds ---------------------------------------------------------------------------------


def _story(split: str, rng: np.random.Generator, **given: Any) -> Request:
    """`given`: name, gender, sort (or None), words, count (or None), happy."""
    rows: list[str] = []
    facts = given or _story_facts(split, rng, rows)
    parts = [_worded_who(facts, split, rng, rows)]
    rest = []
    if facts["words"]:
        rest.append(wording.words_sentence(worded_alike(wording.WORDS, split, rng, rows), facts["words"]))
        if vocabulary.held_words() & set(facts["words"]):
            rows.append("unseen word")
    if facts["count"] is not None:
        number = wording.NUMBERS[facts["count"]] if rng.random() < 0.8 else str(facts["count"])
        text = worded_alike(wording.COUNT, split, rng, rows).format(n=number)
        rest.append(text.replace("sentences", "sentence") if facts["count"] == 1 else text)
    if facts["happy"]:
        rest.append(worded_alike(wording.HAPPY, split, rng, rows))
    parts += [rest[i] for i in rng.permutation(len(rest))]
    return Request(kind="story", split=split, dialogue=_asked(" ".join(parts)), rows=tuple(rows), **facts)


def _story_facts(split: str, rng: np.random.Generator, rows: list[str]) -> dict[str, Any]:
    name = name_of(split, rng, rows)
    gender = vocabulary.names()[name]
    kind = rng.random()
    sort = None if kind < 0.25 else pick(rng, SORTS) if kind > 0.85 else {"she": "girl", "he": "boy"}[gender]
    n_words = int(rng.integers(3))
    words = rng.choice(len(split_words(split)), n_words, replace=False)
    return {
        "name": name,
        "gender": gender,
        "sort": sort,
        "words": tuple(split_words(split)[i] for i in words),
        "count": int(pick(rng, COUNTS)) if rng.random() < 0.7 else None,
        "happy": bool(rng.random() < 0.5),
    }


def _worded_who(facts: Mapping[str, Any], split: str, rng: np.random.Generator, rows: list[str]) -> str:
    sort = facts["sort"]
    who = wording.WHO[-1] if sort is None else pick(rng, wording.WHO[:-1])
    who = who.format(sort=wording.with_article(sort or ""), plain=sort, name=facts["name"]) if sort else facts["name"]
    return worded(wording.STORY, split, rng, rows).format(who=who)


def _event(kind: str, split: str, rng: np.random.Generator, **given: Any) -> Request:
    """`given`: name and its gender, verb, object; the name alone is enough."""
    rows: list[str] = []
    of, to = _OF_AND_TO[kind]
    name = given.get("name") or name_of(split, rng, rows)
    if "verb" in given:
        base, noun = given["verb"], given["object"]
    else:
        base, noun = _pair(of, to, split, rng, rows)
    verb = vocabulary.verb(base)
    text = worded(wording.EVENT, split, rng, rows).format(name=name, third=verb.third, base=base, object=noun)
    return Request(
        kind=kind,
        split=split,
        dialogue=_asked(text),
        name=name,
        gender=given.get("gender") or vocabulary.names()[name],
        verb=base,
        object=noun,
        rows=tuple(rows),
    )


_OF_AND_TO = {
    "kind": ("kind", "living"),
    "borderline": ("harsh", "things"),
    "adversarial": ("harsh", "living"),
    "plain": ("plain", "things"),
}


def _pair(of: str, to: str, split: str, rng: np.random.Generator, rows: list[str]) -> tuple[str, str]:
    """A verb and an object whose pair is of the split; rows say what is unseen of it."""
    if split != "train":
        rows.append("unseen pair")
        if of != "plain" and rng.random() < UNSEEN_VERB:
            rows.append("unseen verb")
            base = pick(rng, vocabulary.new_verbs(of, split))
            return base, pick(rng, objects_of(to, base, split))
    base = pick(rng, [base for base in vocabulary.shown_verbs(of) if objects_of(to, base, split)])
    if base in vocabulary.done_to_the_living() and rng.random() < 0.5:
        to = "living"
    return base, pick(rng, objects_of(to, base, split))


def _chat(split: str, rng: np.random.Generator, **given: Any) -> Request:
    rows: list[str] = []
    noun = given.get("object") or pick(rng, (*vocabulary.things(), *vocabulary.living()))
    text = worded(wording.CHAT, split, rng, rows).format(object=noun)
    return Request(kind="chit-chat", split=split, dialogue=_asked(text), object=noun, rows=tuple(rows))


def persona_text(name: str, hobby: str | None, suffix: str | None, rng: np.random.Generator) -> str:
    """The system message of a persona."""
    parts = [pick(rng, wording.PERSONA).format(name=name)]
    if hobby:
        parts.append(pick(rng, wording.HOBBY).format(hobby=hobby))
    if suffix:
        parts.append(pick(rng, wording.SUFFIX).format(suffix=suffix))
    return " ".join(parts)


def _persona(split: str, rng: np.random.Generator, **given: Any) -> Request:
    """`given`: persona, hobby, suffix, asks, object (of chit-chat)."""
    rows: list[str] = []
    facts = given or _persona_facts(split, rng, rows)
    if facts["asks"] == "chat":
        text = worded(wording.CHAT, split, rng, rows).format(object=facts["object"])
    else:
        ask = wording.ASK_NAME if facts["asks"] == "name" else wording.ASK_HOBBY
        text = worded(ask, split, rng, rows)
    system = {"role": "system", "content": persona_text(facts["persona"], facts["hobby"], facts["suffix"], rng)}
    return Request(kind="persona", split=split, dialogue=(system, *_asked(text)), rows=tuple(rows), **facts)


def _persona_facts(split: str, rng: np.random.Generator, rows: list[str]) -> dict[str, Any]:
    suffix = pick(rng, _persona_items("suffixes", split)) if rng.random() < 0.6 else None
    asks = pick(rng, ("name", "hobby", "chat") if suffix else ("name", "hobby"))
    hobby = pick(rng, _persona_items("hobbies", split)) if asks == "hobby" or rng.random() < 0.7 else None
    if any(item and split_of(item) != "train" for item in (hobby, suffix)):
        rows.append("unseen persona")
    return {
        "persona": name_of(split, rng, rows),
        "hobby": hobby,
        "suffix": suffix,
        "asks": asks,
        "object": pick(rng, vocabulary.things()) if asks == "chat" else None,
    }


def _follow_up(split: str, rng: np.random.Generator, **given: Any) -> Request:
    """`given`: first (the user's first message), story (what was answered), name, gender, sort."""
    rows: list[str] = []
    facts = dict(given) if given else _told(split, rng, rows)
    first, story = facts.pop("first"), facts.pop("story")
    text = worded(wording.ASK_HERO, split, rng, rows).format(plain=facts["sort"] or "hero")
    facts["sort"] = None
    dialogue = _asked(first, story, text)
    return Request(kind="follow-up", split=split, dialogue=dialogue, asks="hero", rows=tuple(rows), **facts)


def _told(split: str, rng: np.random.Generator, rows: list[str]) -> dict[str, Any]:
    """One of the bundled stories, told with another name."""
    gender, sort, text = pick(rng, told_stories())
    name = name_of(split, rng, rows, gender)
    who = f"{wording.with_article(sort)} named {name}" if sort else name
    first = pick(rng, wording.STORY.shown).format(who=who)
    return {"first": first, "story": text.replace("@", name), "name": name, "gender": gender, "sort": sort}


_MAKERS: dict[str, Any] = {
    "story": _story,
    "kind": lambda split, rng, **given: _event("kind", split, rng, **given),
    "borderline": lambda split, rng, **given: _event("borderline", split, rng, **given),
    "adversarial": lambda split, rng, **given: _event("adversarial", split, rng, **given),
    "plain": lambda split, rng, **given: _event("plain", split, rng, **given),
    "chit-chat": _chat,
    "persona": _persona,
    "follow-up": _follow_up,
}
