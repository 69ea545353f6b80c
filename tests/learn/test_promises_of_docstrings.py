"""What the docstrings of chapters 00 to 08 promise of sizes, borders, order and dtype: the cases try it."""

import numpy as np
import pytest

from minillama.learn.chapters.catalogue import get_exercise
from minillama.learn.diagnosis.check import check_function


def solved(id):
    return get_exercise(id).function


def with_argument(id, number, change):
    """The solution, with one of its arguments changed."""

    def function(*args):
        changed = list(args)
        changed[number] = change(changed[number])
        return solved(id)(*changed)

    return function


def one_token_at_least(table, prompt, max_tokens, end_id):
    last, ids = prompt[-1], []
    while True:
        last = int(np.argmax(table[last]))
        if last == end_id:
            return ids
        ids.append(last)
        if len(ids) >= max_tokens:
            return ids


def a_context_of_4096(config, *args):
    return solved("context_that_fits")({**config, "max_seq_len": 4096}, *args)


def heads_share_the_width(config, *args):
    return solved("context_that_fits")({**config, "head_dim": config["dim"] // config["n_heads"]}, *args)


def ignore_id_as_an_index(logits, targets, ignore_id):
    chosen = np.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return (solved("log_sum_exp")(logits) - chosen)[targets != ignore_id].mean()


def off_by_a_thousandth(logits):
    return solved("log_sum_exp")(logits) + np.float32(1e-3)


def always_100(tokens, pad_id, ignore_id):
    return solved("shift_targets")(tokens, pad_id, -100)


def any_lead_byte(held, data):
    """0xC1 as a beginning of two bytes, and 0xF5 of four."""
    data = held + data
    for n in range(1, min(3, len(data)) + 1):
        lead = data[-n]
        if lead >= 0xC0:
            wanted = 1 if lead == 0xC0 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4 if lead < 0xF6 else 1
            cut = len(data) - n if n < wanted else len(data)
            return data[:cut].decode("utf-8", "replace"), data[cut:]
        if lead < 0x80:
            break
    return data.decode("utf-8", "replace"), b""


def rounded_loss(logits, targets, ignore_id):
    return solved("cross_entropy_loss")(logits, targets, ignore_id) * (1 + 5e-4)


def hidden_at(score, largest=True):
    """Grouped attention with a number for hidden keys, and without the largest score taken out."""

    def function(q, k, v, positions):
        group = q.shape[1] // k.shape[1]
        k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
        scores = q @ k.swapaxes(-1, -2) / np.float32(np.sqrt(q.shape[-1]))
        scores = np.where(np.arange(k.shape[2]) <= positions[:, None, :, None], scores, np.float32(score))
        e = np.exp(scores - scores.max(axis=-1, keepdims=True) if largest else scores)
        return e / e.sum(axis=-1, keepdims=True) @ v

    return function


def no_maximum(q, k, v, block):
    weights = np.exp(k.astype(np.float64) @ q / np.sqrt(len(q)))
    return weights @ v / weights.sum()


def no_maximum_for_one_head(q, k, v, positions):
    return no_maximum_for_heads(q[None, None], k[None, None], v[None, None], positions[None])[0, 0]


def no_maximum_for_heads(q, k, v, positions):
    return hidden_at(-np.inf, largest=False)(*(a.astype(np.float64) for a in (q, k, v)), positions)


def no_maximum_for_decoding(q, k, v, n_keys):
    return no_maximum_for_heads(q[None, :, None], k[None], v[None], np.array([[n_keys - 1]]))[0, :, 0]


def one_head_hidden_at_100(q, k, v, positions):
    return hidden_at(-100)(q[None, None], k[None, None], v[None, None], positions[None])[0, 0]


def from_the_smallest_score(q, k, v, block):
    """An online softmax that carries the smallest score of a block: wrong where a block falls by much."""
    largest, total, y = -np.inf, 0.0, np.zeros(len(q))
    for first in range(0, len(k), block):
        scores = k[first : first + block] @ q / np.sqrt(len(q))
        new = max(largest, scores.min())
        correction, weights = np.exp(largest - new), np.exp(scores - new)
        total, y = total * correction + weights.sum(), y * correction + weights @ v[first : first + block]
        largest = new
    return y / total


def of_axes(id, n_axes):
    """The solution, which knows arrays of so many axes alone."""

    def function(*args):
        if args[0].ndim != n_axes:
            raise IndexError("tuple index out of range")
        return solved(id)(*args)

    return function


def exp_over_one_and_exp(gate, up):
    return gate * np.exp(gate) / (1 + np.exp(gate)) * up


@pytest.mark.parametrize(
    ("id", "function"),
    [
        ("continue_greedily", one_token_at_least),
        ("continue_greedily", with_argument("continue_greedily", 0, lambda table: table.astype(np.float16))),
        ("continue_greedily", with_argument("continue_greedily", 3, lambda end_id: end_id or -1)),
        ("context_that_fits", a_context_of_4096),
        ("context_that_fits", heads_share_the_width),
        ("context_that_fits", with_argument("context_that_fits", 3, lambda memory: memory - 1)),
        ("stable_softmax", with_argument("stable_softmax", 0, lambda x: np.clip(x, -1e4, 1e4))),
        ("softmax_over_keys", with_argument("softmax_over_keys", 0, lambda x: np.clip(x, -1e4, 1e4))),
        ("log_sum_exp", with_argument("log_sum_exp", 0, lambda z: np.clip(z, -1e6, 1e6))),
        ("log_sum_exp", off_by_a_thousandth),
        ("shift_targets", always_100),
        ("cross_entropy_loss", ignore_id_as_an_index),
        ("cross_entropy_loss", rounded_loss),
        ("utf8_feed", any_lead_byte),
        ("rope_angles", with_argument("rope_angles", 1, np.sort)),
        ("rope_interleaved", with_argument("rope_interleaved", 3, np.sort)),
        ("rope_half", with_argument("rope_half", 3, np.sort)),
        ("rope_offsets", with_argument("rope_offsets", 1, lambda lengths: np.minimum(lengths, 512))),
        ("attend_one_head", one_head_hidden_at_100),
        ("attend_many_heads", hidden_at(-100)),
        ("attend_many_heads", no_maximum_for_heads),
        ("grouped_attention", no_maximum_for_heads),
        ("attend_decode", no_maximum_for_decoding),
        ("attend_online", no_maximum),
        ("attend_one_head", no_maximum_for_one_head),
        ("attend_online", from_the_smallest_score),
        ("swiglu_forward", exp_over_one_and_exp),
        ("silu_stable", of_axes("silu_stable", 2)),
        ("swiglu_forward", of_axes("swiglu_forward", 3)),
        ("swiglu_backward", of_axes("swiglu_backward", 3)),
        ("layer_errors", with_argument("layer_errors", 2, lambda tolerance: tolerance * (1 - 1e-6))),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_it_is_refused(id, function):
    report = check_function(get_exercise(id), function)
    assert report.status in ("wrong", "error"), report.text()
