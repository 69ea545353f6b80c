# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 02 · The tokenizer
#
# **Goal.** Build the part of LLaMA that turns text into numbers and back: train byte-pair merges, encode with them,
# fall back to bytes, and decode a stream of bytes without ever showing half a character.
#
# **Before this.** Chapter 00; chapter 01 for the Numba cell.
# **Time.** 40 minutes to read and run, 110 minutes for the exercises.
# **Paper.** LLaMA 2 (arXiv:2307.09288), section 2.2, "Tokenizer": byte-pair encoding by SentencePiece, 32 000 pieces,
# numbers split into single digits, bytes for unknown characters. The method: Sennrich et al., arXiv:1508.07909, and
# Kudo & Richardson, arXiv:1808.06226.
#
# **Not reproduced.** LLaMA's own 32 000 pieces come from training text that was never published. The chapter trains
# the same recipe on a page of text, and runs the finished vocabulary of SmolLM2.

# %%
import re
import time
from collections import Counter
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from numba import njit

from minillama.learn import check
from minillama.learn.book import COLOURS, load, show_error, style, table

style()
try:  # the libraries that define the results; without them the chapter compares with the package
    import sentencepiece
    import tokenizers
except ImportError:
    sentencepiece = tokenizers = None

# %% [markdown]
# ## The idea
#
# A model computes with numbers, so a text has to become a list of numbers first. One number for each letter makes
# long lists: every letter costs a full run of the model. One number for each word makes a list of words that is never
# complete. Byte-pair encoding stands between the two. It begins with single characters and joins, again and again,
# the two neighbours that stand side by side most often. Frequent words end up as one piece, rare words as several,
# and single characters remain for what nobody has seen before.

# %% [markdown]
# ## The mathematics
#
# Let the training text have the different words $w$, each occurring $c_w$ times, and let $w_1 \dots w_{m}$ be the
# symbols of a word, at first its $m$ characters. The count of a pair of symbols $(a, b)$ is
#
# $$n(a, b) = \sum_w c_w \; \#\{\,i : w_i = a,\; w_{i+1} = b\,\}.$$
#
# One step of training takes $(a^*, b^*) = \arg\max n(a, b)$, writes the rule down, and replaces every $a^* b^*$ by
# the one symbol that is both together. $M$ steps give $M$ rules; the **rank** of a rule is its place in the list, 0
# for the first.
#
# Encoding a new word repeats training in small: among the rules that fit somewhere in the word, apply the one of the
# lowest rank, at the leftmost place where it fits, until none fits.
#
# How well a vocabulary compresses is measured as $\text{bytes of the text in UTF-8} \,/\, \text{number of tokens}$.

# %% [markdown]
# | what | type and shape | example |
# |---|---|---|
# | text | `str` of $n$ characters | `"é1"`, $n = 2$ |
# | UTF-8 | `bytes`, 1 to 4 for each character | `c3 a9 31` |
# | symbols of a word | list of `str` | `["▁t", "h", "e"]` |
# | rules | list of $M$ pairs of `str` | `[("▁", "t"), …]` |
# | vocabulary | $V$ pieces, each with an id from 0 to $V - 1$ | $V = 32\,000$ in LLaMA 2 |
# | ids | integers of shape $(T,)$ | what the model sees |

# %% [markdown]
# ## A text to train on
#
# A page of simple English. The second text is about the same place, but is not used in training.

# %%
TEXT = """
The harbour lies where the slow river meets the sea. Every morning the fishing boats go out with the tide, and every
evening they come back with the light of the lower sun behind them. The older fishermen say that the sea was fuller when
they were younger, that the winters were colder and the boats slower. The younger ones laugh and say that the older ones
forget. On the wall by the lighthouse the keeper writes the height of the tide, in 1987 as in 2023, twice a day, in the
same slow hand. The lowest tide of the year was 12 centimetres and the highest was 534.

When the tide is low the children walk out over the sand to look for shells, and the dogs run after the birds. When the
tide is high the water comes to the lowest step of the stairs, and nobody walks there. The keeper of the lighthouse is a
woman who was a teacher, and she teaches the children the names of the winds and the names of the stars. She says that
the stars are older than the sea, and that the light they see is older than the light of the lighthouse, older than the
river, older than every boat. The children say that nothing is older than the teacher.

In the winter the boats stay in the harbour. The fishermen mend the nets and paint the boats, and in the evenings they
tell the children how the highest waves were higher than the lighthouse. The teacher says that a wave was never higher
than the wall. The sea says nothing. It comes and it goes, lower and higher, and the keeper writes the height of the
tide on the wall, in the morning and in the evening, as it was written before her and as it will be written after her.

There is a market by the harbour on the third day of the week. The fishermen sell the fish they have caught, the farmers
sell bread and apples and cheese, and a man with a slow voice sells watches that are slower than his voice. The teacher
buys apples, the children buy bread, and the dogs wait for the fish. At the end of the day the market is swept by the
wind, the birds take the rest, and the light goes on in the lighthouse. Then the harbour is quiet, and the lowest sound
is the slow breathing of the sea against the wall.
"""
HELD_OUT = """
The boats that went out in the morning were slower than the wind, and the keeper of the lighthouse lit the lamp before
the evening came. Lower and lower the sun went down behind the harbour. A fisherman told his daughter that in 1965 the
waves had reached the highest step; she measured the stairs, wrote 418 centimetres into her book, and laughed.
"""

# %% [markdown]
# Pieces must not cross from one word into the next. As in SentencePiece the space in front of a word belongs to it
# and is written `▁` (U+2581), so that it can be seen. Digits stand alone, which the chapter comes back to below.


# %%
def split_words(text):
    """Words with the space before them, single digits, signs; put together they are the text."""
    return [w.replace(" ", "▁") for w in re.findall(r" ?[^\W\d]+|\d| ?[^\w\s]+|\s", " " + " ".join(text.split()))]


found = Counter(split_words(TEXT))
words, counts = list(found), list(found.values())
print(f"{sum(counts)} words, {len(words)} of them different")
print(found.most_common(8))

# %% [markdown]
# ## Plain Python
#
# Three small functions are the whole of training: count the pairs, replace one pair, repeat. Each different word is
# handled once and counted as often as it occurs.


# %%
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
        pair = max(found, key=found.get)  # among equals the one that came first
        merges.append(pair)
        symbols = [merge_pair(word, pair) for word in symbols]
    return merges


# %% [markdown]
# The first rules join what English is full of; later ones make whole words.

# %%
merges = train_bpe(words, counts, 400)
for first in (0, 40, 120):
    print(f"rules {first:3d} …  " + "   ".join(f"{a}+{b}" for a, b in merges[first : first + 8]))

# %% [markdown]
# Encoding a word follows the same rules in the same order.


# %%
def encode_with_merges(word, merges, history=None):
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    symbols = list(word)
    while True:
        fits = [(ranks[pair], i) for i, pair in enumerate(pairwise(symbols)) if pair in ranks]
        if not fits:
            return symbols
        rank, i = min(fits)
        symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]
        if history is not None:
            history.append((rank, i))


for word in ("▁lighthouse", "▁slowest", "▁windows", "▁zebra"):
    print(f"{word:12s} {encode_with_merges(word, merges)}")

# %% [markdown]
# "slowest" and "windows" do not occur in the text, but their pieces do. The picture shows how two words grow together
# from their letters: every bracket is a merge, and its height is the step in which it happens.


# %%
def draw_tree(axis, word, merges, colour):
    history, paper = [], {"facecolor": plt.rcParams["axes.facecolor"], "edgecolor": "none", "pad": 0.6}
    encode_with_merges(word, merges, history)
    nodes = [(float(x), 0.0, letter) for x, letter in enumerate(word)]
    for step, (rank, i) in enumerate(history, 1):
        left, right = nodes[i : i + 2]
        node = ((left[0] + right[0]) / 2, float(step), left[2] + right[2])
        axis.plot([left[0], left[0], right[0], right[0]], [left[1], step, step, right[1]], color=colour, linewidth=1.4)
        axis.annotate(
            f"{node[2]} ({rank})", node[:2], (0, 3), textcoords="offset points", ha="center", fontsize=8.5, bbox=paper
        )
        nodes[i : i + 2] = [node]
    axis.set_xticks(range(len(word)), list(word))
    axis.set_ylim(-0.4, len(history) + 0.9)
    axis.set_xlim(-0.8, len(word) - 0.2)
    axis.grid(visible=False)
    return [node[2] for node in nodes]


fig, axes = plt.subplots(1, 2, figsize=(10, 4.6))
for axis, word, colour in zip(axes, ("▁lighthouse", "▁slowest"), COLOURS):
    pieces = draw_tree(axis, word, merges, colour)
    axis.set(title=f"{word[1:]}: {len(pieces)} piece{'s' * (len(pieces) > 1)}", xlabel="characters of the word")
axes[0].set_ylabel("step of the encoder (and rank of the rule)")
fig.suptitle("Early rules join first: a word grows from its most common parts", fontweight="bold")
plt.show()

# %% [markdown]
# ## NumPy
#
# The count is one pass over arrays. All words stand one after another in one array of symbol numbers, with -1 as a
# wall between them; a pair $(a, b)$ is the single number $aV + b$; `np.unique` collects equal ones and `np.bincount`
# adds up the weights.


# %%
def flatten(words, counts):
    alphabet = sorted({letter for word in words for letter in word})
    number = {letter: i for i, letter in enumerate(alphabet)}
    flat = np.concatenate([[*(number[letter] for letter in word), -1] for word in words])
    weight = np.repeat(counts, [len(word) + 1 for word in words])
    return alphabet, flat.astype(np.int64), weight.astype(np.int64)


def best_pair_numpy(flat, weight, n_symbols):
    left, right = flat[:-1], flat[1:]
    inside = (left >= 0) & (right >= 0)
    codes, first, inverse = np.unique(left[inside] * n_symbols + right[inside], return_index=True, return_inverse=True)
    n = np.bincount(inverse, weight[:-1][inside])
    best = np.lexsort((first, -n))[0]  # the most frequent; among equals the first
    return divmod(int(codes[best]), n_symbols), int(n[best])


alphabet, flat, weight = flatten(words, counts)
(a, b), n = best_pair_numpy(flat, weight, len(alphabet))
print(f"most frequent: {alphabet[a]!r} + {alphabet[b]!r}, {n} times; the loop above says {merges[0]}")
assert (alphabet[a], alphabet[b]) == merges[0]

# %% [markdown]
# ## Numba
#
# Replacing a pair changes the length of the array, which NumPy does badly and a compiled loop does well: one cursor
# reads, another follows it and writes. The counts fit a table of $V \times V$ numbers.


# %%
@njit
def train_ids(flat, weight, n_letters, n_merges):
    flat, weight, size = flat.copy(), weight.copy(), len(flat)
    rules = np.zeros((n_merges, 2), np.int64)
    table = np.zeros((n_letters + n_merges, n_letters + n_merges), np.int64)
    for step in range(n_merges):
        table[:] = 0
        for i in range(size - 1):
            if flat[i] >= 0 and flat[i + 1] >= 0:
                table[flat[i], flat[i + 1]] += weight[i]
        best = 0
        for i in range(size - 1):
            if flat[i] >= 0 and flat[i + 1] >= 0 and table[flat[i], flat[i + 1]] > best:
                best = table[flat[i], flat[i + 1]]
                rules[step] = flat[i], flat[i + 1]
        if best == 0:
            return rules[:step]
        read = write = 0
        while read < size:
            joins = read + 1 < size and flat[read] == rules[step, 0] and flat[read + 1] == rules[step, 1]
            flat[write], weight[write] = n_letters + step if joins else flat[read], weight[read]
            read, write = read + (2 if joins else 1), write + 1
        size = write
    return rules


def as_text(rules, alphabet):
    pieces = list(alphabet)
    for a, b in rules:
        pieces.append(pieces[a] + pieces[b])
    return [(pieces[a], pieces[b]) for a, b in rules]


# %% [markdown]
# Both learn the same rules. The times are of this machine, the second run of the compiled function.

# %%
train_ids(flat, weight, len(alphabet), 3)  # compiles
begin = time.perf_counter()
rules = train_ids(flat, weight, len(alphabet), 400)
middle = time.perf_counter()
train_bpe(words, counts, 400)
end = time.perf_counter()
assert as_text(rules, alphabet) == merges
print(f"{len(rules)} merges, the same from both")
print(f"Numba {1e3 * (middle - begin):.1f} ms, plain Python {1e3 * (end - middle):.1f} ms")

# %% [markdown]
# ## Check against the library
#
# `tokenizers` is the library behind Hugging Face's models. Training has one freedom, the choice between equally
# frequent pairs, and the library decides it in its own way: with "slow" in the text, `s l` and `l o` may occur
# equally often. So each word is given a weight of its own, which makes ties rare, and the rules are compared up to
# the first tie.


# %%
def train_until_tie(words, counts):
    symbols, merges = [list(word) for word in words], []
    while True:
        found = count_bpe_pairs(symbols, counts)
        first, second = sorted(found, key=found.get, reverse=True)[:2]
        if found[first] == found[second]:
            return merges
        merges.append(first)
        symbols = [merge_pair(word, first) for word in symbols]


rng = np.random.default_rng(3)
own_weights = [97 * count + int(rng.integers(0, 97)) for count in counts]
ours = train_until_tie(words, own_weights)
assert ours == train_bpe(words, own_weights, len(ours))
print(f"{len(ours)} rules without a tie")

# %% [markdown]
# The library numbers its pieces in the order in which it learns them, single characters first: the ids of the pieces
# that the chapter has learned must be consecutive numbers.

# %%
if tokenizers is not None:
    library = tokenizers.Tokenizer(tokenizers.models.BPE())
    library.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=len(alphabet) + len(ours), show_progress=False)
    library.train_from_iterator(((word + " ") * n for word, n in zip(words, own_weights)), trainer)
    expected = np.arange(len(ours)) + len(alphabet)
    learned = [library.token_to_id(a + b) for a, b in ours]
    show_error(f"ids of {len(ours)} learned pieces", learned, expected, 0, against="tokenizers")
else:
    print("tokenizers is not installed: nothing to compare with here")

# %% [markdown]
# ## Compression against the size of the vocabulary
#
# More rules make longer pieces and shorter texts. A larger vocabulary is not free, though: the model has one row of
# numbers for each piece, in its first table and in its last. The picture shows what it buys, on the text of the
# training and on the other one.

# %%
llm = load()
many = as_text(train_ids(flat, weight, len(alphabet), 900), alphabet)


def bytes_per_token(text, merges):
    pieces = {word: len(encode_with_merges(word, merges)) for word in set(split_words(text))}
    return len(" ".join(text.split()).encode()) / sum(pieces[word] for word in split_words(text))


steps = [0, 5, 10, 20, 40, 80, 160, 240, len(many)]
sizes = [len(alphabet) + n for n in steps]
curves = {
    name: [bytes_per_token(text, many[:n]) for n in steps] for name, text in (("training", TEXT), ("new", HELD_OUT))
}
big = len(HELD_OUT.encode()) / len(llm.tokenizer.encode(HELD_OUT))

# %%
fig, axis = plt.subplots(figsize=(8, 4))
axis.plot(sizes, curves["training"], "o-", label="the text it was trained on")
axis.plot(sizes, curves["new"], "s-", label="another text about the same place")
axis.axhline(
    big, color=COLOURS[5], linestyle="--", label=f"that other text with SmolLM2's {llm.tokenizer.vocab_size:,} pieces"
)
axis.set_xscale("log")
axis.set_xticks([50, 100, 200, 400], ["50", "100", "200", "400"])
axis.minorticks_off()
axis.set(xlabel="pieces in the vocabulary", ylabel="bytes per token", ylim=(0.8, None))
axis.set_title("Late merges learn the training text by heart: new text gains less from them")
axis.legend()
plt.show()
for name, values in curves.items():
    print(f"{name:9s} " + "  ".join(f"{size}: {value:.2f}" for size, value in zip(sizes[4:], values[4:])))

# %% [markdown]
# A page of text has only so many words that repeat. Once they are single pieces, further merges join the parts of
# words that occur once or twice, which helps other texts little. Real vocabularies are trained on gigabytes for that
# reason.

# %% [markdown]
# ## Digits
#
# Without a rule for numbers the merges would make a piece of `19`, and none of `43`: each number would be cut
# differently, and the model would have to learn arithmetic for every cut. LLaMA sets every digit apart, so every
# number is made of the same ten pieces.


# %%
def split_digits(text):
    return re.findall(r"\d|\D+", text)


print(split_digits("in 2023, 534 cm"))
for text in (" 2023", " 34+57=91"):
    print(f"{text!r:12} {[llm.tokenizer.token_text(i) for i in llm.tokenizer.encode(text)]}   (Ġ is a space)")

# %% [markdown]
# ## Bytes
#
# No list of characters is complete. But every text is a sequence of bytes, and there are only 256 of them. UTF-8
# writes a character in one to four bytes, and the first one says how many.

# %%
rows = [(c, f"U+{ord(c):04X}", len(c.encode()), " ".join(f"{byte:08b}" for byte in c.encode())) for c in "tßé世🙂"]
table(("character", "code point", "bytes", "in UTF-8"), rows)

# %% [markdown]
# LLaMA keeps the 256 bytes as pieces of their own, named `<0x00>` to `<0xFF>`, with the ids 3 to 258. A symbol that
# is not in the vocabulary is written with them: **byte fallback**. Nothing is ever lost.


# %%
def byte_fallback_ids(symbols, ids):
    out = []
    for symbol in symbols:
        if symbol in ids:
            out.append(ids[symbol])
        else:
            out += [ids[f"<0x{byte:02X}>"] for byte in symbol.encode("utf-8")]
    return out


names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁caf"]
print(byte_fallback_ids(["▁caf", "é"], {name: id_ for id_, name in enumerate(names)}), "é is", list("é".encode()))

# %% [markdown]
# GPT-2, and SmolLM2 after it, go the other way: everything is bytes from the start, and merges join bytes. So that
# the list of pieces can be read, each byte is written as one visible character: the visible ones stand for
# themselves, the others follow from U+0100 on. A space becomes `Ġ`.


# %%
def byte_characters_of(word):
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in visible]
    shown = {byte: chr(byte) for byte in visible} | {byte: chr(256 + n) for n, byte in enumerate(others)}
    return "".join(shown[byte] for byte in word.encode("utf-8"))


print(repr(byte_characters_of(" café\n")))

# %% [markdown]
# ## LLaMA's encoder
#
# Put together: one space in front, so that a word is the same piece at the beginning of a text and inside it; visible
# spaces; merges; bytes. SentencePiece stores no rules but a **score** for each piece: -1 for the first that was
# learned, -2 for the second, and so on. Two neighbours merge when their text together is a piece, the highest score
# first.


# %%
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


learned = dict.fromkeys([a + b for a, b in merges] + alphabet)  # merges first, single characters at the end
scores = {piece: -1.0 - n for n, piece in enumerate(learned)}
for text in ("The lighthouse of 1965", "in Málaga 🙂"):
    print(sentencepiece_encode(text, scores))

# %% [markdown]
# The page of training text holds neither a 6 nor a capital M, so these become bytes too.
#
# The package has the same in `SentencePieceBPE`, with a heap in place of the search, and can write it as a
# `tokenizer.model`: the file that LLaMA's tokenizer comes as. The `sentencepiece` library reads that file and must
# give the same ids.

# %%
from minillama.tokenizers.bpe.base import TokenType
from minillama.tokenizers.bpe.sentencepiece import Piece, SentencePieceBPE
from minillama.tokenizers.files.sentencepiece_model import serialize

special = [
    Piece("<unk>", 0.0, TokenType.UNKNOWN),
    Piece("<s>", 0.0, TokenType.CONTROL),
    Piece("</s>", 0.0, TokenType.CONTROL),
]
byte_pieces = [Piece(f"<0x{byte:02X}>", 0.0, TokenType.BYTE) for byte in range(256)]
package = SentencePieceBPE([*special, *byte_pieces, *(Piece(p, s) for p, s in scores.items())], bos_id=1, eos_id=2)
number = {piece: id_ for id_, piece in enumerate(package.pieces)}
encode_llama = package.encode
if sentencepiece is not None:
    encode_llama = sentencepiece.SentencePieceProcessor(model_proto=serialize(package)).encode
against = "sentencepiece" if sentencepiece is not None else "the package (sentencepiece is not installed)"
for text in ("The lighthouse of 1965", "two  spaces, Málaga 🙂", " ".join(HELD_OUT.split())):
    ours = [number[piece] for piece in sentencepiece_encode(text, scores)]
    theirs = [id_ for id_ in encode_llama(text) if id_ != package.bos_id]
    show_error(f"{len(ours):3d} ids", ours, theirs, 0, against=against)

# %% [markdown]
# ## A real vocabulary: SmolLM2
#
# SmolLM2's tokenizer has 49 152 pieces. Its rules are a list of pairs, and the chapter's own `encode_with_merges`
# reproduces it, word by word: the package cuts the text (`words`), the bytes become visible characters, the rules
# join them.

# %%
tokenizer = llm.tokenizer
print(
    f"{tokenizer.vocab_size:,} pieces, {len(tokenizer.merges):,} rules, {len(tokenizer.special_tokens)} special tokens"
)
for text in ("The lighthouse keeper wrote 418 centimetres.", "Unbelievably, Málaga's café déjà vu 🙂"):
    ids = tokenizer.encode(text)
    print(f"{len(ids):2d} tokens: " + " ".join(tokenizer.token_text(i) for i in ids))

# %% [markdown]
# A vocabulary is made for the text it was trained on. The first sentence of the Universal Declaration of Human Rights
# says the same in every language, but not in the same number of tokens.

# %%
SENTENCE = {
    "English": "All human beings are born free and equal in dignity and rights.",
    "French": "Tous les êtres humains naissent libres et égaux en dignité et en droits.",
    "German": "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
    "Spanish": "Todos los seres humanos nacen libres e iguales en dignidad y derechos.",
    "Turkish": "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar.",
    "Chinese": "人人生而自由,在尊严和权利上一律平等。",
    "Russian": "Все люди рождаются свободными и равными в своем достоинстве и правах.",
    "Greek": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.",
}
cost = {language: len(tokenizer.encode(text)) for language, text in SENTENCE.items()}
cost = dict(sorted(cost.items(), key=lambda item: item[1]))
fig, axis = plt.subplots(figsize=(8, 3.6))
bars = axis.barh(list(cost), list(cost.values()), color=COLOURS[0])
axis.bar_label(bars, padding=3)
axis.invert_yaxis()
axis.set_axisbelow(True)
axis.grid(visible=False, axis="y")
ratio = max(cost.values()) / cost["English"]
axis.set_title(f"The same sentence costs up to {ratio:.0f} times as many tokens as in English")
axis.set(xlabel="tokens of SmolLM2 for one sentence")
plt.show()

# %% [markdown]
# ## Back to text, as it streams
#
# A model emits one token after another, and a token may be half a character. Decoding each token by itself shows
# rubbish; waiting for the end is not streaming. The decoder holds back the bytes that may still become a character, at
# most three.


# %%
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


# %%
held, rows = b"", []
for id_ in tokenizer.encode("naïve 世界 🦙!"):
    data = tokenizer.decode_bytes(id_)
    text, held = utf8_feed(held, data)
    rows.append((id_, data.hex(" "), repr(data.decode("utf-8", "replace")), repr(text), held.hex(" ")))
table(("id", "bytes", "decoded alone", "decoded as a stream", "held back"), rows)

# %% [markdown]
# ## Exercises
#
# <!-- exercises: written by `python -m minillama.learn.generate` -->
#
# | exercise | what | difficulty | minutes | path |
# |---|---|---|---|---|
# | `count_bpe_pairs` | Count the pairs | 1 | 8 | core |
# | `merge_pair` | Merge one pair | 1 | 8 | core |
# | `train_bpe` | Train the merges | 2 | 15 | core |
# | `encode_with_merges` | Encode with merges | 2 | 15 | core |
# | `split_digits` | Digits stand alone | 1 | 5 |  |
# | `byte_fallback_ids` | Byte fallback | 1 | 8 | core |
# | `byte_characters_of` | Bytes as visible characters | 2 | 15 |  |
# | `sentencepiece_encode` | LLaMA's encoder | 3 | 25 |  |
# | `utf8_feed` | A streaming UTF-8 decoder | 3 | 25 |  |
#
# <!-- end of the exercises -->
#
# In a terminal: `minillama learn start my-llama`, then `minillama learn watch`, which checks on every save. In a
# notebook: `from minillama.learn import check; check("merge_pair", my_function)`.
#
# A wrong function gets a diagnosis. This one cuts off the longest piece it knows, which looks like the same thing:


# %%
def longest_first(word, merges):
    pieces, out, i = {a + b for a, b in merges}, [], 0
    while i < len(word):
        n = next((n for n in range(len(word) - i, 1, -1) if word[i : i + n] in pieces), 1)
        out.append(word[i : i + n])
        i += n
    return out


check("encode_with_merges", longest_first)

# %% [markdown]
# And the chapter's own function passes.

# %%
assert check("utf8_feed", utf8_feed).passed
check("encode_with_merges", lambda word, merges: encode_with_merges(word, merges))

# %% [markdown]
# ## What breaks if it is wrong
#
# Nothing crashes. Every list of ids below decodes to the very same text, and the model accepts them all. But it was
# trained on one way of cutting, and with others it does worse: the log-probability of the right next word falls.

# %%
question = "The capital of France is"
number = {piece: id_ for id_, piece in enumerate(tokenizer.pieces)}


def cut(text, encode):
    return [number[piece] for word in tokenizer.words(text) for piece in encode(byte_characters_of(word))]


ways = {
    "by the rules": cut(question, lambda word: encode_with_merges(word, tokenizer.merges)),
    "halves of words": cut(question, lambda word: [p for p in (word[: len(word) // 2], word[len(word) // 2 :]) if p]),
    "single letters": cut(question, list),
}
answer = tokenizer.encode(" Paris")
for name, ids in ways.items():
    assert tokenizer.decode(ids) == question
    print(f"{name:16s} {len(ids):2d} tokens   log p(' Paris') = {llm.logprobs(ids, answer).sum():6.2f}")

# %% [markdown]
# A famous case of the same mistake is a prompt that ends with a space. The space belongs to the next word (`ĠParis`);
# alone it is a token that rarely stands before a word.

# %%
for prompt, rest in ((question, " Paris"), (question + " ", "Paris")):
    ids, rest_ids = tokenizer.encode(prompt), tokenizer.encode(rest)
    text = tokenizer.decode(ids + rest_ids)
    print(f"{prompt!r:29} then {rest!r:9} log p = {llm.logprobs(ids, rest_ids).sum():6.2f}   together {text!r}")

# %% [markdown]
# ## The package
#
# Last, the chapter's functions against the package's.

# %%
from minillama.tokenizers.bpe.byte_level import byte_characters
from minillama.tokenizers.bpe.merging import merge_symbols

ranks = {pair: rank for rank, pair in enumerate(merges)}
for word in split_words(HELD_OUT):
    assert encode_with_merges(word, merges) == merge_symbols(word, lambda a, b: ranks.get((a, b)))
assert byte_characters_of("".join(map(chr, range(128)))) == byte_characters()[:128]
for text in (HELD_OUT, "naïve 世界 🦙!\n\n  x = 1234", *SENTENCE.values()):
    ours = cut(text, lambda word: encode_with_merges(word, tokenizer.merges))
    np.testing.assert_allclose(ours, tokenizer.encode(text))
    np.testing.assert_allclose(
        [package.pieces.index(piece) for piece in sentencepiece_encode(text, scores)], package.encode(text, bos=False)
    )
print("merges, visible bytes, SmolLM2's ids and LLaMA's recipe: all equal to the package")
