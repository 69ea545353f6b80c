"""Chapter 02, the tokenizer: train merges, encode with them, fall back to bytes, decode a stream of bytes."""

from __future__ import annotations

import codecs
import re
from itertools import pairwise
from typing import Any

import numpy as np

from ...tokenizers.bpe.base import TokenType
from ...tokenizers.bpe.byte_level import BYTE_TO_CHARACTER, PRINTABLE
from ...tokenizers.bpe.merging import merge_symbols
from ...tokenizers.bpe.sentencepiece import SPACE, Piece, SentencePieceBPE
from ...tokenizers.bpe.training import Pair, merge_pair
from ...tokenizers.bpe.utf8 import unfinished_bytes
from ..exercise import Exercise, Function, Mistake

UNKNOWN_CHARACTERS = ("é", "世", "🙂", "\n", "ß")


def _random_word(rng: np.random.Generator, letters: str, length: int) -> str:
    return "".join(rng.choice(list(letters), length).tolist())


# --- count_bpe_pairs -------------------------------------------------------------------------


def count_bpe_pairs(words: list[list[str]], counts: list[int]) -> dict[Pair, int]:
    """How often every two neighbours occur, each word as often as its count."""
    found: dict[Pair, int] = {}
    for word, count in zip(words, counts):
        for pair in pairwise(word):
            found[pair] = found.get(pair, 0) + count
    return found


def _make_pairs(rng: np.random.Generator, words: int, length: int) -> tuple[Any, ...]:
    """Words of two letters and one longer symbol, some of a single symbol, one with a run."""
    if length < 2:
        raise ValueError("a word of one symbol has no pairs")
    symbols = ["a", "b", "ab"]
    lengths = [length, *rng.integers(1, length + 1, words - 1).tolist()]
    drawn = [rng.choice(symbols, n).tolist() for n in lengths]
    if length > 2:
        drawn[0][:3] = ["a", "a", "a"]
    return drawn, rng.integers(2, 9, words).tolist()


def _pairs_once_a_word(words, counts):
    found: dict[Pair, int] = {}
    for word, count in zip(words, counts):
        for pair in set(pairwise(word)):
            found[pair] = found.get(pair, 0) + count
    return found


def _pairs_without_overlap(words, counts):
    found: dict[Pair, int] = {}
    for word, count in zip(words, counts):
        for pair in zip(word[::2], word[1::2]):
            found[pair] = found.get(pair, 0) + count
    return found


def _pairs_unordered(words, counts):
    found: dict[Pair, int] = {}
    for (left, right), count in count_bpe_pairs(words, counts).items():
        pair = min(left, right), max(left, right)
        found[pair] = found.get(pair, 0) + count
    return found


def _pairs_over_borders(words, counts):
    found = count_bpe_pairs(words, counts)
    for one, other, count in zip(words, words[1:], counts):
        pair = one[-1], other[0]
        found[pair] = found.get(pair, 0) + count
    return found


def _pairs_overwritten(words, counts):
    return {pair: count for word, count in zip(words, counts) for pair in pairwise(word)}


COUNT_PAIRS = Exercise(
    id="count_bpe_pairs",
    chapter="02",
    title="Count the pairs",
    task="Count how often every two neighbouring symbols occur, each word as often as its count says.",
    difficulty=1,
    minutes=8,
    reference=count_bpe_pairs,
    make=_make_pairs,
    shapes=(
        {"words": 1, "length": 2},
        {"words": 1, "length": 3},
        {"words": 2, "length": 4},
        {"words": 4, "length": 5},
        {"words": 9, "length": 7},
    ),
    exact=True,
    hints=(
        "Training looks at each different word once and multiplies: a pair in a word that occurs 7 times in the text "
        "occurs 7 times as well.",
        "zip(word, word[1:]) gives all neighbours of one word as pairs, and none that cross into the next word.",
        "for word, count in zip(words, counts):\n"
        "    for pair in zip(word, word[1:]):\n"
        "        found[pair] = found.get(pair, 0) + count",
    ),
    mistakes=(
        Mistake(
            "Your function counts every word once.",
            "counts[i] says how often word i occurs in the text: add that number, not 1.",
            lambda words, counts: count_bpe_pairs(words, [1] * len(counts)),
        ),
        Mistake(
            "Your function counts a pair only once in a word, however often it occurs there.",
            "A word such as b a n a n a has the pair (a, n) twice: go through the neighbours themselves, not through "
            "a set of them.",
            _pairs_once_a_word,
        ),
        Mistake(
            "Your function takes steps of two symbols, so that it misses every second pair.",
            "Each symbol belongs to two pairs, one with each neighbour: (0, 1), (1, 2), (2, 3) and so on.",
            _pairs_without_overlap,
        ),
        Mistake(
            "Your function counts (a, b) and (b, a) as the same pair.",
            "A merge joins left to right: 'a b' becomes 'ab' and 'b a' becomes 'ba'. Keep the order.",
            _pairs_unordered,
        ),
        Mistake(
            "Your function counts the pairs across the border of two words.",
            "Words stand in a list in no order of the text; a token never crosses from one into the next.",
            _pairs_over_borders,
        ),
        Mistake(
            "Your function forgets what it has counted when a pair comes again.",
            "Add to the number that is there: found[pair] = found.get(pair, 0) + count.",
            _pairs_overwritten,
        ),
    ),
)

# --- merge_pair ------------------------------------------------------------------------------


def _make_symbols(rng: np.random.Generator, length: int, alphabet: int) -> tuple[Any, ...]:
    """One letter: runs, where merges overlap. Four symbols: ends and beginnings that look like the pair."""
    if length < 2 or alphabet > 4:
        raise ValueError("at least 2 symbols, at most 4 different ones")
    symbols = rng.choice(["a", "b", "ba", "bb"][:alphabet], length).tolist()
    pair = ("a", "a") if alphabet == 1 else ("b", "ba") if alphabet == 4 else ("a", "b")
    if alphabet == 4 and length > 3:
        symbols[:2] = ["bb", "a"]  # reads like the pair, but is not
    at = int(rng.integers(2 if length > 3 else 0, length - 1))
    symbols[at : at + 2] = pair
    return symbols, pair


def _merge_overlapping(symbols, pair):
    out, joined = [], False
    for i, symbol in enumerate(symbols):
        fits = tuple(symbols[i : i + 2]) == pair
        if fits:
            out.append(pair[0] + pair[1])
        elif not joined:
            out.append(symbol)
        joined = fits
    return out


def _merge_first_only(symbols, pair):
    for i in range(len(symbols) - 1):
        if tuple(symbols[i : i + 2]) == pair:
            return [*symbols[:i], pair[0] + pair[1], *symbols[i + 2 :]]
    return list(symbols)


def _merge_from_right(symbols, pair):
    out, i = [], len(symbols)
    while i > 0:
        if i > 1 and tuple(symbols[i - 2 : i]) == pair:
            out.append(pair[0] + pair[1])
            i -= 2
        else:
            out.append(symbols[i - 1])
            i -= 1
    return out[::-1]


def _merge_either_order(symbols, pair):
    out, i = [], 0
    while i < len(symbols):
        if tuple(symbols[i : i + 2]) in (pair, pair[::-1]):
            out.append(symbols[i] + symbols[i + 1])
            i += 2
        else:
            out.append(symbols[i])
            i += 1
    return out


def _merge_text(symbols, pair):
    return " ".join(symbols).replace(" ".join(pair), "".join(pair)).split(" ")


def _merge_keeps_right(symbols, pair):
    """Joins, but does not step over the right symbol."""
    out = []
    for i, symbol in enumerate(symbols):
        out.append(pair[0] + pair[1] if tuple(symbols[i : i + 2]) == pair else symbol)
    return out


MERGE_PAIR = Exercise(
    id="merge_pair",
    chapter="02",
    title="Merge one pair",
    task="Replace every occurrence of a pair by one symbol, from left to right.",
    difficulty=1,
    minutes=8,
    reference=merge_pair,
    make=_make_symbols,
    shapes=(
        {"length": 2, "alphabet": 1},
        {"length": 3, "alphabet": 1},
        {"length": 4, "alphabet": 2},
        {"length": 7, "alphabet": 1},
        {"length": 15, "alphabet": 2},
        {"length": 30, "alphabet": 4},
    ),
    exact=True,
    hints=(
        "Walk through the symbols with an index. Where the pair begins, both symbols are used up, otherwise one is.",
        "What must (a, a) make of a a a? The first two merge, the third has no partner left: aa a.",
        "if tuple(symbols[i : i + 2]) == pair:\n"
        "    out.append(pair[0] + pair[1]); i += 2\n"
        "else:\n"
        "    out.append(symbols[i]); i += 1",
    ),
    mistakes=(
        Mistake(
            "Your function uses a symbol for two merges: a a a becomes aa aa.",
            "A symbol that has merged is gone. Step over both symbols of a pair.",
            _merge_overlapping,
        ),
        Mistake(
            "Your function merges only the first occurrence of the pair.",
            "Go on behind it until the end of the list.",
            _merge_first_only,
        ),
        Mistake(
            "Your function goes from right to left: a a a becomes a aa.",
            "Where occurrences overlap the leftmost one counts: aa a. Encoders go from the left, and so must training.",
            _merge_from_right,
        ),
        Mistake(
            "Your function also merges the pair in the other order.",
            "'b a' is not 'a b': compare left with left and right with right.",
            _merge_either_order,
        ),
        Mistake(
            "Your function searches in a text of joined symbols: 'ba b' counts as 'a b' for it.",
            "A symbol must be equal to the pair's, not end or begin like it. Compare the elements of the list.",
            _merge_text,
        ),
        Mistake(
            "Your function leaves the right symbol of the pair standing behind the merged one.",
            "The merged symbol stands for both: step two on.",
            _merge_keeps_right,
        ),
    ),
)

# --- train_bpe -------------------------------------------------------------------------------


def _train(words, counts, n_merges, *, count=count_bpe_pairs, merge=merge_pair, best=None) -> list[Pair]:
    """The loop of training, with parts that the mistakes exchange."""
    symbols: list[list[str]] = [list(word) for word in words]
    merges: list[Pair] = []
    while len(merges) < n_merges:
        found = count(symbols, counts)
        if not found:
            break
        pair = best(found) if best else max(found, key=found.get)
        merges.append(pair)
        symbols = [merge(word, pair) for word in symbols]
    return merges


def train_bpe(words: list[str], counts: list[int], n_merges: int) -> list[Pair]:
    """The merge rules, the most frequent pair first; of equals the one that occurs first."""
    return _train(words, counts, n_merges)


def _make_training(rng: np.random.Generator, words: int, length: int, merges: int) -> tuple[Any, ...]:
    if length < 2:
        raise ValueError("words of one letter have no pairs")
    lengths = [length, *rng.integers(2, length + 1, words - 1).tolist()]
    drawn = [_random_word(rng, "abc", n) for n in lengths]
    counts = rng.integers(1, 6, words)
    if merges > words * length:
        counts[:] = 1  # as many merges as there can be: a pair that occurs once is merged, too
    return drawn, counts.tolist(), merges


def _train_top(words, counts, n_merges):
    found = count_bpe_pairs([list(word) for word in words], counts)
    return sorted(found, key=lambda pair: -found[pair])[:n_merges]


def _last_of_equals(found: dict[Pair, int]) -> Pair:
    return max(reversed(found), key=found.get)  # type: ignore[arg-type]


def _as_pairs(function: Function, args: tuple[Any, ...]) -> Any:
    """Rules as tuples, whatever they came as."""
    result = function(*args)
    if isinstance(result, list | tuple) and all(isinstance(pair, list | tuple) for pair in result):
        return [tuple(pair) for pair in result]
    return result


TRAIN_BPE = Exercise(
    id="train_bpe",
    chapter="02",
    title="Train the merges",
    task="Learn merge rules: again and again the most frequent pair becomes a new symbol.",
    difficulty=2,
    minutes=15,
    reference=train_bpe,
    make=_make_training,
    shapes=(
        {"words": 1, "length": 3, "merges": 1},
        {"words": 1, "length": 4, "merges": 9},
        {"words": 2, "length": 3, "merges": 2},
        {"words": 3, "length": 5, "merges": 4},
        {"words": 6, "length": 6, "merges": 7},
        {"words": 15, "length": 9, "merges": 20},
    ),
    exact=True,
    observe=_as_pairs,
    hints=(
        "Three steps in a loop: count the pairs of all words, choose the most frequent one, merge it in all words.",
        "A dict keeps the order in which keys came in, and max() returns the first of equals: "
        "max(found, key=found.get) is the rule for ties. When there is no pair left, stop.",
        "symbols = [list(word) for word in words]\n"
        "for _ in range(n_merges):\n"
        "    found = count_bpe_pairs(symbols, counts)\n"
        "    if not found: break\n"
        "    pair = max(found, key=found.get); merges.append(pair)\n"
        "    symbols = [merge_pair(word, pair) for word in symbols]",
    ),
    mistakes=(
        Mistake(
            "Your function counts the pairs once and returns the most frequent ones.",
            "Each merge changes the counts: its symbols are gone from other pairs, and pairs with the new symbol "
            "appear. Count again after every merge.",
            _train_top,
        ),
        Mistake(
            "Your function counts every word once.",
            "A pair in a frequent word is worth more: add the count of the word.",
            lambda words, counts, n: train_bpe(words, [1] * len(words), n),
        ),
        Mistake(
            "Your function takes the last of equally frequent pairs.",
            "The first one counts. max(found, key=found.get) gives it; `>=` in a loop of your own, or a sort that is "
            "turned round, gives the last.",
            lambda words, counts, n: _train(words, counts, n, best=_last_of_equals),
        ),
        Mistake(
            "Your function breaks ties by the alphabet.",
            "Of equally frequent pairs the one that occurs first in the words counts, which is the order of the dict.",
            lambda words, counts, n: _train(words, counts, n, best=lambda f: min(f, key=lambda p: (-f[p], p))),
        ),
        Mistake(
            "Your function counts the pairs across the border of two words.",
            "Keep every word a list of its own; nothing merges from one into the next.",
            lambda words, counts, n: _train(words, counts, n, count=_pairs_over_borders),
        ),
        Mistake(
            "Your function merges only the first occurrence in each word.",
            "After a merge the pair must not be left anywhere: replace all its occurrences.",
            lambda words, counts, n: _train(words, counts, n, merge=_merge_first_only),
        ),
    ),
)

# --- encode_with_merges ----------------------------------------------------------------------


def encode_with_merges(word: str, merges: list[Pair]) -> list[str]:
    """The symbols of a word: of all rules that fit the one learned first, the leftmost of equals."""
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    return merge_symbols(word, lambda left, right: ranks.get((left, right)))


def _rule_by_rule(word, merges):
    symbols = list(word)
    for pair in merges:
        symbols = merge_pair(symbols, pair)
    return symbols


def _make_encoding(rng: np.random.Generator, length: int, merges: int) -> tuple[Any, ...]:
    """A word and rules for which going through the rules once, in order, is right as well.

    Long words are such that the wrong ways differ, from the right one and from each other.
    """
    letters, tries = "ab" if merges > 6 else "abc", 500 if length >= 12 and merges >= 8 else 1
    while True:
        rules = train_bpe([_random_word(rng, letters, 8) for _ in range(4)], [4, 3, 2, 1], merges)
        word = _random_word(rng, letters, length)
        if length > 2:
            word = rules[-1][0][0] + word[1:-2] + "".join(rules[0])
        pieces = encode_with_merges(word, rules)
        if _rule_by_rule(word, rules) != pieces:
            continue
        tries -= 1
        if tries <= 0 or len({tuple(wrong(word, rules)) for wrong in (encode_with_merges, *_WRONG_WAYS)}) > 5:
            return word, rules


def _greedy(symbols: str, merge_order) -> list[str]:
    """Merge whatever `merge_order` chooses among the fitting places until nothing fits."""
    out = list(symbols)
    while (at := merge_order(out)) is not None:
        out[at : at + 2] = [out[at] + out[at + 1]]
    return out


def _leftmost_rule(word, merges):
    rules = set(merges)
    return _greedy(word, lambda s: next((i for i in range(len(s) - 1) if (s[i], s[i + 1]) in rules), None))


def _by_rank(word, merges, sign: int, side: int):
    ranks = {pair: rank for rank, pair in enumerate(merges)}

    def best(symbols):
        fits = [(sign * ranks[pair], side * i, i) for i, pair in enumerate(pairwise(symbols)) if pair in ranks]
        return min(fits)[2] if fits else None

    return _greedy(word, best)


def _longest_match(word, merges):
    pieces = {left + right for left, right in merges}
    out, i = [], 0
    while i < len(word):
        n = next((n for n in range(len(word) - i, 1, -1) if word[i : i + n] in pieces), 1)
        out.append(word[i : i + n])
        i += n
    return out


def _each_rule_once(word, merges):
    symbols = list(word)
    for pair in merges:
        symbols = _merge_first_only(symbols, pair)
    return symbols


def _last_rule_first(word, merges):
    return _by_rank(word, merges, -1, 1)


def _rightmost_first(word, merges):
    return _by_rank(word, merges, 1, -1)


_WRONG_WAYS = (_leftmost_rule, _longest_match, _last_rule_first, _rightmost_first, _each_rule_once)


def _tokenizers_encode(word, merges):
    """The `tokenizers` library, all of the text as one word."""
    from tokenizers import Tokenizer, models

    pieces = dict.fromkeys([*"abc", *(left + right for left, right in merges)])
    vocab = {piece: id_ for id_, piece in enumerate(pieces)}
    return Tokenizer(models.BPE(vocab=vocab, merges=merges)).encode(word).tokens


ENCODE = Exercise(
    id="encode_with_merges",
    chapter="02",
    title="Encode with merges",
    task="Cut a word into pieces: of all rules that fit, apply the one learned first, until none fits.",
    difficulty=2,
    minutes=15,
    reference=encode_with_merges,
    make=_make_encoding,
    shapes=(
        {"length": 2, "merges": 1},
        {"length": 1, "merges": 2},
        {"length": 4, "merges": 3},
        {"length": 7, "merges": 5},
        {"length": 12, "merges": 8},
        {"length": 33, "merges": 12},
    ),
    exact=True,
    oracle=_tokenizers_encode,
    hints=(
        "Start with single characters. A rule's place in the list is its rank; a low rank was learned early.",
        "In each round: which neighbours have a rule? The pair of the lowest rank merges, the leftmost if it occurs "
        "more than once. Without such a pair the word is done.",
        "ranks = {pair: rank for rank, pair in enumerate(merges)}\n"
        "fits = [(ranks[p], i) for i, p in enumerate(zip(s, s[1:])) if p in ranks]\n"
        "if not fits: return s\n"
        "i = min(fits)[1]; s[i : i + 2] = [s[i] + s[i + 1]]      # in a loop",
    ),
    mistakes=(
        Mistake(
            "Your function merges the first pair from the left that has any rule.",
            "Order matters: look at all pairs first and take the one whose rule was learned first. Otherwise the model "
            "sees pieces it was never trained on.",
            _leftmost_rule,
        ),
        Mistake(
            "Your function cuts off the longest known piece from the left.",
            "That is WordPiece's way (BERT). Byte-pair encoding does not look for long pieces, it repeats the merges "
            "of training in their order.",
            _longest_match,
        ),
        Mistake(
            "Your function prefers the rule that was learned last.",
            "Low rank first: training has made the frequent short pieces before the long ones.",
            _last_rule_first,
        ),
        Mistake(
            "Your function takes the rightmost of several occurrences of a pair.",
            "With (a, a) and a a a the two readings differ: aa a is right, a aa is not.",
            _rightmost_first,
        ),
        Mistake(
            "Your function applies every rule only once.",
            "A pair may occur several times in a word: merge all its occurrences before the next rule.",
            _each_rule_once,
        ),
    ),
)

# --- split_digits ----------------------------------------------------------------------------


def split_digits(text: str) -> list[str]:
    """Every digit by itself, everything between digits in one part."""
    return re.findall(r"\d|\D+", text)


def _make_text_with_digits(rng: np.random.Generator, length: int) -> tuple[Any, ...]:
    """Letters, spaces and runs of digits, Arabic ones among them; the first character is a digit."""
    kinds = rng.choice(["digit", "digit", "digit", "letter", "space"], length).tolist()
    draw = {"digit": "0123456789٣٧", "letter": "abxé", "space": " "}
    text = "".join(str(rng.choice(list(draw[kind]))) for kind in kinds)
    return (("42" + text)[:length] if length > 2 else text,)


def _tokenizers_digits(text):
    from tokenizers import pre_tokenizers

    return [part for part, _ in pre_tokenizers.Digits(individual_digits=True).pre_tokenize_str(text)]


SPLIT_DIGITS = Exercise(
    id="split_digits",
    chapter="02",
    title="Digits stand alone",
    task="Cut a text so that every digit is a part of its own and what lies between stays whole.",
    difficulty=1,
    minutes=5,
    reference=split_digits,
    make=_make_text_with_digits,
    shapes=({"length": 3}, {"length": 1}, {"length": 2}, {"length": 6}, {"length": 15}, {"length": 60}),
    exact=True,
    oracle=_tokenizers_digits,
    hints=(
        "The parts, put together, must be the text again: nothing is lost and nothing is empty.",
        "re.findall with two alternatives: one digit, or as many characters as possible that are none.",
        r're.findall(r"\d|\D+", text)',
    ),
    mistakes=(
        Mistake(
            "Your function keeps numbers whole: 42 is one part.",
            "LLaMA sees 4 and 2, so that every number is made of the same ten tokens: one digit at a time.",
            lambda text: re.findall(r"\d+|\D+", text),
        ),
        Mistake(
            "Your function throws the digits away.",
            "They are separated, not separators: re.split drops what it splits at.",
            lambda text: [part for part in re.split(r"\d", text) if part],
        ),
        Mistake(
            "Your function returns empty parts where two digits meet.",
            "re.split with a group gives an empty text between neighbouring digits, and at both ends: leave these out.",
            lambda text: re.split(r"(\d)", text),
        ),
        Mistake(
            "Your function takes up to three digits together.",
            "That is LLaMA 3's rule. LLaMA 2 and SmolLM2 set every single digit apart.",
            lambda text: re.findall(r"\d{1,3}|\D+", text),
        ),
        Mistake(
            "Your function cuts between all characters.",
            "Only digits stand alone; a word between them stays in one part.",
            lambda text: list(text),
        ),
        Mistake(
            "Your function knows the digits 0 to 9 only.",
            r"Other scripts have digits as well (٣ is a three): str.isdigit and \d know them, [0-9] does not.",
            lambda text: re.findall(r"[0-9]|[^0-9]+", text),
        ),
    ),
)

# --- byte_fallback_ids -----------------------------------------------------------------------


def byte_fallback_ids(symbols: list[str], ids: dict[str, int]) -> list[int]:
    """The id of every symbol; one id for each UTF-8 byte of a symbol that is not in the vocabulary."""
    out = []
    for symbol in symbols:
        if symbol in ids:
            out.append(ids[symbol])
        else:
            out += [ids[f"<0x{byte:02X}>"] for byte in symbol.encode("utf-8")]
    return out


def _make_symbols_and_ids(rng: np.random.Generator, length: int) -> tuple[Any, ...]:
    """LLaMA's order: unknown, begin, end, 256 bytes, pieces. At least one symbol is unknown."""
    known = ["▁", "a", "the", "▁the", "ing", "."]
    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *known]
    symbols = rng.choice([*known, *UNKNOWN_CHARACTERS], length).tolist()
    symbols[int(rng.integers(0, length))] = "世" if length > 1 else "é"
    return symbols, {name: id_ for id_, name in enumerate(names)}


def _fallback(to_ids):
    """A byte fallback that does with an unknown symbol what `to_ids` says."""
    return lambda symbols, ids: [id_ for s in symbols for id_ in ([ids[s]] if s in ids else to_ids(s, ids))]


BYTE_FALLBACK = Exercise(
    id="byte_fallback_ids",
    chapter="02",
    title="Byte fallback",
    task="Turn symbols into ids; a symbol that the vocabulary does not have becomes its UTF-8 bytes.",
    difficulty=1,
    minutes=8,
    reference=byte_fallback_ids,
    make=_make_symbols_and_ids,
    shapes=({"length": 1}, {"length": 2}, {"length": 3}, {"length": 8}, {"length": 40}),
    exact=True,
    hints=(
        "Nothing is ever unknown: every text is bytes, and the vocabulary has a piece for each of the 256.",
        'symbol.encode("utf-8") gives the bytes; iterating over them gives numbers from 0 to 255. The pieces are '
        "spelled <0x00> to <0xFF>, in capitals.",
        'if symbol in ids: out.append(ids[symbol])\nelse: out += [ids[f"<0x{b:02X}>"] for b in symbol.encode()]',
    ),
    mistakes=(
        Mistake(
            "Your function writes the unknown token.",
            "Then the text cannot be read back. Byte fallback exists so that <unk> is never needed.",
            _fallback(lambda s, ids: [ids["<unk>"]]),
        ),
        Mistake(
            "Your function takes the number of the byte as the id.",
            "The first three ids are <unk>, <s> and </s>: the piece <0x00> has id 3. Look the name up in ids.",
            _fallback(lambda s, ids: list(s.encode())),
        ),
        Mistake(
            "Your function writes the first byte of a character and loses the others.",
            "A character outside ASCII has two to four bytes, and each of them needs a token.",
            _fallback(lambda s, ids: [3 + s.encode()[0]]),
        ),
        Mistake(
            "Your function writes the bytes in reverse order.",
            "UTF-8 has one order, leading byte first; no machine's byte order plays a part.",
            _fallback(lambda s, ids: [3 + byte for byte in reversed(s.encode())]),
        ),
        Mistake(
            "Your function writes the bytes of the code point, not of its UTF-8 form.",
            "ord('é') is 0xE9, but UTF-8 writes é as 0xC3 0xA9: use str.encode.",
            _fallback(lambda s, ids: [3 + byte for byte in ord(s[0]).to_bytes(3, "big").lstrip(b"\0")]),
        ),
        Mistake(
            "Your function leaves unknown symbols out.",
            "They have to survive encoding and decoding: as one token for each byte.",
            _fallback(lambda s, ids: []),
        ),
    ),
)

# --- byte_characters_of ----------------------------------------------------------------------


def byte_characters_of(word: str) -> str:
    """One visible character for each UTF-8 byte (GPT-2's table)."""
    return word.encode("utf-8").decode("latin-1").translate(BYTE_TO_CHARACTER)


def _make_word(rng: np.random.Generator, length: int) -> tuple[Any, ...]:
    letters = ["a", "!", "é", "ß", " ", " ", "\n", "世", "🙂", "\x7f", "\xa0", "\xad", "ñ", "í"]
    drawn = rng.choice(letters, length).tolist()
    drawn[0] = " " if length > 1 else "é"
    return ("".join(drawn),)


def _byte_level_library(word):
    from tokenizers import pre_tokenizers

    parts = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(word)
    return "".join(part for part, _ in parts)


BYTE_CHARACTERS = Exercise(
    id="byte_characters_of",
    chapter="02",
    title="Bytes as visible characters",
    task="Write every byte of a word as the visible character that GPT-2's table has for it.",
    difficulty=2,
    minutes=15,
    reference=byte_characters_of,
    make=_make_word,
    shapes=({"length": 1}, {"length": 2}, {"length": 3}, {"length": 7}, {"length": 20}, {"length": 80}),
    exact=True,
    oracle=_byte_level_library,
    hints=(
        "The bytes 33-126, 161-172 and 174-255 are visible characters of Latin-1 and stand for themselves. There are "
        "68 others.",
        "The others get U+0100, U+0101, U+0102 ... in the order of their bytes: 0 to 32 first, then 127 to 160, "
        "then 173. A space, byte 32, is the 33rd of them: U+0120, Ġ.",
        "visible = [*range(33, 127), *range(161, 173), *range(174, 256)]\n"
        "others = [b for b in range(256) if b not in visible]\n"
        "one byte: chr(b) if b in visible else chr(256 + others.index(b))",
    ),
    mistakes=(
        Mistake(
            "Your function leaves every byte as the Latin-1 character of that number.",
            "Spaces, line breaks and control characters would be invisible in the vocabulary: the 68 bytes that show "
            "nothing get characters from U+0100 on.",
            lambda word: word.encode().decode("latin-1"),
        ),
        Mistake(
            "Your function adds 256 to the number of an invisible byte.",
            "That is right for the bytes 0 to 32 only. Count the invisible bytes: 127 is the 34th, so it is U+0121.",
            lambda word: "".join(chr(b if b in PRINTABLE else 256 + b) for b in word.encode()),
        ),
        Mistake(
            "Your function replaces the characters of the word, not its bytes.",
            "é is two bytes, so it becomes two characters: encode the word first.",
            lambda word: word.translate(dict(enumerate(BYTE_TO_CHARACTER))),
        ),
        Mistake(
            "Your function changes the spaces and nothing else.",
            "Ġ is one entry of a table for all bytes; é becomes Ã© by the same table.",
            lambda word: word.replace(" ", "Ġ"),
        ),
        Mistake(
            "Your function moves every byte up by 256.",
            "Visible bytes stay as they are, so that English words can be read in the vocabulary.",
            lambda word: "".join(chr(256 + b) for b in word.encode()),
        ),
        Mistake(
            "Your function takes the byte 173 for a visible one.",
            "173 is the soft hyphen, which shows nothing: the second range ends at 172.",
            lambda word: byte_characters_of(word).replace(BYTE_TO_CHARACTER[173], "\xad"),
        ),
    ),
)

# --- sentencepiece_encode --------------------------------------------------------------------


def _sentencepiece(scores: dict[str, float]) -> SentencePieceBPE:
    pieces = [
        Piece("<unk>", 0.0, TokenType.UNKNOWN),
        Piece("<s>", 0.0, TokenType.CONTROL),
        Piece("</s>", 0.0, TokenType.CONTROL),
        *(Piece(f"<0x{byte:02X}>", 0.0, TokenType.BYTE) for byte in range(256)),
        *(Piece(text, score) for text, score in scores.items()),
    ]
    return SentencePieceBPE(pieces, bos_id=1, eos_id=2)


def sentencepiece_encode(text: str, scores: dict[str, float]) -> list[str]:
    """The pieces of a text as LLaMA's tokenizer cuts it."""
    tokenizer = _sentencepiece(scores)
    return [tokenizer.token_text(id_) for id_ in tokenizer.encode(text, bos=False)]


def _make_sentence(rng: np.random.Generator, words: int, length: int, pieces: int) -> tuple[Any, ...]:
    """Scores from a small training, and a text with unknown characters and double spaces in it."""
    telling = words >= 5 and length >= 5 and pieces >= 10
    for _ in range(200):
        text, scores = _draw_sentence(rng, words, length, pieces)
        if not telling or _longest_pieces(text, scores) != _by_score(_escaped(text), scores):
            return text, scores
    raise ValueError("no text of these sizes tells the mistakes apart")


def _draw_sentence(rng, words, length, pieces):
    drawn = [SPACE + _random_word(rng, "abc", int(n)) for n in rng.integers(1, length + 3, 12)]
    merges = train_bpe(drawn, rng.integers(1, 9, len(drawn)).tolist(), pieces)
    found = dict.fromkeys([left + right for left, right in merges] + [SPACE, "a", "b", "c"])
    scores = {piece: -1.0 - n for n, piece in enumerate(found)}
    text = ""
    for n in range(words):
        text += _random_word(rng, "abc", int(rng.integers(1, length + 1)))
        text += str(rng.choice(UNKNOWN_CHARACTERS)) if n % 3 == 2 else ""
        text += "  " if n % 4 == 3 else " " if n < words - 1 else ""
    return text, scores


def _by_score(text: str, scores: dict[str, float], sign: int = 1) -> list[str]:
    """Characters merged by the score of what they make, then bytes."""
    values = {piece: -sign * score for piece, score in scores.items()}
    return _with_bytes(merge_symbols(text, lambda left, right: values.get(left + right)), scores)


def _with_bytes(symbols: list[str], scores: dict[str, float]) -> list[str]:
    return [p for s in symbols for p in ([s] if s in scores else [f"<0x{byte:02X}>" for byte in s.encode()])]


def _escaped(text: str) -> str:
    return (" " + text).replace(" ", SPACE) if text else text


def _longest_pieces(text, scores):
    text, out, i = _escaped(text), [], 0
    while i < len(text):
        n = next((n for n in range(len(text) - i, 1, -1) if text[i : i + n] in scores), 1)
        out.append(text[i : i + n])
        i += n
    return _with_bytes(out, scores)


def _unknown_pieces(text, scores):
    merged = merge_symbols(
        _escaped(text), lambda left, right: -scores[left + right] if left + right in scores else None
    )
    return [symbol if symbol in scores else "<unk>" for symbol in merged]


def _sentencepiece_library(text, scores):
    import sentencepiece

    from ...tokenizers.files.sentencepiece_model import serialize

    return list(
        sentencepiece.SentencePieceProcessor(model_proto=serialize(_sentencepiece(scores))).encode(text, out_type=str)
    )


SENTENCEPIECE = Exercise(
    id="sentencepiece_encode",
    chapter="02",
    title="LLaMA's encoder",
    task="Encode a text the way SentencePiece does: prefix, visible spaces, merges by score, bytes for the rest.",
    difficulty=3,
    minutes=25,
    reference=sentencepiece_encode,
    make=_make_sentence,
    shapes=(
        {"words": 1, "length": 2, "pieces": 2},
        {"words": 2, "length": 1, "pieces": 3},
        {"words": 3, "length": 4, "pieces": 6},
        {"words": 5, "length": 5, "pieces": 10},
        {"words": 12, "length": 7, "pieces": 16},
    ),
    exact=True,
    oracle=_sentencepiece_library,
    hints=(
        "Four steps: a space in front; every space becomes ▁ (U+2581); merges; bytes for what is no piece.",
        "Two neighbours may merge when their text together is in scores. The highest score wins, and scores are "
        "negative: -1 beats -7. Of equals the leftmost merges first.",
        's = list((" " + text).replace(" ", "▁"))\n'
        "fits = [(-scores[a + b], i) for i, (a, b) in enumerate(zip(s, s[1:])) if a + b in scores]\n"
        "while there are any: i = min(fits)[1]; s[i : i + 2] = [s[i] + s[i + 1]]\n"
        'in the end: s if s in scores, else f"<0x{byte:02X}>" for each byte of it',
    ),
    mistakes=(
        Mistake(
            "Your function does not put a space in front of the text.",
            "With it a word is the same piece at the beginning of a text as in the middle: ▁the, not the.",
            lambda text, scores: _by_score(text.replace(" ", SPACE), scores),
        ),
        Mistake(
            "Your function leaves spaces as they are, so that they become the byte <0x20>.",
            "The vocabulary spells a space as ▁, U+2581: replace them before you merge.",
            lambda text, scores: _by_score(" " + text, scores),
        ),
        Mistake(
            "Your function merges the pair with the lowest score first.",
            "Scores are -1, -2, -3 ... in the order of training: the highest one, nearest to 0, was learned first.",
            lambda text, scores: _by_score(_escaped(text), scores, sign=-1),
        ),
        Mistake(
            "Your function cuts off the longest known piece from the left.",
            "LLaMA's pieces come from merges in the order of their scores; the longest piece need not be reached.",
            _longest_pieces,
        ),
        Mistake(
            "Your function writes <unk> for a character that is no piece.",
            "LLaMA falls back to bytes: é becomes <0xC3> <0xA9>.",
            _unknown_pieces,
        ),
        Mistake(
            "Your function makes one space of several and drops those at the end.",
            "LLaMA keeps every space (remove_extra_whitespaces is off): code and poems depend on them. Use replace, "
            "not split.",
            lambda text, scores: _by_score(_escaped(" ".join(text.split(" ")).replace("  ", " ").strip(" ")), scores),
        ),
    ),
)

# --- utf8_feed -------------------------------------------------------------------------------


def utf8_feed(held: bytes, data: bytes) -> tuple[str, bytes]:
    """The characters that are complete, and the bytes that may still become one."""
    data = held + data
    cut = len(data) - unfinished_bytes(data)
    return data[:cut].decode("utf-8", "replace"), data[cut:]


def _make_chunks(rng: np.random.Generator, characters: int, chunk: int, wrong_bytes: int) -> tuple[Any, ...]:
    """Text in UTF-8, cut anywhere, with bytes in it that begin no character."""
    letters = ["a", "é", "世", "🙂", "ß", "語"]
    text = rng.choice(letters, characters).tolist()
    text[0] = "🙂" if characters > 1 else "é"
    parts = [letter.encode() for letter in text]
    for byte in rng.choice([0xFF, 0xC0, 0xF8], wrong_bytes).tolist():
        parts.insert(int(rng.integers(0, len(parts) + 1)), bytes([byte]))
    if wrong_bytes > 1:
        parts.append("🙂".encode()[:3])  # the end is missing
    data, chunks = b"".join(parts), []
    while data:
        n = int(rng.integers(1, chunk + 1))
        chunks.append(data[:n])
        data = data[n:]
    return (chunks,)


def _observe_stream(function: Function, args: tuple[Any, ...]) -> list[str]:
    """What is shown after each chunk, and what the bytes left over become at the end."""
    held, shown = b"", []
    for chunk in args[0]:
        text, held = function(held, chunk)
        shown.append(text)
    return [*shown, bytes(held).decode("utf-8", "replace")]


def _codecs_feed(held, data):
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.setstate((held, 0))
    return decoder.decode(data), decoder.getstate()[0]


def _feed_all_or_nothing(held, data):
    try:
        return (held + data).decode(), b""
    except UnicodeDecodeError:
        return "", held + data


def _feed_forgetful(held, data):
    return utf8_feed(b"", data)


def _feed_trusting(held, data):
    """Believes every lead byte, also those that begin no character."""
    data = held + data
    for n in range(1, min(3, len(data)) + 1):
        lead = data[-n]
        if lead >= 0xC0:
            wanted = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
            cut = len(data) - n if n < wanted else len(data)
            return data[:cut].decode("utf-8", "replace"), data[cut:]
    return data.decode("utf-8", "replace"), b""


def _feed_three_late(held, data):
    data = held + data
    cut = max(len(data) - 3, 0)
    return data[:cut].decode("utf-8", "replace"), data[cut:]


UTF8_FEED = Exercise(
    id="utf8_feed",
    chapter="02",
    title="A streaming UTF-8 decoder",
    task="Show the characters that are complete and hold back the bytes that may still become one.",
    difficulty=3,
    minutes=25,
    reference=utf8_feed,
    make=_make_chunks,
    shapes=(
        {"characters": 1, "chunk": 1, "wrong_bytes": 0},
        {"characters": 1, "chunk": 4, "wrong_bytes": 0},
        {"characters": 3, "chunk": 2, "wrong_bytes": 0},
        {"characters": 4, "chunk": 1, "wrong_bytes": 1},
        {"characters": 9, "chunk": 3, "wrong_bytes": 2},
        {"characters": 40, "chunk": 5, "wrong_bytes": 4},
    ),
    exact=True,
    observe=_observe_stream,
    oracle=_codecs_feed,
    hints=(
        "Only the last one to three bytes can be an unfinished character. Look back for the byte that begins it: "
        "continuation bytes are 0x80 to 0xBF.",
        "A lead byte says how long the character is: 0xC2-0xDF two bytes, 0xE0-0xEF three, 0xF0-0xF4 four. If fewer "
        "bytes are there, hold them. Any other byte begins nothing: decode it at once with errors='replace'.",
        "data = held + data\n"
        "for n in (1, 2, 3): lead = data[-n] if n <= len(data) else 0\n"
        "    if lead is no continuation byte: hold n bytes if its length is greater than n, else 0; stop\n"
        'return data[:cut].decode("utf-8", "replace"), data[cut:]\n'
        'Or: codecs.getincrementaldecoder("utf-8")("replace") with setstate((held, 0)).',
    ),
    mistakes=(
        Mistake(
            "Your function decodes each chunk by itself: half characters become U+FFFD.",
            "The bytes of one character may come in several tokens. Hold back the unfinished end and put it in front "
            "of the next chunk.",
            lambda held, data: (data.decode("utf-8", "replace"), b""),
        ),
        Mistake(
            "Your function drops the bytes that it cannot decode.",
            "errors='ignore' loses the halves of characters and hides that the model wrote broken bytes.",
            lambda held, data: (data.decode("utf-8", "ignore"), b""),
        ),
        Mistake(
            "Your function holds bytes back, but does not put them in front of the next chunk.",
            "Begin with data = held + data.",
            _feed_forgetful,
        ),
        Mistake(
            "Your function shows nothing as long as any byte of it cannot be decoded.",
            "Complete characters should appear at once, and one wrong byte would silence the stream for ever. Hold "
            "back three bytes at most.",
            _feed_all_or_nothing,
        ),
        Mistake(
            "Your function waits for more bytes after a byte that begins no character.",
            "0xC0, 0xC1 and 0xF5 to 0xFF never occur in UTF-8: they are U+FFFD at once.",
            _feed_trusting,
        ),
        Mistake(
            "Your function always holds back the last three bytes.",
            "A finished character must be shown at once, or the text lags behind: hold bytes only where a character is "
            "unfinished.",
            _feed_three_late,
        ),
    ),
)

EXERCISES = (
    COUNT_PAIRS,
    MERGE_PAIR,
    TRAIN_BPE,
    ENCODE,
    SPLIT_DIGITS,
    BYTE_FALLBACK,
    BYTE_CHARACTERS,
    SENTENCEPIECE,
    UTF8_FEED,
)
