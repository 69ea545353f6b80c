"""Small vocabularies that need no download, and the real ones where they are."""

from __future__ import annotations

import pytest
from corpus import train_sentencepiece, training_lines


@pytest.fixture(scope="session")
def small_model() -> bytes:
    """A `tokenizer.model` trained with LLaMA's settings."""
    return train_sentencepiece()


@pytest.fixture(scope="session")
def small_byte_level():
    """A byte-level tokenizer of the `tokenizers` library, with SmolLM2's word pattern and a few added tokens."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        show_progress=False,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(training_lines(), trainer)
    tokenizer.add_tokens([AddedToken("<extra>", normalized=False), AddedToken("@@", normalized=False)])
    tokenizer.encode_special_tokens = True  # text that spells a special token stays text
    return tokenizer


@pytest.fixture(scope="session")
def byte_level_json(small_byte_level) -> bytes:
    """Its `tokenizer.json`."""
    return small_byte_level.to_str().encode()
