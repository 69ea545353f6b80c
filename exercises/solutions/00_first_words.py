"""Chapter 00: first words. Solved.

`minillama learn solution` shows these after a pass.
Generated from minillama/learn/chapters/ by `python -m minillama.learn.generate`.
"""

import numpy as np


def continue_greedily(table, prompt, max_tokens, end_id):
    last, ids = prompt[-1], []
    for _ in range(max_tokens):
        last = int(np.argmax(table[last]))
        if last == end_id:
            break
        ids.append(last)
    return ids


def read_config(described):
    n_heads = described["num_attention_heads"]
    rope = {**described, **described.get("rope_parameters", {})}
    return {
        "dim": described["hidden_size"],
        "n_layers": described["num_hidden_layers"],
        "n_heads": n_heads,
        "n_kv_heads": described.get("num_key_value_heads", n_heads),
        "head_dim": described.get("head_dim", described["hidden_size"] // n_heads),
        "hidden_dim": described["intermediate_size"],
        "vocab_size": described["vocab_size"],
        "max_seq_len": described["max_position_embeddings"],
        "norm_eps": described.get("rms_norm_eps", 1e-6),
        "rope_theta": float(rope.get("rope_theta", 10000.0)),
        "tied": described.get("tie_word_embeddings", False),
    }


def count_parameters(config):
    c = config
    attention = 2 * c["dim"] * c["head_dim"] * (c["n_heads"] + c["n_kv_heads"])  # wq, wo; wk, wv
    feed_forward = 3 * c["dim"] * c["hidden_dim"]
    layers = c["n_layers"] * (attention + feed_forward + 2 * c["dim"])
    tables = (1 if c["tied"] else 2) * c["vocab_size"] * c["dim"]
    return layers + tables + c["dim"]


def activation_shapes(config, batch, n_tokens, n_past):
    c, n_keys = config, n_past + n_tokens
    return {
        "residual": (batch, n_tokens, c["dim"]),
        "query": (batch, c["n_heads"], n_tokens, c["head_dim"]),
        "key": (batch, c["n_kv_heads"], n_keys, c["head_dim"]),
        "scores": (batch, c["n_heads"], n_tokens, n_keys),
        "joined": (batch, n_tokens, c["n_heads"] * c["head_dim"]),
        "gate": (batch, n_tokens, c["hidden_dim"]),
        "logits": (batch, n_tokens, c["vocab_size"]),
    }


def context_that_fits(config, n_parameters, bits_per_weight, memory_bytes):
    per_token = 2 * config["n_layers"] * config["n_kv_heads"] * config["head_dim"] * 2
    left = memory_bytes - n_parameters * bits_per_weight / 8
    return int(min(max(left // per_token, 0), config["max_seq_len"]))
