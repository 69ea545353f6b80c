"""An evaluation from tasks to results, on the model that ships inside: it needs no network."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from blas_kernels import needs_wide

import minillama
from minillama.evaluation.results.folder import FolderError
from minillama.evaluation.run import BUNDLED, sources_of, tasks_of
from minillama.evaluation.tasks.catalogue import TASKS

STORIES = TASKS["stories_cloze"]


@pytest.fixture(scope="module")
def llm():
    return minillama.load("stories3M")


@pytest.fixture(scope="module")
def documents():
    return sources_of([], hub=False).split(STORIES.dataset, "test")


def files_without_times(folder: Path) -> dict[str, bytes]:
    """The files of a run by their names, the times in both left out."""
    stamp = json.loads((folder / "times.json").read_text())["started"].replace(":", "-")
    found = {}
    for path in folder.iterdir():
        if path.is_file() and path.name not in ("times.json", ".lock"):
            content = path.read_bytes()
            if path.name == "report.html":
                content = re.sub(rb'<p[^>]*id="times">.*?</p>', b"", content)
            if path.name == "report.md":
                content = b"\n".join(content.split(b"\n")[4:])
            found[path.name.replace(stamp, "TIME")] = content
    return found


def test_the_score_is_that_of_log_probabilities_one_by_one(llm, documents):
    right = 0
    for document in documents:
        sums = [llm.logprobs(document["beginning"], f" {ending}").sum() for ending in document["endings"]]
        right += int(np.argmax(sums)) == document["label"]
    evaluation = minillama.evaluate(llm, "stories_cloze", hub=False)
    assert evaluation.results["stories_cloze"]["acc"] == right / len(documents)
    assert evaluation["stories_cloze"].scores["acc,none"].interval.low > 0.5  # it knows its stories
    assert "stories_cloze" in str(evaluation)


def test_the_bundled_stories_favour_no_place_and_no_length(documents):
    assert len(documents) >= 60
    labels = [document["label"] for document in documents]
    assert [labels.count(i) for i in range(4)] == [len(documents) // 4] * 4
    assert all(len(set(document["endings"])) == 4 for document in documents)
    assert len({document["beginning"] for document in documents}) == len(documents)
    longest = [max(range(4), key=lambda i, d=d: len(d["endings"][i])) == d["label"] for d in documents]
    assert 0.15 < np.mean(longest) < 0.35


@needs_wide
def test_results_are_the_same_bytes_whatever_was_kept(llm, tmp_path):
    options = {"hub": False, "store": tmp_path / "store"}
    minillama.evaluate(llm, "stories_cloze", hub=False, out=tmp_path / "a")
    minillama.evaluate(llm, "stories_cloze", limit=10, **options)
    minillama.evaluate(llm, "stories_cloze", out=tmp_path / "b", **options)  # 10 of 64 were kept
    minillama.evaluate(llm, "stories_cloze", out=tmp_path / "c", **options)  # all were
    minillama.evaluate(llm, "stories_cloze", hub=False, out=tmp_path / "d", batch_size=3)
    first = files_without_times(tmp_path / "a")
    assert set(first) == {
        "settings.json",
        "report.html",
        "report.md",
        "results_TIME.json",
        "samples_stories_cloze_TIME.jsonl",
    }
    for other in "bcd":
        assert files_without_times(tmp_path / other) == first


def test_no_file_but_one_holds_times(llm, tmp_path):
    minillama.evaluate(llm, "stories_cloze", hub=False, limit=4, out=tmp_path / "run")
    year = json.loads((tmp_path / "run" / "times.json").read_text())["started"][:10].encode()
    assert [name for name, content in files_without_times(tmp_path / "run").items() if year in content] == []


KILLED = """
import json, os, signal, sys
from pathlib import Path
import minillama
from minillama.evaluation.results import folder

out, moments = Path(sys.argv[1]), int(sys.argv[2])
llm = minillama.load("stories3M", threads=1)

def run(path, **options):
    return minillama.evaluate(llm, "stories_cloze", hub=False, out=path, batch_size=2, **options)

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def in_a_child(work):
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

class AfterCalls:
    def __init__(self, n):
        self.n = n
    def __call__(self, *_):
        self.n -= 1
        if self.n == 0:
            die()

def killed_while_asking(path, n):
    run(path, progress=AfterCalls(n))

def killed_while_writing(path, n):
    replace, counted = os.replace, AfterCalls(n)
    def replaced(*names):
        counted()
        replace(*names)
    os.replace = replaced
    run(path)

calls = []
run(out / "whole", progress=calls.append)
n_asking = moments // 2
for i in range(moments):
    path = out / f"killed{i}"
    if i < n_asking:
        n = 1 + i * (len(calls) - 1) // n_asking
        code = in_a_child(lambda: killed_while_asking(path, n))
    else:
        code = in_a_child(lambda: killed_while_writing(path, 1 + (i - n_asking) % 7))
    assert code == -signal.SIGKILL, (i, code)
    asked = []
    run(path, resume=True, progress=asked.append)
    print(i, len(calls), len(asked), asked[0].answered if asked else "all")
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="children of a process are made by fork here")
@needs_wide
def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path):
    """kill -9 at 20 moments: 10 while the model is asked, 10 while the files are written."""
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLED, str(tmp_path), "20"], capture_output=True, text=True, timeout=280
    )
    assert found.returncode == 0, found.stderr[-2000:]
    lines = [line.split() for line in found.stdout.splitlines()]
    assert len(lines) == 20
    assert any(0 < int(again) < int(whole) for _, whole, again, _ in lines[:10])  # some were asked before, not all
    # Two files are written before anything is asked; later everything is answered.
    assert all(again == "0" for i, (_, _, again, _) in enumerate(lines[10:]) if i % 7 >= 2)
    whole = files_without_times(tmp_path / "whole")
    for i in range(20):
        assert files_without_times(tmp_path / f"killed{i}") == whole


def test_a_run_goes_on_only_with_its_settings(llm, tmp_path):
    minillama.evaluate(llm, "stories_cloze", hub=False, limit=4, out=tmp_path / "run")
    with pytest.raises(FolderError, match=r"asking.limit is 5 now and was 4"):
        minillama.evaluate(llm, "stories_cloze", hub=False, limit=5, out=tmp_path / "run", resume=True)
    with pytest.raises(FolderError, match="--resume"):
        minillama.evaluate(llm, "stories_cloze", hub=False, limit=4, out=tmp_path / "run")


def test_a_task_of_one_s_own(llm, tmp_path):
    """A task is a value: another prompt for the same stories."""
    mine = dataclasses.replace(STORIES, name="mine", prompt=lambda document: "Once. " + document["beginning"])
    (tmp_path / "stories_cloze").mkdir()
    row = {"beginning": "The cat", "endings": ["sat.", "of."], "label": 0}
    (tmp_path / "stories_cloze" / "test.jsonl").write_text(json.dumps(row) + "\n")
    evaluation = minillama.evaluate(llm, [mine], data=[tmp_path], hub=False)
    assert evaluation["mine"].items[0].item.requests[0].context == "Once. The cat"  # the reader's folder comes first
    with pytest.raises(ValueError, match="two different tasks are named 'stories_cloze'"):
        tasks_of([STORIES, dataclasses.replace(STORIES)])
    with pytest.raises(ValueError, match=r"a task is named '\.\./mine'"):
        tasks_of(dataclasses.replace(STORIES, name="../mine"))


@pytest.mark.parametrize(
    ("tasks", "options", "said"),
    [
        ("storys_cloze", {}, "did you mean stories_cloze"),
        ("", {}, "no task is named"),
        ("arc_easy", {}, r"no documents of arc_easy \(test\)"),
        ("stories_cloze", {"chat": True}, "leave out --chat"),
        ("stories_cloze", {"data": ["/no/such/folder"]}, "/no/such/folder is no folder"),
        ("stories_cloze", {"n_shots": 2}, "has no examples to show"),
        ("stories_cloze", {"limit": 0}, "limit"),
        ("stories_cloze", {"max_length": 10_000}, "reads 512 tokens at most"),
    ],
)
def test_what_is_not_possible_is_said_before_anything_is_asked(llm, tasks, options, said):
    with pytest.raises(ValueError, match=said):
        minillama.evaluate(llm, tasks, hub=False, **options)


def test_items_that_do_not_fit_are_marked(llm):
    evaluation = minillama.evaluate(llm, "stories_cloze", hub=False, limit=20, max_length=12)
    result = evaluation["stories_cloze"]
    assert 0 < len(result.truncated) < 20
    assert f"{len(result.truncated)} items did not fit" in str(evaluation)
    tiny = minillama.evaluate(llm, "stories_cloze", hub=False, limit=20, max_length=3)["stories_cloze"]
    assert tiny.unscored
    assert tiny.scores["acc,none"].n == 20 - len(tiny.unscored)


def test_the_bundle_ships_with_the_package():
    assert (BUNDLED / "stories_cloze" / "test.jsonl").is_file()
