"""Random texts that tokenizers stumble over, and small vocabularies to try them on."""

from __future__ import annotations

import io
import json
import os
import random

# How many random texts each comparison takes; MINILLAMA_CORPUS=200000 is the thorough run.
N_TEXTS = int(os.environ.get("MINILLAMA_CORPUS", "5000"))

_WORDS = (
    "the of and to in I you it's we're they've don't she'll he'd I'm Hello world token tokens tokenizer 's 't "
    "'S Once upon a time there was little girl named Lily def return print(x) {} [] <b> http://example.com/a?b=c "
    "naïve café déjà vu über Straße слово мир привет 你好 世界 日本語 こんにちは 안녕하세요 שלום مرحبا नमस्ते ไทย"
)
_SPECIAL = (
    "<s> </s> <unk> <pad> <0x0A> <0x00> <0xFF> <0xe2> ▁ ▁▁ ▁the <|im_start|> <|im_end|> <|endoftext|> [INST] [/INST] "
    "<<SYS>> <</SYS>> <|user|> <extra> ⁇ \ufffd Ġ Ċ Ġthe <fim> @@ ## <| |> im_end <|im_end"
)
WORDS, SPECIAL = _WORDS.split(), _SPECIAL.split()
SPACES = ["", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", "\t\t ", "\xa0", "\u3000", "\u2003", "\u200b", "\x85"]
SPACES += ["\x0b", "\x0c", "\x1c", "\x1f", "\u2028", "\u1680", "\u180e", "\ufeff", " \n ", "\n "]
EMOJI = ["🙂", "👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇩🇪", "❤️", "1️⃣", "\u200d", "\ufe0f"]
MARKS = ["e\u0301", "a\u0308\u0323", "\u0301", "ﬁ", "ẞ", "İ", "ǅ", "한", "ᄒ\u1161\u11ab", "क्षि"]
DIGITS = "0123456789٠١٢٣۴०१२൩０１２²³½Ⅷ①一〇𝟘𝟙"
PLANES = [(0x20, 0x7F), (0xA0, 0x250), (0x250, 0x2000), (0x2000, 0x3000), (0x3000, 0xD800), (0xE000, 0x10000)]
PLANES += [(0x10000, 0x20000), (0x20000, 0x40000), (0x40000, 0x110000)]


def _part(rng: random.Random) -> str:
    """One piece of a random text, of a random kind."""
    kind = rng.random()
    if kind < 0.30:
        return rng.choice(WORDS)
    if kind < 0.50:
        return rng.choice(SPACES)
    if kind < 0.58:
        return rng.choice(SPECIAL)
    if kind < 0.66:
        return "".join(rng.choices(DIGITS, k=rng.randint(1, 6)))
    if kind < 0.72:
        return rng.choice(EMOJI)
    if kind < 0.78:
        return rng.choice(MARKS)
    if kind < 0.86:
        return "".join(chr(rng.randrange(*rng.choice(PLANES))) for _ in range(rng.randint(1, 5)))
    if kind < 0.90:
        return chr(rng.randrange(0, 0x20))
    if kind < 0.97:
        return "".join(rng.choices("abcdefghijklmnopqrstuvwxyz ABC.,;!?'\"-_()", k=rng.randint(1, 12)))
    return rng.choice([*WORDS, *SPACES, *SPECIAL, *EMOJI, "ab", "7"]) * rng.randint(2, 40)


def random_texts(n: int = N_TEXTS, seed: int = 0) -> list[str]:
    """`n` texts mixed from words, scripts of all planes, spaces, digits, emoji, control and special spellings."""
    rng = random.Random(seed)
    texts = ["", " ", "  ", "\n", "▁", "\0", "a" * 3000, " " * 500, "🙂" * 200]
    while len(texts) < n:
        joint = rng.choice(["", "", " "])
        texts.append(joint.join(_part(rng) for _ in range(rng.randint(1, 12))))
    return texts[:n]


def training_lines() -> list[str]:
    """Enough text to train a vocabulary of a few hundred pieces on."""
    rng = random.Random(1)
    plain = [word for word in WORDS if word.isascii()]
    lines = [" ".join(rng.choices(WORDS, k=12)) for _ in range(300)]
    return lines + ["  ".join(rng.choices(plain, k=12)) + " " + str(rng.randrange(10**6)) for _ in range(300)]


def train_sentencepiece(**options) -> bytes:
    """A small `tokenizer.model` with LLaMA's settings, or with others."""
    import sentencepiece

    settings = {
        "model_type": "bpe",
        "vocab_size": 420,
        "byte_fallback": True,
        "split_digits": True,
        "character_coverage": 0.98,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "allow_whitespace_only_pieces": True,
        "minloglevel": 2,
        "num_threads": 1,
    }
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(training_lines()), model_writer=out, **settings | options
    )
    return out.getvalue()


def sentencepiece_as_json(pieces: list[str], scores: list[float]) -> bytes:
    """The `tokenizer.json` of a SentencePiece vocabulary, its rules made as Hugging Face's converter makes them."""
    vocab = {text: id_ for id_, text in enumerate(pieces)}
    rules = []
    for text, score in zip(pieces, scores):
        pairs = [(text[:cut], text[cut:]) for cut in range(1, len(text))]
        pairs = [(left, right) for left, right in pairs if left in vocab and right in vocab]
        pairs.sort(key=lambda pair: (vocab[pair[0]], vocab[pair[1]]))
        rules += [(score, left, right) for left, right in pairs]
    rules.sort(key=lambda rule: (rule[0], len(rule[1]), len(rule[2])), reverse=True)
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    root = {
        "version": "1.0",
        "added_tokens": [{"id": id_, "content": pieces[id_], **flags} for id_ in range(3)],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
        },
        "decoder": None,
        "model": {
            "type": "BPE",
            "unk_token": "<unk>",
            "fuse_unk": True,
            "byte_fallback": True,
            "vocab": vocab,
            "merges": [f"{left} {right}" for _, left, right in rules],
        },
    }
    return json.dumps(root).encode()


def load_bytes(path, data: bytes):
    """The tokenizer in `data`, by way of a file."""
    from minillama.tokenizers import load_tokenizer

    path.write_bytes(data)
    return load_tokenizer(path)
