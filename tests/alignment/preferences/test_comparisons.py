"""Comparisons: what is known of them, files that give back what was written, mixtures, and pairs of ids."""

import gzip
import json

import numpy as np
import pytest

import minillama
from minillama.alignment.models import Prompt
from minillama.alignment.preferences import (
    BINS,
    STRENGTHS,
    Comparison,
    Verdict,
    as_comparison,
    mixed,
    read_comparisons,
    read_hh_rlhf,
    safety_set,
    write_comparisons,
)
from minillama.alignment.reward import batch_of, token_pairs
from minillama.inference.chat import Llama2Chat, Zephyr

PROMPT = Prompt(
    "p-1", ({"role": "user", "content": "How does Bob hug?"},), "kind", True, {"name": "Bob", "words": ["run"]}
)
WHOLE = Comparison(PROMPT, "Kindly.\nVery – so.", "", 3, True, False, "round 1", (5, 6, 2), (7,))


def test_safety_says_the_bin():
    flags = [(True, False), (True, True), (False, False), (False, True), (None, None)]
    found = [Comparison(PROMPT, "a", "b", 0, *pair) for pair in flags]
    assert [comparison.bin for comparison in found] == [*BINS, None, None]
    assert safety_set(found) == found[:3]
    assert [comparison.has_safety for comparison in found] == [True] * 4 + [False]
    assert WHOLE.tagged
    assert len(STRENGTHS) == 4
    with pytest.raises(ValueError, match="0 to 3 or None, got 4"):
        Comparison(PROMPT, "a", "b", 4)
    with pytest.raises(ValueError, match="both answers or of none"):
        Comparison(PROMPT, "a", "b", 1, True)


def test_the_preferred_answer_comes_first():
    found = as_comparison(PROMPT, ("a", "b"), Verdict(False, 2, True, False), source="s", ids=([1, 2], [3]))
    assert found == Comparison(PROMPT, "b", "a", 2, False, True, "s", (3,), (1, 2))
    assert as_comparison(PROMPT, ("a", "b"), Verdict(True, 0)) == Comparison(PROMPT, "a", "b", 0)


def test_own_files_give_back_what_was_written(tmp_path):
    written = [WHOLE, Comparison(Prompt("2", PROMPT.dialogue), "a", "b")]
    write_comparisons(tmp_path / "pairs.jsonl", written)
    assert read_comparisons(tmp_path / "pairs.jsonl") == written
    raw = (tmp_path / "pairs.jsonl").read_bytes()
    (tmp_path / "pairs.jsonl.gz").write_bytes(gzip.compress(raw))
    assert read_comparisons(tmp_path / "pairs.jsonl.gz") == written


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"strength": 7}, r"line 1: strength should be 0 to 3"),
        ({"strength": 1.5}, "'strength' should be a whole number"),
        ({"strength": True}, "'strength' should be a whole number"),
        ({"chosen": 3}, "'chosen' should be a text, found 3"),
        ({"chosen_safe": 1}, "'chosen_safe' should be true or false, found 1"),
        ({"rejected_safe": None}, "both answers or of none"),
        ({"chosen_ids": [1, -2]}, "'chosen_ids' should be a list of ids"),
        ({"prompt": {"id": "x"}}, "line 1: expected a text or a list of messages"),
        ({"prompt": "x"}, "'prompt' should be an object with an id and a dialogue"),
        ({"prompt": {"id": "x", "dialogue": [{"role": "assistant", "content": ""}]}}, "end with a message of the user"),
        ({"prompt": {"id": "x", "dialogue": "a", "facts": []}}, "'facts' of the prompt should be an object"),
        ({"margin": 1}, "found margin"),
    ],
)
def test_rows_that_are_no_comparison_are_named(tmp_path, changed, message):
    write_comparisons(tmp_path / "pairs.jsonl", [WHOLE])
    row = json.loads((tmp_path / "pairs.jsonl").read_text())
    (tmp_path / "pairs.jsonl").write_text(json.dumps({**row, **changed}) + "\n")
    with pytest.raises(ValueError, match=message):
        read_comparisons(tmp_path / "pairs.jsonl")


def test_hh_rlhf_is_read(shared_data, tmp_path):
    helpful = read_hh_rlhf(shared_data / "hh-rlhf/helpful-base.jsonl.gz")
    harmless = read_hh_rlhf(shared_data / "hh-rlhf/harmless-base.jsonl.gz", tagged=True)
    assert (len(helpful), len(harmless)) == (1954, 1912)
    first = helpful[0]
    assert first.prompt.dialogue[0]["content"].startswith("Do you know why turkeys")
    assert first.chosen.startswith("To be honest, I don’t know")
    assert first.rejected.startswith("I know that the American Indians")
    assert (first.strength, first.bin, first.source, first.prompt.id) == (None, None, "helpful-base", "helpful-base-0")
    assert all(pair.tagged and pair.prompt.dialogue[-1]["role"] == "user" for pair in harmless)
    longer = np.mean([len(pair.chosen) > len(pair.rejected) for pair in helpful])
    assert longer == pytest.approx(0.61, abs=0.01)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"chosen": "\n\nHuman: a\n\nAssistant: b"}, "line 1: 'rejected'"),
        ({"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: c\n\nAssistant: b"}, "last answer only"),
        ({"chosen": "\n\nAssistant: b", "rejected": "\n\nHuman: c\n\nAssistant: b"}, "begin with"),
        ([], "expected a JSON object"),
    ],
)
def test_malformed_rows_of_hh_rlhf_are_named(tmp_path, row, message):
    (tmp_path / "bad.jsonl").write_text(json.dumps(row) + "\n" if row else "3\n")
    with pytest.raises(ValueError, match=message):
        read_hh_rlhf(tmp_path / "bad.jsonl")


def test_mixtures_have_the_shares_of_the_paper():
    own, others = [f"own {i}" for i in range(90)], [f"other {i}" for i in range(500)]
    half, tenth = mixed(own, others, 0.5, seed=1), mixed(own, others, 0.9, seed=1)
    assert (len(half), len(tenth)) == (180, 100)
    assert half[:90] == tenth[:90] == own
    assert len(set(half)) == 180
    assert half == mixed(own, others, 0.5, seed=1)
    assert half != mixed(own, others, 0.5, seed=2)
    assert mixed(own, others[:3], 0.5, seed=1)[90:] == others[:3]
    assert mixed(own, others, 1, seed=0) == own
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        mixed(own, others, 0, seed=0)


def test_two_verdicts_on_one_pair_are_not_mixed():
    """The helpful answer is the unsafe one: in the other set the same pair stands the other way round."""
    prompts = [Prompt(str(n), PROMPT.dialogue) for n in range(20)]
    safe = [Comparison(prompt, "a kind turn", "as asked", 3, True, False) for prompt in prompts[:10]]
    helpful = [Comparison(prompt, "as asked", "a kind turn", 3) for prompt in prompts]
    about = lambda comparison: comparison.prompt.id
    assert mixed(helpful, safe, 0.5, seed=1, about=about) == helpful
    found = mixed(safe, helpful, 0.9, seed=1, about=about)
    assert found[:10] == safe
    assert len(found) == 11
    assert found[10] in helpful[10:]


def test_ids_are_those_that_were_sampled_or_of_the_format():
    tokenizer, chat = minillama.load("stories3M").tokenizer, Llama2Chat()
    comparison = Comparison(PROMPT, "He hugs Ann.", "No.", 1, True, False)
    (pair,) = token_pairs([comparison], chat, tokenizer)
    dialogue = list(PROMPT.dialogue)
    for ids, text in ((pair.chosen, "He hugs Ann."), (pair.rejected, "No.")):
        whole = [*dialogue, {"role": "assistant", "content": text}]
        assert ids.tolist() == chat.encode(whole, tokenizer, generation_prompt=False)
    (sampled,) = token_pairs([WHOLE], chat, tokenizer)
    prompt = chat.encode(dialogue, tokenizer)
    assert sampled.chosen.tolist() == [*prompt, 5, 6, 2]
    assert sampled.rejected.tolist() == [*prompt, 7]
    assert sampled.n_tokens == len(prompt) + 4
    batch = batch_of([pair, sampled], "large")
    assert batch.margins.tolist() == [1, 3]
    np.testing.assert_array_equal(batch.safe, [[1, 0], [1, 0]])

    (ended,) = token_pairs([comparison], Zephyr(), tokenizer)  # which sets a line break behind the end
    assert ended.chosen[-1] == ended.rejected[-1] == tokenizer.eos_id  # where the score of a sampled one is read

    left = []
    assert token_pairs([comparison, WHOLE], chat, tokenizer, max_tokens=len(prompt) + 3, left_out=left.append)
    assert left == [comparison]
    with pytest.raises(ValueError, match=r"prompt p-1 has \d+ tokens, more than 20"):
        token_pairs([comparison], chat, tokenizer, max_tokens=20)
