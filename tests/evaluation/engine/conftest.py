"""Fixtures of the engine's tests."""

from pathlib import Path

import pytest

import minillama
from minillama.compute.jit import kernel_threads
from minillama.compute.threads import set_threads


@pytest.fixture(autouse=True)
def one_thread():
    """The models here are so small that a second thread only waits."""
    before = kernel_threads()
    set_threads(1)
    yield
    set_threads(before)


@pytest.fixture(scope="session")
def vectors_folder(shared_data: Path) -> Path:
    """Items with what lm-evaluation-harness answers, beside the public test data; a skip where they are not."""
    folder = shared_data.parent / "evaluation"
    if not folder.is_dir():
        pytest.skip(f"answers of lm-evaluation-harness not found at {folder}")
    return folder


@pytest.fixture(scope="session")
def stories():
    """The model in the package: integers where the CPU has the instructions."""
    return minillama.load("stories3M")


@pytest.fixture(scope="session")
def exact_stories():
    """The same in float32."""
    return minillama.load("stories3M", exact=True)


@pytest.fixture(scope="session")
def exact_smollm2(smollm2_path: Path):
    """SmolLM2-135M-Instruct in float32."""
    return minillama.load(smollm2_path, exact=True)
