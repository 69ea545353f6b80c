"""Prompts and pairs from files: each layout, and what is wrong in one sentence with file and line."""

import gzip
import json

import pytest
from made_pairs import pairs, prompts

from minillama.evaluation.preference import make_pair, pairs_between, read_answers, read_pairs, read_prompts
from minillama.evaluation.preference.pairs import first_shown, pair_as_row, pair_from_row
from minillama.evaluation.preference.rows import Row

HH = "\n\nHuman: Hi!\n\nAssistant: Hello.\n\nHuman: Three fruits?\n\nAssistant:"


def written(path, *rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_every_layout_of_a_prompt(tmp_path):
    turns = [{"role": "user", "content": "Hi!"}, {"role": "assistant", "content": "Hello."}]
    turns.append({"role": "user", "content": "Three fruits?"})
    path = written(tmp_path / "p.jsonl", {"prompt": "One"}, {"prompt": HH}, "", {"messages": turns, "id": 7})
    one, hh, messages = read_prompts(path)
    assert one.dialogue == ({"role": "user", "content": "One"},)
    assert list(hh.dialogue) == turns == list(messages.dialogue)
    assert messages.id == "7"
    assert len({one.id, hh.id, "7"}) == 3
    assert read_prompts(path, limit=1) == [one]


def test_the_same_prompt_twice_has_two_ids(tmp_path):
    first, second = read_prompts(written(tmp_path / "p.jsonl", {"prompt": "Again"}, {"prompt": "Again"}))
    assert second.id == first.id + "-2"


def test_a_list_and_a_packed_file(tmp_path):
    listed = tmp_path / "p.json"
    listed.write_text(json.dumps([{"prompt": "One"}, {"prompt": "Two"}], indent=1))
    packed = tmp_path / "p.jsonl.gz"
    packed.write_bytes(gzip.compress(b'\xef\xbb\xbf{"prompt": "One"}\r\n{"prompt": "Two"}\r\n'))
    assert read_prompts(listed) == read_prompts(packed)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{", r"line 2: expected JSON"),
        ("[1]", r"line 2: expected a JSON object"),
        ({"text": "a"}, r"line 2: expected one of .*found 'text'"),
        ({"prompt": 3}, r"line 2: expected a text or a list"),
        ({"prompt": " "}, r"line 2: the prompt is empty"),
        ({"prompt": []}, r"line 2: expected a text or a list"),
        ({"messages": [{"role": "robot", "content": "a"}]}, r"line 2: message 0 .*'robot'"),
        ({"messages": [{"role": "user"}]}, r"line 2: message 0"),
        ({"messages": [{"role": "assistant", "content": "a"}]}, r"line 2: the last message should be the user's"),
        ({"prompt": "\n\nAssistant: Hi"}, r"line 2: the dialogue should begin with"),
        ({"prompt": "a", "id": [1]}, r'line 2: "id" should be'),
        ("[" * 100_000, r"line 2: expected JSON, found some that is nested too deeply"),
    ],
)
def test_what_is_no_prompt(tmp_path, row, said):
    with pytest.raises(ValueError, match=r"p\.jsonl, " + said):
        read_prompts(written(tmp_path / "p.jsonl", {"prompt": "One"}, row))


@pytest.mark.parametrize(("raw", "said"), [(b"", "no rows"), (b"\xff\xfe\xfa", "as text"), (b"\x80", "as text")])
def test_what_is_no_file_of_rows(tmp_path, raw, said):
    path = tmp_path / "p.jsonl"
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=said):
        read_prompts(path)
    packed = tmp_path / "p.jsonl.gz"
    packed.write_bytes(gzip.compress(b'{"prompt": "One"}')[:-4])
    with pytest.raises(ValueError, match="damaged gzip"):
        read_prompts(packed)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'{"prompt": "One"}', r"p\.jsonl\.gz is not packed with gzip, although its name says so: name it p\.jsonl, "),
        (b"version https://git-lfs", r"p\.jsonl\.gz: expected a gzip file, found a git-lfs pointer"),
        (b"", "no rows"),
    ],
)
def test_what_is_no_gzip_whatever_its_name_says(tmp_path, raw, said):
    path = tmp_path / "p.jsonl.gz"
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=said):
        read_prompts(path)
    if raw.startswith(b"{"):
        assert len(read_prompts(path.rename(tmp_path / "p.jsonl"))) == 1


def test_pairs_of_hh_rlhf(tmp_path):
    row = {"chosen": HH + " Apple.", "rejected": HH + " No."}
    (pair,) = read_pairs(written(tmp_path / "p.jsonl", row))
    assert (pair.answers, pair.systems, pair.better) == (("Apple.", "No."), ("chosen", "rejected"), 0)
    assert len(pair.dialogue) == 3
    with pytest.raises(ValueError, match=r"line 1: .*differ in their last answer only"):
        read_pairs(written(tmp_path / "p.jsonl", {"chosen": HH + " A", "rejected": HH.replace("Hi", "Ho") + " B"}))


def test_hh_rlhf_itself(shared_data, tmp_path):
    path = shared_data / "hh-rlhf" / "helpful-base.jsonl.gz"
    if not path.is_file():
        pytest.skip(f"hh-rlhf not found at {path}")
    with gzip.open(path) as file, (tmp_path / "p.jsonl").open("wb") as some:
        some.writelines(line for _, line in zip(range(500), file))
    found = read_pairs(tmp_path / "p.jsonl")
    assert len(found) == 500
    assert all(pair.dialogue[-1]["role"] == "user" for pair in found)


def test_pairs_of_three_systems(tmp_path):
    row = {"prompt": "Hi", "answers": {"a": "1", "b": "2", "c": "3"}}
    found = read_pairs(written(tmp_path / "p.jsonl", row))
    assert [pair.systems for pair in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    with pytest.raises(ValueError, match="line 1: expected"):
        read_pairs(written(tmp_path / "p.jsonl", {"prompt": "Hi", "answers": {"a": "1"}}))


def test_answers_from_a_file(tmp_path):
    asked = prompts(2)
    by_line = written(tmp_path / "a.jsonl", {"answer": "x"}, {"output": "y"})
    assert read_answers(by_line, asked) == {"p0": "x", "p1": "y"}
    by_id = written(tmp_path / "b.jsonl", {"id": "p1", "answer": "y"}, {"id": "p0", "answer": "x"})
    assert read_answers(by_id, asked) == {"p0": "x", "p1": "y"}
    with pytest.raises(ValueError, match="1 answers to 2 prompts"):
        read_answers(written(tmp_path / "c.jsonl", {"answer": "x"}), asked)
    with pytest.raises(ValueError, match="no answer to 1 prompts, the first is p1"):
        read_answers(written(tmp_path / "d.jsonl", {"id": "p0", "answer": "x"}), asked)


def test_pairs_between_systems():
    asked = prompts(2)
    answers = {name: {"p0": name, "p1": name} for name in "abc"}
    assert [pair.systems for pair in pairs_between(asked, answers)] == [("a", "b"), ("a", "c"), ("b", "c")] * 2
    with pytest.raises(ValueError, match="two systems or more, found a"):
        pairs_between(asked, {"a": answers["a"]})
    with pytest.raises(ValueError, match="b has no answer to 1 prompts, the first is p1"):
        pairs_between(asked, {"a": answers["a"], "b": {"p0": "x"}})


def test_a_pair_that_was_edited_is_noticed():
    (pair,) = pairs(1)
    row = json.loads(json.dumps(pair_as_row(pair)))
    assert pair_from_row(Row(row, "f")) == pair
    with pytest.raises(ValueError, match="f, line 1: the pair was changed"):
        pair_from_row(Row({**row, "answers": ["another", "text"]}, "f, line 1"))
    assert make_pair(prompts(1)[0], pair.systems, ("x", "y")).id != pair.id


def test_the_order_shown_is_a_coin_that_falls_the_same_again():
    found = pairs(2000)
    shown = [first_shown(pair, "ada", 0) for pair in found]
    assert shown == [first_shown(pair, "ada", 0) for pair in found]
    assert abs(sum(shown) - 1000) < 3 * (2000 / 4) ** 0.5
    same = sum(a == first_shown(pair, "bob", 0) for a, pair in zip(shown, found))
    assert abs(same - 1000) < 3 * (2000 / 4) ** 0.5
