"""Small tokenizers as `transformers` saves them, with added tokens of every flag, and random texts full of them."""

from __future__ import annotations

import itertools
import json
import random
from functools import cache
from pathlib import Path

from corpus import random_texts, training_lines

KINDS = ("llama", "qwen2", "llama3")
METASPACES = [(scheme, split) for scheme in ("first", "always", "never") for split in (False, True)]
_CONTENTS = (
    "<tok{n}>", "my tok{n}", "tok{n}", " lead{n}", "trail{n} ", "é{n}", "<|x{n}|>", "e\u0301{n}", "▁a{n}", "_b{n}",
    "\n{n}", "the{n}", "🙂{n}", "'s{n}", "你{n}", "[{n}]",
)  # fmt: skip


def added_tokens():
    """An added token for each combination of the five flags."""
    from tokenizers import AddedToken

    names = ("special", "normalized", "lstrip", "rstrip", "single_word")
    flags = itertools.product((False, True), repeat=5)
    return [
        AddedToken(_CONTENTS[n % len(_CONTENTS)].format(n=n), **dict(zip(names, values)))
        for n, values in enumerate(flags)
    ]


def texts_with(contents, n: int, seed: int) -> list[str]:
    """Random texts, most of them with added tokens, whole or in part, between and inside their words."""
    rng = random.Random(seed)
    texts = []
    for text in random_texts(n, seed):
        for _ in range(rng.choice((0, 1, 1, 2, 4))):
            token = rng.choice(contents)
            if rng.random() < 0.2:
                token = token[: rng.randint(1, len(token))]
            token = rng.choice(("", "", " ", "  ", "\n", "\t", "\u3000", "a", "1", "_", "\u0301", "'")) + token
            token += rng.choice(("", "", " ", "  ", "\n", "\u2003", "a", "7", "_", "\u0301", "'s", token))
            at = rng.randint(0, len(text))
            text = text[:at] + token + text[at:]
        texts.append(text)
    return texts


def train_byte_level(pre_tokenizer, vocab_size: int = 600, normalizer=None):
    """Vocabulary and merges of a byte-level BPE with these steps, trained with `tokenizers`."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, show_progress=False, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(training_lines(), trainer)
    return _vocabulary_of(tokenizer)


@cache
def train_spaces(vocab_size: int = 300):
    """Vocabulary and merges of a BPE over characters with "▁", the three usual control tokens and all bytes first."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, show_progress=False, limit_alphabet=120)
    tokenizer.train_from_iterator(training_lines(), trainer)
    trained, merges = _vocabulary_of(tokenizer)
    first = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    return {text: id_ for id_, text in enumerate([*first, *sorted(trained, key=trained.get)])}, merges


def _vocabulary_of(tokenizer):
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(pair) for pair in model["merges"]]


def save_llama(folder: Path, **options) -> None:
    """A LLaMA tokenizer as transformers 5 saves it: Metaspace, no normaliser."""
    from transformers import LlamaTokenizer

    vocab, merges = train_spaces()
    tokenizer = LlamaTokenizer(vocab=vocab, merges=merges, **options)
    tokenizer.add_bos_token = True
    tokenizer.add_tokens(added_tokens())
    tokenizer.save_pretrained(folder)


def save_qwen2(folder: Path) -> None:
    """A Qwen2 tokenizer as transformers 5 saves it."""
    from tokenizers import normalizers
    from transformers import Qwen2Tokenizer

    steps = Qwen2Tokenizer().backend_tokenizer.pre_tokenizer
    vocab, merges = train_byte_level(steps, normalizer=normalizers.NFC())
    tokenizer = Qwen2Tokenizer(vocab=vocab, merges=merges)
    tokenizer.add_tokens(added_tokens())
    tokenizer.save_pretrained(folder)


def save_llama3(folder: Path, *, ignore_merges: bool = True) -> None:
    """A LLaMA 3 tokenizer as its folder has it: words in the vocabulary that no merges reach, BOS by a template."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    pattern = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
        r"\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    vocab, merges = train_byte_level(pre_tokenizers.Sequence([split, byte_level]))
    # Words of the text whose last merges are taken away: they stay in the vocabulary.
    merges = [pair for n, pair in enumerate(merges) if n % 3 or "".join(pair) in {a for p in merges for a in p}]
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"])
    tokenizer.add_tokens(added_tokens())
    begin = ("<|begin_of_text|>", tokenizer.token_to_id("<|begin_of_text|>"))
    tokenizer.post_processor = processors.TemplateProcessing(single="<|begin_of_text|> $A", special_tokens=[begin])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|begin_of_text|>", eos_token="<|end_of_text|>"
    ).save_pretrained(folder)


SAVERS = {"llama": save_llama, "qwen2": save_qwen2, "llama3": save_llama3}


def edit(path, **changes):
    """Change values of a JSON file; None takes a key away from tokenizer_config.json."""
    root = json.loads(path.read_text()) if path.is_file() else {}
    root |= changes
    path.write_text(json.dumps(root))


def load_both(folder):
    import transformers

    from minillama.tokenizers import load_tokenizer

    return load_tokenizer(folder), transformers.AutoTokenizer.from_pretrained(folder)


def differences(ours, theirs, texts, allow_special: bool) -> list[tuple[str, list[int], list[int]]]:
    """The texts that get other ids here than from a tokenizer of `transformers`, with both."""
    theirs.backend_tokenizer.encode_special_tokens = not allow_special
    found = []
    for text in texts:
        expected = theirs.backend_tokenizer.encode(text, add_special_tokens=False).ids
        ids = ours.encode(text, bos=False, allow_special=allow_special)
        if ids != expected:
            found.append((text, ids, expected))
    return found


def decoded_differently(ours, theirs, texts) -> list[tuple[str, str, str]]:
    """The texts whose ids are decoded to something else, with and without control tokens.

    Two things are left out, in which the peer loses text or a stream cannot follow: it marks a whole run of bytes
    for one wrong one, and takes Latin-1 letters of added tokens for byte characters.
    """
    foreign = {token.id for token in ours.added if not token.text.isascii()}
    found = []
    for text in texts:
        ids = [id_ for id_ in ours.encode(text, bos=False, allow_special=True) if id_ not in foreign]
        for skip in (True, False):
            shown, expected = ours.decode(ids, skip_special=skip), theirs.decode(ids, skip_special_tokens=skip)
            if shown != expected and "\ufffd" not in shown + expected:
                found.append((text, shown, expected))
    return found
