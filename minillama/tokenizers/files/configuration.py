"""`tokenizer_config.json`: what a Hugging Face folder says beside the vocabulary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

from ...files.errors import CheckpointError
from ..bpe.base import Tokenizer
from .beside import SPACES_KEY
from .vocabulary import NAMED, own_names


def begin_and_end(
    config: Mapping[str, Any],
    pieces: Sequence[str],
    path: str | PathLike[str],
    *,
    bos: str | None,
    eos: str | None,
    add_bos: bool,
) -> dict[str, Any]:
    """The settings `bos_id`, `eos_id`, `add_bos` and `chat_template` of a tokenizer.

    Parameters
    ----------
    config : mapping
        The content of `tokenizer_config.json`; empty when there is none.
    pieces : sequence of str
        The vocabulary.
    path : path-like
        For error messages.
    bos, eos, add_bos
        What holds where the configuration says nothing.

    Raises
    ------
    CheckpointError
        When a token that the configuration names is not in the vocabulary.
    """
    ids = {text: id_ for id_, text in reversed(list(enumerate(pieces)))}
    names = {"bos_token": bos, "eos_token": eos}
    for key in names:
        if key in config:
            names[key] = _token_text(config[key]) or None
        if names[key] is not None and names[key] not in ids:
            raise CheckpointError(path, key, f"{names[key]!r} is not in the vocabulary")
    wanted = config.get("add_bos_token")
    bos_id, eos_id = (None if name is None else ids[name] for name in names.values())
    return {
        "bos_id": bos_id,
        "eos_id": eos_id,
        "add_bos": bos_id is not None and (wanted if isinstance(wanted, bool) else add_bos),
        "chat_template": _template_text(config.get("chat_template")),
    }


def _token_text(value: Any) -> str | None:
    """A token of the configuration: its text, or an object that has it as "content"."""
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else None


def named_tokens(config: Mapping[str, Any]) -> dict[str, str]:
    """The special tokens that the configuration names, by their names."""
    further = config.get("extra_special_tokens")
    entries = {name: config.get(name) for name in (*NAMED, *own_names(config))}
    entries |= further if isinstance(further, dict) else {}
    return {name: text for name, value in entries.items() if (text := _token_text(value)) is not None}


def named_templates(config: Mapping[str, Any]) -> dict[str, str]:
    """The chat templates of a configuration that has several, without the default one."""
    return {name: text for name, text in _several(config.get("chat_template")).items() if name != "default"}


def _template_text(value: Any) -> str | None:
    """The chat template: a text, or the one called "default" of several."""
    return value if isinstance(value, str) else _several(value).get("default")


def _several(value: Any) -> dict[str, str]:
    """Named templates: a list of objects with "name" and "template", or one object from name to template."""
    pairs = list(value.items()) if isinstance(value, dict) else []
    if isinstance(value, list):
        pairs = [(entry.get("name"), entry.get("template")) for entry in value if isinstance(entry, dict)]
    return {name: text for name, text in pairs if isinstance(name, str) and isinstance(text, str)}


# What a tokenizer.json or tokenizer.model does not say by itself, and so belongs to it wherever it is copied to.
_KEPT = ("tokenizer_class", "legacy", "add_prefix_space", "added_tokens_decoder", SPACES_KEY, *NAMED)
_KEPT_LISTS = ("additional_special_tokens", "extra_special_tokens")


def kept_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings without which the same file would be another tokenizer."""
    return {key: config[key] for key in (*_KEPT, *_KEPT_LISTS, *own_names(config)) if config.get(key) is not None}


def tokenizer_config(tokenizer: Tokenizer, tokenizer_class: str) -> dict[str, Any]:
    """The content of a `tokenizer_config.json` for the tokenizer."""
    ids = {"bos_token": tokenizer.bos_id, "eos_token": tokenizer.eos_id}
    missing = [name for name, id_ in ids.items() if id_ is None]
    config: dict[str, Any] = {
        **{name: text for name, text in tokenizer.named_tokens.items() if name in NAMED},
        "tokenizer_class": tokenizer_class,
        **(tokenizer.source_settings if tokenizer.source is not None else {}),
        **dict.fromkeys(missing),  # as opposed to not being named: then a usual one counts
        "add_bos_token": tokenizer.add_bos,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
    }
    if tokenizer.named_templates:
        named = {"default": tokenizer.chat_template, **tokenizer.named_templates}
        config["chat_template"] = [{"name": name, "template": text} for name, text in named.items() if text is not None]
    elif tokenizer.chat_template is not None:
        config["chat_template"] = tokenizer.chat_template
    return config
