"""Chapter 13: pretraining data, from pages of the web to rows of tokens. Solved.

`minillama learn solution` shows these after a pass.
Generated from minillama/learn/chapters/ by `python -m minillama.learn.generate`.
"""

import re
from itertools import combinations

import numpy as np

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
POLICY_PHRASES = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)


def gopher_broken_rules(text, min_words):
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


def duplicate_line_shares(text):
    lines = re.split(r"\n+", text)
    seen, count, characters = set(), 0, 0
    for line in lines:
        if line in seen:
            count += 1
            characters += len(line)
        seen.add(line)
    return count / len(lines), characters / len(text)


def repeated_ngram_share(text, n):
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


def c4_clean_lines(text):
    kept = []
    for line in text.splitlines():
        line = re.sub(r"\[\d*\]|\[edit\]|\[citation needed\]", "", line.strip())
        lower = line.lower()
        is_sentence = line.endswith((".", "?", "!", '"', "'")) and not line.endswith("...")
        is_notice = "javascript" in lower or any(phrase in lower for phrase in POLICY_PHRASES)
        if is_sentence and len(line.split()) >= 3 and not is_notice:
            kept.append(line)
    return kept


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
    is_private = a in (10, 127) or (a, b) in ((169, 254), (192, 168)) or (a == 172 and 16 <= b <= 31)
    return not is_private


def redact_emails(text):
    return re.sub(r"[A-Za-z0-9._+-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}", "|||EMAIL_ADDRESS|||", text)


def redact_or_drop(text, spans, most):
    if len(spans) > most:
        return None
    for start, stop, kind in reversed(spans):  # from the right, so that the other positions stay
        text = text[:start] + "|||" + kind + "|||" + text[stop:]
    return text


def threshold_costs(scores, labels, threshold):
    dropped, bad = scores > threshold, labels == 1
    right = (dropped & bad).sum()
    return right / dropped.sum(), right / bad.sum(), (dropped & ~bad).sum() / (~bad).sum()


def jaccard_of_texts(first, second, n):
    sets = []
    for text in (first, second):
        words = re.sub(r"[^\w\s]|_", " ", re.sub(r"\d+", "0", text.lower())).split()
        sets.append({tuple(words[i : i + n]) for i in range(len(words) - n + 1)})
    a, b = sets
    return len(a & b) / len(a | b)


def minhash_signature(shingles, a, b):
    prime = 2**61 - 1  # Python's integers, because a x does not fit 64 bits
    return [min((factor * x + summand) % prime for x in shingles) for factor, summand in zip(a, b)]


def candidate_probability(similarity, bands, rows):
    return 1 - (1 - similarity**rows) ** bands


def band_candidates(signatures, bands):
    cut = signatures.reshape(len(signatures), bands, -1)
    return [(i, j) for i, j in combinations(range(len(cut)), 2) if (cut[i] == cut[j]).all(axis=1).any()]


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


def samples_with_overlap(document, samples, n):
    def windows(text):
        words = re.sub(r"[^\w\s]|_", " ", text.lower()).split()
        return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}

    seen = windows(document)
    return [bool(windows(sample) & seen) for sample in samples]


def contaminated_tokens(sample, document, first, budget):
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


def mixture_epochs(sizes, weights, n_tokens):
    return weights / weights.sum() * n_tokens / sizes


def rows_for_training(documents, seq_len):
    stream = np.concatenate(documents)
    n = (len(stream) - 1) // seq_len * seq_len
    return stream[:n].reshape(-1, seq_len), stream[1 : n + 1].reshape(-1, seq_len)


def bits_per_byte_of_targets(losses, targets, n_bytes):
    return losses[targets != -100].sum(dtype=np.float64) / np.log(2) / n_bytes
