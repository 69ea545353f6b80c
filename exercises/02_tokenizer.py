"""Chapter 02: the tokenizer, from text to numbers and back.

Write the functions below in any order. Save, and look at the terminal where

    minillama learn watch

runs; or check one by hand with `minillama learn check train_bpe`. `minillama learn lab 02`
opens the chapter. Any helper functions of your own may stand beside these, and the
functions may call one another.

What a function is given stays as it is, unless its text says that it is written to.
"""

import numpy as np


def count_bpe_pairs(words, counts):
    """Count how often every two neighbouring symbols occur.

    n(a, b) = sum over words i of  counts[i] * (places in word i where b follows a)

    Parameters
    ----------
    words : list of list of str
        Each word is a list of symbols, such as ["l", "ow", "er"].
    counts : list of int
        How often each word occurs. A word may stand in the list twice, and both counts count.

    Returns
    -------
    dict of (str, str) to int
        Only pairs that occur.
    """
    raise NotImplementedError


def merge_pair(symbols, pair):
    """Replace every occurrence of a pair by one symbol, from left to right.

    With ("a", "b"): a b c a b  becomes  ab c ab. With ("a", "a"): a a a  becomes  aa a.

    Parameters
    ----------
    symbols : list of str
    pair : (str, str)

    Returns
    -------
    list of str
        A new list.
    """
    raise NotImplementedError


def train_bpe(words, counts, n_merges):
    """Learn merge rules: again and again the most frequent pair becomes one symbol.

    Words begin as single characters. Of equally frequent pairs the one that occurs first counts,
    going through the words in their order and each from left to right. Training ends after
    `n_merges` rules, or earlier when no word has a pair left.

    Parameters
    ----------
    words : list of str
    counts : list of int
        How often each word occurs. A word may stand in the list twice, and both counts count.
    n_merges : int

    Returns
    -------
    list of (str, str)
        The rules in the order in which they were learned.
    """
    raise NotImplementedError


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
    raise NotImplementedError


def split_digits(text):
    """Cut a text so that every digit stands alone and everything between digits stays whole.

    "in 2023, 7" becomes ["in ", "2", "0", "2", "3", ", ", "7"]. A digit is what
    str.isdecimal says: those of other scripts count, but not ², ½ or 五.

    Parameters
    ----------
    text : str
        Not empty.

    Returns
    -------
    list of str
        No part is empty; put together they are the text.
    """
    raise NotImplementedError


def byte_fallback_ids(symbols, ids):
    """Turn symbols into ids; what the vocabulary does not have becomes its UTF-8 bytes.

    Parameters
    ----------
    symbols : list of str
    ids : dict of str to int
        In LLaMA's order: "<unk>" 0, "<s>" 1, "</s>" 2, then "<0x00>" ... "<0xFF>", then the pieces.

    Returns
    -------
    list of int
        One id for a symbol that is in `ids`, 0 among them, otherwise one for each byte: of all of the
        symbol, also where some of its characters are pieces.
    """
    raise NotImplementedError


def byte_characters_of(word):
    """Write every UTF-8 byte of a word as one visible character, by GPT-2's table.

    The bytes 33-126, 161-172 and 174-255 are the characters of those numbers. The other 68, in
    increasing order, are the characters U+0100, U+0101, U+0102 ...: a space is U+0120, "Ġ".

    Parameters
    ----------
    word : str

    Returns
    -------
    str
        As many characters as the word has bytes: " é" becomes "ĠÃ©".
    """
    raise NotImplementedError


def sentencepiece_encode(text, scores):
    """Encode a text as LLaMA's tokenizer does.

    1. Put one space in front of the text, and write every space as "▁" (U+2581).
    2. Begin with single characters.
    3. Two neighbours may merge when their text together is a key of `scores`. The pair with the
       highest score merges first, the leftmost of equals, until none may.
    4. A symbol that is not a key of `scores` becomes one piece "<0xHH>" for each of its UTF-8 bytes
       (two hexadecimal digits, capitals).

    Parameters
    ----------
    text : str
        Not empty. Spaces at its beginning are part of it.
    scores : dict of str to float
        All pieces with their scores, 0.0 or less, single characters included.

    Returns
    -------
    list of str
    """
    raise NotImplementedError


def utf8_feed(held, data):
    """One step of a decoder for UTF-8 that arrives in pieces.

    Called for one chunk after the other, with the bytes that the last call held back. Characters
    that are complete come out at once. Bytes at the end that begin a character whose other bytes
    may still come are held back. Bytes that can be no part of a character become U+FFFD at once, as
    in `bytes.decode("utf-8", "replace")`. (Forms such as E0 80, which look right and are not
    allowed, do not occur in the checks.)

    Parameters
    ----------
    held : bytes
        What the last call held back; b"" at first.
    data : bytes
        The next chunk.

    Returns
    -------
    text : str
        What can be shown now.
    held : bytes
        For the next call.
    """
    raise NotImplementedError
