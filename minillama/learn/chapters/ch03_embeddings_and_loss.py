"""Chapter 03: from ids to vectors, and from logits to a loss, its gradient, perplexity and bits per byte."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...layers.embedding import EmbeddingCache, embedding_forward
from ..exercise import Exercise, Function, Mistake

LOGIT_AXES = ("batch", "position", "token")
ROW_AXES = ("batch", "position")

# --- gather_embeddings -----------------------------------------------------------------------


def _gather(tokens, weight):
    return embedding_forward(tokens, weight)[0]


def _make_gather(rng: np.random.Generator, B: int, T: int, V: int, D: int) -> tuple[Any, ...]:
    """Ids that repeat and are never all in order; the last id of the vocabulary is among them."""
    if V < 3:
        raise ValueError("at least 3 tokens, so that rows can be confused")
    tokens = rng.integers(0, V, (B, T))
    tokens[0, 0] = V - 1
    return tokens, rng.normal(size=(V, D)).astype(np.float32)


def _torch_gather(tokens, weight):
    import torch

    return torch.nn.functional.embedding(torch.tensor(tokens), torch.tensor(weight)).numpy()


def _embedding_op(function: Function) -> dict[str, Function]:
    """The model's table may be packed: the function gets the rows that occur, and ids that count these."""

    def forward(tokens, weight):
        used, ids = np.unique(tokens, return_inverse=True)
        rows = weight[used] if isinstance(weight, np.ndarray) else weight.to_float32(used)
        return function(ids.reshape(tokens.shape), rows), EmbeddingCache(tokens, weight)

    return {"embedding_forward": forward}


GATHER = Exercise(
    id="gather_embeddings",
    chapter="03",
    title="Look up the rows",
    task="Return the row of the embedding table for every token.",
    difficulty=1,
    minutes=5,
    reference=_gather,
    make=_make_gather,
    shapes=(
        {"B": 1, "T": 1, "V": 3, "D": 2},
        {"B": 1, "T": 2, "V": 5, "D": 1},
        {"B": 2, "T": 3, "V": 6, "D": 4},
        {"B": 3, "T": 5, "V": 4, "D": 9},
        {"B": 2, "T": 17, "V": 40, "D": 16},
    ),
    axes=("batch", "position", "dim"),
    oracle=_torch_gather,
    op=_embedding_op,
    hints=(
        "The table has one row for each token of the vocabulary. No arithmetic is needed at all.",
        "NumPy takes an array of integers as an index: the result has the shape of the index, with the row's axis "
        "behind it.",
        "return weight[tokens]",
    ),
    mistakes=(
        Mistake(
            "Your function takes the row behind the right one.",
            "Ids count from 0: token 0 is row 0.",
            lambda tokens, weight: weight[(tokens + 1) % len(weight)],
        ),
        Mistake(
            "Your function multiplies the rows by sqrt(D).",
            "The first transformer of 2017 did so, and Gemma does. LLaMA takes the rows as they are.",
            lambda tokens, weight: _gather(tokens, weight) * np.sqrt(weight.shape[1]).astype(np.float32),
        ),
        Mistake(
            "Your function looks up the position, not the token.",
            "The index is tokens[b, t]. LLaMA has no table of positions; RoPE brings them in later.",
            lambda tokens, weight: weight[np.broadcast_to(np.arange(tokens.shape[1]) % len(weight), tokens.shape)],
        ),
        Mistake(
            "Your function adds a number for the position to every row.",
            "LLaMA's embedding knows nothing of positions: the same token has the same row everywhere.",
            lambda tokens, weight: (
                _gather(tokens, weight) + np.sin(np.arange(tokens.shape[1], dtype=np.float32))[:, None]
            ),
        ),
        Mistake(
            "Your function runs through the sequences in the wrong order: batch and position are exchanged.",
            "The result for tokens (B, T) is (B, T, D): keep the order of the axes, reshape only what you flattened.",
            lambda tokens, weight: weight[tokens.T.reshape(tokens.shape)],
        ),
        Mistake(
            "Your function brings every row to length 1.",
            "The lengths of the rows are learned and carry information; RMSNorm in the first layer does the scaling.",
            lambda tokens, weight: (
                _gather(tokens, weight) / np.linalg.norm(_gather(tokens, weight), axis=-1, keepdims=True)
            ),
        ),
    ),
)

# --- log_sum_exp -----------------------------------------------------------------------------


def log_sum_exp(logits):
    """log(sum(exp(logits))) over the last axis, without overflow."""
    top = logits.max(axis=-1, keepdims=True)
    return top[..., 0] + np.log(np.exp(logits - top).sum(axis=-1))


def _make_logits(rng: np.random.Generator, B: int, T: int, V: int) -> tuple[Any, ...]:
    """Rows far above and far below 0, each with a forbidden token (-inf)."""
    logits = 3 * rng.normal(size=(B, T, V))
    logits += np.where(np.arange(B * T).reshape(B, T, 1) % 3 == 0, 900.0, rng.choice([-900.0, 0.0], (B, T, 1)))
    if V > 2:
        np.put_along_axis(logits, rng.integers(0, V, (B, T, 1)), -np.inf, axis=-1)
    return (logits.astype(np.float32),)


def _torch_log_sum_exp(logits):
    import torch

    return torch.logsumexp(torch.tensor(logits, dtype=torch.float64), dim=-1).numpy()


def _lse_without_putting_back(logits):
    return log_sum_exp(logits) - logits.max(axis=-1)


def _lse_global(logits):
    top = logits.max()
    return top + np.log(np.exp(logits - top).sum(axis=-1))


LOG_SUM_EXP = Exercise(
    id="log_sum_exp",
    chapter="03",
    title="log-sum-exp that does not overflow",
    task="Compute log(sum(exp(z))) over the last axis for logits of any size.",
    difficulty=2,
    minutes=10,
    reference=log_sum_exp,
    make=_make_logits,
    shapes=(
        {"B": 1, "T": 1, "V": 2},
        {"B": 1, "T": 2, "V": 1},
        {"B": 1, "T": 3, "V": 4},
        {"B": 2, "T": 3, "V": 5},
        {"B": 3, "T": 4, "V": 17},
        {"B": 2, "T": 5, "V": 300},
    ),
    axes=ROW_AXES,
    oracle=_torch_log_sum_exp,
    rtol=1e-5,
    hints=(
        "exp(900) is infinite and exp(-900) is 0, in float32 and in float64. Which number can be taken out of the sum?",
        "exp(z) = exp(m) exp(z - m), so log-sum-exp(z) = m + log(sum(exp(z - m))). With m = the largest logit of the "
        "row no exponent is above 0, and one of them is 0.",
        "m = logits.max(axis=-1, keepdims=True)\nreturn m[..., 0] + np.log(np.exp(logits - m).sum(axis=-1))",
    ),
    mistakes=(
        Mistake(
            "Your function takes the exponentials as they are, so that they overflow or vanish.",
            "Subtract the largest logit of each row first and add it again after the logarithm.",
            lambda z: np.log(np.exp(z).sum(axis=-1)),
        ),
        Mistake(
            "Your function subtracts the largest logit, but does not add it again.",
            "Softmax does not need it back, log-sum-exp does: m + log(sum(exp(z - m))).",
            _lse_without_putting_back,
        ),
        Mistake(
            "Your function subtracts one maximum for all rows.",
            "Rows that lie far below it vanish: log(0). Each row needs its own maximum (axis=-1, keepdims=True).",
            _lse_global,
        ),
        Mistake(
            "Your function averages instead of summing.",
            "The mean is smaller by log V.",
            lambda z: log_sum_exp(z) - np.log(z.shape[-1]).astype(z.dtype),
        ),
        Mistake(
            "Your function returns the largest logit.",
            "It is a good estimate, never more than log V too small; what is missing is the log of the sum.",
            lambda z: z.max(axis=-1),
        ),
        Mistake(
            "Your function takes the logarithm to base 2.",
            "The exponential has base e: np.log belongs to np.exp.",
            lambda z: z.max(axis=-1) + (log_sum_exp(z) - z.max(axis=-1)) / np.float32(math.log(2)),
        ),
    ),
)

# --- shift_targets ---------------------------------------------------------------------------


def shift_targets(tokens, pad_id, ignore_id):
    """What each position has to predict: the token behind it."""
    targets = np.full_like(tokens, ignore_id)
    targets[:, :-1] = np.where(tokens[:, 1:] == pad_id, ignore_id, tokens[:, 1:])
    return targets


def _make_tokens(rng: np.random.Generator, B: int, T: int) -> tuple[Any, ...]:
    """Sequences of different lengths, filled up with padding on the right; and padding in front of one."""
    pad_id, ignore_id = int(rng.integers(0, 3)), -100
    tokens = rng.integers(3, 20, (B, T))
    for b in range(1, B):
        tokens[b, T - int(rng.integers(0, T)) :] = pad_id
    if B > 2 and T > 3:
        tokens[-1] = rng.integers(3, 20, T)
        tokens[-1, :2] = pad_id
    if T > 2:
        tokens[0, -1] = pad_id
    return tokens, pad_id, ignore_id


def _shift_rolled(tokens, pad_id, ignore_id):
    targets = np.roll(tokens, -1, axis=1)
    return np.where(targets == pad_id, ignore_id, targets)


def _shift_back(tokens, pad_id, ignore_id):
    targets = np.full_like(tokens, ignore_id)
    targets[:, 1:] = np.where(tokens[:, :-1] == pad_id, ignore_id, tokens[:, :-1])
    return targets


def _shift_flat(tokens, pad_id, ignore_id):
    flat = np.append(tokens.reshape(-1)[1:], ignore_id).reshape(tokens.shape)
    return np.where(flat == pad_id, ignore_id, flat)


def _shift_mask_input(tokens, pad_id, ignore_id):
    targets = np.full_like(tokens, ignore_id)
    targets[:, :-1] = np.where(tokens[:, :-1] == pad_id, ignore_id, tokens[:, 1:])
    return targets


def _shift_keeps_padding(tokens, pad_id, ignore_id):
    targets = np.full_like(tokens, ignore_id)
    targets[:, :-1] = tokens[:, 1:]
    return targets


SHIFT = Exercise(
    id="shift_targets",
    chapter="03",
    title="Which token is the target",
    task="Give every position the token behind it as its target; the last one and padding have none.",
    difficulty=1,
    minutes=8,
    reference=shift_targets,
    make=_make_tokens,
    shapes=(
        {"B": 1, "T": 2},
        {"B": 1, "T": 1},
        {"B": 2, "T": 3},
        {"B": 3, "T": 5},
        {"B": 4, "T": 12},
    ),
    axes=ROW_AXES,
    exact=True,
    hints=(
        "Row t of the logits predicts token t + 1. The last row has nothing to predict that is known.",
        "Begin with an array full of ignore_id and write into its first T - 1 columns. Padding is a matter of the "
        "target: compare the target with pad_id, not the input.",
        "targets = np.full_like(tokens, ignore_id)\n"
        "targets[:, :-1] = tokens[:, 1:]\n"
        "targets[targets == pad_id] = ignore_id",
    ),
    mistakes=(
        Mistake(
            "Your function gives every position its own token as the target.",
            "The model would learn to copy its input. Position t has to predict token t + 1.",
            lambda tokens, pad_id, ignore_id: np.where(tokens == pad_id, ignore_id, tokens),
        ),
        Mistake(
            "Your function shifts in the wrong direction: the target is the token before.",
            "The model has seen that one. targets[:, :-1] = tokens[:, 1:].",
            _shift_back,
        ),
        Mistake(
            "Your function lets the last position predict the first token.",
            "np.roll moves in a circle. The last column has no target: ignore_id.",
            _shift_rolled,
        ),
        Mistake(
            "Your function lets the last position predict the first token of the next sequence.",
            "The rows of a batch have nothing to do with one another: shift along axis 1, not in a flat array.",
            _shift_flat,
        ),
        Mistake(
            "Your function ignores the places where the input is padding, not those where the target is.",
            "The last real token of a sequence would have to predict padding, which should not be learned.",
            _shift_mask_input,
        ),
        Mistake(
            "Your function keeps padding as a target.",
            "Targets that are pad_id become ignore_id: filling is no text.",
            _shift_keeps_padding,
        ),
    ),
)

# --- cross_entropy_loss ----------------------------------------------------------------------


def _target_logprobs(logits, targets, counted):
    """log p of each target; 0 where there is none."""
    safe = np.where(counted, targets, 0)
    chosen = np.take_along_axis(logits, safe[..., None], axis=-1)[..., 0]
    top = logits.max(axis=-1)  # taken from both, so that nothing of the small difference is lost
    return np.where(counted, (chosen - top) - log_sum_exp(logits - top[..., None]), 0)


def cross_entropy_loss(logits, targets, ignore_id):
    """The mean of -log p(target) over the targets that count."""
    counted = targets != ignore_id
    return -_target_logprobs(logits, targets, counted).sum() / counted.sum()


def _make_loss(rng: np.random.Generator, B: int, T: int, V: int) -> tuple[Any, ...]:
    """Rows far from 0, targets of which some are ignored, not equally many in each row.

    The first target is never likely, so that the loss is not near 0, where rounding would decide.
    """
    if V < 2:
        raise ValueError("with one token there is nothing to choose")
    logits = 4 * rng.normal(size=(B, T, V)) + rng.choice([-900.0, 0.0, 900.0], (B, T, 1))
    targets = rng.integers(0, V, (B, T))
    ignore_id = -1 if V % 2 == 0 else -100
    unlikely = 60.0 if B * T > 1 else 2.0  # exp(-60) + 1e-9 is 1e-9
    logits[0, 0, targets[0, 0]] = np.delete(logits[0, 0], targets[0, 0]).max() - unlikely
    if B * T > 1:
        targets[-1, -1] = ignore_id
    if T > 3:
        targets[-1, T // 2 :] = ignore_id
    return logits.astype(np.float32), targets, ignore_id


def _torch_loss(logits, targets, ignore_id):
    import torch

    flat = torch.tensor(logits, dtype=torch.float64).reshape(-1, logits.shape[-1])
    return torch.nn.functional.cross_entropy(flat, torch.tensor(targets).reshape(-1), ignore_index=ignore_id).numpy()


def _loss_per_row(logits, targets, ignore_id):
    counted = targets != ignore_id
    sums = -_target_logprobs(logits, targets, counted).sum(axis=1)
    rows = counted.any(axis=1)
    return (sums[rows] / counted.sum(axis=1)[rows]).mean()


def _loss_naive(logits, targets, ignore_id):
    p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    counted = targets != ignore_id
    chosen = np.take_along_axis(p, np.where(counted, targets, 0)[..., None], axis=-1)[..., 0]
    return -np.log(chosen[counted]).mean()


def _loss_floored(logits, targets, ignore_id):
    counted = targets != ignore_id
    return -np.log(np.exp(_target_logprobs(logits, targets, counted)[counted]) + 1e-9).mean()


def _loss_with_ignored(logits, targets, ignore_id):
    """ignore_id as an index: -1 is the last token for NumPy."""
    return cross_entropy_loss(logits, targets % logits.shape[-1], -(10**6))


CROSS_ENTROPY = Exercise(
    id="cross_entropy_loss",
    chapter="03",
    title="Cross-entropy",
    task="Compute the mean of -log p(target), leaving out the targets that are ignore_id.",
    difficulty=2,
    minutes=15,
    reference=cross_entropy_loss,
    make=_make_loss,
    rtol=1e-3,  # in float32, log-sum-exp near 900 is known to 6e-5
    shapes=(
        {"B": 1, "T": 2, "V": 2},
        {"B": 1, "T": 1, "V": 3},
        {"B": 1, "T": 3, "V": 4},
        {"B": 2, "T": 5, "V": 6},
        {"B": 3, "T": 4, "V": 11},
        {"B": 2, "T": 9, "V": 200},
    ),
    oracle=_torch_loss,
    hints=(
        "-log p(target) = log-sum-exp(logits) - logit of the target. No softmax is needed, and nothing overflows.",
        "ignore_id is no index (-1 would take the last token in silence): replace it by 0 before you look up, and "
        "leave these places out of the sum and out of the count.",
        "counted = targets != ignore_id\n"
        "chosen = np.take_along_axis(logits, np.where(counted, targets, 0)[..., None], -1)[..., 0]\n"
        "losses = log_sum_exp(logits) - chosen                  # (B, T)\n"
        "return losses[counted].mean()",
    ),
    mistakes=(
        Mistake(
            "Your function takes the exponentials of the logits as they are, so that they overflow or vanish.",
            "Work with log-sum-exp, which takes the largest logit of every row out first.",
            _loss_naive,
        ),
        Mistake(
            "Your function divides by the number of all positions, ignored ones included.",
            "A batch with much padding would seem easy: divide by the number of targets that count.",
            lambda z, t, i: cross_entropy_loss(z, t, i) * (t != i).sum() / t.size,
        ),
        Mistake(
            "Your function counts ignored targets as a token of the vocabulary.",
            "NumPy reads the index -1 as the last token, in silence. Leave these places out.",
            _loss_with_ignored,
        ),
        Mistake(
            "Your function adds the losses up and does not divide.",
            "The mean does not depend on how much text a batch holds.",
            lambda z, t, i: cross_entropy_loss(z, t, i) * (t != i).sum(),
        ),
        Mistake(
            "Your function averages each sequence first and then the averages.",
            "Tokens of short sequences would weigh more. Every token that counts has the same weight.",
            _loss_per_row,
        ),
        Mistake(
            "Your function adds a small number before it takes the logarithm: -log(p + 1e-9).",
            "Very unlikely targets would all have a loss of 20.7, and a wrong gradient. log-sum-exp needs no such "
            "help.",
            _loss_floored,
        ),
        Mistake(
            "Your function measures in bits: it takes the logarithm to base 2.",
            "The loss is in nats, natural logarithm; perplexity and bits per byte are computed from it.",
            lambda z, t, i: cross_entropy_loss(z, t, i) / np.float32(math.log(2)),
        ),
        Mistake(
            "Your function returns the mean log-probability: the sign is turned.",
            "A loss falls as the model gets better, so it is minus the logarithm.",
            lambda z, t, i: -cross_entropy_loss(z, t, i),
        ),
    ),
)

# --- cross_entropy_backward ------------------------------------------------------------------


def cross_entropy_backward(logits, targets, ignore_id):
    """(softmax - one-hot) / number of targets that count; 0 in rows that do not."""
    counted = targets != ignore_id
    dlogits = np.exp(logits - logits.max(axis=-1, keepdims=True))
    dlogits /= dlogits.sum(axis=-1, keepdims=True)
    hot = np.where(counted, targets, 0)[..., None]
    np.put_along_axis(dlogits, hot, np.take_along_axis(dlogits, hot, -1) - 1, axis=-1)
    return dlogits * counted[..., None] / np.asarray(counted.sum(), logits.dtype)


def _torch_backward(logits, targets, ignore_id):
    import torch

    z = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    torch.nn.functional.cross_entropy(
        z.reshape(-1, z.shape[-1]), torch.tensor(targets).reshape(-1), ignore_index=ignore_id
    ).backward()
    assert z.grad is not None
    return z.grad.numpy()


def _backward_scaled(factor):
    def function(logits, targets, ignore_id):
        share = factor(targets, (targets != ignore_id).sum())
        return cross_entropy_backward(logits, targets, ignore_id) * np.asarray(share, logits.dtype)

    return function


def _backward_softmax_only(logits, targets, ignore_id):
    counted = targets != ignore_id
    p = np.exp(logits - log_sum_exp(logits)[..., None])
    return p * counted[..., None] / np.asarray(counted.sum(), logits.dtype)


def _backward_with_ignored(logits, targets, ignore_id):
    """Rows without a target keep softmax - 0."""
    counted = targets != ignore_id
    p = np.exp(logits - log_sum_exp(logits)[..., None]) / np.asarray(counted.sum(), logits.dtype)
    return np.where(counted[..., None], cross_entropy_backward(logits, targets, ignore_id), p)


def _backward_of_target_only(logits, targets, ignore_id):
    """The other tokens get no gradient."""
    d = cross_entropy_backward(logits, targets, ignore_id)
    hot = np.arange(logits.shape[-1]) == targets[..., None]
    return np.where(hot, d, 0)


CROSS_ENTROPY_BACKWARD = Exercise(
    id="cross_entropy_backward",
    chapter="03",
    title="The gradient of the logits",
    task="Compute the gradient of the mean cross-entropy with respect to the logits.",
    difficulty=2,
    minutes=15,
    reference=cross_entropy_backward,
    make=_make_loss,
    rtol=1e-3,
    shapes=(
        {"B": 1, "T": 2, "V": 2},
        {"B": 1, "T": 1, "V": 3},
        {"B": 1, "T": 3, "V": 4},
        {"B": 2, "T": 5, "V": 6},
        {"B": 3, "T": 4, "V": 11},
        {"B": 2, "T": 9, "V": 60},
    ),
    axes=LOGIT_AXES,
    oracle=_torch_backward,
    hints=(
        "The loss of one row is log-sum-exp(z) - z[target]. What is the derivative of log-sum-exp by one logit?",
        "It is that token's softmax. The other term gives -1 at the target. So a row is softmax(z) minus one-hot, and "
        "the mean divides it by the number of targets that count; rows without target are 0.",
        "p = np.exp(logits - log_sum_exp(logits)[..., None])\n"
        "one_hot = np.arange(V) == targets[..., None]\n"
        "return (p - one_hot) * counted[..., None] / counted.sum()",
    ),
    mistakes=(
        Mistake(
            "Your function does not divide by the number of targets.",
            "The loss is a mean: each of its n terms has weight 1/n, and so has its gradient.",
            _backward_scaled(lambda targets, n: n),
        ),
        Mistake(
            "Your function divides by the number of all positions, ignored ones included.",
            "The mean goes over the targets that count: divide by their number.",
            _backward_scaled(lambda targets, n: n / targets.size),
        ),
        Mistake(
            "Your function has the sign turned: one-hot minus softmax.",
            "A step against the gradient must raise the target's logit, so its gradient is negative: p - 1.",
            _backward_scaled(lambda targets, n: -1),
        ),
        Mistake(
            "Your function returns the softmax and does not subtract 1 at the target.",
            "The term -z[target] of the loss has a derivative, too. Each row of the gradient adds up to 0.",
            _backward_softmax_only,
        ),
        Mistake(
            "Your function gives ignored positions a gradient.",
            "They are no part of the loss: their rows are 0.",
            _backward_with_ignored,
        ),
        Mistake(
            "Your function gives only the target a gradient.",
            "All logits are in the sum of the softmax: those of the other tokens have to fall.",
            _backward_of_target_only,
        ),
    ),
)

# --- perplexity ------------------------------------------------------------------------------


def perplexity(logprobs, counted):
    """exp of the mean of -log p over all tokens that count."""
    return np.exp(-(logprobs * counted).sum() / counted.sum())


def _make_logprobs(rng: np.random.Generator, B: int, T: int) -> tuple[Any, ...]:
    """log p of the tokens of several texts of different lengths; places without token hold numbers as well."""
    logprobs = -rng.exponential(1.5 + 2 * rng.random((B, 1)), (B, T))
    lengths = rng.integers(1, T + 1, B)
    lengths[0] = T
    counted = np.arange(T) < lengths[:, None]
    if T > 2:
        counted[0, 0] = False
    return logprobs.astype(np.float32), counted


def _row_means(logprobs, counted):
    return -(logprobs * counted).sum(axis=1) / counted.sum(axis=1)


PERPLEXITY = Exercise(
    id="perplexity",
    chapter="03",
    title="Perplexity of a corpus",
    task="Compute the perplexity of several texts together from the log-probabilities of their tokens.",
    difficulty=1,
    minutes=8,
    reference=perplexity,
    make=_make_logprobs,
    shapes=(
        {"B": 1, "T": 2},
        {"B": 1, "T": 1},
        {"B": 2, "T": 3},
        {"B": 3, "T": 8},
        {"B": 5, "T": 40},
    ),
    hints=(
        "Perplexity is exp of the mean loss. The mean goes over all tokens of all texts.",
        "logprobs * counted leaves out what does not count; counted.sum() is the number of tokens.",
        "return np.exp(-logprobs[counted].mean())",
    ),
    mistakes=(
        Mistake(
            "Your function returns the mean loss.",
            "Perplexity is its exponential: among how many equally likely tokens the model might be choosing.",
            lambda lp, c: -(lp * c).sum() / c.sum(),
        ),
        Mistake(
            "Your function takes 2 to the power of a loss in nats.",
            "The base belongs to the logarithm: log-probabilities are natural, so use exp.",
            lambda lp, c: 2 ** (-(lp * c).sum() / c.sum()),
        ),
        Mistake(
            "Your function averages the probabilities and turns the average over.",
            "Perplexity is the geometric mean of 1/p: average the logarithms, then take exp.",
            lambda lp, c: 1 / np.exp(lp[c]).mean(),
        ),
        Mistake(
            "Your function averages the perplexities of the tokens, 1/p.",
            "One unlikely token would decide everything. The mean of the logarithms comes first, exp last.",
            lambda lp, c: np.exp(-lp[c]).mean(),
        ),
        Mistake(
            "Your function averages the perplexities of the texts.",
            "Perplexities do not average: add up the losses of all tokens, divide once, take exp once.",
            lambda lp, c: np.exp(_row_means(lp, c)).mean(),
        ),
        Mistake(
            "Your function averages each text first, so that tokens of short texts weigh more.",
            "Divide the sum over all texts by the number of all tokens.",
            lambda lp, c: np.exp(_row_means(lp, c).mean()),
        ),
        Mistake(
            "Your function counts the places that are no tokens as well.",
            "Where counted is False the number in logprobs means nothing: leave it out of sum and count.",
            lambda lp, c: np.exp(-lp.mean()),
        ),
        Mistake(
            "Your function divides by the number of all places, not by that of the tokens.",
            "Padding would make the text look easier: divide by counted.sum().",
            lambda lp, c: np.exp(-(lp * c).sum() / c.size),
        ),
    ),
)

# --- bits_per_byte ---------------------------------------------------------------------------


def bits_per_byte(logprobs, text):
    """The bits that the model needs for one byte of the text."""
    return -logprobs.sum() / (np.log(2) * len(text.encode("utf-8")))


def _make_text(rng: np.random.Generator, tokens: int, characters: int) -> tuple[Any, ...]:
    """A text with characters of one to four bytes."""
    text = "".join(rng.choice(list("ab né世🙂"), characters).tolist())
    return (-rng.exponential(2.0, tokens)).astype(np.float32), "é" + text


BITS_PER_BYTE = Exercise(
    id="bits_per_byte",
    chapter="03",
    title="Bits per byte",
    task="Compute how many bits the model needs for one byte of a text, whatever its tokenizer.",
    difficulty=1,
    minutes=8,
    reference=bits_per_byte,
    make=_make_text,
    shapes=(
        {"tokens": 2, "characters": 1},
        {"tokens": 1, "characters": 2},
        {"tokens": 3, "characters": 7},
        {"tokens": 12, "characters": 5},
        {"tokens": 40, "characters": 130},
    ),
    hints=(
        "The sum of -log p is what the whole text costs, in nats. It does not depend on how the text was cut.",
        "One bit is log 2 nats. The bytes of a text are those of its UTF-8 form.",
        'return -logprobs.sum() / np.log(2) / len(text.encode("utf-8"))',
    ),
    mistakes=(
        Mistake(
            "Your function divides by the number of characters.",
            "é is one character and two bytes: len(text.encode('utf-8')).",
            lambda lp, text: -lp.sum() / (np.log(2) * len(text)),
        ),
        Mistake(
            "Your function divides by the number of tokens: bits per token.",
            "A tokenizer with longer tokens has more bits for each. Bytes are the same for every model.",
            lambda lp, text: -lp.mean() / np.log(2),
        ),
        Mistake(
            "Your function measures in nats.",
            "Divide by log 2 to have bits.",
            lambda lp, text: -lp.sum() / len(text.encode()),
        ),
        Mistake(
            "Your function multiplies by log 2, where it has to divide.",
            "One nat is 1 / log 2 = 1.44 bits: the number in bits is the larger one.",
            lambda lp, text: -lp.sum() * np.log(2) / len(text.encode()),
        ),
        Mistake(
            "Your function divides the mean by the bytes, not the sum.",
            "All tokens together describe all bytes: use the sum.",
            lambda lp, text: -lp.mean() / (np.log(2) * len(text.encode())),
        ),
        Mistake(
            "Your function returns the inverse: bytes per bit.",
            "Bits divided by bytes: a better model has a smaller number.",
            lambda lp, text: -np.log(2) * len(text.encode()) / lp.sum(),
        ),
    ),
)

EXERCISES = (GATHER, LOG_SUM_EXP, SHIFT, CROSS_ENTROPY, CROSS_ENTROPY_BACKWARD, PERPLEXITY, BITS_PER_BYTE)
