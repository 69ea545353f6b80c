"""Where a text ends by the files of a model, and vocabularies that are larger or smaller than the model."""

import json

import numpy as np
import pytest
from transformers import AutoModelForCausalLM

import minillama
from minillama.checkpoints.convert import convert_checkpoint
from minillama.checkpoints.gguf import write_gguf
from minillama.checkpoints.huggingface import write_huggingface
from minillama.checkpoints.loading import load_checkpoint, open_model
from minillama.checkpoints.native import write_native
from minillama.config import ModelConfig
from minillama.files.errors import CheckpointError
from minillama.inference.generate import TokenStream
from minillama.inference.runner import runner_for
from minillama.inference.sampling import GREEDY
from minillama.inference.session import Session
from minillama.inference.text import TextStream
from minillama.llm import LLM
from minillama.ops import FAST, REFERENCE
from minillama.params import init_params
from minillama.tokenizers import Piece, SentencePieceBPE, TokenType, gguf_metadata, save_tokenizer
from minillama.trees import map_tree

CONTROL = [Piece(text, 0.0, TokenType.CONTROL) for text in ("<s>", "</s>")]
BYTES = [Piece(f"<0x{byte:02X}>", 0.0, TokenType.BYTE) for byte in range(256)]
LETTERS = [Piece(text, -float(n)) for n, text in enumerate("▁ehlo")]
ENDS = [Piece(f"<|end_{n}|>", 0.0, TokenType.CONTROL) for n in range(4)]
PIECES = [Piece("<unk>", 0.0, TokenType.UNKNOWN), *CONTROL, *BYTES, *LETTERS, *ENDS]
N_PIECES, FIRST_END = len(PIECES), len(PIECES) - len(ENDS)


def tokenizer(**settings):
    return SentencePieceBPE(PIECES, bos_id=1, eos_id=2, **settings)


def model(vocab_size=N_PIECES, favoured=()):
    """A tiny model; the favoured ids are by far the most probable everywhere, the first above all."""
    config = ModelConfig(dim=32, n_layers=1, n_heads=2, hidden_dim=32, vocab_size=vocab_size, max_seq_len=48)
    params = map_tree(lambda a: 5 * a if a.ndim == 2 else a, init_params(config, np.random.default_rng(1)))
    embedding, output = params.token_embedding.copy(), params.output.copy()
    embedding[:, 0], output[:, 0] = 20, 0
    for rank, id_ in enumerate(favoured):
        output[id_, 0] = 40 - rank
    return config, params._replace(token_embedding=embedding, output=output)


def hf_folder(path, favoured, *, config_eos=2, generation=None, **sizes):
    config, params = model(favoured=favoured, **sizes)
    write_huggingface(path, config, params, bos_token_id=1, eos_token_id=config_eos)
    save_tokenizer(tokenizer(), path)
    if generation is not None:
        (path / "generation_config.json").write_text(json.dumps(generation))
    return path


def end_of(path, n=3, **options):
    found = minillama.load(path).generate("hello", max_tokens=n, temperature=0, **options)
    return len(found.ids), found.finish_reason


END = FIRST_END + 1


@pytest.mark.parametrize(
    ("config_eos", "generation"),
    [
        (2, {"eos_token_id": [2, END]}), (2, {"eos_token_id": END}), (END, None), ([2, END], None),
        ([2, END], {"bos_token_id": 1}), (END, {"eos_token_id": None}), (END, {"eos_token_id": []}),
        (None, {"eos_token_id": END}), (2, {"eos_token_id": [END, 10_000, -1]}),
    ],
)  # fmt: skip
def test_the_files_of_a_folder_end_the_text(tmp_path, config_eos, generation):
    path = hf_folder(tmp_path, [END], config_eos=config_eos, generation=generation)
    assert end_of(path) == (0, "stop")
    llm = minillama.load(path)
    assert {2, END} <= llm.stop_ids
    row = llm.generate_batch(["hello", "oh"], max_tokens=3, temperature=0)[1]
    assert (row.ids, row.finish_reason) == ([], "stop")
    chat = llm.chat([{"role": "user", "content": "hello"}], template="llama-2", temperature=0, max_tokens=3)
    assert (chat.ids, chat.finish_reason) == ([], "stop")


@pytest.mark.parametrize(
    ("config_eos", "generation"),
    [(2, None), (None, None), (2, {"eos_token_id": 2}), (END, {"eos_token_id": 2}), (2, {"eos_token_id": -1})],
)
def test_other_tokens_do_not_end_it(tmp_path, config_eos, generation):
    """generation_config.json decides alone where it names a token, as in transformers."""
    path = hf_folder(tmp_path, [END], config_eos=config_eos, generation=generation)
    assert end_of(path) == (3, "length")
    theirs = AutoModelForCausalLM.from_pretrained(path)
    ids = minillama.load(path).encode_prompt("hello")
    out = theirs.generate(theirs.dummy_inputs["input_ids"].new_tensor([ids]), max_new_tokens=3, do_sample=False)
    assert out[0, len(ids) :].tolist() == [END] * 3


@pytest.mark.parametrize("wrong", ["2", 2.0, True, [2, "3"], [[2]], {"id": 2}], ids=repr)
def test_what_is_no_id_is_an_error(tmp_path, wrong):
    path = hf_folder(tmp_path, [END], generation={"eos_token_id": wrong})
    with pytest.raises(CheckpointError, match=r"generation_config.json: eos_token_id: expected a token id or a list"):
        minillama.load(path)
    (path / "generation_config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"generation_config.json: file: expected JSON"):
        minillama.load(path)
    (path / "generation_config.json").unlink()
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, "eos_token_id": wrong}))
    with pytest.raises(CheckpointError, match=r"config.json: eos_token_id: expected a token id or a list"):
        minillama.load(path)


@pytest.mark.parametrize("key", ["eos", "eot", "eom"])
def test_the_keys_of_gguf_end_the_text(tmp_path, key):
    config, params = model(favoured=[END])
    metadata = {**gguf_metadata(tokenizer()), f"tokenizer.ggml.{key}_token_id": END}
    write_gguf(tmp_path / "m.gguf", config, params, tokenizer_metadata=metadata)
    assert end_of(tmp_path / "m.gguf") == (0, "stop")


@pytest.mark.parametrize("target", ["native", "hf", "m.gguf"])
@pytest.mark.parametrize("source", ["hf", "m.gguf", "native"])
def test_converting_keeps_the_ends(tmp_path, source, target):
    config, params = model(favoured=[END])
    start = tmp_path / "start" / source
    start.parent.mkdir()
    if source == "hf":
        hf_folder(start, [END], generation={"eos_token_id": [2, END]})
    elif source == "native":
        write_native(start, config, params, metadata={"stop_ids": [END]})
        save_tokenizer(tokenizer(), start)
    else:
        metadata = {**gguf_metadata(tokenizer()), "tokenizer.ggml.eot_token_id": END}
        write_gguf(start, config, params, tokenizer_metadata=metadata)
    out = tmp_path / target
    convert_checkpoint(start, out, folder_format="huggingface" if target == "hf" else "minillama")
    assert end_of(out) == (0, "stop")
    if target == "hf":
        assert json.loads((out / "config.json").read_text())["eos_token_id"] == [2, END]


def test_stop_ids_of_a_native_checkpoint_are_checked(tmp_path):
    config, params = model()
    write_native(tmp_path, config, params, metadata={"stop_ids": ["</s>"]})
    with pytest.raises(CheckpointError, match=r"metadata.stop_ids: expected a token id or a list of them"):
        load_checkpoint(tmp_path)


# --- vocabularies of another size -----------------------------------------------------------


@pytest.mark.parametrize("ops", [FAST, REFERENCE], ids=["fast", "reference"])
@pytest.mark.parametrize("temperature", [0, 1.0])
def test_rows_beyond_the_tokenizer_do_not_break_a_text(tmp_path, ops, temperature):
    """The padded rows are the most probable ones; twelve tokens come all the same."""
    padded = N_PIECES + 50
    path = hf_folder(tmp_path / "hf", range(N_PIECES, padded), vocab_size=padded)
    llm = minillama.load(path, ops=ops)
    options = {"temperature": temperature, "max_tokens": 12}
    results = [
        llm.generate("hello", seed=1, **options),
        *llm.generate_batch(["hello", "oh"], seed=1, **options),
        llm.chat([{"role": "user", "content": "hello"}], template="llama-2", seed=1, **options),
        llm.generate("hello", seed=1, **options, repetition_penalty=1.2, top_k=5, min_p=0.01),
    ]
    for found in results:
        assert len(found.ids) == len(found.logprobs) == 12 or found.finish_reason == "stop"
        assert max(found.ids, default=0) < N_PIECES
    assert llm.logprobs("hello", " oh").size > 0
    assert llm.logits([1, padded - 1]).shape == (2, padded)
    session = llm.session()
    session.feed([1, padded - 1])  # by hand a session takes whatever the model has
    assert llm.generate("hello", session=session, **options).finish_reason is not None


def test_a_stop_id_beyond_the_tokenizer_is_chosen(tmp_path):
    path = hf_folder(tmp_path, [N_PIECES + 3], vocab_size=N_PIECES + 8, generation={"eos_token_id": [2, N_PIECES + 3]})
    assert end_of(path) == (0, "stop")


def test_a_padded_model_becomes_gguf(tmp_path):
    """With a token for every row, as llama.cpp needs it; the ids of a text stay the same."""
    path = hf_folder(tmp_path / "hf", [262], vocab_size=N_PIECES + 8)
    convert_checkpoint(path, tmp_path / "m.gguf")
    llm, before = minillama.load(tmp_path / "m.gguf"), minillama.load(path)
    assert llm.tokenizer.pieces[N_PIECES:] == [f"[PAD{N_PIECES + n}]" for n in range(8)]
    assert set(llm.tokenizer.types[N_PIECES:]) == {TokenType.UNUSED}
    for text in ("hello hello oh", f"[PAD{N_PIECES}] hello", ""):
        assert llm.encode_prompt(text) == before.encode_prompt(text)
    ids = before.encode_prompt("hello")
    np.testing.assert_allclose(llm.logits(ids), before.logits(ids), atol=1e-4)


def test_the_unused_tokens_of_a_gguf_file_have_no_text(tmp_path):
    """llama.cpp chooses them, and writes nothing."""
    path = hf_folder(tmp_path / "hf", range(N_PIECES, N_PIECES + 8), vocab_size=N_PIECES + 8)
    convert_checkpoint(path, tmp_path / "m.gguf")
    llm = minillama.load(tmp_path / "m.gguf")
    for found in (llm.generate("hello", max_tokens=6, temperature=0), *llm.generate_batch(["h", "e"], max_tokens=6)):
        assert len(found.ids) == 6
        assert min(found.ids) >= N_PIECES
        assert found.text == ""


def test_a_stream_of_any_ids_is_shown(tmp_path):
    """Where the caller sets no limit, ids beyond the tokenizer come, and have no text."""
    config, params = model(vocab_size=N_PIECES + 8, favoured=range(N_PIECES, N_PIECES + 8))
    session = Session(runner_for(params, config))
    session.feed([1, 5])
    tokens = TokenStream(session, GREEDY, np.random.default_rng(0), max_tokens=6)
    found = TextStream(tokens, tokenizer()).run()
    assert (len(found.ids), found.text, found.finish_reason) == (6, "", "length")


def test_a_padded_model_becomes_llama2c(tmp_path):
    plain = SentencePieceBPE(PIECES[:FIRST_END], bos_id=1, eos_id=2)
    config, params = model(vocab_size=FIRST_END + 8)
    write_native(tmp_path / "padded", config, params)
    save_tokenizer(plain, tmp_path / "padded")
    model_file, vocabulary = convert_checkpoint(tmp_path / "padded", tmp_path / "m.bin")
    llm = minillama.load(model_file, tokenizer=vocabulary)
    assert llm.tokenizer.vocab_size == config.vocab_size
    for text in ("hello hello oh", f"[PAD{FIRST_END}] hello"):
        assert llm.encode_prompt(text) == plain.encode(text)


@pytest.mark.parametrize("target", ["m.gguf", "m.bin"])
def test_a_format_with_a_row_for_each_token_refuses_more_tokens(tmp_path, target):
    config, params = model(vocab_size=FIRST_END - 2)
    write_native(tmp_path / "model", config, params)
    save_tokenizer(SentencePieceBPE(PIECES[:FIRST_END], bos_id=1, eos_id=2), tmp_path / "model")
    with pytest.raises(
        ValueError, match=rf"{FIRST_END - 2}.*{FIRST_END}|{FIRST_END} tokens, the model {FIRST_END - 2}"
    ):
        convert_checkpoint(tmp_path / "model", tmp_path / target)


def test_more_tokens_than_the_model_has(tmp_path):
    """It loads; a text that needs one of them is refused, others are not."""
    path = hf_folder(tmp_path, [262], vocab_size=N_PIECES - len(ENDS))
    llm = minillama.load(path)
    assert len(llm.generate("hello", max_tokens=5, temperature=0).ids) == 5
    assert len(llm.generate_batch(["hello"], max_tokens=5)[0].ids) <= 5
    special = llm.tokenizer.encode("<|end_0|>", allow_special=True)
    assert special[-1] == N_PIECES - len(ENDS)
    with pytest.raises(ValueError, match=r"token ids must be in \[0, \d+\)"):
        llm.logits(special)
    # a tokenizer that reads the missing token in plain text
    pieces = [Piece(p.text, p.score, TokenType.USER_DEFINED) if p in ENDS else p for p in PIECES]
    other = LLM(llm.params, llm.config, SentencePieceBPE(pieces, bos_id=1, eos_id=2), name="small")
    whole = rf"'<\|end_0\|>' \(id {FIRST_END}\), which small lacks: the tokenizer has {N_PIECES} tokens, the model"
    for use in (
        lambda: other.generate("hello <|end_0|>"),
        lambda: other.generate_batch(["hello", "<|end_0|>"]),
        lambda: other.logprobs("hello", "<|end_0|>"),
        lambda: other.logprobs("<|end_0|>", "hello"),
        lambda: other.chat([{"role": "user", "content": "<|end_0|>"}], template="llama-2"),
    ):
        with pytest.raises(ValueError, match=whole):
            use()
    assert len(other.generate("hello", max_tokens=5, temperature=0).ids) == 5


def test_a_tokenizer_that_is_given_learns_the_ends(tmp_path):
    path = hf_folder(tmp_path, [END], generation={"eos_token_id": [2, END]})
    given = tokenizer()
    _, found = open_model(path, given)
    assert END in found.stop_ids
    assert END not in given.stop_ids
    assert minillama.load(path, tokenizer=given).generate("hello", max_tokens=3, temperature=0).finish_reason == "stop"
