"""What Windows writes in front of a text is no part of it: in settings, in JSON, wherever a person's file is read."""

import codecs
import json

import pytest

from minillama.data.pipeline.settings import evaluation_texts, read_config
from minillama.files.errors import CheckpointError
from minillama.files.json_object import read_object
from minillama.files.text import decode_text
from minillama.tokenizers import load_tokenizer
from minillama.training.presets import preset
from minillama.training.settings_toml import SettingsError, format_preset, read_settings

WITH_MARK = {
    "UTF-8": lambda text: codecs.BOM_UTF8 + text.encode(),
    "UTF-16, as PowerShell writes it": lambda text: (
        codecs.BOM_UTF16_LE + text.replace("\n", "\r\n").encode("utf-16-le")
    ),
    "UTF-16, the other way round": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
}
NO_TEXT = {
    "byte 0xe9 at position 2 is not UTF-8": b"a\n\xe9",
    "byte 0xe9 at position 5 is not UTF-8": codecs.BOM_UTF8 + b"a\n\xe9",
    "mark of UTF-16, and is not": codecs.BOM_UTF16_LE + b"a",
    "mark of UTF-32": codecs.BOM_UTF32_LE + "a".encode("utf-32-le"),
}


@pytest.fixture(params=WITH_MARK)
def marked(request):
    return WITH_MARK[request.param]


def test_the_text_behind_the_mark(marked):
    assert decode_text(marked("ä€🚀\n")).replace("\r", "") == "ä€🚀\n"
    assert decode_text(marked("")) == ""
    assert decode_text("\ufeffa\ufeff".encode()) == "a\ufeff"  # only the first one is a mark


@pytest.mark.parametrize("message", NO_TEXT)
def test_what_is_no_text_is_called_so(message, tmp_path):
    with pytest.raises(ValueError, match=message):
        decode_text(NO_TEXT[message])
    path = tmp_path / "file.toml"
    path.write_bytes(NO_TEXT[message])
    with pytest.raises(SettingsError, match=f"file.toml is not TOML: .*{message}"):
        read_settings(path)
    with pytest.raises(ValueError, match=f"file.toml is not TOML: .*{message}"):
        read_config(path)
    with pytest.raises(CheckpointError, match=message):
        read_object(path)


def test_settings_of_training(marked, tmp_path):
    text = format_preset(preset("stories1M"))
    plain, other = tmp_path / "plain.toml", tmp_path / "marked.toml"
    plain.write_text(text, encoding="utf-8")
    other.write_bytes(marked(text))
    assert read_settings(other) == read_settings(plain)


def test_settings_of_filters(marked, tmp_path):
    (tmp_path / "filters.toml").write_bytes(marked('rules = ["gopher"]\n[gopher]\nmin_words = 20\n'))
    assert read_config(tmp_path / "filters.toml") == (("gopher",), (), {"gopher": {"min_words": 20}})


def test_json(marked, tmp_path):
    (tmp_path / "config.json").write_bytes(marked(json.dumps({"a": "ä"})))
    assert read_object(tmp_path / "config.json") == {"a": "ä"}
    (tmp_path / "texts.json").write_bytes(marked(json.dumps(["a", {"b": "ä"}])))
    assert list(evaluation_texts(tmp_path / "texts.json")) == ["a", "ä"]


def test_a_tokenizer_and_its_configuration(marked, tmp_path, shared_data):
    model = shared_data / "stories260K" / "tok512.model"
    (tmp_path / "tokenizer.model").write_bytes(model.read_bytes())
    (tmp_path / "tokenizer_config.json").write_bytes(marked(json.dumps({"add_bos_token": False})))
    assert load_tokenizer(tmp_path).encode("Once") == load_tokenizer(model).encode("Once", bos=False)
