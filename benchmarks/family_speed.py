"""What biases and scaled RoPE cost: two models of the family beside plain ones of the same matrices, decoded in turns.

    python benchmarks/family_speed.py [--rounds 30] [--threads 2]

Random weights in Q8_0, one model after the other in memory; every round decodes some tokens with each.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np

from minillama.compute.threads import set_threads
from minillama.config import FAMILY_FIELDS, ModelConfig, RopeScaling
from minillama.inference.runner import runner_for
from minillama.inference.session import Session
from minillama.params import Params, build_params
from minillama.quantization.formats import quantize

LLAMA3 = RopeScaling(kind="llama3", factor=32.0, original_max_seq_len=8192)
SHAPES = {
    "Qwen2.5-0.5B": ModelConfig(
        dim=896, n_layers=24, n_heads=14, n_kv_heads=2, hidden_dim=4864, vocab_size=151936, max_seq_len=32768,
        norm_eps=1e-6, rope_theta=1e6, tied=True, qkv_bias=True,
    ),
    "Llama-3.2-1B": ModelConfig(
        dim=2048, n_layers=16, n_heads=32, n_kv_heads=8, hidden_dim=8192, vocab_size=128256, max_seq_len=131072,
        rope_theta=500000.0, tied=True, rope_scaling=LLAMA3,
    ),
}  # fmt: skip


def random_params(config: ModelConfig) -> Params:
    """Q8_0 matrices, drawn a matrix at a time."""
    rng = np.random.default_rng(0)

    def draw(name: str, shape: tuple[int, ...]):
        if len(shape) == 1:
            return np.ones(shape, np.float32) if name.endswith("norm") else rng.normal(0, 0.1, shape).astype(np.float32)
        return quantize((0.02 * rng.standard_normal(shape, np.float32)), "Q8_0")

    return build_params(config, draw)


def plain(params: Params, config: ModelConfig) -> tuple[Params, ModelConfig]:
    """The same matrices in a LLaMA 2."""
    defaults = {name: ModelConfig.__dataclass_fields__[name].default for name in FAMILY_FIELDS}
    return params._replace(extras=None), replace(config, **defaults)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--tokens", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    set_threads(options.threads)
    rng = np.random.default_rng(1)
    for name, config in SHAPES.items():
        params = random_params(config)
        sessions = [Session(runner_for(*pair)) for pair in ((params, config), plain(params, config))]
        for session in sessions:
            session.feed(list(range(1, 5)))
            session.step(1)
        ratios, speeds = [], []
        for round_ in range(options.rounds):
            seconds = [0.0, 0.0]
            for which in (0, 1) if round_ % 2 else (1, 0):
                session = sessions[which]
                if session.position > 200:
                    session.rewind(4)
                start = time.perf_counter()
                for _ in range(options.tokens):
                    session.step(int(rng.integers(1000)))
                seconds[which] = time.perf_counter() - start
            ratios.append(seconds[1] / seconds[0])
            speeds.append(options.tokens / seconds[0])
        resampled = np.median(rng.choice(ratios, (2000, len(ratios))), axis=1)
        low, high = np.percentile(resampled, [2.5, 97.5])
        print(
            f"{name}: {np.median(speeds):.1f} tokens/s, {np.median(ratios):.3f} times a plain Llama of its matrices "
            f"(95 % interval of the median {low:.3f} to {high:.3f}, {options.rounds} rounds)",
            flush=True,
        )
        del sessions, params


if __name__ == "__main__":
    main()
