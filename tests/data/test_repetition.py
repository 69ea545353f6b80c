"""Gopher's repetition rules at their thresholds, and against a plain Python version."""

import re
from collections import Counter
from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minillama.data.rules.repetition import GopherRepetition, duplicates
from minillama.data.rules.word_kernels import ngram_characters
from minillama.data.rules.words import words_of


def only(rule):
    return replace(GopherRepetition(), **{f.name: None for f in fields(GopherRepetition) if f.name != rule})


def distinct(n, start=0):
    """n different words of four letters."""
    letters = "abcdefghij"
    return [f"w{letters[i // 100 % 10]}{letters[i // 10 % 10]}{letters[i % 10]}" for i in range(start, start + n)]


def exactly(text, n):
    """The text, padded with one long word at its end to n characters."""
    assert len(text) < n
    return text + " " + "z" * (n - len(text) - 1)


@pytest.mark.parametrize(
    ("rule", "kept", "dropped", "figure"),
    [
        ("max_duplicate_lines", "abcdefg" + "a" * 3, "abcdef" + "a" * 4, "0.4 > 0.3"),
        ("max_duplicate_paragraphs", "abcdefg" + "a" * 3, "abcdef" + "a" * 4, "0.4 > 0.3"),
    ],
)
def test_shares_of_lines_and_paragraphs(rule, kept, dropped, figure):
    join = "\n\n\n" if "paragraph" in rule else "\n"
    filter_ = only(rule)
    assert filter_(join.join(kept)).text == join.join(kept)
    decision = filter_(join.join(dropped))
    assert (decision.text, decision.findings) == (None, {rule: 1})
    assert decision.examples[rule].startswith(figure)


@pytest.mark.parametrize("kind", ["line", "paragraph"])
def test_characters_of_repeated_lines(kind):
    rule, join = f"max_duplicate_{kind}_characters", "\n" if kind == "line" else "\n\n"
    repeated = "x" * 20
    kept = exactly(join.join([repeated, repeated, "other"]), 100)
    assert only(rule)(kept).text == kept  # 20 of 100
    assert only(rule)(kept[:-1]).examples[rule].startswith("0.202 > 0.2")


@pytest.mark.parametrize(("n", "threshold"), [(2, 0.20), (3, 0.18), (4, 0.16)])
def test_top_ngrams(n, threshold):
    ngram = " ".join(distinct(n))
    text = f"{ngram} one more {ngram} and {ngram} ends"
    length = round(3 * len(ngram) / threshold)
    assert abs(3 * len(ngram) / length - threshold) < 0.004
    rule = f"max_top_{n}_gram"
    above, below = length - 3, length + 3
    assert only(rule)(exactly(text, below)).text is not None
    assert only(rule)(exactly(text, above)).findings == {rule: 1}


@pytest.mark.parametrize(("n", "threshold"), [*zip(range(5, 11), (0.15, 0.14, 0.13, 0.12, 0.11, 0.10))])
def test_duplicate_ngrams(n, threshold):
    run = distinct(n)
    text = " ".join([*run, "between", *run])
    length = 4 * n / threshold
    rule = f"max_duplicate_{n}_grams"
    assert only(rule)(exactly(text, int(length) + 1)).text is not None
    assert only(rule)(exactly(text, int(length) - 1)).findings == {rule: 1}


def test_a_repeat_skips_its_words():
    """Nine times the same word hold five 5-grams; the first is new, the second skips the rest."""
    words = words_of("aa " * 9)
    assert ngram_characters(words.hashes, words.lengths)[5] == 10
    words = words_of("aa " * 16)
    assert ngram_characters(words.hashes, words.lengths)[5] == 30  # a third at word 11


def test_nothing_repeats_in_nothing():
    assert GopherRepetition()("") == ("", {}, {})
    text = " ".join(distinct(200))
    assert GopherRepetition()(text).text == text
    assert duplicates(["a", "b", "a", "a"]) == (2, 2)


def plain_figures(text):
    """The published code's loops on lists of strings, over the project's words."""
    words = [match.group() for match in re.finditer(r"\w+|(\S)\1*", text)]
    found = {}
    for n in (2, 3, 4):
        grams = [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]
        top = Counter(grams).most_common(1)
        found[f"max_top_{n}_gram"] = len(top[0][0]) * top[0][1] / len(text) if top else 0
    for n in range(5, 11):
        seen, characters, i = set(), 0, 0
        while i < len(words) - n + 1:
            gram = tuple(words[i : i + n])
            if gram in seen:
                characters += len("".join(gram))
                i += n
            else:
                seen.add(gram)
                i += 1
        found[f"max_duplicate_{n}_grams"] = characters / len(text)
    return found


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(["a", "bb", "ccc", "the", ".", "-"]), min_size=1, max_size=60), st.data())
def test_the_figures_are_those_of_plain_loops(parts, data):
    text = "".join(part + data.draw(st.sampled_from([" ", "\n", "\n\n"])) for part in parts)
    figures = dict(GopherRepetition().figures(text))
    for rule, share in plain_figures(text).items():
        assert figures[rule] == share
    lines = re.split("\n+", text)
    assert figures["max_duplicate_lines"] == (len(lines) - len(set(lines))) / len(lines)
