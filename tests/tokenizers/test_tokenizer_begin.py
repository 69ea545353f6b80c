"""What a tokenizer.json puts before a text, and the names of its tokens, against `transformers`."""

import json

import pytest
from peers import edit, load_both, save_llama, save_llama3, save_qwen2

from minillama.files.errors import CheckpointError
from minillama.inference.chat import JinjaChat
from minillama.tokenizers import load_tokenizer, save_tokenizer


@pytest.mark.parametrize("bos", ["<|eot_id|>", None])
def test_the_begin_token_of_the_post_processor_is_not_always_the_named_one(tmp_path, bos):
    save_llama3(tmp_path)
    edit(tmp_path / "tokenizer_config.json", bos_token=bos, chat_template="({{ bos_token }})")
    ours, theirs = load_both(tmp_path)
    (tmp_path / "copy").mkdir()
    save_tokenizer(ours, tmp_path / "copy")
    for again in (ours, load_tokenizer(tmp_path / "copy")):
        assert again.encode("Hello") == theirs.encode("Hello")
        ids = theirs.apply_chat_template([{"role": "user", "content": "Hi"}], return_dict=False)
        assert JinjaChat(again.chat_template).encode([{"role": "user", "content": "Hi"}], again) == ids


def test_a_token_that_no_file_names_is_not_defined_for_the_template(tmp_path):
    save_llama3(tmp_path)
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": "({{ bos_token }}{{ eos_token }})"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    ours, theirs = load_both(tmp_path)
    ids = theirs.apply_chat_template([{"role": "user", "content": "Hi"}], return_dict=False)
    assert JinjaChat(ours.chat_template).encode([{"role": "user", "content": "Hi"}], ours) == ids
    assert ours.encode("Hello") == theirs.encode("Hello")


@pytest.mark.parametrize("save", [save_llama, save_qwen2, save_llama3])
def test_no_begin_token_without_a_post_processor(tmp_path, save):
    save(tmp_path)
    edit(tmp_path / "tokenizer.json", post_processor=None)
    edit(tmp_path / "tokenizer_config.json", add_bos_token=True)
    ours, theirs = load_both(tmp_path)
    assert ours.encode("Hello") == theirs.encode("Hello")


@pytest.mark.parametrize(
    "stage",
    [
        {"type": "RobertaProcessing", "sep": ["<|eot_id|>", 602], "cls": ["<|eot_id|>", 602]},
        {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|eot_id|>", "type_id": 0}}] * 2},
    ],
)
def test_another_post_processor_is_refused(tmp_path, stage):
    save_llama3(tmp_path)
    edit(tmp_path / "tokenizer.json", post_processor=stage)
    with pytest.raises(CheckpointError, match="post_processor: expected none, ByteLevel, or TemplateProcessing"):
        load_tokenizer(tmp_path)
