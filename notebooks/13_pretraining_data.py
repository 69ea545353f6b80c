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
# **Goal.** Turn pages into training rows: judge their quality, mask personal data, measure harmful content, remove
# near-duplicates, find test questions, mix sources, and write token shards. Every rule is shown with its figure.
#
# **Before this.** Chapters 02 (tokenizer) and 03 (loss, perplexity); chapter 01 for the Numba cells.
# **Time.** 60 minutes to read and run, 260 minutes for the exercises.
# **Paper.** LLaMA 2 (arXiv:2307.09288), section 2.1 (data), section 4.1 (what is in them), appendix A.6
# (contamination). The rules are those of Gopher (arXiv:2112.11446), C4 (JMLR 21, 2020), FineWeb (arXiv:2406.17557)
# and Dolma (arXiv:2402.00159).
#
# **Not reproduced.** LLaMA 2's data were never published: neither the pages, nor the sources, nor their proportions.
# Two trillion tokens do not fit into a chapter either. It works with pages written here and with a synthetic corpus
# from a seed; so its shares say how the rules work, not what the web looks like.

# %%
import ipaddress
import json
import re
import shutil
import tempfile
import textwrap
import zlib
from collections import Counter
from itertools import combinations, pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from numba import njit

from minillama.learn import check
from minillama.learn.book import COLOURS, load, show_error, style, table

style()
work = Path(tempfile.mkdtemp(prefix="minillama-13-"))  # everything this chapter writes


def show(text):
    """Print a text in lines of the page's width."""
    print("\n".join(textwrap.fill(line, 100) for line in text.splitlines()))


# %% [markdown]
# ## What LLaMA 2 did, and what it did not
#
# The paper says little, and some of it surprises: it did *not* filter harmful content, and it did so on purpose.

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
        ("duplicates", "not described; LLaMA 1 removed them (CCNet, and equal files of code)"),
        ("contamination", "measured on tokens after training, nothing removed (A.6)"),
    ],
)

# %% [markdown]
# Everything in this chapter that goes further is therefore not LLaMA 2's. It is what others have published with code,
# and what a model trained from the open web needs today.

# %% [markdown]
# ## The idea
#
# A page passes a row of cheap tests. Each computes one figure, such as the share of repeated lines, and compares it
# with a threshold. Some tests drop the page, some change it, some only count. Then all pages that are left are compared
# with one another, because the web says most things several times. What remains becomes token ids in long files, and a
# sampler draws rows from several such files by weights.

# %% [markdown]
# ## The mathematics
#
# A text has words $w_1 \dots w_m$, lines $l_1 \dots l_k$ and $c$ characters. A quality rule is a figure
# $f(\text{text})$ with a threshold: keep if $f \ge \theta$, or if $f \le \theta$.
#
# Two texts with sets of shingles $A$ and $B$ (all windows of 5 words) have the **Jaccard similarity**
# $s = |A \cap B| \, / \, |A \cup B|$. For a random function $h(x) = (a x + b) \bmod p$ with the prime $p = 2^{61}-1$,
#
# $$P\big(\min_{x \in A} h(x) = \min_{x \in B} h(x)\big) = s,$$
#
# because in a random order each element of $A \cup B$ is equally likely to be the smallest, and both minima agree
# exactly when it lies in both sets. (The orders that linear functions make are random enough: see the scatter plot.)
# With $r$ values in a band and $b$ bands, both texts agree in at least one whole band with the probability $1 - (1 -
# s^r)^b$.
#
# Drawing $N$ tokens with weights $g_i$ from sources of $n_i$ tokens sees source $i$ for
# $e_i = \frac{g_i}{\sum_j g_j} \cdot \frac{N}{n_i}$ epochs. Losses $\ell_t$ in nats over a text of $B$ bytes are
# $\frac{1}{B \ln 2}\sum_t \ell_t$ bits per byte, whatever the tokenizer.

# %% [markdown]
# | what | type and shape | in this chapter |
# |---|---|---|
# | document | `str` | a page |
# | decision of a filter | text or `None`, counts of rules | `Decision(text, findings, examples)` |
# | word hashes | uint64 $(m,)$ | all rules compare numbers, not words |
# | signature | uint64 $(112,)$ | 14 bands of 8 values |
# | shard | uint16 $(N,)$, and int64 starts $(n_{docs},)$ | one long row of ids on disk |
# | batch | int64 $(B, T)$ tokens and targets | targets are shifted by one |

# %% [markdown]
# ## Nine pages
#
# The web in small: two pages worth keeping, and seven that are not, each in its own way.

# %%
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
CODE = "\n".join(["def area(r):", "    # the area of a circle", "    return {'r': r, 'a': 3.14159 * r ** 2}"] * 6)
WARES = ["cheap", "shoes", "online", "shop", "sale", "boots", "leather", "discount", "best", "price", "buy", "outlet"]
KEYWORDS = " ".join(WARES * 6)
SHORT = "The page that you look for has moved. Go back to the start and try again."
PAGES = {
    "story": STORY, "guide": GUIDE, "advert": ADVERT, "loop": LOOP, "links": LINKS,
    "teasers": TEASERS, "code": CODE, "keywords": KEYWORDS, "short": SHORT,
}  # fmt: skip

# %% [markdown]
# ## Quality: figures against thresholds
#
# Gopher's rules in plain Python. A word is a run of letters and digits, an apostrophe with the letters after it, or a
# run of one sign; a sign is not a word for the first three rules, but it counts as one in the shares.

# %%
STOP_WORDS = {"the", "be", "to", "of", "and", "that", "have", "with"}


WORD = re.compile(r"[^\W_]+|(?<=[^\W_])['’][^\W_]+|([^\w\s]|_)\1*")


def split_words(text):
    return [match[0] for match in WORD.finditer(text)]


def gopher_figures(text):
    words, lines = split_words(text), text.splitlines()
    real = [word for word in words if any(c.isalnum() for c in word)]
    mean = sum(map(len, real)) / len(real)
    return {
        "min_words": len(real),
        "min_mean_word_length": mean,
        "max_mean_word_length": mean,
        "max_hashes_per_word": text.count("#") / len(words),
        "max_ellipses_per_word": (text.count("...") + text.count("…")) / len(words),
        "max_bullet_lines": sum(line.lstrip().startswith(("•", "-")) for line in lines) / len(lines),
        "max_ellipsis_lines": sum(line.rstrip().endswith(("...", "…")) for line in lines) / len(lines),
        "min_words_with_letter": sum(any(c.isalpha() for c in word) for word in words) / len(words),
        "min_stop_words": len(STOP_WORDS & set(words)),
    }


# %% [markdown]
# The package computes the same figures with compiled loops over hashes of words. Both agree on all pages, and so do the
# rules that they break.

# %%
from minillama.data.rules.c4 import C4Quality
from minillama.data.rules.fineweb import FineWebQuality
from minillama.data.rules.gopher import GopherQuality
from minillama.data.rules.repetition import GopherRepetition

gopher = GopherQuality()
ours = [list(gopher_figures(text).values()) for text in PAGES.values()]
package = [[dict(gopher.figures(text))[rule] for rule in gopher_figures(text)] for text in PAGES.values()]
show_error("nine figures of nine pages", np.array(ours), np.array(package), 1e-12, against="the package")


def gopher_broken_rules(text, min_words=50):
    broken = []
    for rule, figure in gopher_figures(text).items():
        limit = min_words if rule == "min_words" else getattr(gopher, rule)
        if (figure < limit) if rule.startswith("min") else (figure > limit):
            broken.append(rule)
    return broken


for text in PAGES.values():
    assert gopher_broken_rules(text) == list(gopher(text).findings)

# %% [markdown]
# A figure alone says nothing. The picture divides each one by its threshold (upside down for rules with a minimum), so
# that 1 is the border everywhere and everything above it is dropped.

# %%
rules = list(gopher_figures(STORY))
limits = np.array([getattr(gopher, rule) for rule in rules], float)
ratio = np.array(ours) / limits
lower = np.array([rule.startswith("min") for rule in rules])
with np.errstate(divide="ignore"):
    ratio[:, lower] = 1 / ratio[:, lower]
shown = np.clip(ratio, 0, 3)
fig, axis = plt.subplots(figsize=(9.5, 4.4))
image = axis.imshow(shown, cmap="RdBu_r", vmin=0, vmax=2, aspect="auto")
axis.grid(visible=False)
axis.set_xticks(range(len(rules)), [rule.replace("_", " ", 1).replace("_", "\n") for rule in rules], fontsize=8)
axis.set_yticks(range(len(PAGES)), list(PAGES))
for (row, column), value in np.ndenumerate(ratio):
    if limits[column] < 100_000:
        text = f"{ours[row][column]:.3g}"
        colour = "white" if abs(shown[row, column] - 1) > 0.7 else "black"
        weight = "bold" if value > 1 else "normal"
        axis.text(column, row, text, ha="center", va="center", color=colour, weight=weight, fontsize=8)
axis.set(xlabel="rule (numbers are the page's figures, bold: the page is dropped)", ylabel="page")
axis.set_title("Bad pages break different rules, all but one; good pages break none")
fig.colorbar(image, label="figure / threshold (or its inverse)")
plt.show()

# %% [markdown]
# Only "loop" passes beside the good pages: its words look like words. Other rules are for it.

# %% [markdown]
# ## Repetition
#
# Gopher's second set of rules asks how much of a page was there before. For phrases of $n$ words a cursor walks over
# the text; a phrase that was seen adds its characters, and the cursor jumps past it, so that no character counts
# twice.


# %%
def repeated_ngram_share(text, n):
    words, seen, characters, i = split_words(text), set(), 0, 0
    while i + n <= len(words):
        window = tuple(words[i : i + n])
        if window in seen:
            characters += sum(map(len, window))
            i += n
        else:
            seen.add(window)
            i += 1
    return characters / len(text)


def duplicate_line_shares(text):
    lines, seen, count, characters = re.split(r"\n+", text), set(), 0, 0
    for line in lines:
        count, characters = count + (line in seen), characters + (line in seen) * len(line)
        seen.add(line)
    return count / len(lines), characters / len(text)


print("page       repeated lines   5-grams   10-grams")
for name, text in PAGES.items():
    five, ten = repeated_ngram_share(text, 5), repeated_ngram_share(text, 10)
    print(f"{name:10s} {duplicate_line_shares(text)[0]:14.2f} {five:9.2f} {ten:10.2f}")

# %% [markdown]
# Long texts need this for six lengths of phrases. In NumPy all windows can be made at once, but the jump depends on
# what was found before, which is a loop. So the compiled version walks as above, over hashes of windows in place of
# tuples, with an open table in place of the set.


# %%
@njit
def repeated_characters(windows, lengths, n):
    size = 4
    while size < 2 * len(windows):
        size *= 2
    table_, used = np.zeros(size, np.uint64), np.zeros(size, np.bool_)
    characters, i = 0, 0
    while i < len(windows):
        place = windows[i] % np.uint64(size)
        while used[place] and table_[place] != windows[i]:
            place = (place + np.uint64(1)) % np.uint64(size)
        if used[place]:
            characters += lengths[i : i + n].sum()
            i += n
        else:
            table_[place], used[place] = windows[i], True
            i += 1
    return characters


# %% [markdown]
# The windows themselves are one line of arithmetic in NumPy for each word of a window.


# %%
def windows_of(hashes, n):
    """NumPy: one number for each window of n words, wrapping in 64 bits."""
    windows = np.zeros(max(len(hashes) - n + 1, 0), np.uint64)
    for k in range(n):
        windows = (windows ^ hashes[k : k + len(windows)]) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(12345)
        windows ^= windows >> np.uint64(29)
    return windows


def compiled_share(text, n):
    words = split_words(text)
    hashes = np.array([zlib.crc32(word.encode()) * 0x1_0000_0001 for word in words], np.uint64)
    return repeated_characters(windows_of(hashes, n), np.array([len(word) for word in words]), n) / len(text)


# %%
repetition = GopherRepetition()
ours = np.array([[repeated_ngram_share(text, n) for n in range(5, 11)] for text in PAGES.values()])
compiled = np.array([[compiled_share(text, n) for n in range(5, 11)] for text in PAGES.values()])
figures = [dict(repetition.figures(text)) for text in PAGES.values()]
package = np.array([[f[f"max_duplicate_{n}_grams"] for n in range(5, 11)] for f in figures])
show_error("repeated n-grams, plain Python", ours, package, 1e-12, against="the package")
show_error("repeated n-grams, NumPy and Numba", compiled, package, 1e-12, against="the package")

# %%
fig, axis = plt.subplots(figsize=(8, 3.6))
for row, (name, colour) in enumerate(zip(PAGES, COLOURS + COLOURS)):
    if name in ("story", "loop", "links", "code", "keywords"):
        axis.plot(range(5, 11), ours[row], "o-" if row < 6 else "s--", label=name, color=colour, markersize=4)
limits = [getattr(repetition, f"max_duplicate_{n}_grams") for n in range(5, 11)]
axis.fill_between(range(5, 11), limits, 1, color="#d8d8d2", alpha=0.5, zorder=0)
axis.plot(range(5, 11), limits, color="black", linewidth=1.2, label="threshold")
axis.set(xlabel="words n of a phrase", ylabel="share of characters repeated", ylim=(-0.03, 1))
axis.set_title("What says the same again and again is far above the threshold")
axis.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.2))
plt.show()

# %% [markdown]
# ## Lines: C4
#
# C4's rules do not drop a page for one bad line. They keep lines that are sentences, without citation marks, and drop
# the page only when fewer than five sentences are left (or when it has a `{`, which is code, or "lorem ipsum").

# %%
POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")


def c4_clean_lines(text):
    kept = []
    for line in text.splitlines():
        line = re.sub(r"\[\d*\]|\[edit\]|\[citation needed\]", "", line.strip())
        lower = line.lower()
        sentence = line.endswith((".", "?", "!", '"', "'")) and not line.endswith("...") and len(line.split()) >= 3
        if sentence and "javascript" not in lower and not any(phrase in lower for phrase in POLICY):
            kept.append(line)
    return kept


show("\n".join(c4_clean_lines(GUIDE)))

# %% [markdown]
# The heading, the menu and the notice are gone. FineWeb leaves out the rule of terminal punctuation in its C4 step, and
# has rules of its own that look at the page instead. Here is what every filter says about every page.

# %%
filters = [GopherRepetition(), GopherQuality(), C4Quality.fineweb(), FineWebQuality()]
rows = []
for name, text in PAGES.items():
    said = []
    for filter_ in filters:
        decision = filter_(text)
        found = [rule for rule in decision.findings if decision.text is None]
        said.append("kept" if decision.text == text else "changed" if decision.text else ", ".join(found[:2]))
    rows.append((name, *said))
table(("page", "repetition", "gopher", "c4 (as in FineWeb)", "fineweb"), rows)

# %% [markdown]
# ### A model as a judge
#
# The pipeline that LLaMA 1 used for CommonCrawl (CCNet) scores pages by their perplexity under a small language model.
# The idea can be seen with a real one. SmolLM2 reads some pages, and random letters; the bars are its bits per byte.

# %%
llm = load()
letters = "".join(np.random.default_rng(1).choice(list("abcdefghijklmnopqrstuvwxyz     "), 240))
bits = {}
for name, text in {**PAGES, "letters": letters}.items():
    if name in ("story", "guide", "loop", "keywords", "letters"):
        ids = llm.tokenizer.encode(text[:240])
        losses = -llm.logprobs(ids[:1], ids[1:])
        bits[name] = float(losses.sum() / np.log(2) / len(llm.tokenizer.decode(ids[1:]).encode()))
fig, axis = plt.subplots(figsize=(8, 3.2))
good = [COLOURS[0] if name in ("story", "guide") else COLOURS[5] for name in bits]
axis.bar_label(axis.bar(list(bits), list(bits.values()), color=good), fmt="%.2f", padding=2)
axis.set_axisbelow(True)
axis.set(xlabel="page (its first 240 characters)", ylabel="bits per byte under SmolLM2")
axis.set_title("Prose is neither the least nor the most surprising text")
axis.margins(y=0.12)
plt.show()

# %% [markdown]
# One threshold cannot do it: repeated text is the most predictable of all. So perplexity filters keep a middle, and
# they keep what resembles the judge's own training data. The rules above are cruder and do not have this preference.

# %% [markdown]
# ## Personal data
#
# Addresses and numbers of people have shapes, so regular expressions find them. They also find much else. What tells
# them apart is checksums, and the words around them.


# %%
def luhn_valid(digits):
    total = 0
    for i, digit in enumerate(map(int, reversed(digits))):
        if i % 2 == 1:
            digit = 2 * digit - 9 if digit > 4 else 2 * digit
        total += digit
    return total % 10 == 0


def iban_checksum_valid(iban):
    compact = iban.replace(" ", "")
    turned = compact[4:] + compact[:4]
    return int("".join(str(int(c, 36)) for c in turned)) % 97 == 1


def ipv4_public(text):
    parts = text.split(".")
    if len(parts) != 4 or not all(p.isdecimal() and p == str(int(p)) and int(p) <= 255 for p in parts):
        return False
    a, b = int(parts[0]), int(parts[1])
    return not (a in (10, 127) or (a, b) in ((169, 254), (192, 168)) or (a == 172 and 16 <= b <= 31))


# %% [markdown]
# How much does a checksum exclude? For addresses, Python's `ipaddress` knows the answer.

# %%
rng = np.random.default_rng(13)
random_numbers = ["".join(map(str, rng.integers(0, 10, 16))) for _ in range(20_000)]
passing = np.mean([luhn_valid(number) for number in random_numbers])
print(f"of random 16-digit numbers {passing:.1%} pass the Luhn formula")
print("a test card:", luhn_valid("4111111111111111"), "  two digits exchanged:", luhn_valid("1411111111111111"))
print("an example IBAN:", iban_checksum_valid("GB82 WEST 1234 5698 7654 32"))
for address in ("83.12.7.200", "172.20.1.1", "172.40.1.1", "256.1.1.1", "1.2.3"):
    try:
        expected = ipaddress.ip_address(address).is_global
    except ValueError:
        expected = False
    assert ipv4_public(address) == expected, address

# %% [markdown]
# So the checksum removes nine of ten accidents, and only the words around can say more. Last come the two things that
# are done with a finding: replace it, or drop a page that is a list of contacts.


# %%
def redact_emails(text):
    return re.sub(r"[A-Za-z0-9._+-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}", "|||EMAIL_ADDRESS|||", text)


def redact_or_drop(text, spans, most):
    if len(spans) > most:
        return None
    for start, stop, kind in reversed(spans):  # from the right, so that the other positions stay
        text = text[:start] + "|||" + kind + "|||" + text[stop:]
    return text


CONTACT = """\
The lighthouse is open on Sundays. Write to keeper@lighthouse.example.org or call (555) 010-4477 before you come.
The guest book is at 83.12.7.200 and the old one was at 192.168.0.7, which nobody can reach from outside.
Friends of the lighthouse pay to GB82 WEST 1234 5698 7654 32. Our book has the ISBN 978-3-16-148410-0."""
show(redact_emails(CONTACT))

# %% [markdown]
# Three published or checked styles on this page. Dolma puts marks in place of findings, and drops pages with six or
# more. FineWeb puts in neutral addresses, and leaves private IP addresses alone. The package's own style knows more
# kinds.

# %%
from minillama.data.rules.personal_data.filter import PersonalDataFilter

for name in ("dolma", "fineweb", "checked"):
    print(f"--- {name}")
    show(PersonalDataFilter(style=name)(CONTACT).text)
contacts = "\n".join(f"{name} answers at {name}@mail.example.org daily" for name in "abcdef")
print("--- six addresses, as in Dolma:", PersonalDataFilter(style="dolma")(contacts).text)

# %% [markdown]
# The bank account is safe only in the third version. The ISBN stands in all of them: it is nobody's number.
#
# ### Precision and recall
#
# How good is a rule? That needs texts in which the right answer is known. The next cells make some: sentences with
# places for data, and traps that look like data.

# %%
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


# %% [markdown]
# What goes into the places, the sentences, and the traps. All of it is made up.

# %%
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

# %% [markdown]
# A finding is right when it overlaps a marked place of the same kind.


# %%
def labelled_text():
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


# %% [markdown]
# With these, precision and recall are counts.


# %%
def counted(find, texts):
    """Right, found and wanted for every kind."""
    right, found, wanted, reached = Counter(), Counter(), Counter(), Counter()
    for text, marked in texts:
        spans = find(text)
        for kind, start, stop, *_ in spans:
            found[kind] += 1
            right[kind] += any(k == kind and a < stop and start < b for k, a, b in marked)
        for kind, a, b in marked:
            wanted[kind] += 1
            reached[kind] += any(s[0] == kind and a < s[2] and s[1] < b for s in spans)
    return right, found, wanted, reached


LABELLED = [labelled_text() for _ in range(400)]
figures = {name: counted(PersonalDataFilter(style=name).find, LABELLED) for name in ("dolma", "fineweb", "checked")}

# %%
kinds = list(MAKE)
fig, axes = plt.subplots(1, 2, figsize=(11.5, 3.6), sharey=True)
for i, (name, (right, found, wanted, reached)) in enumerate(figures.items()):
    for axis, over, what in ((axes[0], wanted, reached), (axes[1], found, right)):
        values = [what[kind] / over[kind] if found[kind] else np.nan for kind in kinds]
        bars = axis.bar(np.arange(5) + 0.28 * (i - 1), values, width=0.26, color=COLOURS[i], label=name)
        axis.bar_label(bars, ["–" if np.isnan(v) else f"{v:.2g}" for v in values], fontsize=7, padding=2)
for axis, what in zip(axes, ("recall: of the marked data, found", "precision: of the findings, right")):
    axis.set_xticks(range(5), [kind.replace("_", "\n").lower() for kind in kinds])
    axis.set(title=what, ylim=(0, 1.12), xlabel="kind of personal data")
    axis.set_axisbelow(True)
axes[0].set_ylabel("share")
axes[1].legend(ncols=1, loc="center left", bbox_to_anchor=(1, 0.5))
fig.suptitle("US-style rules miss the world's numbers; kinds without a rule are not found at all", fontweight="bold")
plt.show()

# %% [markdown]
# These figures hold for these templates and for no others: a set that is easy gives high ones. Names and postal
# addresses have no shape at all; they need a trained tagger, and no rule here finds them.

# %% [markdown]
# ## Harmful content: lists, classifiers, thresholds
#
# C4 drops a page when it holds one word of a list. Dolma trains a classifier and drops sentences above a threshold.
# LLaMA 2 only measured. How such filters work, and fail, does not depend on the topic. So the chapter takes a harmless
# one: a filter for **storms**. Sentences about bad weather are to go, sentences about anything else are to stay.

# %%
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
    made = []
    for _ in range(n):
        part = {key: values[int(rng.integers(len(values)))] for key, values in words.items()}
        made.append(f"the {part['a']} {part['n']} {part['v']} {part['o']}")
    if hard:
        made[::5] = [hard[i % len(hard)] for i in range(len(made[::5]))]
    return made


# %% [markdown]
# A word list of five words, and the package's classifier (hashed words and pairs, logistic regression) trained on 400
# sentences without the difficult ones.

# %%
from minillama.data.rules.harmful.classifier import train

rng = np.random.default_rng(3)
learn_bad, learn_good = (sentences_about(words, (), 200, rng) for words in (WEATHER, OTHER))
classifier = train(learn_bad + learn_good, [1] * 200 + [0] * 200, bits=12)
texts = sentences_about(WEATHER, HARD_BAD, 100, rng) + sentences_about(OTHER, HARD_GOOD, 100, rng)
labels = np.repeat([1, 0], 100)
listed = np.array([any(word in text.split() for word in WEATHER["n"]) for text in texts])
scores = classifier.predict(texts)


def threshold_costs(scores, labels, threshold):
    dropped, bad = scores > threshold, labels == 1
    right = (dropped & bad).sum()
    return right / max(dropped.sum(), 1), right / bad.sum(), (dropped & ~bad).sum() / (~bad).sum()


for name, values, threshold in (
    ("word list", listed, 0.5),
    ("classifier", scores, 0.9),
    ("classifier", scores, 0.4),
    ("classifier", scores, 0.1),
):
    precision, recall, lost = threshold_costs(values.astype(float), labels, threshold)
    print(f"{name:10s} > {threshold}: precision {precision:.2f}, recall {recall:.2f}, good text lost {lost:.2f}")

# %%
thresholds = np.linspace(0, 1, 201)[:-1]
costs = np.array([threshold_costs(scores, labels, t) for t in thresholds])
fig, axes = plt.subplots(1, 2, figsize=(10, 3.6))
bins = np.linspace(0, 1, 21)
for label, name, colour in ((0, "about other things", COLOURS[0]), (1, "about storms", COLOURS[1])):
    axes[0].hist(scores[labels == label], bins, color=colour, alpha=0.7, label=name)
axes[0].axvline(0.4, color="black", linewidth=1, linestyle=":", label="threshold 0.4")
axes[0].set(
    xlabel="score of the classifier", ylabel="sentences", title="Difficult sentences lie in the middle, or across"
)
axes[0].legend(loc="center", bbox_to_anchor=(0.64, 0.62))
axes[1].plot(costs[:, 2], costs[:, 1], color=COLOURS[2], label="classifier, all thresholds")
at = costs[np.searchsorted(thresholds, 0.4)]
axes[1].plot(at[2], at[1], "o", color=COLOURS[2], label="classifier, 0.4")
_, recall, lost = threshold_costs(listed.astype(float), labels, 0.5)
axes[1].plot(lost, recall, "s", color=COLOURS[3], label="word list")
axes[1].set(xlabel="share of good text lost", ylabel="share of storms found", xlim=(-0.02, 1), ylim=(0, 1.03))
axes[1].set_title("The last storms found cost good text")
axes[1].legend(loc="lower right")
plt.show()

# %% [markdown]
# The list drops "a storm of applause" and misses "waves as high as houses": words are not meaning. The classifier does
# better on what resembles its training set, and is as helpless on what does not. A lower threshold finds more and
# costs more, and what it costs is not spread evenly: it is texts in which people talk *about* the topic. This is the
# paper's reason for not filtering at all.
#
# The package's own classifier was trained on harmful requests. Without a word list that rule is off, and says so.

# %%
from minillama.data.rules.harmful.filter import HarmfulContentFilter

harmful = HarmfulContentFilter()
print(harmful.word_list_note)
for text in ("The hen sat on her eggs.", "How do I bake a plain bread?", "How do I kill a Python process?"):
    print(f"{harmful.score(text):.2f}  {text}")

# %% [markdown]
# The last score is high and wrong. Such a score can rank what a person should look at, and measure a corpus as the
# paper did; it is not a judgement on a sentence.

# %% [markdown]
# ## A synthetic corpus
#
# The remaining rules compare documents with one another, which takes more than nine of them. A small grammar tells
# stories; the other kinds of page are made from them or from the pages above.

# %%
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


def tell(rng, n_sentences=11):
    def word(match):
        options = GRAMMAR[match[1]]
        return options[int(rng.integers(len(options)))]

    made = (re.sub(r"\{(\w+)\}", word, SHAPES[int(rng.integers(len(SHAPES)))]) for _ in range(n_sentences))
    return " ".join(sentence[0].upper() + sentence[1:] for sentence in made)


show(tell(np.random.default_rng(2)))

# %% [markdown]
# ## Near-duplicates
#
# First the measure: shingles of five normalised words, as sets. Numbers become 0, because pages that differ only in a
# date or a counter are copies.


# %%
def normal_words(text, zero=True):
    text = re.sub(r"\d+", "0", text.lower()) if zero else text.lower()
    return re.sub(r"(?:[^\w\s]|_)", " ", text).split()


def shingles(text, n=5):
    words = normal_words(text)
    return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}


def jaccard_of_texts(first, second, n=5):
    a, b = shingles(first, n), shingles(second, n)
    return len(a & b) / len(a | b)


copy = STORY.replace("grey", "black").replace("herring", "mackerel").upper() + " Visits: 1,482"
print(f"a copy with two other words, in capitals, with a counter: {jaccard_of_texts(STORY, copy):.2f}")
print(f"the story and the guide: {jaccard_of_texts(STORY, GUIDE):.2f}")

# %% [markdown]
# Comparing all pairs of a billion pages is out of the question. MinHash gives each page a **signature**: for each of
# 112 random functions the smallest value over its shingles. In plain Python, whose integers have no limit:

# %%
PRIME = 2**61 - 1
rng = np.random.default_rng(0)
A, B = rng.integers(1, PRIME, 112).tolist(), rng.integers(0, PRIME, 112).tolist()


def shingle_hashes(text):
    return [zlib.crc32(" ".join(s).encode()) * 0x9E3779B1 % PRIME for s in sorted(shingles(text))]


def minhash_signature(hashes, a, b):
    return [min((factor * x + summand) % PRIME for x in hashes) for factor, summand in zip(a, b)]


hashes = shingle_hashes(STORY)
signature = minhash_signature(hashes, A, B)
agree = np.mean(np.array(signature) == np.array(minhash_signature(shingle_hashes(copy), A, B)))
print(f"{len(hashes)} shingles; values that agree with the copy's: {agree:.2f}")

# %% [markdown]
# NumPy does all functions and shingles in one product, and gets it wrong: $a x$ has up to 122 bits, and `uint64` keeps
# the lower 64 without a warning. The compiled version cuts both factors into two parts, so that no product exceeds 64
# bits, and uses that $2^{61} \equiv 1$ modulo the prime.

# %%
with np.errstate(over="ignore"):
    product = np.array(A, np.uint64)[:, None] * np.array(hashes, np.uint64) + np.array(B, np.uint64)[:, None]
wrapped = (product % np.uint64(PRIME)).min(axis=1)
print(f"values that the 64-bit product gets right: {np.mean(wrapped == np.array(signature, np.uint64)):.0%}")


# %% [markdown]
# In parts it is right:

# %%
U = np.uint64
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
def fast_signature(hashes, a, b):
    smallest = np.full(len(a), P61)
    for x in hashes:
        for i in range(len(a)):
            smallest[i] = min(smallest[i], multiply_add(a[i], x, b[i]))
    return smallest


functions = np.array(A, U), np.array(B, U)
assert fast_signature(np.array(hashes, U), *functions).tolist() == signature

# %% [markdown]
# How good an estimate are 112 values? Stories with more and more words exchanged against the original:

# %%
from minillama.data.duplicates.minhash import MinHash, jaccard


def changed(text, share, rng):
    words = text.split()
    for i in np.flatnonzero(rng.random(len(words)) < share):
        words[i] = GRAMMAR["thing"][int(rng.integers(14))] + "s"
    return " ".join(words)


rng = np.random.default_rng(4)
pairs = []
for _ in range(600):
    text = tell(rng)
    pairs.append((text, changed(text, rng.choice([0.005, 0.01, 0.02, 0.04, 0.07, 0.12]), rng)))
truth = np.array([jaccard_of_texts(*pair) for pair in pairs])
signed = np.array([[fast_signature(np.array(shingle_hashes(t), U), *functions) for t in pair] for pair in pairs])
estimate = (signed[:, 0] == signed[:, 1]).mean(axis=1)
banded = (signed[:, 0] == signed[:, 1]).reshape(-1, 14, 8).all(axis=2).any(axis=1)
show_error("Jaccard similarity", truth, [jaccard(*pair) for pair in pairs], 1e-12, against="the package")
print(f"mean error of the estimate {np.abs(estimate - truth).mean():.3f}")


# %%
def candidate_probability(similarity, bands, rows):
    return 1 - (1 - similarity**rows) ** bands


s = np.linspace(0, 1, 200)
fig, axes = plt.subplots(1, 2, figsize=(10, 3.8))
axes[0].plot([0, 1], [0, 1], color="black", linewidth=1)
axes[0].fill_between(
    s, s - 2 * np.sqrt(s * (1 - s) / 112), s + 2 * np.sqrt(s * (1 - s) / 112), color=COLOURS[5], alpha=0.25
)
axes[0].scatter(truth, estimate, s=8, color=COLOURS[0])
axes[0].set(xlabel="true Jaccard similarity", ylabel="share of 112 values that agree")
axes[0].set_title("Nearly all estimates lie within two standard errors")
for bands, rows, colour in ((14, 8, COLOURS[1]), (56, 2, COLOURS[5]), (4, 28, COLOURS[4])):
    axes[1].plot(s, candidate_probability(s, bands, rows), color=colour, label=f"{bands} bands of {rows}")
edges = np.linspace(0.2, 1, 11)
for low, high in pairwise(edges):
    inside = (truth >= low) & (truth < high)
    if inside.sum() >= 8:
        axes[1].plot(truth[inside].mean(), banded[inside].mean(), "o", color=COLOURS[1])
axes[1].axvline((1 / 14) ** (1 / 8), color="black", linestyle=":", linewidth=1)
axes[1].set(xlabel="Jaccard similarity s", ylabel="probability of becoming a candidate")
axes[1].set_title("Bands make a steep step (dots: measured)")
axes[1].legend(loc="center", bbox_to_anchor=(0.44, 0.6))
for axis in axes:
    axis.set_axisbelow(True)
plt.show()

# %% [markdown]
# The dotted line is at $(1/14)^{1/8}$, where the step is steepest. Bands turn a search over pairs into a search for
# equal keys: each band has a table from its eight values to the documents that have them. Candidates are joined into
# clusters, and the first document of each cluster stays.


# %%
def band_candidates(signatures, bands):
    pairs = set()
    for band, part in enumerate(np.split(signatures, bands, axis=1)):
        buckets = {}
        for document, values in enumerate(part):
            buckets.setdefault((band, *values.tolist()), []).append(document)
        for members in buckets.values():
            pairs |= set(combinations(members, 2))
    return sorted(pairs)


def duplicate_clusters(n, pairs):
    parents = list(range(n))

    def root(i):
        while parents[i] != i:
            i = parents[i]
        return i

    for i, j in pairs:
        a, b = root(i), root(j)
        parents[max(a, b)] = min(a, b)
    return [root(i) for i in range(n)]


# %% [markdown]
# A family of stories, each a copy of the one before with a few words exchanged, and four others:

# %%
rng = np.random.default_rng(8)
family = [tell(rng)]
for _ in range(5):
    family.append(changed(family[-1], 0.02, rng))  # each a copy of the one before
others = [tell(rng) for _ in range(4)]
small = family + others
signed = np.array([fast_signature(np.array(shingle_hashes(text), U), *functions) for text in small])
candidates = band_candidates(signed, 14)
print("candidates:", candidates)
print("first of each cluster:", duplicate_clusters(len(small), candidates))
print(f"similarity of the first and the last of the family: {jaccard_of_texts(family[0], family[-1]):.2f}")

# %% [markdown]
# Clusters reach further than pairs: copies of copies are connected, though the ends of the chain have little in common.
# That is also the price: a long chain of small changes loses a text that is new by now.

# %% [markdown]
# ## Contamination
#
# A test measures what a model can do only if the model has not seen its questions. GPT-3's authors removed documents
# that share 13 words in a row with a test. LLaMA 2 removed nothing and measured: a token of a sample is
# **contaminated** when it lies in a match of more than 10 tokens with the training text, in which up to 4 tokens may
# differ, but none of the first 10, and not the last. A made-up test of six questions:

# %%
QUIZ = [
    "Which of the four seas that a lighthouse keeper of the north can see from the tower is the one without any ice?",
    "A farmer has 17 hens and buys 25 more at the market on Sunday. How many hens does the farmer have on Monday?",
    "Who painted the tall blue mill by the river that all the children of the village pass on their way to school?",
    "In which year was the old stone bridge over the river closed to all the carts and the horses of the farmers?",
    "Name the instrument that the miller plays before supper and the teacher plays after supper in the quiet house.",
    "What does the owl in the fable give to the hungry mouse in exchange for the silver key of the cellar door?",
]
LEAKS = [
    "I found this on a quiz page. " + QUIZ[1] + " The answer is below.",
    "An old one: " + QUIZ[3].replace("closed", "shut").replace("carts", "wagons"),
    "He asked me who painted the tall blue mill by the river. I did not know.",
    "The owl in the fable gave the key to the hungry mouse, and the door of the cellar was silver.",
]


def windows(words, n):
    return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}


def samples_with_overlap(document, samples, n):
    seen = windows(normal_words(document, zero=False), n)
    return [bool(windows(normal_words(sample, zero=False), n) & seen) for sample in samples]


for leak in LEAKS:
    print([n for n, found in enumerate(samples_with_overlap(leak, QUIZ, 13)) if found], leak[:70])

# %% [markdown]
# The 13 words find the literal copy, and not the one with two words exchanged. The token test allows for such changes.


# %%
def contaminated_tokens(sample, document, first=10, budget=4):
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


from minillama.data.rules.contamination import NgramOverlap, TokenContamination

encode = llm.tokenizer.encode
samples, documents = [encode(text) for text in QUIZ], [encode(text) for text in LEAKS]
marks = [np.any([contaminated_tokens(sample, d) for d in documents], axis=0) for sample in samples]
test = TokenContamination(samples)
for document in documents:
    test.add(document)
shares = np.array([mark.mean() for mark in marks])
show_error("contaminated shares", shares, test.result(10).shares, 1e-12, against="the package")

# %%
fig, axis = plt.subplots(figsize=(9, 3.2))
width = max(map(len, marks))
grid = np.full((len(marks), width), np.nan)
for row, mark in enumerate(marks):
    grid[row, : len(mark)] = mark
axis.imshow(grid, aspect="auto", cmap="OrRd", vmin=0, vmax=1.3)
axis.grid(visible=False)
for row, share in enumerate(shares):
    kind = "clean" if share < 0.2 else "dirty" if share >= 0.8 else "in between"
    axis.text(width, row, f" {share:.0%}, {kind}", va="center", fontsize=9)
axis.set_yticks(range(6), [" ".join(text.split()[:4]) + " …" for text in QUIZ], fontsize=8)
axis.set(xlabel="token of the sample", title="Two questions leaked, one of them with other words in it")
plt.show()

# %% [markdown]
# The paper calls samples below 20 % clean and from 80 % on dirty, and compares the scores of both groups: a benchmark
# counts as affected when all of four overlapping groups are more than two standard errors from the mean. Here, 60 such
# tests, and a model that knows the leaked answers by heart:

# %%
many = TokenContamination(samples * 60)
for document in documents:
    many.add(document)
result = many.result(10)
rng = np.random.default_rng(6)
score = np.where(result.shares > 0.5, rng.random(360) < 0.95, rng.random(360) < 0.4)
print(f"mean score {score.mean():.2f}", {name: f"Z = {z:+.1f}" for name, z in result.z_scores(score).items()})

# %% [markdown]
# ## The whole pipeline
#
# All filters in FineWeb's order, over 700 synthetic pages whose kinds are known. The table in the picture says what
# each filter removed of each kind, the bars what was left.

# %%
from minillama.data.pipeline.run import PipelineSettings, run_pipeline

rng = np.random.default_rng(11)
stories = [tell(rng) for _ in range(300)]
corpus = [("story", text) for text in stories]
for i in range(80):
    corpus.append(("near copy", f"Visitor {i}. " + changed(stories[i], 0.008, rng)))
corpus += [("exact copy", stories[i].upper() if i % 2 else stories[i] + "\n") for i in range(100, 150)]
for i in range(40):
    corpus.append(("with address", tell(rng) + f" Write to reader{i}@mail.example.org if you like it."))
    corpus.append(("address list", "\n".join(f"{x}{i}@{x}.example: {tell(rng, 3)}" for x in GRAMMAR["who"][:9])))
    corpus.append(("advert", "\n".join(["BUY NOW !!!", f"#sale{i}", "Free shipping", tell(rng, 1)] * 5)))
    corpus.append(("loop", " ".join([tell(rng, 2)] * 7)))
    corpus.append(("code", tell(rng, 6) + "\nfunction f(x) { return x; }\n" + tell(rng, 6)))
    corpus.append(("too short", tell(rng, 3)))
corpus += [("quiz page", tell(rng) + " " + QUIZ[i % 6] + " " + tell(rng, 3)) for i in range(30)]
order = rng.permutation(len(corpus))
corpus = [corpus[i] for i in order]
(work / "pages.jsonl").write_text("".join(json.dumps({"text": t, "kind": k}) + "\n" for k, t in corpus))
(work / "quiz.json").write_text(json.dumps(QUIZ))
settings = PipelineSettings((work / "pages.jsonl",), work / "clean.jsonl", eval_files=(work / "quiz.json",))
tally = run_pipeline(settings).tally
print(", ".join(settings.in_order))
print(f"read {tally['read']['documents']} pages, written {tally['written']['documents']}")

# %% [markdown]
# The pipeline counts pages, not kinds. The same filters called one after another tell both, and must arrive at the same
# texts.

# %%
from minillama.data.duplicates.clusters import as_pairs, exact_duplicates, near_duplicates, text_hash
from minillama.data.pipeline.settings import build_filter

left, removed = list(corpus), {}
for rule in settings.in_order:
    if rule == "exact":
        first = exact_duplicates(as_pairs(b"".join(text_hash(text) for _, text in left)))
        after = [(k, t if first[i] == i else None) for i, (k, t) in enumerate(left)]
    elif rule == "minhash":
        first = near_duplicates(np.array([MinHash().band_hashes(text) for _, text in left]))
        after = [(k, t if first[i] == i else None) for i, (k, t) in enumerate(left)]
    else:
        filter_ = build_filter(rule, settings)
        after = [(kind, filter_(text).text) for kind, text in left]
    removed[rule] = Counter(kind for kind, text in after if text is None)
    left = [(kind, text) for kind, text in after if text is not None]
written = [json.loads(line)["text"] for line in (work / "clean.jsonl").read_text().splitlines()]
assert written == [text for _, text in left]

# %%
kinds = list(dict.fromkeys(kind for kind, _ in sorted(corpus, key=lambda page: page[0])))
before, kept = Counter(kind for kind, _ in corpus), Counter(kind for kind, _ in left)
grid = np.array([[removed[rule][kind] for rule in removed] for kind in kinds])
fig, axes = plt.subplots(1, 2, figsize=(11, 4.6), width_ratios=(3, 2))
axes[0].imshow(grid / [[before[kind]] for kind in kinds], cmap="OrRd", vmin=0, vmax=1.2, aspect="auto")
axes[0].grid(visible=False)
for (row, column), value in np.ndenumerate(grid):
    colour = "white" if value > 0.7 * before[kinds[row]] else "black"
    axes[0].text(column, row, value or "·", ha="center", va="center", fontsize=9, color=colour)
axes[0].set_xticks(range(len(removed)), list(removed), rotation=35, ha="right")
axes[0].set_yticks(range(len(kinds)), kinds)
axes[0].set(xlabel="filter, in the order they run", ylabel="kind of page", title="What each filter removes (pages)")
remaining = len(corpus) - np.cumsum([0, *(sum(c.values()) for c in removed.values())])
bars = axes[1].barh(["read", *removed], remaining, color=[COLOURS[5], *[COLOURS[0]] * len(removed)])
axes[1].bar_label(bars, padding=3, fontsize=9)
axes[1].invert_yaxis()
axes[1].grid(visible=False, axis="y")
axes[1].set_axisbelow(True)
axes[1].set(xlabel="pages left", title="The funnel")
axes[1].margins(x=0.12)
plt.show()

# %% [markdown]
# Of a cluster the first page stays, whichever it is, so some stories went and their copies stayed. Copies in capitals
# already fail Gopher's rules, because the stop words are looked for as they are written. The harmful-content filter
# only measures, as in the paper. Pages with one address were changed, not dropped. The counts say which rules applied.

# %%
masked = sum("|||EMAIL_ADDRESS|||" in text for _, text in left)
print(f"pages with a masked address: {masked}")
for rule, figure in list(tally["filters"].items())[:2]:
    show(f"{rule}: " + ", ".join(f"{name} {counts['documents']}" for name, counts in figure["rules"].items()))

# %% [markdown]
# ## Tokenizer and shards
#
# Cleaned texts become tokens. LLaMA's settings are trained by the `sentencepiece` library; the package also has the
# algorithm written out, which gives the same pieces. Where the library is missing, the written-out trainer is used.

# %%
from minillama.data.shards.reading import TokenShards, write_shards
from minillama.tokenizers.bpe.training import train_sentencepiece_bpe
from minillama.tokenizers.training import train_tokenizer

clean = [text for _, text in left]
small = train_sentencepiece_bpe(clean, 360)
large = train_sentencepiece_bpe(clean, 700)
try:
    library = train_tokenizer(clean, 700, work / "tokenizer")
    assert library.pieces == large.pieces
    print("sentencepiece learns the same 700 pieces, in the same order")
except ImportError:
    print("sentencepiece is not installed; the written-out trainer was used")
for tokenizer in (small, large):
    ids = tokenizer.encode(clean[0])
    print(f"{len(tokenizer.pieces)} pieces: {len(ids)} tokens for {len(clean[0])} bytes")
    print("   " + " ".join(tokenizer.pieces[i] for i in ids[1:18]))

# %% [markdown]
# A shard is one long row of ids. Each document begins with BOS; with fewer than 65,536 pieces an id takes two bytes. A
# description with checksums is written last, so that an interrupted run leaves nothing that looks finished.

# %%
written = write_shards(clean, large, work / "stories", shard_tokens=20_000)
read = TokenShards(work / "stories")
for path in sorted((work / "stories").iterdir()):
    print(f"{path.name:20s} {path.stat().st_size:6d} bytes")
print(f"{read.n_documents} documents, {read.n_tokens} tokens, {read.n_text_bytes / read.n_tokens:.2f} bytes a token")
assert large.decode(read.document(7).tolist()) == clean[7]
read.verify()

# %% [markdown]
# Training reads rows of $T$ tokens, and the target of each token is the next one, also where the next document begins.
# Every token but the very first is a target exactly once.


# %%
def rows_for_training(documents, seq_len):
    stream = np.concatenate(documents).astype(np.int64)
    n = (len(stream) - 1) // seq_len * seq_len
    return stream[:n].reshape(-1, seq_len), stream[1 : n + 1].reshape(-1, seq_len)


tokens, targets = rows_for_training([read.document(i) for i in range(read.n_documents)], 32)
print("tokens ", " ".join(large.pieces[i] for i in tokens[6, :12]))
print("targets", " ".join(large.pieces[i] for i in targets[6, :12]))
assert np.array_equal(tokens[1:, 0], targets[:-1, -1])

# %% [markdown]
# ## Mixing
#
# LLaMA 1's mix is published. A source's weight divided by how often it was seen is its share of what there was.

# %%
from minillama.data.batches import Batches, Source, paper_mix, validation_batches


def mixture_epochs(sizes, weights, n_tokens):
    weights = np.asarray(weights, float)
    return weights / weights.sum() * n_tokens / np.asarray(sizes)


mix = paper_mix()
weights, epochs = np.array([part.weight for part in mix]), np.array([part.epochs for part in mix])
sizes = weights / epochs / (weights / epochs).sum()
fig, axis = plt.subplots(figsize=(9, 3.8))
x = np.arange(len(mix))
axis.bar(x - 0.2, 100 * sizes, 0.38, color=COLOURS[5], label="share of the tokens there are")
bars = axis.bar(x + 0.2, weights / weights.sum() * 100, 0.38, color=COLOURS[0], label="share of the tokens drawn")
axis.bar_label(bars, [f"{e:.2f} epochs" for e in epochs], fontsize=8, padding=2)
axis.set_yscale("log")
axis.set_yticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
axis.set_ylim(1, 130)
axis.minorticks_off()
axis.set_axisbelow(True)
axis.set_xticks(x, [part.name for part in mix])
axis.set(xlabel="source of LLaMA 1", ylabel="share of the tokens (%), logarithmic")
axis.set_title("Wikipedia and books are up-sampled, code is not even read once")
axis.legend()
plt.show()

# %% [markdown]
# LLaMA 2 says that it up-sampled the most factual sources, and not by how much. The sampler here follows the weights
# exactly: after any number of rows no source is a whole row away from its share. Drawing each row at random is right on
# average, and drifts.

# %%
guides = write_shards([GUIDE.replace("bread", thing) for thing in GRAMMAR["thing"]], large, work / "guides")
songs = write_shards([tell(np.random.default_rng(900 + i), 3) for i in range(30)], large, work / "songs")
sources = [Source("stories", read, 6.7), Source("guides", guides, 2.0), Source("songs", songs, 1.3)]
batches = Batches(sources, batch_size=8, seq_len=32, seed=1)
n_steps = 100
drawn = np.array([source for step in range(n_steps) for source, _ in batches.rows(step)])
share = np.array([6.7, 2.0, 1.3]) / 10
random_rows = np.random.default_rng(1).choice(3, len(drawn), p=share)
fig, axes = plt.subplots(1, 2, figsize=(10, 3.4), sharex=True)
for n, (source, colour) in enumerate(zip(sources, COLOURS)):
    expected = share[n] * np.arange(1, len(drawn) + 1)
    axes[0].plot(np.cumsum(drawn == n), color=colour, label=f"{source.name} ({share[n]:.0%})")
    axes[1].plot(np.cumsum(random_rows == n) - expected, color=colour, linewidth=1, alpha=0.5)
    axes[1].plot(np.cumsum(drawn == n) - expected, color=colour, linewidth=0.8)
axes[0].set(xlabel="rows drawn", ylabel="rows from the source", title="Rows follow the weights …")
axes[0].legend()
axes[1].set(xlabel="rows drawn", ylabel="rows too many", title="… to the row (pale: drawn at random)")
plt.show()

# %%
counted_epochs = batches.epochs(n_steps)
sizes = [source.shards.n_tokens for source in sources]
formula = mixture_epochs(sizes, [source.weight for source in sources], n_steps * 8 * 32)
print({name: round(value, 2) for name, value in counted_epochs.items()})
show_error("epochs", list(counted_epochs.values()), formula, 0.02, against="the sampler's count")
again, _ = Batches(sources, batch_size=8, seq_len=32, seed=1).batch(57)
assert np.array_equal(again, batches.batch(57)[0])  # a batch is a function of seed and step

# %% [markdown]
# A few short songs that make up an eighth of the rows are read again and again, while most stories are not read at all.
# That is what up-sampling is; how many epochs are too many is a question for the validation loss.
#
# ### Bits per byte
#
# Two tokenizers cannot be compared by their loss per token, because a longer token is harder to guess. The cost of the
# text can: the sum of the losses, in bits, over the bytes. The model here is the simplest there is, the frequency of
# each piece.


# %%
def bits_per_byte_of_targets(losses, targets, n_bytes):
    return losses[targets != -100].sum(dtype=np.float64) / np.log(2) / n_bytes


rows = []
for tokenizer in (small, large):
    held = write_shards(clean[:40], tokenizer, work / f"held-{len(tokenizer.pieces)}")
    ids = np.concatenate([tokenizer.encode(text) for text in clean[40:]])
    frequency = np.bincount(ids, minlength=len(tokenizer.pieces)) + 1
    loss_of = -np.log(frequency / frequency.sum())
    padded, n_bytes = validation_batches(held, seq_len=256, batch_size=8)
    parts = [(loss_of[np.maximum(targets, 0)], targets) for _, targets in padded]
    bpb = sum(bits_per_byte_of_targets(losses, targets, n_bytes) for losses, targets in parts)
    per_token = sum(losses[t >= 0].sum() for losses, t in parts) / sum((t >= 0).sum() for _, t in parts)
    rows.append((len(tokenizer.pieces), f"{per_token:.2f}", f"{bpb:.3f}"))
assert rows[0][1] < rows[1][1]
assert float(rows[0][2]) > 2 * float(rows[1][2])
table(("pieces", "loss per token (nats)", "bits per byte"), rows)

# %% [markdown]
# The larger vocabulary has the higher loss per token, and yet the same text costs less than half as many bits.

# %% [markdown]
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
# In a terminal: `minillama learn start my-llama`, then `minillama learn watch`, which checks on every save. In a
# notebook: `from minillama.learn import check; check("luhn_valid", my_function)`.
#
# A wrong function gets a diagnosis. This one doubles every second digit from the left, which is right for all cards of
# 16 digits, and so passes most tests that people think of:


# %%
def from_the_left(digits):
    doubled = [2 * int(d) if i % 2 == 0 else int(d) for i, d in enumerate(digits)]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


check("luhn_valid", from_the_left)

# %% [markdown]
# And the chapter's own functions pass.

# %%
mine = (
    gopher_broken_rules,
    duplicate_line_shares, c4_clean_lines, luhn_valid, iban_checksum_valid, ipv4_public, redact_emails, redact_or_drop,
    threshold_costs, jaccard_of_texts, minhash_signature, candidate_probability, band_candidates, duplicate_clusters,
    samples_with_overlap, contaminated_tokens, mixture_epochs, rows_for_training, bits_per_byte_of_targets,
    repeated_ngram_share,
)  # fmt: skip
for function in mine:
    assert check(function.__name__, function).passed, function.__name__
print(f"{len(mine)} functions of this chapter pass their checks")

# %% [markdown]
# ## What breaks if it is wrong
#
# Nothing crashes when a data rule is wrong. The loss falls as it should, and the damage is in what the model knows.
#
# **A loose expression eats facts.** Seven digits or more with signs between them look like a telephone number to a
# simple rule. So do years, prices, ISBNs and dates.

# %%
FACTS = """\
The war of 1914-1918 was followed by the years 1919-1939. The house was sold for 1 250 000 dollars.
The book, ISBN 978-3-16-148410-0, appeared on 2023-07-18. Its distance is 149 597 870 kilometres.
Call the author on 555-010-4477."""
loose = re.compile(r"\+?\d[\d\-. ()]{5,}\d")
show(loose.sub("|||PHONE_NUMBER|||", FACTS))
print("---")
print(PersonalDataFilter(kinds=["PHONE_NUMBER"])(FACTS).text)

# %% [markdown]
# A model trained on the first version never sees a year in this sentence. How much the loose rule costs on the labelled
# set:

# %%
loose_spans = lambda text: [("PHONE_NUMBER", *match.span()) for match in loose.finditer(text)]
for name, find in (("loose", loose_spans), ("checked", PersonalDataFilter(kinds=["PHONE_NUMBER"]).find)):
    right, found, wanted, reached = (counts["PHONE_NUMBER"] for counts in counted(find, LABELLED))
    print(f"{name:8s} recall {reached / wanted:.2f}, precision {right / found:.2f}")

# %% [markdown]
# **One rule removed, and texts are learned by heart.** The pipeline runs twice over the same pages, of which one
# occurs 60 times with a few words exchanged: with the rules of duplicates and without them. The model is again the
# simplest one, which knows for every three words how often each word followed. It is given the page's first four words,
# and always takes the most frequent continuation.

# %%
SECRET = tell(np.random.default_rng(77), 9)
rng = np.random.default_rng(12)
copied = [text for _, text in corpus] + [SECRET] + [changed(SECRET, 0.01, rng) for _ in range(60)]
(work / "copied.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in copied))


def next_words(texts):
    counts = {}
    for words in map(str.split, texts):
        for i in range(len(words) - 3):
            counts.setdefault(tuple(words[i : i + 3]), Counter())[words[i + 3]] += 1
    return {key: max(count, key=count.get) for key, count in counts.items()}


def by_heart(rules):
    """Words of the page that come back, and the model's text."""
    out = work / f"{len(rules)}-rules.jsonl"
    run_pipeline(PipelineSettings((work / "copied.jsonl",), out, rules=rules))
    follows = next_words(json.loads(line)["text"] for line in out.read_text().splitlines())
    page = SECRET.split()
    said = page[:4]
    while len(said) < len(page) and tuple(said[-3:]) in follows:
        said.append(follows[tuple(said[-3:])])
    return next((n for n, (a, b) in enumerate(zip(said, page)) if a != b), len(said)), " ".join(said)


# %% [markdown]
# Both models, asked:

# %%
print("the page:  ", SECRET[:96], "…")
every = ("repetition", "gopher", "c4", "fineweb", "exact", "minhash")
for name, rules in (("with the rules of duplicates", every), ("without them", every[:4])):
    n, said = by_heart(rules)
    print(f"{name}: {n} of {len(SECRET.split())} words come back")
    print("           ", said[:96], "…")

# %% [markdown]
# The first four words were given, so the first model says nothing of the page. The second one recites it for a while,
# and nothing else about it looks wrong. In real language models the same was measured: the more copies there were and
# the larger the model is, the more often text comes back word for word (Carlini et al., arXiv:2202.07646), and
# removing near-duplicates helps (Lee et al., arXiv:2107.06499).

# %% [markdown]
# ## The package
#
# Last, the chapter's functions against those that `minillama data filter` runs.

# %%
from minillama.data.duplicates.minhash_kernels import multiply_add as package_multiply_add
from minillama.data.duplicates.minhash_kernels import signature as package_signature
from minillama.data.rules.personal_data.checks import iban_valid as package_iban
from minillama.data.rules.personal_data.checks import luhn_valid as package_luhn
from minillama.data.rules.words import normal_words as package_words

assert all(luhn_valid(number) == package_luhn(number) for number in random_numbers)
for number in (iban() for _ in range(50)):
    assert iban_checksum_valid(number) == package_iban(number.replace(" ", ""))
page = C4Quality(lorem_ipsum=False, curly_bracket=False, min_sentences=None)
assert all(
    c4_clean_lines(text) == ((page(text).text or "").split("\n") if page(text).text else []) for text in PAGES.values()
)
for x, a, b in zip(hashes, A, B):
    assert int(package_multiply_add(U(a), U(x), U(b))) == (a * x + b) % PRIME
for question, leak in ((q, d) for q in QUIZ for d in LEAKS):
    assert (NgramOverlap([question], n=13)(leak).text is None) == samples_with_overlap(leak, [question], 13)[0]
minhash = MinHash()
np.testing.assert_allclose(candidate_probability(s, 14, 8), [minhash.probability(value) for value in s])
pages = [text for _, text in left[:60]] + [changed(text, 0.01, rng) for _, text in left[:20]]
signed = np.array([package_signature(package_words(text), 5, *minhash.functions) for text in pages])
clusters = duplicate_clusters(len(pages), band_candidates(signed, 14))
np.testing.assert_allclose(near_duplicates(np.array([minhash.band_hashes(text) for text in pages])), clusters)
rows = Batches([Source("songs", songs)], batch_size=2, seq_len=16, seed=0).batch(0)
assert np.array_equal(rows[0].reshape(-1)[1:], rows[1].reshape(-1)[:-1])
print("checks, lines, MinHash, clusters, contamination and rows: all equal to the package")
shutil.rmtree(work, ignore_errors=True)
