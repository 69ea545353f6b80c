"""What `load` promises of its default path: as good as float32, whatever precision the file has."""

import numpy as np
import pytest
from random_blocks import random_matrix

from minillama.config import ModelConfig
from minillama.inference.repacked_model import repack_model
from minillama.inference.runner import FusedRunner, LayerRunner
from minillama.inference.sampling import log_softmax
from minillama.inference.session import Session
from minillama.params import init_params
from minillama.quantization.formats import FORMATS, format_name
from minillama.trees import map_tree, named_leaves

MEAN_KL = 1e-6  # nats a token
CONFIG = ModelConfig(
    dim=256, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=512, vocab_size=300, max_seq_len=64, tied=False
)


def random_model(name):
    """Weights of a size at which the layers matter: predictions differ by several nats."""
    rng = np.random.default_rng(0)
    params = init_params(CONFIG, rng)
    if name == "F32":
        return map_tree(lambda a: 4 * a if a.ndim == 2 else a, params)
    return map_tree(lambda a: random_matrix(name, a.shape, rng, size=0.08) if a.ndim == 2 else a, params)


def kl(exact, logits):
    p, q = log_softmax(exact), log_softmax(logits)
    return (np.exp(p) * (p - q)).sum(axis=-1)


@pytest.mark.parametrize("name", ["F32", *FORMATS])
def test_predictions_are_those_of_float32(name):
    """Token by token and as a prompt, beside the same weights unpacked."""
    params, ids = random_model(name), np.random.default_rng(1).integers(0, CONFIG.vocab_size, 40)
    assert {format_name(weight) for _, weight in named_leaves(params) if len(weight.shape) == 2} == {name}
    exact = LayerRunner(params, CONFIG)
    runner = FusedRunner(repack_model(params, anyway=True), CONFIG)
    session, reference = Session(runner), Session(exact)
    decoded = np.stack([session.step(int(token)) for token in ids])
    expected = np.stack([reference.step(int(token)) for token in ids])
    assert np.ptp(log_softmax(expected), axis=1).mean() > 3
    assert kl(expected, decoded).mean() < MEAN_KL
    assert kl(expected[-1:], Session(runner).feed(ids)[None]).mean() < MEAN_KL
