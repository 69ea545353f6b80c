"""What the files beside a tokenizer say about it, in a Hugging Face folder.

    tokenizer_config.json     which tokens begin and end a text, added tokens, the class, the chat template
    special_tokens_map.json   the same tokens once more; counts where the former lists no added tokens
    added_tokens.json         added tokens by text, without flags (older folders)
    chat_template.jinja …     chat templates in files of their own (templates.py)
    config.json               the kind of model, which decides the class where nothing else does

The class matters. Since release 5 `transformers` takes only the vocabulary from a tokenizer.json for some
classes, and makes the steps around it itself; a text then gets other ids than the file alone would give it
(models/auto/tokenization_auto.py, models/llama/tokenization_llama.py, models/qwen2/tokenization_qwen2.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...files.errors import CheckpointError
from .templates import read_templates
from .validation import expect, read_bounded, read_json
from .vocabulary import NAMED

CONFIG = "tokenizer_config.json"
# In tokenizer_config.json: that a tokenizer.model means what SentencePiece makes of it, whatever the class.
SPACES_KEY = "minillama_spaces"
WITHOUT_FLAGS = "minillama_without_flags"  # not in any file: that `added_tokens_decoder` was made of added_tokens.json
MAP, ADDED, MODEL = "special_tokens_map.json", "added_tokens.json", "config.json"
LLAMA, CODE_LLAMA, QWEN2, GPT2 = "LlamaTokenizer", "CodeLlamaTokenizer", "Qwen2Tokenizer", "GPT2Tokenizer"
# What a class of `transformers` has where tokenizer_config.json says nothing; it adds those that the vocabulary lacks.
_LLAMA_TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
_INFILLING = {"prefix_token": "▁<PRE>", "middle_token": "▁<MID>", "suffix_token": "▁<SUF>", "eot_token": "▁<EOT>"}
DEFAULTS: dict[str, dict[str, str]] = {
    LLAMA: _LLAMA_TOKENS,
    CODE_LLAMA: {**_LLAMA_TOKENS, **_INFILLING, "fill_token": "<FILL_ME>"},
    QWEN2: {"eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>", "pad_token": "<|endoftext|>"},
    GPT2: {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"},
}
# What a kind of model has where tokenizer_config.json names no class; "" is the file as it is.
CLASS_OF_MODEL = {"mistral": "", "mixtral": "", "qwen2": QWEN2, "qwen3": QWEN2}
WRONG_CLASSES = ("qwen2",)  # models whose folders name another class than is meant


def read_beside(folder: Path) -> dict[str, Any]:
    """The settings of `tokenizer_config.json`, completed from the other files.

    Returns
    -------
    dict
        Keys as in `tokenizer_config.json`; `model_type` is that of `config.json`.

    Raises
    ------
    CheckpointError
        When one of the files cannot be read.
    """
    config = _object(folder / CONFIG)
    if templates := read_templates(folder):
        config["chat_template"] = templates
    if "added_tokens_decoder" not in config:
        config |= {key: value for key, value in _object(folder / MAP).items() if value is not None}
        added = _object(folder / ADDED)
        if added:
            config["added_tokens_decoder"] = _with_flags(added, config, folder / ADDED)
            config[WITHOUT_FLAGS] = True
    model = _object(folder / MODEL)
    config["model_type"] = model.get("model_type")
    if not config.get("tokenizer_class"):
        config["tokenizer_class"] = model.get("tokenizer_class")
    return config


def _object(path: Path) -> dict[str, Any]:
    return read_json(read_bounded(path), path) if path.is_file() else {}


def _with_flags(added: dict[str, Any], config: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """`added_tokens.json` as an `added_tokens_decoder`: special are those that the configuration names."""
    names = [config.get(key) for key in NAMED]
    for key in ("additional_special_tokens", "extra_special_tokens"):
        if isinstance(config.get(key), list):
            names += config[key]
    special = {name.get("content") if isinstance(name, dict) else name for name in names if name}
    decoder: dict[str, Any] = {}
    for text, id_ in added.items():
        if expect(id_, int, path, repr(text[:60])) < 0 or str(id_) in decoder:
            raise CheckpointError(path, repr(text[:60]), f"expected an id of its own, found {id_}")
        decoder[str(id_)] = {"content": text, "special": text in special, "normalized": text not in special}
    return decoder


def rebuilt_class(config: Mapping[str, Any], byte_level: bool) -> str:
    """The class by which `transformers` makes the steps around a vocabulary itself; "" where the file decides.

    Parameters
    ----------
    config : mapping
        From `read_beside`.
    byte_level : bool
        Whether a tokenizer.json has byte-level steps.
    """
    named, model_type = config.get("tokenizer_class"), config.get("model_type")
    named = named.removesuffix("Fast") if isinstance(named, str) else ""
    of_model = CLASS_OF_MODEL.get(model_type) if isinstance(model_type, str) else None
    if named == LLAMA and byte_level and model_type not in WRONG_CLASSES:
        return ""
    if named and of_model is not None and of_model != named:
        chosen = "" if not of_model else of_model if model_type in WRONG_CLASSES else named
    else:
        chosen = named or of_model or ""
    return chosen if chosen in (LLAMA, CODE_LLAMA, QWEN2, GPT2) else ""


def metaspace_of(config: Mapping[str, Any], rebuilt: str = LLAMA) -> str:
    """Where `LlamaTokenizer` or `CodeLlamaTokenizer` puts a "▁" of its own: "first", "always" or "never"."""
    if config.get("add_prefix_space") is False:
        return "never"
    return "always" if config.get("legacy") is True and rebuilt == LLAMA else "first"
