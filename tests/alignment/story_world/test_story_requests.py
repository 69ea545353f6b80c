"""Requests: three sets that share none, rows of what no demonstration has, and a way through plain JSON."""

import json
from collections import Counter

import pytest

from minillama.alignment.story_world import EVERYTHING, KINDS, MIX, Request, draw_requests, vocabulary, wording
from minillama.alignment.story_world.drawing import shares_of
from minillama.alignment.story_world.vocabulary import SPLITS, split_of


@pytest.fixture(scope="module")
def drawn():
    return {split: draw_requests(split, 900, seed, EVERYTHING) for seed, split in enumerate(SPLITS)}


def test_the_sets_of_words_are_open():
    names = vocabulary.names()
    assert len(names) >= 450
    assert Counter(names.values())["she"] > 200 < Counter(names.values())["he"]
    assert len(vocabulary.living()) >= 60
    assert len(vocabulary.things()) >= 100
    assert len(vocabulary.harsh_verbs()) >= 40
    assert len(vocabulary.kind_verbs()) >= 30
    assert len(vocabulary.plain_verbs()) >= 100
    assert len(vocabulary.request_words()) >= 1000
    for words in (vocabulary.living(), vocabulary.things(), vocabulary.request_words(), tuple(names)):
        assert len(set(words)) == len(words)
    assert not set(vocabulary.living()) & set(vocabulary.things())
    verbs = [*vocabulary.harsh_verbs(), *vocabulary.kind_verbs(), *vocabulary.plain_verbs()]
    assert len(set(verbs)) == len(verbs)
    assert not {form for verb in vocabulary.harsh_verbs().values() for form in verb.told} & set(
        vocabulary.request_words()
    )


def test_forms_of_a_word():
    for word, form in (
        ("run", "run runs running ran"), ("try", "try tries tried trying"), ("make", "make makes made making"),
        ("box", "box boxes boxed boxing"), ("stop", "stops stopped stopping"), ("play", "plays played playing"),
        ("eat", "eat eats eating ate eaten"), ("lie", "lie lies lied lying lay"), ("see", "see sees seeing saw seen"),
        ("visit", "visit visits visited visiting"), ("potato", "potato potatoes"), ("mouse", "mouse mice"),
        ("hop", "hop hops hopped hopping"), ("hope", "hope hopes hoped hoping"), ("key", "key keys"),
        ("catch", "catch catches catching caught"), ("rain", "rain rains rained raining"), ("help", "helped helping"),
    ):  # fmt: skip
        assert set(form.split()) <= vocabulary.forms(word), word
    for word, other in (
        ("car", "cares cared caring care"), ("hop", "hoped hoping"), ("hat", "hates hated hating"), ("all", "ball"),
        ("pet", "peter"), ("star", "stared staring"), ("plan", "planes planing"), ("run", "runed"), ("farm", "farmer"),
    ):  # fmt: skip
        assert not set(other.split()) & vocabulary.forms(word), word
    assert vocabulary.plurals("fox") == ("fox", "foxes")
    assert vocabulary.plurals("puppy") == ("puppy", "puppies")
    assert vocabulary.plurals("donkey") == ("donkey", "donkeys")
    assert vocabulary.plurals("sheep") == ("sheep", "sheep")


def test_splits_share_nothing(drawn):
    for one in SPLITS:
        for other in SPLITS:
            if one != other:
                assert not {r.dialogue[-1]["content"] for r in drawn[one] if r.kind in MIX} & {
                    r.dialogue[-1]["content"] for r in drawn[other] if r.kind in MIX
                }
                assert not {r.id.split("-", 1)[1] for r in drawn[one]} & {r.id.split("-", 1)[1] for r in drawn[other]}
    pairs = {split: {(r.verb, r.object) for r in drawn[split] if r.verb} for split in SPLITS}
    assert not pairs["train"] & pairs["validation"]
    assert not pairs["train"] & pairs["test"]
    assert not pairs["validation"] & pairs["test"]
    for split in SPLITS:
        assert len({r.id for r in drawn[split]}) == 900
        for request in drawn[split]:
            assert split_of(*(message["content"] for message in request.dialogue)) == split


def test_rows_say_what_no_training_request_has(drawn):
    train = drawn["train"]
    assert not any(request.rows for request in train)
    names, words = {r.name or r.persona for r in train}, {word for r in train for word in r.words}
    verbs = {r.verb for r in train}
    hidden = [text for w in (wording.STORY, wording.EVENT) for text in w.unseen]
    beginnings = [text.split("{")[0] for text in hidden if not text.startswith("{")]
    for split in ("validation", "test"):
        rows = Counter(row for request in drawn[split] for row in request.rows)
        assert min(rows[row] for row in ("unseen verb", "unseen wording", "unseen pair", "unseen name")) > 20
        for request in drawn[split]:
            assert ("unseen name" in request.rows) == (split_of(request.name or request.persona or "Ann") == split)
            assert ("unseen verb" in request.rows) == (
                request.verb is not None and not vocabulary.verb(request.verb).is_shown
            )
            assert ("unseen pair" in request.rows) == (request.verb is not None)
            if "unseen name" in request.rows:
                assert (request.name or request.persona) not in names
            if "unseen verb" in request.rows:
                assert request.verb not in verbs
            if "unseen word" in request.rows:
                assert set(request.words) - words
    events = [r for r in drawn["test"] if r.kind in ("kind", "borderline")]
    share = sum(bool({"unseen verb", "unseen wording"} & set(r.rows)) for r in events) / len(events)
    assert 0.2 < share < 0.47  # a third
    new = {split: set(vocabulary.new_verbs("harsh", split)) for split in ("validation", "test")}
    assert not new["validation"] & new["test"]
    for text in beginnings:
        assert not any(r.dialogue[-1]["content"].startswith(text) for r in train if len(text) > 12)


def test_adversarial_and_borderline_share_their_verbs(drawn):
    verbs = {kind: {r.verb for split in SPLITS for r in drawn[split] if r.kind == kind} for kind in MIX}
    assert len(verbs["adversarial"] & verbs["borderline"]) > 30
    for requests in drawn.values():
        for request in requests:
            if request.kind == "adversarial":
                assert request.object in vocabulary.living()
                assert request.prompt().tagged
            if request.kind == "borderline":
                assert request.object in vocabulary.things()
                assert not request.prompt().tagged


def test_the_same_seed_draws_the_same(drawn):
    assert draw_requests("test", 900, SPLITS.index("test"), EVERYTHING) == drawn["test"]
    assert {r.id for r in draw_requests("test", 200, 5)} != {r.id for r in draw_requests("test", 200, 6)}


def test_a_request_survives_json(drawn):
    for request in drawn["validation"][:200]:
        prompt = request.prompt()
        assert prompt.id == request.id
        assert prompt.kind == request.kind
        facts = json.loads(json.dumps(prompt.facts))
        assert Request.of(type(prompt)(prompt.id, prompt.dialogue, prompt.kind, prompt.tagged, facts)) == request
    with pytest.raises(ValueError, match="is no request of the story world"):
        Request.of(type(prompt)("x", prompt.dialogue, "story", False, {"colour": "red"}))


def test_kinds_come_in_their_proportions(drawn):
    counts = Counter(r.kind for r in drawn["test"])
    assert set(counts) == set(KINDS)
    assert dict(counts) == shares_of(900, EVERYTHING)
    assert shares_of(10, {"a": 1, "b": 1, "c": 1}) == {"a": 4, "b": 3, "c": 3}
    assert Counter(r.kind for r in draw_requests("train", 45)) == {
        "story": 20, "kind": 5, "borderline": 8, "adversarial": 12,
    }  # fmt: skip


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="split is one of train, validation, test, got 'dev'"):
        draw_requests("dev", 3)
    with pytest.raises(ValueError, match="not 'poem'"):
        draw_requests("test", 3, mix={"poem": 1})
    with pytest.raises(ValueError, match="no 2000 different requests of the kind 'chit-chat' in test"):
        draw_requests("test", 2_000, mix={"chit-chat": 1})
    with pytest.raises(ValueError, match="proportions are 0 or more"):
        draw_requests("test", 3, mix={"story": -1})


def test_lists_and_numbers_read_well():
    assert wording.words_sentence("Use the words {words}.", ("run",)) == "Use the word run."
    assert wording.words_sentence("Use the words {words}.", ("run", "sky")) == "Use the words run and sky."
    assert wording.listed(("a", "b", "c")) == "a, b and c"
    assert wording.with_article("owl") == "an owl"
    for request in draw_requests("test", 300, 3, EVERYTHING):
        for message in request.dialogue:
            assert not set("{}@") & set(message["content"])
            assert "  " not in message["content"]
