"""Gopher, C4 and FineWeb: every rule just inside and just outside its threshold, and against plain Python."""

import re
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minillama.data.rules.c4 import C4Quality, count_sentences
from minillama.data.rules.fineweb import FineWebQuality
from minillama.data.rules.gopher import GopherQuality
from minillama.data.rules.word_kernels import LETTER, WORD
from minillama.data.rules.words import character_classes, normal_words, word_hash, words_of

PROSE = "the house of wood and stone that we have built stands by the sea with all its doors open to the wind today"


def only(filter_, rule):
    """The filter with all other rules off."""
    off = {f.name: None for f in fields(filter_) if f.name.startswith(("min_", "max_")) and f.name != rule}
    return replace(filter_, **off)


def words(n, word="word"):
    return " ".join([word] * n)


@pytest.mark.parametrize(
    ("rule", "kept", "dropped", "figure"),
    [
        ("min_words", words(50), words(49) + " !!! ...", "49 < 50"),
        ("max_words", words(100_000) + " -", words(100_001), "100001 > 100000"),
        ("min_mean_word_length", "abc de wxyz ...... !", "abc de wxy !", "2.667 < 3"),
        ("max_mean_word_length", "a" * 10 + " " + "b" * 10, "a" * 10 + " " + "b" * 11, "10.5 > 10"),
        ("max_hashes_per_word", words(9) + " #", words(8) + " #", "0.1111 > 0.1"),
        ("max_ellipses_per_word", words(9) + " ...", words(8) + " …", "0.1111 > 0.1"),
        ("max_bullet_lines", "- a\n" * 9 + "b", "• a\n  - b\n" * 5, "1 > 0.9"),
        ("max_ellipsis_lines", "a...\n" * 3 + "b\n" * 7, "a… \n" * 4 + "b\n" * 6, "0.4 > 0.3"),
        ("min_words_with_letter", words(8) + " 1 .", words(7) + " 1 2", "0.7778 < 0.8"),
        ("min_stop_words", "the cat and the dog", "the cat, the dog, The End And", "1 < 2"),
    ],
)
def test_gopher_at_its_thresholds(rule, kept, dropped, figure):
    filter_ = only(GopherQuality(), rule)
    assert filter_(kept) == (kept, {}, {})
    decision = filter_(dropped)
    assert decision.text is None
    assert decision.findings == {rule: 1}
    assert decision.examples[rule].startswith(figure + ": ")


def test_gopher_names_all_rules_that_fail_and_none_can_be_on():
    assert set(GopherQuality()("# #").findings) == {
        "min_words",
        "max_hashes_per_word",
        "min_words_with_letter",
        "min_stop_words",
    }
    assert only(GopherQuality(), "nothing")("# #").text == "# #"
    assert GopherQuality()(PROSE + ".\n" + PROSE + ".\n" + PROSE + ".").text is not None
    assert set(GopherQuality()("").findings) == {"min_words", "min_stop_words"}


@pytest.mark.parametrize(
    ("rule", "kept", "dropped", "figure"),
    [
        ("min_terminal_lines", "a.\n" * 12 + "b\n" * 88, "a.\n" * 11 + "b\n" * 89, "0.11 < 0.12"),
        (
            "max_short_lines",
            ("x" * 30 + "\n") * 67 + ("x" * 31 + "\n") * 33,
            ("x" * 30 + "\n") * 68 + ("x" * 31 + "\n") * 32,
            "0.68 > 0.67",
        ),
        (
            "max_duplicate_line_characters",
            "a\n" + "b" * 98 + "\n\na\n",
            "a\n" + "b" * 97 + "\na\n",
            "0.0101 > 0.01",
        ),
        ("max_newlines_per_word", "a\n" * 3 + words(7), "a\n" * 3 + words(6), "0.3333 > 0.3"),
    ],
)
def test_fineweb_at_its_thresholds(rule, kept, dropped, figure):
    filter_ = only(FineWebQuality(), rule)
    assert filter_(kept).text == kept
    decision = filter_(dropped)
    assert (decision.text, decision.findings) == (None, {rule: 1})
    assert decision.examples[rule].startswith(figure + ": ")


def test_fineweb_looks_at_lines_that_are_not_empty():
    assert FineWebQuality()(" \n\n").findings == {"empty": 1}
    filter_ = only(FineWebQuality(), "min_terminal_lines")
    assert filter_("Here is a line.\n \n\n\n\n\n\n\n\n\n").text is not None
    assert filter_("你好。\nनमस्ते।").text is not None  # the ends of sentences of other scripts
    assert filter_('He said "no."').text is None  # a quotation mark ends none, as published


LONG = "This is a sentence of many words. "


@pytest.mark.parametrize(
    ("rule", "kept", "dropped"),
    [
        ("max_word_length", "x" * 1000 + " a b.", "x" * 1001 + " a b."),
        ("terminal_punctuation", "It is 'so'", "It is so"),
        ("terminal_punctuation", 'She said "no"', "And so on..."),
        ("min_line_words", "One two three.", "One two."),
        ("javascript", "We like Java scripts.", "Please enable JavaScript now."),
        ("policy", "Terms for the use.", "Read our Privacy Policy now."),
    ],
)
def test_c4_drops_lines(rule, kept, dropped):
    filter_ = C4Quality(min_sentences=None)
    decision = filter_(f"{LONG}\n{kept}\n\n  {dropped} \n{LONG}")
    assert decision.text == f"{LONG.strip()}\n{kept}\n{LONG.strip()}"
    assert decision.findings == {rule: 1}
    off = None if rule in ("max_word_length", "min_line_words") else False
    assert dropped in replace(filter_, **{rule: off})(f"{LONG}\n{dropped}").text


def test_c4_removes_citations():
    decision = C4Quality()(LONG * 4 + "It is so.[1][23] Yes.[edit] No.[citation needed] Not [x].[]")
    assert decision.text == LONG * 4 + "It is so. Yes. No. Not [x]."
    assert decision.findings == {"citations": 5}


@pytest.mark.parametrize(("rule", "part"), [("lorem_ipsum", "Lorem Ipsum dolor sit."), ("curly_bracket", "int f() {")])
def test_c4_drops_pages(rule, part):
    page = f"{LONG * 5}\n{part}\n"
    assert (C4Quality()(page).text, C4Quality()(page).findings) == (None, {rule: 1})
    assert C4Quality(**{rule: False})(page).text is not None
    # The published code looks at lines only that the rules before let pass.
    looks_later = C4Quality(page_rules_on_kept_lines=True)
    assert (looks_later(page).text is None) == part.endswith(".")
    assert looks_later(f"{LONG * 5}\nThere is {{ lorem ipsum in it.").text is None


def test_c4_counts_sentences_of_the_lines_it_keeps():
    five, four = LONG * 5, LONG * 4 + "\nno end here for this one"
    assert C4Quality()(five).text == five.strip()
    decision = C4Quality()(four)
    assert (decision.text, decision.findings) == (None, {"terminal_punctuation": 1, "min_sentences": 1})
    assert decision.examples["min_sentences"].startswith("4 < 5 sentences")
    assert C4Quality.original()(LONG * 3).text is not None
    assert C4Quality.original()(LONG * 2).text is None


def test_c4_thresholds_of_its_two_codes():
    page = LONG * 5 + "\nFour words in line.\nHe said 'it is so'\nNo end of a line here"
    assert C4Quality()(page).text.count("\n") == 2
    assert C4Quality.original()(page).text == (LONG * 5).strip()
    assert C4Quality.fineweb()(page).text.count("\n") == 3


def test_mc4_wants_long_lines():
    line = ("word " * 40).strip() + "."
    assert len(line) == 200
    filter_ = C4Quality(min_sentences=None, min_long_lines=3)
    assert filter_("\n".join([line] * 3)).text is not None
    assert filter_("\n".join([line, line, line[1:]])).findings == {"min_long_lines": 1}


@pytest.mark.parametrize(
    ("line", "n"),
    [
        ("", 0),
        ("One. Two! Three?", 3),
        ('He said "No." Then he left.', 2),
        ("Mr. Smith met Dr. Jones at 3.5 p.m. yesterday.", 1),
        ("J. R. Tolkien wrote it. It sold", 2),
        ("What?! Really... Yes.", 3),
        ("no end", 1),
        ("it costs 3.50 and v1.2.3 works", 1),
    ],
)
def test_sentences(line, n):
    assert count_sentences(line) == n


def test_c4_gives_nothing_for_nothing():
    assert C4Quality(min_sentences=None)("no end").text is None
    assert C4Quality()("").text is None


# --- words ---


def plain_words(text):
    """The definition as a regular expression."""
    table = character_classes()
    letters = "".join(re.escape(c) for c in sorted(set(text)) if table[ord(c)] & WORD)
    word = f"[{letters}]" if letters else r"(?!)"
    return [match.group() for match in re.finditer(rf"(?<={word})['’]{word}+|{word}+|([^\s])\1*", text)]


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("ab1é漢 \n.'’#-_!…\u0301"), max_size=40) | st.text(max_size=30))
def test_words_are_those_of_the_definition(text):
    expected = plain_words(text)
    # \s of `re` leaves out four control characters that str.isspace counts as spaces.
    expected = [word for word in expected if not word.isspace()]
    found = words_of(text)
    assert found.lengths.tolist() == [len(word) for word in expected]
    same = {}
    for word, hash_ in zip(expected, found.hashes.tolist()):
        assert same.setdefault(word, hash_) == hash_
    assert len(set(same.values())) == len(same)
    assert found.has_letter.tolist() == [any(c.isalpha() for c in word) for word in expected]


def test_words_of_english():
    found = words_of("Don't stop -- it's John's “well-known” café...")
    assert found.lengths.tolist() == [3, 2, 4, 2, 2, 2, 4, 2, 1, 4, 1, 5, 1, 4, 3]
    assert words_of("").hashes.shape == (0,)
    assert character_classes()[ord("é")] & LETTER
    assert word_hash("the") == words_of("by the sea").hashes[1]
    with pytest.raises(ValueError, match="one word"):
        word_hash("two words")


def test_hashes_are_the_same_everywhere():
    """Written down once: another number on another machine would split duplicates between machines."""
    assert words_of("the sea").hashes.tolist() == [17756113671273937911, 5170493936186876186]
    assert normal_words("Ünï 12,5!").tolist() == normal_words("uni 0").tolist()


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("Hello,   World!", "hello world"),
        ("Café déjà", "cafe deja"),
        ("in 1999 and 3.14", "in 0 and 0"),
        ("٣٫١٤ a1b22", "0 a0b0"),
        ("1,234,567", "0 0"),
        ("well-known (it's)", "well known it s"),
    ],
)
def test_normalisation(text, same):
    assert np.array_equal(normal_words(text), normal_words(same))
    assert not np.array_equal(normal_words(text), normal_words(same + " more"))
    digits = normal_words("in 1999", numbers_to_zero=False)
    assert not np.array_equal(digits, normal_words("in 2000", numbers_to_zero=False))
