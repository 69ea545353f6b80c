"""How well answers read to a model that knows nothing of this world: SmolLM2-135M, in nats a byte.

The base model's fluency is a part of what annotator and judge find helpful, so that every stage is trained towards it.
Nothing here is trained towards this one. It is read where it is on this machine, and nothing is fetched: a report makes
no use of a network. A byte in place of a token, since the two have different tokenizers.

Left out are answers without a token, which have no log-probability; `ended` and the number of sentences count those.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ....checkpoints.hub import locate
from ....checkpoints.loading import open_model
from ...story_world import BaseFluency, Request
from ...story_world.requests import EVENTS
from ..report.measuring import mean_figure, paired_change

READERS = ("smollm2-135m", "smollm2-135m-instruct")
"""The first of these that is on this machine: the base model, or the chat model that a wheel brings in 4 bits."""
MOST_TEXTS = 200
"""Texts of each stage, the same requests for all: 135M parameters read some hundred tokens a second and core."""

_OF = "stories and events"


def reader_named() -> str | None:
    """The model to read with, by its known name; None where there is none on this machine."""
    return next((name for name in READERS if locate(name) is not None), None)


def read_by_another(
    requests: Sequence[Request],
    texts: Mapping[str, Sequence[str]],
    pair: tuple[str, str],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """The fluency of stories and events at every stage, and its change between two of them.

    Parameters
    ----------
    texts : mapping
        Each stage's answer to every request.
    pair : (str, str)
        Two stages: the change from the first to the second, on the same requests.
    progress : callable
        Told (stages done, stages in all).

    Returns
    -------
    dict
        "name" (None where no such model is here: then nothing else), "measure", "rates" by stage, and "change".
    """
    name = reader_named()
    places = [i for i, request in enumerate(requests) if request.kind in ("story", *EVENTS)][:MOST_TEXTS]
    if name is None or not places:
        return {"name": None}
    checkpoint, tokenizer = open_model(name)
    assert tokenizer is not None
    fluency = BaseFluency(checkpoint.params, checkpoint.config, tokenizer, per_byte=True)
    values = {}
    for n, (stage, answers) in enumerate(texts.items()):
        progress(n, len(texts))
        some = [answers[i].strip() for i in places]
        read = dict(zip(written := [text for text in some if text], fluency(written)))
        values[stage] = np.array([read.get(text, np.nan) for text in some])
    progress(len(texts), len(texts))
    before, now = (values[stage] for stage in pair)
    both = ~np.isnan(before) & ~np.isnan(now)
    rates = {stage: mean_figure(found[~np.isnan(found)]) for stage, found in values.items()}
    change = paired_change(before[both], now[both])
    return {"name": name, "measure": f"fluency under {name}, nats a byte ({_OF})", "rates": rates, "change": change}
