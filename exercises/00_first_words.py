"""Chapter 00: first words.

Write the functions below in any order. Save, and look at the terminal where

    minillama learn watch

runs; or check one by hand with `minillama learn check count_parameters`. `minillama learn lab 00`
opens the chapter. Any helper functions of your own may stand beside these.

A `config` is a dict with the keys that `read_config` returns.

What a function is given stays as it is, unless its text says that it is written to.
"""

import numpy as np


def continue_greedily(table, prompt, max_tokens, end_id):
    """Continue a prompt with the most probable token, again and again.

    The "model" is a table: row i holds the logits of the token that follows token i. A Llama
    looks at the whole text instead of the last token; the loop is the same.

    Parameters
    ----------
    table : float32 ndarray of shape (vocab_size, vocab_size)
        Of equal logits, the lower id wins.
    prompt : list of int
    max_tokens : int
        At most so many new tokens; 0 is possible.
    end_id : int
        Stop when this is the most probable token; -1 is not a token.

    Returns
    -------
    ids : list of int
        The new tokens alone, without the end token.
    """
    raise NotImplementedError


def read_config(described):
    """The numbers that fix a Llama, from a Hugging Face config.json.

    Parameters
    ----------
    described : dict
        As json.load returns it. Always there: hidden_size, intermediate_size, num_hidden_layers,
        num_attention_heads, vocab_size, max_position_embeddings. May be missing:

        num_key_value_heads   then as many as query heads
        head_dim              then hidden_size // num_attention_heads
        rms_norm_eps          then 1e-6
        rope_theta            on the top level, or in the dict rope_parameters; else 10000.0. Some
                              files have an integer, 100000
        tie_word_embeddings   then False

    Returns
    -------
    config : dict
        dim, n_layers, n_heads, n_kv_heads, head_dim, hidden_dim, vocab_size, max_seq_len (int),
        norm_eps, rope_theta (float), tied (bool).
    """
    raise NotImplementedError


def count_parameters(config):
    """How many numbers a Llama learns.

    Every layer has wq, wk, wv, wo, three matrices of the feed-forward layer and two norms; outside
    are the token embedding, a last norm, and an output head unless it is tied to the embedding.
    There are no biases. LLaMA 2 7B has 6 738 415 616.

    Parameters
    ----------
    config : dict

    Returns
    -------
    n : int
    """
    raise NotImplementedError


def activation_shapes(config, batch, n_tokens, n_past):
    """The shapes of the arrays on a token's way through one layer, and at the end.

    A chunk of T = n_tokens new tokens of every sequence arrives; the keys of n_past earlier ones
    are in the cache and take part.

    Parameters
    ----------
    config : dict
    batch, n_tokens, n_past : int

    Returns
    -------
    shapes : dict of tuple
        residual   what runs from layer to layer
        query      split in heads, which stand before the positions
        key        those of the cache and the new ones
        scores     of every query against every key
        joined     the results of all heads side by side, before wo
        gate       inside of the feed-forward layer
        logits     of every new position
    """
    raise NotImplementedError


def context_that_fits(config, n_parameters, bits_per_weight, memory_bytes):
    """How many tokens of context fit in memory beside the weights.

    Each token keeps one key and one value for every key/value head of every layer, in float16.

    Parameters
    ----------
    config : dict
    n_parameters : int
    bits_per_weight : float
        16.0 for float16, 4.5 for Q4_0 (its scales included). The weights take a whole number of bytes.
    memory_bytes : int

    Returns
    -------
    tokens : int
        At most config["max_seq_len"]; 0 where not even the weights fit.
    """
    raise NotImplementedError
