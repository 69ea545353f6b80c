"""Stories taken apart, demonstrations that keep what they say, and weights on the tokens that they are meant for."""

import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from minillama.alignment.conversations import answers_learned, conversation_of
from minillama.alignment.models import ChatModel
from minillama.alignment.story_world import (
    Demonstrations,
    DemonstrationSettings,
    Request,
    Story,
    check,
    cleaned,
    demonstration_of,
    example_of,
    judge_rules,
    parse_stories,
    parse_story,
    read_stories,
    sampled_stories,
    vocabulary,
)
from minillama.alignment.story_world.checks import is_happy
from minillama.alignment.story_world.sentences import words
from minillama.alignment.story_world.told import told_stories
from minillama.alignment.story_world.vocabulary import split_of

JUDGE = judge_rules()


@pytest.fixture(scope="module")
def model():
    return ChatModel.load("stories3M")


@pytest.fixture(scope="module")
def stories():
    names = {"she": "Lily", "he": "Tim"}
    return parse_stories(text.replace("@", names[gender]) for gender, _, text in told_stories())


@pytest.fixture(scope="module")
def demonstrations(stories):
    return Demonstrations(stories, seed=5)


# --- stories --------------------------------------------------------------------------------

LONG = (
    'Once upon a time, there was a little girl named Lily. She had a ball. "Look at it! It is red. I like it," she '
    'said. "Yes," said Tim. The ball fell. Lily\'s mom was happy. The end.'
)


def test_a_story_is_taken_apart():
    story = parse_story(LONG)
    assert (story.name, story.gender, story.sort) == ("Lily", "she", "girl")
    assert story.sentences == (
        "Once upon a time, there was a little girl named Lily.",
        "She had a ball.",
        '"Yes," said Tim.',
        "The ball fell.",
        "Lily's mom was happy.",
    )  # "It is red." is said by somebody, and "The end." tells nothing
    quiet = story.without_quotes()
    assert [part for part in story.sentences if '"' not in part] == list(quiet.sentences)
    other = story.named("Ann")
    assert other.name == "Ann"
    assert "Lily" not in other.text
    assert "Ann's mom" in other.text
    assert "Tim" in other.text


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ("One day, a dog named Spot ran.", ("Spot", "he", "dog")),
        ("There was a brave boy called Alex.", ("Alex", "he", "boy")),
        ("Lily saw a cat.", ("Lily", "she", None)),
        ("There was a cat.", None),
        ("A man, whose name was Zorg, sat down.", ("Zorg", "he", "man")),
    ],
)
def test_whom_a_story_is_about(first, expected):
    story = parse_story(f"{first} He ran to Lily. He saw his ball. They were happy.")
    assert (None if story is None else (story.name, story.gender, story.sort)) == expected


def test_what_is_no_story():
    assert parse_story("Lily ran. Lily fell. She cried.") is None  # too short
    assert parse_story("") is None
    assert parse_story(LONG.replace("Lily's mom was happy. The end.", '"I am happy.')) is None


def test_stories_of_a_file(tmp_path):
    path = tmp_path / "stories.txt"
    path.write_text("One.\nTwo.\n<|endoftext|>\nThree.\n")
    assert read_stories(path) == ["One.\nTwo.", "Three."]
    path.write_text("\n")
    with pytest.raises(ValueError, match="has no story in it"):
        read_stories(path)


def test_samples_are_cleaned():
    good = "Once there was a dog. It ran home. It was happy."
    assert cleaned([good, good, good[:-5]]) == [good, good]
    broken = [good, good, "Once there was a dog. It fladored home. It ran. It was happy."]
    assert cleaned(broken)[2] == "Once there was a dog. It ran. It was happy."
    assert cleaned([good, good, "There was a fladored dog. It was happy."]) == [good, good]
    assert cleaned(["It was happy. " * 9]) == []


def test_the_base_model_writes_stories(model):
    told = []
    texts = sampled_stories(model, 4, seed=3, max_tokens=300, progress=lambda done, n: told.append((done, n)))
    assert texts == sampled_stories(model, 4, seed=3, max_tokens=300, max_rows=3)
    assert told[-1] == (4, 4)
    assert 2 <= len(texts) <= 4
    assert len(set(texts)) == len(texts)
    for text in texts:
        assert text[-1] in '.!?"'
        assert "Once upon a time" not in text[20:]  # it ends where the next story would begin


# --- demonstrations ----------------------------------------------------------------------------


def test_demonstrations_keep_what_they_say(demonstrations):
    drawn = [demonstrations.draw(0, i) for i in range(500)]
    kept = 0
    for one in drawn:
        found = check(one.request, one.answer, JUDGE)
        is_turn = found.kind_turn and found.object_told
        if one.kind == "preprompt":
            kept += is_turn and found.name_used
        elif one.kind == "adversarial":
            kept += is_turn or (found.event_told and bool(found.violations) and found.name_used)
        else:
            kept += found.all_kept and found.is_safe and not found.opener
        assert not found.words_over, one
    assert kept >= 0.99 * len(drawn)
    kinds = Counter(one.kind for one in drawn)
    assert set(kinds) >= {
        "story",
        "dense",
        "kind",
        "borderline",
        "plain",
        "adversarial",
        "preprompt",
        "persona",
        "suffix",
    }
    assert sum(kinds[kind] for kind in ("persona", "suffix", "dialogue", "follow-up")) >= 0.12 * len(drawn)


def test_demonstrations_have_nothing_that_is_held_out(demonstrations):
    for i in range(600):
        one = demonstrations.draw(1, i)
        request = one.request
        assert request.split == "train"
        assert not request.rows
        if request.name and request.kind != "dense":
            assert split_of(request.name) == "train"
        assert not vocabulary.held_words() & set(request.words)
        if request.verb:
            assert vocabulary.verb(request.verb).is_shown
            assert split_of(request.verb, request.object) == "train"
        if one.kind in ("story", "kind", "borderline", "adversarial", "chit-chat", "persona", "follow-up"):
            assert split_of(*(message["content"] for message in one.dialogue[:-1])) == "train"


def test_a_demonstration_is_a_function_of_seed_pass_and_index(demonstrations, stories):
    again = Demonstrations(stories, seed=5)
    assert [again.draw(2, i) for i in (7, 3)] == [demonstrations.draw(2, i) for i in (7, 3)]
    assert demonstrations.draw(2, 7) != demonstrations.draw(3, 7)
    assert demonstrations.draw(2, 7) != Demonstrations(stories, seed=6).draw(2, 7)
    answers = {demonstrations.draw(pass_, i).answer for pass_ in range(3) for i in range(100)}
    assert len(answers) > 285


DRAWS = """
import hashlib
from minillama.alignment.story_world import Demonstrations, draw_requests, parse_stories
from minillama.alignment.story_world.told import told_stories

names = {"she": "Lily", "he": "Tim"}
stories = parse_stories(text.replace("@", names[gender]) for gender, _, text in told_stories())
demonstrations = Demonstrations(stories, seed=5)
drawn = [demonstrations.about, *(demonstrations.draw(0, i) for i in range(300)), *draw_requests("test", 200, 3)]
print(hashlib.sha256(repr(drawn).encode()).hexdigest())
"""


def test_draws_are_the_same_in_every_process():
    def drawn(hash_seed):  # the order of a set of texts depends on it
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        return subprocess.run(
            [sys.executable, "-c", DRAWS], env=environment, capture_output=True, text=True, check=True
        ).stdout

    assert len({drawn("1"), drawn("2"), drawn("4")}) == 1


def test_settings_change_shares(stories):
    few = stories[:40]
    dense = Demonstrations(few, DemonstrationSettings(dense=1.0))
    assert {dense.draw(0, i).kind for i in range(50)} <= {"dense", "story"}
    assert "dense" not in {dense.draw(0, i, dense=0.0).kind for i in range(200)}
    settings = DemonstrationSettings(dense=0, shares={"adversarial": 1}, comply=0.0)
    kind = Demonstrations(few, settings)
    assert all(check(one.request, one.answer, JUDGE).kind_turn for one in (kind.draw(0, i) for i in range(50)))
    long = Demonstrations(few, DemonstrationSettings(dense=0, shares={"dialogue": 1}, turns=(6, 7)))
    assert {len(long.draw(0, i).dialogue) for i in range(20)} == {12, 14}
    with pytest.raises(ValueError, match="not 'poem'"):
        Demonstrations(few, DemonstrationSettings(shares={"poem": 1}))
    with pytest.raises(ValueError, match="none of 1 stories"):
        Demonstrations([Story("Tim", "he", "boy", ("Tim hit Lily.", "A.", "B.", "C."))])


def test_words_of_many_stories_are_asked_for_less_often(demonstrations):
    asked = Counter(word for i in range(700) for word in demonstrations.draw(4, i).request.words)
    assert len(asked) > 200
    assert asked.most_common(1)[0][1] < 0.05 * asked.total()


# --- weights ------------------------------------------------------------------------------------


def weights_of(demonstration, model, **weights):
    example = example_of(demonstration, model, **weights)
    pieces = [model.tokenizer.decode_bytes(i).decode(errors="replace") for i in example.ids.tolist()]
    return example, [(piece.strip(), weight) for piece, weight in zip(pieces, example.weights.tolist()) if weight]


def test_weights_are_on_the_tokens_of_words_ends_and_names(model):
    dialogue = ({"role": "user", "content": "Tell me of Ann. Use the word run."},)
    request = Request(kind="story", split="train", dialogue=dialogue, name="Ann", words=("run",))
    example, found = weights_of(demonstration_of(request, "A girl ran. Ann ran off. It was fun!"), model, name_weight=3)
    text = [piece for piece, _ in found]
    expected = {"ran": 8.0, "Ann": 3.0, "It": 2.5, "A": 1.0, "girl": 1.0, "off": 1.0, "was": 1.0, "fun": 1.0}
    first = dict(reversed(found))
    for piece, weight in expected.items():
        assert first[piece] == weight, (piece, found)
    assert found[[i for i, piece in enumerate(text) if piece == "ran"][1]][1] == 1.0  # the second use
    assert found[text.index("!")][1] == 1.0
    assert [weight for _, weight in found[text.index("!") + 1 :]] == [2.5, 2.5]  # the space before the end, and it
    assert example.ids[-1] == model.tokenizer.eos_id
    assert example.weights[-1] == 2.5


def test_weights_of_an_event_and_of_words_of_several_tokens(model):
    dialogue = ({"role": "user", "content": "Tell me how Mark whacks the trampoline."},)
    request = Request(kind="borderline", split="train", dialogue=dialogue, verb="whack", object="umbrella")
    answer = "One day he whacked the old umbrella. He sat."
    example, found = weights_of(demonstration_of(request, answer), model)
    heavy = "".join(
        model.tokenizer.decode_bytes(i).decode() for i, w in zip(example.ids.tolist(), example.weights) if w == 8
    )
    assert heavy.strip() == "whacked the old umbrella"
    assert dict(found)["."] == 1.0
    assert dict(found)["He"] == 2.5


def test_without_weights_it_is_fine_tuning_on_answers(model, demonstrations):
    for i in range(60):
        one = demonstrations.draw(0, i)
        example = example_of(one, model, word_weight=1, start_weight=1)
        expected = answers_learned(conversation_of(one.dialogue, model.chat, model.tokenizer))
        np.testing.assert_array_equal(example.ids, expected.ids)
        np.testing.assert_array_equal(example.weights, expected.weights)
        weighted = example_of(one, model)
        assert (weighted.weights >= example.weights).all()
        assert set(weighted.weights.tolist()) <= {0.0, 1.0, 2.5, 8.0}
        assert weighted.weights.dtype == np.float32


def test_marks_of_a_dialogue_are_those_of_its_turns(model, demonstrations):
    seen = 0
    for i in range(400):
        one = demonstrations.draw(0, i)
        if one.kind not in ("dialogue", "follow-up") or not one.marks:
            continue
        seen += 1
        for mark in one.marks:
            message = one.dialogue[mark.message]
            assert message["role"] == "assistant"
            asked = one.dialogue[mark.message - 1]["content"]
            word = message["content"][mark.start : mark.stop]
            known = any(word.lower() in vocabulary.forms(base) for base in words(asked))
            assert mark.what == "name" or known or is_happy(word), (
                word,
                asked,
            )
        heavy = [i for i, w in zip(*example_of(one, model)) if w == 8]
        assert bool(heavy) == any(mark.what == "word" for mark in one.marks)
    assert seen > 5


def test_characters_of_several_bytes(model):
    request = Request(kind="story", split="train", dialogue=({"role": "user", "content": "Hi."},), words=("cat",))
    _, found = weights_of(demonstration_of(request, "Señor “Ünal” ran. The cat sat."), model)
    first = dict(reversed(found))
    assert (first["cat"], first["The"], first["sat"], first["ran"]) == (8.0, 2.5, 1.0, 1.0)


def test_some_names_and_endings_are_those_of_nobody(demonstrations):
    """Only from an open set can be learned to copy; nothing of it is what another split asks with."""
    shown = [demonstrations.draw(3, i) for i in range(1500)]
    names = [one.request.name for one in shown if one.request and one.request.kind == "story" and one.request.name]
    new = [name for name in names if name not in vocabulary.names()]
    assert 0.2 < len(new) / len(names) < 0.5
    assert all(split_of(name) == "train" for name in new)
    endings = [one.request.suffix for one in shown if one.request and one.request.suffix]
    open_ones = {ending for ending in endings if ending not in vocabulary.suffixes()}
    assert len(open_ones) > 20
    assert all(split_of(ending) == "train" for ending in open_ones)
    for one in shown:
        if one.request and one.request.kind == "persona" and one.request.asks == "name":
            assert one.request.persona in one.answer
