"""The model that ships inside the package: it is whole, it needs no network, and it is as good as its card says."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

import minillama
from minillama.checkpoints.hub.models import import_file, locate
from minillama.checkpoints.hub.registry import get_known
from minillama.data.batches import validation_batches
from minillama.data.shards.reading import write_shards
from minillama.training.gradients import next_token_sums

FOLDER = Path(minillama.__file__).parent / "stories"


@pytest.fixture(scope="module")
def stories():
    return minillama.load("stories3M")


def test_the_file_is_the_registered_one():
    known, path = get_known("stories3M"), locate("stories3M")
    assert path == FOLDER / "stories3M.gguf"
    assert path.stat().st_size == known.n_bytes
    assert hashlib.sha256(path.read_bytes()).hexdigest() == known.sha256


def test_every_file_stays_small():
    """What a fresh clone and a wheel carry: two models at most, and what is said about them."""
    sizes = {file.name: file.stat().st_size for file in FOLDER.iterdir()}
    models = [size for name, size in sizes.items() if name.endswith(".gguf")]
    assert 1 <= len(models) <= 2
    assert max(models) <= 4_000_000
    assert sum(sizes.values()) - sum(models) <= 300_000


def test_it_tells_a_story_without_a_network_and_without_a_cache(tmp_path):
    """Nothing named, nothing fetched: a socket would raise."""
    code = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise OSError('no network here')\n"
        "socket.socket.connect = refuse; socket.create_connection = refuse\n"
        "from minillama.cli.app import main\n"
        "sys.argv = ['minillama', 'generate', 'Once upon a time', '-t', '0', '-n', '40', '--echo', '-q']\n"
        "main()\n"
    )
    environment = {**os.environ, "MINILLAMA_HOME": str(tmp_path), "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=250)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Once upon a time, there was a little")
    assert len(done.stdout.split()) > 25


def test_its_config_is_that_of_its_settings(stories):
    import tomllib

    model = tomllib.loads((FOLDER / "train.toml").read_text())["model"]
    for name, value in model.items():
        assert getattr(stories.config, name) == value


def test_there_is_nothing_to_import(tmp_path):
    file = tmp_path / "x.gguf"
    file.write_bytes(b"")
    with pytest.raises(ValueError, match="ships inside minillama"):
        import_file(file, "stories3M")


def test_bits_per_byte_of_held_out_stories(stories, shared_data, tmp_path):
    """No worse than stories260K's 0.931, each story on its own from BOS, 512 tokens of it at most."""
    from minillama.quantization.formats import to_float32
    from minillama.trees import map_tree

    text = (shared_data / "tinystories" / "valid.txt").read_text("utf-8")
    held_out = [story.strip() for story in text.split("<|endoftext|>") if story.strip()]
    shards = write_shards(iter(held_out), stories.tokenizer, tmp_path / "valid")
    batches, n_bytes = validation_batches(shards, 512, 16)
    params = map_tree(to_float32, stories.params)
    total = sum(next_token_sums(params, stories.config, *batch)["loss"] for batch in batches)
    bits_per_byte = total / math.log(2) / n_bytes
    print(f"{bits_per_byte:.4f} bits per byte")
    assert bits_per_byte < 0.931
