"""What a benchmark ran on: the machine and the model, for the record."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..checkpoints.common.checkpoint import Checkpoint
    from ..config import ModelConfig


def describe_machine() -> dict[str, Any]:
    """CPU, cores, features, the instructions that integer products use, and versions, for the record."""
    import llvmlite.binding as llvm
    import numba
    import numpy as np

    from ..compute.machine import CPU_FEATURES, cpu_name
    from ..compute.simd_bytes import DOT4
    from ..compute.threads import available_cores

    present = llvm.get_host_cpu_features()
    return {
        "cpu": cpu_name() or llvm.get_hostcpu_name(),
        "cores": available_cores(),
        "features": [name for name in CPU_FEATURES if present.get(name)],
        "integer_products": DOT4,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
    }


def describe_model(name: str, checkpoint: Checkpoint) -> dict[str, Any]:
    """Name, size and stored precisions; of a path only the last part."""
    from ..checkpoints.info import stored_formats
    from ..params import count_parameters

    formats = stored_formats(checkpoint.params)
    path = Path(checkpoint.path)
    return {
        "name": Path(name).name if os.path.exists(name) else name,
        "format": checkpoint.format,
        "stored": {key: {"tensors": count, "bytes": size} for key, (count, size) in formats.items()},
        "parameters": count_parameters(checkpoint.config),
        "file_bytes": path.stat().st_size if path.is_file() else sum(size for _, size in formats.values()),
        **_work(checkpoint.config),
    }


def _work(config: ModelConfig) -> dict[str, int]:
    """Weights that a token is multiplied with, and what attending to one position takes."""
    from ..params import expected_shapes

    shapes = {name: shape for name, shape in expected_shapes(config).items() if len(shape) == 2}
    layers = sum(rows * columns for name, (rows, columns) in shapes.items() if name.startswith("layers."))
    return {
        "layer_weights": layers,
        "head_weights": config.vocab_size * config.dim,
        "attention_flops_per_position": 4 * config.n_layers * config.n_heads * config.head_dim,
    }
