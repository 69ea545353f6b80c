"""Chapter 11, sampling: temperature, top-k, top-p, min-p, repetition penalty, a draw, and a test of the draw."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...inference.sampling import (
    Sampling,
    filtered_logits,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalize_repetition,
    softmax,
)
from ..exercise import Exercise, Mistake

_LIKE_MINUS_INFINITY = -1e9


def _observe_filter(function, args):
    """The ids of the tokens that are kept, and the logits that come out."""
    logits = args[0].copy()
    result = function(*args)
    if result is None or np.shape(result) != logits.shape:
        got = "None: is the return statement missing?" if result is None else f"shape {np.shape(result)}"
        raise TypeError(f"the function should return logits of shape {logits.shape}, returned {got}")
    result = np.asarray(result, np.float64)
    return np.flatnonzero(~np.isneginf(result)).tolist(), result


def _where(keep, logits):
    return np.where(keep, logits, -np.inf)


def _through(processor, logits, ids=(0,)):
    """One of Hugging Face's processors, which take a batch of torch tensors, on one row in float64."""
    import torch

    scores = torch.tensor(np.asarray(logits, np.float64))[None]
    return processor(torch.tensor([list(ids)], dtype=torch.long), scores)[0].numpy()


# --- temperature_probabilities --------------------------------------------------------------


def _make_temperature(rng: np.random.Generator, V: int, tenths: int) -> tuple[Any, ...]:
    """Logits in steps of 1/8 around a large number, with two equal largest ones that are not the first."""
    if V < 2:
        raise ValueError("there must be two tokens")
    logits = rng.integers(-12, 8, V) / 8
    best = rng.choice(np.arange(1, V) if V > 2 else V, 2, replace=False)
    logits[best] = 1.25
    shift = 0 if tenths == 10 else 100 if tenths % 2 else -90
    return (logits + shift).astype(np.float32), tenths / 10


def _one_hot(i, n):
    return (np.arange(n) == i).astype(np.float64)


def _temperature(logits, temperature):
    if temperature == 0:
        return _one_hot(np.argmax(logits), len(logits))
    return softmax(logits.astype(np.float64) / temperature)


def _temperature_multiplied(logits, temperature):
    return _temperature(logits, 1 / temperature if temperature else 0)


def _temperature_overflows(logits, temperature):
    if temperature == 0:
        return _temperature(logits, 0)
    exponentials = np.exp(logits / np.float32(temperature))  # float32: overflows above 88, all 0 below -103
    return exponentials / exponentials.sum()


def _temperature_after(logits, temperature):
    return _temperature(logits, 0) if temperature == 0 else softmax(logits) / temperature


def _temperature_no_zero(logits, temperature):
    return softmax(logits.astype(np.float64) / np.float64(temperature))


def _temperature_tiny(logits, temperature):
    return softmax(logits.astype(np.float64) / max(temperature, 1e-6))


def _temperature_last_of_equals(logits, temperature):
    if temperature == 0:
        return _one_hot(len(logits) - 1 - np.argmax(logits[::-1]), len(logits))
    return _temperature(logits, temperature)


def _torch_temperature(logits, temperature):
    import torch
    from transformers.generation.logits_process import TemperatureLogitsWarper

    if temperature == 0:  # the processor refuses 0
        return torch.nn.functional.one_hot(torch.tensor(logits).argmax(), len(logits)).double().numpy()
    return torch.softmax(torch.tensor(_through(TemperatureLogitsWarper(temperature), logits)), -1).numpy()


TEMPERATURE = Exercise(
    id="temperature_probabilities",
    chapter="11",
    title="Temperature",
    task="Turn logits into probabilities at a temperature; 0 gives all of it to the most probable token.",
    difficulty=1,
    minutes=10,
    reference=_temperature,
    make=_make_temperature,
    oracle=_torch_temperature,
    rtol=1e-3,
    shapes=(
        {"V": 2, "tenths": 10},
        {"V": 3, "tenths": 5},
        {"V": 5, "tenths": 0},
        {"V": 9, "tenths": 20},
        {"V": 17, "tenths": 7},
        {"V": 40, "tenths": 0},
    ),
    axes=("token",),
    hints=(
        "softmax(logits / T). A small T makes differences between logits large, a large T makes them small. What "
        "happens to exp of a logit of 100, or of 100 / 0.5?",
        "Subtract the largest logit before exp: the probabilities are the same and no exponential exceeds 1. "
        "T = 0 cannot be divided by: it is the limit, a 1 at np.argmax(logits), which takes the first of equals.",
        "if temperature == 0:\n"
        "    p = np.zeros(len(logits)); p[np.argmax(logits)] = 1; return p\n"
        "e = np.exp((logits - logits.max()) / temperature)\n"
        "return e / e.sum()",
    ),
    mistakes=(
        Mistake(
            "Your function multiplies by the temperature.",
            "A low temperature sharpens the distribution: divide, logits / T.",
            _temperature_multiplied,
        ),
        Mistake(
            "Your exponentials overflow, or vanish, when logits are far from 0.",
            "Only differences of logits matter: subtract the largest one before exp.",
            _temperature_overflows,
        ),
        Mistake(
            "Your function divides the probabilities by the temperature, not the logits.",
            "Divided after the softmax, all probabilities change by one factor and no longer add up to 1.",
            _temperature_after,
        ),
        Mistake(
            "Your function divides by a temperature of 0.",
            "T = 0 is a case of its own: a 1 at the most probable token, 0 elsewhere.",
            _temperature_no_zero,
        ),
        Mistake(
            "Your function takes a tiny temperature for 0: tokens with equal logits share.",
            "Greedy means one token, the first among equals: np.argmax.",
            _temperature_tiny,
        ),
        Mistake(
            "Your greedy choice takes the last of equal tokens.",
            "Among equals the lowest id wins, as in np.argmax; np.argsort(logits)[-1] is the last one.",
            _temperature_last_of_equals,
        ),
    ),
)

# --- top_k_filter -----------------------------------------------------------------------------


def _make_top_k(rng: np.random.Generator, V: int, k: int) -> tuple[Any, ...]:
    """Logits with few different values, so that the k-th largest has equals; some of them negative."""
    if V < 4:
        raise ValueError("there must be room for equal logits")
    logits = rng.normal(size=V).astype(np.float32)
    order = np.argsort(-logits)
    if 1 < k < V:
        logits[order[k - 1 : k + 1]] = logits[order[k - 1]]
    return logits, k


def _top_k_exactly(logits, k):
    if k == 0:
        return logits
    out = np.full_like(logits, -np.inf)
    order = np.argsort(-logits, kind="stable")[:k]
    out[order] = logits[order]
    return out


def _top_k_strict(logits, k):
    return logits if not 0 < k < len(logits) else _where(logits > np.sort(logits)[-k], logits)


def _top_k_one_more(logits, k):
    return keep_top_k(logits, k + 1) if k else logits


def _top_k_smallest(logits, k):
    return logits if not 0 < k < len(logits) else _where(logits <= np.sort(logits)[k - 1], logits)


def _top_k_sorted(logits, k):
    return -np.sort(-keep_top_k(logits, k))


def _top_k_no_off(logits, k):
    return np.full_like(logits, -np.inf) if k == 0 else keep_top_k(logits, k)


def _torch_top_k(logits, k):
    from transformers.generation.logits_process import TopKLogitsWarper

    return _through(TopKLogitsWarper(k), logits) if k else logits


TOP_K = Exercise(
    id="top_k_filter",
    chapter="11",
    title="Top-k",
    task="Keep the k largest logits and all that equal the k-th; put -inf where a token is dropped.",
    difficulty=1,
    minutes=10,
    reference=keep_top_k,
    make=_make_top_k,
    observe=_observe_filter,
    outputs=("ids kept", "logits"),
    oracle=_torch_top_k,
    shapes=(
        {"V": 5, "k": 2},
        {"V": 4, "k": 1},
        {"V": 6, "k": 0},
        {"V": 8, "k": 5},
        {"V": 7, "k": 9},
        {"V": 50, "k": 20},
    ),
    axes=("token",),
    hints=(
        "Find the k-th largest logit; then compare every logit with it. Compared with >=, equal ones all stay.",
        "np.sort(logits)[-k] is the k-th largest (np.partition finds it without sorting everything). k = 0 means "
        "off, and k may be larger than the vocabulary: both keep everything.",
        "if k == 0 or k >= len(logits):\n"
        "    return logits\n"
        "return np.where(logits >= np.sort(logits)[-k], logits, -np.inf)",
    ),
    mistakes=(
        Mistake(
            "Your function keeps exactly k tokens and drops some that equal the k-th.",
            "A threshold treats equals alike: keep every logit >= the k-th largest, as Hugging Face does.",
            _top_k_exactly,
        ),
        Mistake(
            "Your function drops the k-th largest itself.",
            "Compare with >=, not with >.",
            _top_k_strict,
        ),
        Mistake(
            "Your function keeps one token too many.",
            "The k-th largest of a sorted array is at index -k: the last one, -1, is the largest.",
            _top_k_one_more,
        ),
        Mistake(
            "Your function keeps the k smallest.",
            "np.sort is in rising order: the largest are at its end.",
            _top_k_smallest,
        ),
        Mistake(
            "Your function puts 0 where a token is dropped.",
            "A logit of 0 is a probability like any other, and may be the largest. exp(-inf) is 0: put -inf.",
            lambda logits, k: np.where(np.isfinite(keep_top_k(logits, k)), logits, np.float32(0)),
        ),
        Mistake(
            "Your function puts a large negative number where a token is dropped.",
            "Whether it is small enough depends on the logits and on the temperature; -inf always is.",
            lambda logits, k: np.where(np.isfinite(keep_top_k(logits, k)), logits, np.float32(_LIKE_MINUS_INFINITY)),
        ),
        Mistake(
            "Your function returns the logits in sorted order.",
            "The place of a logit is the id of its token: find the threshold by sorting, but keep the order.",
            _top_k_sorted,
        ),
        Mistake(
            "Your function drops everything when k is 0.",
            "k = 0 switches the filter off.",
            _top_k_no_off,
        ),
    ),
)

# --- top_p_filter -------------------------------------------------------------------------------


def _make_top_p(rng: np.random.Generator, V: int, kept: int) -> tuple[Any, ...]:
    """Logits of which top-p keeps `kept`; the last of them has equals, some kept and some dropped.

    p lies in the middle of the crossing token's probability, so that rounding decides nothing.
    """
    if not 0 < kept < V:
        raise ValueError("some tokens have to be dropped")
    falling = np.sort(1.5 * rng.normal(size=V))[::-1]
    falling[max(kept - 2, 0) : kept + 2] = falling[kept - 1]
    logits = rng.permutation(falling).astype(np.float32)
    p = np.sort(softmax(logits))[::-1]
    return logits, float(p[: kept - 1].sum() + p[kept - 1] / 2)


def _top_p(logits, p):
    return keep_top_p(logits, p)


def _ranked(logits, p):
    """Order (falling, equals by id), probabilities in it, and the mass up to and including each."""
    order = np.argsort(-logits, kind="stable")
    probabilities = softmax(logits[order])
    return order, probabilities, np.cumsum(probabilities)


def _kept_ranks(logits, order, keep):
    out = np.full_like(logits, -np.inf)
    out[order[keep]] = logits[order[keep]]
    return out


def _top_p_without_crossing(logits, p):
    order, _, mass = _ranked(logits, p)
    return _kept_ranks(logits, order, mass <= p)


def _top_p_without_crossing_but_one(logits, p):
    order, _, mass = _ranked(logits, p)
    return _kept_ranks(logits, order, (mass <= p) | (np.arange(len(mass)) == 0))


def _top_p_one_more(logits, p):
    order, _, mass = _ranked(logits, p)
    return _kept_ranks(logits, order, np.concatenate(([0, 0], mass[:-2])) <= p)


def _top_p_all_equals(logits, p):
    return _where(logits >= np.min(logits[np.isfinite(keep_top_p(logits, p))]), logits)


def _top_p_higher_ids(logits, p):
    return keep_top_p(logits[::-1], p)[::-1]


def _top_p_from_below(logits, p):
    order = np.argsort(logits, kind="stable")
    mass = np.cumsum(softmax(logits[order]))
    return _kept_ranks(logits, order, mass - softmax(logits[order]) <= p)


def _top_p_unsorted(logits, p):
    probabilities = softmax(logits)
    return _where(np.cumsum(probabilities) - probabilities <= p, logits)


def _top_p_rank_as_id(logits, p):
    mass = _ranked(logits, p)[2]
    return _where(np.concatenate(([0], mass[:-1])) <= p, logits)


def _top_p_single(logits, p):
    return _where(softmax(logits) >= 1 - p, logits)


def _torch_top_p(logits, p):
    """Hugging Face's processor sorts equals in no fixed order: the lower id is made larger by a hair."""
    from transformers.generation.logits_process import TopPLogitsWarper

    wide = logits.astype(np.float64) - 1e-9 * np.arange(len(logits))
    return _where(np.isfinite(_through(TopPLogitsWarper(p), wide)), logits)


TOP_P = Exercise(
    id="top_p_filter",
    chapter="11",
    title="Top-p: the nucleus",
    task="Keep the most probable tokens until their mass passes p, the one that crosses p included; -inf elsewhere.",
    difficulty=2,
    minutes=20,
    reference=_top_p,
    make=_make_top_p,
    observe=_observe_filter,
    outputs=("ids kept", "logits"),
    oracle=_torch_top_p,
    shapes=(
        {"V": 4, "kept": 2},
        {"V": 3, "kept": 1},
        {"V": 6, "kept": 3},
        {"V": 9, "kept": 6},
        {"V": 30, "kept": 11},
        {"V": 100, "kept": 40},
    ),
    axes=("token",),
    hints=(
        "Sort the probabilities in falling order and add them up. A token stays while the mass *before* it is at "
        "most p: so the first always stays, and so does the one that crosses p.",
        "np.argsort(-logits, kind='stable') puts the lower id first among equals. The mass before a token is the "
        "cumulative sum minus its own probability. The result has to be in the order of the ids again: write "
        "through the order, out[order[keep]] = logits[order[keep]].",
        "order = np.argsort(-logits, kind='stable')\n"
        "probabilities = softmax(logits[order])\n"
        "keep = np.cumsum(probabilities) - probabilities <= p\n"
        "out = np.full_like(logits, -np.inf)\n"
        "out[order[keep]] = logits[order[keep]]",
    ),
    mistakes=(
        Mistake(
            "Your function drops the token that crosses p, and keeps none when the first one does.",
            "A token stays when the mass before it is at most p, not the mass up to and including it.",
            _top_p_without_crossing,
        ),
        Mistake(
            "Your function drops the token that crosses p, unless it is the first.",
            "A token stays when the mass before it is at most p, not the mass up to and including it.",
            _top_p_without_crossing_but_one,
        ),
        Mistake(
            "Your function keeps one token too many.",
            "The mass before token i is the sum of the i tokens before it; one shift by one place is enough.",
            _top_p_one_more,
        ),
        Mistake(
            "Your function keeps all tokens that equal the last one.",
            "Top-k has a threshold, top-p counts: among equals the lower ids stay, until p is passed.",
            _top_p_all_equals,
        ),
        Mistake(
            "Your function prefers the higher id among equal tokens.",
            "np.argsort(logits)[::-1] turns equals round: sort the negated logits, with kind='stable'.",
            _top_p_higher_ids,
        ),
        Mistake(
            "Your function adds up from the least probable token: it keeps the tail.",
            "np.argsort is in rising order: sort -logits.",
            _top_p_from_below,
        ),
        Mistake(
            "Your function adds up in the order of the ids, without sorting.",
            "The nucleus is the smallest set that reaches p: begin with the most probable token.",
            _top_p_unsorted,
        ),
        Mistake(
            "Your function decides in sorted order and applies it in the order of the ids.",
            "keep[i] speaks of the token order[i]: write out[order[keep]] = logits[order[keep]].",
            _top_p_rank_as_id,
        ),
        Mistake(
            "Your function keeps tokens whose own probability is at least 1 - p.",
            "It is the sum of the more probable tokens that counts, not a token's own probability.",
            _top_p_single,
        ),
    ),
)

# --- min_p_filter -------------------------------------------------------------------------------


def _make_min_p(rng: np.random.Generator, V: int, kept: int) -> tuple[Any, ...]:
    """Logits of which min-p keeps `kept`; min_p lies between two tokens' ratios; 0 keeps all, 1 the first."""
    if not 0 < kept <= V or V < 2:
        raise ValueError("kept must be in 1 ... V")
    falling = np.sort(rng.normal(size=V))[::-1] + 0.1 * np.arange(V)[::-1]
    logits = rng.permutation(falling).astype(np.float32)
    logits -= np.float32(3 if V % 2 else 0)
    if kept in (1, V):
        return logits, float(kept == 1)  # 1 keeps the most probable token alone
    ratio = np.sort(np.exp(logits.astype(np.float64) - logits.max()))[::-1]
    return logits, float(np.sqrt(ratio[kept - 1] * ratio[kept]))


def _min_p_absolute(logits, min_p):
    return _where(softmax(logits) >= min_p, logits)


def _min_p_of_logits(logits, min_p):
    return _where(logits >= min_p * logits.max(), logits)


def _min_p_no_log(logits, min_p):
    return _where(logits >= logits.max() - min_p, logits)


def _min_p_turned(logits, min_p):
    return _where(np.exp(logits - logits.max()) <= min_p, logits)


def _min_p_of_mean(logits, min_p):
    p = softmax(logits)
    return _where(p >= min_p * p.mean(), logits)


def _torch_min_p(logits, min_p):
    from transformers.generation.logits_process import MinPLogitsWarper

    return _through(MinPLogitsWarper(min_p), logits)


MIN_P = Exercise(
    id="min_p_filter",
    chapter="11",
    title="Min-p",
    task="Keep tokens that are at least min_p times as probable as the most probable one; -inf elsewhere.",
    difficulty=1,
    minutes=10,
    reference=lambda logits, min_p: keep_min_p(logits, min_p),
    make=_make_min_p,
    observe=_observe_filter,
    outputs=("ids kept", "logits"),
    oracle=_torch_min_p,
    shapes=(
        {"V": 3, "kept": 2},
        {"V": 2, "kept": 1},
        {"V": 4, "kept": 4},
        {"V": 8, "kept": 3},
        {"V": 25, "kept": 10},
        {"V": 60, "kept": 33},
    ),
    axes=("token",),
    hints=(
        "The threshold is relative: min_p times the largest probability. Where the model is sure, few tokens reach "
        "it; where it is not, many do.",
        "The ratio of two probabilities needs no softmax: p_i / p_max = exp(logit_i - logit_max).",
        "return np.where(np.exp(logits - logits.max()) >= min_p, logits, -np.inf)",
    ),
    mistakes=(
        Mistake(
            "Your function compares the probabilities with min_p itself.",
            "The threshold is min_p * max(p): without the maximum, a flat distribution would lose every token.",
            _min_p_absolute,
        ),
        Mistake(
            "Your function compares logits with min_p times the largest logit.",
            "Logits have no zero point: only probabilities can be compared by a factor.",
            _min_p_of_logits,
        ),
        Mistake(
            "Your function compares logits with the largest logit minus min_p.",
            "A factor of probabilities is a difference of logits, but of log(min_p): logit >= max + log(min_p).",
            _min_p_no_log,
        ),
        Mistake(
            "Your function drops what it should keep.",
            "Tokens above the threshold stay: -inf where the ratio is below min_p.",
            _min_p_turned,
        ),
        Mistake(
            "Your function compares with the mean probability.",
            "The measure is the most probable token: min_p * max(p).",
            _min_p_of_mean,
        ),
    ),
)

# --- penalize_repeated_tokens ---------------------------------------------------------------------


def _make_repetition(rng: np.random.Generator, V: int, n_ids: int) -> tuple[Any, ...]:
    """Logits of both signs; ids with repeats, the largest and the smallest logit among them."""
    if V < 3:
        raise ValueError("there must be a token that does not occur")
    logits = (2 * rng.normal(size=V)).astype(np.float32)
    logits[0] = abs(logits[0])
    logits[-1] = -abs(logits[-1])
    ids = [V - 1, V - 1, 0, *rng.integers(0, V // 2, n_ids).tolist()][:n_ids]
    return logits, ids, 1.25 + 0.5 * rng.random()


def _changed(logits, ids, change):
    out = logits.copy()
    for i in ids:
        out[i] = change(out[i])
    return out


def _repetition_divides(logits, ids, r):
    return _changed(logits, set(ids), lambda s: s / r)


def _repetition_turned(logits, ids, r):
    return _changed(logits, set(ids), lambda s: s / r if s < 0 else s * r)


def _repetition_each_time(logits, ids, r):
    return _changed(logits, ids, lambda s: s * r if s < 0 else s / r)


def _repetition_subtracts(logits, ids, r):
    return _changed(logits, set(ids), lambda s: s - r)


def _repetition_last_only(logits, ids, r):
    return penalize_repetition(logits, ids[-1:], r)


def _repetition_others(logits, ids, r):
    return penalize_repetition(logits, sorted(set(range(len(logits))) - set(ids)), r)


def _repetition_mostly_once(logits, ids, r):
    return penalize_repetition(logits, [i for i in ids if ids.count(i) > 1], r)


def _torch_repetition(logits, ids, penalty):
    from transformers.generation.logits_process import RepetitionPenaltyLogitsProcessor

    return _through(RepetitionPenaltyLogitsProcessor(penalty), logits, ids)


REPETITION = Exercise(
    id="penalize_repeated_tokens",
    chapter="11",
    title="Repetition penalty",
    task="Make every token that has occurred less probable, once: a negative logit times r, another divided by r.",
    difficulty=1,
    minutes=10,
    reference=lambda logits, ids, penalty: penalize_repetition(logits, ids, penalty),
    make=_make_repetition,
    oracle=_torch_repetition,
    shapes=(
        {"V": 3, "n_ids": 2},
        {"V": 4, "n_ids": 3},
        {"V": 5, "n_ids": 0},
        {"V": 12, "n_ids": 6},
        {"V": 40, "n_ids": 30},
    ),
    axes=("token",),
    hints=(
        "Less probable means a smaller logit. Dividing a negative number by r > 1 makes it larger.",
        "set(ids) has every id once, however often it occurred. It may be empty.",
        "out = logits.copy()\nfor i in set(ids):\n    out[i] = out[i] * penalty if out[i] < 0 else out[i] / penalty",
    ),
    mistakes=(
        Mistake(
            "Your function divides negative logits too: those tokens become more probable.",
            "-2 / 1.5 is larger than -2. Multiply a negative logit.",
            _repetition_divides,
        ),
        Mistake(
            "Your function has it the wrong way round: it makes repeated tokens more probable.",
            "A logit of at least 0 is divided, a negative one multiplied.",
            _repetition_turned,
        ),
        Mistake(
            "Your function applies the penalty once for every time that a token occurs.",
            "Once for each id, however often: loop over set(ids).",
            _repetition_each_time,
        ),
        Mistake(
            "Your function subtracts the penalty.",
            "That is another penalty (OpenAI's presence penalty). This one multiplies or divides.",
            _repetition_subtracts,
        ),
        Mistake(
            "Your function sees only the last token.",
            "Every token of the text so far counts, the prompt included.",
            _repetition_last_only,
        ),
        Mistake(
            "Your function changes the tokens that did not occur.",
            "The ids are those to make less probable.",
            _repetition_others,
        ),
        Mistake(
            "Your function spares tokens that have occurred only once.",
            "One occurrence is enough.",
            _repetition_mostly_once,
        ),
    ),
)

# --- filtered_probabilities -----------------------------------------------------------------------


def _make_all(rng: np.random.Generator, V: int, top_k: int, kept: int) -> tuple[Any, ...]:
    """p in the middle of the crossing token's share of the top k, at that temperature."""
    if not 1 < kept < top_k < V:
        raise ValueError("every filter has to drop something")
    logits = rng.permutation(2.5 - 0.2 * np.arange(V) ** 0.8 + 0.05 * rng.normal(size=V)).astype(np.float32)
    temperature = 0.7 if V % 2 else 1.6
    p = np.sort(softmax(keep_top_k(logits.astype(np.float64) / temperature, top_k)))[::-1]
    return logits, temperature, top_k, float(p[: kept - 1].sum() + p[kept - 1] / 2)


def _all(logits, temperature, top_k, top_p):
    return softmax(filtered_logits(logits, Sampling(temperature=temperature, top_k=top_k, top_p=top_p)))


def _all_temperature_last(logits, temperature, top_k, top_p):
    return softmax(keep_top_p(keep_top_k(logits.astype(np.float64), top_k), top_p) / temperature)


def _all_top_p_first(logits, temperature, top_k, top_p):
    return softmax(keep_top_k(keep_top_p(logits.astype(np.float64) / temperature, top_p), top_k))


def _all_not_renormalized(logits, temperature, top_k, top_p):
    kept = _all(logits, temperature, top_k, top_p) > 0
    return np.where(kept, softmax(logits.astype(np.float64) / temperature), 0)


def _all_without_temperature(logits, temperature, top_k, top_p):
    return _all(logits, 1.0, top_k, top_p)


def _all_temperature_twice(logits, temperature, top_k, top_p):
    kept = np.isfinite(keep_top_p(keep_top_k(logits.astype(np.float64) / temperature, top_k), top_p))
    return softmax(np.where(kept, logits.astype(np.float64), -np.inf))


def _all_unfiltered(logits, temperature, top_k, top_p):
    return softmax(logits.astype(np.float64) / temperature)


def _torch_all(logits, temperature, top_k, top_p):
    import torch
    from transformers.generation.logits_process import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    for processor in (TemperatureLogitsWarper(temperature), TopKLogitsWarper(top_k), TopPLogitsWarper(top_p)):
        logits = _through(processor, logits)
    return torch.softmax(torch.tensor(logits), -1).numpy()


ALL_FILTERS = Exercise(
    id="filtered_probabilities",
    chapter="11",
    title="All of them, in order",
    task="The distribution that is drawn from: temperature, then top-k, then top-p, then probabilities that sum to 1.",
    difficulty=2,
    minutes=15,
    reference=_all,
    make=_make_all,
    oracle=_torch_all,
    rtol=1e-3,
    shapes=(
        {"V": 5, "top_k": 4, "kept": 3},
        {"V": 8, "top_k": 6, "kept": 3},
        {"V": 15, "top_k": 8, "kept": 6},
        {"V": 20, "top_k": 9, "kept": 7},
        {"V": 51, "top_k": 30, "kept": 19},
    ),
    axes=("token",),
    hints=(
        "Each filter works on what the one before it left. Top-p adds up probabilities that sum to 1 over the k "
        "tokens that are still there, at that temperature.",
        "Use your functions: logits / temperature, then top_k_filter, then top_p_filter, and softmax at the end. "
        "exp(-inf) is 0, so a dropped token needs no special care.",
        "logits = logits / temperature\n"
        "logits = top_k_filter(logits, top_k)\n"
        "logits = top_p_filter(logits, top_p)\n"
        "return softmax(logits)",
    ),
    mistakes=(
        Mistake(
            "Your function applies the temperature last.",
            "Temperature changes the masses that top-p adds up: divide first, then filter.",
            _all_temperature_last,
        ),
        Mistake(
            "Your function takes the nucleus of all tokens, not of the k that top-k leaves.",
            "Top-k comes first. The probabilities of what it leaves have to sum to 1 again (softmax) before top-p adds "
            "them up.",
            _all_top_p_first,
        ),
        Mistake(
            "Your probabilities do not add up to 1: they are not renormalised after filtering.",
            "The mass of dropped tokens goes to the others: softmax of the filtered logits.",
            _all_not_renormalized,
        ),
        Mistake(
            "Your function filters nothing.",
            "top_k and top_p have to drop tokens: put -inf in their logits before the softmax.",
            _all_unfiltered,
        ),
        Mistake(
            "Your function does not use the temperature.",
            "Divide the logits by it, before everything else.",
            _all_without_temperature,
        ),
        Mistake(
            "Your function filters at the temperature, but returns probabilities without it.",
            "The last softmax is of the logits that were divided and filtered, not of the original ones.",
            _all_temperature_twice,
        ),
    ),
)

# --- draw_token ------------------------------------------------------------------------------------

_DRAWS = 3000


def _make_draw(rng: np.random.Generator, V: int, zeros: int) -> tuple[Any, ...]:
    """A distribution with one frequent token, not the first, and some that are impossible; and a seed."""
    if V - zeros < 3 or zeros < 1:
        raise ValueError("three tokens have to be possible, one impossible")
    p = 0.2 + rng.random(V)
    p[rng.permutation(np.arange(1, V))[:zeros]] = 0
    p[np.flatnonzero(p)[1]] += 0.6 * p.sum()
    return p / p.sum(), int(rng.integers(1 << 30))


def _observe_draw(function, args):
    """Frequencies over many draws, how many draws were impossible, and whether a seed repeats them."""
    probabilities, seed = args
    tokens = []
    rng = np.random.default_rng(seed)
    for _ in range(_DRAWS):
        tokens.append(int(function(probabilities, rng)))
    again = np.random.default_rng(seed)
    repeated = all(int(function(probabilities, again)) == token for token in tokens[:50])
    ids = np.array(tokens)
    inside = (ids >= 0) & (ids < len(probabilities))
    impossible = int((~inside).sum() + (probabilities[ids[inside]] == 0).sum())
    return np.bincount(ids[inside], minlength=len(probabilities)) / _DRAWS, np.array(impossible), repeated


def _draw(probabilities, rng):
    mass = np.cumsum(probabilities)
    return int(np.searchsorted(mass, rng.random() * mass[-1], side="right"))


def _draw_below(probabilities, rng):
    return _draw(probabilities, rng) - 1


def _draw_own_probability(probabilities, rng):
    return int(np.argmax(probabilities >= rng.random() * probabilities.max()))


def _draw_uniform(probabilities, rng):
    return int(rng.choice(np.flatnonzero(probabilities)))


def _draw_any(probabilities, rng):
    return int(rng.integers(len(probabilities)))


def _draw_same_seed(probabilities, rng):
    return _draw(probabilities, np.random.default_rng(0))


_OTHER = np.random.default_rng(12345)


def _draw_other_generator(probabilities, rng):
    return _draw(probabilities, _OTHER)


DRAW = Exercise(
    id="draw_token",
    chapter="11",
    title="Throw the dice",
    task="Draw a token: token i with probability p[i], with random numbers from the given generator alone.",
    difficulty=2,
    minutes=15,
    reference=_draw,
    make=_make_draw,
    observe=_observe_draw,
    outputs=("frequencies", "impossible draws", "repeatable"),
    rtol=0.0,
    atol=0.2,
    shapes=(
        {"V": 4, "zeros": 1},
        {"V": 5, "zeros": 2},
        {"V": 8, "zeros": 2},
        {"V": 12, "zeros": 6},
    ),
    axes=("token",),
    hints=(
        "Lay the probabilities end to end on a line from 0 to 1 and throw a dart, u = rng.random(). On which "
        "token's piece does it land?",
        "np.cumsum(probabilities) are the right ends of the pieces. np.searchsorted finds the first one that "
        "lies beyond u (side='right': a piece of length 0 is never hit).",
        "return int(np.searchsorted(np.cumsum(probabilities), rng.random(), side='right'))",
    ),
    mistakes=(
        Mistake(
            "Your function always takes the most probable token.",
            "That is greedy decoding: a token with p = 0.1 should come up once in ten draws.",
            lambda probabilities, rng: int(np.argmax(probabilities)),
        ),
        Mistake(
            "Your function is off by one: it returns the token before the one that was hit.",
            "The cumulative sum at i is the right end of token i: the first end beyond u is the token itself.",
            _draw_below,
        ),
        Mistake(
            "Your function compares with each token's own probability, not with the cumulative sum.",
            "Pieces lie end to end: compare u with np.cumsum(probabilities).",
            _draw_own_probability,
        ),
        Mistake(
            "Your function draws all possible tokens equally often.",
            "Which tokens are possible is not all: each has its own probability.",
            _draw_uniform,
        ),
        Mistake(
            "Your function draws any token, whatever its probability.",
            "Probabilities have to enter: token i comes up with p[i].",
            _draw_any,
        ),
        Mistake(
            "Your function starts a new generator with the same seed in every call: always the same token.",
            "Use the generator that is given; it moves on with every draw.",
            _draw_same_seed,
        ),
        Mistake(
            "Your function has the right frequencies, but uses random numbers of its own.",
            "With the generator that is given, the same seed gives the same text: call its methods, not np.random's.",
            _draw_other_generator,
        ),
    ),
)

# --- chi_squared -----------------------------------------------------------------------------------


def _make_chi(rng: np.random.Generator, V: int, n: int, impossible: int) -> tuple[Any, ...]:
    """Counts of n draws from a neighbouring distribution; one token has probability 0, and was drawn or not."""
    if V < 3 or n < 4 or impossible >= n:
        raise ValueError("three tokens and four draws at least")
    p = 0.1 + rng.random(V)
    p[V // 2] = 0
    p /= p.sum()
    q = p * (0.7 + 0.6 * rng.random(V))
    counts = rng.multinomial(n - impossible, q / q.sum())
    counts[V // 2] = impossible
    return counts, p


def _chi(counts, probabilities):
    possible = probabilities > 0
    if counts[~possible].any():
        return np.inf
    expected = counts.sum() * probabilities[possible]
    return float(np.sum((counts[possible] - expected) ** 2 / expected))


def _chi_possible_only(counts, probabilities):
    possible = probabilities > 0
    expected = counts.sum() * probabilities[possible]
    return float(np.sum((counts[possible] - expected) ** 2 / expected))


def _chi_with(counts, probabilities, term, combine=np.sum):
    possible = probabilities > 0
    if counts[~possible].any():
        return np.inf
    observed, expected = counts[possible], counts.sum() * probabilities[possible]
    return float(combine(term(observed, expected)))


def _chi_nan(counts, probabilities):
    expected = counts.sum() * probabilities
    return float(np.sum((counts - expected) ** 2 / expected))


def _chi_frequencies(counts, probabilities):
    return _chi(counts, probabilities) / counts.sum()


def _torch_chi(counts, probabilities):
    import torch

    observed, expected = torch.tensor(counts).double(), torch.tensor(counts.sum() * probabilities)
    terms = (observed - expected) ** 2 / expected
    return float(torch.where((observed == 0) & (expected == 0), 0.0, terms).sum())


CHI_SQUARED = Exercise(
    id="chi_squared",
    chapter="11",
    title="Is the sampler right?",
    task="How far counts of draws are from what a distribution promises: the sum of (O - E)**2 / E over its tokens.",
    difficulty=1,
    minutes=10,
    reference=_chi,
    make=_make_chi,
    oracle=_torch_chi,
    shapes=(
        {"V": 3, "n": 10, "impossible": 0},
        {"V": 3, "n": 8, "impossible": 1},
        {"V": 5, "n": 40, "impossible": 0},
        {"V": 12, "n": 300, "impossible": 2},
        {"V": 40, "n": 1000, "impossible": 0},
    ),
    hints=(
        "O is what was counted. E is what the distribution promises for as many draws: n * p with n = counts.sum().",
        "A token with p = 0 has E = 0. Never drawn, it has nothing to say; drawn even once, the sampler is wrong "
        "beyond any doubt: the statistic is inf.",
        "possible = probabilities > 0\n"
        "if counts[~possible].any():\n"
        "    return np.inf\n"
        "expected = counts.sum() * probabilities[possible]\n"
        "return np.sum((counts[possible] - expected) ** 2 / expected)",
    ),
    mistakes=(
        Mistake(
            "Your function leaves tokens of probability 0 out even when they were drawn.",
            "A draw of an impossible token is the clearest sign of a wrong sampler: return inf.",
            _chi_possible_only,
        ),
        Mistake(
            "Your function divides 0 by 0 for a token that is impossible and was never drawn.",
            "Leave it out: it says nothing about the sampler.",
            _chi_nan,
        ),
        Mistake(
            "Your function compares frequencies, and forgets how many draws there were.",
            "The same difference means more after more draws: use counts and n * p. Yours is n times too small.",
            _chi_frequencies,
        ),
        Mistake(
            "Your function divides by what was counted, not by what was expected.",
            "The variance of a count is about its expectation E; O may be 0.",
            lambda c, p: _chi_with(c, p, lambda o, e: (o - e) ** 2 / o),
        ),
        Mistake(
            "Your function does not square the differences.",
            "Without the square those above and those below cancel out, or count too little.",
            lambda c, p: _chi_with(c, p, lambda o, e: np.abs(o - e) / e),
        ),
        Mistake(
            "Your function takes the mean over the tokens.",
            "The statistic is a sum: its expectation is the number of possible tokens minus 1.",
            lambda c, p: _chi_with(c, p, lambda o, e: (o - e) ** 2 / e, np.mean),
        ),
        Mistake(
            "Your function returns the square root.",
            "Chi-squared is the sum itself.",
            lambda c, p: _chi_with(c, p, lambda o, e: (o - e) ** 2 / e, lambda terms: np.sqrt(terms.sum())),
        ),
    ),
)

EXERCISES = (TEMPERATURE, TOP_K, TOP_P, MIN_P, REPETITION, ALL_FILTERS, DRAW, CHI_SQUARED)
