"""The last layers of a large model trained alone: what the frozen ones below make of every pair is computed once.

    x   = blocks 1 … L-k of embedding(tokens)        once for all pairs, kept on the disk as float16
    r   = w . rmsnorm(blocks L-k+1 … L of x)[last]   trained: k blocks, the last norm and the head

The trained part is a tree of its own with k layers and a table of one row in place of the embedding, which nothing
reads. Its objective is the whole model's (`Pairs.below`), and its gradients those of the whole model with the lower
blocks held fast. `FrozenBelow.whole` puts both parts together again.

float16 keeps 11 bits of a number: hidden states are then off by up to 0.05 %, with float32 by nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...compute.array_types import Float
from ...config import ModelConfig
from ...files.atomic import atomic_write
from ...ops import FAST, Ops
from ...params import Params
from ...training.objectives import shares
from ...training.workers import Workers
from ...trees import map_tree, named_leaves
from .beginnings import below, together
from .model import RewardModel, reward_model
from .token_pairs import TokenPair, fingerprint, laid_out

_PART = 2048  # tokens of a part


class FrozenBelow:
    """A model whose last `n_trained` layers are to be trained.

    Parameters
    ----------
    params : Params
        Of the whole model.
    config : ModelConfig
    n_trained : int
        At least 1, less than all.
    """

    def __init__(self, params: Params, config: ModelConfig, n_trained: int) -> None:
        if not 1 <= n_trained < config.n_layers:
            raise ValueError(f"train 1 to {config.n_layers - 1} of the {config.n_layers} layers, got {n_trained}")
        self.params, self.config, self.n_trained = params, config, n_trained
        self.lower = params._replace(layers=params.layers[:-n_trained])
        self.upper_config = replace(config, n_layers=n_trained, vocab_size=1, tied=True)

    def upper(self) -> RewardModel:
        """The trained part before the first step, with arrays of its own."""
        nothing = np.zeros((1, self.config.dim), self.params.final_norm.dtype)
        top = Params(nothing, self.params.layers[-self.n_trained :], self.params.final_norm, None)
        return reward_model(map_tree(np.copy, top))

    def whole(self, upper: RewardModel) -> RewardModel:
        """The model that reads ids again."""
        layers = (*self.lower.layers, *upper.backbone.layers)
        return upper._replace(backbone=self.params._replace(layers=layers, final_norm=upper.backbone.final_norm))

    def states(
        self,
        pairs: Sequence[TokenPair],
        folder: Path,
        *,
        dtype: Literal["float16", "float32"] = "float16",
        threads: int | None = None,
        ops: Ops = FAST,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[TokenPair]:
        """The pairs with what the frozen layers make of them, which is computed where `folder` has it not yet.

        Parameters
        ----------
        folder : Path
            Goes on after `kill -9` where it stopped. It holds 2 or 4 bytes for each of a token's `dim` numbers.
        dtype : str
        threads : int, optional
            All cores by default.
        progress : callable, optional
            Told (pairs done, pairs in all).

        Raises
        ------
        ValueError
            When the folder holds the states of other pairs or of another model, or a number is too large for float16.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._claim(folder, pairs, dtype)
        starts = [0, *accumulate(pair.n_tokens for pair in pairs)]
        path, width = folder / "states.bin", self.config.dim * np.dtype(dtype).itemsize
        parts = _parts(starts)
        with path.open("ab") as file:
            whole = [n for n, (_, stop) in enumerate(parts) if starts[stop] * width <= file.tell()]
            done = len(whole)
            file.truncate(starts[parts[done - 1][1]] * width if done else 0)
            with Workers(threads) as workers:
                for some in shares(len(parts) - done, -(-(len(parts) - done) // (2 * workers.n_threads))):
                    work = parts[done + some.start : done + some.stop]
                    found = workers.map(lambda part: self._computed(pairs[slice(*part)], dtype, ops), work)
                    file.write(b"".join(states.tobytes() for states in found))
                    file.flush()
                    if progress is not None:
                        progress(work[-1][1], len(pairs))
        kept = np.memmap(path, dtype, "r", shape=(starts[-1], self.config.dim))
        return [pair._replace(below=kept[a:b]) for pair, a, b in zip(pairs, starts, starts[1:])]

    def _computed(self, pairs: Sequence[TokenPair], dtype: str, ops: Ops) -> Float:
        found = below(self.lower, self.config, together(map(laid_out, pairs)), ops)
        largest = float(np.abs(found).max())
        if not largest < float(np.finfo(dtype).max):
            raise ValueError(f"a hidden state of {largest:.3g} cannot be kept as {dtype}: keep them as float32")
        return found.astype(dtype)

    def _claim(self, folder: Path, pairs: Sequence[TokenPair], dtype: str) -> None:
        """Say whose states the folder holds, or refuse where they are others'."""
        path = folder / "states.json"
        wanted: dict[str, Any] = {
            "model": _digest(self.lower),
            "layers": len(self.lower.layers),
            "pairs": fingerprint(pairs),
            "dtype": dtype,
        }
        if not path.exists():
            with atomic_write(path) as file:
                file.write((json.dumps(wanted, indent=2) + "\n").encode())
        elif (there := json.loads(path.read_text())) != wanted:
            differ = ", ".join(key for key in wanted if there.get(key) != wanted[key])
            raise ValueError(f"{folder} holds the hidden states of another {differ}: take another folder")


def _parts(starts: Sequence[int]) -> list[tuple[int, int]]:
    """First and last pair of runs of about _PART tokens; the same in every process."""
    parts, first = [], 0
    for i in range(1, len(starts)):
        if i + 1 == len(starts) or starts[i + 1] - starts[first] > _PART:
            parts.append((first, i))
            first = i
    return parts


def _digest(tree: Any) -> str:
    digest = hashlib.sha256()
    for name, leaf in named_leaves(tree):
        digest.update(name.encode() + np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()
