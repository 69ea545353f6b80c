"""A safety model on the command line: `minillama chat --gate` and `minillama eval redteam --safety-model`."""

import shutil
import sys

import numpy as np
import pytest

from minillama.alignment.conversations import conversation_of
from minillama.alignment.models import ChatModel
from minillama.alignment.reward import RewardModel, Scorer, write_scorer
from minillama.alignment.safety import SafetyModel
from minillama.alignment.safety.gate import REFUSAL, Gate
from minillama.alignment.safety.scoring import p_safe
from minillama.cli.app import main
from minillama.inference.chat import Llama2Chat
from minillama.tokenizers import save_tokenizer
from minillama.training.checkpoint import HEADS_NAME

DIALOGUE = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Once upon a time"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    model = ChatModel.load("stories3M")
    path = tmp_path_factory.mktemp("safety")
    head = np.random.default_rng(1).normal(0, 0.01, model.config.dim).astype(np.float32)
    write_scorer(path, Scorer(RewardModel(model.params, head), model.config))
    save_tokenizer(model.tokenizer, path)
    return path


@pytest.fixture
def run(monkeypatch, capsys):
    def run(*args):
        monkeypatch.setattr(sys, "argv", ["minillama", *map(str, args)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return stop.value.code, captured.out, captured.err

    return run


def test_a_folder_scores_dialogues(folder):
    safety = SafetyModel.load(folder)
    ids = conversation_of(DIALOGUE, Llama2Chat(), safety.scorer.tokenizer).ids.tolist()
    assert safety.score(DIALOGUE) == pytest.approx(float(p_safe(safety.scorer, [ids])[0]))
    assert 0 < safety.score(DIALOGUE) < 1
    long = [DIALOGUE[0], {"role": "assistant", "content": "cat " * 600}]
    with pytest.raises(ValueError, match="the safety model reads 512"):
        safety.score(long)
    with pytest.raises(ValueError, match="expected the folder of a reward model"):
        SafetyModel.load(folder / "none")


def test_the_folder_of_a_chat_model_is_no_gate(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "chat")
    (tmp_path / "chat" / HEADS_NAME).unlink()
    with pytest.raises(ValueError, match="chat: folder: expected that of a reward model's checkpoint, found no heads"):
        SafetyModel.load(tmp_path / "chat")


CHAT = ("chat", "Hello", "-m", "stories3M", "--template", "llama-2", "-t", "0", "-n", "8", "--quiet")


def test_chat_behind_a_gate(run, folder):
    code, plain, _ = run(*CHAT)
    assert (code, plain.strip() != "") == (0, True)
    assert run(*CHAT, "--gate", folder, "--gate-threshold", "0") == (0, plain, "")
    assert run(*CHAT, "--gate", folder, "--gate-threshold", "1") == (0, REFUSAL + "\n", "")
    score = SafetyModel.load(folder).score([DIALOGUE[0], {"role": "assistant", "content": plain[:-1]}])
    passes = plain if score >= 0.15 else REFUSAL + "\n"
    assert run(*CHAT, "--gate", folder) == (0, passes, "")


def test_errors_of_a_gate(run, tmp_path):
    code, _, err = run(*CHAT, "--gate-threshold", "0.5")
    assert (code, "give the folder of its safety model" in err) == (1, True)
    code, _, err = run(*CHAT, "--gate", tmp_path / "none")
    assert (code, "expected the folder of a reward model's checkpoint" in err) == (1, True)


def test_a_conversation_remembers_what_was_said(folder, capsys):
    import minillama
    from minillama.cli.chat import Conversation

    llm = minillama.load("stories3M")
    talk = Conversation(llm, None, True, Gate(SafetyModel.load(folder), 1.0), template="llama-2", max_tokens=3, stop=())
    lines = iter(["Hello", "More"])

    def read():
        if (line := next(lines, None)) is None:
            raise EOFError
        return line

    talk.run(read)
    captured = capsys.readouterr()
    assert "shown once it is whole" in captured.err
    assert captured.out.count(REFUSAL) == 2
    assert [message["content"] for message in talk.messages] == ["Hello", REFUSAL, "More", REFUSAL]


def test_a_broken_off_answer_that_nobody_saw_is_forgotten(monkeypatch, folder):
    import minillama
    from minillama.cli import timed
    from minillama.cli.chat import Conversation

    llm = minillama.load("stories3M")
    talk = Conversation(llm, None, True, Gate(SafetyModel.load(folder), 0.0), template="llama-2", max_tokens=3, stop=())

    def stopped(self, to):
        raise KeyboardInterrupt

    monkeypatch.setattr(timed.Timed, "show", stopped)
    with pytest.raises(KeyboardInterrupt):
        talk.answer("Hello")
    assert talk.messages == []


def test_a_red_team_with_a_safety_model(run, folder, tmp_path):
    options = ("eval", "redteam", "-o", tmp_path, "--limit", 2, "-n", 4, "--safety-model", folder)
    code, out, _ = run(*options)
    assert (code, "- **safety model**: score(dialogue) below 0.5." in out) == (0, True)
    code, out, _ = run(*options, "--threshold", "0.15")
    assert (code, "- **safety model**: score(dialogue) below 0.15." in out) == (0, True)
    code, _, err = run(*options, "--scorer", "a:b")
    assert (code, "give one of them" in err) == (1, True)
