"""minillama: LLaMA 2 from scratch in NumPy and Numba.

    import minillama

    llm = minillama.load("smollm2-135m-instruct")
    print(llm.chat([{"role": "user", "content": "What is the capital of France?"}], temperature=0).text)

Names are imported when they are first used: `import minillama` alone is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import ModelConfig, named_config
    from .evaluation.run import evaluate
    from .files.errors import CheckpointError
    from .inference.sampling import GREEDY, Sampling
    from .inference.session import Session, SessionInUseError
    from .inference.text import Generation
    from .kv_cache import CacheOverflowError, ContextFullError
    from .llm import LLM, load
    from .ops import FAST, REFERENCE, Ops, replace_layer

__version__ = "0.1.0"

_HOME = {
    "CheckpointError": "files.errors",
    "ModelConfig": "config",
    "named_config": "config",
    "evaluate": "evaluation.run",
    "Session": "inference.session",
    "SessionInUseError": "inference.session",
    "CacheOverflowError": "kv_cache",
    "ContextFullError": "kv_cache",
    "LLM": "llm",
    "Generation": "inference.text",
    "load": "llm",
    "FAST": "ops",
    "REFERENCE": "ops",
    "Ops": "ops",
    "GREEDY": "inference.sampling",
    "Sampling": "inference.sampling",
    "replace_layer": "ops",
}

__all__ = [
    "FAST",
    "GREEDY",
    "LLM",
    "REFERENCE",
    "CacheOverflowError",
    "CheckpointError",
    "ContextFullError",
    "Generation",
    "ModelConfig",
    "Ops",
    "Sampling",
    "Session",
    "SessionInUseError",
    "evaluate",
    "load",
    "named_config",
    "replace_layer",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'minillama' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"minillama.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
