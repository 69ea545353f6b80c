"""Where answers come from: what has to be equal for two runs to give the same bytes.

The model by its contents, not its name: sha256 over settings, weights as they are stored, and the tokenizer. The
arithmetic by everything that may change the last bit of a result: exact or in integers, the instructions of the CPU,
NumPy with its BLAS, the dtype of keys and values, and the number of threads, which share the keys of a long sequence.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from ...compute.jit import kernel_threads
from ...compute.simd_bytes import DOT4
from ...inference.runner import Runner
from ...llm import LLM
from ...ops import NAMED_OPS
from ...tokenizers import Tokenizer
from ...trees import named_leaves

_STRETCH = 1 << 26  # bytes that are hashed at once


def origin_of(llm: LLM, scorer: Runner) -> dict[str, str]:
    """Model and arithmetic, for `Store.opened`; `scorer` is what computes log-likelihoods.

    Raises
    ------
    ValueError
        When functions of the model were replaced: what they compute cannot be known by a name.
    """
    package = importlib.import_module(__name__.partition(".")[0])
    return {"model": model_hash(llm), "arithmetic": arithmetic_of(llm, scorer), "package": package.__version__}


def model_hash(llm: LLM) -> str:
    """sha256 of a model's settings, weights and tokenizer."""
    hashed = hashlib.sha256()
    hashed.update(_as_json(asdict(llm.config)))
    for name, leaf in named_leaves(llm.params):
        array = leaf if isinstance(leaf, np.ndarray) else leaf.data
        kind = type(leaf).__name__ if isinstance(leaf, np.ndarray) else leaf.format_name
        hashed.update(_as_json([name, kind, list(leaf.shape), str(array.dtype)]))
        for part in _stretches(array):
            hashed.update(part)
    hashed.update(_as_json(sorted(llm.named_stop_ids)))
    hashed.update(_as_json(_described(llm.tokenizer)))
    return hashed.hexdigest()


def _stretches(array: np.ndarray[Any, Any]) -> Iterator[bytes | memoryview]:
    """An array's bytes, never many at once."""
    rows = array.reshape(len(array), -1) if array.ndim else array.reshape(1, 1)
    step = max(1, _STRETCH // max(1, rows[:1].nbytes))
    for first in range(0, len(rows), step):
        yield np.ascontiguousarray(rows[first : first + step]).view(np.uint8).data


def _described(value: Any) -> Any:
    """Everything public that a tokenizer holds, as JSON can write it."""
    if isinstance(value, Tokenizer):
        public = {name: part for name, part in vars(value).items() if not name.startswith("_")}
        return [type(value).__name__, {name: _described(part) for name, part in sorted(public.items())}]
    if isinstance(value, Mapping):
        return sorted([_described(key), _described(part)] for key, part in value.items())
    if isinstance(value, frozenset | set):
        return sorted(map(repr, value))
    if isinstance(value, list | tuple):
        return [_described(part) for part in value]
    return value if isinstance(value, str | int | float | None) else repr(value)


def _as_json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def arithmetic_of(llm: LLM, scorer: Runner) -> str:
    """What numbers are computed with, in one line."""
    names = [name for name, ops in NAMED_OPS.items() if ops == llm.ops]
    if not names:
        raise ValueError(
            "answers of a model whose functions were replaced are not kept, since the functions may change: "
            "evaluate it without a store"
        )
    kinds = [f"{_products(runner)} {use}" for runner, use in ((scorer, "to score"), (llm.runner, "to generate"))]
    return (
        f"{names[0]}, {kinds[0]}, {kinds[1]}, keys in {llm.kv_dtype}, {DOT4}, {platform.machine()}, "
        f"NumPy {np.__version__}, {kernel_threads()} threads"
    )


def _products(runner: Runner) -> str:
    """What its matrices are multiplied in."""
    layout = "as stored" if runner.repacked is None else "repacked"
    return f"{'integers' if runner.in_integers else 'floats'} {layout}"
