"""Real models: published text, Hugging Face's logits, answers."""

import numpy as np
import pytest
import torch

import minillama
from minillama.checkpoints.llama2c import write_llama2c
from minillama.model import forward
from minillama.ops import FAST, REFERENCE

OPS = pytest.mark.parametrize("ops", [REFERENCE, FAST], ids=["reference", "fast"])

# What stories260K says when it always takes the most probable token, by llama2.c's own program.
STORY = (
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw "
    "a big, red ball. She wanted to play with it, but it was too high.\n"
    "Lily's mom said, \"Lily, let's go to the park.\" Lily was sad and didn't know what to do. She said, \"I want to "
    "play with your ball, but I can't find it.\"\n"
    "Lily was sad and didn't know what to do. She said, \"I'm sorry, Lily. I didn't know what to do.\"\n"
    "Lily didn't want to help her mom, so she"
)
# A forward pass in float64, independent of this package.
FIRST_LOGITS = {403: 17.0235, 385: 15.4062, 410: 13.1083, 317: 12.7692, 407: 12.4181}
FIRST_IDS = [403, 407, 261, 378, 432, 383, 286, 261, 376, 298, 315, 421, 395, 317, 426, 338, 401, 396, 267]


@pytest.fixture(params=["v0", "v1"])
def stories(request, shared_data):
    """The public files of both float versions; v2 is made from them in a test of its own."""
    folder = shared_data / "stories260K"
    name = {"v0": "stories260K.bin", "v1": "checkpoint_v1.bin"}[request.param]
    return folder / name, folder / "tok512.model"


@OPS
def test_the_published_story(stories, ops):
    path, tokenizer = stories
    llm = minillama.load(path, tokenizer=tokenizer, ops=ops)
    assert llm.generate("", max_tokens=200, temperature=0).text == STORY


def test_the_published_story_from_either_tokenizer(stories, shared_data):
    llm = minillama.load(stories[0], tokenizer=shared_data / "stories260K" / "tok512.bin")
    assert llm.generate("", max_tokens=200, temperature=0).text == STORY


def test_int8_version_tells_the_story_of_its_weights(stories260k, tmp_path):
    """v2 rounds the weights; its text is that of a float32 model with the rounded weights."""
    from minillama.llm import LLM
    from minillama.quantization.formats import to_float32
    from minillama.trees import map_tree

    write_llama2c(tmp_path / "int8.bin", stories260k.config, stories260k.params, version=2)
    int8 = minillama.load(tmp_path / "int8.bin", tokenizer=stories260k.tokenizer)
    rounded = LLM(map_tree(to_float32, int8.params), int8.config, int8.tokenizer)
    text = int8.generate("", max_tokens=200, temperature=0).text
    assert text == rounded.generate("", max_tokens=200, temperature=0).text
    assert text.startswith("Once upon a time, there was a little girl named Lily.")
    difference = np.abs(int8.logits([1, 403, 407]) - stories260k.logits([1, 403, 407])).max()
    assert difference < 0.5


def test_golden_logits_and_ids(stories260k):
    logits = stories260k.logits([1])[0]
    top = np.argsort(-logits)[:5]
    assert top.tolist() == list(FIRST_LOGITS)
    np.testing.assert_allclose(logits[top], list(FIRST_LOGITS.values()), atol=1e-3)
    assert np.log(np.exp(logits.astype(np.float64)).sum()) == pytest.approx(17.267258628, abs=1e-4)
    result = stories260k.generate("", max_tokens=99, temperature=0)
    assert result.ids[: len(FIRST_IDS)] == FIRST_IDS
    assert -np.mean(result.logprobs) == pytest.approx(0.456438, abs=1e-4)


@pytest.fixture(scope="module")
def wikitext_ids(smollm2, shared_data):
    text = (shared_data / "wikitext-2" / "valid.txt").read_text()[:8000]
    return smollm2.tokenizer.encode(text)[:512]


@pytest.fixture(scope="module")
def hugging_face_logits(smollm2_path, wikitext_ids):
    """transformers on the same file, dequantised by its own reader."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        smollm2_path.parent, gguf_file=smollm2_path.name, dtype=torch.float32
    ).eval()
    with torch.no_grad():
        return model(torch.tensor([wikitext_ids])).logits[0].double()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # other libraries' own, while the file is read
@OPS
def test_smollm2_logits_equal_hugging_face(ops, smollm2, wikitext_ids, hugging_face_logits):
    assert len(wikitext_ids) == 512
    logits = torch.tensor(forward(smollm2.params, smollm2.config, wikitext_ids, ops)[0][0]).double()
    error = (logits - hugging_face_logits).abs().max() / hugging_face_logits.abs().max()
    theirs, ours = torch.log_softmax(hugging_face_logits, -1), torch.log_softmax(logits, -1)
    kl = (theirs.exp() * (theirs - ours)).sum(-1).max()
    print(f"largest error {error:.1e} of the largest logit, KL {kl:.1e}")
    assert error <= 2e-4
    assert kl <= 1e-8


def test_smollm2_knows_the_capital_of_france(smollm2):
    answer = smollm2.chat([{"role": "user", "content": "What is the capital of France?"}], temperature=0)
    assert answer.text == "The capital of France is Paris."
    assert answer.finish_reason == "stop"


def test_the_cache_is_kept_between_turns(smollm2):
    """The second answer is the same with a kept session, which computes only what is new."""
    first = [{"role": "user", "content": "What is the capital of France?"}]
    session = smollm2.session()
    answer = smollm2.chat(first, temperature=0, session=session)
    before = list(session.tokens)
    second = [
        *first,
        {"role": "assistant", "content": answer.text},
        {"role": "user", "content": "And of Italy?"},
    ]
    kept = smollm2.chat_stream(second, temperature=0, max_tokens=12, session=session)
    from minillama.inference.session import common_prefix

    assert common_prefix(before, session.tokens) == len(before)
    assert kept.run().text == smollm2.chat(second, temperature=0, max_tokens=12).text
