"""`tokenizer.json`, the file of Hugging Face's `tokenizers` library: reading.

The file is a program: a vocabulary with merge rules, added tokens, and the steps around them, of which
`huggingface_stages.py` says what is understood. The files beside it (`beside.py`) say which tokens begin and end
a text, hold the chat template, may name further added tokens, and decide for some classes of tokenizer that
`transformers` makes the steps itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

from ...files.errors import CheckpointError
from ..bpe.added_tokens import AddedToken
from ..bpe.base import Tokenizer, TokenType
from ..bpe.byte_level import ByteLevelBPE
from ..bpe.sentencepiece import Piece, SentencePieceBPE, is_byte_piece
from .beside import CODE_LLAMA, DEFAULTS, GPT2, LLAMA, QWEN2, WITHOUT_FLAGS, metaspace_of, rebuilt_class
from .configuration import begin_and_end, kept_settings, named_tokens
from .huggingface_stages import (
    ByteLevelStages,
    SpaceStages,
    has_byte_level,
    post_processor_prefix,
    read_byte_level,
    read_spaces,
)
from .validation import MAX_MERGES, MAX_PIECES, blame, expect, read_json
from .vocabulary import NAMED, Vocabulary, add_configured, added_token, as_object

PathOrName = str | PathLike[str]
# Where no tokenizer_config.json says what begins and ends a text.
USUAL_BOS = ("<s>", "<|begin_of_text|>")
USUAL_EOS = ("</s>", "<|endoftext|>", "<|end_of_text|>")


def parse_tokenizer_json(
    data: bytes, path: PathOrName = "tokenizer.json", config: Mapping[str, Any] | None = None
) -> Tokenizer:
    """The tokenizer in the bytes of a `tokenizer.json`.

    Parameters
    ----------
    data : bytes
    path : path-like
        For error messages.
    config : mapping, optional
        What the files beside it say, as `beside.read_beside` gives it.

    Raises
    ------
    CheckpointError
        When the file is damaged or describes a tokenizer of another kind.
    """
    root = read_json(data, path)
    model = expect(root.get("model"), dict, path, "model")
    if model.get("type", "BPE") != "BPE":
        raise CheckpointError(path, "model.type", f"expected 'BPE', found {model['type']!r}")
    for option in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(option):
            raise CheckpointError(path, f"model.{option}", f"{model[option]!r} is not supported")
    rebuilt = rebuilt_class(config or {}, has_byte_level(root))
    vocabulary = _vocabulary(root, model, path)
    config = _with_own_flags(config or {}, vocabulary)
    named = {**DEFAULTS.get(rebuilt, {}), **config}
    add_configured(vocabulary, named)
    if rebuilt == QWEN2:  # which adds its named tokens once more, without flags
        for name in NAMED:
            if named.get(name):
                text = added_token(named[name], path, name).text
                vocabulary.add(AddedToken(-1, text, special=True), name)
    settings = _begin_and_end(root, named, vocabulary, path, rebuilt)
    if model.get("byte_fallback"):
        vocabulary.mark_unknown(named.get("unk_token"))
    rules = _merges(model, path)
    tokenizer: Tokenizer
    if rebuilt in (LLAMA, CODE_LLAMA):
        scheme = metaspace_of(named, rebuilt)
        stages = SpaceStages(scheme, True, False, rebuilt == CODE_LLAMA or scheme != "never")
        tokenizer = _sentencepiece(stages, model, vocabulary, rules, settings, path)
    elif rebuilt != QWEN2 and model.get("byte_fallback"):
        stages = read_spaces(root, path)
        tokenizer = _sentencepiece(stages, model, vocabulary, rules, settings, path)
    else:
        steps = ByteLevelStages("qwen2", True) if rebuilt == QWEN2 else read_byte_level(root, path)
        _check_rebuilding(rebuilt, steps, named, path)
        tokenizer = _byte_level(steps, model, vocabulary, rules, settings, path, rebuilt)
    tokenizer.named_tokens = named_tokens(named)
    tokenizer.source_settings = kept_settings(config)
    tokenizer.source = ("tokenizer.json", data)
    return tokenizer


# --- the vocabulary ------------------------------------------------------------------------


def _vocabulary(root: dict[str, Any], model: dict[str, Any], path: PathOrName) -> Vocabulary:
    """The pieces in the order of their ids, and the added tokens that the file itself lists."""
    vocab = expect(model.get("vocab"), dict, path, "model.vocab")
    if len(vocab) > MAX_PIECES:
        raise CheckpointError(path, "model.vocab", f"expected at most {MAX_PIECES} pieces, found {len(vocab)}")
    pieces: list[str | None] = [None] * len(vocab)
    for text, id_ in vocab.items():
        if not 0 <= expect(id_, int, path, f"model.vocab[{text!r}]") < len(pieces):
            raise CheckpointError(path, "model.vocab", f"expected the ids 0 to {len(pieces) - 1}, found {id_}")
        if pieces[id_] is not None:
            raise CheckpointError(path, f"model.vocab[{text!r}]", f"id {id_} is already {pieces[id_]!r}")
        pieces[id_] = text
    texts = [text for text in pieces if text is not None]  # which are all: as many ids as texts, no id twice
    fallback = bool(model.get("byte_fallback"))
    types = [TokenType.BYTE if fallback and is_byte_piece(text) else TokenType.NORMAL for text in texts]
    vocabulary = Vocabulary(texts, types, path)
    if fallback:
        vocabulary.mark_unknown(model.get("unk_token"))
    for n, value in enumerate(expect(root.get("added_tokens") or [], list, path, "added_tokens")):
        token = added_token(expect(value, dict, path, f"added_tokens[{n}]"), path, f"added_tokens[{n}]")
        vocabulary.add(token, f"added_tokens[{n}]", expect(value.get("id"), int, path, f"added_tokens[{n}].id"))
    return vocabulary


def _merges(model: dict[str, Any], path: PathOrName) -> list[tuple[str, str]]:
    """The rules, written as "left right" or as ["left", "right"]."""
    merges = []
    rules = expect(model.get("merges"), list, path, "model.merges")
    if len(rules) > MAX_MERGES:
        raise CheckpointError(path, "model.merges", f"expected at most {MAX_MERGES} rules, found {len(rules)}")
    for n, rule in enumerate(rules):
        pair = rule.split(" ") if isinstance(rule, str) else rule
        if isinstance(pair, list) and len(pair) == 2:  # a quarter of a million of them: no loop inside this one
            left, right = pair
            if isinstance(left, str) and isinstance(right, str) and left and right:
                merges.append((left, right))
                continue
        raise CheckpointError(path, f"model.merges[{n}]", f"expected two pieces, found {rule!r}")
    return merges


def _with_own_flags(config: Mapping[str, Any], vocabulary: Vocabulary) -> Mapping[str, Any]:
    """The configuration with the file's own added tokens in place of those that it names without flags."""
    if not config.get(WITHOUT_FLAGS):
        return config
    own = {str(token.id): as_object(token) for token in vocabulary.tokens()}
    return {**config, "added_tokens_decoder": {**config["added_tokens_decoder"], **own}}


def _begin_and_end(
    root: Mapping[str, Any], config: Mapping[str, Any], vocabulary: Vocabulary, path: PathOrName, rebuilt: str
) -> dict[str, Any]:
    """The settings of a tokenizer but for its vocabulary: as in `transformers`, the post-processor alone adds BOS."""
    prefix = post_processor_prefix(root.get("post_processor"), path)
    if rebuilt == CODE_LLAMA:  # which makes its own post-processor
        prefix = named_tokens(config).get("bos_token")
    config = {key: value for key, value in config.items() if key != "add_bos_token"}
    if prefix is not None:
        config["bos_token"] = prefix
    bos, eos = (next((text for text in texts if text in vocabulary.ids), None) for texts in (USUAL_BOS, USUAL_EOS))
    settings = begin_and_end(config, vocabulary.pieces, path, bos=bos, eos=eos, add_bos=prefix is not None)
    return settings | {"added": vocabulary.tokens()}


# --- the two kinds -------------------------------------------------------------------------


def _check_rebuilding(rebuilt: str, stages: ByteLevelStages, config: Mapping[str, Any], path: PathOrName) -> None:
    """Refuse a class that would cut words in another way than the file it was given."""
    if rebuilt and config.get("add_prefix_space"):
        raise CheckpointError(path, "add_prefix_space", f"true is not supported for {rebuilt}")
    if rebuilt == GPT2 and (stages.word_pattern not in ("gpt-2", "smollm") or stages.compose):
        raise CheckpointError(
            path,
            "pre_tokenizer",
            f"cuts words as {stages.word_pattern} does, but tokenizer_config.json names {GPT2}, which cuts them in "
            "another way: set tokenizer_class to PreTrainedTokenizerFast there, if the file is right",
        )


def _byte_level(
    stages: ByteLevelStages,
    model: dict[str, Any],
    vocabulary: Vocabulary,
    merges: list[tuple[str, str]],
    settings: dict[str, Any],
    path: PathOrName,
    rebuilt: str,
) -> ByteLevelBPE:
    unk_id = None
    if model.get("unk_token") is not None and not rebuilt:
        if not isinstance(model["unk_token"], str) or model["unk_token"] not in vocabulary.ids:
            raise CheckpointError(path, "model.unk_token", f"{model['unk_token']!r} is not in the vocabulary")
        unk_id = vocabulary.ids[model["unk_token"]]
    with blame(path, "model"):
        return ByteLevelBPE(
            vocabulary.pieces,
            vocabulary.types,
            merges,
            word_pattern=stages.word_pattern,
            compose=stages.compose,
            ignore_merges=bool(model.get("ignore_merges")) and not rebuilt,
            unk_id=unk_id,
            fuse_unknown=bool(model.get("fuse_unk")),
            **settings,
        )


def _sentencepiece(
    stages: SpaceStages,
    model: dict[str, Any],
    vocabulary: Vocabulary,
    merges: list[tuple[str, str]],
    settings: dict[str, Any],
    path: PathOrName,
) -> SentencePieceBPE:
    if model.get("ignore_merges"):
        raise CheckpointError(path, "model.ignore_merges", "is not supported together with byte_fallback")
    n_bytes = vocabulary.types.count(TokenType.BYTE)
    if n_bytes != 256:
        raise CheckpointError(path, "model.vocab", f"expected all 256 byte tokens, found {n_bytes}")
    entries = [Piece(text, 0.0, kind) for text, kind in zip(vocabulary.pieces, vocabulary.types)]
    with blame(path, "model"):
        return SentencePieceBPE(entries, merges=merges, **stages._asdict(), **settings)
