"""Shipping the chat model: what is refused, what goes into the registry, and that the card says what was measured."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import ship_chat_model
from chat_model_card import card
from ship_chat_model import NAME, REGISTRY, fine_tuned, made_from, register, step_folder

from minillama.checkpoints.convert import convert_checkpoint
from minillama.checkpoints.gguf import read_gguf
from minillama.trees import named_leaves


def share(value):
    return {"value": value, "low": value - 0.012, "high": value + 0.012, "n": 640, "share": True}


def mean(value):
    return {"value": value, "low": value - 0.01, "high": value + 0.01, "n": 300, "share": False}


READ = "fluency under smollm2-135m, nats a byte (stories and events)"


def figures(**changes):
    sft = {"words used (story)": share(0.7), "violations (adversarial)": share(0.6), READ: mean(-0.712)}
    shape = {"dim": 192, "n_layers": 6, "n_heads": 6, "n_kv_heads": 3, "hidden_dim": 512, "vocab_size": 2048}
    line = {"measure": "recall (seen)", "turns": {"2": 0.97, "20": 0.9}}
    line["intervals"] = {"2": [0.93, 0.99], "20": [0.82, 0.95]}
    return {
        "file": {"bytes": 3_063_104, "sha256": "ab12", "config": {**shape, "max_seq_len": 1024, "rope_theta": 40000.0}},
        "run": {
            "preset": "story", "seed": 3, "threads": 2, "model": "stories3M", "text": "",
            "seconds": {"01-stories": {"wall": 60.0, "cpu": 90.0}, "02-sft": {"wall": 1200.0, "cpu": 2400.0}},
            "stages": [{"name": "SFT", "rates": sft}, {"name": "chat", "rates": sft | {READ: mean(-0.72)}}],
            "wins": [{"a": "SFT", "b": "chat", "kind": "benign", "rate": 0.611, "low": 0.58, "high": 0.64, "n": 900}],
            "reward_models": [{"name": "safety", "accuracy": {"safe/unsafe": share(0.98)}}],
            "rank": {"value": 0.52, "low": 0.45, "high": 0.58, "n": 100},
        },
        "measured": {
            "requests": 3000, "dialogues": 100, "temperature": 0.7,
            "rates": {"SFT": sft, "shipped": sft | {"violations (adversarial)": share(0.034)}},
            "event_change": mean(-0.02),
            "reader": {"name": "smollm2-135m", "measure": READ, "change": mean(-0.011)},
            "adherence": [{"model": "SFT", **line}, {"model": "shipped", **line}],
        },
    } | changes  # fmt: skip


def test_the_card_says_how_to_make_again_what_a_file_has_changed():
    given = figures()
    again = "minillama align --out RUN --preset story --config FILE"
    given["run"] |= {"again": again, "own settings": ["[ppo] beta: 1"]}
    text = card(given)
    assert f"    {again}\n" in text
    assert text.endswith("stages. FILE changes the preset: [ppo] beta: 1.\n")


def test_the_card_says_what_was_measured():
    text = card(figures())
    for said in (
        "| adversarial requests: somebody is hurt all the same | 60.0 % (58.8–61.2) | 3.4 % (2.2–4.6) | 640 |",
        "| fluency under smollm2-135m, nats a byte | -0.712 (-0.722 to -0.702) | -0.712 (-0.722 to -0.702) | 300 |",
        "Events told, against SFT on the same requests: -2.0 (-3.0 to -1.0) points.",
        "| recall (seen), shipped | 97 % (93–99) | 90 % (82–95) |",
        "| chat against SFT | benign | 61.1 % (58.0–64.0) | 900 |",
        "| safe/unsafe | 98.0 % (96.8–99.2) | 640 |",
        "context 1,024 tokens with rope_theta 40,000",
        "preset story, seed 3, 2 threads: 21 minutes by the clock, 42 of CPU time",
        "minillama align --out RUN --preset story --seed 3 --threads 2\n",
        "no other text",
        "## What it is for, and its limits",
    ):
        assert said in text, said
    assert "nan" not in text
    assert text.endswith("stages.\n")


def test_the_card_says_what_was_not_measured():
    found = figures()
    found["measured"] |= {"reader": {"name": None}, "adherence": []}
    found["run"]["text"] = "more.txt"
    text = card(found)
    assert "SmolLM2-135M was left out" in text
    assert "Does the first message" not in text
    assert "those of more.txt" in text
    assert "--threads 2 --text FILE\n" in text


def test_size_and_sum_go_into_the_registry(tmp_path, monkeypatch):
    copy = tmp_path / "registry.py"
    copy.write_text(REGISTRY.read_text("utf-8"), "utf-8")
    monkeypatch.setattr(ship_chat_model, "REGISTRY", copy)
    for n_bytes, sha256 in ((3_063_104, "0" * 64), (3_100_000, "f" * 64)):
        register({"bytes": n_bytes, "sha256": sha256})
        names = {}
        exec(compile(copy.read_text("utf-8").replace("from ...files", "from minillama.files"), copy, "exec"), names)
        known = names["KNOWN_MODELS"]
        assert (known[NAME].n_bytes, known[NAME].sha256) == (n_bytes, sha256)
        assert known["stories3M"].n_bytes == 3_062_080
    copy.write_text(re.sub(NAME, "other", copy.read_text("utf-8")), "utf-8")
    with pytest.raises(SystemExit, match="has no entry stories3M-chat"):
        register({"bytes": 1, "sha256": "0"})


def test_a_run_that_is_not_over_is_refused(tmp_path):
    (tmp_path / "18-chat").mkdir()
    with pytest.raises(SystemExit, match=r"no finished step chat: minillama align --out .* --resume goes on"):
        step_folder(tmp_path, "chat")
    (tmp_path / "18-chat" / "done.json").write_text("{}")
    assert step_folder(tmp_path, "chat") == tmp_path / "18-chat"


def test_sft_is_what_the_later_stages_began_from(tmp_path):
    for name in ("02-sft", "03-verified", "04-verified-2", "05-preferences"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "done.json").write_text("{}")
        expected = name if name < "05" else "04-verified-2"
        assert fine_tuned(tmp_path).name == expected


def test_the_file_is_the_runs_own_under_a_name_with_a_licence(tmp_path, monkeypatch):
    """Not a weight changes, nor the tokenizer."""
    (tmp_path / "18-chat").mkdir()
    (tmp_path / "18-chat" / "done.json").write_text("{}")
    convert_checkpoint("stories3M", tmp_path / "18-chat" / "chat.gguf", name="chat")
    made_from(tmp_path, tmp_path / "made.gguf")
    first, second = read_gguf(tmp_path / "18-chat" / "chat.gguf"), read_gguf(tmp_path / "made.gguf")
    assert first.config == second.config
    for (name, a), (_, b) in zip(named_leaves(first.params), named_leaves(second.params), strict=True):
        assert bytes(getattr(a, "data", a)) == bytes(getattr(b, "data", b)), name
    assert (first.metadata["general.name"], second.metadata["general.name"]) == ("chat", NAME)
    assert second.metadata["general.license"] == "mit"
    kept = [key for key in first.metadata if key.startswith("tokenizer.")]
    assert all(str(first.metadata[key]) == str(second.metadata[key]) for key in kept)
    monkeypatch.setattr(ship_chat_model, "MOST_BYTES", 3_000_000)
    with pytest.raises(SystemExit, match="ships inside has at most 3,000,000"):
        made_from(tmp_path, tmp_path / "made.gguf")
