"""Known mistakes as edits of solutions: two of them at once are what a beginner writes.

For each exercise the edits, each {text of the solution: what stands there instead}; each alone gives a known mistake.
A pair is both edits at once, where both texts are still there after the other edit.
"""

from __future__ import annotations

import inspect
import itertools
import sys
from collections.abc import Callable, Iterator
from typing import Any

from minillama.learn.exercises.exercise import Exercise

Edit = dict[str, str]

EDITS: dict[str, list[Edit]] = {
    # 00 first words
    "continue_greedily": [
        {"return ids": "return prompt + ids"},
        {"== end_id:\n            break": "== end_id:\n            ids.append(last)\n            break"},
        {"np.argmax(table[last])": "len(table) - 1 - np.argmax(table[last][::-1])"},
    ],
    "count_parameters": [
        {'(1 if c["tied"] else 2)': "2"},
        {'c["head_dim"] *': 'c["dim"] // c["n_heads"] *'},
        {' + 2 * c["dim"])': ' + c["dim"])'},
        {'3 * c["dim"]': '2 * c["dim"]'},
    ],
    # 01 NumPy to Numba
    "stable_softmax": [
        {"x.max(axis=-1, keepdims=True)": "x.max()"},
        {"e.sum(axis=-1, keepdims=True)": "e.sum()"},
        {"x - x.max(axis=-1, keepdims=True)": "np.minimum(x, 88)"},
    ],
    "c_strides": [
        {"step = [], itemsize": "step = [], 1"},
        {"strides.insert(0, step)\n        step *= n": "step *= n\n        strides.insert(0, step)"},
        {"return strides": "return strides[::-1]"},
    ],
    # 02 tokenizer
    "count_bpe_pairs": [
        {"+ count": "+ 1"},
        {"pairwise(word)": "set(pairwise(word))"},
        {"pairwise(word)": "zip(word[::2], word[1::2])"},
    ],
    "sentencepiece_encode": [
        {'(" " + text)': "text"},
        {"-scores[a + b]": "scores[a + b]"},
        {'[f"<0x{byte:02X}>" for byte in symbol.encode("utf-8")]': '["<unk>"]'},
    ],
    # 03 embeddings and loss
    "cross_entropy_loss": [
        {"[counted].mean()": "[counted].sum()"},
        {"return (": "return -("},
        {"[counted].mean()": ".mean(where=counted) * counted.mean()"},
    ],
    "cross_entropy_backward": [
        {" / counted.sum()": ""},
        {"probabilities - one_hot": "one_hot - probabilities"},
        {" * counted[..., None]": ""},
    ],
    # 04 RMSNorm
    "rmsnorm_forward": [
        {"np.mean(x * x": "np.sum(x * x"},
        {"mean_square + eps": "mean_square"},
        {"np.sqrt(mean_square + eps)": "(np.sqrt(mean_square) + eps)"},
        {" * weight": " * (1 + weight)"},
        {"axis=-1": "axis=(-2, -1)"},
    ],
    "rmsnorm_backward": [
        {"* np.mean(g": "* np.sum(g"},
        {"dy * weight": "dy"},
        {"np.sum(dy * x_hat, axis=(0, 1))": "np.sum(dy * x, axis=(0, 1))"},
    ],
    # 05 RoPE
    "rope_angles": [
        {"-np.arange(0": "np.arange(0"},
        {"positions[:, None]": "np.arange(len(positions))[:, None]"},
        {"theta **": "10000.0 **"},
    ],
    "rope_offsets": [
        {"lengths[:, None] +": "0 * lengths[:, None] +"},
        {"theta **": "10000.0 **"},
        {"+ np.arange(x.shape[2])": "+ 1 + np.arange(x.shape[2])"},
    ],
    # 06 attention
    "attend_one_head": [
        {" / np.float32(np.sqrt(q.shape[-1]))": ""},
        {
            "np.where(causal_mask(positions, len(k)), scores, np.float32(-np.inf))": (
                "scores * causal_mask(positions, len(k))"
            )
        },
        {"causal_mask(positions,": "causal_mask(positions + 1,"},
        {"causal_mask(positions,": "causal_mask(positions - positions[0],"},
    ],
    "attend_many_heads": [
        {" / np.float32(np.sqrt(q.shape[-1]))": ""},
        {"<= positions": "<= positions[:1]"},
        {") @ v": ") @ k"},
    ],
    # 07 grouped queries
    "grouped_attention": [
        {" / np.float32(np.sqrt(q.shape[-1]))": ""},
        {"<= positions": "<= 1 + positions"},
        {
            "k.shape[1], -1, *q.shape[2:])": "-1, k.shape[1], *q.shape[2:]).swapaxes(1, 2)",
            "(weights @ v).reshape": "(weights @ v).swapaxes(1, 2).reshape",
        },
    ],
    "kv_cache_bytes_grouped": [
        {"2 * n_layers": "n_layers"},
        {" * bytes_per_number": ""},
        {"n_kv_heads * head": "n_heads * head"},
    ],
    # 08 SwiGLU
    "ffn_hidden_dim": [
        {"2 * (4 * dim) // 3": "4 * dim"},
        {"math.ceil(hidden_dim / multiple_of)": "(hidden_dim // multiple_of)"},
        {"if multiplier is not None": "if False"},
    ],
    "feed_forward": [
        {"silu_stable(x @ w_gate.T)": "(x @ w_gate.T)"},
        {"@ w_down.T": "@ w_down.T + x"},
        {"w_gate.T": "w_up.T", "(x @ w_up.T)) @": "(x @ w_gate.T)) @"},
    ],
    "swiglu_backward": [
        {"(1 + gate": "(1 - gate"},
        {"dy * up": "dy"},
        {"dy * gate * s": "dy * gate"},
    ],
    # 09 whole model
    "head_logits": [
        {"rmsnorm(x, final_norm, eps)": "x"},
        {"token_embedding if output is None else output": "token_embedding"},
        {"@ head.T": "@ head.T / np.sqrt(x.shape[-1])"},
    ],
    "residual_stream": [
        {"x = x + ": "x = "},
        {"matrix.T": "matrix"},
        {"rmsnorm(x, norm, eps)": "x"},
    ],
    # 10 KV cache
    "attention_decode_step": [
        {" / np.sqrt(q.shape[2])": ""},
        {
            "np.repeat(k_cache[b, :, : n + 1], group, axis=0)": "np.tile(k_cache[b, :, : n + 1], (group, 1, 1))",
            "np.repeat(v_cache[b, :, : n + 1], group, axis=0)": "np.tile(v_cache[b, :, : n + 1], (group, 1, 1))",
        },
        {
            "k_cache[b, :, : n + 1]": "k_cache[b]",
            "v_cache[b, :, : n + 1]": "v_cache[b]",
        },
    ],
    "sliding_window_attention": [
        {"< window": "<= window"},
        {"(distance >= 0)": "(distance > -window)"},
        {"positions[:, :, None]": "(positions - positions[:, :1])[:, :, None]"},
    ],
    # 11 sampling
    "top_p_filter": [
        {"- probabilities <= p": "<= p"},
        {'np.argsort(-logits, kind="stable")': 'np.argsort(logits, kind="stable")[::-1]'},
        {
            "np.cumsum(probabilities) - probabilities <= p": (
                "np.append([0, 0], np.cumsum(probabilities)[:-2])[: len(order)] <= p"
            )
        },
    ],
    "penalize_repeated_tokens": [
        {"set(ids)": "ids"},
        {"out[i] * penalty if out[i] < 0 else ": ""},
        {"set(ids)": "ids[-1:]"},
        {"out[i] * penalty if out[i] < 0 else out[i] / penalty": "out[i] - penalty"},
    ],
    "temperature_probabilities": [
        {") / temperature": ") * temperature"},
        {"logits - logits.max()": "logits"},
        {"np.argmax(logits)": "len(logits) - 1 - np.argmax(logits[::-1])"},
    ],
    # 12 quantization and speed
    "block_error_bounds": [
        {"size / 8": "size / 16"},
        {"size / 127 / 2": "size / 127"},
        {"/ 15 / 2": "/ 16 / 2"},
    ],
    "decode_speed_bound": [
        {"3 * dim": "2 * dim"},
        {" + cache": ""},
        {"vocab_size * dim * head_bits / 8": "0"},
        {"bits / 8": "bits"},
    ],
    "q8_0_quantize_blocks": [
        {"float32(127)": "float32(128)"},
        {"np.trunc(scaled + np.copysign(np.float32(0.5), scaled))": "np.rint(scaled)"},
        {"np.abs(x).max(axis=1, keepdims=True)": "np.broadcast_to(np.abs(x).max(), (len(x), 1))"},
    ],
    # 13 pretraining data
    "threshold_costs": [
        {"> threshold": ">= threshold"},
        {"/ (~bad).sum()": "/ len(bad)"},
        {"right / dropped.sum(), right / bad.sum()": "right / bad.sum(), right / dropped.sum()"},
    ],
    "c4_clean_lines": [
        {""".endswith((".", "?", "!", '"', "'"))""": '.endswith(".")'},
        {"len(line.split()) >= 3": "len(line.split()) > 3"},
        {' and not line.endswith("...")': ""},
    ],
    "jaccard_of_texts": [
        {"text.lower()": "text"},
        {"range(len(words) - n + 1)": "range(len(words) - n)"},
        {"/ len(a | b)": "/ min(len(a), len(b))"},
    ],
    # 14 training
    "warmup_cosine": [
        {"(step - warmup_steps) / max(1, total_steps - warmup_steps)": "step / total_steps"},
        {"min(1.0, ": "("},
        {"peak * step": "peak * (step - 1)"},
        {"final_fraction * peak": "0"},
    ],
    "adamw_step": [
        {"m / (1 - beta1**t), v / (1 - beta2**t)": "m, v"},
        {" + weight_decay * p": ""},
        {"(np.sqrt(v_hat) + eps)": "np.sqrt(v_hat + eps)"},
        {"(m_hat /": "(-m_hat /"},
    ],
    "softmax_backward": [
        {"np.sum(dp * p": "np.sum(dp"},
        {"p * (dp -": "(dp -"},
        {"axis=-1": "axis=0"},
    ],
}


def edited(exercise: Exercise, *edits: Edit) -> Callable[..., Any] | None:
    """The solution with edits, or None where the text of one is not there (any more)."""
    source = inspect.getsource(exercise.function)
    source = source[source.index(f"def {exercise.id}") :]
    for edit in edits:
        for old, new in edit.items():
            if old not in source:
                return None
            source = source.replace(old, new)
    found: dict[str, Any] = {}
    exec(compile(source, f"<{exercise.id}>", "exec"), vars(sys.modules[exercise.function.__module__]), found)
    return found[exercise.id]  # type: ignore[no-any-return]


def pairs(exercise: Exercise) -> Iterator[tuple[Edit, Edit, Callable[..., Any]]]:
    """Two edits, and the solution with both, one for each two that can stand together."""
    for a, b in itertools.combinations(EDITS[exercise.id], 2):
        function = edited(exercise, a, b)
        if function is not None and edited(exercise, b, a) is not None:
            yield a, b, function
