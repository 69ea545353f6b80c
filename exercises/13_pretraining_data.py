"""Chapter 13: pretraining data, from pages of the web to rows of tokens.

Write the functions below in any order. Save, and look at the terminal where

    minillama learn watch

runs; or check one by hand with `minillama learn check luhn_valid`. `minillama learn lab 13`
opens the chapter. Any helper functions of your own may stand beside these, and
the functions may call one another.

What a function is given stays as it is, unless its text says that it is written to.
"""

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
    """Name the rules of Gopher's quality filter that a text breaks.

    Words are what stands between spaces and line ends (in the checks signs stand alone), lines are
    text.splitlines(). A sign is a word without any letter or digit. A rule is broken when

    min_words               words that are no signs                              < min_words
    min_mean_word_length    mean characters of words that are no signs           < 3
    max_mean_word_length    the same                                             > 10
    max_hashes_per_word     "#" characters / all words                           > 0.1
    max_ellipses_per_word   ("..." and "…" in the text) / all words              > 0.1
    max_bullet_lines        lines that begin with "•" or "-" / lines             > 0.9
    max_ellipsis_lines      lines that end with "..." or "…" / lines             > 0.3
    min_words_with_letter   words with at least one letter / all words           < 0.8
    min_stop_words          different STOP_WORDS among the words (as written)    < 2

    Parameters
    ----------
    text : str
        With at least one word that is not a sign.
    min_words : int
        50 in the published filter; less in the checks.

    Returns
    -------
    list of str
        The names of the broken rules, in any order.
    """
    raise NotImplementedError


def duplicate_line_shares(text):
    """The share of repeated lines, and the share of the text's characters that they have.

    Lines are parted by one or more line ends; one of spaces is a line, too. A line is repeated when an
    equal one came before it.

    Parameters
    ----------
    text : str
        Neither begins nor ends with a line end.

    Returns
    -------
    share_of_lines : float
        Repeated lines / all lines.
    share_of_characters : float
        Characters of repeated lines / len(text).
    """
    raise NotImplementedError


def repeated_ngram_share(text, n):
    """The share of a text's characters inside n-grams of words that occurred before.

    A cursor walks over the words. When the n words at the cursor were remembered, their characters
    (without spaces) are added and the cursor jumps over all n. Otherwise the n words are remembered
    and the cursor moves by one word. The walk ends when fewer than n words are left.

    Parameters
    ----------
    text : str
        Words of letters with single spaces between them.
    n : int
        5 to 10.

    Returns
    -------
    float
        Added characters / len(text).
    """
    raise NotImplementedError


def c4_clean_lines(text):
    """The lines of a page that C4's rules take for sentences.

    Every line is stripped of spaces at both ends; then the citation marks [12], [], [edit] and
    [citation needed] are cut out. It is not stripped again: as in C4's own code, "It rained. [3]"
    ends in a space then, and goes. A line is kept when it

    - ends in one of . ? ! " ' but not in three dots,
    - has at least 3 words,
    - has neither "javascript" nor one of POLICY_PHRASES in it, in any capitals.

    Parameters
    ----------
    text : str

    Returns
    -------
    list of str
        The kept lines, without citation marks.
    """
    raise NotImplementedError


def luhn_valid(digits):
    """Say whether a card number passes the Luhn formula.

    From the right: the last digit counts as it is, its neighbour is doubled, the next counts as it
    is, and so on. A doubled digit of two figures counts as their sum (8 -> 16 -> 7). The number is
    valid when the total is a multiple of 10.

    Parameters
    ----------
    digits : str

    Returns
    -------
    bool
    """
    raise NotImplementedError


def iban_checksum_valid(iban):
    """Say whether an IBAN passes modulus 97.

    The first four characters move to the end, every letter becomes a number (A = 10 ... Z = 35),
    and the whole, read as one decimal number, must leave the remainder 1 when divided by 97.

    Parameters
    ----------
    iban : str
        Capitals and digits, with a space after every four: "GB82 WEST 1234 5698 7654 32".

    Returns
    -------
    bool
    """
    raise NotImplementedError


def ipv4_public(text):
    """Say whether a text is a well-formed IPv4 address that is not private.

    Well formed: four decimal numbers 0 to 255 without leading zeros, with dots between them.
    Private: 10.*.*.*, 127.*.*.*, 169.254.*.*, 172.16.*.* to 172.31.*.*, 192.168.*.*.
    Other reserved ranges, such as 0.*.*.*, count as public here.

    Parameters
    ----------
    text : str

    Returns
    -------
    bool
        False as well for what is not an address.
    """
    raise NotImplementedError


def redact_emails(text):
    """Replace every e-mail address by |||EMAIL_ADDRESS|||.

    An address is a run of letters, digits and . _ + - (all of it, even where it begins or ends with
    one of these signs), an @, and a domain: at least two labels of letters, digits and - with dots
    between them, the last of two or more letters. Signs of the sentence around an address stay.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
    """
    raise NotImplementedError


def redact_or_drop(text, spans, most):
    """Replace the found spans of a text, or drop the text when there are too many.

    Parameters
    ----------
    text : str
    spans : list of (int, int, str)
        Start, stop and kind: text[start:stop] is what was found. Sorted, without overlaps.
    most : int

    Returns
    -------
    str or None
        With "|||KIND|||" in place of each span; None for more than `most` spans.
    """
    raise NotImplementedError


def threshold_costs(scores, labels, threshold):
    """What a filter achieves and costs that drops texts with scores above a threshold.

    Parameters
    ----------
    scores : float array (n,)
    labels : int array (n,)
        1 for texts that should be dropped, 0 for good ones.
    threshold : float

    Returns
    -------
    precision : float
        Of the dropped texts, the share with label 1.
    recall : float
        Of the texts with label 1, the share that is dropped.
    lost : float
        Of the texts with label 0, the share that is dropped.
    """
    raise NotImplementedError


def jaccard_of_texts(first, second, n):
    """The Jaccard similarity of the n-word shingles of two texts.

    J = |A and B| / |A or B|, for the sets A and B of all windows of n words in a row. Words come from
    the normalised text: lower case, every run of digits as "0", every sign (- and _ too) as a space.

    Parameters
    ----------
    first, second : str
        Of at least n words.
    n : int

    Returns
    -------
    float
    """
    raise NotImplementedError


def minhash_signature(shingles, a, b):
    """The MinHash signature of a document.

    signature[i] = min over shingles x of  (a[i] * x + b[i]) mod (2^61 - 1)

    Parameters
    ----------
    shingles : list of int
        Hashes of the document's shingles, below 2^61 - 1.
    a, b : list of int
        The random functions, below 2^61 - 1.

    Returns
    -------
    list of int
        One value for each function.
    """
    raise NotImplementedError


def candidate_probability(similarity, bands, rows):
    """The probability that two documents agree in at least one whole band of their signatures.

    Each of the bands * rows values agrees with the probability s, independently of the others.

    Parameters
    ----------
    similarity : float array (n,)
        Values of s.
    bands, rows : int

    Returns
    -------
    float array (n,)
    """
    raise NotImplementedError


def band_candidates(signatures, bands):
    """All pairs of documents whose signatures agree in at least one whole band.

    Parameters
    ----------
    signatures : int array (n_documents, bands * rows)
        Band k is the values k * rows to (k + 1) * rows - 1.
    bands : int

    Returns
    -------
    list of (int, int)
        Pairs i < j of document numbers, each once, in any order.
    """
    raise NotImplementedError


def duplicate_clusters(n, pairs):
    """The first document of every document's cluster.

    Documents that a chain of pairs connects are one cluster.

    Parameters
    ----------
    n : int
        Documents 0 to n - 1.
    pairs : list of (int, int)
        In any order, also within a pair.

    Returns
    -------
    list of int
        For each document the smallest number in its cluster; its own where it is alone.
    """
    raise NotImplementedError


def samples_with_overlap(document, samples, n):
    """Say which evaluation samples share a run of n words with a document.

    Words come from the normalised text: lower case, every sign (- and _ too) as a space. Digits stay.

    Parameters
    ----------
    document : str
    samples : list of str
        One of fewer than n words shares no run.
    n : int
        13 in GPT-3's rule.

    Returns
    -------
    list of bool
        One for each sample.
    """
    raise NotImplementedError


def contaminated_tokens(sample, document, first, budget):
    """Mark the contaminated tokens of a sample, by the test of LLaMA 2 (appendix A.6).

    A match of length L is a pair of places i, j such that sample[i + k] and document[j + k] are equal
    for k = 0 ... L - 1, except for at most `budget` values of k, none of which is below `first`, and
    none of which is L - 1. A token is contaminated when it lies in a match of more than `first` tokens.

    Parameters
    ----------
    sample, document : int array (n,), (m,)
    first, budget : int
        10 and 4 in the paper.

    Returns
    -------
    list of bool
        One for each token of the sample.
    """
    raise NotImplementedError


def mixture_epochs(sizes, weights, n_tokens):
    """How often each source's tokens are seen when tokens are drawn by weights.

    Parameters
    ----------
    sizes : int array (n,)
        Tokens of each source.
    weights : float array (n,)
        Which share of the drawn tokens comes from each source, up to a common factor.
    n_tokens : int
        Tokens drawn in all.

    Returns
    -------
    float array (n,)
        Epochs of each source.
    """
    raise NotImplementedError


def rows_for_training(documents, seq_len):
    """Put documents one after another and cut full rows, with the next token as target.

    tokens[r, t]  = stream[r * T + t]
    targets[r, t] = stream[r * T + t + 1]

    for as many rows as have all their targets.

    Parameters
    ----------
    documents : list of int array (n_i,)
        Each begins with BOS.
    seq_len : int
        T.

    Returns
    -------
    tokens, targets : int array (n_rows, T)
    """
    raise NotImplementedError


def bits_per_byte_of_targets(losses, targets, n_bytes):
    """Turn the losses of tokens into bits for each byte of text.

    Parameters
    ----------
    losses : float32 array (rows, T)
        Cross-entropy of each target, in nats.
    targets : int array (rows, T)
        -100 where there is no target.
    n_bytes : int
        Bytes of the text that all targets together stand for.

    Returns
    -------
    float
    """
    raise NotImplementedError
