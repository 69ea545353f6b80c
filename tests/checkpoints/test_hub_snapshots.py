"""Weights from the Hugging Face Hub: the library itself, against a small Hub on this machine. No network.

Each fetch runs in a process of its own, because huggingface_hub reads its settings once, at import.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from small_hub import SmallHub, SmallHubHandler, answer_of, running, settings_for

from minillama.checkpoints.hub.registry import KNOWN_MODELS

COMMIT = "0123456789abcdef0123456789abcdef01234567"
STORIES = np.random.default_rng(1).bytes(KNOWN_MODELS["stories260K"].n_bytes)
BIG = np.random.default_rng(2).bytes(1_500_000)
FOLDER = {
    "config.json": b"{}",
    "tokenizer.json": b'{"model": {}}',
    "model.safetensors": BIG,
    "README.md": b"not needed",
    "onnx/model.onnx": b"not needed either",
}
SHARDED = {
    "config.json": b"{}",
    "tokenizer.model": b"pieces",
    "model.safetensors.index.json": json.dumps(
        {"weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}}
    ).encode(),
    "model-1-of-2.safetensors": BIG[:700_000],
    "model-2-of-2.safetensors": BIG[700_000:],
    "pytorch_model-1-of-1.bin": b"not needed",
}
SMALL = {
    "config.json": b"{}",
    "generation_config.json": b"{}",
    "tokenizer.model": b"pieces",
    "added_tokens.json": b"{}",
    "chat_template.jinja": b"{{ messages }}",
}
PICKLED = {**SMALL, "pytorch_model.bin": BIG, "model.gguf": b"not needed", "training_args.bin": b"not needed"}
PICKLED_SHARDS = {
    **SMALL,
    "pytorch_model.bin.index.json": json.dumps(
        {"weight_map": {"a": "pytorch_model-00001-of-00002.bin", "b": "pytorch_model-00002-of-00002.bin"}}
    ).encode(),
    "pytorch_model-00001-of-00002.bin": BIG[:700_000],
    "pytorch_model-00002-of-00002.bin": BIG[700_000:],
    "pytorch_model-00003-of-00003.safetensors": b"not needed",
}
BOTH = {**PICKLED_SHARDS, **PICKLED, **SHARDED}  # the safetensors count, in whatever form
REPOS = {
    "karpathy/tinyllamas": {"stories260K/stories260K.bin": STORIES, "stories260K/tok512.model": b"p" * 7645},
    "HuggingFaceTB/SmolLM2-135M": FOLDER,
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": SHARDED,
    "meta-llama/Llama-2-7b-hf": FOLDER,
}

SCRIPT = """
import json, sys
from minillama.checkpoints import hub

assert "huggingface_hub" not in sys.modules, "imported before it is needed"
seen, answer = [], {}
try:
    found = hub.resolve(sys.argv[1], progress=lambda *report: seen.append(report), offline="offline" in sys.argv[2:])
    answer = {"path": str(found.path), "tokenizer": found.tokenizer and str(found.tokenizer)}
except hub.DownloadError as error:
    assert error.__cause__ is None and (error.__context__ is None or error.__suppress_context__)
    answer = {"error": str(error)}
located = hub.locate(sys.argv[1])
cached = [(model.known.name, str(model.path), model.n_bytes, model.in_hub_cache) for model in hub.cached_models()]
cached = [entry for entry in cached if not entry[0].startswith("stories3M")]  # ship inside
print(json.dumps({**answer, "located": located and str(located), "cached": cached, "seen": seen}))
"""


class FakeHub(SmallHub):
    """As much of the Hub as downloading needs."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.requests: list[tuple[str, str, str | None]] = []  # method, path, range
        self.refusal: tuple[int, str | None] | None = None  # status and X-Error-Code of every answer
        self.refuses_all = True  # or only the files, as the Hub does with gated models
        self.token: str | None = None  # what has to be sent, if anything
        self.cuts = 0  # how many transfers of large files break off in the middle
        self.wrong_bytes = False  # send other bytes than announced

    def got(self) -> list[str]:
        """The files whose content was asked for."""
        return [
            path.split(f"/resolve/{COMMIT}/")[-1].split("/resolve/main/")[-1]
            for method, path, _ in self.requests
            if method == "GET" and "/resolve/" in path
        ]


class HubHandler(SmallHubHandler):
    server: FakeHub

    def answer(self) -> None:
        """Refuse, describe a repository, or send a file of one."""
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append((self.command, path, self.headers.get("Range")))
        if self.server.refusal is not None and (self.server.refuses_all or "/resolve/" in path):
            return self.refuse(*self.server.refusal)
        if self.server.token is not None and self.headers.get("Authorization") != f"Bearer {self.server.token}":
            return self.refuse(401, "GatedRepo")
        for repo, files in REPOS.items():
            if path == f"/api/models/{repo}":
                return self.send(200, json.dumps(describe(repo, files)).encode())
            for prefix in (f"/{repo}/resolve/main/", f"/{repo}/resolve/{COMMIT}/"):
                if path.startswith(prefix) and path.removeprefix(prefix) in files:
                    return self.send_content(files[path.removeprefix(prefix)])
        return self.refuse(404, "RepoNotFound")

    def refuse(self, status: int, code: str | None) -> None:
        self.send(status, b'{"error": "no"}', **({"X-Error-Code": code} if code else {}))

    def send_content(self, content: bytes) -> None:
        """A file, or the rest of it; large ones sometimes break off."""
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{blob(content)}"', "Accept-Ranges": "bytes"}
        if is_large(content):
            headers |= {"X-Linked-Etag": f'"{blob(content)}"', "X-Linked-Size": str(len(content))}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        body = content[start:]
        if self.server.wrong_bytes and is_large(content):
            body = b"?" + body[1:]
        sent = None
        if self.command == "GET" and is_large(content) and self.server.cuts > 0:
            self.server.cuts -= 1
            sent = len(body) // 2
        self.send(206 if start else 200, body, sent, **headers)


def is_large(content: bytes) -> bool:
    """Whether the Hub would keep it outside git."""
    return len(content) > 5_000


def blob(content: bytes) -> str:
    """What the Hub calls a content."""
    return hashlib.sha256(content).hexdigest() if is_large(content) else hashlib.sha1(content).hexdigest()


def describe(repo: str, files: dict[str, bytes]) -> dict[str, Any]:
    """A repository as /api/models tells of it."""
    siblings = []
    for name, content in files.items():
        sibling: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": hashlib.sha1(content).hexdigest()}
        if is_large(content):
            sibling["lfs"] = {"sha256": blob(content), "size": len(content), "pointerSize": 130}
        siblings.append(sibling)
    return {"_id": "1", "id": repo, "modelId": repo, "sha": COMMIT, "private": False, "tags": [], "siblings": siblings}


class Machine(NamedTuple):
    """A learner's machine: its caches and its settings."""

    home: Path
    environment: dict[str, str]

    def resolve(self, name: str, *arguments: str, **environment: str) -> dict[str, Any]:
        """What a new process finds under a name."""
        return answer_of(SCRIPT, name, *arguments, environment={**self.environment, **environment}, seconds=60)

    def hub_files(self) -> list[Path]:
        return [path for path in (self.home / "hf" / "hub").rglob("*") if path.is_file() and "blobs" in path.parts]


@pytest.fixture
def fake_hub():
    with running(FakeHub()) as server:
        yield server


@pytest.fixture
def machine(fake_hub, tmp_path) -> Machine:
    """Empty caches, and only those settings that the tests mean."""
    environment = settings_for(fake_hub, tmp_path, MINILLAMA_HOME=str(tmp_path / "home"))
    return Machine(tmp_path, environment)


def test_one_file_and_its_tokenizer(machine, fake_hub):
    """stories260K: exactly its two files, into the Hub's cache, found again without a network."""
    first = machine.resolve("stories260k")
    assert Path(first["path"]).read_bytes() == STORIES
    assert Path(first["tokenizer"]).name == "tok512.model"
    assert first["path"].startswith(str(machine.home / "hf"))
    assert sorted(fake_hub.got()) == ["stories260K/stories260K.bin", "stories260K/tok512.model"]
    assert first["located"] == first["path"]
    assert first["cached"] == [["stories260K", first["path"], len(STORIES), True]]
    assert [len(STORIES), len(STORIES), "downloading stories260K"] in first["seen"]
    assert not (machine.home / "home").exists(), "nothing is copied"

    fake_hub.requests.clear()
    again = machine.resolve("stories260K", "offline", HF_ENDPOINT="http://127.0.0.1:9")
    assert (again["path"], again["tokenizer"]) == (first["path"], first["tokenizer"])
    assert again["seen"] == []
    assert fake_hub.requests == []


@pytest.mark.parametrize(("name", "files"), [("smollm2-135m", FOLDER), ("tinyllama-1.1b-chat", SHARDED)])
def test_folder_holds_what_is_needed(name, files, machine, fake_hub):
    found = machine.resolve(name)
    folder = Path(found["path"])
    needed = {name for name in files if not name.startswith(("README", "onnx", "pytorch"))}
    assert folder.name == COMMIT
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {name: files[name] for name in needed}
    assert found["tokenizer"] is None
    assert sorted(fake_hub.got()) == sorted(needed)
    n_bytes = sum(len(files[name]) for name in needed)
    assert found["cached"] == [[name, found["path"], n_bytes, True]]
    downloading = [report[0] for report in found["seen"] if report[2] == f"downloading {name}"]
    assert downloading == sorted(downloading)
    assert downloading[-1] == n_bytes


@pytest.mark.parametrize(
    ("files", "others"),
    [
        (PICKLED, ["model.gguf", "training_args.bin"]),
        (PICKLED_SHARDS, ["pytorch_model-00003-of-00003.safetensors"]),
        ({**PICKLED_SHARDS, "pytorch_model.bin": BIG}, [name for name in PICKLED_SHARDS if name not in SMALL]),
        (BOTH, [name for name in BOTH if name.startswith(("pytorch", "training")) or name == "model.gguf"]),
        ({**BOTH, "model.safetensors": BIG}, [name for name in BOTH if name not in SMALL and name != "tokenizer.json"]),
    ],
    ids=["pickle", "pickled shards", "pickle before its shards", "safetensors before pickles", "whole before shards"],
)
def test_of_the_weights_only_the_kind_that_counts(machine, fake_hub, monkeypatch, files, others):
    """In transformers' order; what nobody would read is not downloaded."""
    monkeypatch.setitem(REPOS, "HuggingFaceTB/SmolLM2-135M", files)
    found = machine.resolve("smollm2-135m")
    assert {path.name for path in Path(found["path"]).iterdir()} == set(files).difference(others)
    assert not set(fake_hub.got()).intersection(others)
    assert fake_hub.got()[0] == "config.json"
    assert machine.resolve("smollm2-135m", "offline")["located"] == found["path"]


def test_a_pickled_shard_that_is_gone_makes_the_model_incomplete(machine, fake_hub, monkeypatch):
    monkeypatch.setitem(REPOS, "HuggingFaceTB/SmolLM2-135M", PICKLED_SHARDS)
    machine.resolve("smollm2-135m")
    for path in (machine.home / "hf/hub").rglob("snapshots/*/pytorch_model-00002-of-00002.bin"):
        path.unlink()
    assert machine.resolve("smollm2-135m", "offline")["located"] is None


def test_a_repository_without_weights_that_are_read(machine, fake_hub, monkeypatch):
    monkeypatch.setitem(REPOS, "HuggingFaceTB/SmolLM2-135M", {**SMALL, "model.onnx": b"x", "flax_model.msgpack": b"x"})
    assert "no config.json with weights as safetensors or pytorch_model.bin" in machine.resolve("smollm2-135m")["error"]


SPLIT_SCRIPT = """
import json, sys
from minillama.checkpoints.hub.downloads import DownloadError
from minillama.checkpoints.hub.registry import HubSource
from minillama.checkpoints.hub.snapshots import fetch_from_hub, find_in_hub_cache

source = HubSource("HuggingFaceTB/SmolLM2-135M", sys.argv[1])
try:
    path = str(fetch_from_hub(source, "x", lambda *_: None))
except DownloadError as error:
    path = str(error)
print(json.dumps([path, str(find_in_hub_cache(source))]))
"""


def test_one_part_of_a_split_gguf_brings_the_others(machine, fake_hub, monkeypatch):
    files = {f"q8/m-0000{i}-of-00003.gguf": BIG[: 1000 * i] for i in (1, 2, 3)}
    monkeypatch.setitem(REPOS, "HuggingFaceTB/SmolLM2-135M", {**files, "q8/n-00001-of-00003.gguf": b"x", **SMALL})
    monkeypatch.setattr(sys.modules[__name__], "SCRIPT", SPLIT_SCRIPT)
    path, found = machine.resolve("q8/m-00002-of-00003.gguf")
    assert path == found
    assert path.endswith("/q8/m-00002-of-00003.gguf")
    assert sorted(fake_hub.got()) == sorted(files)
    (Path(path).parent / "m-00003-of-00003.gguf").unlink()
    monkeypatch.setitem(REPOS, "HuggingFaceTB/SmolLM2-135M", dict(list(files.items())[:2]))
    error, found = machine.resolve("q8/m-00001-of-00003.gguf")
    assert "has no file q8/m-00003-of-00003.gguf" in error
    assert found == "None"


def test_tokenizer_alone_does_not_make_its_repository_a_model(machine, fake_hub):
    """The stories take their tokenizer out of TinyLlama's repository, which is then in the cache in part."""
    machine.resolve("tinyllama-1.1b-chat")
    for path in (machine.home / "hf/hub").rglob("snapshots/*/model-2-of-2.safetensors"):
        path.unlink()
    assert machine.resolve("tinyllama-1.1b-chat", "offline")["located"] is None


def test_transfer_that_breaks_off_goes_on_where_it_was(machine, fake_hub, monkeypatch):
    weights = np.random.default_rng(3).bytes(25_000_000)  # the library writes ten megabytes at a time
    monkeypatch.setitem(REPOS, "HuggingFaceTB/SmolLM2-135M", {**FOLDER, "model.safetensors": weights})
    fake_hub.cuts = 1
    found = machine.resolve("smollm2-135m")
    if "error" not in found:  # the library waited a second before it continued
        assert any(0 < done < total for done, total, _ in found["seen"]), "half is reported as half"
    else:  # old versions of the library continue only when asked again
        assert "try again" in found["error"]
        assert found["located"] is None
        found = machine.resolve("smollm2-135m")
    assert (Path(found["path"]) / "model.safetensors").read_bytes() == weights
    ranges = [
        what for method, path, what in fake_hub.requests if path.endswith("model.safetensors") and method == "GET"
    ]
    assert len(ranges) == 2
    assert int(ranges[1].removeprefix("bytes=").split("-")[0]) > 0


def test_other_bytes_than_promised_are_deleted(machine, fake_hub):
    fake_hub.wrong_bytes = True
    found = machine.resolve("stories260K")
    assert "checksum is wrong" in found["error"]
    assert hashlib.sha256(STORIES).hexdigest() in found["error"]
    assert hashlib.sha256(b"?" + STORIES[1:]).hexdigest() in found["error"]
    assert found["located"] is None
    assert machine.hub_files() == []
    fake_hub.wrong_bytes = False
    assert Path(machine.resolve("stories260K")["path"]).read_bytes() == STORIES


@pytest.mark.parametrize(
    ("status", "code", "refuses_all"),
    [(401, "GatedRepo", True), (401, "GatedRepo", False), (403, "GatedRepo", False), (403, None, False)],
)
def test_gated_model_says_how_to_get_it(status, code, refuses_all, machine, fake_hub):
    fake_hub.refusal, fake_hub.refuses_all = (status, code), refuses_all
    error = machine.resolve("llama-2-7b")["error"]
    for part in ("gated", "https://huggingface.co/meta-llama/Llama-2-7b-hf", "HF_TOKEN", "hf auth login"):
        assert part in error
    assert "\n" not in error


def test_token_of_the_environment_is_used(machine, fake_hub):
    fake_hub.token = "hf_secret"
    assert "is gated" in machine.resolve("llama-2-7b")["error"]
    assert "path" in machine.resolve("llama-2-7b", HF_TOKEN="hf_secret")


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        ((404, "RepoNotFound"), "has no HuggingFaceTB/SmolLM2-135M"),
        ((401, None), "(HTTP 401): it is private or gone, or your token is old"),
        ((401, "RepoNotFound"), "(HTTP 401): it is private or gone, or your token is old"),
        ((403, None), "(HTTP 403)"),
        ((500, None), "HTTP 500"),
    ],
)
def test_other_refusals_are_explained(refusal, said, machine, fake_hub):
    fake_hub.refusal = refusal
    assert said in machine.resolve("smollm2-135m")["error"]


def test_without_a_network(machine):
    found = machine.resolve("smollm2-135m", HF_ENDPOINT="http://127.0.0.1:9")
    assert "Check the network" in found["error"]
    assert found["located"] is None


def test_offline(machine, fake_hub):
    assert "offline was asked for" in machine.resolve("smollm2-135m", "offline")["error"]
    assert "HF_HUB_OFFLINE is set" in machine.resolve("smollm2-135m", HF_HUB_OFFLINE="1")["error"]
    assert fake_hub.requests == []
    assert machine.hub_files() == []


def test_file_that_left_the_repository(machine, monkeypatch):
    monkeypatch.setitem(REPOS, "karpathy/tinyllamas", {"README.md": b"moved"})
    assert "has no file stories260K/stories260K.bin" in machine.resolve("stories260K")["error"]
