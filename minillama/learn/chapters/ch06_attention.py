"""Chapter 06, causal attention: softmax, mask, one head, many heads, one pass over the keys."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...layers.attention import attention_forward, attention_forward_fast
from ..exercise import Exercise, Function, Mistake, Speed

AXES = ("batch", "head", "position", "dim")

# --- what references and mistakes share ---------------------------------------------------


def softmax(scores, axis=-1):
    """The right softmax, over any axis."""
    exponentials = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return exponentials / exponentials.sum(axis=axis, keepdims=True)


def visible_keys(positions, n_keys):
    """True where a query at positions[..., t] may look at a key: (..., T, S)."""
    return np.arange(n_keys) <= positions[..., None]


def attend(q, k, v, visible, *, scale=None, axis=-1):
    """Attention with whatever mask, scale and axis of the softmax; scores are q . k / scale."""
    scores = q @ k.swapaxes(-1, -2) / q.dtype.type(math.sqrt(q.shape[-1]) if scale is None else scale)
    return softmax(np.where(visible, scores, q.dtype.type(-np.inf)), axis) @ v


def mask_after(q, k, v, visible):
    """Zeros in the probabilities, which then do not sum to 1."""
    scores = q @ k.swapaxes(-1, -2) / q.dtype.type(math.sqrt(q.shape[-1]))
    return np.where(visible, softmax(scores), q.dtype.type(0)) @ v


def mask_by_zero(q, k, v, visible):
    """Hidden scores are 0, whose exponential is 1."""
    scores = q @ k.swapaxes(-1, -2) / q.dtype.type(math.sqrt(q.shape[-1]))
    return softmax(np.where(visible, scores, q.dtype.type(0))) @ v


def from_zero(positions):
    """Positions 0 ... T - 1, as if nothing came before."""
    return np.broadcast_to(np.arange(positions.shape[-1]), positions.shape)


def torch_attention(q, k, v, positions):
    """PyTorch's own attention in float64, with the mask that the positions give and grouped heads."""
    import torch

    q64, k64, v64 = (torch.tensor(a, dtype=torch.float64) for a in (q, k, v))
    group = q.shape[1] // k.shape[1]
    visible = torch.arange(k.shape[2]) <= torch.tensor(positions)[:, None, :, None]
    return torch.nn.functional.scaled_dot_product_attention(
        q64, k64.repeat_interleave(group, 1), v64.repeat_interleave(group, 1), attn_mask=visible
    ).numpy()


def as_op(function: Function, group_of_one: bool = False) -> dict[str, Function]:
    """An entry for Ops from y = function(q, k, v, positions).

    With `group_of_one` the function gets as many key heads as query heads. What training needs beside
    y comes from the package's kernel; decoding, one query at a time, needs nothing.
    """

    def op(q, k, v, positions):
        group = q.shape[1] // k.shape[1] if group_of_one else 1
        y = function(q, np.repeat(k, group, axis=1), np.repeat(v, group, axis=1), positions)
        cache = attention_forward_fast(q, k, v, positions)[1]._replace(y=y) if q.shape[2] > 1 else None
        return y, cache

    return {"attention_forward": op}


# --- softmax_over_keys --------------------------------------------------------------------


def _make_scores(rng: np.random.Generator, H: int, T: int, S: int) -> tuple[Any, ...]:
    """Scores with hidden keys at -inf, and rows so high and so low that exp leaves float32."""
    scores = 2 * rng.normal(size=(H, T, S))
    scores += np.array([0.0, 120.0, -150.0])[np.arange(T) % 3][:, None]
    hidden = rng.random((H, T, S)) < 0.3
    hidden[..., 0] = False  # every query sees a key
    return (np.where(hidden, -np.inf, scores).astype(np.float32),)


def _softmax_clipped(scores):
    exponentials = np.exp(np.clip(scores, -80, 80))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def _softmax_unshifted(scores):
    exponentials = np.exp(scores)
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def _softmax_global_shift(scores):
    exponentials = np.exp(scores - scores.max())
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def _softmax_by_largest(scores):
    return np.exp(scores - scores.max(axis=-1, keepdims=True))


def _softmax_everything(scores):
    exponentials = np.exp(scores - scores.max())
    return exponentials / exponentials.sum()


def _torch_softmax(scores):
    import torch

    return torch.softmax(torch.tensor(scores, dtype=torch.float64), dim=-1).numpy()


SOFTMAX_OVER_KEYS = Exercise(
    id="softmax_over_keys",
    chapter="06",
    title="Scores become weights",
    task="Softmax over the keys (the last axis): every query's weights sum to 1, a score of -inf has weight 0.",
    difficulty=1,
    minutes=5,
    reference=softmax,
    make=_make_scores,
    shapes=(
        {"H": 1, "T": 2, "S": 3},
        {"H": 1, "T": 1, "S": 1},
        {"H": 2, "T": 3, "S": 4},
        {"H": 3, "T": 7, "S": 5},
        {"H": 5, "T": 6, "S": 33},
    ),
    axes=("head", "query", "key"),
    oracle=_torch_softmax,
    hints=(
        "Adding the same number to all scores of a query changes nothing in the result. Which number keeps every "
        "exponential at 1 or below?",
        "Three steps: subtract the row's largest score, take the exponential, divide by the row's sum. axis=-1 with "
        "keepdims=True keeps an axis of size 1, so that the shapes go together.",
        "shifted = scores - scores.max(axis=-1, keepdims=True)\n"
        "exponentials = np.exp(shifted)          # exp(-inf) is 0\n"
        "return exponentials / exponentials.sum(axis=-1, keepdims=True)",
    ),
    mistakes=(
        Mistake(
            "Your function takes the softmax over the queries, not over the keys.",
            "The weights of one query must sum to 1: keys are the last axis, so max and sum go along axis=-1.",
            lambda scores: softmax(scores, axis=-2),
        ),
        Mistake(
            "Your function takes the softmax over the heads.",
            "Axis 0 is the head. Each head and each query has a softmax of its own, over the last axis.",
            lambda scores: softmax(scores, axis=0),
        ),
        Mistake(
            "Your function takes the exponential of the scores as they are.",
            "float32 overflows from exp(89) on, and inf / inf is NaN; far below, everything is 0 and 0 / 0 is NaN. "
            "Subtract the row's largest score first.",
            _softmax_unshifted,
        ),
        Mistake(
            "Your function subtracts the largest of all scores, not the largest of each row.",
            "A row far below that largest score becomes all zeros, and 0 / 0 is NaN: use max(axis=-1, keepdims=True).",
            _softmax_global_shift,
        ),
        Mistake(
            "Your function divides by the largest exponential instead of by the sum.",
            "The largest weight is 1 that way. Weights of a mean have to sum to 1.",
            _softmax_by_largest,
        ),
        Mistake(
            "Your function takes one softmax over all numbers together.",
            "Every row has to sum to 1, not the whole array: give max and sum an axis.",
            _softmax_everything,
        ),
        Mistake(
            "Your function clips the scores so that exp does not overflow.",
            "Scores beyond the limit become equal, and -inf gets a weight. Subtracting the row's maximum costs nothing "
            "and is exact.",
            _softmax_clipped,
        ),
    ),
)

# --- causal_mask --------------------------------------------------------------------------


def _make_positions(rng: np.random.Generator, T: int, past: int, spare: int) -> tuple[Any, ...]:
    """T neighbouring positions after `past` cached ones; the cache has room for `spare` more."""
    return past + np.arange(T), past + T + spare


CAUSAL_MASK = Exercise(
    id="causal_mask",
    chapter="06",
    title="Who may look at whom",
    task="True where the query at positions[t] may look at key s: at itself and at everything before.",
    difficulty=1,
    minutes=5,
    reference=visible_keys,
    make=_make_positions,
    shapes=(
        {"T": 2, "past": 0, "spare": 0},
        {"T": 1, "past": 0, "spare": 0},
        {"T": 1, "past": 3, "spare": 2},
        {"T": 3, "past": 2, "spare": 0},
        {"T": 4, "past": 3, "spare": 5},
        {"T": 7, "past": 0, "spare": 1},
    ),
    axes=("query", "key"),
    exact=True,
    hints=(
        "A key's position is its index s, for it lies in the cache at its position. A query's position is "
        "positions[t], which need not be t. Which comparison of the two says that the key is not later?",
        "np.arange(n_keys) has an entry for every key. Give `positions` an axis for the keys, and compare: the result "
        "has shape (T, n_keys).",
        "return np.arange(n_keys)[None, :] <= positions[:, None]",
    ),
    mistakes=(
        Mistake(
            "Your mask hides a token from itself.",
            "A query at position m sees keys 0 ... m, its own included: <=, not <. Otherwise position 0 sees nothing.",
            lambda positions, n_keys: np.arange(n_keys) < positions[:, None],
        ),
        Mistake(
            "Your mask lets every query see the next token: it is off by one.",
            "During training the next token is the answer. A query at position m sees keys 0 ... m.",
            lambda positions, n_keys: np.arange(n_keys) <= positions[:, None] + 1,
        ),
        Mistake(
            "Your mask counts the queries from 0 in every call.",
            "With a cache the first query of a chunk is not at position 0: use positions[t], not t.",
            lambda positions, n_keys: np.tri(len(positions), n_keys, dtype=bool),
        ),
        Mistake(
            "Your mask takes the last query for the last key.",
            "That holds only while the cache is exactly full. There may be room behind the last token: compare with "
            "`positions`.",
            lambda positions, n_keys: np.tri(len(positions), n_keys, n_keys - len(positions), dtype=bool),
        ),
        Mistake(
            "Your mask is the wrong way round: True where a key is hidden.",
            "Here True means that the query may look. (PyTorch knows both: attn_mask is True for visible keys, "
            "masked_fill wants the hidden ones.)",
            lambda positions, n_keys: np.arange(n_keys) > positions[:, None],
        ),
        Mistake(
            "Your mask shows the future and hides the past.",
            "The comparison is turned: a key is visible when its position is less than or equal to the query's.",
            lambda positions, n_keys: np.arange(n_keys) >= positions[:, None],
        ),
        Mistake(
            "Your mask holds numbers to be added, 0 and -inf, instead of True and False.",
            "That form is used too, but here a bool is asked for: True where the query may look.",
            lambda positions, n_keys: np.where(visible_keys(positions, n_keys), 0, -np.inf),
        ),
        Mistake(
            "All your queries see what the last one sees.",
            "Each query has a limit of its own, positions[t], not the largest of all.",
            lambda positions, n_keys: visible_keys(np.full_like(positions, positions.max()), n_keys),
        ),
        Mistake(
            "Your mask hides nothing.",
            "Even a single query needs it when the cache is longer than what has been written to it.",
            lambda positions, n_keys: np.ones((len(positions), n_keys), bool),
        ),
    ),
)

# --- attend_one_head ----------------------------------------------------------------------


def _make_one_head(rng: np.random.Generator, T: int, past: int, head_dim: int) -> tuple[Any, ...]:
    """One head; with a past there is room behind the last token, and the last query has scores near 100."""
    n_keys = past + T + (2 if past else 0)
    q, k, v = (rng.normal(size=(n, head_dim)) for n in (T, n_keys, n_keys))
    if past:
        direction = q[-1] / np.linalg.norm(q[-1])
        k += direction  # what all keys have in common
        q[-1] = 100 * math.sqrt(head_dim) * direction / max(1.0, float(np.abs(k @ direction).max()))
    return *(a.astype(np.float32) for a in (q, k, v)), past + np.arange(T)


def _one_head(q, k, v, positions):
    return attention_forward(q[None, None], k[None, None], v[None, None], positions[None])[0][0, 0]


def _one_head_overflowing(q, k, v, positions):
    scores = q @ k.T / np.float32(math.sqrt(q.shape[-1]))
    weights = np.where(visible_keys(positions, len(k)), np.exp(scores), np.float32(0))
    return weights / weights.sum(axis=-1, keepdims=True) @ v


def _torch_one_head(q, k, v, positions):
    return torch_attention(q[None, None], k[None, None], v[None, None], positions[None])[0, 0]


ATTEND_ONE_HEAD = Exercise(
    id="attend_one_head",
    chapter="06",
    title="One head",
    task="Causal attention of one head: scores, mask, softmax, weighted mean of the values.",
    difficulty=2,
    minutes=15,
    reference=_one_head,
    make=_make_one_head,
    shapes=(
        {"T": 2, "past": 0, "head_dim": 4},
        {"T": 1, "past": 0, "head_dim": 2},
        {"T": 3, "past": 0, "head_dim": 5},
        {"T": 1, "past": 6, "head_dim": 8},
        {"T": 5, "past": 3, "head_dim": 6},
        {"T": 33, "past": 0, "head_dim": 64},
    ),
    axes=("position", "dim"),
    oracle=_torch_one_head,
    rtol=3e-4,
    atol=1e-4,
    hints=(
        "Four lines: all scores at once as a matrix (T, S), the mask, the softmax of each row, and a product with v. "
        "The two exercises before are two of the lines.",
        "scores = q @ k.T / sqrt(head_dim). Hidden keys get the score -inf *before* the softmax: np.where(visible, "
        "scores, -np.inf). Then the softmax over the last axis, then @ v.",
        "scores = q @ k.T / np.sqrt(q.shape[-1])\n"
        "visible = np.arange(len(k)) <= positions[:, None]\n"
        "weights = softmax_over_keys(np.where(visible, scores, -np.inf))\n"
        "return weights @ v",
    ),
    mistakes=(
        Mistake(
            "Your scores are not divided by sqrt(head_dim).",
            "The dot product of two random vectors grows like sqrt(head_dim): without the division the softmax is far "
            "too sharp.",
            lambda q, k, v, p: attend(q, k, v, visible_keys(p, len(k)), scale=1),
        ),
        Mistake(
            "Your scores are divided by head_dim, not by its square root.",
            "head_dim is the variance of the dot product; its spread is the square root. Divided by head_dim, all "
            "weights are nearly equal.",
            lambda q, k, v, p: attend(q, k, v, visible_keys(p, len(k)), scale=q.shape[-1]),
        ),
        Mistake(
            "Your scores are divided by the square root of the number of keys.",
            "The scale belongs to the width of the vectors, q.shape[-1], not to how many there are.",
            lambda q, k, v, p: attend(q, k, v, visible_keys(p, len(k)), scale=math.sqrt(len(k))),
        ),
        Mistake(
            "Your function has no mask: every query sees all keys.",
            "Keys after positions[t] are the future, or places of the cache that hold nothing: set their scores to "
            "-inf.",
            lambda q, k, v, p: attend(q, k, v, True),
        ),
        Mistake(
            "Your queries do not see themselves.",
            "A query at position m sees keys 0 ... m, with m: <=, not <.",
            lambda q, k, v, p: attend(q, k, v, visible_keys(p - 1, len(k))),
        ),
        Mistake(
            "Your queries see one token of the future: the mask is off by one.",
            "A query at position m sees keys 0 ... m. In training key m + 1 would tell it the answer.",
            lambda q, k, v, p: attend(q, k, v, visible_keys(p + 1, len(k))),
        ),
        Mistake(
            "Your mask counts the queries from 0.",
            "The first query of a chunk need not be at position 0: compare the keys with `positions`.",
            lambda q, k, v, p: attend(q, k, v, visible_keys(from_zero(p), len(k))),
        ),
        Mistake(
            "Your function masks after the softmax: the remaining weights do not sum to 1.",
            "The future has then already taken its share of the softmax. Set scores to -inf before it.",
            lambda q, k, v, p: mask_after(q, k, v, visible_keys(p, len(k))),
        ),
        Mistake(
            "Your function sets hidden scores to 0.",
            "exp(0) is 1, so hidden keys still get weight. The score whose exponential is 0 is -inf.",
            lambda q, k, v, p: mask_by_zero(q, k, v, visible_keys(p, len(k))),
        ),
        Mistake(
            "Your softmax runs over the queries.",
            "Weights of one query must sum to 1: the softmax goes along the last axis of the scores (T, S), the keys.",
            lambda q, k, v, p: attend(q, k, v, visible_keys(p, len(k)), axis=-2),
        ),
        Mistake(
            "Your function takes the exponential of scores as they are, and large ones overflow.",
            "float32 ends at exp(88). Subtract the row's largest score first: the result is the same.",
            _one_head_overflowing,
        ),
    ),
)

# --- split_into_heads ---------------------------------------------------------------------


def _make_joined(rng: np.random.Generator, B: int, T: int, H: int, head_dim: int) -> tuple[Any, ...]:
    return rng.normal(size=(B, T, H * head_dim)).astype(np.float32), H


def _split(x, n_heads):
    return x.reshape(*x.shape[:2], n_heads, -1).swapaxes(1, 2)


SPLIT_INTO_HEADS = Exercise(
    id="split_into_heads",
    chapter="06",
    title="From one wide vector to many heads",
    task="Cut every token's vector (H * head_dim) into heads: (B, T, H * head_dim) becomes (B, H, T, head_dim).",
    difficulty=1,
    minutes=5,
    reference=_split,
    make=_make_joined,
    shapes=(
        {"B": 1, "T": 2, "H": 2, "head_dim": 2},
        {"B": 1, "T": 1, "H": 1, "head_dim": 2},
        {"B": 2, "T": 1, "H": 3, "head_dim": 4},
        {"B": 3, "T": 5, "H": 2, "head_dim": 6},
        {"B": 2, "T": 4, "H": 4, "head_dim": 4},
    ),
    axes=AXES,
    hints=(
        "Head 0 is the first head_dim numbers of every token. A reshape never moves numbers in memory; which axis can "
        "it split without mixing tokens?",
        "Split the last axis in (H, head_dim); then the axes are (B, T, H, head_dim), and two of them have to change "
        "places.",
        "return x.reshape(x.shape[0], x.shape[1], n_heads, -1).swapaxes(1, 2)",
    ),
    mistakes=(
        Mistake(
            "Your function reshapes to (B, H, T, head_dim) at once, which mixes tokens and heads.",
            "A reshape keeps the order in memory. Split the last axis first, then exchange two axes.",
            lambda x, n: x.reshape(x.shape[0], n, x.shape[1], -1),
        ),
        Mistake(
            "Your function gives each head every H-th number instead of neighbouring ones.",
            "A head is a run of head_dim neighbours: the last axis splits in (H, head_dim), not in (head_dim, H).",
            lambda x, n: np.moveaxis(x.reshape(*x.shape[:2], -1, n), -1, 1),
        ),
        Mistake(
            "Your function leaves the head behind the position: (B, T, H, head_dim).",
            "Attention multiplies matrices (T, head_dim), the last two axes: bring the head forward with "
            "swapaxes(1, 2).",
            lambda x, n: x.reshape(*x.shape[:2], n, -1),
        ),
        Mistake(
            "Your function puts dim before position: (B, H, head_dim, T).",
            "Two axes change places, head and position; head_dim stays last.",
            lambda x, n: x.reshape(*x.shape[:2], n, -1).transpose(0, 2, 3, 1),
        ),
        Mistake(
            "Your heads come out in reverse order.",
            "Head 0 is the first head_dim numbers of a token.",
            lambda x, n: _split(x, n)[:, ::-1],
        ),
    ),
)

# --- attend_many_heads --------------------------------------------------------------------


def make_heads(
    rng: np.random.Generator, B: int, T: int, past: int, K: int, group: int, head_dim: int
) -> tuple[Any, ...]:
    """Queries of K * group heads, keys and values of K; every sequence of a batch at its own place."""
    n_keys = past + T + (2 if past else 0)
    q = rng.normal(size=(B, K * group, T, head_dim)).astype(np.float32)
    k, v = (rng.normal(size=(B, K, n_keys, head_dim)).astype(np.float32) for _ in range(2))
    start = np.where(np.arange(B) == 0, past, rng.integers(0, past + 1, B))
    return q, k, v, start[:, None] + np.arange(T)


def _make_many(rng: np.random.Generator, B: int, T: int, past: int, H: int, head_dim: int) -> tuple[Any, ...]:
    return make_heads(rng, B, T, past, H, 1, head_dim)


def reference_attention(q, k, v, positions):
    return attention_forward(q, k, v, positions)[0]


def seen_by_heads(positions, n_keys):
    return visible_keys(positions, n_keys)[:, None]


ATTEND_MANY_HEADS = Exercise(
    id="attend_many_heads",
    chapter="06",
    title="Many heads and a batch",
    task="Causal attention of all heads of a batch, each sequence with its own positions.",
    difficulty=2,
    minutes=15,
    reference=reference_attention,
    make=_make_many,
    shapes=(
        {"B": 1, "T": 2, "past": 0, "H": 2, "head_dim": 4},
        {"B": 1, "T": 1, "past": 0, "H": 1, "head_dim": 2},
        {"B": 2, "T": 3, "past": 0, "H": 3, "head_dim": 6},
        {"B": 3, "T": 1, "past": 7, "H": 2, "head_dim": 8},
        {"B": 3, "T": 5, "past": 4, "H": 4, "head_dim": 6},
        {"B": 1, "T": 33, "past": 0, "H": 3, "head_dim": 16},
    ),
    axes=AXES,
    oracle=torch_attention,
    op=lambda f: as_op(f, group_of_one=True),
    atol=1e-5,
    hints=(
        "Nothing changes but the number of leading axes: matrix products and the softmax work on the last two, for "
        "all batches and heads at once.",
        "k.T would turn all axes round: k.swapaxes(-1, -2) exchanges the last two. The mask is (B, T, S) and needs an "
        "axis for the heads: visible[:, None].",
        "scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])              # (B, H, T, S)\n"
        "visible = np.arange(k.shape[2]) <= positions[:, None, :, None]       # (B, 1, T, S)\n"
        "return softmax_over_keys(np.where(visible, scores, -np.inf)) @ v",
    ),
    mistakes=(
        Mistake(
            "Your scores are divided by sqrt(dim), the width of all heads together.",
            "A dot product runs over one head: the scale is sqrt(head_dim), q.shape[-1].",
            lambda q, k, v, p: attend(q, k, v, seen_by_heads(p, k.shape[2]), scale=math.sqrt(q.shape[1] * q.shape[3])),
        ),
        Mistake(
            "Your scores are not divided by sqrt(head_dim).",
            "Without the scale the softmax is far too sharp: most heads would look at a single token.",
            lambda q, k, v, p: attend(q, k, v, seen_by_heads(p, k.shape[2]), scale=1),
        ),
        Mistake(
            "Your function uses the first sequence's positions for the whole batch.",
            "Every sequence of a batch has its own positions: the mask is (B, 1, T, S), not (T, S).",
            lambda q, k, v, p: attend(q, k, v, visible_keys(p[0], k.shape[2])),
        ),
        Mistake(
            "Your mask counts the queries from 0.",
            "With a cache the queries continue a sequence: compare the keys with `positions`.",
            lambda q, k, v, p: attend(q, k, v, seen_by_heads(from_zero(p), k.shape[2])),
        ),
        Mistake(
            "Your queries see one token of the future: the mask is off by one.",
            "A query at position m sees keys 0 ... m: <= m, not <= m + 1.",
            lambda q, k, v, p: attend(q, k, v, seen_by_heads(p + 1, k.shape[2])),
        ),
        Mistake(
            "Your queries do not see themselves.",
            "A query at position m sees keys 0 ... m, with m: <=, not <.",
            lambda q, k, v, p: attend(q, k, v, seen_by_heads(p - 1, k.shape[2])),
        ),
        Mistake(
            "Your function has no mask: every query sees all keys.",
            "Scores of keys after positions[b, t] must be -inf before the softmax.",
            lambda q, k, v, p: attend(q, k, v, True),
        ),
        Mistake(
            "Your function masks after the softmax: the remaining weights do not sum to 1.",
            "Hidden keys have already taken their share. Set scores to -inf before the softmax.",
            lambda q, k, v, p: mask_after(q, k, v, seen_by_heads(p, k.shape[2])),
        ),
        Mistake(
            "Your softmax runs over the heads.",
            "Axis 1 is the head. Every head has its own softmax, over its keys: axis -1.",
            lambda q, k, v, p: attend(q, k, v, seen_by_heads(p, k.shape[2]), axis=1),
        ),
        Mistake(
            "Your softmax runs over the queries.",
            "The scores are (B, H, T, S): the weights of one query sum to 1 along the last axis, not the one before.",
            lambda q, k, v, p: attend(q, k, v, seen_by_heads(p, k.shape[2]), axis=-2),
        ),
        Mistake(
            "All your queries see what the last one sees.",
            "Each query has a limit of its own, positions[b, t], not the largest of all.",
            lambda q, k, v, p: attend(
                q, k, v, seen_by_heads(np.broadcast_to(p.max(axis=1, keepdims=True), p.shape), k.shape[2])
            ),
        ),
        Mistake(
            "Your weights multiply the keys, not the values.",
            "Keys decide where a query looks; what it takes from there are the values.",
            lambda q, k, v, p: attend(q, k, k, seen_by_heads(p, k.shape[2])),
        ),
        Mistake(
            "All your heads look at the keys of head 0.",
            "In this chapter every query head has a key head of its own: k[:, h], not k[:, 0].",
            lambda q, k, v, p: attend(q, k[:, :1], v, seen_by_heads(p, k.shape[2])),
        ),
    ),
)

# --- attend_online ------------------------------------------------------------------------


def _make_online(rng: np.random.Generator, S: int, block: int, head_dim: int) -> tuple[Any, ...]:
    """One query; scores that rise from block to block, or all lie far above or far below 0."""
    q = rng.normal(size=head_dim)
    k, v = rng.normal(size=(S, head_dim)) * 1.5, rng.normal(size=(S, head_dim))
    direction = q / (q @ q)
    k -= np.outer(k @ q, direction)  # now every score is exactly what is added here
    scores = 2 * rng.normal(size=S) + (0.0, 100.0, -120.0)[S % 3]
    scores = np.sort(scores) if S % 2 == 0 else scores
    k += np.outer(scores * math.sqrt(head_dim), direction)
    return *(a.astype(np.float32) for a in (q, k, v)), block


def _two_passes(q, k, v, block):
    return softmax(k @ q / q.dtype.type(math.sqrt(len(q)))) @ v


def _online(
    q, k, v, block, *, y_follows=True, total_follows=True, inverted=False, start=-np.inf, divide=True, scale=True
):
    """The right loop, with parts of it left out."""
    largest, total, y = np.float32(start), np.float32(0), np.zeros(len(q), np.float32)
    for first in range(0, len(k), block):
        scores = k[first : first + block] @ q / np.float32(math.sqrt(len(q)) if scale else 1)
        new = max(largest, scores.max())
        correction = np.exp(new - largest) if inverted and np.isfinite(largest) else np.exp(largest - new)
        weights = np.exp(scores - new)
        total = total * (correction if total_follows else 1) + weights.sum()
        y = y * (correction if y_follows else 1) + weights @ v[first : first + block]
        largest = new
    return y / total if divide else y


def _whole_blocks_only(q, k, v, block):
    n = len(k) // block * block
    return _online(q, k[:n], v[:n], block)


def _mean_of_blocks(q, k, v, block):
    return np.mean([_two_passes(q, k[i : i + block], v[i : i + block], block) for i in range(0, len(k), block)], axis=0)


def _last_block(q, k, v, block):
    first = (len(k) - 1) // block * block
    return _two_passes(q, k[first:], v[first:], block)


def _no_shift(q, k, v, block):
    weights = np.exp(k @ q / np.float32(math.sqrt(len(q))))
    return weights @ v / weights.sum()


def _torch_online(q, k, v, block):
    import torch

    q64, k64, v64 = (torch.tensor(a, dtype=torch.float64)[None, None] for a in (q[None], k, v))
    return torch.nn.functional.scaled_dot_product_attention(q64, k64, v64)[0, 0, 0].numpy()


ATTEND_ONLINE = Exercise(
    id="attend_online",
    chapter="06",
    title="One pass: the online softmax",
    task="Attention of one query, in one pass over blocks of keys: rescale the sums when the maximum rises.",
    difficulty=3,
    minutes=25,
    reference=_two_passes,
    make=_make_online,
    shapes=(
        {"S": 3, "block": 2, "head_dim": 2},
        {"S": 1, "block": 4, "head_dim": 1},
        {"S": 6, "block": 3, "head_dim": 4},
        {"S": 7, "block": 1, "head_dim": 3},
        {"S": 10, "block": 4, "head_dim": 8},
        {"S": 8, "block": 3, "head_dim": 5},
        {"S": 33, "block": 8, "head_dim": 64},
    ),
    axes=("dim",),
    oracle=_torch_online,
    rtol=3e-4,
    atol=1e-4,
    hints=(
        "Carry three things along: the largest score so far, the sum of exp(score - largest), and the same sum with "
        "the values. When a block brings a larger score, both sums were made with the old one: by what factor are "
        "they too large?",
        "exp(score - new) = exp(score - old) * exp(old - new). So multiply both sums by exp(old - new), then add the "
        "block's. Start with largest = -inf, whose factor is exp(-inf) = 0. Divide once, at the end.",
        "for first in range(0, len(k), block):\n"
        "    scores = k[first : first + block] @ q / np.sqrt(len(q))\n"
        "    new = max(largest, scores.max())\n"
        "    correction, weights = np.exp(largest - new), np.exp(scores - new)\n"
        "    total = total * correction + weights.sum()\n"
        "    y, largest = y * correction + weights @ v[first : first + block], new",
    ),
    mistakes=(
        Mistake(
            "Your function never rescales what it has summed.",
            "The sums of earlier blocks were made with a smaller maximum: multiply both by exp(old - new).",
            lambda q, k, v, b: _online(q, k, v, b, y_follows=False, total_follows=False),
        ),
        Mistake(
            "Your function rescales the sum of the weights, but not the sum of the values.",
            "Both were made with the old maximum, so both need the factor exp(old - new).",
            lambda q, k, v, b: _online(q, k, v, b, y_follows=False),
        ),
        Mistake(
            "Your function rescales the sum of the values, but not the sum of the weights.",
            "Both were made with the old maximum, so both need the factor exp(old - new).",
            lambda q, k, v, b: _online(q, k, v, b, total_follows=False),
        ),
        Mistake(
            "Your correction is turned round: exp(new - old) instead of exp(old - new).",
            "The new maximum is larger, so the old sums must shrink: the factor is at most 1.",
            lambda q, k, v, b: _online(q, k, v, b, inverted=True),
        ),
        Mistake(
            "Your running maximum starts at 0.",
            "When all scores are far below 0, every exponential is 0 and the end is 0 / 0. Start at -inf.",
            lambda q, k, v, b: _online(q, k, v, b, start=0.0),
        ),
        Mistake(
            "Your function leaves out the last, incomplete block.",
            "The number of keys is rarely a multiple of the block: range(0, len(k), block), and slices end by "
            "themselves.",
            _whole_blocks_only,
        ),
        Mistake(
            "Your function takes the softmax of each block by itself and averages the results.",
            "A block with larger scores has to count for more: add up sums, and divide once at the end.",
            _mean_of_blocks,
        ),
        Mistake(
            "Your function keeps only the last block.",
            "The sums go on from block to block: add to what is there instead of replacing it.",
            _last_block,
        ),
        Mistake(
            "Your function does not divide by the sum of the weights.",
            "At the end y holds the sum of weight times value: a mean needs the division by the total.",
            lambda q, k, v, b: _online(q, k, v, b, divide=False),
        ),
        Mistake(
            "Your scores are not divided by sqrt(head_dim).",
            "The scale is the same as in two passes: q . k / sqrt(head_dim).",
            lambda q, k, v, b: _online(q, k, v, b, scale=False),
        ),
        Mistake(
            "Your function takes the exponential of scores as they are: no maximum is subtracted.",
            "Scores near 100 overflow float32. Subtract the largest score so far.",
            _no_shift,
        ),
    ),
)

# --- attend_decode ------------------------------------------------------------------------


def _make_decode(rng: np.random.Generator, H: int, n_keys: int, spare: int, head_dim: int) -> tuple[Any, ...]:
    """One query for each head; behind the n_keys keys lies what an earlier text left there."""
    q = rng.normal(size=(H, head_dim)).astype(np.float32)
    if H > 1:
        q[0] *= 200  # scores whose exponentials overflow
    k, v = (rng.normal(size=(H, n_keys + spare, head_dim)).astype(np.float32) for _ in range(2))
    return q, k, v, n_keys


def _with_positions(attention):
    """A decode function from one for batches and positions."""

    def decode(q, k, v, n_keys):
        return attention(q[None, :, None], k[None], v[None], np.array([[n_keys - 1]]))[0][0, :, 0]

    return decode


def _decode(q, k, v, visible=True, **how):
    return attend(q[:, None], k, v, visible, **how)[:, 0]


def _decode_unscaled(q, k, v, n_keys):
    return _decode(q, k[:, :n_keys], v[:, :n_keys], scale=1)


def _decode_unnormalised(q, k, v, n_keys):
    scores = np.einsum("hd,hsd->hs", q, k[:, :n_keys]) / np.float32(math.sqrt(q.shape[1]))
    return np.einsum("hs,hsd->hd", np.exp(scores - scores.max(axis=1, keepdims=True)), v[:, :n_keys])


def _decode_naive(q, k, v, n_keys):
    scale = 1 / math.sqrt(q.shape[1])
    y = np.empty_like(q)
    for h in range(len(q)):
        query, keys, values = q[h].tolist(), k[h, :n_keys].tolist(), v[h, :n_keys].tolist()
        scores = [scale * sum(a * b for a, b in zip(query, key)) for key in keys]
        largest = max(scores)
        weights = [math.exp(score - largest) for score in scores]
        total, sums = sum(weights), [0.0] * len(query)
        for weight, value in zip(weights, values):
            for j in range(len(query)):
                sums[j] += weight * value[j]
        y[h] = [x / total for x in sums]
    return y


def _decode_torch(q, k, v, n_keys):
    import torch

    return torch.nn.functional.scaled_dot_product_attention(q[:, None], k[:, :n_keys], v[:, :n_keys])[:, 0]


def _torch_decode_oracle(q, k, v, n_keys):
    import torch

    q, k, v = (torch.tensor(a, dtype=torch.float64) for a in (q, k, v))
    return _decode_torch(q, k, v, n_keys).numpy()


ATTEND_DECODE = Exercise(
    id="attend_decode",
    chapter="06",
    title="A kernel for decoding",
    task="One new token: one query for each head against the first n_keys keys of the cache. Make it fast with Numba.",
    difficulty=3,
    minutes=30,
    reference=_with_positions(attention_forward),
    make=_make_decode,
    shapes=(
        {"H": 1, "n_keys": 3, "spare": 2, "head_dim": 4},
        {"H": 1, "n_keys": 1, "spare": 0, "head_dim": 2},
        {"H": 2, "n_keys": 5, "spare": 0, "head_dim": 3},
        {"H": 3, "n_keys": 7, "spare": 9, "head_dim": 8},
        {"H": 5, "n_keys": 70, "spare": 3, "head_dim": 64},
    ),
    axes=("head", "dim"),
    oracle=_torch_decode_oracle,
    atol=1e-5,
    speed=Speed(
        dims={"H": 16, "n_keys": 4096, "spare": 0, "head_dim": 64},
        flops=lambda H, n_keys, spare, head_dim: 4.0 * H * n_keys * head_dim,
        bytes=lambda H, n_keys, spare, head_dim: 8.0 * H * (n_keys + 1) * head_dim,
        fast=_with_positions(attention_forward_fast),
        naive=_decode_naive,
        torch=_decode_torch,
    ),
    hints=(
        "Get it right in NumPy first: k[:, :n_keys] is all there is to the mask, for one query at the end sees every "
        "key that has been written.",
        "Keys and values are read once each, and that is what takes the time: for each head, go over the keys with the "
        "online softmax, and keep the query and the running sum of head_dim numbers close by. Heads are independent: "
        "prange.",
        "@njit(parallel=True, fastmath={'reassoc', 'contract'})\n"
        "def attend_decode(q, k, v, n_keys):\n"
        "    for h in prange(q.shape[0]):\n"
        "        scores = np.empty(n_keys, np.float32)\n"
        "        # loop 1: scores and their maximum; loop 2: exp and total;\n"
        "        # loop 3: for every key, y[h, j] += weight * v[h, s, j] for all j",
    ),
    mistakes=(
        Mistake(
            "Your function reads the whole cache, also behind the keys that have been written.",
            "The arrays have room for later tokens, and what lies there is stale: stop at n_keys.",
            lambda q, k, v, n: _decode(q, k, v),
        ),
        Mistake(
            "Your function leaves out the last key, the token's own.",
            "The new token's key and value are already in the cache, and it sees itself: keys 0 ... n_keys - 1.",
            lambda q, k, v, n: _decode(q, k, v, visible_keys(np.array([n - 2]), k.shape[1])),
        ),
        Mistake(
            "Your function reads one key too many.",
            "There are n_keys keys, numbers 0 ... n_keys - 1.",
            lambda q, k, v, n: _decode(q, k[:, : n + 1], v[:, : n + 1]),
        ),
        Mistake(
            "Your scores are not divided by sqrt(head_dim).",
            "Multiply each score by 1 / sqrt(head_dim), or the query once.",
            _decode_unscaled,
        ),
        Mistake(
            "Your scores are divided by sqrt(dim), the width of all heads together.",
            "A dot product runs over one head: sqrt(q.shape[1]), not sqrt(q.size).",
            lambda q, k, v, n: _decode(q, k[:, :n], v[:, :n], scale=math.sqrt(q.size)),
        ),
        Mistake(
            "Your function does not divide by the sum of the weights.",
            "y holds the sum of weight times value: divide each head by its own total.",
            _decode_unnormalised,
        ),
        Mistake(
            "All your heads read the keys of head 0.",
            "Head h has its own keys, k[h], as it has its own values.",
            lambda q, k, v, n: _decode(q, k[:1, :n], v[:, :n]),
        ),
        Mistake(
            "All your heads read the values of head 0.",
            "Head h has its own values, v[h], as it has its own keys.",
            lambda q, k, v, n: _decode(q, k[:, :n], v[:1, :n]),
        ),
    ),
)

EXERCISES = (
    SOFTMAX_OVER_KEYS,
    CAUSAL_MASK,
    ATTEND_ONE_HEAD,
    SPLIT_INTO_HEADS,
    ATTEND_MANY_HEADS,
    ATTEND_ONLINE,
    ATTEND_DECODE,
)
