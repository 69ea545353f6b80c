"""Documents from the Hugging Face Hub: the library itself, against a small Hub on this machine. No network.

Each reading runs in a process of its own, because huggingface_hub reads its settings once, at import.
"""

from __future__ import annotations

import hashlib
import io
import json
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from rows_by_hand import ARC, GSM8K, MMLU, PIQA, lines
from small_hub import SmallHub, SmallHubHandler, answer_of, running, settings_for

from minillama.evaluation.sources.hub import parse_hub, split_files

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONVERTED = "89abcdef0123456789abcdef0123456789abcdef"


def table(*rows: dict[str, Any]) -> bytes:
    """Rows as a Parquet file."""
    file = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(list(rows)), file)
    return file.getvalue()


README = b"""---
configs:
- config_name: ARC-Challenge
  data_files:
  - split: test
    path: ARC-Challenge/test-*
- config_name: ARC-Easy
  data_files:
  - split: train
    path: ARC-Easy/train-*
  - split: test
    path: ARC-Easy/test-*
---
# Questions
"""
Files = dict[str, bytes]
REPOS: dict[tuple[str, str], Files] = {
    ("allenai/ai2_arc", COMMIT): {
        "README.md": README,
        "ARC-Challenge/test-00000-of-00001.parquet": table({**ARC, "id": "hard"}),
        "ARC-Easy/test-00000-of-00002.parquet": table({**ARC, "id": "first"}),
        "ARC-Easy/test-00001-of-00002.parquet": table({**ARC, "id": "second"}),
        "ARC-Easy/train-00000-of-00001.parquet": table({**ARC, "id": "shot"}),
    },
    ("cais/mmlu", COMMIT): {"anatomy/test-00000-of-00001.parquet": table(MMLU), "data.tar": b"x" * 9000},
    ("openai/gsm8k", COMMIT): {"README.md": b"no metadata", "main/test.jsonl": lines(GSM8K).encode()},
    ("baber/piqa", COMMIT): {"piqa.py": b"a script"},
    ("baber/piqa", CONVERTED): {"default/validation/0000.parquet": table(PIQA)},
    ("google-research-datasets/nq_open", COMMIT): {"data/validation-00000-of-00001.parquet": b"PAR1 broken PAR1"},
}
SCRIPT = """
import json, sys
from pathlib import Path
from minillama.evaluation.common.task import Dataset
from minillama.evaluation.sources.reading import DocumentError, Sources

assert "huggingface_hub" not in sys.modules, "imported before it is needed"
name, hub, split, folder = sys.argv[1:]
sources = Sources([Path(folder)])
try:
    answer = sources.split(Dataset(name, hub), split)
except DocumentError as error:
    assert error.__cause__ is None and error.__suppress_context__
    answer = str(error)
print(json.dumps(answer))
"""


class FakeHub(SmallHub):
    """As much of the Hub as datasets need."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.got: list[str] = []
        self.refusal: tuple[int, str] | None = None


class HubHandler(SmallHubHandler):
    server: FakeHub

    def answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if self.server.refusal is not None:
            return self.send(self.server.refusal[0], b"{}", **{"X-Error-Code": self.server.refusal[1]})
        for (repo, commit), files in REPOS.items():
            names = [commit, "refs/convert/parquet"] if commit == CONVERTED else [commit, "main"]
            if path in {f"/api/datasets/{repo}/revision/{name}" for name in names} or (
                commit == COMMIT and path == f"/api/datasets/{repo}"
            ):
                siblings = [{"rfilename": name} for name in files]
                info = {"_id": "1", "id": repo, "sha": commit, "private": False, "tags": [], "siblings": siblings}
                return self.send(200, json.dumps(info).encode())
            for name in names:
                prefix = f"/datasets/{repo}/resolve/{name}/"
                if path.startswith(prefix) and path.removeprefix(prefix) in files:
                    return self.send_content(commit, path.removeprefix(prefix), files[path.removeprefix(prefix)])
        code = "RevisionNotFound" if any(f"/{repo}/" in path for repo, _ in REPOS) else "RepoNotFound"
        return self.send(404, b"{}", **{"X-Error-Code": code})

    def send_content(self, commit: str, name: str, content: bytes) -> None:
        if self.command == "GET":
            self.server.got.append(name)
        etag = hashlib.sha1(content).hexdigest()
        self.send(200, content, **{"X-Repo-Commit": commit, "ETag": f'"{etag}"'})


@pytest.fixture
def fake_hub():
    with running(FakeHub()) as server:
        yield server


@pytest.fixture
def read(fake_hub, tmp_path):
    """What a new process reads: documents, or what is said."""
    settings = settings_for(fake_hub, tmp_path)

    def run(name: str, hub: str, split: str, **environment: str) -> Any:
        return answer_of(SCRIPT, name, hub, split, str(tmp_path / "data"), environment={**settings, **environment})

    return run


def test_as_the_readme_says(read, fake_hub):
    """Both parts of the split that is asked for and nothing else, found again without a network."""
    found = read("arc_easy", "allenai/ai2_arc:ARC-Easy", "test")
    assert [document["id"] for document in found] == ["first", "second"]
    assert fake_hub.got == ["README.md", "ARC-Easy/test-00000-of-00002.parquet", "ARC-Easy/test-00001-of-00002.parquet"]
    offline = read("arc_easy", "allenai/ai2_arc:ARC-Easy", "test", HF_HUB_OFFLINE="1")
    gone = read("arc_easy", "allenai/ai2_arc:ARC-Easy", "test", HF_ENDPOINT="http://127.0.0.1:9")
    assert found == offline == gone
    assert len(fake_hub.got) == 3
    assert [d["id"] for d in read("arc_challenge", "allenai/ai2_arc:ARC-Challenge", "test")] == ["hard"]


def test_usual_names_without_a_word_of_the_readme(read):
    assert read("mmlu_anatomy", "cais/mmlu:anatomy", "test") == [MMLU]
    assert read("gsm8k", "openai/gsm8k:main", "test") == [GSM8K]


def test_a_repository_with_a_script(read, fake_hub):
    """The Hub's own conversion stands on another branch."""
    assert read("piqa", "baber/piqa", "validation") == [PIQA]
    assert fake_hub.got == ["default/validation/0000.parquet"]


def test_a_revision_that_is_named(read):
    assert len(read("arc_easy", f"allenai/ai2_arc@{COMMIT}:ARC-Easy", "test")) == 2
    assert "has no revision nothing" in read("arc_easy", "allenai/ai2_arc@nothing:ARC-Easy", "test")


def test_local_folders_come_first(read, fake_hub, tmp_path):
    (tmp_path / "data" / "gsm8k").mkdir(parents=True)
    (tmp_path / "data" / "gsm8k" / "test.jsonl").write_text(lines(GSM8K, GSM8K))
    assert len(read("gsm8k", "openai/gsm8k:main", "test")) == 2
    assert fake_hub.got == []


def test_what_is_said(read, fake_hub, tmp_path):
    said = read("arc_easy", "allenai/ai2_arc:ARC-Easy", "validation")
    assert str(tmp_path / "data" / "arc_easy") in said
    assert "https://huggingface.co/datasets/allenai/ai2_arc has no .jsonl" in said
    assert "ARC-Easy (validation)" in said
    assert "the Hub has no dataset some/thing (any more)" in read("thing", "some/thing", "test")
    broken = read("nq_open", "google-research-datasets/nq_open", "validation")
    assert "validation-00000-of-00001.parquet" in broken
    assert "expected a Parquet file" in broken
    fake_hub.refusal = (403, "GatedRepo")
    assert "accept its licence at https://huggingface.co/datasets/cais/mmlu" in read("mmlu_x", "cais/mmlu:x", "test")
    fake_hub.refusal = (503, "")
    assert "cais/mmlu" in read("mmlu_x", "cais/mmlu:x", "test")
    offline = read("gsm8k", "openai/gsm8k:main", "test", HF_HUB_OFFLINE="1")
    assert "openai/gsm8k is not in the Hub's cache and HF_HUB_OFFLINE is set" in offline
    assert "check the network" in read("gsm8k", "openai/gsm8k:main", "test", HF_ENDPOINT="http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("names", "split", "subset", "expected"),
    [
        (["data/test-00000-of-00001.parquet", "data/train-00000-of-00001.parquet"], "test", "", 0),
        (["x/test-00000-of-00001.parquet", "y/test-00000-of-00001.parquet"], "test", "y", 1),
        (["test.csv", "test.py"], "test", "", 0),
        (["x/validation/0000.parquet", "x/test/0000.parquet"], "test", "x", 1),
        (["latest-00000-of-00001.parquet", "contest.jsonl"], "test", "", None),
        (["y/test-00000-of-00001.parquet"], "test", "x", None),
    ],
)
def test_which_files_hold_a_split(names, split, subset, expected):
    assert split_files(names, {}, split, subset) == ([] if expected is None else [names[expected]])


@pytest.mark.parametrize("metadata", [{"configs": 3}, {"configs": ["x"]}, {"configs": [{"data_files": {"a": 1}}]}])
def test_a_readme_that_says_nothing_of_use(metadata):
    assert split_files(["data/test-0-of-1.parquet"], metadata, "test", "") == ["data/test-0-of-1.parquet"]


def test_names_on_the_hub():
    assert parse_hub("allenai/ai2_arc:ARC-Easy") == ("allenai/ai2_arc", None, "ARC-Easy")
    assert parse_hub("baber/piqa@abc") == ("baber/piqa", "abc", "")
