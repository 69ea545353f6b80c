"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

# Public weights, texts and vocabularies for tests; beside a maintainer's checkout, not part of it.
SHARED_DATA = Path(os.environ.get("MINILLAMA_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fixed seed, fresh for every test."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public test data, or a skip that says what is left out."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"public test data not found at {SHARED_DATA} (set MINILLAMA_TEST_DATA)")
    return SHARED_DATA


@pytest.fixture(scope="session")
def stories260k(shared_data: Path):
    """The 260,032-parameter TinyStories model with its tokenizer."""
    import minillama

    folder = shared_data / "stories260K"
    return minillama.load(folder / "stories260K.bin", tokenizer=folder / "tok512.model")


@pytest.fixture(scope="session")
def smollm2_path() -> Path:
    """The GGUF of SmolLM2-135M-Instruct, fetched once; a skip that says so where it cannot be."""
    from minillama.checkpoints.hub.models import DownloadError, fetch

    try:
        return fetch("smollm2-135m-instruct")
    except DownloadError as error:
        if os.environ.get("CI"):
            raise  # where tests are run for the record, nothing is left out in silence
        pytest.skip(f"SmolLM2-135M-Instruct cannot be fetched: {error}")


@pytest.fixture(scope="session")
def smollm2(smollm2_path: Path):
    """SmolLM2-135M-Instruct with its own tokenizer."""
    import minillama

    return minillama.load(smollm2_path)


@pytest.fixture(scope="session")
def smollm2_metadata(smollm2_path: Path) -> dict[str, Any]:
    """The tokenizer's metadata of SmolLM2-135M-Instruct, as the gguf library reads it."""
    fields = gguf.GGUFReader(smollm2_path).fields
    return {key: field.contents() for key, field in fields.items() if key.startswith("tokenizer.")}
