"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

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
