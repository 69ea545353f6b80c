"""Encode with merges."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from ....tokenizers.bpe.merging import merge_symbols
from ....tokenizers.bpe.training import Pair
from ....tokenizers.bpe.training import merge_pair as package_merge_pair
from ...exercises.exercise import exercise
from .inputs import merge_first_only, plain_train_bpe, random_word


def plain_encode_with_merges(word: str, merges: list[Pair]) -> list[str]:
    """The symbols of a word: of all rules that fit the one learned first, the leftmost of equals."""
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    return merge_symbols(word, lambda left, right: ranks.get((left, right)))


def rule_by_rule(word, merges):
    symbols = list(word)
    for pair in merges:
        symbols = package_merge_pair(symbols, pair)
    return symbols


OTHER_HALVES = [("c", "d"), ("d", "e"), ("c", "de")]  # of cde: cd and e, which no rule merges


def make_encoding(rng: np.random.Generator, length: int, merges: int) -> tuple[Any, ...]:
    """A word and rules for which going through the rules once, in order, is right as well.

    Long words are such that the wrong ways differ, from the right one and from each other; with many rules two
    halves stand side by side whose text a rule makes of other halves.
    """
    letters, tries = "ab" if merges > 6 else "abc", 500 if length >= 12 and merges >= 8 else 1
    while True:
        rules = plain_train_bpe([random_word(rng, letters, 8) for _ in range(4)], [4, 3, 2, 1], merges)
        word = random_word(rng, letters, length)
        if length > 2:
            word = rules[-1][0][0] + word[1:-2] + "".join(rules[0])
        if length > 12 and merges > 8:
            word, rules = word[:3] + "cde" + word[6:], [*rules[:-3], *OTHER_HALVES]
        pieces = plain_encode_with_merges(word, rules)
        if rule_by_rule(word, rules) != pieces:
            continue
        tries -= 1
        if tries <= 0 or len({tuple(wrong(word, rules)) for wrong in (plain_encode_with_merges, *WRONG_WAYS)}) > 5:
            return word, rules


def greedy(symbols: str, merge_order) -> list[str]:
    """Merge whatever `merge_order` chooses among the fitting places until nothing fits."""
    out = list(symbols)
    while (at := merge_order(out)) is not None:
        out[at : at + 2] = [out[at] + out[at + 1]]
    return out


def leftmost_rule(word, merges):
    rules = set(merges)
    return greedy(word, lambda s: next((i for i in range(len(s) - 1) if (s[i], s[i + 1]) in rules), None))


def by_rank(word, merges, sign: int, side: int):
    ranks = {pair: rank for rank, pair in enumerate(merges)}

    def best(symbols):
        fits = [(sign * ranks[pair], side * i, i) for i, pair in enumerate(pairwise(symbols)) if pair in ranks]
        return min(fits)[2] if fits else None

    return greedy(word, best)


def longest_match(word, merges):
    pieces = {left + right for left, right in merges}
    out, i = [], 0
    while i < len(word):
        n = next((n for n in range(len(word) - i, 1, -1) if word[i : i + n] in pieces), 1)
        out.append(word[i : i + n])
        i += n
    return out


def each_rule_once(word, merges):
    symbols = list(word)
    for pair in merges:
        symbols = merge_first_only(symbols, pair)
    return symbols


def last_rule_first(word, merges):
    return by_rank(word, merges, -1, 1)


def rightmost_first(word, merges):
    return by_rank(word, merges, 1, -1)


WRONG_WAYS = (leftmost_rule, longest_match, last_rule_first, rightmost_first, each_rule_once)


def tokenizers_encode(word, merges):
    """The `tokenizers` library, all of the text as one word."""
    from tokenizers import Tokenizer, models

    pieces = dict.fromkeys([*"abcde", *(left + right for left, right in merges)])
    vocab = {piece: id_ for id_, piece in enumerate(pieces)}
    return Tokenizer(models.BPE(vocab=vocab, merges=merges)).encode(word).tokens


@exercise(
    title="Encode with merges",
    task="Cut a word into pieces: of all rules that fit, apply the one learned first, until none fits.",
    difficulty=2,
    minutes=15,
    same_as=plain_encode_with_merges,
    make=make_encoding,
    shapes=(
        {"length": 2, "merges": 1},
        {"length": 1, "merges": 2},
        {"length": 4, "merges": 3},
        {"length": 7, "merges": 5},
        {"length": 12, "merges": 8},
        {"length": 33, "merges": 12},
    ),
    exact=True,
    oracle=tokenizers_encode,
    hints=(
        "Start with single characters. A rule's place in the list is its rank; a low rank was learned early.",
        "In each round: which neighbours have a rule? The pair of the lowest rank merges, the leftmost if it occurs "
        "more than once. Without such a pair the word is done.",
        "ranks = {pair: rank for rank, pair in enumerate(merges)}\n"
        "fits = [(ranks[p], i) for i, p in enumerate(zip(s, s[1:])) if p in ranks]\n"
        "if not fits: return s\n"
        "i = min(fits)[1]; s[i : i + 2] = [s[i] + s[i + 1]]      # in a loop",
    ),
    why=(
        "A new word must be cut as training would have cut it, and there an earlier rule had done its work before a "
        "later one was known. The smallest (rank, place) says both at once: the earliest rule, and of its places the "
        "leftmost. Every merge makes new neighbours, so all pairs are looked at again after it."
    ),
)
def encode_with_merges(word, merges):
    """Cut a word into pieces with the rules that training has found.

    Start with single characters. Of all rules that fit somewhere apply the one that was learned
    first, at the leftmost place it fits; again and again, until no rule fits.

    Parameters
    ----------
    word : str
    merges : list of (str, str)
        In the order in which they were learned.

    Returns
    -------
    list of str
        The pieces; put together they are the word.
    """
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    symbols = list(word)
    while True:
        fits = [(ranks[pair], i) for i, pair in enumerate(pairwise(symbols)) if pair in ranks]
        if not fits:
            return symbols
        i = min(fits)[1]
        symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]


@encode_with_merges.mistake(
    "Your function merges the first pair from the left that has any rule.",
    "Order matters: look at all pairs first and take the one whose rule was learned first. Otherwise the "
    "model sees pieces it was never trained on.",
)
def merges_first_pair_from_left(word, merges):
    return leftmost_rule(word, merges)


@encode_with_merges.mistake(
    "Your function cuts off the longest known piece from the left.",
    "That is WordPiece's way (BERT). Byte-pair encoding does not look for long pieces, it repeats the merges "
    "of training in their order.",
)
def cuts_off_longest_known_piece_from_left(word, merges):
    return longest_match(word, merges)


@encode_with_merges.mistake(
    "Your function prefers the rule that was learned last.",
    "Low rank first: training has made the frequent short pieces before the long ones.",
)
def prefers_rule_that_was_learned_last(word, merges):
    return last_rule_first(word, merges)


@encode_with_merges.mistake(
    "Your function takes the rightmost of several occurrences of a pair.",
    "With (a, a) and a a a the two readings differ: aa a is right, a aa is not.",
)
def takes_rightmost_of_several_occurrences(word, merges):
    return rightmost_first(word, merges)


@encode_with_merges.mistake(
    "Your function applies every rule only once.",
    "A pair may occur several times in a word: merge all its occurrences before the next rule.",
)
def applies_every_rule_only_once(word, merges):
    return each_rule_once(word, merges)


@encode_with_merges.mistake(
    "Your function looks a rule up by the text that it makes, not by its two halves.",
    "The rule (c, de) says nothing of cd and e, though their text is the same: the key is the pair.",
)
def looks_rules_up_by_their_text(word, merges):
    ranks: dict[str, int] = {}
    for rank, (left, right) in enumerate(merges):
        ranks.setdefault(left + right, rank)

    def best(symbols):
        fits = [(ranks[a + b], i) for i, (a, b) in enumerate(pairwise(symbols)) if a + b in ranks]
        return min(fits)[1] if fits else None

    return greedy(word, best)
