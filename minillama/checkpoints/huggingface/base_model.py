"""Base models: what `LlamaModel.save_pretrained` writes, without the head and without the prefix "model.".

transformers loads one as a `LlamaForCausalLM` by putting the prefix before its names. The head is the embedding
where config.json ties them; else there is none, and transformers makes one of random numbers, which is refused here.

Source: transformers' modeling_utils.py (`base_model_prefix`).
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

PREFIX = "model."
_BASE = re.compile(r"(Llama|Mistral|Qwen2|Qwen3)Model")

Home = TypeVar("Home")


def as_causal_model(description: dict[str, Any]) -> dict[str, Any]:
    """A config.json in which a base model goes by the name of the model with a head, for the checks that follow."""
    names = description.get("architectures")
    if not isinstance(names, list) or len(names) != 1 or not isinstance(names[0], str):
        return description
    found = _BASE.fullmatch(names[0])
    return description | {"architectures": [f"{found[1]}ForCausalLM"]} if found else description


def is_base(names: dict[str, Home]) -> bool:
    """Whether tensors are called as in a base model."""
    return "embed_tokens.weight" in names and not any(name.startswith(PREFIX) for name in names)


def as_causal_names(homes: dict[str, Home]) -> dict[str, Home]:
    """Tensors under the names that they have in the model with a head."""
    if not is_base(homes):
        return homes
    return {name if name.startswith("lm_head.") else PREFIX + name: home for name, home in homes.items()}
