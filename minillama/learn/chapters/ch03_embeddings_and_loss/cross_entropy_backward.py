"""The gradient of the logits."""

from __future__ import annotations

import numpy as np

from ...exercises.exercise import exercise
from .inputs import make_loss
from .log_sum_exp import log_sum_exp

LOGIT_AXES = ("batch", "position", "token")


def plain_cross_entropy_backward(logits, targets, ignore_id):
    """(softmax - one-hot) / number of targets that count; 0 in rows that do not."""
    counted = targets != ignore_id
    dlogits = np.exp(logits - logits.max(axis=-1, keepdims=True))
    dlogits /= dlogits.sum(axis=-1, keepdims=True)
    hot = np.where(counted, targets, 0)[..., None]
    np.put_along_axis(dlogits, hot, np.take_along_axis(dlogits, hot, -1) - 1, axis=-1)
    return dlogits * counted[..., None] / np.asarray(counted.sum(), logits.dtype)


def torch_backward(logits, targets, ignore_id):
    import torch

    z = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    torch.nn.functional.cross_entropy(
        z.reshape(-1, z.shape[-1]), torch.tensor(targets).reshape(-1), ignore_index=ignore_id
    ).backward()
    assert z.grad is not None
    return z.grad.numpy()


@exercise(
    title="The gradient of the logits",
    task="Compute the gradient of the mean cross-entropy with respect to the logits.",
    difficulty=2,
    minutes=15,
    reference=plain_cross_entropy_backward,
    make=make_loss,
    rtol=1e-3,
    shapes=(
        {"B": 1, "T": 2, "V": 2},
        {"B": 1, "T": 1, "V": 3},
        {"B": 1, "T": 3, "V": 4},
        {"B": 2, "T": 5, "V": 6},
        {"B": 2, "T": 5, "V": 7},
        {"B": 3, "T": 4, "V": 111},
        {"B": 2, "T": 9, "V": 60},
    ),
    axes=LOGIT_AXES,
    oracle=torch_backward,
    hints=(
        "The loss of one row is log-sum-exp(z) - z[target]. What is the derivative of log-sum-exp by one logit?",
        "It is that token's softmax. The other term gives -1 at the target. So a row is softmax(z) minus one-hot, and "
        "the mean divides it by the number of targets that count; rows without target are 0.",
        "p = np.exp(logits - log_sum_exp(logits)[..., None])\n"
        "one_hot = np.arange(V) == targets[..., None]\n"
        "return (p - one_hot) * counted[..., None] / counted.sum()",
    ),
    why=(
        "The derivative of lse is the softmax, that of the chosen logit is 1: the gradient is what was predicted "
        "minus what came. Each row sums to 0, so what one token gains the others lose. The division by n belongs to "
        "it because the loss is a mean."
    ),
)
def cross_entropy_backward(logits, targets, ignore_id):
    """The gradient of `cross_entropy_loss` with respect to the logits.

    dlogits[b, t, v] is how fast that loss, the mean over all targets that count, grows when
    logits[b, t, v] alone is moved.

    Parameters
    ----------
    logits, targets, ignore_id
        As in `cross_entropy_loss`.

    Returns
    -------
    dlogits : ndarray of shape (B, T, V), same dtype as `logits`
    """
    counted = targets != ignore_id
    probabilities = np.exp(logits - log_sum_exp(logits)[..., None])
    one_hot = np.arange(logits.shape[-1]) == targets[..., None]  # (B, T, V)
    dlogits = (probabilities - one_hot) * counted[..., None] / counted.sum()
    return dlogits.astype(logits.dtype)


def backward_scaled(factor):
    def function(logits, targets, ignore_id):
        share = factor(targets, (targets != ignore_id).sum())
        return plain_cross_entropy_backward(logits, targets, ignore_id) * np.asarray(share, logits.dtype)

    return function


cross_entropy_backward.mistake(
    "Your function does not divide by the number of targets.",
    "The loss is a mean: each of its n terms has weight 1/n, and so has its gradient.",
    backward_scaled(lambda targets, n: n),
)

cross_entropy_backward.mistake(
    "Your function divides by the number of all positions, ignored ones included.",
    "The mean goes over the targets that count: divide by their number.",
    backward_scaled(lambda targets, n: n / targets.size),
)

cross_entropy_backward.mistake(
    "Your function has the sign turned: one-hot minus softmax.",
    "A step against the gradient must raise the target's logit, so its gradient is negative: p - 1.",
    backward_scaled(lambda targets, n: -1),
)


@cross_entropy_backward.mistake(
    "Your function returns the softmax and does not subtract 1 at the target.",
    "The term -z[target] of the loss has a derivative, too. Each row of the gradient adds up to 0.",
)
def backward_softmax_only(logits, targets, ignore_id):
    counted = targets != ignore_id
    p = np.exp(logits - log_sum_exp(logits)[..., None])
    return p * counted[..., None] / np.asarray(counted.sum(), logits.dtype)


@cross_entropy_backward.mistake(
    "Your function gives ignored positions a gradient.",
    "They are not part of the loss: their rows are 0.",
)
def backward_with_ignored(logits, targets, ignore_id):
    """Rows without a target keep softmax - 0."""
    counted = targets != ignore_id
    p = np.exp(logits - log_sum_exp(logits)[..., None]) / np.asarray(counted.sum(), logits.dtype)
    return np.where(counted[..., None], plain_cross_entropy_backward(logits, targets, ignore_id), p)


@cross_entropy_backward.mistake(
    "Your function takes ignore_id for a token of the vocabulary.",
    "NumPy reads the index -1 as the last token, in silence. Rows without a target are 0.",
)
def backward_of_ignored_as_token(logits, targets, ignore_id):
    """ignore_id as an index: -1 is the last token for NumPy."""
    return plain_cross_entropy_backward(logits, targets % logits.shape[-1], -(10**6)) * np.asarray(
        targets.size / (targets != ignore_id).sum(), logits.dtype
    )


@cross_entropy_backward.mistake(
    "Your function gives only the target a gradient.",
    "All logits are in the sum of the softmax: those of the other tokens have to fall.",
)
def backward_of_target_only(logits, targets, ignore_id):
    """The other tokens get no gradient."""
    d = plain_cross_entropy_backward(logits, targets, ignore_id)
    hot = np.arange(logits.shape[-1]) == targets[..., None]
    return np.where(hot, d, 0)
