"""The word list, the classifier, and the weights that come with it."""

import csv
import functools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillama.data.rules.harmful.classifier import TextClassifier, features_of, train
from minillama.data.rules.harmful.filter import (
    WEIGHTS,
    HarmfulContentFilter,
    default_classifier,
    load_word_list,
    sentences,
)

NOUNS = ("garden", "river", "school", "window", "street", "teacher", "boat", "picture")


def made(seed, count=300):
    """Texts of neutral words; those with "zorg" or with the pair "red stone" are the positive ones."""
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for i in range(count):
        words = [*rng.choice(NOUNS, 8), "red", "stone"]
        rng.shuffle(words)
        words = " ".join(words).replace("red stone", "stone red").split()
        label = i % 2
        if label:
            words[3:3] = ["zorg"] if rng.random() < 0.5 else ["red", "stone"]
        texts.append(" ".join(words))
        labels.append(label)
    return texts, labels


def test_training_learns_words_and_pairs():
    texts, labels = made(0)
    losses = []
    model = train(texts, labels, bits=12, progress=lambda epoch, loss: losses.append(loss))
    others, right = made(1)
    assert np.mean((model.predict(others) > 0.5) == np.array(right)) > 0.95
    assert losses[-1] < losses[0] / 2
    again = train(texts, labels, bits=12)
    np.testing.assert_array_equal(model.weights, again.weights)
    assert (model.scale, model.bias) == (again.scale, again.bias)


def python_features(text, bits):
    """The same hashes, word by word with Python's integers."""
    word_hash = lambda word: functools.reduce(lambda h, b: ((h ^ b) * 16777619) % 2**32, word, 2166136261)
    out, previous = [], 0
    for part in re.findall(rb"[a-z0-9'\x80-\xff]+|[.!?\n]", text.lower().encode()):
        if part in (b".", b"!", b"?", b"\n"):
            previous = 0
            continue
        h = word_hash(part)
        out.append((h ^ (h >> 15)) % 2**bits)
        if previous:
            pair = ((previous * 2654435761 % 2**32) ^ h) * 2246822519 % 2**32
            out.append((pair ^ (pair >> 15)) % 2**bits)
        previous = h
    return out


@given(st.text(max_size=60))
def test_features_are_the_documented_hashes(text):
    text = text.encode("utf-8", "replace").decode().replace("\u2019", "'")
    assert features_of(text, 16).tolist() == python_features(text, 16)


def test_features_of_a_known_text():
    assert features_of("", 16).tolist() == []
    assert features_of("Don\u2019t", 16).tolist() == features_of("don't", 16).tolist()
    assert len(features_of("one two. three", 16)) == 4  # no pair across the sentence
    assert len(features_of("a b " * 100_000, 16)) <= 1 << 16


def test_training_refuses_what_it_cannot_use():
    with pytest.raises(ValueError, match="one label and one weight"):
        train(["a"], [1, 0])
    with pytest.raises(ValueError, match="both present"):
        train(["a", "b"], [1, 1])
    with pytest.raises(ValueError, match="bits is 4"):
        train(["a", "b"], [1, 0], bits=4)


def test_save_and_load(tmp_path):
    texts, labels = made(0)
    model = train(texts, labels, bits=10)
    model.save(tmp_path / "model.npz")
    np.testing.assert_array_equal(TextClassifier.load(tmp_path / "model.npz").predict(texts), model.predict(texts))
    (tmp_path / "bad.npz").write_bytes(b"PK nothing")
    np.savez(tmp_path / "float.npz", weights=np.zeros(8), scale=1.0, bias=0.0)
    np.savez(tmp_path / "seven.npz", weights=np.zeros(7, np.int8), scale=1.0, bias=0.0)
    for name in ("bad.npz", "float.npz", "seven.npz", "missing.npz"):
        with pytest.raises(ValueError, match=name):
            TextClassifier.load(tmp_path / name)


def test_committed_weights_give_known_scores():
    assert WEIGHTS.stat().st_size < 150_000
    known = {
        "Once upon a time there was a little girl named Lily.": 0.01029399,
        "What is the capital of France?": 0.04432632,
        "How can I steal a car without getting caught?": 0.98436507,
        "How can I kill a Python process?": 0.86187008,
        "...": 0.00000000,
    }
    np.testing.assert_allclose(default_classifier().predict(list(known)), list(known.values()), atol=1e-6)


def test_committed_weights_on_stories_and_prompts(shared_data):
    """Figures of training and held-out prompts together; the benchmark tells them apart."""
    model = default_classifier()
    story = sentences((shared_data / "tinystories" / "valid.txt").read_text(encoding="utf-8"))
    assert np.mean(model.predict(story) > 0.4) < 0.02
    article = sentences((shared_data / "wikitext-2" / "test.txt").read_text(encoding="utf-8"))
    assert np.mean(model.predict(article) > 0.4) < 0.005
    with open(shared_data / "eval/simplesafetytests/test_cases.csv", encoding="utf-8", newline="") as file:
        prompts = [row["prompts_final"] for row in csv.DictReader(file)]
    assert np.mean(model.predict(prompts) > 0.4) > 0.8


@given(st.text(alphabet="ab.!? \n\"'3", max_size=40))
def test_sentences_are_the_text(text):
    assert "".join(sentences(text)) == text


def test_sentences():
    assert sentences('He paid 3.14. "No!" she said.\nEnd') == ["He paid 3.14. ", '"No!" ', "she said.\n", "End"]


def test_word_list(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("# a comment\nZorg\nred stone\n\n:-X\n", encoding="utf-8")
    assert load_word_list(path) == {"zorg", "red stone", ":-x"}
    rule = HarmfulContentFilter(path, mode="off")
    assert rule.word_list_note == ""
    for text in ("A ZORG!", "the Red  Stone fell", "so :-X"):
        assert rule(text).text is None, text
    for text in ("zorgs and razorg", "red, blue stones", "stone red"):
        assert rule(text) == (text, {}, {})
    share = HarmfulContentFilter(path, word_share=0.25, mode="off")
    assert share("a zorg b c").text is not None
    assert share("a zorg b").text is None
    assert share("a zorg b").examples == {"listed_word": "1 of 3 words (33.33%)"}


def test_word_list_is_off_without_a_path_and_says_so(tmp_path):
    assert "is off" in HarmfulContentFilter(mode="off").word_list_note
    (tmp_path / "empty.txt").write_text("\n# nothing\n", encoding="utf-8")
    for name in ("empty.txt", "missing.txt"):
        with pytest.raises(ValueError, match=name):
            HarmfulContentFilter(tmp_path / name)
    for wrong in ({"mode": "x"}, {"threshold": 2}, {"flag_from": -1}, {"word_share": 1.5}):
        with pytest.raises(ValueError, match="HarmfulContentFilter"):
            HarmfulContentFilter(**wrong)


def test_modes():
    texts, labels = made(0)
    model = train(texts, labels, bits=12)
    bad, good = texts[labels.index(1)], texts[labels.index(0)]
    text = f"{good}. {bad}. {good}."
    cut = HarmfulContentFilter(mode="drop-sentences", classifier=model)(text)
    assert (cut.text, cut.findings) == (f"{good}. {good}.", {"harmful_sentence": 1})
    assert HarmfulContentFilter(mode="drop-sentences", classifier=model)(bad).text is None
    measure = HarmfulContentFilter(classifier=model)
    assert measure(bad)[:2] == (bad, {"harmful_document": 1})
    assert measure(f"{bad}\n\n{good}\n{good}\n---") == (f"{bad}\n\n{good}\n{good}\n---", {}, {})
    lines = model.predict([bad, good, good])
    assert measure.score(f"{bad}\n\n{good}\n{good}\n---") == pytest.approx(lines.mean())
    assert HarmfulContentFilter(mode="drop-document", classifier=model)(bad).text is None
    assert measure("") == ("", {}, {})
