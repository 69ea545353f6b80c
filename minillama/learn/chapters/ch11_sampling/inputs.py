"""Arguments and shapes that several exercises of the chapter share."""

from __future__ import annotations

import numpy as np


def observe_filter(function, args):
    """The ids of the tokens that are kept, and the logits that come out."""
    logits = args[0].copy()
    result = function(*args)
    if result is None or np.shape(result) != logits.shape:
        got = "None: is the return statement missing?" if result is None else f"shape {np.shape(result)}"
        raise TypeError(f"the function should return logits of shape {logits.shape}, returned {got}")
    result = np.asarray(result, np.float64)
    return np.flatnonzero(~np.isneginf(result)).tolist(), result


def only_where(keep, logits):
    return np.where(keep, logits, -np.inf)


def through(processor, logits, ids=(0,)):
    """One of Hugging Face's processors, which take a batch of torch tensors, on one row in float64."""
    import torch

    scores = torch.tensor(np.asarray(logits, np.float64))[None]
    return processor(torch.tensor([list(ids)], dtype=torch.long), scores)[0].numpy()
