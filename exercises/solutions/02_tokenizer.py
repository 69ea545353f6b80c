"""Chapter 02: the tokenizer, from text to numbers and back. Solved.

`minillama learn solution` shows these after a pass.
Generated from minillama/learn/chapters/ by `python -m minillama.learn.generate`.
"""

import re
from itertools import pairwise


def count_bpe_pairs(words, counts):
    found = {}
    for word, count in zip(words, counts):
        for pair in pairwise(word):
            found[pair] = found.get(pair, 0) + count
    return found


def merge_pair(symbols, pair):
    out, i = [], 0
    while i < len(symbols):
        if tuple(symbols[i : i + 2]) == pair:
            out.append(pair[0] + pair[1])
            i += 2
        else:
            out.append(symbols[i])
            i += 1
    return out


def train_bpe(words, counts, n_merges):
    symbols, merges = [list(word) for word in words], []
    for _ in range(n_merges):
        found = count_bpe_pairs(symbols, counts)
        if not found:
            break
        pair = max(found, key=found.get)  # the first of equals
        merges.append(pair)
        symbols = [merge_pair(word, pair) for word in symbols]
    return merges


def encode_with_merges(word, merges):
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    symbols = list(word)
    while True:
        fits = [(ranks[pair], i) for i, pair in enumerate(pairwise(symbols)) if pair in ranks]
        if not fits:
            return symbols
        i = min(fits)[1]
        symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]


def split_digits(text):
    return re.findall(r"\d|\D+", text)


def byte_fallback_ids(symbols, ids):
    out = []
    for symbol in symbols:
        if symbol in ids:
            out.append(ids[symbol])
        else:
            out += [ids[f"<0x{byte:02X}>"] for byte in symbol.encode("utf-8")]
    return out


def byte_characters_of(word):
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in visible]
    table = {byte: chr(byte) for byte in visible} | {byte: chr(256 + n) for n, byte in enumerate(others)}
    return "".join(table[byte] for byte in word.encode("utf-8"))


def sentencepiece_encode(text, scores):
    symbols = list((" " + text).replace(" ", "▁"))
    while True:
        fits = [(-scores[a + b], i) for i, (a, b) in enumerate(pairwise(symbols)) if a + b in scores]
        if not fits:
            break
        i = min(fits)[1]
        symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]
    pieces = []
    for symbol in symbols:
        pieces += [symbol] if symbol in scores else [f"<0x{byte:02X}>" for byte in symbol.encode("utf-8")]
    return pieces


def utf8_feed(held, data):
    data = held + data
    cut = len(data)
    for n in range(1, min(3, len(data)) + 1):
        lead = data[-n]
        if lead & 0xC0 != 0x80:  # not a continuation byte: here the last character begins
            length = 2 if 0xC2 <= lead <= 0xDF else 3 if 0xE0 <= lead <= 0xEF else 4 if 0xF0 <= lead <= 0xF4 else 1
            if n < length:
                cut -= n
            break
    return data[:cut].decode("utf-8", "replace"), data[cut:]
