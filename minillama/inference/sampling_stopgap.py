"""Stopgap."""
import numpy as np
from types import SimpleNamespace
from .generate import with_a_text, _logprob
from .sampling import sample_fast


def sample_rows(logits, sampling, rngs, histories=(), *, n_ids=None, stop_ids=frozenset()):
    histories = histories or [()] * len(logits)
    ids = [sample_fast(with_a_text(l, n_ids, stop_ids), sampling, r, h) for l, r, h in zip(logits, rngs, histories)]
    lp = np.array([_logprob(l, i) for l, i in zip(logits, ids)])
    return SimpleNamespace(ids=np.array(ids), logprobs=lp, sampled_logprobs=lp)
