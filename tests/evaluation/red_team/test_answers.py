"""Answers of a model, kept as they come."""

import json
import os
import subprocess
import sys
import time

import pytest

import minillama
from minillama.evaluation.red_team.answers import Answers, Writing, dialogue_key, stream_answer
from minillama.evaluation.red_team.attacks import attacked
from minillama.evaluation.red_team.suites import read_suites

SHORT = Writing(max_tokens=8)
DIALOGUES = [attacked(prompt, "multi-turn") for prompt in read_suites(["stories"], limit=12)]


@pytest.fixture(scope="module")
def stories():
    return minillama.load("stories3M")


def test_answers_are_those_of_generate(stories, tmp_path):
    found = Answers(stories, tmp_path, SHORT).to(DIALOGUES)
    for dialogue, text in zip(DIALOGUES, found):
        prompt = "\n".join(message["content"] for message in dialogue) + "\n"
        assert text == stories.generate(prompt, max_tokens=8, temperature=0).text.strip()
        assert text == stream_answer(stories, dialogue, SHORT).run().text.strip()
    assert len(set(found)) > 3


def test_a_killed_run_goes_on(stories, tmp_path):
    whole = Answers(stories, tmp_path / "whole", SHORT).to(DIALOGUES)

    def stop(done, total):
        assert total == len(DIALOGUES)
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Answers(stories, tmp_path / "part", SHORT).to(DIALOGUES, stop)
    path = tmp_path / "part" / "answers.jsonl"
    path.write_bytes(path.read_bytes() + b'{"dialogue": "torn')
    seen = []
    again = Answers(stories, tmp_path / "part", SHORT)
    assert len(again.known) == 5
    assert again.to(DIALOGUES, lambda done, total: seen.append(done)) == whole
    assert seen == list(range(6, len(DIALOGUES) + 1))
    lines = path.read_bytes().splitlines()
    assert len({json.loads(line)["dialogue"] for line in lines}) == len(lines) == len(DIALOGUES)


def test_neither_order_nor_repetition_changes_what_is_drawn(stories, tmp_path):
    writing = Writing(max_tokens=6, temperature=1.0, seed=4)
    forward = Answers(stories, tmp_path / "a", writing).to(DIALOGUES)
    backward = Answers(stories, tmp_path / "b", writing).to([*DIALOGUES[::-1], DIALOGUES[0]])
    assert backward == [*forward[::-1], forward[0]]
    other = Answers(stories, tmp_path / "c", Writing(max_tokens=6, temperature=1.0, seed=5)).to(DIALOGUES)
    assert other != forward


def test_another_model_or_setting_is_refused(stories, tmp_path, stories260k):
    Answers(stories, tmp_path, SHORT)
    with pytest.raises(ValueError, match=r"another max_tokens \(8, now 9\)"):
        Answers(stories, tmp_path, Writing(max_tokens=9))
    with pytest.raises(ValueError, match="another model"):
        Answers(stories260k, tmp_path, SHORT)
    (tmp_path / "model.json").write_text("[")
    with pytest.raises(ValueError, match="cannot be read"):
        Answers(stories, tmp_path, SHORT)


def test_a_request_beyond_the_context_has_the_empty_answer(stories, tmp_path):
    long = [{"role": "user", "content": "a bear " * 5000}]
    assert Answers(stories, tmp_path, SHORT).to([long, DIALOGUES[0]])[0] == ""


def test_the_chat_template_is_used(smollm2, tmp_path):
    dialogue = [{"role": "user", "content": "What is the capital of France?"}]
    answers = Answers(smollm2, tmp_path, SHORT)
    assert answers.has_template
    assert answers.to([dialogue]) == ["The capital of France is Paris."]


def test_keys_tell_dialogues_apart():
    user = [{"role": "user", "content": "a"}]
    assert dialogue_key(user) == dialogue_key([dict(reversed(user[0].items()))])
    assert len({dialogue_key(d) for d in (user, [*user, *user], [{"role": "assistant", "content": "a"}])}) == 3


@pytest.mark.skipif(os.name == "nt", reason="kill -9 is Unix's")
@pytest.mark.slow
def test_kill_9_loses_no_answer_and_changes_none(tmp_path):
    """Killed when 1, 9 and 20 answers are there; in the end all is as in a run that was left alone."""

    def start(folder):
        command = ["minillama", "eval", "redteam", "-q", "--threads", "1", "-n", "24", "-o", str(tmp_path / folder)]
        return subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    path = tmp_path / "killed" / "answers.jsonl"
    for n_lines in (1, 9, 20):
        run, end = start("killed"), time.monotonic() + 100
        while run.poll() is None and time.monotonic() < end:
            if path.exists() and path.read_bytes().count(b"\n") >= n_lines:
                break
            time.sleep(0.001)
        run.kill()
        run.wait()
    assert path.read_bytes().count(b"\n") >= 20
    assert start("killed").wait() == start("whole").wait() == 0
    for name in ("items.jsonl", "report.json", "report.md"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
