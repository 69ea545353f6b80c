"""AdamW."""

from __future__ import annotations

import math

import numpy as np

from ...exercises.exercise import exercise
from .inputs import Arrays


def make_adamw(rng: np.random.Generator, n: int, t: int) -> Arrays:
    """Gradients from large to tiny, so that eps matters; moments of t - 1 steps before."""
    size = 10 ** rng.uniform(-6, 0, n)
    size[0] = 3e-4
    p, g = rng.normal(size=n), size * rng.normal(size=n)
    past1, past2 = 1 - 0.9 ** (t - 1), 1 - 0.95 ** (t - 1)
    m, v = past1 * size * rng.normal(size=n), past2 * size**2 * rng.uniform(0.5, 2, n)
    arrays = (a.astype(np.float32) for a in (p, g, m, v))
    return *arrays, t, 0.05, 0.9, 0.95, 1e-5, 0.1


def torch_adamw(p, g, m, v, t, lr, beta1, beta2, eps, weight_decay):
    import torch

    parameter = torch.nn.Parameter(torch.tensor(p, dtype=torch.float64))
    parameter.grad = torch.tensor(g, dtype=torch.float64)
    optimizer = torch.optim.AdamW([parameter], lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay)
    moments = (torch.tensor(a, dtype=torch.float64) for a in (m, v))
    optimizer.state[parameter] = dict(zip(("step", "exp_avg", "exp_avg_sq"), (torch.tensor(float(t - 1)), *moments)))
    optimizer.step()
    state = optimizer.state[parameter]
    return parameter.detach().numpy(), state["exp_avg"].numpy(), state["exp_avg_sq"].numpy()


@exercise(
    title="AdamW",
    task="Update number t (from 1) of one tensor: the new p, m and v.",
    difficulty=2,
    minutes=30,
    make=make_adamw,
    shapes=(
        {"n": 3, "t": 1},
        {"n": 1, "t": 2},
        {"n": 4, "t": 3},
        {"n": 9, "t": 10},
        {"n": 50, "t": 200},
    ),
    axes=("number",),
    outputs=("p", "m", "v"),
    oracle=torch_adamw,
    atol=1e-7,
    hints=(
        "Three things: m and v, running means of the gradient and of its square; a step by m over the root of v; and a "
        "decay of p that has nothing to do with the gradient.",
        "m and v begin at 0, so that early on they are too small by 1 - beta**t: divide by it, but keep the undivided "
        "ones for the next step. eps is added after the root. The decay is lr * weight_decay * p.",
        "m = beta1 * m + (1 - beta1) * g\n"
        "v = beta2 * v + (1 - beta2) * g**2\n"
        "m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)\n"
        "p = p - lr * (m_hat / (np.sqrt(v_hat) + eps) + weight_decay * p)",
    ),
    why=(
        "The mean gradient over the root of its mean square makes a step of about lr for every parameter, however "
        "large its gradients are. Both means begin at 0 and are too small at first, by just the factor 1 - beta**t "
        "that they are divided by. Decay acts on p itself, because inside of the quotient it would hardly reach "
        "parameters with large gradients."
    ),
)
def adamw_step(p, g, m, v, t, lr, beta1, beta2, eps, weight_decay):
    """Update number t of one tensor by AdamW.

    m     <- beta1 m + (1 - beta1) g,                v     <- beta2 v + (1 - beta2) g**2
    m_hat  = m / (1 - beta1**t),                     v_hat  = v / (1 - beta2**t)
    p     <- p - lr (m_hat / (sqrt(v_hat) + eps) + weight_decay p)

    Parameters
    ----------
    p, g, m, v : ndarray of shape (n,)
        Parameters, their gradient, and the moments that the last step left.
    t : int
        Counts from 1; m and v were 0 before the first step.
    lr, beta1, beta2, eps, weight_decay : float

    Returns
    -------
    p, m, v : ndarray of shape (n,)
    """
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    return p - lr * (m_hat / (np.sqrt(v_hat) + eps) + weight_decay * p), m, v


# --- parts, for the mistakes


def moments(g, m, v, beta1, beta2):
    return beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g


def corrected(m, v, t, beta1, beta2):
    return m / (1 - beta1**t), v / (1 - beta2**t)


def moved(p, m_hat, v_hat, lr, eps, weight_decay):
    return p - lr * (m_hat / (np.sqrt(v_hat) + eps) + weight_decay * p)


@adamw_step.mistake(
    "Your function has no bias correction.",
    "m and v begin at 0: after one step m is a tenth of the gradient and sqrt(v) 0.22 of it, and the first "
    "steps come out of the wrong size. Divide by 1 - beta**t.",
)
def has_no_bias_correction(p, g, m, v, t, lr, beta1, beta2, eps, weight_decay):
    m, v = moments(g, m, v, beta1, beta2)
    return moved(p, m, v, lr, eps, weight_decay), m, v


@adamw_step.mistake(
    "Your bias correction uses t + 1.",
    "t counts from 1: at the first step m is (1 - beta1) g, and 1 - beta1**1 makes it g.",
)
def corrects_for_a_step_more(p, g, m, v, t, lr, beta1, beta2, eps, weight_decay):
    _, m, v = adamw_step(p, g, m, v, t, lr, beta1, beta2, eps, weight_decay)
    m_hat, v_hat = corrected(m, v, t + 1, beta1, beta2)
    return moved(p, m_hat, v_hat, lr, eps, weight_decay), m, v


@adamw_step.mistake(
    "Your bias correction is late by one step: it uses t - 1.",
    "The step that is being made counts: 1 - beta**t with t = 1 at the first.",
)
def corrects_for_a_step_less(p, g, m, v, t, lr, beta1, beta2, eps, weight_decay):
    _, m, v = adamw_step(p, g, m, v, t, lr, beta1, beta2, eps, weight_decay)
    m_hat, v_hat = corrected(m, v, max(t - 1, 1), beta1, beta2)
    return moved(p, m_hat, v_hat, lr, eps, weight_decay), m, v


@adamw_step.mistake(
    "Your weight decay is added to the gradient: that is Adam with L2, not AdamW.",
    "There the decay is divided by sqrt(v) like the gradient, so that weights with large gradients hardly "
    "decay. In AdamW it is decoupled: p loses lr * weight_decay * p, beside the step.",
)
def adds_the_decay_to_the_gradient(p, g, m, v, t, lr, beta1, beta2, eps, weight_decay):
    return adamw_step(p, g + weight_decay * p, m, v, t, lr, beta1, beta2, eps, 0.0)


@adamw_step.mistake(
    "Your weight decay is not multiplied by the learning rate.",
    "p <- p - lr * (step + weight_decay * p): the schedule governs the decay too.",
)
def decays_without_the_learning_rate(p, g, m, v, t, lr, beta1, beta2, eps, weight_decay):
    return adamw_step(p, g, m, v, t, lr, beta1, beta2, eps, weight_decay / lr)


@adamw_step.mistake(
    "Your function does not decay the weights.",
    "That is Adam. The W is the term - lr * weight_decay * p.",
)
def does_not_decay(p, g, m, v, t, lr, beta1, beta2, eps, weight_decay):
    return adamw_step(p, g, m, v, t, lr, beta1, beta2, eps, 0.0)


@adamw_step.mistake(
    "Your function decays what the step has made of p, not p as it was.",
    "Both terms are made of the old p: p <- p - lr * step - lr * weight_decay * p. (PyTorch decays first, "
    "which is the same.)",
)
def decays_what_the_step_has_made(p, g, m, v, t, lr, beta1, beta2, eps, weight_decay):
    stepped, m, v = adamw_step(p, g, m, v, t, lr, beta1, beta2, eps, 0.0)
    return stepped - lr * weight_decay * stepped, m, v


@adamw_step.mistake(
    "Your eps is inside the root.",
    "sqrt(v_hat + 1e-5) is never below 0.003, which slows down all small gradients. AdamW has sqrt(v_hat) + "
    "eps. (RMSNorm is the one with eps inside.)",
)
def takes_eps_into_the_root(p, g, m, v, t, lr, beta1, beta2, eps, weight_decay):
    m, v = moments(g, m, v, beta1, beta2)
    m_hat, v_hat = corrected(m, v, t, beta1, beta2)
    return p - lr * (m_hat / np.sqrt(v_hat + eps) + weight_decay * p), m, v


@adamw_step.mistake(
    "Your eps is added to sqrt(v) before the bias correction.",
    "It is sqrt(v_hat) + eps, with the corrected v.",
)
def adds_eps_before_the_correction(p, g, m, v, t, lr, beta1, beta2, eps, weight_decay):
    m, v = moments(g, m, v, beta1, beta2)
    m_hat, _ = corrected(m, v, t, beta1, beta2)
    root = (np.sqrt(v) + eps) / math.sqrt(1 - beta2**t)
    return p - lr * (m_hat / root + weight_decay * p), m, v


@adamw_step.mistake(
    "Your two betas are exchanged.",
    "beta1 = 0.9 belongs to m, beta2 = 0.95 to v.",
)
def exchanges_the_betas(p, g, m, v, t, lr, beta1, beta2, eps, weight_decay):
    return adamw_step(p, g, m, v, t, lr, beta2, beta1, eps, weight_decay)


@adamw_step.mistake(
    "Your m adds the whole gradient: the factor 1 - beta1 is missing.",
    "m is a running mean: beta1 of the old one and 1 - beta1 of the new gradient.",
)
def adds_the_whole_gradient_to_m(p, g, m, v, t, lr, beta1, beta2, eps, weight_decay):
    m, v = beta1 * m + g, moments(g, m, v, beta1, beta2)[1]
    m_hat, v_hat = corrected(m, v, t, beta1, beta2)
    return moved(p, m_hat, v_hat, lr, eps, weight_decay), m, v


@adamw_step.mistake(
    "Your function returns the corrected moments, m_hat and v_hat.",
    "They are for this step. What is kept for the next one is m and v as they are, or the correction would "
    "be made again and again.",
)
def returns_the_corrected_moments(p, g, m, v, t, lr, beta1, beta2, eps, weight_decay):
    p, m, v = adamw_step(p, g, m, v, t, lr, beta1, beta2, eps, weight_decay)
    return p, *corrected(m, v, t, beta1, beta2)


@adamw_step.mistake(
    "Your v averages the gradient, not its square.",
    "v is the running mean of g**2: it measures size, and is never negative.",
)
def averages_the_gradient_in_v(p, g, m, v, t, lr, beta1, beta2, eps, weight_decay):
    m, v = moments(g, m, v, beta1, beta2)[0], beta2 * v + (1 - beta2) * g
    m_hat, v_hat = corrected(m, v, t, beta1, beta2)
    return moved(p, m_hat, np.abs(v_hat), lr, eps, weight_decay), m, v


@adamw_step.mistake(
    "Your function goes uphill: it adds the step.",
    "The gradient points to where the loss grows: subtract.",
)
def goes_uphill(p, g, m, v, t, lr, beta1, beta2, eps, weight_decay):
    down, m, v = adamw_step(p, g, m, v, t, lr, beta1, beta2, eps, 0.0)
    return 2 * p - down - lr * weight_decay * p, m, v
