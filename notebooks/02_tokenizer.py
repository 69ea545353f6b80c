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
# > **Before this:** [00](00_first_words.ipynb).
# > **Time:** 30 minutes to read and run, 124 for all exercises; on the [core path](README.md) 84 together.
# >
# > **In the paper:** LLaMA 2 (arXiv:2307.09288), section 2.2, "Tokenizer", at full size; the methods are Sennrich et
# > al.'s (arXiv:1508.07909) and Kudo and Richardson's (arXiv:1808.06226). **Not here:** LLaMA's own 32,000 pieces. The
# > text that they were trained on was never published; a page of text takes its place.
#
# *The dog buried the bone because it was hungry.* A model reads numbers, the ids of its tokens (00), and somebody has
# to cut the sentence up first. Why not into letters? There are few of them, everybody agrees on them, and nothing has
# to be learned. SmolLM2's vocabulary has a token for each letter, so it can be tried: the real model, once with its
# tokens as it was trained, once with every letter by itself.

# %% tags=["hide-input"]
import re
import time
from collections import Counter
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from numba import njit

from minillama.learn.book import COLOURS, claim, load, now_you, show, show_error, style, table
from minillama.learn.book.toy import SENTENCE
from minillama.model import forward
from minillama.trees import map_tree

style()
try:  # the libraries that define the results; without them the chapter compares with the package
    import sentencepiece
    import tokenizers
except ImportError:
    sentencepiece = tokenizers = None

llm = load()
tokenizer = llm.tokenizer
params = map_tree(lambda w: w.to_float32() if hasattr(w, "to_float32") else w, llm.params)  # from 4 and 8 bits

# %% [markdown]
# **Guess first:** does the model still say Paris when it is given the letters? And how many tokens is the sentence of
# the dog, one way and the other?


# %% tags=["hide-output"]
def next_words(ids, n=3):
    """The most probable tokens after some ids."""
    logits = forward(params, llm.config, np.array([ids]))[0][0, -1]
    return ", ".join(repr(tokenizer.decode([int(i)])) for i in np.argsort(-logits)[:n])


def ids_of_letters(text):
    return [id_ for letter in text for id_ in tokenizer.encode(letter)]


for text in ("The capital of France is", SENTENCE):
    for name, ids in (("tokens", tokenizer.encode(text)), ("letters", ids_of_letters(text))):
        print(f"{text[:25]:<26} {len(ids):2} {name:<8} next: {next_words(ids)}")

# %% [markdown]
# Every token is a whole pass through the model, so letters cost four to five times as much. And the model cannot read
# them: it has met single letters rarely, and has learned what ` France` means, not what `F`, `r`, `a`, `n`, `c`, `e`
# mean one after another. The other extreme, a token for every word, never ends: names, numbers, typing errors. What is
# between the two, and who decides what becomes a token?
#
# ## d and o stand side by side seven times
#
# The toy of this book is a few words of that sentence. Here is a text made of them, counted: *dog* five times, *dogs*
# twice, *bone* three times, *bones* once, *it* four times. As letters that is 48 symbols. Which two letters stand side
# by side most often?
#
# | pair | d o | o g | g s | b o | o n | n e | e s | i t |
# |---|---|---|---|---|---|---|---|---|
# | in | dog, dogs | dog, dogs | dogs | bone, bones | bone, bones | bone, bones | bones | it |
# | how often | 5 + 2 = 7 | 7 | 2 | 3 + 1 = 4 | 4 | 4 | 1 | 4 |
#
# The pair *d o* is joined, wherever it stands, into one new symbol, *do*. That takes seven symbols off the text. Then
# all is counted again, and the next pair is joined. This is [byte-pair encoding](glossary.md#byte-pair-encoding), BPE,
# and what it has learned is a list of [merge rules](glossary.md#merge-rule), in their order. (The name is older than
# its use here; why bytes comes below.)
#
# Let the different words be $w$, each occurring $c_w$ times, and let $w_1, w_2, \dots$ be the symbols of a word, at
# first its letters. A pair of symbols $(a, b)$ occurs
#
# $$ n(a, b) = \sum_w c_w \cdot \bigl|\{\,i : w_i = a,\; w_{i+1} = b\,\}\bigr| $$
#
# times, and the pair with the largest $n$ becomes a rule; of equals, the one that comes first.
#
# ### Now you · `count_bpe_pairs` · 8 minutes
#
# Words as lists of symbols, and how often each occurs → a dict from pairs to $n$. Nothing crosses from one word into
# the next.

# %%
count_bpe_pairs = now_you("count_bpe_pairs")


# %% tags=["solution"]
def book_count_bpe_pairs(words, counts):
    found = {}
    for word, count in zip(words, counts):
        for pair in pairwise(word):
            found[pair] = found.get(pair, 0) + count
    return found


# %%
toy, toy_counts = ["dog", "dogs", "bone", "bones", "it"], [5, 2, 3, 1, 4]
for joined in (toy, [["do", "g"], ["do", "g", "s"], "bone", "bones", "it"]):
    counted = count_bpe_pairs([list(word) for word in joined], toy_counts)
    print("  ".join(f"{a}+{b} {n}" for (a, b), n in counted.items()))

# %% [markdown]
# The second line is the same text after *do* has been joined: *o g* is gone, and *do g* has come. Joining looks easy,
# and has one trap.
#
# **Guess first:** the rule is *a a*, and the word is *a a a a a*. How many symbols does it have afterwards?
#
# ### Now you · `merge_pair` · 8 minutes
#
# From left to right, every occurrence of the pair becomes one symbol. A symbol that has been used up is not used again.

# %%
merge_pair = now_you("merge_pair")


# %% tags=["solution"]
def book_merge_pair(symbols, pair):
    out, i = [], 0
    while i < len(symbols):
        if tuple(symbols[i : i + 2]) == pair:
            out.append(pair[0] + pair[1])
            i += 2
        else:
            out.append(symbols[i])
            i += 1
    return out


# %% tags=["hide-output"]
print(merge_pair(list("aaaaa"), ("a", "a")), merge_pair(list("dogs"), ("d", "o")))

# %% [markdown]
# Both together, again and again, are the whole training.
#
# ### Now you · `train_bpe` · 15 minutes
#
# Words as texts, their counts, and how many rules are wanted → the rules, in their order. It ends early when no word
# has a pair left.

# %%
train_bpe = now_you("train_bpe")


# %% tags=["solution"]
def book_train_bpe(words, counts, n_merges):
    symbols, merges = [list(word) for word in words], []
    for _ in range(n_merges):
        found = count_bpe_pairs(symbols, counts)
        if not found:
            break
        pair = max(found, key=found.get)  # the first of equals
        merges.append(pair)
        symbols = [merge_pair(word, pair) for word in symbols]
    return merges


# %%
toy_merges = train_bpe(toy, toy_counts, 99)
symbols = [list(word) for word in toy]
for rank, pair in enumerate(toy_merges):
    n = count_bpe_pairs(symbols, toy_counts)[pair]
    symbols = [merge_pair(word, pair) for word in symbols]
    left = sum(len(word) * count for word, count in zip(symbols, toy_counts))
    print(f"rule {rank}: {pair[0]:>4} + {pair[1]:<2} n = {n}, leaves {left} of 48 symbols")
assert left == sum(toy_counts)  # every word is one symbol

# %% [markdown]
# ## A new word is cut by old rules
#
# The rules are all that is kept of the training text. A new word begins as letters, and of all rules that fit somewhere
# in it, the one that was learned *first* is applied, at the leftmost place; again and again, until none fits. A rule's
# place in the list is its *rank*, 0 for the first.
#
# **Guess first:** two new words, *bonedog* and *gone*. The second is three letters of *bone* with another in front. How
# many pieces is each?
#
# ### Now you · `encode_with_merges` · 15 minutes
#
# A word and the rules → its pieces, which together are the word.

# %%
encode_with_merges = now_you("encode_with_merges")


# %% tags=["solution"]
def book_encode_with_merges(word, merges):
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    symbols = list(word)
    while True:
        fits = [(ranks[pair], i) for i, pair in enumerate(pairwise(symbols)) if pair in ranks]
        if not fits:
            return symbols
        i = min(fits)[1]
        symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]


# %% tags=["hide-output"]
for word in ("bonedog", "gone", "bits"):
    print(f"{word:<8} {encode_with_merges(word, toy_merges)}")

# %% [markdown]
# *o n* occurs four times in the training text, but never became a rule: by the time it was its turn, every one of those
# o's was part of *bo*. Pieces are what was frequent, not what has a meaning. As a tree: every bracket is a rule, its
# height the step in which it is applied, the number in brackets its rank.


# %% tags=["hide-input", "hide-output"]
def grow(word, merges):
    """The steps in which a word's pieces are joined: rank and place of each."""
    ranks, symbols, steps = {pair: rank for rank, pair in enumerate(merges)}, list(word), []
    while fits := [(ranks[pair], i) for i, pair in enumerate(pairwise(symbols)) if pair in ranks]:
        steps.append(min(fits))
        i = steps[-1][1]
        symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]
    return steps, symbols


def draw_tree(axis, word, merges, colour):
    steps, pieces = grow(word, merges)
    paper = {"facecolor": plt.rcParams["axes.facecolor"], "edgecolor": "none", "pad": 0.6}
    nodes = [(float(x), 0.0, letter) for x, letter in enumerate(word)]
    for step, (rank, i) in enumerate(steps, 1):
        left, right = nodes[i : i + 2]
        node = ((left[0] + right[0]) / 2, float(step), left[2] + right[2])
        axis.plot([left[0], left[0], right[0], right[0]], [left[1], step, step, right[1]], color=colour, linewidth=1.4)
        text = f"{node[2]} ({rank})"
        axis.annotate(text, node[:2], (0, 3), textcoords="offset points", ha="center", fontsize=8.5, bbox=paper)
        nodes[i : i + 2] = [node]
    axis.set_xticks(range(len(word)), list(word))
    axis.set_xlim(-0.8, len(word) - 0.2)
    axis.grid(visible=False)
    assert pieces == encode_with_merges(word, merges)
    return pieces


figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True, width_ratios=(7, 4))
for axis, word, colour in zip(axes, ("bonedog", "gone"), COLOURS):
    pieces = draw_tree(axis, word, toy_merges, colour)
    title = f"{word}: {len(pieces)} pieces"
    claim(axis, title, holds="".join(pieces) == word and len(pieces) == {"bonedog": 2, "gone": 4}[word])
    axis.set(xlabel="letters", ylim=(-0.4, 6))
axes[0].set_ylabel("step")
show(
    figure,
    "Two trees over letters. Left, bonedog: d and o are joined in step 1, do and g in step 2, then b and o, bo and n, "
    "bon and e; two brackets remain, bone and dog. Right, gone: four letters and no bracket.",
)

# %% [markdown]
# ## A page of English
#
# Now two real texts about the same place, folded here. The second one is not used in training.

# %% tags=["hide-input"]
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
# One thing the toy left out: the space. BPE as LLaMA has it, in the SentencePiece library, takes the space in front of
# a word for a part of the word, and writes it `▁`, so that it can be seen. So `▁the` at the beginning of a word and
# `the` inside *weather* are different pieces, and joined pieces are the text again, spaces and all.


# %%
def split_words(text):
    """Words with the space before them, single digits, signs; put together they are the text."""
    return [w.replace(" ", "▁") for w in re.findall(r" ?[^\W\d]+|\d| ?[^\w\s]+|\s", " " + " ".join(text.split()))]


found = Counter(split_words(TEXT))
words, counts = list(found), list(found.values())
merges = train_bpe(words, counts, 400)  # it will end earlier
print(f"{sum(counts)} words, {len(words)} of them different; most frequent: {found.most_common(4)}")
for first in (0, 40, 120):
    print(f"rules {first:3d} …  " + "   ".join(f"{a}+{b}" for a, b in merges[first : first + 8]))

# %% [markdown]
# The first rules join what English is full of; later ones make whole words. **Guess first:** *lighthouse* occurs five
# times on the page, *slowest* and *windows* not at all. How many pieces is each?

# %% tags=["hide-output"]
for word in ("▁lighthouse", "▁slowest", "▁windows", "▁zebra"):
    print(f"{word:12s} {encode_with_merges(word, merges)}")

# %% tags=["hide-input", "hide-output"]
figure, axes = plt.subplots(1, 2, figsize=(10, 4.6), sharey=True)
shown = {word: draw_tree(axis, word, merges, c) for axis, word, c in zip(axes, ("▁lighthouse", "▁slowest"), COLOURS)}
for axis, (word, pieces) in zip(axes, shown.items()):
    name = f"{word[1:]}: {len(pieces)} piece{'s' * (len(pieces) > 1)}"
    claim(axis, name, holds="".join(pieces) == word and (word in found) == (len(pieces) == 1))
    axis.set(xlabel="letters", ylim=(-0.4, 11))
axes[0].set_ylabel("step")
show(
    figure,
    "Two trees over letters. Left: the brackets of lighthouse, which is on the page, join all its letters, step by "
    f"step, into one piece. Right: slowest is not on the page, and stays in {len(shown['▁slowest'])} pieces, "
    f"{' and '.join(shown['▁slowest'])}.",
)

# %% [markdown]
# ## Counting again and again is slow
#
# The loops count every pair anew for every rule. In NumPy, one count is one pass over arrays: all words stand one after
# another in an array of symbol numbers, with −1 as a wall between them; a pair $(a, b)$ is the one number $aV + b$,
# with $V$ the size of the vocabulary so far; `np.unique` collects equal ones, and `np.bincount` adds up how often their
# words occur.


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
print(f"most frequent: {alphabet[a]!r} + {alphabet[b]!r}, {n} times; the loops say {merges[0]}")
assert (alphabet[a], alphabet[b]) == merges[0]

# %% [markdown]
# Joining a pair makes the array shorter, which NumPy does badly and a loop that Numba compiles (`njit`, 01) does well:
# one cursor reads, another follows it and writes. The counts are a table of $V \times V$ numbers.


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
# Both learn the same rules. The times are those of the machine that ran this notebook.

# %% tags=["varies"]
train_ids(flat, weight, len(alphabet), 3)  # compiles
begin = time.perf_counter()
rules = train_ids(flat, weight, len(alphabet), 400)
middle = time.perf_counter()
train_bpe(words, counts, 400)
end = time.perf_counter()
assert as_text(rules, alphabet) == merges
print(f"{len(rules)} rules: Numba {1e3 * (middle - begin):.1f} ms, plain Python {1e3 * (end - middle):.1f} ms")

# %% [markdown]
# `tokenizers` is the library behind Hugging Face's models. Training has one freedom, the choice between equally
# frequent pairs, and the library decides it in its own way. So each word is given a weight of its own, which makes ties
# rare, and the rules are compared up to the first tie. The library numbers its pieces in the order in which it learns
# them: the numbers of the pieces learned here must be consecutive.


# %%
def rules_until_tie(words, counts):
    """As many rules as are learned before two pairs are equally frequent."""
    symbols = [list(word) for word in words]
    for n_rules, pair in enumerate(train_bpe(words, counts, 999)):
        most = sorted(count_bpe_pairs(symbols, counts).values())
        if most[-1] == most[-2]:
            return train_bpe(words, counts, n_rules)
        symbols = [merge_pair(word, pair) for word in symbols]
    return train_bpe(words, counts, 999)


rng = np.random.default_rng(3)
own_weights = [97 * count + int(rng.integers(0, 97)) for count in counts]
ours = rules_until_tie(words, own_weights)
if tokenizers is not None:
    library = tokenizers.Tokenizer(tokenizers.models.BPE())
    library.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=len(alphabet) + len(ours), show_progress=False)
    library.train_from_iterator(((word + " ") * n for word, n in zip(words, own_weights)), trainer)
    learned = [library.token_to_id(a + b) for a, b in ours]
    consecutive = np.arange(len(ours)) + len(alphabet)
    show_error(f"numbers of {len(ours)} learned pieces", learned, consecutive, 0, against="tokenizers")
else:
    print(f"{len(ours)} rules; tokenizers is not installed: nothing to compare with here")

# %% [markdown]
# ## What more rules buy
#
# More rules make longer pieces and shorter texts. How well a vocabulary compresses is measured in bytes of the text for
# each token. It is not free: the model has a row of numbers for each piece, in its first table and in its last (03).
#
# **Guess first:** training goes on until every word of the page is one piece. With so many rules, how many bytes has a
# token on the page itself, how many on the other text?

# %% tags=["hide-output"]
many = as_text(train_ids(flat, weight, len(alphabet), 900), alphabet)


def bytes_per_token(text, merges):
    pieces = {word: len(encode_with_merges(word, merges)) for word in set(split_words(text))}
    return len(" ".join(text.split()).encode()) / sum(pieces[word] for word in split_words(text))


steps = [0, 5, 10, 20, 40, 80, 160, len(many)]
curves = {
    name: [bytes_per_token(text, many[:n]) for n in steps]
    for name, text in (("the page", TEXT), ("new text", HELD_OUT))
}
smollm = len(HELD_OUT.encode()) / len(tokenizer.encode(HELD_OUT))
for name, values in curves.items():
    print(f"{name}: " + ", ".join(f"{n} rules {value:.2f}" for n, value in zip(steps[4:], values[4:])))

# %% tags=["hide-input", "hide-output"]
figure, axis = plt.subplots(figsize=(8, 4))
sizes = [len(alphabet) + n for n in steps]
axis.plot(sizes, curves["the page"], "o-", label="the page it was trained on")
axis.plot(sizes, curves["new text"], "s-", label="another text about the same place")
axis.axhline(
    smollm, color=COLOURS[5], linestyle="--", label=f"that text with SmolLM2's {tokenizer.vocab_size:,} pieces"
)
axis.set_xscale("log")
axis.set_xticks([50, 100, 200, 400], ["50", "100", "200", "400"])
axis.minorticks_off()
axis.set(xlabel="pieces in the vocabulary", ylabel="bytes per token", ylim=(0.8, None))
gains = {name: values[-1] / values[-2] for name, values in curves.items()}
claim(axis, "New text gains less from late rules", holds=gains["new text"] < gains["the page"] - 0.1)
axis.legend()
show(
    figure,
    "Bytes per token against the number of pieces, logarithmic. Both curves begin at 1.0 and rise; the page is ahead, "
    f"and ever more so: at the end it has {curves['the page'][-1]:.1f}, the new text {curves['new text'][-1]:.1f}. "
    f"A dashed line shows SmolLM2's {smollm:.1f} on the new text.",
)

# %% [markdown]
# With 348 rules every word of the page is one piece, and training ends: there is no pair left. The last 188 of them
# make the page's tokens half as long again, and those of the new text a quarter: they join the parts of words that
# occur on the page once or twice. Real vocabularies are trained on gigabytes for that reason.
#
# ## 1987 is one piece, 1865 is five
#
# Numbers are rarely frequent. Let a text have all years from 1980 to 2024, each once, and train on them as on words.

# %%
years = train_bpe([f"▁{year}" for year in range(1980, 2025)], [1] * 45, 20)
for number in ("▁1987", "▁1992", "▁2003", "▁1865", "▁45"):
    print(f"{number:<6} {encode_with_merges(number, years)}")

# %% [markdown]
# Every number is cut in another way, by what years a text happened to have, and 1987, 1992 and 1865 have no piece in
# common, though each has a 1 in front. A model that is to add them would have to learn arithmetic for every cut. LLaMA
# sets every digit apart before the rules see it, so that each number is made of the same ten pieces. (`split_words` did
# so above.)
#
# ### Now you · `split_digits` · 5 minutes
#
# A text → its parts: every digit by itself, everything between digits whole. (Not on the core path.)

# %%
split_digits = now_you("split_digits")


# %% tags=["solution"]
def book_split_digits(text):
    return re.findall(r"\d|\D+", text)


# %%
print(split_digits("in 2023, 534 cm"))
for text in (" 2023", " 34+57=91"):
    print(f"{text!r:12} SmolLM2: {[tokenizer.token_text(i) for i in tokenizer.encode(text)]}   (Ġ is its space)")

# %% [markdown]
# ## There are only 256 bytes
#
# The page has no z, and no 6. What becomes of a letter that the training text never had? No list of characters is
# complete, but every text is a sequence of bytes, numbers from 0 to 255. [UTF-8](glossary.md#utf-8) writes a character
# in one to four of them, and the first byte says how many by its binary digits: one that begins with 0 stands alone,
# 110 is the first of two, 1110 of three, 11110 of four. Those that follow begin with 10.

# %%
rows = [(c, f"U+{ord(c):04X}", len(c.encode()), " ".join(f"{byte:08b}" for byte in c.encode())) for c in "tßé개🙂"]
table(("character", "number in Unicode", "bytes", "in UTF-8"), rows)

# %% [markdown]
# LLaMA keeps the 256 bytes as pieces of their own, named `<0x00>` to `<0xFF>`, with the ids 3 to 258, after three
# special ones. A symbol that is not in the vocabulary is written with them. That is [byte
# fallback](glossary.md#byte-fallback), and with it nothing is ever unknown, and nothing is lost.
#
# ### Now you · `byte_fallback_ids` · 8 minutes
#
# Symbols, and a dict from pieces to ids → ids. What the dict does not have becomes its bytes.

# %%
byte_fallback_ids = now_you("byte_fallback_ids")


# %% tags=["solution"]
def book_byte_fallback_ids(symbols, ids):
    out = []
    for symbol in symbols:
        if symbol in ids:
            out.append(ids[symbol])
        else:
            out += [ids[f"<0x{byte:02X}>"] for byte in symbol.encode("utf-8")]
    return out


# %%
names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁caf"]
ids = byte_fallback_ids(["▁caf", "é"], {name: id_ for id_, name in enumerate(names)})
print(ids, "because é is the bytes", list("é".encode()), "and id 3 is byte 0")

# %% [markdown]
# GPT-2 goes the other way, and SmolLM2 after it: a text is bytes from the start, and rules join *bytes*, which gives
# the method its name. Lists of rules are text files, though, and most bytes cannot be read: byte 10 ends a line. So
# each byte is written as a character that can be seen. 188 of them are visible in Latin-1 and stand for themselves; the
# other 68 are, in their order, the characters from U+0100 on. A space is byte 32 and becomes `Ġ`.
#
# ### Now you · `byte_characters_of` · 15 minutes
#
# A word → one visible character for each of its bytes. Bytes 33 to 126, 161 to 172 and 174 to 255 stand for themselves.
# (Not on the core path.)

# %%
byte_characters_of = now_you("byte_characters_of")


# %% tags=["solution"]
def book_byte_characters_of(word):
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in visible]
    table = {byte: chr(byte) for byte in visible} | {byte: chr(256 + n) for n, byte in enumerate(others)}
    return "".join(table[byte] for byte in word.encode("utf-8"))


# %% [markdown]
# With it, the functions of this chapter are SmolLM2's tokenizer. The package cuts a text into words; bytes become
# characters; its 48,900 rules join them. The ids have to be the package's own:


# %%
def pieces_of_smollm(text, cut=encode_with_merges):
    """The pieces of a text by SmolLM2's rules."""
    return [piece for word in tokenizer.words(text) for piece in cut(byte_characters_of(word), tokenizer.merges)]


id_of = {piece: id_ for id_, piece in enumerate(tokenizer.pieces)}
for text in (SENTENCE, "Unbelievably, Málaga's café déjà vu 🙂", "wrote 418 centimetres\n"):
    pieces = pieces_of_smollm(text)
    print(" ".join(pieces))
    show_error(f"{len(pieces)} ids", [id_of[p] for p in pieces], tokenizer.encode(text), 0, against="the package")

# %% [markdown]
# ## LLaMA's own encoder has scores, not rules
#
# SentencePiece puts one space in front of a text, so that its first word is the same piece as inside a sentence. It
# stores no rules, only pieces, each with a number, its *score* (those of attention, in 06, are something else): −1 for
# the first that was learned, −2 for the second, and so on. Two neighbours may join when their text together is a piece,
# the highest score first.
#
# **Guess first:** the pieces are *abc* (−1), *ab* (−2), *bc* (−3) and the letters. What becomes of the text *abc*? And
# what if there is no piece *ab*?
#
# ### Now you · `sentencepiece_encode` · 25 minutes
#
# A text and the scores of all pieces → its pieces, with bytes for what is none. (Not on the core path.)

# %%
sentencepiece_encode = now_you("sentencepiece_encode")


# %% tags=["solution"]
def book_sentencepiece_encode(text, scores):
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


# %% tags=["hide-output"]
small = {"▁": -4.0, "a": -5.0, "b": -6.0, "c": -7.0}
print(sentencepiece_encode("abc", {"abc": -1.0, "ab": -2.0, "bc": -3.0, **small}), end="  ")
print(sentencepiece_encode("abc", {"abc": -1.0, "bc": -3.0, **small}), "without ab")

learned = dict.fromkeys([a + b for a, b in merges] + alphabet)  # pieces of the page, single characters at the end
scores = {piece: -1.0 - n for n, piece in enumerate(learned)}
for text in ("The lighthouse of 1965", "in Málaga 🙂"):
    print(sentencepiece_encode(text, scores))

# %% [markdown]
# *abc* comes about from *ab* and *c*, or, where there is no *ab*, from *a* and *bc*: any way to it will do. The page
# has neither a 6 nor a capital M, so these become bytes.
#
# The package has the same in `SentencePieceBPE`, with a heap in place of the search, and can write it as a
# `tokenizer.model`, the file that LLaMA's tokenizer comes as. The `sentencepiece` library reads that file and must give
# the same ids.

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
encode_llama, against = package.encode, "the package (sentencepiece is not installed)"
if sentencepiece is not None:
    encode_llama = sentencepiece.SentencePieceProcessor(model_proto=serialize(package)).encode
    against = "sentencepiece"
for text in ("The lighthouse of 1965", "two  spaces, Málaga 🙂", " ".join(HELD_OUT.split())):
    ours = [number[piece] for piece in sentencepiece_encode(text, scores)]
    theirs = [id_ for id_ in encode_llama(text) if id_ != package.bos_id]
    show_error(f"{len(ours):3d} ids", ours, theirs, 0, against=against)

# %% [markdown]
# ## One sentence, many prices
#
# A vocabulary fits the text that it was trained on, and SmolLM2's is English. The first sentence of the Universal
# Declaration of Human Rights says the same in every language. **Guess first:** in English it is 13 tokens. How many in
# Spanish, in Korean, in Greek?

# %% tags=["hide-output"]
DECLARATION = {
    "English": "All human beings are born free and equal in dignity and rights.",
    "French": "Tous les êtres humains naissent libres et égaux en dignité et en droits.",
    "German": "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
    "Spanish": "Todos los seres humanos nacen libres e iguales en dignidad y derechos.",
    "Turkish": "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar.",
    "Chinese": "人人生而自由,在尊严和权利上一律平等。",
    "Korean": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
    "Russian": "Все люди рождаются свободными и равными в своем достоинстве и правах.",
    "Greek": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.",
}
cost = {language: len(tokenizer.encode(text)) for language, text in DECLARATION.items()}
print(", ".join(f"{language} {cost[language]}" for language in ("English", "Spanish", "Korean", "Greek")))

# %% tags=["hide-input", "hide-output"]
cost = dict(sorted(cost.items(), key=lambda item: item[1]))
figure, axis = plt.subplots(figsize=(8, 3.6))
bars = axis.barh(list(cost), list(cost.values()), color=COLOURS[0])
axis.bar_label(bars, padding=3)
axis.invert_yaxis()
axis.set_axisbelow(True)
axis.grid(visible=False, axis="y")
ratio = max(cost.values()) / cost["English"]
claim(
    axis,
    f"The same sentence costs up to {ratio:.1f} times as much as in English",
    holds=min(cost.values()) == cost["English"],
)
axis.set(xlabel="tokens of SmolLM2 for one sentence")
show(
    figure,
    "Bars, one for each language, from the cheapest to the dearest: "
    + ", ".join(f"{language} {n}" for language, n in cost.items())
    + " tokens for the same sentence.",
)

# %% [markdown]
# The price is time and money, and room: what fills a context of 4096 tokens in Korean would need about 630 in English.
# Most syllables of Hangul are three tokens, one for each byte, since they were too rare in the training text to become
# pieces.
#
# ## Half a character on the screen
#
# A model writes one token after another, and a token may be a part of a character. The first byte of a character says
# how many belong to it, so a decoder can know when it has to wait.
#
# **Guess first:** the text *naïve 세계 🦙!* comes as SmolLM2's tokens. What does the screen show after each token, when
# each is decoded by itself? And how many bytes may have to be held back, at most?
#
# ### Now you · `utf8_feed` · 25 minutes
#
# The bytes held back, and the next ones → the text that can be shown now, and what is held back. Bytes that can be no
# part of a character become U+FFFD, �, at once. (Not on the core path.)

# %%
utf8_feed = now_you("utf8_feed")


# %% tags=["solution"]
def book_utf8_feed(held, data):
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


# %% tags=["hide-output"]
held, shown, rows = b"", [], []
for id_ in tokenizer.encode("naïve 세계 🦙!"):
    data = tokenizer.decode_bytes(id_)
    text, held = utf8_feed(held, data)
    shown.append(text)
    rows.append((id_, data.hex(" "), repr(data.decode("utf-8", "replace")), repr(text), held.hex(" ")))
assert "".join(shown) == "naïve 세계 🦙!"
table(("id", "bytes", "decoded alone", "decoded as a stream", "held back"), rows)

# %% [markdown]
# Three bytes at most: a character has four, and with the fourth it is complete.
#
# ## One thing wrong at a time
#
# No mistake in a tokenizer crashes, as long as its ids are in the vocabulary. The model reads what it is given. Each
# line is "The capital of France is", cut with one thing wrong.
#
# **Guess first:** one of them is a single space too many, behind the last word. How much can that do?


# %% tags=["hide-output"]
def leftmost_first(word, merges):
    """Any rule that fits, from the left, whatever its rank."""
    known, symbols = set(merges), list(word)
    while fits := [i for i, pair in enumerate(pairwise(symbols)) if pair in known]:
        symbols[fits[0] : fits[0] + 2] = ["".join(symbols[fits[0] : fits[0] + 2])]
    return symbols


def first_rules_only(word, merges):
    return encode_with_merges(word, merges[:500])


text = "The capital of France is"
variants = {
    "right": pieces_of_smollm(text),
    "a space behind": pieces_of_smollm(text + " "),
    "words without their space": [piece for word in text.split() for piece in pieces_of_smollm(word)],
    "leftmost rule, not the first learned": pieces_of_smollm(text, leftmost_first),
    "the first 500 rules only": pieces_of_smollm(text, first_rules_only),
    "letters": list(byte_characters_of(text)),
}
ids = {name: [id_of[piece] for piece in pieces] for name, pieces in variants.items()}
ids["ids of another vocabulary: all + 1"] = [id_ + 1 for id_ in ids["right"]]
rows = [(name, len(row), " ".join(tokenizer.pieces[i] for i in row), next_words(row)) for name, row in ids.items()]
assert "Paris" in rows[0][3]
assert not any("Paris" in row[3] for row in rows[1:])
table(("cut", "tokens", "pieces", "next"), rows)

# %% [markdown]
# Every mistake loses Paris. The space behind is the one that people make: a prompt that ends in a space. The model has
# met *Paris* as one piece with its space, ` Paris`, and a space that stands alone only where a number follows, because
# digits are set apart: see ` 2023` above. So it writes a number. The wrong order of rules gives pieces that are all in
# the vocabulary, but a word is always cut in the same way, so that in training *The* was never *Th* and *e*.
#
# ## What you now know
#
# - Letters make texts long and leave the model to spell; whole words never end. BPE joins what stands side by side most
#   often, so that frequent words are one piece and rare ones several.
# - What is learned is a list of rules. A new word is cut by the same rules, the first learned first.
# - A page learns itself by heart; what counts is how a vocabulary compresses text that it has not seen.
# - Digits are set apart, so that numbers are made of ten pieces, and bytes are pieces, so that nothing is unknown.
# - A token may be half a character. A decoder holds back at most three bytes.
# - A model can read only the cut that it was trained with. A space behind a prompt is another text.
#
# ## Three questions
#
# 1. A text has *it* four times, *bit* twice and *its* once. Which is the first rule, and how often does it apply? How
#    often does the pair *b i* occur before, and after? Which rule is the second?
#
# <details>
# <summary>Answer</summary>
#
# *i t*: 4 + 2 + 1 = 7 times. *b i* occurs twice before, and never after, since each of its i's is part of *it*. Then
# *b it* occurs twice and *it s* once, so *b it* is second.
#
# </details>
#
# 2. LLaMA 2 7B has 32,000 pieces, a width of 4096, and two tables with a row for each piece. Somebody wants twice as
#    many pieces, because that makes texts shorter by a tenth. How many parameters are added? What is gained when a text
#    of 1000 tokens is read, and who gains nothing?
#
# <details>
# <summary>Answer</summary>
#
# 32,000 more rows of 4096 numbers, twice: 262 million, 4 % of the 6.7 billion that there are. The text needs about 900
# runs through the layers instead of 1000, and more of it fits into the context. Texts of another kind than those that
# the new pieces were trained on, other languages or code, may gain nothing.
#
# </details>
#
# 3. A vocabulary of LLaMA's kind has no Hangul at all. How many tokens is a word of five Hangul syllables with the
#    space in front of it, which is a piece? The model stops after the ninth of these tokens: what has the screen shown,
#    and what is held back?
#
# <details>
# <summary>Answer</summary>
#
# Each syllable has three bytes, so 5 · 3 + 1 = 16 tokens. After nine, the space and eight bytes are there: two
# syllables are complete and shown, two bytes of the third are held back. If nothing more comes, they can only become �.
#
# </details>
#
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
# Each is asked for above, where its idea is fresh. `minillama learn start my-llama` makes a folder with all starters,
# and `minillama learn watch` checks on every save.
#
# ## Next
#
# A text is a row of ids now, and an id is a name: 500 is not five times 100. [03](03_embeddings_and_loss.ipynb) gives
# each a vector, and says how wrong a model is about the next one.
