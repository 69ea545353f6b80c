"""Overfit one batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....config import ModelConfig
from ....ops import REFERENCE as ops
from ....params import init_params, named_arrays
from ....training.gradients import loss_and_gradients
from ....trees import map_tree
from ...exercises.exercise import exercise
from .inputs import Arrays


def make_overfit(rng: np.random.Generator, n_layers: int, dim: int, B: int, T: int, n_steps: int) -> Arrays:
    """A small model, large random weights, and one batch of random tokens."""
    if dim % 8:
        raise ValueError("dim must be a multiple of 8")
    config = ModelConfig(
        dim=dim, n_layers=n_layers, n_heads=4, n_kv_heads=2, hidden_dim=2 * dim, vocab_size=11, max_seq_len=T
    )
    params = map_tree(lambda a: a if a.ndim == 1 else 8 * a, init_params(config, rng))
    text = rng.integers(0, config.vocab_size, (B, T + 1))
    return params, config, text[:, :-1].copy(), text[:, 1:].copy(), n_steps, 0.5


def observe_losses(function, args):
    """The losses, and what has become of the parameters that were given."""
    losses = function(*args)
    parameters = np.concatenate([np.ravel(p) for _, p in named_arrays(args[0])])
    return losses if losses is None else np.asarray(losses, np.float64), parameters


@exercise(
    title="Overfit one batch",
    task="A training loop: n_steps of gradient descent on one batch. Return the losses before each and at the end.",
    writes_to=("params",),
    difficulty=2,
    minutes=25,
    make=make_overfit,
    observe=observe_losses,
    shapes=(
        {"n_layers": 1, "dim": 8, "B": 2, "T": 4, "n_steps": 3},
        {"n_layers": 1, "dim": 8, "B": 1, "T": 1, "n_steps": 1},
        {"n_layers": 2, "dim": 8, "B": 3, "T": 5, "n_steps": 6},
        {"n_layers": 1, "dim": 16, "B": 2, "T": 6, "n_steps": 30},
    ),
    axes=("step",),
    outputs=("losses", "parameters after the call"),
    rtol=2e-3,
    atol=1e-4,
    hints=(
        "loss_and_gradients gives the loss and a tree of gradients that looks like params. named_arrays goes through "
        "both in the same order.",
        "Change the arrays themselves: p -= learning_rate * g works in place, p = p - learning_rate * g gives a new "
        "array to a local name and leaves the model as it was.",
        "for _ in range(n_steps):\n"
        "    loss, gradients = loss_and_gradients(params, config, tokens, targets, ops=REFERENCE)\n"
        "    losses.append(loss)\n"
        "    for (_, p), (_, g) in zip(named_arrays(params), named_arrays(gradients)):\n"
        "        p -= learning_rate * g",
    ),
    why=(
        "Knowing one batch by heart takes nothing but a right gradient, so a loss that does not fall points to an "
        "error in the code and not to the data. Arrays are changed in place, because the caller wants the model and "
        "not only its losses. Between and around n updates there are n + 1 losses, so one more is computed at the "
        "end."
    ),
)
def overfit(params, config, tokens, targets, n_steps, learning_rate):
    """Train on one batch by plain gradient descent until the model knows it by heart.

    The first test of any training code: a model that cannot learn one batch learns nothing. At hand are

        from minillama.ops import REFERENCE                      plain NumPy: nothing to wait for
        from minillama.params import named_arrays                pairs (name, array) of every parameter
        from minillama.training.gradients import loss_and_gradients

        loss, gradients = loss_and_gradients(params, config, tokens, targets, ops=REFERENCE)

    `gradients` is a tree like params. The update is p <- p - learning_rate * g, for every array, in place.

    Parameters
    ----------
    params : Params
        Changed in place.
    config : ModelConfig
    tokens, targets : integer ndarray of shape (B, T)
        targets[b, t] is the token that follows tokens[b, t].
    n_steps : int
    learning_rate : float

    Returns
    -------
    losses : list of n_steps + 1 floats
        Before the first update, before the second ... and after the last.
    """
    losses = []
    for _ in range(n_steps):
        loss, gradients = loss_and_gradients(params, config, tokens, targets, ops=ops)
        losses.append(loss)
        for (_, p), (_, g) in zip(named_arrays(params), named_arrays(gradients)):
            p -= learning_rate * g
    losses.append(loss_and_gradients(params, config, tokens, targets, ops=ops)[0])
    return losses


def descend(
    params,
    config,
    tokens,
    targets,
    n_steps,
    learning_rate,
    changed=lambda gradients: gradients,
    only=lambda name, p: True,
):
    """The loop with other gradients, or with an update of some arrays only."""
    losses = []
    for _ in range(n_steps):
        loss, gradients = loss_and_gradients(params, config, tokens, targets, ops=ops)
        losses.append(loss)
        for (name, p), (_, g) in zip(named_arrays(params), named_arrays(changed(gradients))):
            if only(name, p):
                p -= learning_rate * g
    return [*losses, loss_and_gradients(params, config, tokens, targets, ops=ops)[0]]


@overfit.mistake(
    "Your parameters never change: all losses are the same.",
    "p = p - learning_rate * g makes a new array and lets the local name p point to it. Write into the "
    "array: p -= learning_rate * g, or p[...] = ...",
)
def never_changes_the_parameters(params, config, tokens, targets, n_steps, learning_rate):
    return overfit(params, config, tokens, targets, n_steps, 0.0)


@overfit.mistake(
    "Your loop goes uphill: the gradient is added.",
    "The gradient points to where the loss grows: subtract it.",
)
def goes_uphill(params, config, tokens, targets, n_steps, learning_rate):
    return overfit(params, config, tokens, targets, n_steps, -learning_rate)


@overfit.mistake(
    "Your loop adds up the gradients of all steps so far.",
    "Each update takes the gradient at the present parameters. (In PyTorch this is the forgotten zero_grad.)",
)
def adds_up_the_gradients(params, config, tokens, targets, n_steps, learning_rate):
    total: list[Any] = []

    def so_far(gradients):
        total.append(gradients if not total else map_tree(np.add, total[-1], gradients))
        return total[-1]

    return descend(params, config, tokens, targets, n_steps, learning_rate, so_far)


@overfit.mistake(
    "Your loop computes the gradient once and then uses it again and again.",
    "After an update the gradient is another one: call loss_and_gradients inside of the loop.",
)
def uses_the_first_gradient_again(params, config, tokens, targets, n_steps, learning_rate):
    first: list[Any] = []

    def of_the_first_step(gradients):
        first.append(gradients)
        return first[0]

    return descend(params, config, tokens, targets, n_steps, learning_rate, of_the_first_step)


@overfit.mistake(
    "Your targets are the tokens themselves, not shifted by one.",
    "The model then learns to repeat what it reads, and the loss falls all the same. Pass `targets`.",
)
def does_not_shift_the_targets(params, config, tokens, targets, n_steps, learning_rate):
    return overfit(params, config, tokens, tokens, n_steps, learning_rate)


@overfit.mistake(
    "Your step is divided by the number of sequences.",
    "The loss is a mean over the batch already, and so is its gradient.",
)
def divides_the_step_by_the_sequences(params, config, tokens, targets, n_steps, learning_rate):
    return overfit(params, config, tokens, targets, n_steps, learning_rate / len(tokens))


@overfit.mistake(
    "Your loop updates the layers, but neither embedding nor last norm nor head.",
    "named_arrays(params) goes through all; params.layers is a part of them.",
)
def updates_the_layers_only(params, config, tokens, targets, n_steps, learning_rate):
    return descend(
        params, config, tokens, targets, n_steps, learning_rate, only=lambda name, p: name.startswith("layers.")
    )


@overfit.mistake(
    "Your loop does not update the norms' weights.",
    "They are exempt from weight decay, not from training.",
)
def does_not_update_the_norms(params, config, tokens, targets, n_steps, learning_rate):
    return descend(params, config, tokens, targets, n_steps, learning_rate, only=lambda name, p: p.ndim >= 2)


@overfit.mistake(
    "Your function does not return the loss after the last update.",
    "n_steps + 1 losses: one before each update and one at the end, or nobody knows what the last one did.",
)
def leaves_out_the_last_loss(params, config, tokens, targets, n_steps, learning_rate):
    return overfit(params, config, tokens, targets, n_steps, learning_rate)[:-1]


@overfit.mistake(
    "Your function trains a copy: the parameters that it was given have not changed.",
    "Whoever called it wants the trained model: write into the arrays of `params` themselves.",
)
def trains_a_copy(params, config, tokens, targets, n_steps, learning_rate):
    return overfit(map_tree(np.copy, params), config, tokens, targets, n_steps, learning_rate)


@overfit.mistake(
    "Your function makes one update too many.",
    "n_steps updates and n_steps + 1 losses: the last loss is taken after the last update.",
)
def makes_one_update_too_many(params, config, tokens, targets, n_steps, learning_rate):
    return overfit(params, config, tokens, targets, n_steps + 1, learning_rate)[:-1]


@overfit.mistake(
    "Your last loss stands first.",
    "The losses come in the order of time: before the first update, ..., after the last.",
)
def puts_the_last_loss_first(params, config, tokens, targets, n_steps, learning_rate):
    *losses, last = overfit(params, config, tokens, targets, n_steps, learning_rate)
    return [last, *losses]
