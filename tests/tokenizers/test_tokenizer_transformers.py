"""Hugging Face's folders against `transformers` itself: ids, added tokens, and which file and class decide."""

import json
import random

import pytest
import transformers
from corpus import N_TEXTS, train_sentencepiece
from peers import (
    KINDS,
    METASPACES,
    SAVERS,
    decoded_differently,
    differences,
    edit,
    load_both,
    save_llama,
    save_llama3,
    save_qwen2,
    texts_with,
)
from tokenizers import normalizers

from minillama.files.errors import CheckpointError
from minillama.inference.chat import JinjaChat
from minillama.tokenizers import ByteLevelBPE, gguf_metadata, load_tokenizer, save_tokenizer, tokenizer_from_gguf
from minillama.tokenizers.bpe.added_tokens import AddedToken, AddedTokens
from minillama.tokenizers.bpe.normalization import compose
from minillama.tokenizers.bpe.unicode_ranges import COMPOSED_SINCE_11, MARKS_SINCE_11

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
SMALL = max(N_TEXTS // 20, 150)


def assert_same(folder, n=SMALL, seed=0):
    """The same vocabulary, begin and end, ids and texts, with special tokens as such and as plain text."""
    ours, theirs = load_both(folder)
    assert ours.vocab_size == len(theirs)
    assert (ours.bos_id, ours.eos_id) == (theirs.bos_token_id, theirs.eos_token_id)
    texts = texts_with([token.content for token in theirs.added_tokens_decoder.values()], n, seed)
    assert differences(ours, theirs, texts, allow_special=True) == []
    assert differences(ours, theirs, texts, allow_special=False) == []
    assert decoded_differently(ours, theirs, texts[::5]) == []
    theirs.backend_tokenizer.encode_special_tokens = True
    assert ours.encode("Hello there") == theirs.encode("Hello there")
    return ours


@pytest.mark.parametrize("kind", KINDS)
def test_random_texts(tmp_path, kind):
    SAVERS[kind](tmp_path)
    ours = assert_same(tmp_path, N_TEXTS // 5)
    flags = {(t.special, t.normalized, t.lstrip, t.rstrip, t.single_word) for t in ours.added}
    assert len(flags) == 32


@pytest.mark.parametrize(("scheme", "split"), METASPACES)
def test_metaspace(tmp_path, scheme, split):
    save_llama(tmp_path)
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split}
    edit(tmp_path / "tokenizer.json", pre_tokenizer=metaspace)
    edit(tmp_path / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    assert_same(tmp_path)


OLD = [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]


@pytest.mark.parametrize("settings", [{}, {"legacy": True}, {"add_prefix_space": False}, {"suffix_token": None}])
def test_code_llama(tmp_path, settings):
    """Whose class adds tokens for infilling, and cuts spaces in its own way."""
    save_llama(tmp_path)
    edit(tmp_path / "tokenizer.json", pre_tokenizer=None, normalizer={"type": "Sequence", "normalizers": OLD})
    (tmp_path / "tokenizer_config.json").unlink()
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    edit(tmp_path / "tokenizer_config.json", tokenizer_class="CodeLlamaTokenizer", **names, **settings)
    assert_same(tmp_path)


def test_tokens_with_names_of_the_model_s_own(tmp_path):
    save_llama3(tmp_path)
    template = "{{ image_token }}{{ audio_token }}({{ add_bos_token }})"
    edit(tmp_path / "tokenizer_config.json", image_token="<image>", chat_template=template, audio_token="<|eot_id|>")
    ours, theirs = assert_same(tmp_path), load_both(tmp_path)[1]
    ids = theirs.apply_chat_template([{"role": "user", "content": "Hi"}], return_dict=False)
    assert JinjaChat(template).encode([{"role": "user", "content": "Hi"}], ours) == ids


@pytest.mark.parametrize("model_type", [None, "llama", "mistral"])
@pytest.mark.parametrize(
    "settings",
    [
        {"tokenizer_class": "PreTrainedTokenizerFast"},
        {"tokenizer_class": "LlamaTokenizerFast"},
        {"tokenizer_class": "LlamaTokenizer", "legacy": True},
        {"tokenizer_class": "LlamaTokenizer", "legacy": False, "add_prefix_space": False},
    ],
)
def test_the_class_decides_about_spaces(tmp_path, settings, model_type):
    """An older file, with a normaliser: transformers 5 makes the steps itself for one class, except in Mistral."""
    save_llama(tmp_path)
    edit(tmp_path / "tokenizer.json", pre_tokenizer=None, normalizer={"type": "Sequence", "normalizers": OLD})
    (tmp_path / "tokenizer_config.json").unlink()
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    edit(tmp_path / "tokenizer_config.json", **settings, **names)
    if model_type is not None:
        edit(tmp_path / "config.json", model_type=model_type)
    ours, theirs = load_both(tmp_path)
    texts = texts_with([token.content for token in theirs.added_tokens_decoder.values()], SMALL, 1)
    assert differences(ours, theirs, texts, allow_special=True) == []
    assert differences(ours, theirs, texts, allow_special=False) == []


@pytest.mark.parametrize(
    ("tokenizer_class", "model_type"),
    [
        ("Qwen2TokenizerFast", "qwen2"),
        ("LlamaTokenizerFast", "qwen2"),
        ("PreTrainedTokenizerFast", "qwen2"),
        ("PreTrainedTokenizerFast", "qwen3"),
        (None, "qwen3"),
        (None, "llama"),
        ("LlamaTokenizer", "llama"),
    ],
)
def test_the_class_decides_about_nfc(tmp_path, tokenizer_class, model_type):
    save_qwen2(tmp_path)
    edit(tmp_path / "tokenizer.json", normalizer=None)
    edit(tmp_path / "tokenizer_config.json", tokenizer_class=tokenizer_class, eos_token="<|x6|>")
    edit(tmp_path / "config.json", model_type=model_type)
    ours, theirs = load_both(tmp_path)
    assert ours.eos_id == theirs.eos_token_id
    texts = [*texts_with([t.content for t in theirs.added_tokens_decoder.values()], SMALL, 2), "e\u0301 한"]
    assert differences(ours, theirs, texts, allow_special=True) == []


def test_a_class_that_contradicts_its_file_is_refused(tmp_path):
    save_llama3(tmp_path)
    edit(tmp_path / "tokenizer_config.json", tokenizer_class="GPT2Tokenizer")
    with pytest.raises(CheckpointError, match="pre_tokenizer: cuts words as llama-bpe does, but"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("ignore_merges", [True, False])
def test_words_that_no_merge_reaches(tmp_path, ignore_merges):
    save_llama3(tmp_path, ignore_merges=ignore_merges)
    ours = assert_same(tmp_path)
    reached = [text for text in ours.pieces if text.isalpha() and len(ours.encode(text, bos=False)) == 1]
    long = [text for text in ours.pieces if text.isascii() and text.isalpha() and len(text) > 1]
    assert (set(long) <= set(reached)) == ignore_merges


def test_nfc_of_the_library():
    """Marks and composed characters of every edition of Unicode, against the library's own tables."""
    theirs, rng = normalizers.NFC().normalize_str, random.Random(0)
    newer = [code for first, last in MARKS_SINCE_11 + COMPOSED_SINCE_11 for code in range(first, last + 1)]
    pool = [*newer, *range(0x300, 0x370), *range(0x1100, 0x1200), *range(65, 91), 0x3B9, 0x915, 0x93C, 0x5B0, 0x1D165]
    for _ in range(3000):
        text = "".join(chr(rng.choice(pool)) for _ in range(rng.randint(1, 6)))
        assert compose(text) == theirs(text), text
    for code in range(0x80, 0x30000, 7):
        if not 0xD800 <= code < 0xE000:
            assert compose(f"a{chr(code)}\u0334\u0301") == theirs(f"a{chr(code)}\u0334\u0301"), hex(code)


# --- special tokens ------------------------------------------------------------------------


def test_named_tokens_that_the_vocabulary_lacks_get_the_next_ids(tmp_path):
    save_llama(tmp_path)
    edit(
        tmp_path / "tokenizer_config.json",
        eos_token="<end>",
        pad_token={"__type": "AddedToken", "content": "[PAD]", "lstrip": True},
        additional_special_tokens=["<x>", "</s>"],
    )
    ours = assert_same(tmp_path)
    assert ours.pieces[-3:] == ["<end>", "[PAD]", "<x>"]
    assert ours.eos_id == ours.vocab_size - 3


def test_special_tokens_map_counts_where_no_added_tokens_are_listed(tmp_path):
    save_llama3(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert "added_tokens_decoder" not in config
    edit(tmp_path / "special_tokens_map.json", eos_token={"content": "<|eot_id|>", "lstrip": False})
    assert load_tokenizer(tmp_path).eos_id == load_both(tmp_path)[1].eos_token_id


def test_flags_of_the_configuration_override_those_of_the_file(tmp_path):
    save_llama3(tmp_path)
    id_ = json.loads((tmp_path / "tokenizer.json").read_text())["added_tokens"][5]
    token = {key: value for key, value in id_.items() if key != "id"} | {"lstrip": True, "rstrip": True}
    edit(tmp_path / "tokenizer_config.json", added_tokens_decoder={str(id_["id"]): token})
    assert_same(tmp_path)
    edit(tmp_path / "tokenizer_config.json", added_tokens_decoder={"9999": token | {"content": "<new>"}})
    with pytest.raises(
        CheckpointError, match=r"added_tokens_decoder\[9999\]: '<new>' should have id 9999, but the next"
    ):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"legacy": True},
        {"add_prefix_space": False},
        {"additional_special_tokens": ["<x>"]},
        {"tokenizer_class": "CodeLlamaTokenizer", "add_prefix_space": False},
    ],
)
def test_tokenizer_model_with_added_tokens_beside_it(tmp_path, settings):
    pytest.importorskip("google.protobuf")  # with which transformers reads the file
    (tmp_path / "tokenizer.model").write_bytes(train_sentencepiece(user_defined_symbols=["<extra>", "@@"]))
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "add_bos_token": True}
    edit(tmp_path / "tokenizer_config.json", **({"tokenizer_class": "LlamaTokenizer"} | names | settings))
    edit(tmp_path / "added_tokens.json", **{"<|turn_a|>": 420, "two words": 421})
    assert_same(tmp_path)


def test_tokenizer_model_without_bytes_is_the_same_when_it_was_copied(tmp_path):
    data = train_sentencepiece(user_defined_symbols=["  ", "my tok"], byte_fallback=False)
    (tmp_path / "tokenizer.model").write_bytes(data)
    edit(tmp_path / "tokenizer_config.json", tokenizer_class="LlamaTokenizer")
    ours = load_tokenizer(tmp_path)
    (tmp_path / "copy").mkdir()
    save_tokenizer(ours, tmp_path / "copy")
    assert load_tokenizer(tmp_path / "copy").encode("a   my tok  b") == ours.encode("a   my tok  b")


def test_added_tokens_of_a_tokenizer_model_are_part_of_its_vocabulary(tmp_path, small_model):
    """The ids that transformers gives, written down: it needs a further library to read the file."""
    (tmp_path / "tokenizer.model").write_bytes(small_model)
    edit(tmp_path / "tokenizer_config.json", tokenizer_class="LlamaTokenizer")
    edit(tmp_path / "added_tokens.json", **{"<|im_start|>": 420, "<|im_end|>": 421})
    ours = load_tokenizer(tmp_path)
    x = ours.pieces.index("x")
    assert ours.encode("<|im_start|>x", allow_special=True) == [1, 420, x]
    assert ours.stop_ids == {2, 421}
    edit(tmp_path / "added_tokens.json", **{"<|im_start|>": 420, "<|im_end|>": 500})
    with pytest.raises(CheckpointError, match="should have id 500, but the next free id is 421"):
        load_tokenizer(tmp_path)


def test_of_two_files_side_by_side_the_one_of_transformers_is_read(tmp_path, small_model):
    save_llama(tmp_path)
    (tmp_path / "tokenizer.model").write_bytes(small_model)
    assert_same(tmp_path)


def test_begin_token_by_the_post_processor(tmp_path):
    """As in transformers 5: where the file has a post-processor, add_bos_token does not count."""
    save_llama3(tmp_path)
    edit(tmp_path / "tokenizer_config.json", add_bos_token=False)
    assert assert_same(tmp_path).add_bos


@pytest.mark.parametrize("save", [save_llama, save_qwen2, save_llama3])
def test_flags_of_the_file_count_where_added_tokens_has_none(tmp_path, save):
    """A token that the file calls special stays control, whatever an old added_tokens.json does not say."""
    save(tmp_path)
    tokens = json.loads((tmp_path / "tokenizer.json").read_text())["added_tokens"]
    edit(tmp_path / "added_tokens.json", **{token["content"]: token["id"] for token in tokens})
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    config.pop("added_tokens_decoder", None)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    ours = assert_same(tmp_path)
    (tmp_path / "copy").mkdir()
    save_tokenizer(ours, tmp_path / "copy")
    assert load_tokenizer(tmp_path / "copy").added == ours.added


# --- control stays control -----------------------------------------------------------------


def test_ends_are_control_whatever_the_file_calls_them(tmp_path):
    """Begin, end and stops named by the configuration, plain added tokens or ordinary vocabulary in the file."""
    save_llama3(tmp_path)
    ours = load_tokenizer(tmp_path)
    plain = next(token for token in ours.added if not token.special)
    word = next(id_ for id_, text in enumerate(ours.pieces) if text == "the")
    edit(tmp_path / "tokenizer_config.json", eos_token=plain.text, bos_token="the")
    changed = load_tokenizer(tmp_path)
    assert changed.eos_id == plain.id
    assert {plain.id, word} <= set(changed.special_tokens.values())
    text = f"a {plain.text} the the{plain.text}"
    assert not {plain.id, word} & set(changed.encode(text, bos=False))
    assert plain.id in changed.encode(text, bos=False, allow_special=True)
    stopping = ours.stopping_at([word, 10**6])
    assert word in stopping.stop_ids
    assert word not in stopping.encode("the the")
    assert word in ours.encode("the the")


def test_plain_ranges_stay_plain(tmp_path):
    save_llama(tmp_path)
    ours = load_tokenizer(tmp_path)
    ours = ours.stopping_at([ours.special_tokens["</s>"]])
    text = "</s>ab</s> </s>"
    begin = text.index("ab")
    ids = ours.encode(text, bos=False, allow_special=True, plain=[(begin, begin + 6)])
    assert ids.count(2) == 2
    assert ids[0] == ids[-1] == 2
    assert 2 not in ours.encode(text, bos=False, allow_special=True, plain=[(1, len(text) - 1)])
    # Half of the spelling typed by somebody, the other half written by the program
    assert 2 not in ours.encode("</s>", bos=False, allow_special=True, plain=[(2, 4)])
    # Nor does what somebody typed make a longer one of what the program wrote
    longer = [AddedToken(2, "</s>", special=True), AddedToken(3, "</s>ab", special=True)]
    parts = AddedTokens(longer, frozenset([2, 3]), str).split("</s>ab", True, [(4, 6)])
    assert [part.id for part in parts] == [2, None]
    # A special token that is looked for after the normaliser is kept out, too
    normalized = next(t for t in ours.added if t.special and t.normalized and not (t.lstrip or t.single_word))
    text = f"x {normalized.text} y {normalized.text}"
    for at in (2, len(text) - len(normalized.text)):
        ids = ours.encode(text, bos=False, allow_special=True, plain=[(at, at + len(normalized.text))])
        assert ids.count(normalized.id) == 1


# --- writing -------------------------------------------------------------------------------


@pytest.mark.parametrize("from_scratch", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_the_same_tokenizer(tmp_path, kind, from_scratch):
    SAVERS[kind](tmp_path / "source")
    edit(tmp_path / "source" / "tokenizer_config.json", pad_token="[PAD]")
    ours = load_tokenizer(tmp_path / "source")
    texts = texts_with([token.text for token in ours.added], SMALL, 3)
    expected = [(ours.encode(text), ours.encode(text, allow_special=True)) for text in texts]
    if from_scratch:
        ours.source = None
    (tmp_path / "copy").mkdir()
    edit(tmp_path / "copy" / "added_tokens.json", stale=7)  # another tokenizer's
    save_tokenizer(ours, tmp_path / "copy")
    for again in (load_tokenizer(tmp_path / "copy"), tokenizer_from_gguf(gguf_metadata(ours))):
        assert (again.pieces, again.bos_id, again.eos_id) == (ours.pieces, ours.bos_id, ours.eos_id)
        assert again.add_bos == ours.add_bos
        assert [(again.encode(text), again.encode(text, allow_special=True)) for text in texts] == expected
        assert [again.decode(ids) for ids, _ in expected] == [ours.decode(ids) for ids, _ in expected]
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "copy")
    assert differences(ours, theirs, texts, allow_special=True) == []


def test_what_a_format_cannot_hold_is_refused():
    pieces = [chr(n) for n in range(256, 300)]
    with pytest.raises(ValueError, match="GGUF has no name for the word pattern of qwen2 with ignore_merges"):
        gguf_metadata(ByteLevelBPE(pieces, [1] * 44, [], word_pattern="qwen2", ignore_merges=True))
    with pytest.raises(ValueError, match="expected a word pattern of"):
        ByteLevelBPE(pieces, [1] * 44, [], word_pattern="tekken")


@pytest.mark.parametrize("kind", KINDS)
def test_streams_of_added_tokens(tmp_path, kind):
    SAVERS[kind](tmp_path)
    ours, rng = load_tokenizer(tmp_path), random.Random(4)
    for _ in range(200):
        ids = [rng.randrange(ours.vocab_size) for _ in range(rng.randint(0, 20))]
        for skip in (True, False):
            stream = ours.stream(skip_special=skip)
            shown = "".join([stream.feed(id_) for id_ in ids]) + stream.flush()
            assert shown == ours.decode(ids, skip_special=skip)
