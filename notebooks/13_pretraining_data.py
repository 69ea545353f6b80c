# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 13 · Pretraining data
#
# > **Before this:** [03](03_embeddings_and_loss.ipynb).
# > **Time:** 60 minutes to read and run, 264 for all exercises; on the [core path](README.md) 225 together.
# >
# > **In the paper:** LLaMA 2 (arXiv:2307.09288), sections 2.1 and 4.1, appendix A.6. The rules are those of Gopher
# > (arXiv:2112.11446), C4 (JMLR 21, 2020), FineWeb (arXiv:2406.17557) and Dolma (arXiv:2402.00159). **Not here:** the
# > training itself (14). Not reproduced: LLaMA 2's data were never published, neither pages nor sources nor
# > proportions. The pages here were made for this chapter: their shares say how rules work, not what the web is like.
#
# A language model learns what usually comes next. Usually where? In the texts that somebody gave it, and nowhere else.
# Two sentences for the real model: one stands on very many pages of the web, the other was written for this chapter.

# %% tags=["hide-input"]
import ipaddress
import json
import re
import shutil
import tempfile
import textwrap
import time
import zlib
from collections import Counter
from itertools import combinations, pairwise, permutations
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from numba import njit

from minillama.compute.threads import set_threads
from minillama.data.rules.c4 import POLICY_PHRASES, C4Quality
from minillama.learn.book import COLOURS, claim, label, load, now_you, show, show_error, style, table, torch
from minillama.learn.book.toy import SENTENCE

style()
plt.rcParams["axes.axisbelow"] = True
set_threads(1)  # the same work wherever the chapter runs
llm = load()
work = Path(tempfile.mkdtemp(prefix="minillama-13-"))  # everything that this chapter writes
STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")  # of Gopher's rules


def show_text(text):
    """Print a text in lines of the page's width."""
    print("\n".join(textwrap.fill(line, 100) for line in text.splitlines()))


# %% [markdown]
# **Guess first:** at each place the model is given the words so far. For what share of the tokens beyond the tenth is
# the right one its first choice, in the one sentence and in the other?

# %% tags=["hide-output"]
OFTEN = """\
We hold these truths to be self-evident, that all men are created equal, that they are endowed by their Creator with
certain unalienable Rights, that among these are Life, Liberty and the pursuit of Happiness.""".replace("\n", " ")
NEW = """\
Once there was a lighthouse keeper who had a small grey cat. Every evening the two of them climbed the stairs to light
the lamp, and every morning they came down to sleep.""".replace("\n", " ")
knows = {}
for name, text in (("stands on many pages", OFTEN), ("written for this book", NEW)):
    ids = llm.tokenizer.encode(text)
    first_choice = llm.logits(ids)[:-1].argmax(axis=-1) == ids[1:]
    knows[name] = first_choice[9:].mean()
    print(f"{name:<22} {first_choice[9:].sum()} of {len(first_choice[9:])} tokens are its first choice")
assert knows["stands on many pages"] > 2 * knows["written for this book"]

# %% [markdown]
# Nobody asked it to learn the one by heart. What a text is worth is not written on it, so whatever is in the data often
# is learned well: a declaration, an advert, somebody's telephone number, the questions of a test.
#
# Now the part missing: no choice at all. The folded cell makes a web of 760 pages: 300 stories, 130 copies of them,
# some in capitals, one more story that was copied 60 times, 30 stories with a question of a test in them, and 40 pages
# each of six kinds: adverts, lists of addresses, stories with one address, pages that say one thing again and again,
# programs, pages that are too short. Two models learn from it. They are the simplest there are: for every three words
# in a row they have counted which word followed, and how often. One has read all pages as they are, the other what is
# left of them at the end of this chapter.

# %% tags=["hide-input"]
from minillama.data.pipeline.run import PipelineSettings, run_pipeline
from minillama.data.rules.contamination import NgramOverlap, TokenContamination

GRAMMAR_TEXT = """\
who: fox, hen, baker, sailor, child, teacher, king, miller, owl, mouse, smith, painter, nurse, farmer
how: old, young, clever, tired, brave, shy, proud, hungry, careful, lonely, quick, gentle
thing: key, map, lamp, coat, drum, boat, ring, bell, basket, letter, ladder, kettle, mirror, wheel
where: river, forest, market, bridge, garden, tower, harbour, mill, school, meadow, cellar, hill
did: found, lost, sold, carried, painted, hid, mended, borrowed, counted, cleaned, opened, washed
when: in spring, at noon, after supper, before dawn, on Sunday, in winter, at midnight, once
felt: laughed, was glad, said nothing, went home, fell asleep, began to sing, felt better"""
GRAMMAR = {line.split(": ")[0]: line.split(": ")[1].split(", ") for line in GRAMMAR_TEXT.splitlines()}
SHAPES = (
    "{when} the {how} {who} {did} a {thing} by the {where}.",
    "The {who} and the {how} {who} went to the {where} {when}.",
    '"Where is my {thing}?" asked the {who}, and the {how} {who} {felt}.',
    "Nobody at the {where} had a {how} {thing}, so the {who} {felt}.",
    "It was {how} work to have a {thing} that a {who} {did} {when}.",
    "Then the {who} {felt} and {did} the {thing} of the {who}.",
)
QUIZ = [
    "Which of the four seas that a lighthouse keeper of the north can see from the tower is the one without any ice?",
    "A farmer has 17 hens and buys 25 more at the market on Sunday. How many hens does the farmer have on Monday?",
    "Who painted the tall blue mill by the river that all the children of the village pass on their way to school?",
    "In which year was the old stone bridge over the river closed to all the carts and the horses of the farmers?",
    "Name the instrument that the miller plays before supper and the teacher plays after supper in the quiet house.",
    "What does the owl in the fable give to the hungry mouse in exchange for the silver key of the cellar door?",
]


def tell(rng, n_sentences=11):
    """A story of the grammar."""

    def word(match):
        options = GRAMMAR[match[1]]
        return options[int(rng.integers(len(options)))]

    made = (re.sub(r"\{(\w+)\}", word, SHAPES[int(rng.integers(len(SHAPES)))]) for _ in range(n_sentences))
    return " ".join(sentence[0].upper() + sentence[1:] for sentence in made)


def changed(text, share, rng):
    """A text with some of its words exchanged."""
    words = text.split()
    for i in np.flatnonzero(rng.random(len(words)) < share):
        words[i] = GRAMMAR["thing"][int(rng.integers(14))] + "s"
    return " ".join(words)


def made_up_web():
    """Pairs of a kind and a page."""
    rng = np.random.default_rng(11)
    stories = [tell(rng) for _ in range(300)]
    pages = [("story", text) for text in stories]
    for i in range(80):
        pages.append(("near copy", f"Visitor {i}. " + changed(stories[i], 0.008, rng)))
    pages += [("exact copy", stories[i].upper() if i % 2 else stories[i] + "\n") for i in range(100, 150)]
    for i in range(40):
        pages.append(("with address", tell(rng) + f" Write to reader{i}@mail.example.org if you like it."))
        pages.append(("address list", "\n".join(f"{x}{i}@{x}.example: {tell(rng, 3)}" for x in GRAMMAR["who"][:9])))
        pages.append(("advert", "\n".join(["BUY NOW !!!", f"#sale{i}", "Free shipping", tell(rng, 1)] * 5)))
        pages.append(("loop", " ".join([tell(rng, 2)] * 7)))
        pages.append(("program", tell(rng, 6) + "\nfunction f(x) { return x; }\n" + tell(rng, 6)))
        pages.append(("too short", tell(rng, 3)))
    pages += [("with question", tell(rng) + " " + QUIZ[i % 6] + " " + tell(rng, 3)) for i in range(30)]
    pages += [("copied 60 times", changed(FAVOURITE, 0.01, rng)) for _ in range(60)]
    return [pages[i] for i in rng.permutation(len(pages))]


FAVOURITE = tell(np.random.default_rng(77), 9)
web = made_up_web()
(work / "pages.jsonl").write_text("".join(json.dumps({"text": t, "kind": k}) + "\n" for k, t in web))
(work / "quiz.json").write_text(json.dumps(QUIZ))
settings = PipelineSettings((work / "pages.jsonl",), work / "clean.jsonl", eval_files=(work / "quiz.json",))
tally = run_pipeline(settings).tally
clean = [json.loads(line)["text"] for line in (work / "clean.jsonl").read_text().splitlines()]
print(f"{len(web)} pages, {len(clean)} are left")


# %% [markdown]
# **Guess first:** each model writes 300 texts, by chance, word by word. In how many is there an advert, an address of
# somebody, a question of the test, twelve words in a row of the story that was copied? And in how many of the other?


# %% tags=["hide-output"]
def following(texts):
    """How often each word came after each three words."""
    counts = {}
    for words in map(str.split, texts):
        for i in range(len(words) - 3):
            counts.setdefault(tuple(words[i : i + 3]), Counter())[words[i + 3]] += 1
    return counts


def write_texts(texts, n, rng, longest=60):
    """Texts that begin like a page, and go on by chance."""
    counts, written = following(texts), []
    for page in rng.integers(len(texts), size=n):
        words = texts[page].split()[:3]
        while len(words) < longest and tuple(words[-3:]) in counts:
            follows = counts[tuple(words[-3:])]
            shares = np.array(list(follows.values())) / follows.total()
            words.append(list(follows)[int(rng.choice(len(shares), p=shares))])
        written.append(" ".join(words))
    return written


# Filters that drop a text with so many words in a row of the questions, or of the story; how they work comes below.
is_question, is_favourite = NgramOverlap(QUIZ, n=13), NgramOverlap([FAVOURITE], n=12)
drawn = {}
for name, texts in (("all pages", [text for _, text in web]), ("what is left", clean)):
    written = write_texts(texts, 300, np.random.default_rng(13))
    drawn[name] = [
        sum("BUY NOW" in text for text in written),
        sum("@" in text for text in written),
        sum(is_question(text).text is None for text in written),
        sum(is_favourite(text).text is None for text in written),
    ]
assert drawn["what is left"] == [0, 0, 0, 0]
assert min(drawn["all pages"]) > 0
table(
    ("model of", "adverts", "addresses", "questions of the test", "the copied story"),
    [(k, *v) for k, v in drawn.items()],
)

# %% [markdown]
# Nothing crashed, and both are models of their data. The first has learned the web. One page in 19 is an advert, and
# one in eight of its texts has one: whichever comes to three words that also stand in an advert may go on there.
#
# ## LLaMA 2 names no rule
#
# What did the makers of LLaMA 2 do? The paper says little, and some of it surprises:

# %%
table(
    ("topic", "what the paper says"),
    [
        ("sources", "public ones only; no data of Meta's products or users (2.1)"),
        ("personal data", "sites with much of it about private individuals were left out; nothing finer (2.1)"),
        ("facts", "the most factual sources were up-sampled (2.1); the proportions are not published"),
        ("quality rules", "cleaning was 'more robust'; no rule is named"),
        ("harmful content", "measured, not filtered: about 0.2 % of documents score 0.5 or more (4.1)"),
        ("why not filtered", "detecting hate needs examples of it, and filters erase groups of people (4.1)"),
        ("duplicates", "not described; LLaMA 1 removed them"),
        ("test questions", "looked for after training, nothing removed (A.6)"),
    ],
)

# %% [markdown]
# So the rules of this chapter are not LLaMA 2's. They are those that the makers of Gopher, a model, and of C4, FineWeb
# and Dolma, collections of texts, have published.
#
# ## A figure and a limit decide about a page
#
# Nobody can read two trillion tokens, so a program judges, and it does not understand a word. It computes a figure,
# such as the signs # per word, and compares it with a limit. Nine of Gopher's rules, on two pages made of this book's
# words. The first is its sentence. The second is an advert: `# dog # bone BUY NOW ...`. Signs stand alone and count as
# words; words that are no signs are called *real* here.
#
# | figure | kept if | the sentence | the advert |
# |---|---|---|---|
# | real words | at least 50 | 9 | 4 |
# | their mean length | 3 to 10 (two rules) | 4.1 | 3.25 |
# | # per word | at most 0.1 | 0 | 2/7 = 0.29 |
# | dots (... or …) per word | at most 0.1 | 0 | 1/7 = 0.14 |
# | lines that begin with • or - | at most 0.9 | 0 | 0 |
# | lines that end in dots | at most 0.3 | 0 | 1 |
# | words with a letter | at least 0.8 | 9/10 = 0.9 | 4/7 = 0.57 |
# | different ones of *the, be, to, of, and, that, have, with* | at least 2 | ? | 0 |
#
# **Guess first:** what stands in place of the question mark, and does the sentence pass the last rule? The words count
# as they are written.
#
# ### Now you · `gopher_broken_rules` · 30 minutes
#
# A text in which signs stand alone → the names of the rules that it breaks. Words are what stands between spaces.
# `STOP_WORDS` are the eight of the table.

# %%
gopher_broken_rules = now_you("gopher_broken_rules")


# %% tags=["solution"]
def book_gopher_broken_rules(text, min_words):
    words, lines = text.split(), text.splitlines()
    real = [word for word in words if any(c.isalnum() for c in word)]
    mean = sum(map(len, real)) / len(real)
    broken = {
        "min_words": len(real) < min_words,
        "min_mean_word_length": mean < 3,
        "max_mean_word_length": mean > 10,
        "max_hashes_per_word": text.count("#") / len(words) > 0.1,
        "max_ellipses_per_word": (text.count("...") + text.count("…")) / len(words) > 0.1,
        "max_bullet_lines": sum(line.startswith(("•", "-")) for line in lines) / len(lines) > 0.9,
        "max_ellipsis_lines": sum(line.endswith(("...", "…")) for line in lines) / len(lines) > 0.3,
        "min_words_with_letter": sum(any(c.isalpha() for c in word) for word in words) / len(words) < 0.8,
        "min_stop_words": len(set(words) & set(STOP_WORDS)) < 2,
    }
    return [rule for rule, is_broken in broken.items() if is_broken]


# %% tags=["hide-input", "hide-output"]
A_SIGN_OR_A_WORD = re.compile(r"[^\W_]+|(?<=[^\W_])['’][^\W_]+|([^\w\s]|_)\1*")


def apart(text):
    """The same lines, every sign a word of its own, runs of one sign together."""
    return "\n".join(" ".join(m[0] for m in A_SIGN_OR_A_WORD.finditer(line)) for line in text.splitlines())


for name, text in (("sentence", SENTENCE), ("advert", "#dog #bone BUY NOW...")):
    print(f"{name:<9} {apart(text)!r}")
    for rule in gopher_broken_rules(apart(text), 50):
        print(f"{'':<9} breaks {rule}")

# %% [markdown]
# The sentence has *the* twice, as "The" and as "the", and only the small one is in the list: 1, too few. It would go
# for two reasons, of which one is good: it is no page. How do the rules do on pages? Here are two that are worth
# keeping, and seven that are not, each in its own way.

# %% tags=["hide-input"]
STORY = """\
Once there was a lighthouse keeper who had a small grey cat. Every evening the two of them climbed the stairs to
light the lamp, and every morning they came down to sleep. One night the lamp would not burn. The keeper looked at
the wick and at the oil, but the cat looked at the window. A gull had pushed it open and the wind blew into the
room. The keeper shut the window, and the lamp burned again. "You have good eyes," said the keeper, and the cat was
given a whole herring for itself. Since that night nobody has lit the lamp before the cat has been to see that the
windows are closed."""
GUIDE = """\
How to bake a plain bread[edit]
Mix the flour with the salt and stir the yeast into warm water. It should be as warm as a hand, not hotter.[1]
Knead the dough for ten minutes until it is smooth. A wet dough is harder to work with, but it gives a lighter bread.[2]
Let it rest under a cloth for two hours. The time depends on the room, so look at the dough and not at the clock.
Form a loaf and bake it for forty minutes in a very hot oven. It is done when it sounds hollow to the knock.
Read our Privacy Policy
Home | Recipes | About us"""
ADVERT = "\n".join(["BUY NOW !!!", "#sale #shoes #cheap", "Free shipping", "Only today", "-50 %", "Click here"] * 4)
LOOP = " ".join(["The best shoes are here. Buy the best shoes of the town from the best shop of the town."] * 6)
LINKS = "\n".join(
    f"- {name} to the shop of the {name} and with that" for name in ["Home", "News", "Shoes", "Boots", "Hats"] * 3
)
TEASERS = "\n".join(
    f"The {thing} that you will have to see to believe and ..." for thing in ["dog", "boat", "cake", "hat"] * 4
)
PROGRAM = "\n".join(["def area(r):", "    # the area of a circle", "    return {'r': r, 'a': 3.14159 * r ** 2}"] * 6)
WARES = ["cheap", "shoes", "online", "shop", "sale", "boots", "leather", "discount", "best", "price", "buy", "outlet"]
KEYWORDS = " ".join(WARES * 6)
SHORT = "The page that you look for has moved. Go back to the start and try again."
PAGES = {
    "story": STORY, "guide": GUIDE, "advert": ADVERT, "loop": LOOP, "links": LINKS,
    "teasers": TEASERS, "program": PROGRAM, "keywords": KEYWORDS, "short": SHORT,
}  # fmt: skip
for name, text in PAGES.items():
    print(f"{name:<9} {len(text):>4} characters: {' / '.join(text.splitlines())[:74]} …")

# %% [markdown]
# The package's `GopherQuality` cuts words by itself, by a compiled loop. It has to find the same broken rules as
# `gopher_broken_rules`, for which `apart` puts spaces around the signs:

# %%
from minillama.data.rules.gopher import GopherQuality

gopher = GopherQuality()
for name, text in PAGES.items():
    broken = gopher_broken_rules(apart(text), 50)
    assert sorted(broken) == sorted(gopher(text).findings)
    print(f"{name:<9} {', '.join(broken) or 'passes'}")

# %% tags=["hide-input"]
rules = [name for name, _ in gopher.figures(STORY) if name != "max_words"]
limits = np.array([getattr(gopher, rule) for rule in rules], float)
figures = np.array([[dict(gopher.figures(text))[rule] for rule in rules] for text in PAGES.values()], float)
lower = np.array([rule.startswith("min") for rule in rules])
with np.errstate(divide="ignore"):
    ratio = np.where(lower, limits / figures, figures / limits)
figure, axis = plt.subplots(figsize=(9.5, 4.2))
image = axis.imshow(np.clip(ratio, 0, 3), cmap="RdBu_r", vmin=0, vmax=2, aspect="auto")
axis.grid(visible=False)
axis.set_xticks(range(len(rules)), [rule.replace("_", " ", 1).replace("_", "\n") for rule in rules], fontsize=8)
axis.set_yticks(range(len(PAGES)), list(PAGES))
for (row, column), value in np.ndenumerate(ratio):
    colour = "white" if abs(min(value, 3) - 1) > 0.7 else "black"
    weight = "bold" if value > 1 else "normal"
    text = f"{figures[row, column]:.3g}"
    axis.text(column, row, text, ha="center", va="center", color=colour, weight=weight, fontsize=8)
axis.set(xlabel="rule; the numbers are the page's figures, bold where the rule is broken", ylabel="page")
breaks = dict(zip(PAGES, (ratio > 1).any(axis=1)))
claim(
    axis,
    "Every bad page but “loop” breaks a rule, and no good page does",
    holds=[name for name, broken in breaks.items() if not broken] == ["story", "guide", "loop"],
)
figure.colorbar(image, label="figure / limit, or its inverse")
show(
    figure,
    "A table of nine pages by nine rules, coloured by the figure divided by its limit, upside down where the limit is "
    "a minimum: blue is far inside, white at the limit, red outside. Story, guide and loop have no red field; advert "
    f"has {int((ratio[2] > 1).sum())}, keywords only the one for stop words, short only the one for the "
    "number of words.",
)

# %% [markdown]
# "loop" gets through because each of its words looks like a word. What is wrong with it is only seen by who remembers.
#
# ## A cursor that jumps counts no letter twice
#
# How much of a page was there before? For lines that is easily said: a line is repeated if an equal one came before it.
# Two figures: repeated lines of all lines, and their characters of all characters. In
#
#     it was hungry
#     dog
#     it was hungry
#
# one line of three is repeated, and 13 of 31 characters (a line end is a character, too).
#
# ### Now you · `duplicate_line_shares` · 10 minutes
#
# A text → both shares. Empty lines are no lines: several line ends in a row part lines as one does. (Not on the core
# path.)

# %%
duplicate_line_shares = now_you("duplicate_line_shares")


# %% tags=["solution"]
def book_duplicate_line_shares(text):
    lines = re.split(r"\n+", text)
    seen, count, characters = set(), 0, 0
    for line in lines:
        if line in seen:
            count += 1
            characters += len(line)
        seen.add(line)
    return count / len(lines), characters / len(text)


# %%
of_lines, of_characters = duplicate_line_shares("it was hungry\ndog\nit was hungry")
print(f"the three lines: {of_lines:.2f} of the lines, {of_characters:.2f} of the characters")
for name in ("advert", "links", "loop"):
    print(f"{name:<8} {duplicate_line_shares(PAGES[name])[0]:.2f} of the lines")

# %% [markdown]
# "loop" is one long line, so this finds nothing. Its phrases are repeated: runs of $n$ words. Take the text *it was
# hungry it was hungry it was hungry* and $n = 3$. The 41 characters hold seven runs of three words, of which the last
# four occurred before; each has 11 letters. Four times 11 are 44: more than the text has. Every letter was counted up
# to three times. So a cursor walks, and what it has counted it jumps over:
#
# | at word | the next three words | seen? | adds | goes to word |
# |---|---|---|---|---|
# | 0 | it was hungry | no | | 1 |
# | 1 | was hungry it | no | | 2 |
# | 2 | hungry it was | no | | 3 |
# | 3 | it was hungry | yes | 11 | 6 |
# | 6 | it was hungry | yes | 11 | 9: the end |
#
# The share is 22/41 = 0.54.
#
# ### Now you · `repeated_ngram_share` · 15 minutes
#
# A text and $n$ → the share.

# %%
repeated_ngram_share = now_you("repeated_ngram_share")


# %% tags=["solution"]
def book_repeated_ngram_share(text, n):
    words, seen, characters, i = text.split(), set(), 0, 0
    while i + n <= len(words):
        window = tuple(words[i : i + n])
        if window in seen:
            characters += sum(map(len, window))
            i += n
        else:
            seen.add(window)
            i += 1
    return characters / len(text)


# %% [markdown]
# The toy, then all pages for the six lengths of Gopher's rules, against the package:

# %%
from minillama.data.rules.repetition import GopherRepetition

repetition, sizes = GopherRepetition(), range(5, 11)
print(f"toy: {repeated_ngram_share('it was hungry it was hungry it was hungry', 3):.2f}")
shares = np.array([[repeated_ngram_share(apart(text), n) for n in sizes] for text in PAGES.values()])
found = [dict(repetition.figures(apart(text))) for text in PAGES.values()]
show_error(
    "repeated phrases",
    shares,
    np.array([[figures[f"max_duplicate_{n}_grams"] for n in sizes] for figures in found]),
    1e-12,
    against="the package",
)

# %% tags=["hide-input"]
figure, axis = plt.subplots(figsize=(8, 3.6))
most = np.array([getattr(repetition, f"max_duplicate_{n}_grams") for n in sizes])
for name, colour, line in zip(("story", "loop", "links", "program", "keywords"), COLOURS, ("-", "--", "-", "--", "-")):
    axis.plot(sizes, shares[list(PAGES).index(name)], line, marker="o", markersize=4, label=name, color=colour)
axis.plot(sizes, most, color="black", linewidth=1.2, label="limit")
axis.fill_between(sizes, most, 1, color="#d8d8d2", alpha=0.5, zorder=0)
axis.set(xlabel="words n of a phrase", ylabel="share of characters repeated", ylim=(-0.03, 1))
by_name = dict(zip(PAGES, shares))
claim(
    axis,
    "What says the same again and again is far above the limit",
    holds=all((by_name[name] > 3 * most).all() for name in set(PAGES) - {"story", "guide", "short"})
    and not np.any([by_name[name] for name in ("story", "guide", "short")]),
)
axis.legend(ncols=6, loc="upper center", bbox_to_anchor=(0.5, -0.2), fontsize=8)
show(
    figure,
    "Five lines over the length of a phrase, 5 to 10 words, and the limit, which falls from 0.15 to 0.10; above it the "
    "ground is grey. Loop, links, program and keywords run nearly level, all between "
    f"{min(by_name[name].min() for name in ('loop', 'links', 'program', 'keywords')):.2f} and "
    f"{max(values.max() for values in by_name.values()):.2f}; the story lies at 0.",
)

# %% [markdown]
# Nothing lies near the limit, on either side: what repeats itself does so thoroughly. (Advert and teasers, not drawn,
# lie with the upper lines, guide and short at 0.) The limit falls with $n$ because five words that come again may be
# chance, and ten are not.
#
# ## A good page has bad lines
#
# Both sets of rules keep a page or drop it. The guide on baking is worth keeping, but it ends in a menu and a notice.
# C4's rules look at lines, and keep those that are sentences. Four lines:
#
#     Dogs | Bones | About us
#     The dog buried the bone.[1]
#     It was hungry ...
#     Read our privacy policy.
#
# **Guess first:** a sentence ends in a full stop, a question mark, an exclamation mark or a quotation mark, and has
# three words or more. Which of the four lines stay, and what is done about the [1]?
#
# ### Now you · `c4_clean_lines` · 15 minutes
#
# A page → the list of its lines that stay, without citation marks. Some lines end like sentences and are notices: they
# have one of the `POLICY_PHRASES`, which chapter and starter bring. (Not on the core path.)

# %%
c4_clean_lines = now_you("c4_clean_lines")


# %% tags=["solution"]
def book_c4_clean_lines(text):
    kept = []
    for line in text.splitlines():
        line = re.sub(r"\[\d*\]|\[edit\]|\[citation needed\]", "", line.strip())
        lower = line.lower()
        is_sentence = line.endswith((".", "?", "!", '"', "'")) and not line.endswith("...")
        is_notice = "javascript" in lower or any(phrase in lower for phrase in POLICY_PHRASES)
        if is_sentence and len(line.split()) >= 3 and not is_notice:
            kept.append(line)
    return kept


# %% tags=["hide-input", "hide-output"]
print(c4_clean_lines("""\
Dogs | Bones | About us
The dog buried the bone.[1]
It was hungry ...
Read our privacy policy."""))  # fmt: skip

# %% [markdown]
# One is left. Three dots end no sentence, and "privacy policy" is one of the phrases. The mark has to go before the end
# of the line is looked at: "bone.[1]" ends in a bracket. On the guide, and on all pages against the package:

# %%
show_text("\n".join(c4_clean_lines(GUIDE)))
lines_only = C4Quality(lorem_ipsum=False, curly_bracket=False, min_sentences=None)
for text in PAGES.values():
    left = lines_only(text).text
    assert c4_clean_lines(text) == (left.split("\n") if left else [])

# %% [markdown]
# FineWeb leaves out the rule about how a line ends in its C4 step, and has rules of its own that ask the same of the
# page. What all four filters say about the nine pages, with the first two rules that a dropped page breaks:

# %%
from minillama.data.rules.fineweb import FineWebQuality

rows, survivors = [], []
filters = [repetition, gopher, C4Quality.fineweb(), FineWebQuality()]
for name, text in PAGES.items():
    decisions = [filter_(text) for filter_ in filters]
    survivors += [name] * all(decision.text for decision in decisions)
    said = ("keeps" if d.text == text else "changes" if d.text else ", ".join(list(d.findings)[:2]) for d in decisions)
    rows.append((name, *said))
assert survivors == ["story", "guide"]
table(("page", "repetition", "gopher", "c4, as in FineWeb", "fineweb"), rows)

# %% [markdown]
# Every bad page is dropped by somebody, mostly by several.
#
# ## The least surprising page is the worst
#
# Could a language model not do all that? It says how probable a text is (03), and prose should be more probable than
# garbage. The pipeline that LLaMA 1 used for the web, CCNet, sorts pages by a small model's perplexity.
#
# **Guess first:** SmolLM2 reads the beginnings of the story, the guide, the loop, the keywords, and random letters.
# Which has the fewest bits per byte (03), and which the most?

# %% tags=["hide-input", "hide-output"]
letters = "".join(np.random.default_rng(1).choice(list("abcdefghijklmnopqrstuvwxyz     "), 240))
bits = {}
for name, text in {**PAGES, "letters": letters}.items():
    if name in ("story", "guide", "loop", "keywords", "letters"):
        ids = llm.tokenizer.encode(text[:240])
        losses = -llm.logprobs(ids[:1], ids[1:])
        bits[name] = float(losses.sum() / np.log(2) / len(llm.tokenizer.decode(ids[1:]).encode()))
figure, axis = plt.subplots(figsize=(8, 3.2))
good = [COLOURS[0] if name in ("story", "guide") else COLOURS[5] for name in bits]
axis.bar_label(axis.bar(list(bits), list(bits.values()), color=good), fmt="%.2f", padding=2)
axis.set(xlabel="page, its first 240 characters (blue: worth keeping)", ylabel="bits per byte under SmolLM2")
in_order = sorted(bits, key=bits.get)
claim(axis, "The best score goes to a loop", holds=in_order[0] == "loop" and in_order[-1] == "letters")
axis.margins(y=0.12)
show(
    figure,
    "Five bars, the bits per byte of SmolLM2: "
    + ", ".join(f"{name} {bits[name]:.2f}" for name in in_order)
    + ". The two good pages, blue, stand between the loop and the random letters.",
)

# %% [markdown]
# What repeats itself is the easiest to predict. So such filters keep a middle.

# %% [markdown]
# ## A year looks like a telephone number
#
# Addresses and numbers of people have a shape, and shapes can be found by regular expressions. Say, a telephone number
# is a row of seven signs or more, a digit at each end, and digits, spaces, dots, dashes and brackets between.
#
# **Guess first:** what does that rule leave of the first line of `FACTS`?

# %% tags=["hide-output"]
FACTS = """\
The war of 1914-1918 was followed by the years 1919-1939. The house was sold for 1 250 000 dollars.
The book, ISBN 978-3-16-148410-0, appeared on 2023-07-18. Its distance is 149 597 870 kilometres.
Call the author on 555-010-4477."""
loose = re.compile(r"\+?\d[\d\-. ()]{5,}\d")
show_text(loose.sub("|||PHONE_NUMBER|||", FACTS))

# %% [markdown]
# A model that is trained on this never sees when the war was. Its loss falls as it should: "|||PHONE_NUMBER|||" is easy
# to predict. What can tell a number of somebody from any other number? Some have a check inside.
#
# The last digit of a card number is chosen so that a sum comes out as a multiple of 10, the Luhn formula. From the
# right, every second digit is doubled, and a doubled digit of two figures counts as their sum:
#
# | number | | | | sum | |
# |---|---|---|---|---|---|
# | 497 | 4 | 9, doubled 18, counts 9 | 7 | 20 | valid |
# | 947 | 9 | 4, doubled 8 | 7 | 24 | not valid |
#
# So a card whose digits were typed in the wrong order is noticed. Almost always: one pair of neighbours can be
# exchanged unnoticed.
#
# ### Now you · `luhn_valid` · 10 minutes
#
# Digits → True or False. From the right, because cards have 12 to 19 digits.

# %%
luhn_valid = now_you("luhn_valid")


# %% tags=["solution"]
def book_luhn_valid(digits):
    total = 0
    for i, digit in enumerate(map(int, reversed(digits))):
        if i % 2 == 1:
            digit = 2 * digit - 9 if digit > 4 else 2 * digit
        total += digit
    return total % 10 == 0


# %% [markdown]
# **Guess first:** which two digits? And of random numbers of 16 digits, what share is valid?

# %% tags=["hide-output"]
pairs = [(a, b) for a in range(10) for b in range(a + 1, 10)]
same = lambda a, b: all(luhn_valid(f"{a}{b}{c}") == luhn_valid(f"{b}{a}{c}") for c in range(10))  # next to a third
print("unnoticed:", [pair for pair in pairs if same(*pair)])
rng = np.random.default_rng(13)
random_numbers = ["".join(map(str, rng.integers(0, 10, 16))) for _ in range(20_000)]
print(f"valid by accident: {np.mean([luhn_valid(number) for number in random_numbers]):.1%}")

# %% [markdown]
# 0 counts 0 either way, and 9 counts 9 either way. The check removes nine accidents of ten, and the tenth has to be
# judged by the words around it.
#
# A bank account has a better one. Its first four characters go to the end, letters become numbers (A is 10, Z is 35),
# and the whole, as one decimal number, leaves the remainder 1 when divided by 97. One accident in 97 passes. And 97 is
# a prime, so whatever single digit is wrong, the remainder is another one.
#
# ### Now you · `iban_checksum_valid` · 10 minutes
#
# Capitals and digits, with a space after every four → True or False. Python's integers have no limit. (Not on the core
# path.)

# %%
iban_checksum_valid = now_you("iban_checksum_valid")


# %% tags=["solution"]
def book_iban_checksum_valid(iban):
    compact = iban.replace(" ", "")
    turned = compact[4:] + compact[:4]
    return int("".join(str(int(c, 36)) for c in turned)) % 97 == 1


# %%
EXAMPLE = "GB82 WEST 1234 5698 7654 32"  # the registry's example
wrong = [EXAMPLE[:i] + d + EXAMPLE[i + 1 :] for i in range(10, 27) if EXAMPLE[i] != " " for d in "0123456789"]
wrong = [text for text in wrong if text != EXAMPLE]
print(f"{EXAMPLE}: {iban_checksum_valid(EXAMPLE)}")
print(f"with one digit wrong, {len(wrong)} ways: {sum(map(iban_checksum_valid, wrong))} are valid")

# %% [markdown]
# An address of the internet has no check, but it has a range: four numbers up to 255. And some of these nobody outside
# can reach, such as 192.168.0.7, which is in millions of houses and tells nothing about anybody.
#
# ### Now you · `ipv4_public` · 12 minutes
#
# A text → whether it is an address, and not a private one. 172.16 to 172.31 are private, 172.40 is not. (Not on the
# core path.)

# %%
ipv4_public = now_you("ipv4_public")


# %% tags=["solution"]
def book_ipv4_public(text):
    parts = text.split(".")
    if len(parts) != 4 or not all(p.isdecimal() and p == str(int(p)) and int(p) <= 255 for p in parts):
        return False
    a, b = int(parts[0]), int(parts[1])
    is_private = a in (10, 127) or (a, b) in ((169, 254), (192, 168)) or (a == 172 and 16 <= b <= 31)
    return not is_private


# %%
for address in ("83.12.7.200", "192.168.0.7", "172.20.1.1", "172.40.1.1", "256.1.1.1", "1.2.3"):
    try:
        expected = ipaddress.ip_address(address).is_global  # Python's own
    except ValueError:
        expected = False
    assert ipv4_public(address) == expected
    print(f"{address:<12} {'public' if expected else 'private, or no address'}")

# %% [markdown]
# ## A found place moves all that come after it
#
# An e-mail address needs neither check nor range: it has an @. What goes wrong there are the ends. In *Write to
# dog@bone.example.org, or to it.* the comma is the sentence's, and in *dog@bone.example.org.* the last full stop is.
#
# ### Now you · `redact_emails` · 12 minutes
#
# A text → the text with `|||EMAIL_ADDRESS|||` in place of each address. `re.sub` is enough.

# %%
redact_emails = now_you("redact_emails")


# %% tags=["solution"]
def book_redact_emails(text):
    return re.sub(r"[A-Za-z0-9._+-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}", "|||EMAIL_ADDRESS|||", text)


# %%
CONTACT = """\
The lighthouse is open on Sundays. Write to keeper@lighthouse.example.org. Or call (555) 010-4477 before you come.
The guest book is at 83.12.7.200 and the old one was at 192.168.0.7, which nobody can reach from outside.
Friends of the lighthouse pay to GB82 WEST 1234 5698 7654 32. Our book has the ISBN 978-3-16-148410-0."""
show_text(redact_emails(CONTACT))

# %% [markdown]
# Other finders say where they have found something, and of what kind. In *dog and bone*, say, a `DOG` from 0 to 3 and a
# `BONE` from 8 to 12. Put `|||DOG|||` in the place of the first: where is the bone now? It has moved by six.
#
# And a page with many findings is a list of contacts. What would be left of it is a list of marks, so it is dropped as
# a whole.
#
# ### Now you · `redact_or_drop` · 10 minutes
#
# A text, its sorted findings, and how many a page may have → the text with marks, or None. (Not on the core path.)

# %%
redact_or_drop = now_you("redact_or_drop")


# %% tags=["solution"]
def book_redact_or_drop(text, spans, most):
    if len(spans) > most:
        return None
    for start, stop, kind in reversed(spans):  # from the right, so that the other positions stay
        text = text[:start] + "|||" + kind + "|||" + text[stop:]
    return text


# %% [markdown]
# The package's `PersonalDataFilter` has three styles. Dolma's puts marks, and drops pages with six findings or more;
# FineWeb's puts in other addresses, the same everywhere, and leaves private ones of the internet alone; the package's
# own, "checked", knows more kinds, and asks checks and neighbouring words.

# %%
from minillama.data.rules.personal_data.filter import PersonalDataFilter

print(redact_or_drop("dog and bone", [(0, 3, "DOG"), (8, 12, "BONE")], 5))
for name in ("dolma", "fineweb", "checked"):
    print(f"--- {name}")
    show_text(PersonalDataFilter(style=name)(CONTACT).text)
contacts = "\n".join(f"{name} answers at {name}@mail.example.org daily" for name in "abcdef")
print("--- six addresses, dolma:", PersonalDataFilter(style="dolma")(contacts).text)
spans = [(start, stop, kind) for kind, start, stop, *_ in PersonalDataFilter(style="dolma").find(CONTACT)]
assert redact_or_drop(CONTACT, spans, 5) == PersonalDataFilter(style="dolma")(CONTACT).text

# %% [markdown]
# Only the third hides the bank account. The ISBN stands in all of them: it is nobody's.
#
# ## Found is not right, and right is not all
#
# How good is such a rule? Say a text has four telephone numbers. A rule finds ten places, of which three are telephone
# numbers. Two figures say what that is worth. The [precision](glossary.md#precision): of what was found, 3/10 are
# right. And the [recall](glossary.md#recall): of what is there, 3/4 were found. The loose rule above has the second and
# not the first.
#
# To measure them one needs texts in which the right places are known. The folded cell makes 400: sentences with
# numbers and addresses in them, and traps that only look like that (orders, ISBNs, versions, years, prices: 3@2.50).

# %% tags=["hide-input"]
DRAW = np.random.default_rng(5)


def digits(n):
    return "".join(map(str, DRAW.integers(0, 10, n)))


def pick(*options):
    return options[int(DRAW.integers(len(options)))]


def card():
    body = "4" + digits(14)
    number = next(body + d for d in "0123456789" if luhn_valid(body + d))
    return pick(number, " ".join(number[i : i + 4] for i in range(0, 16, 4)))


def iban():
    account = digits(18)
    compact = next(f"DE{c:02d}{account}" for c in range(2, 99) if iban_checksum_valid(f"DE{c:02d}{account}"))
    return pick(compact, " ".join(compact[i : i + 4] for i in range(0, 22, 4)))


MAKE = {
    "EMAIL_ADDRESS": lambda: pick("a.b", "info", "jo+x") + pick("@post", "@mail.co") + pick(".org", ".net"),
    "PHONE_NUMBER": lambda: pick(f"(555) 010-{digits(4)}", f"555-010-{digits(4)}", f"+44 20 7946 0{digits(3)}",
                                 f"+49 30 23125 {digits(3)}"),
    "IP_ADDRESS": lambda: f"83.{DRAW.integers(60, 255)}.{DRAW.integers(255)}.{DRAW.integers(255)}",
    "CREDIT_CARD": card,
    "IBAN_CODE": iban,
}  # fmt: skip
SENTENCES = (
    "Please write to {EMAIL_ADDRESS} and we will answer.", "You can call {PHONE_NUMBER} in the morning.",
    "The server at {IP_ADDRESS} was slow.", "The card {CREDIT_CARD} was charged twice.",
    "Send the rent to {IBAN_CODE} please.", "Her phone is {PHONE_NUMBER}, his address {EMAIL_ADDRESS}.",
)  # fmt: skip
TRAPS = (
    lambda: f"Order {digits(10)} was sent.", lambda: f"ISBN 978-3-16-{digits(6)}-0 is out of print.",
    lambda: f"Version 2.{digits(1)}.1.4 is out.", lambda: f"From 1914 to 19{digits(2)} it cost 1,{digits(3)} dollars.",
    lambda: f"See doi 10.1000/{digits(7)} for this.", lambda: f"It is 3@2.50, or {digits(3)} {digits(3)} people.",
    lambda: f"The hash is {digits(16)}.", lambda: "The story began in the spring of that year.",
)  # fmt: skip


def labelled_text():
    """A text, and the places of its personal data."""
    text, spans = "", []
    for _ in range(5):
        if DRAW.random() < 0.5:
            text += " " + pick(*TRAPS)()
            continue
        for part in re.split(r"(\{\w+\})", " " + pick(*SENTENCES)):
            if part[:1] == "{":
                value = MAKE[part[1:-1]]()
                spans.append((part[1:-1], len(text), len(text) + len(value)))
                part = value
            text += part
    return text, spans


LABELLED = [labelled_text() for _ in range(400)]
show_text(f"for example:{LABELLED[0][0]}")


# %% [markdown]
# **Guess first:** the loose expression finds every telephone number, and the package's own style finds as many.
# How much of what each finds is right?


# %% tags=["hide-output"]
def counted(find, texts):
    """For each kind: right findings, findings, places that are there, places that were found."""
    right, found, there, reached = Counter(), Counter(), Counter(), Counter()
    for text, marked in texts:
        spans = find(text)
        for kind, start, stop, *_ in spans:
            found[kind] += 1
            right[kind] += any(k == kind and a < stop and start < b for k, a, b in marked)
        for kind, a, b in marked:
            there[kind] += 1
            reached[kind] += any(s[0] == kind and a < s[2] and s[1] < b for s in spans)
    return right, found, there, reached


styles = {name: PersonalDataFilter(style=name).find for name in ("dolma", "fineweb", "checked")}
styles["loose"] = lambda text: [("PHONE_NUMBER", *match.span()) for match in loose.finditer(text)]
tallies = {name: counted(find, LABELLED) for name, find in styles.items()}
for name in ("loose", "checked"):
    right, found, there, reached = (counts["PHONE_NUMBER"] for counts in tallies[name])
    print(f"{name:<8} recall {reached / there:.2f}, precision {right / found:.2f}")

# %% tags=["hide-input", "hide-output"]
kinds = list(MAKE)
figure, axes = plt.subplots(1, 2, figsize=(11, 3.6), sharex=True, sharey=True)
recalls = {}
for i, name in enumerate(("dolma", "fineweb", "checked")):
    right, found, there, reached = tallies[name]
    for axis, of, what in ((axes[0], there, reached), (axes[1], found, right)):
        values = [what[kind] / of[kind] if found[kind] else np.nan for kind in kinds]
        bars = axis.bar(np.arange(5) + 0.28 * (i - 1), values, width=0.26, color=COLOURS[i], label=name)
        axis.bar_label(bars, ["–" if np.isnan(v) else f"{v:.2g}" for v in values], fontsize=7, padding=2)
    recalls[name] = {kind: reached[kind] / there[kind] for kind in kinds}
for axis, what in zip(axes, ("recall: of what is there, found", "precision: of what is found, right")):
    axis.set_xticks(range(5), [kind.replace("_", "\n").lower() for kind in kinds])
    axis.set(ylim=(0, 1.12), xlabel="kind of personal data")
    label(axis, what)
axes[0].set_ylabel("share")
axes[1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
claim(
    figure,
    "Rules for numbers of one country miss those of others; a kind without a rule is never found",
    holds=recalls["dolma"]["PHONE_NUMBER"] < 0.7
    and recalls["dolma"]["IBAN_CODE"] == recalls["fineweb"]["IBAN_CODE"] == 0
    and min(recalls["checked"].values()) > 0.95,
)
show(
    figure,
    "Two charts of bars with the same axes, five kinds of data, three styles. Left, recall: of e-mail addresses dolma "
    f"finds {recalls['dolma']['EMAIL_ADDRESS']:.2f}, the others all; of telephone numbers dolma "
    f"{recalls['dolma']['PHONE_NUMBER']:.2f}, fineweb none; cards and bank accounts only checked finds. Right, "
    "precision: checked is at 1 everywhere, dolma and fineweb lie between 0.3 and 0.75 where they find anything.",
)

# %% [markdown]
# Dolma's rule knows the American forms of a telephone number, and of the others it finds nothing. The figures hold for
# these sentences and no others: an easy set gives high ones. And names and postal addresses have no shape at all. No
# rule here finds them.
#
# ## The last storms cost good texts
#
# C4 drops a page with one word of a list. Dolma trains a classifier, which gives each sentence a score from 0 to 1, and
# drops what is above a threshold. LLaMA 2's makers only measured. How such filters work and fail does not depend on the
# topic, so here is a harmless one: sentences about **storms** are to go, all others to stay. Five of them:
#
# | | score | about a storm |
# |---|---|---|
# | heavy hail hit the roof | 0.95 | yes |
# | a storm of applause broke out | 0.8 | no |
# | waves as high as houses | 0.4 | yes |
# | the dog was cold | 0.3 | no |
# | the dog buried the bone | 0.05 | no |
#
# With a threshold of 0.5 two sentences are dropped. One of them is right, so the precision is 1/2; one of two storms is
# caught, so the recall is 1/2; and of three good sentences one is lost, 1/3. **Guess first:** the threshold is lowered
# to 0.35, and to 0.2. What do the three figures become?
#
# ### Now you · `threshold_costs` · 10 minutes
#
# Scores (n,), labels (n,) with 1 for what should go, a threshold → precision, recall, and the share of the good that is
# lost. (Not on the core path.)

# %%
threshold_costs = now_you("threshold_costs")


# %% tags=["solution"]
def book_threshold_costs(scores, labels, threshold):
    dropped, bad = scores > threshold, labels == 1
    right = (dropped & bad).sum()
    return right / dropped.sum(), right / bad.sum(), (dropped & ~bad).sum() / (~bad).sum()


# %% tags=["hide-output"]
five, storms = np.array([0.95, 0.8, 0.4, 0.3, 0.05]), np.array([1, 0, 1, 0, 0])
for threshold in (0.5, 0.35, 0.2):
    precision, recall, lost = threshold_costs(five, storms, threshold)
    print(f"threshold {threshold}: precision {precision:.2f}, recall {recall:.2f}, lost {lost:.2f}")

# %% [markdown]
# At 0.35 the second storm is caught, and no more good is lost. Further down there is nothing left to catch, and only
# good is lost. A larger case: 200 sentences, half of them about storms. One in five is difficult: words of storms in a
# sentence about something else, or bad weather without any of them. Two filters: a list of five words, and the
# package's classifier, trained on 400 other sentences that were easy.

# %% tags=["hide-input"]
from minillama.data.rules.harmful.classifier import train

WEATHER = {
    "a": ["violent", "heavy", "dark", "sudden", "cold"], "n": ["storm", "thunder", "lightning", "hail", "gale"],
    "v": ["broke", "hit", "tore", "flooded", "shook"], "o": ["the roof", "the harbour", "the old mast", "the road"],
}  # fmt: skip
OTHER = {
    "a": ["small", "quiet", "green", "happy", "cold"], "n": ["cat", "baker", "garden", "child", "market"],
    "v": ["found", "painted", "sold", "opened", "liked"], "o": ["the roof", "the harbour", "the bread", "the song"],
}  # fmt: skip
HARD_GOOD = (
    "a storm of applause broke out after the song", "the team can storm the field with a happy song",
    "a lightning visit to the market and the baker", "they met for thunder and cake, a happy game",
)  # fmt: skip
HARD_BAD = (
    "the wind rose and the rain did not stop", "waves as high as houses tore the old mast down",
    "nobody could stand outside, the sky was black", "water came through the roof, the road was flooded",
)  # fmt: skip


def sentences_about(words, hard, n, rng):
    """n sentences, of which every fifth is a hard one."""
    made = []
    for _ in range(n):
        part = {key: values[int(rng.integers(len(values)))] for key, values in words.items()}
        made.append(f"the {part['a']} {part['n']} {part['v']} {part['o']}")
    if hard:
        made[::5] = [hard[i % len(hard)] for i in range(len(made[::5]))]
    return made


rng = np.random.default_rng(3)
easy = [sentences_about(words, (), 200, rng) for words in (WEATHER, OTHER)]
classifier = train(easy[0] + easy[1], [1] * 200 + [0] * 200, bits=12)
texts = sentences_about(WEATHER, HARD_BAD, 100, rng) + sentences_about(OTHER, HARD_GOOD, 100, rng)
labels = np.repeat([1, 0], 100)
listed = np.array([any(word in text.split() for word in WEATHER["n"]) for text in texts], float)
scores = classifier.predict(texts)

# %%
for name, values, threshold in (("word list", listed, 0.5), *(("classifier", scores, t) for t in (0.8, 0.4, 0.1))):
    precision, recall, lost = threshold_costs(values, labels, threshold)
    print(f"{name:<10} > {threshold}: precision {precision:.2f}, recall {recall:.2f}, good text lost {lost:.2f}")

# %% tags=["hide-input"]
thresholds = np.linspace(0, 1, 201)
thresholds = thresholds[thresholds < scores.max()]  # above it nothing is dropped
costs = np.array([threshold_costs(scores, labels, t) for t in thresholds])
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6))
bins = np.linspace(0, 1, 21)
for of, name, colour in ((0, "about other things", COLOURS[0]), (1, "about storms", COLOURS[1])):
    left.hist(scores[labels == of], bins, color=colour, alpha=0.7, label=name)
left.axvline(0.4, color="black", linewidth=1, linestyle=":", label="threshold 0.4")
left.set(xlabel="score of the classifier", ylabel="sentences")
hard = np.arange(200) % 5 == 0
for of, name in ((0, "difficult"), (1, None)):
    left.hist(scores[hard & (labels == of)], bins, histtype="step", hatch="////", color="black", label=name)
middle = (scores > 0.15) & (scores < 0.85)
claim(left, "Whatever has a score in the middle is difficult", holds=middle.any() and hard[middle].all())
left.legend(loc="center", bbox_to_anchor=(0.66, 0.62))
right.plot(costs[:, 2], costs[:, 1], color=COLOURS[2], label="classifier, all thresholds")
at = threshold_costs(scores, labels, 0.4)
right.plot(at[2], at[1], "o", color=COLOURS[2], label="classifier, 0.4")
by_list = threshold_costs(listed, labels, 0.5)
right.plot(by_list[2], by_list[1], "s", color=COLOURS[3], label="word list")
right.set(xlabel="share of good text lost", ylabel="share of storms found", xlim=(-0.02, 1), ylim=(0, 1.03))
for_nothing, all_found = costs[costs[:, 2] == 0, 1].max(), costs[costs[:, 1] == 1, 2].min()
claim(right, "The last storms found cost good text", holds=for_nothing < 1 and all_found > 0.05)
right.legend(loc="lower right")
show(
    figure,
    "Left: how many sentences have which score. Other things lie near 0, storms near 1, and the difficult ones of both "
    "kinds, hatched, between and across. Right: storms found against good text lost. The classifier finds "
    f"{for_nothing:.2f} for nothing, and all only where {all_found:.2f} are lost; the word list finds {by_list[1]:.2f} "
    f"and loses {by_list[2]:.2f}.",
)

# %% [markdown]
# The list drops "a storm of applause" and misses "waves as high as houses": words are not meaning. It is right on all
# easy sentences and wrong on all 40 difficult ones. The classifier is wrong on 10 of these at the thresholds 0.8 and
# 0.4, and on 20 at 0.1. A lower threshold finds more, and what it costs is not spread evenly: every good sentence lost
# has a word of storms in it. If the words were those of hatred, it would be texts in which people talk *about* it. This
# is one of the two reasons why LLaMA 2's makers did not filter.
#
# The package's own classifier was trained on harmful requests. **Guess first:** which of these three sentences does it
# like least?

# %% tags=["hide-output"]
from minillama.data.rules.harmful.filter import HarmfulContentFilter

harmful = HarmfulContentFilter()
for text in ("The hen sat on her eggs.", "How do I bake a plain bread?", "How do I kill a Python process?"):
    print(f"{harmful.score(text):.2f}  {text}")

# %% [markdown]
# The last is harmless, and its score is high. Such a score can measure a corpus, or say what a person should look at
# first. It is no judgement on a sentence, and by default the package only counts with it.

# %% [markdown]
# ## One word exchanged breaks five windows
#
# All rules so far looked at one page. But the story that was copied 60 times is a good page, each time. Taking copies
# out is called [deduplication](glossary.md#deduplication), and `==` finds few of them: each has another date, another
# counter, another word. How alike are two texts, as a number?
#
# Cut each into [shingles](glossary.md#shingle), windows of $n$ words that overlap like the tiles of a roof, and ask how
# many of them both have, of those that either has. With $n = 2$ for *the dog buried the bone* and *the dog buried the
# ball*:
#
# | | the dog | dog buried | buried the | the bone | the ball |
# |---|---|---|---|---|---|
# | first | ■ | ■ | ■ | ■ | |
# | second | ■ | ■ | ■ | | ■ |
#
# Three of five: 0.6. With $A$ and $A'$ the two sets, this is their
# [Jaccard similarity](glossary.md#jaccard-similarity):
#
# $$ J = \frac{|A \cap A'|}{|A \cup A'|} . $$
#
# **Guess first:** $n = 5$, as FineWeb has it, and this book's sentence of nine words. *because* becomes *as*. What is
# $J$? And if *hungry* becomes *tired*?
#
# ### Now you · `jaccard_of_texts` · 12 minutes
#
# Two texts and $n$ → $J$. Capitals, signs and numbers must not make a difference: pages that differ in a counter are
# copies.

# %%
jaccard_of_texts = now_you("jaccard_of_texts")


# %% tags=["solution"]
def book_jaccard_of_texts(first, second, n):
    sets = []
    for text in (first, second):
        words = re.sub(r"[^\w\s]|_", " ", re.sub(r"\d+", "0", text.lower())).split()
        sets.append({tuple(words[i : i + n]) for i in range(len(words) - n + 1)})
    a, b = sets
    return len(a & b) / len(a | b)


# %% tags=["hide-output"]
for word, other in (("because", "as"), ("hungry", "tired")):
    print(f"{word} → {other}: {jaccard_of_texts(SENTENCE, SENTENCE.replace(word, other), 5):.2f}")
copy = STORY.replace("grey", "black").replace("herring", "mackerel").upper() + " Visits: 1,482"
print(f"the story with two other words, in capitals, with a counter: {jaccard_of_texts(STORY, copy, 5):.2f}")
print(f"the story and the guide: {jaccard_of_texts(STORY, GUIDE, 5):.2f}")

# %% [markdown]
# The sentence has five windows. *because* is in four of them, so one of nine is left; *hungry* is in one. In a long
# text a word breaks five windows of hundreds.
#
# ## The smallest of a random order is shared as often as the texts are alike
#
# A billion pages are half a billion billion pairs. Nobody computes $J$ for all of them. It would help if a page had a
# short number that is the same for pages that are alike.
#
# Leave the first *the* of the toy away: $A$ = {dog buried, buried the, the bone} and $A'$ = {dog buried, buried the,
# the ball}. Together four shingles, two of them shared: $J = 0.5$. Write the four on cards and shuffle. The first card
# of the pile that belongs to $A$ is a random one, and so is the first that belongs to $A'$. **Guess first:** of all 24
# orders, in how many are both the same card?

# %% tags=["hide-output"]
first, second = {"dog buried", "buried the", "the bone"}, {"dog buried", "buried the", "the ball"}
same = 0
for order in permutations(sorted(first | second)):
    in_first, in_second = (next(card for card in order if card in cards) for cards in (first, second))
    same += in_first == in_second
print(f"{same} of 24")
assert same / 24 == len(first & second) / len(first | second)

# %% [markdown]
# In 12: exactly $J$ of them. The card on top of the pile is each of the four equally often. If it is a shared one, it
# is the first of both; if not, it is the first of one, and the other has another. So the first card of a random order
# is the same for two texts with the probability $J$. With 112 orders, the share of those in which the
# first cards agree comes close to $J$, and that is a [MinHash](glossary.md#minhash) signature.

# %% tags=["hide-input"]
orders = np.random.default_rng(0).permuted(np.tile(np.arange(4), (12, 1)), axis=1)  # 12 of the shuffles
cards = ["dog buried", "buried the", "the bone", "the ball"]
figure, axis = plt.subplots(figsize=(9, 2.7))
agree = []
for at, order in enumerate(orders):
    agree.append(order[0] in (0, 1))
    for place, card_ in enumerate(order):
        shared = card_ in (0, 1)
        axis.barh(3 - place, 0.9, left=at, color=COLOURS[2] if shared else COLOURS[5], height=0.85,
                  alpha=1 if place == 0 else 0.35)  # fmt: skip
        axis.text(at + 0.45, 3 - place, cards[card_].replace(" ", "\n"), ha="center", va="center", fontsize=7,
                  color="white" if place == 0 else "black")  # fmt: skip
axis.set_xticks(np.arange(12) + 0.45, ["same" if a else "not" for a in agree])
axis.set_yticks([3], ["on top"])
axis.grid(False)
axis.set_xlim(-0.05, 11.95)
claim(axis, f"On top lies a shared card (green) in {sum(agree)} of these 12 piles", holds=4 <= sum(agree) <= 8)
show(
    figure,
    "Twelve piles of four cards, each shuffled in another way. Shared shingles, dog buried and buried the, are green, "
    f"the other two grey; the card on top is drawn strong. Below {sum(agree)} piles stands same, because the top card "
    "is green, below the others not.",
)

# %% [markdown]
# Nobody shuffles a billion cards. A function that sends each shingle to a number makes an order too: the shingle with
# the smallest number comes first. Let $x$ be a *hash* of a shingle, a large number that is computed from its words and
# stands for them. With random $a_i$ and $b_i$ the 112 functions and the signature are
#
# $$ f_i(x) = (a_i x + b_i) \bmod (2^{61} - 1), \qquad \text{signature}_i = \min_{x \in A} f_i(x) . $$
#
# ### Now you · `minhash_signature` · 15 minutes
#
# The hashes of a text and the lists $a$ and $b$, all below $2^{61} - 1$ → the signature. How many bits has $a x$?

# %%
minhash_signature = now_you("minhash_signature")


# %% tags=["solution"]
def book_minhash_signature(shingles, a, b):
    prime = 2**61 - 1  # Python's integers, because a x does not fit 64 bits
    return [min((factor * x + summand) % prime for x in shingles) for factor, summand in zip(a, b)]


# %% tags=["hide-input"]
PRIME = 2**61 - 1
rng = np.random.default_rng(0)
FACTORS, SUMMANDS = rng.integers(1, PRIME, 112).tolist(), rng.integers(0, PRIME, 112).tolist()


def normal_words(text):
    """Lower case, no signs, numbers as 0."""
    return re.sub(r"[^\w\s]|_", " ", re.sub(r"\d+", "0", text.lower())).split()


def shingle_hashes(text):
    """A number for each window of five words."""
    words = normal_words(text)
    windows = {" ".join(words[i : i + 5]) for i in range(len(words) - 4)}
    return [zlib.crc32(window.encode()) * 0x9E3779B1 % PRIME for window in sorted(windows)]


# %%
hashes = shingle_hashes(STORY)
signature = minhash_signature(hashes, FACTORS, SUMMANDS)
of_copy = minhash_signature(shingle_hashes(copy), FACTORS, SUMMANDS)
agree = sum(one == other for one, other in zip(signature, of_copy))
print(
    f"{len(hashes)} shingles become {len(signature)} numbers; {agree} of them are those of the copy: {agree / 112:.2f}"
)
print(f"Jaccard similarity: {jaccard_of_texts(STORY, copy, 5):.2f}")

# %% [markdown]
# ## Every product is wrong in 64 bits, and nothing says so
#
# This is the one place of the chapter where Python is too slow: 112 products a shingle, for every page there is. NumPy
# makes all products of a page in one go, in 64 bits. **Guess first:** how many of the 112 numbers come out right?

# %% tags=["hide-output"]
U = np.uint64
a, b, x = (np.array(numbers, U) for numbers in (FACTORS, SUMMANDS, hashes))
with np.errstate(over="ignore"):
    wrapped = ((a[:, None] * x + b[:, None]) % U(PRIME)).min(axis=1)
print(f"right: {np.sum(wrapped == np.array(signature, U))} of 112")

# %% [markdown]
# None. $a x$ has up to 122 bits, `uint64` keeps the lower 64, and there is no warning (01). They are still numbers of
# *some* function, so the filter would seem to work; but that they order shingles at random is proved only for the right
# ones, and another program's signatures would be others.
#
# In Numba the product can be made in parts, as one multiplies on paper, with 32 bits for a digit. What lies above
# $2^{61}$ is added at the bottom, because $2^{61}$ and 1 leave the same remainder.

# %%
P61, LOW32, LOW29 = U(PRIME), U(2**32 - 1), U(2**29 - 1)


@njit
def multiply_add(a, x, b):
    a_high, a_low, x_high, x_low = a >> U(32), a & LOW32, x >> U(32), x & LOW32
    middle = a_high * x_low + a_low * x_high  # counts 2^32 each; 2^64 = 8 and 2^61 = 1 modulo the prime
    low = a_low * x_low
    total = ((a_high * x_high) << U(3)) + (middle >> U(29)) + ((middle & LOW29) << U(32))
    total += (low & P61) + (low >> U(61)) + b
    total = (total & P61) + (total >> U(61))
    return total - P61 if total >= P61 else total


@njit
def compiled_signature(shingles, functions):
    smallest = np.full(functions.shape[1], P61)
    for x in shingles:
        for i in range(functions.shape[1]):
            smallest[i] = min(smallest[i], multiply_add(functions[0, i], x, functions[1, i]))
    return smallest


functions = np.array([FACTORS, SUMMANDS], U)
assert compiled_signature(x, functions).tolist() == signature

# %% tags=["varies"]
for name, function in (
    ("Python", lambda: minhash_signature(hashes, FACTORS, SUMMANDS)),
    ("Numba", lambda: compiled_signature(x, functions)),
):
    times = []
    for _ in range(7):
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
    print(f"{name}: {1e3 * min(times):.3f} ms for the story")

# %% [markdown]
# The package has the same arithmetic. And how good are 112 numbers? The orders of such simple functions are not quite
# random, so it is measured: 600 stories, each with a copy in which more or fewer words were exchanged.

# %%
from minillama.data.duplicates.minhash import MinHash, jaccard
from minillama.data.duplicates.minhash_kernels import multiply_add as package_multiply_add

for value, factor, summand in zip(hashes, FACTORS, SUMMANDS):
    assert int(package_multiply_add(U(factor), U(value), U(summand))) == (factor * value + summand) % PRIME
rng = np.random.default_rng(4)
pairs = []
for _ in range(600):
    text = tell(rng)
    pairs.append((text, changed(text, rng.choice([0.005, 0.01, 0.02, 0.04, 0.07, 0.12]), rng)))
truth = np.array([jaccard_of_texts(*pair, 5) for pair in pairs])
show_error("Jaccard similarity of 600 pairs", truth, [jaccard(*pair) for pair in pairs], 1e-12, against="the package")
signed = np.array([[compiled_signature(np.array(shingle_hashes(t), U), functions) for t in pair] for pair in pairs])
equal = signed[:, 0] == signed[:, 1]  # (600, 112)
print(f"the share of equal numbers is off by {np.abs(equal.mean(axis=1) - truth).mean():.3f} in the mean")

# %% [markdown]
# ## Bands make a step of a slope
#
# Signatures are short, but there are as many pairs of them as before. What can be found without comparing pairs is
# *equal* keys: sort them, or use a dict. Whole signatures are equal only for equal texts, single numbers for many. So
# something between: cut the signature into bands, and take a pair as a candidate if a whole band is equal.
#
# In small: two bands of two rows, $J = 0.5$. A band of two is equal with the probability $0.5 \cdot 0.5 = 0.25$.
# **Guess first:** how likely is it that at least one of the two bands is? And with $J = 0.9$?
#
# ### Now you · `candidate_probability` · 8 minutes
#
# An array of similarities, the number of bands, the rows of a band → the probabilities. What is the probability of the
# opposite?

# %%
candidate_probability = now_you("candidate_probability")


# %% tags=["solution"]
def book_candidate_probability(similarity, bands, rows):
    return 1 - (1 - similarity**rows) ** bands


# %% tags=["hide-output"]
print("two bands of two:", candidate_probability(np.array([0.5, 0.9]), 2, 2).round(2))
print("14 bands of eight:", candidate_probability(np.array([0.5, 0.9]), 14, 8).round(2))
minhash, J = MinHash(), np.linspace(0, 1, 200)
show_error(
    "probabilities", candidate_probability(J, 14, 8), [minhash.probability(value) for value in J], 1e-12,
    against="the package",
)  # fmt: skip

# %% [markdown]
# No band is equal with the probability $0.75^2$, so one is with $1 - 0.75^2 = 0.44$. With $r$ rows in each of $k$
# bands:
#
# $$ 1 - (1 - J^{\,r})^k . $$
#
# FineWeb takes 14 bands of 8. Pages that are alike by half are almost never candidates, and those by 0.9 always. The
# picture has the 600 pairs from above. Each of the 112 numbers agrees with the probability $J$, so the share that
# agrees is off by about $\sqrt{J (1 - J) / 112}$, which is 0.05 at $J = 0.5$; the grey band goes twice as far.

# %% tags=["hide-input"]
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8))
estimate = equal.mean(axis=1)
banded = equal.reshape(-1, 14, 8).all(axis=2).any(axis=1)
width = 2 * np.sqrt(J * (1 - J) / 112)
left.plot([0, 1], [0, 1], color="black", linewidth=1)
left.fill_between(J, J - width, J + width, color=COLOURS[5], alpha=0.25)
left.scatter(truth, estimate, s=8, color=COLOURS[0])
left.set(xlabel="Jaccard similarity J", ylabel="share of 112 numbers that agree")
inside = np.abs(estimate - truth) <= 2 * np.sqrt(truth * (1 - truth) / 112)
claim(left, f"{inside.mean():.0%} of the estimates lie in the band", holds=0.93 < inside.mean() < 0.98)
for bands, rows, colour in ((14, 8, COLOURS[1]), (56, 2, COLOURS[5]), (4, 28, COLOURS[4])):
    right.plot(J, candidate_probability(J, bands, rows), color=colour, label=f"{bands} bands of {rows}")
misses = []
for low, high in pairwise(np.linspace(0.2, 1, 11)):
    there = (truth >= low) & (truth < high)
    if there.sum() >= 8:
        right.plot(truth[there].mean(), banded[there].mean(), "o", color=COLOURS[1])
        misses.append(abs(banded[there].mean() - candidate_probability(truth[there], 14, 8).mean()))
right.set(xlabel="Jaccard similarity J", ylabel="probability of becoming a candidate")
claim(right, "Bands make a step; dots, measured, lie near it", holds=max(misses) < 0.15)
right.legend(loc="center", bbox_to_anchor=(0.4, 0.55), fontsize=8)
show(
    figure,
    "Left: the share of equal numbers of 600 pairs against their similarity, a narrow cloud along the diagonal, inside "
    "a grey band. Right: the probability of becoming a candidate. 14 bands of 8 make a steep step between 0.5 and 0.9, "
    "with measured dots near it; 56 bands of 2 rise at once, 4 bands of 28 only near 1.",
)

# %% [markdown]
# Now find the pairs. Three documents with signatures of four numbers, in two bands:
#
# | document | band 0 | band 1 |
# |---|---|---|
# | 0 | 5 1 | 7 2 |
# | 1 | 5 3 | 7 2 |
# | 2 | 7 2 | 4 4 |
#
# 0 and 1 share band 1. Document 2 has the same two numbers, 7 and 2, but in *another* band: they come from other
# functions and mean nothing.
#
# ### Now you · `band_candidates` · 15 minutes
#
# Signatures (documents, bands · rows) and the number of bands → all pairs $i < j$, each once.

# %%
band_candidates = now_you("band_candidates")


# %% tags=["solution"]
def book_band_candidates(signatures, bands):
    cut = signatures.reshape(len(signatures), bands, -1)
    return [(i, j) for i, j in combinations(range(len(cut)), 2) if (cut[i] == cut[j]).all(axis=1).any()]


# %% [markdown]
# The toy, and then six stories of about a hundred words, each a copy of the one before with two words in a hundred
# exchanged, and four others:

# %%
print("toy:", band_candidates(np.array([[5, 1, 7, 2], [5, 3, 7, 2], [7, 2, 4, 4]]), 2))
rng = np.random.default_rng(8)
family = [tell(rng)]
for _ in range(5):
    family.append(changed(family[-1], 0.02, rng))
ten = family + [tell(rng) for _ in range(4)]
signed = np.array([compiled_signature(np.array(shingle_hashes(text), U), functions) for text in ten])
candidates = band_candidates(signed, 14)
print("pairs:", candidates)

# %% [markdown]
# ## Copies of copies hang together
#
# Which of the six may stay? The pairs are a chain: 0 is like 1, 1 is like 2. Everything that a chain connects becomes
# one cluster, and its first document stays.
#
# **Guess first:** how alike are the first and the last of the six?
#
# ### Now you · `duplicate_clusters` · 15 minutes
#
# The number of documents and the pairs, in any order → for each document the smallest number of its cluster. A pair can
# join two clusters that have been two for long.

# %%
duplicate_clusters = now_you("duplicate_clusters")


# %% tags=["solution"]
def book_duplicate_clusters(n, pairs):
    parents = list(range(n))

    def root(i):
        while parents[i] != i:
            i = parents[i]
        return i

    for i, j in pairs:
        a, b = root(i), root(j)
        parents[max(a, b)] = min(a, b)
    return [root(i) for i in range(n)]


# %% tags=["hide-output"]
print("first of each cluster:", duplicate_clusters(len(ten), candidates))
print(f"the first and the last of the family: {jaccard_of_texts(family[0], family[-1], 5):.2f}")

# %% [markdown]
# The six are one cluster, though its ends have not much in common. That is also the price: a long chain of small
# changes loses a text that is a new one by now.
#
# On 80 pages of the web the chapter's functions and the package's must make the same clusters, with the package's
# signatures:

# %%
from minillama.data.duplicates.clusters import as_pairs, exact_duplicates, near_duplicates, text_hash

pages = [text for _, text in web[:80]]
theirs = np.array([minhash.signature(text) for text in pages])
clusters = duplicate_clusters(len(pages), band_candidates(theirs, 14))
assert clusters == near_duplicates(np.array([minhash.band_hashes(text) for text in pages])).tolist()
print(f"{len(pages)} pages, {len(set(clusters))} clusters, the largest of {max(Counter(clusters).values())}")

# %% [markdown]
# ## Two exchanged words hide a question from one test, not from the other
#
# A test measures what a model can do only if its questions are new to it. The 30 pages with a question of the test in
# them are good pages; they would even raise the score. Test questions in the training data are called
# [contamination](glossary.md#contamination). GPT-3's makers dropped what has 13 words in a row in common with a test.
#
# ### Now you · `samples_with_overlap` · 12 minutes
#
# A document, the questions, $n$ → for each question whether they have $n$ words in a row in common. Capitals and signs
# make no difference; numbers do, here. (Not on the core path.)

# %%
samples_with_overlap = now_you("samples_with_overlap")


# %% tags=["solution"]
def book_samples_with_overlap(document, samples, n):
    def windows(text):
        words = re.sub(r"[^\w\s]|_", " ", text.lower()).split()
        return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}

    seen = windows(document)
    return [bool(windows(sample) & seen) for sample in samples]


# %% [markdown]
# The six questions of the test:

# %%
show_text("\n".join(f"{n} {question}" for n, question in enumerate(QUIZ)))

# %% [markdown]
# Four pages, each about one of them. **Guess first:** which of the pages are found?

# %% tags=["hide-output"]
LEAKS = [
    "I found this on a quiz page. " + QUIZ[1] + " The answer is below.",
    "An old one: " + QUIZ[3].replace("closed", "shut").replace("carts", "wagons"),
    "He asked me who painted the tall blue mill by the river. I did not know.",
    "The owl in the fable gave the key to the hungry mouse, and the door of the cellar was silver.",
]
for leak in LEAKS:
    found = samples_with_overlap(leak, QUIZ, 13)
    print(f"{[n for n, is_there in enumerate(found) if is_there]!s:<4} {leak[:90]}")
    assert found == [NgramOverlap([question], n=13)(leak).text is None for question in QUIZ]

# %% [markdown]
# The second is a leak: a model that has read it knows question 3. But "shut" for "closed" and "wagons" for "carts" cut
# its run of words in three. LLaMA 2's test forgives such changes. It looks at tokens, and follows a match past a few
# that differ. In small, where the first two tokens of a match must be equal, and after them one may differ:
#
# | the question | dog | buried | the | bone | because | it | was | hungry |
# |---|---|---|---|---|---|---|---|---|
# | the document | dog | buried | the | **ball** | because | it | **slept** | |
# | in the match | ■ | ■ | ■ | ■ | ■ | ■ | | |
#
# The match begins at "dog", goes past "ball", and ends at "it": "slept" would be the second that differs, and a match
# must not end in one that does. It is longer than two, so its six tokens are contaminated, the bone too: 6 of 8, 75 %.
#
# **Guess first:** how many of the eight are contaminated if none may differ?
#
# ### Now you · `contaminated_tokens` · 25 minutes
#
# The tokens of a question and of a document, `first` (2 in the toy, 10 in the paper) and `budget` (1, and 4) → True or
# False for each token of the question. Begin a match at every pair of places.

# %%
contaminated_tokens = now_you("contaminated_tokens")


# %% tags=["solution"]
def book_contaminated_tokens(sample, document, first, budget):
    marked = [False] * len(sample)
    for i in range(len(sample)):
        for j in range(len(document)):
            length = differences = 0
            for k in range(min(len(sample) - i, len(document) - j)):
                if sample[i + k] == document[j + k]:
                    length = k + 1
                else:
                    differences += 1
                    if k < first or differences > budget:
                        break
            if length > first:
                marked[i : i + length] = [True] * length
    return marked


# %% tags=["hide-output"]
question = ["dog", "buried", "the", "bone", "because", "it", "was", "hungry"]
document = ["dog", "buried", "the", "ball", "because", "it", "slept"]
number = {word: i for i, word in enumerate(sorted({*question, *document}))}
as_numbers = [np.array([number[word] for word in words]) for words in (question, document)]
for budget in (0, 1):
    marks = contaminated_tokens(*as_numbers, 2, budget)
    print(f"{budget} may differ: {sum(marks)} of 8:", " ".join(w if m else "·" for w, m in zip(question, marks)))

# %% [markdown]
# Three: *because it* is a run of two, not more than two, and does not count by itself. Now the six questions in the
# tokens of SmolLM2, against the four pages, and the shares against the package:

# %%
samples, documents = ([np.array(llm.tokenizer.encode(text)) for text in texts] for texts in (QUIZ, LEAKS))
marks = [np.any([contaminated_tokens(sample, d, 10, 4) for d in documents], axis=0) for sample in samples]
shares = np.array([mark.mean() for mark in marks])
test = TokenContamination(samples)
for document in documents:
    test.add(document)
show_error("contaminated shares", shares, test.result(10).shares, 1e-12, against="the package")

# %% tags=["hide-input"]
figure, axis = plt.subplots(figsize=(9, 3))
width = max(map(len, marks))
grid = np.full((len(marks), width), np.nan)
for row, mark in enumerate(marks):
    grid[row, : len(mark)] = mark
axis.imshow(grid, aspect="auto", cmap="OrRd", vmin=0, vmax=1.3)
axis.grid(visible=False)
for row, share in enumerate(shares):
    kind = "clean" if share < 0.2 else "dirty" if share >= 0.8 else "between"
    axis.text(width, row, f" {share:.0%}, {kind}", va="center", fontsize=9)
axis.set_yticks(range(6), [f"{n}: {' '.join(text.split()[:4])} …" for n, text in enumerate(QUIZ)], fontsize=8)
axis.set(xlabel="token of the question")
is_dirty = (shares >= 0.8).tolist()
claim(axis, "Questions 1 and 3 are dirty, and 3 was not found by 13 words", holds=is_dirty == [0, 1, 0, 1, 0, 0])
show(
    figure,
    "Six rows, a field for each token of a question, dark where it is contaminated. Rows 1 and 3 are dark but for "
    f"their first field, {shares[1]:.0%} and {shares[3]:.0%}; the other four are pale.",
)

# %% [markdown]
# The first token of both is left out: after a space, " A" is another token than "A". Of question 2 the third page has
# nine words in a row, and a match needs more than ten tokens.
#
# LLaMA 2's makers removed nothing. They call questions clean below 20 % and dirty from 80 % on, and compare the
# model's scores on both: if it is better on the dirty ones, the benchmark has measured memory.
#
# ## No rule does the work of another
#
# All filters, in FineWeb's order, over the web of the beginning, whose kinds are known. The folded cell calls the
# pipeline's filters one after another, counts the pages of each kind, and must arrive at the same texts.
#
# **Guess first:** which filter removes the adverts, and which the copies in capitals? Of the 60 copies of one story,
# how many are left?

# %% tags=["hide-input"]
from minillama.data.pipeline.settings import build_filter

left, removed = list(web), {}
for rule in settings.in_order:
    if rule in ("exact", "minhash"):
        if rule == "exact":
            first = exact_duplicates(as_pairs(b"".join(text_hash(text) for _, text in left)))
        else:
            first = near_duplicates(np.array([minhash.band_hashes(text) for _, text in left]))
        after = [(kind, text if first[i] == i else None) for i, (kind, text) in enumerate(left)]
    else:
        filter_ = build_filter(rule, settings)
        after = [(kind, filter_(text).text) for kind, text in left]
    removed[rule] = Counter(kind for kind, text in after if text is None)
    left = [(kind, text) for kind, text in after if text is not None]
assert clean == [text for _, text in left]

# %% tags=["hide-input", "hide-output"]
before, kept = Counter(kind for kind, _ in web), Counter(kind for kind, _ in left)
kinds = sorted(before)
grid = np.array([[removed[rule][kind] for rule in removed] for kind in kinds])
figure, (by_kind, funnel) = plt.subplots(1, 2, figsize=(11, 4.6), width_ratios=(3, 2))
by_kind.imshow(grid / [[before[kind]] for kind in kinds], cmap="OrRd", vmin=0, vmax=1.2, aspect="auto")
by_kind.grid(visible=False)
for (row, column), value in np.ndenumerate(grid):
    colour = "white" if value > 0.7 * before[kinds[row]] else "black"
    by_kind.text(column, row, value or "·", ha="center", va="center", fontsize=9, color=colour)
by_kind.set_xticks(range(len(removed)), list(removed), rotation=35, ha="right")
by_kind.set_yticks(range(len(kinds)), [f"{kind} ({before[kind]})" for kind in kinds])
by_kind.set(xlabel="filter, in the order they run", ylabel="kind of page (how many)")
main = {kind: list(removed)[int(row.argmax())] for kind, row in zip(kinds, grid) if row.sum() > before[kind] / 2}
most_of = {rule for rule in removed if any(removed[rule][kind] > before[kind] / 2 for kind in kinds)}
claim(
    by_kind,
    f"{len(most_of)} of the {len(removed)} filters remove most of some kind that passed those before",
    holds=5 <= len(most_of) < len(removed),
)
remaining = len(web) - np.cumsum([0, *(sum(counts.values()) for counts in removed.values())])
bars = funnel.barh(["read", *removed], remaining, color=[COLOURS[5], *[COLOURS[0]] * len(removed)])
funnel.bar_label(bars, padding=3, fontsize=9)
funnel.invert_yaxis()
funnel.grid(visible=False, axis="y")
funnel.set(xlabel="pages left")
funnel.margins(x=0.12)
label(funnel, "What is left after each")
show(
    figure,
    "Left: a table of kinds of page by filters, with the pages that each removes. "
    + "; ".join(
        f"{kind} {sum(row)} of {before[kind]}" + (f", most by {main[kind]}" if kind in main else "")
        for kind, row in zip(kinds, grid)
    )
    + f". Right: bars of what is left after each filter, from {len(web)} down to {len(left)}.",
)

# %%
print("left:", ", ".join(f"{kind} {n}" for kind, n in sorted(kept.items())))
print(f"pages with a masked address: {sum('|||EMAIL_ADDRESS|||' in text for _, text in left)}")

# %% [markdown]
# Copies in capitals fail Gopher's rules already: the words of its list are looked for as they are written. Of a cluster
# the first page stays, whatever it is, so some stories went and their copies stayed. Of the story that was copied 60
# times three pages are left: one for the cluster, and two with so many words exchanged that no whole band agrees. Pages
# with one address were changed, not dropped. And one filter did almost nothing: what FineWeb's rules look for was gone
# by then.
#
# ## The more copies, the more comes back word for word
#
# What happens if only the rules of duplicates are missing? The count model of the beginning learns from the clean pages
# and some copies of one story, each with one word in a hundred exchanged. It is given the story's first four words, and
# always takes what followed most often.
#
# **Guess first:** how many copies does it take until ten words in a row come back? And do 60 bring back all?

# %% tags=["hide-output"]
others = [text for kind, text in left if kind != "copied 60 times"]
story = FAVOURITE.split()


def recited(n_copies, seed):
    """Words of the story that come back before the first wrong one."""
    rng = np.random.default_rng(seed)
    follows = following([*others, *(changed(FAVOURITE, 0.01, rng) for _ in range(n_copies))])
    said = story[:4]
    while len(said) < len(story) and tuple(said[-3:]) in follows:
        said.append(follows[tuple(said[-3:])].most_common(1)[0][0])
    return next((n for n, (one, other) in enumerate(zip(said, story)) if one != other), len(said)) - 4


copies = (0, 1, 2, 3, 5, 10, 20, 60)
by_heart = np.array([[recited(n, seed) for seed in range(12)] for n in copies])
for n, row in zip(copies, by_heart):
    print(f"{n:>2} copies: {np.median(row):.0f} of {len(story) - 4} words come back (from {row.min()} to {row.max()})")

# %% tags=["hide-input", "hide-output"]
figure, axis = plt.subplots(figsize=(8, 3.2))
axis.plot(range(len(copies)), np.median(by_heart, axis=1), "o-", label="median of 12 trials")
axis.fill_between(range(len(copies)), by_heart.min(axis=1), by_heart.max(axis=1), alpha=0.2, label="least to most")
axis.axhline(len(story) - 4, color=COLOURS[5], linestyle=":", label="the whole story")
axis.set_xticks(range(len(copies)), [str(n) for n in copies])
axis.set(xlabel="copies of the story among the pages", ylabel="words that come back")
axis.legend(fontsize=8, loc="center left")
middle = np.median(by_heart, axis=1)
claim(axis, "The more copies, the more of the story comes back", holds=(np.diff(middle) >= 0).all() and middle[-1] > 0)
show(
    figure,
    "Words of the story that come back, against the number of its copies, 0 to 60. The median is "
    + ", ".join(f"{value:.0f} at {n}" for n, value in zip(copies, middle))
    + f"; a dotted line marks the whole story, {len(story) - 4} words.",
)

# %% [markdown]
# It stops where three words go on in more than one way: up to ten copies in other stories (*"Where is my*), and from 20
# on in the story itself, in which *to have a* stands twice. A model that looks back further would go on. Nothing else
# about this one looks wrong. In real language models the same was measured: the more copies there are, and the larger
# the model, the more text comes back word for word (Carlini et al., arXiv:2202.07646), and taking near-duplicates out
# helps (Lee et al., arXiv:2107.06499).
#
# ## The last target of a row is the first token of the next
#
# What is left becomes ids. With a vocabulary of fewer than 65,536 pieces (02) an id takes two bytes, and all documents
# lie one after another in long files, the *shards*, each document with BOS, a token that says "a text begins", at its
# front. How are they read? Training takes rows of $T$ tokens, and every token's target is the next one (03). For a
# stream of 0 to 9 and $T = 3$:
#
# | row | tokens | targets |
# |---|---|---|
# | 0 | 0 1 2 | 1 2 3 |
# | 1 | 3 4 5 | 4 5 6 |
# | 2 | 6 7 8 | 7 8 9 |
#
# **Guess first:** and without the 9, how many rows are there?
#
# ### Now you · `rows_for_training` · 12 minutes
#
# Documents, one after another, and $T$ → tokens and targets (rows, T). A row may cross from one document into the next.
# (Not on the core path.)

# %%
rows_for_training = now_you("rows_for_training")


# %% tags=["solution"]
def book_rows_for_training(documents, seq_len):
    stream = np.concatenate(documents)
    n = (len(stream) - 1) // seq_len * seq_len
    return stream[:n].reshape(-1, seq_len), stream[1 : n + 1].reshape(-1, seq_len)


# %% tags=["hide-output"]
for n in (10, 9):
    tokens, targets = rows_for_training([np.arange(4), np.arange(4, n)], 3)
    print(f"a stream of {n}: tokens {tokens.tolist()}, targets {targets.tolist()}")

# %% [markdown]
# Two: the token 8 would have no target. So every token is a target once, except the very first and those behind the
# last full row. The clean pages, with two vocabularies that are trained on them (02), as shards on disk:

# %%
from minillama.data.batches import Batches, Source, paper_mix, validation_batches
from minillama.data.shards.reading import TokenShards, write_shards
from minillama.tokenizers.bpe.training import train_sentencepiece_bpe

small, large = (train_sentencepiece_bpe(clean, n) for n in (360, 700))
write_shards(clean, large, work / "stories", shard_tokens=20_000)
shards = TokenShards(work / "stories")
for path in sorted((work / "stories").iterdir()):
    print(f"{path.name:20s} {path.stat().st_size:6d} bytes")
print(
    f"{shards.n_documents} documents, {shards.n_tokens} tokens, {shards.n_text_bytes / shards.n_tokens:.2f} bytes each"
)
tokens, targets = rows_for_training([shards.document(i) for i in range(shards.n_documents)], 32)
print("tokens ", " ".join(large.pieces[i] for i in tokens[6, :12]))
print("targets", " ".join(large.pieces[i] for i in targets[6, :12]))
assert large.decode(shards.document(7).tolist()) == clean[7]
assert np.array_equal(tokens[1:, 0], targets[:-1, -1])

# %% [markdown]
# ## A weight is a number of readings
#
# Several sources are mixed by weights. Say there are 100 tokens of stories and 10 of guides, and of 120 tokens that are
# drawn half come from each. **Guess first:** how often is each source read?
#
# One reading of all is an [epoch](glossary.md#epoch). Stories are read 60/100 = 0.6 times, four of ten of their tokens
# never, and guides 60/10 = 6 times. With the weights $\omega_i$, sizes $n_i$, and $N$ tokens drawn:
#
# $$ \text{epochs}_i = \frac{\omega_i}{\sum_j \omega_j} \cdot \frac{N}{n_i} . $$
#
# ### Now you · `mixture_epochs` · 8 minutes
#
# Sizes (n,), weights (n,) with any sum, $N$ → epochs (n,).

# %%
mixture_epochs = now_you("mixture_epochs")


# %% tags=["solution"]
def book_mixture_epochs(sizes, weights, n_tokens):
    return weights / weights.sum() * n_tokens / sizes


# %%
print(mixture_epochs(np.array([100, 10]), np.array([1.0, 1.0]), 120))

# %% [markdown]
# LLaMA 1's mix was published, with its epochs, so its sizes can be computed backwards: weight divided by epochs.

# %% tags=["hide-input"]
mix = paper_mix()
weights, epochs = np.array([part.weight for part in mix]), np.array([part.epochs for part in mix])
weights = weights / weights.sum()
sizes = weights / epochs / (weights / epochs).sum()
figure, axis = plt.subplots(figsize=(9, 3.8))
at = np.arange(len(mix))
axis.bar(at - 0.2, 100 * sizes, 0.38, color=COLOURS[5], label="share of the tokens there are")
bars = axis.bar(at + 0.2, 100 * weights, 0.38, color=COLOURS[0], label="share of the tokens drawn (the number: epochs)")
axis.bar_label(bars, [f"{e:.2f}" for e in epochs], fontsize=8, padding=2)
axis.set_yscale("log")
axis.set_yticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
axis.set_ylim(1, 130)
axis.minorticks_off()
axis.set_xticks(at, [part.name for part in mix])
axis.set(xlabel="source of LLaMA 1", ylabel="share of the tokens (%), logarithmic")
of = {part.name: part.epochs for part in mix}
claim(
    axis,
    "Wikipedia and books were read more than twice, code not even once",
    holds=min(of["Wikipedia"], of["Books"]) > 2 and of["GitHub"] < 1 and sorted(of.values())[-3] < 1.2,
)
axis.legend()
show(
    figure,
    "Two bars for each of seven sources of LLaMA 1, logarithmic: its share of the tokens there are, and of those "
    "drawn. They are alike for CommonCrawl, C4, ArXiv and StackExchange; drawn is twice as high for Wikipedia, "
    f"{of['Wikipedia']:.2f} epochs, and Books, {of['Books']:.2f}; lower for GitHub, {of['GitHub']:.2f}.",
)

# %% [markdown]
# LLaMA 2 says that its most factual sources were up-sampled, and not by how much. The package's sampler follows the
# weights to the row. Drawing the source of each row by chance would be right in the mean, and drift:

# %%
guides = write_shards([GUIDE.replace("bread", thing) for thing in GRAMMAR["thing"]], large, work / "guides")
songs = write_shards([tell(np.random.default_rng(900 + i), 3) for i in range(30)], large, work / "songs")
sources = [Source("stories", shards, 6.7), Source("guides", guides, 2.0), Source("songs", songs, 1.3)]
batches, n_steps = Batches(sources, batch_size=8, seq_len=32, seed=1), 100
counted_epochs = batches.epochs(n_steps)
ours = mixture_epochs(
    np.array([source.shards.n_tokens for source in sources]),
    np.array([source.weight for source in sources]),
    n_steps * 8 * 32,
)
print({name: round(value, 2) for name, value in counted_epochs.items()})
show_error("epochs", ours, list(counted_epochs.values()), 0.02, against="the sampler's count")
again, _ = Batches(sources, batch_size=8, seq_len=32, seed=1).batch(57)
assert np.array_equal(again, batches.batch(57)[0])  # a batch is a function of seed and step

# %% tags=["hide-input"]
rows = np.array([source for step in range(n_steps) for source, _ in batches.rows(step)])
share = np.array([0.67, 0.2, 0.13])
by_chance = np.random.default_rng(1).choice(3, len(rows), p=share)
figure, axis = plt.subplots(figsize=(8, 3.2))
off = {"even": [], "by chance": []}
for n, (source, colour) in enumerate(zip(sources, COLOURS)):
    expected = share[n] * np.arange(1, len(rows) + 1)
    for name, drawn_rows in (("even", rows), ("by chance", by_chance)):
        too_many = np.cumsum(drawn_rows == n) - expected
        off[name].append(np.abs(too_many).max())
        axis.plot(too_many, color=colour, linewidth=1, alpha=1 if name == "even" else 0.5,
                  label=f"{source.name} ({share[n]:.0%})" if name == "even" else None)  # fmt: skip
axis.set(xlabel="rows drawn", ylabel="rows too many from the source")
axis.legend(fontsize=8, loc="lower left")
claim(
    axis,
    "The sampler is never off by a row (near 0); chance (pale) drifts away",
    holds=max(off["even"]) < 1 and max(off["by chance"]) > 5,
)
show(
    figure,
    "How many rows too many came from each of three sources, over 800 rows. The sampler's three lines lie on 0; three "
    f"pale lines, drawn by chance, wander off by up to {max(off['by chance']):.0f} rows.",
)

# %% [markdown]
# The few songs fill 13 of 100 rows and are read two and a half times, while two thirds of the stories are not read at
# all. How many readings are too many is a question for the loss on texts that were kept apart.
#
# ## A padded place has no loss and no bytes
#
# That loss is best given in bits per byte: the losses of all tokens in bits, over the bytes of the text (03). Texts for
# it are not cut into full rows; each is a row of its own, and the shorter ones are padded at the end. A padded place
# has the target −100, which PyTorch's cross-entropy leaves out, too. In small:
#
# | target | bone | it | −100 | |
# |---|---|---|---|---|
# | loss (nats) | 1.39 | 0.69 | 5.00 | 1.39 + 0.69 = 2.08 nats = 3 bits |
# | bytes | 4 | 2 | | 6 |
#
# Half a bit per byte. Whoever counts the padded place, too, gets 1.7, and the number depends on how texts were sorted
# into batches.
#
# ### Now you · `bits_per_byte_of_targets` · 8 minutes
#
# Losses (rows, T) in float32, targets (rows, T), bytes → bits per byte. A validation set has millions of targets: in
# which number format is the sum made (01)? (Not on the core path.)

# %%
bits_per_byte_of_targets = now_you("bits_per_byte_of_targets")


# %% tags=["solution"]
def book_bits_per_byte_of_targets(losses, targets, n_bytes):
    return losses[targets != -100].sum(dtype=np.float64) / np.log(2) / n_bytes


# %% [markdown]
# The simplest model again, how frequent each piece is, with both vocabularies, on the same 40 texts that it has not
# read. **Guess first:** with 360 pieces or with 700, which has the higher loss per token, and which the more bits per
# byte?

# %% tags=["hide-output"]
print("toy:", bits_per_byte_of_targets(np.array([[1.386, 0.693, 5]], np.float32), np.array([[3, 7, -100]]), 6).round(2))
rows = []
for tokenizer in (small, large):
    n_pieces = len(tokenizer.pieces)
    held = write_shards(clean[:40], tokenizer, work / f"held-{n_pieces}")
    ids = np.concatenate([tokenizer.encode(text) for text in clean[40:]])
    counts = np.bincount(ids, minlength=n_pieces) + 1
    logp = np.log(counts / counts.sum()).astype(np.float32)
    padded, n_bytes = validation_batches(held, seq_len=256, batch_size=8)
    targets = np.concatenate([t.ravel() for _, t in padded])[None]
    losses = -logp[np.maximum(targets, 0)]
    bpb = bits_per_byte_of_targets(losses, targets, n_bytes)
    if torch is not None:
        logits = torch.tensor(logp, dtype=torch.float64).expand(targets.size, n_pieces)
        summed = torch.nn.functional.cross_entropy(logits, torch.tensor(targets[0]), ignore_index=-100, reduction="sum")
        expected = float(summed) / np.log(2) / n_bytes
    else:
        expected = sum(-float(logp[t]) for t in targets[0] if t >= 0) / np.log(2) / n_bytes
    show_error(f"{n_pieces} pieces, bits per byte", bpb, expected, 1e-6)
    rows.append((n_pieces, f"{losses[targets >= 0].mean():.2f}", f"{bpb:.3f}"))
assert rows[0][1] < rows[1][1]
assert float(rows[0][2]) > float(rows[1][2])
shutil.rmtree(work, ignore_errors=True)
table(("pieces", "loss per token (nats)", "bits per byte"), rows)

# %% [markdown]
# The larger vocabulary has the higher loss per token and the fewer bits per byte: it asks harder questions, and far
# fewer of them.
#
# ## What you now know
#
# - A model learns what is in its data often, whatever it is worth. Nothing crashes when a data rule is wrong.
# - A quality rule is a figure and a limit. It understands nothing, and each catches what others let through.
# - What looks like somebody's number can be a year. Checks inside a number remove most accidents, the words around it
#   have to do the rest. Precision and recall are counted on texts whose right places are known.
# - A lower threshold finds more of the bad and loses more of the good, above all what has the words of the bad.
# - In a random order the smallest shingle is shared with the probability of the Jaccard similarity. Bands turn that
#   into equal keys, and chains turn pairs into clusters.
# - A leaked question with two words exchanged is seen by a test that follows a match past what differs.
# - A weight is a number of readings. Bits per byte compare models whose vocabularies differ.
#
# ## Three questions
#
# 1. Somebody thinks that MinHash misses copies, and takes 28 bands of 4 rows in place of 14 bands of 8. Two pages with
#    $J = 0.9$, and two with $J = 0.5$: how likely were they candidates, and how likely are they now? A site has a
#    thousand recipes with one long introduction, any two of them with $J = 0.5$. How many, about, are left now?
#
# <details>
# <summary>Answer</summary>
#
# Before, 0.9996 and 0.05; now 1 − (1 − 0.9⁴)²⁸ = 1.0000 and 1 − (1 − 0.5⁴)²⁸ = 0.84. Hardly any copy is found that was
# missed before. But most pairs of recipes are candidates now, and chains of pairs join nearly all of them to one
# cluster, of which one page stays. Before, it was 5 % of the other 999, and so about 50 candidates for a recipe: even
# then chains joined many. What all pages of a site share has to go before they are compared.
#
# </details>
#
# 2. Somebody puts a test question of 40 words on a page, and exchanges every eighth word. Which of the two tests finds
#    it, if a word is a token?
#
# <details>
# <summary>Answer</summary>
#
# Neither. The longest run of equal words is 7, fewer than 13; and a match of LLaMA 2's test must begin with 10 equal
# tokens, so none begins. A clean result says that no leak of a certain kind was found.
#
# </details>
#
# 3. LLaMA 1 drew 1.4 trillion tokens, 4.5 % of them from Wikipedia, which was read 2.45 times. How many tokens of
#    Wikipedia are there? LLaMA 2 drew 2 trillion. If it had twice the weight for the same Wikipedia, how often was it
#    read?
#
# <details>
# <summary>Answer</summary>
#
# 0.045 · 1.4 trillion = 63 billion tokens drawn, in 2.45 readings: 26 billion tokens. With 9 % of 2 trillion, 180
# billion, it is read 7 times.
#
# </details>
#
# ## Exercises
#
# <!-- exercises: written by `python -m minillama.learn.generate` -->
#
# | exercise | what | difficulty | minutes | path |
# |---|---|---|---|---|
# | `gopher_broken_rules` | Which rules does this page break? | 3 | 30 | core |
# | `duplicate_line_shares` | Lines that were there before | 1 | 10 |  |
# | `repeated_ngram_share` | Phrases that were there before | 2 | 15 | core |
# | `c4_clean_lines` | Sentences out of a web page | 2 | 15 |  |
# | `luhn_valid` | The check digit of a card number | 1 | 10 | core |
# | `iban_checksum_valid` | The checksum of a bank account | 1 | 10 |  |
# | `ipv4_public` | An address of the public internet | 1 | 12 |  |
# | `redact_emails` | E-mail addresses out of a text | 2 | 12 | core |
# | `redact_or_drop` | Replace a few, drop for many | 1 | 10 |  |
# | `threshold_costs` | What a threshold costs | 1 | 10 |  |
# | `jaccard_of_texts` | How much two texts share | 2 | 12 | core |
# | `minhash_signature` | The fingerprint of a document | 2 | 15 | core |
# | `candidate_probability` | How likely is a candidate? | 1 | 8 | core |
# | `band_candidates` | Pairs that share a band | 2 | 15 | core |
# | `duplicate_clusters` | Copies of copies | 2 | 15 | core |
# | `samples_with_overlap` | Test questions in the training text | 2 | 12 |  |
# | `contaminated_tokens` | LLaMA 2's contamination test | 3 | 25 | core |
# | `mixture_epochs` | Up-sampling is an epoch count | 1 | 8 | core |
# | `rows_for_training` | Documents as rows of tokens | 2 | 12 |  |
# | `bits_per_byte_of_targets` | A loss that does not depend on the tokenizer | 1 | 8 |  |
#
# <!-- end of the exercises -->
#
# Each is asked for above, where its idea is fresh. `minillama learn start my-llama` makes a folder with all starters,
# and `minillama learn watch` checks on every save.
#
# ## Next
#
# There are rows of tokens, and for each token a target. What is missing is a model that becomes better by them:
# [14](14_training.ipynb) computes for every weight in which direction it should move, and moves it.
