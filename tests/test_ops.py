"""A layer of one's own: it runs the model, it trains, and what does not fit is named."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import minillama
from minillama import FAST, REFERENCE, replace_layer
from minillama.config import ModelConfig
from minillama.llm import LLM
from minillama.ops import LAYERS, Ops
from minillama.params import init_params
from minillama.quantization.formats import quantize
from minillama.training.gradients import loss_and_gradients
from minillama.trees import map_tree, named_leaves

README = Path(__file__).parents[1] / "README.md"
CONFIG = ModelConfig(
    dim=64, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=96, vocab_size=99, max_seq_len=64, tied=True
)
PARAMS = map_tree(lambda a: 5 * a if a.ndim == 2 else a, init_params(CONFIG, np.random.default_rng(0)))
PACKED = map_tree(lambda a: quantize(a, "Q8_0") if a.ndim == 2 else a, PARAMS)


def unpacked(params):
    return map_tree(lambda a: a if isinstance(a, np.ndarray) else a.to_float32(), params)


def batch(vocab_size, shape=(2, 17)):
    tokens = np.random.default_rng(1).integers(0, vocab_size, shape)
    return tokens[:, :-1], tokens[:, 1:]


def assert_same_gradients(found, expected, tolerance=1e-5):
    expected = dict(named_leaves(expected))
    for name, gradient in named_leaves(found):
        assert np.abs(gradient - expected[name]).max() <= tolerance * np.abs(expected[name]).max(), name


# Written as a learner would: y alone, plain NumPy.
def embedding(tokens, weight):
    return weight[tokens]


def linear(x, weight):
    return x @ weight.T


def rmsnorm(x, weight, eps):
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps) * weight


def rope(x, cos, sin, positions):
    c, s = cos[positions][:, None], sin[positions][:, None]
    even, odd = x[..., 0::2], x[..., 1::2]
    return np.stack([even * c - odd * s, even * s + odd * c], axis=-1).reshape(x.shape)


def attention(q, k, v, positions):
    group = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(np.float32(q.shape[-1]))
    visible = np.arange(k.shape[2]) <= positions[:, None, :, None]
    scores = np.where(visible, scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True) @ v


def swiglu(gate, up):
    return gate / (1 + np.exp(-gate)) * up


def cross_entropy(logits, targets, n_counted):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    logprobs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return -float(logprobs[np.arange(len(targets)), targets].sum()) / n_counted


PLAIN = {f.__name__: f for f in (embedding, linear, rmsnorm, rope, attention, swiglu, cross_entropy)}


def test_every_layer_of_the_table_has_a_name():
    assert set(PLAIN) == set(LAYERS)
    assert {f"{name}_{way}" for name in LAYERS for way in ("forward", "backward")} == set(Ops._fields)


def test_the_example_in_the_readme_runs_and_trains():
    """Read from README as it stands there, on the model that ships inside the package."""
    section = README.read_text().split("## Replace a layer")[1].split("\n## ")[0]
    blocks = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    code = "\n".join(blocks)
    assert "smollm2-135m-instruct" in code
    names = {}
    exec(code.replace("smollm2-135m-instruct", "stories3M"), names)

    assert_same_gradients(
        names["gradients"],
        loss_and_gradients(names["params"], names["config"], names["tokens"][:, :-1], names["tokens"][:, 1:])[1],
    )
    llm, fast = names["llm"], minillama.load("stories3M")
    story = llm.generate("Once upon a time", max_tokens=24, temperature=0).text
    assert story == fast.generate("Once upon a time", max_tokens=24, temperature=0).text

    params, (tokens, targets) = unpacked(llm.params), batch(llm.config.vocab_size)
    loss, gradients = loss_and_gradients(params, llm.config, tokens, targets, ops=names["mine"])
    expected_loss, expected = loss_and_gradients(params, llm.config, tokens, targets)
    assert loss == pytest.approx(expected_loss, rel=1e-6)
    assert_same_gradients(gradients, expected)


@pytest.mark.parametrize("with_none", [False, True], ids=["y", "(y, None)"])
@pytest.mark.parametrize("name", LAYERS)
def test_a_function_without_memory_runs_and_trains(name, with_none):
    calls = []

    def mine(*arguments):
        calls.append(name)
        y = PLAIN[name](*arguments)
        return (y, None) if with_none else y

    ops, (tokens, targets) = replace_layer(name, forward=mine), batch(99)
    loss, gradients = loss_and_gradients(PARAMS, CONFIG, tokens, targets, ops=ops)
    assert calls
    expected_loss, expected = loss_and_gradients(PARAMS, CONFIG, tokens, targets)
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    assert_same_gradients(gradients, expected)


@pytest.mark.parametrize("name", LAYERS[:6])
def test_packed_weights_come_unpacked(name):
    """A plain function takes the place of any layer of a quantised model, whole prompts and single tokens."""
    llm, exact = LLM(PACKED, CONFIG, None, ops=replace_layer(name, forward=PLAIN[name])), LLM(PACKED, CONFIG, None)
    ids = list(range(20))
    for session in (llm.session(), exact.session()):
        session.feed(ids)
    mine, expected = llm.session(), exact.session()
    np.testing.assert_allclose(mine.feed(ids), expected.feed(ids), atol=2e-3)
    np.testing.assert_allclose(mine.step(5), expected.step(5), atol=2e-3)


def test_a_matrix_is_unpacked_once(monkeypatch):
    unpackings, original = [], type(PACKED.layers[0].wq).to_float32
    monkeypatch.setattr(type(PACKED.layers[0].wq), "to_float32", lambda *args: unpackings.append(1) or original(*args))
    forward = replace_layer("linear", forward=linear).linear_forward
    for _ in range(3):
        forward(np.ones((1, 64), np.float32), PACKED.layers[0].wq)
    assert len(unpackings) == 1


@pytest.mark.parametrize("name", LAYERS)
def test_a_pair_has_a_memory_of_its_own(name):
    """What forward saves goes to backward as it is, and nobody looks into it."""
    forward, backward = getattr(REFERENCE, f"{name}_forward"), getattr(REFERENCE, f"{name}_backward")
    secrets = []

    class Sealed:
        def __init__(self, saved):
            self.inside = saved
            secrets.append(self)

    def my_forward(*arguments):
        y, saved = forward(*arguments)
        return y, Sealed(saved)

    def my_backward(dy, saved):
        assert saved in secrets
        return backward(dy, saved.inside)

    ops, (tokens, targets) = replace_layer(name, forward=my_forward, backward=my_backward), batch(99)
    _, gradients = loss_and_gradients(PARAMS, CONFIG, tokens, targets, ops=ops)
    assert secrets
    assert_same_gradients(gradients, loss_and_gradients(PARAMS, CONFIG, tokens, targets)[1])


def test_a_backward_alone_reads_what_the_table_saves():
    ops = replace_layer("swiglu", backward=lambda dy, saved: FAST.swiglu_backward(2 * dy, saved))
    assert ops == FAST._replace(swiglu_backward=ops.swiglu_backward)
    tokens, targets = batch(99)
    _, gradients = loss_and_gradients(PARAMS, CONFIG, tokens, targets, ops=ops)
    _, expected = loss_and_gradients(PARAMS, CONFIG, tokens, targets)
    np.testing.assert_allclose(gradients.layers[-1].w_gate, 2 * expected.layers[-1].w_gate, rtol=1e-4, atol=1e-7)


def test_several_layers_one_after_the_other():
    ops = FAST
    for name in LAYERS:
        ops = replace_layer(name, forward=PLAIN[name], ops=ops)
    assert not set(ops) & set(FAST)
    tokens, targets = batch(99)
    _, gradients = loss_and_gradients(PARAMS, CONFIG, tokens, targets, ops=ops)
    assert_same_gradients(gradients, loss_and_gradients(PARAMS, CONFIG, tokens, targets)[1])


def test_recomputing_blocks_works_with_a_function_of_ones_own():
    ops, (tokens, targets) = replace_layer("rmsnorm", forward=rmsnorm), batch(99)
    expected = loss_and_gradients(PARAMS, CONFIG, tokens, targets, ops=ops)[1]
    found = loss_and_gradients(PARAMS, CONFIG, tokens, targets, ops=ops, recompute=True)[1]
    assert_same_gradients(found, expected, 1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("rms_norm", rmsnorm, None),
            r"no layer 'rms_norm': did you mean rmsnorm\? the layers are embedding, linear",
        ),
        (("rmsnorm_forward", rmsnorm, None), "did you mean rmsnorm"),
        (("conv", rmsnorm, None), "no layer 'conv': the layers are"),
        (("rope", None, None), "give a function to take the place of rope"),
        (("rope", 3, None), "forward= of rope must be a function, got int"),
    ],
)
def test_wrong_replacements_are_named(arguments, message):
    name, forward, backward = arguments
    with pytest.raises(ValueError, match=message):
        replace_layer(name, forward=forward, backward=backward)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, "must return an array, it returned nothing"),
        ([1.0], "it returned a list"),
        ((np.ones(3), np.ones(3)), "a tuple of ndarray, ndarray; a second value needs backward="),
        ((np.ones(3),) * 3, "a tuple of ndarray, ndarray, ndarray$"),
    ],
)
def test_wrong_results_are_named(returned, message):
    llm = LLM(PARAMS, CONFIG, None, ops=replace_layer("rmsnorm", forward=lambda *_: returned))
    with pytest.raises(ValueError, match=f"your rmsnorm .*{message}"):
        llm.session().feed([1, 2])


def with_a_switch(q, k, v, positions, causal=True):
    return attention(q, k, v, positions)


def with_a_window(q, k, v, positions, window=1 << 62):
    return REFERENCE.attention_forward(q, k, v, positions, window)[0]


@pytest.mark.parametrize("forward", [attention, with_a_switch])
def test_an_attention_of_llama2_says_what_it_cannot_see(forward):
    """Right as long as a sliding window hides nothing; then one sentence, and no wrong logits."""
    config = replace(CONFIG, sliding_window=8)
    session = LLM(PARAMS, config, None, ops=replace_layer("attention", forward=forward)).session()
    session.feed(range(8))
    with pytest.raises(ValueError, match=r"your attention takes no window, and from token 9 on .* window of 8 hides"):
        session.step(8)
    assert session.position == 8


@pytest.mark.parametrize("forward", [with_a_window, lambda *arguments: with_a_window(*arguments)])
def test_an_attention_with_a_window_gets_it(forward):
    config, ids = replace(CONFIG, sliding_window=8), np.arange(30)
    found = LLM(PARAMS, config, None, ops=replace_layer("attention", forward=forward)).logits(ids)
    expected = LLM(PARAMS, config, None, ops=REFERENCE).logits(ids)
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("returned", [None, np.ones(3), ([1.0], None)])
def test_a_pair_must_return_what_backward_needs(returned):
    ops = replace_layer("rmsnorm", forward=lambda *_: returned, backward=FAST.rmsnorm_backward)
    with pytest.raises(ValueError, match=r"your rmsnorm must return an array and what its backward needs, as \(y, sav"):
        LLM(PARAMS, CONFIG, None, ops=ops).session().feed([1, 2])


def test_a_loss_must_be_a_number():
    tokens, targets = batch(99)
    with pytest.raises(ValueError, match="your cross_entropy must return the loss, a number, it returned a ndarray"):
        loss_and_gradients(
            PARAMS, CONFIG, tokens, targets, ops=replace_layer("cross_entropy", forward=lambda *_: np.ones(3))
        )


GRADIENTS = {  # of a layer from its arguments, by the reference
    name: lambda dy, *args, name=name: getattr(REFERENCE, f"{name}_backward")(
        dy, getattr(REFERENCE, f"{name}_forward")(*args)[1]
    )
    for name in LAYERS
}


@pytest.mark.parametrize("with_forward", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_a_gradient_from_the_arguments_alone(name, with_forward):
    calls = []

    def gradient(dy, *arguments):
        calls.append(1)
        return GRADIENTS[name](dy, *arguments)

    forward = (lambda *args: getattr(REFERENCE, f"{name}_forward")(*args)[0]) if with_forward else None
    ops = replace_layer(name, forward=forward, gradient=gradient)
    tokens, targets = batch(99)
    loss, found = loss_and_gradients(PARAMS, CONFIG, tokens, targets, ops=ops)
    expected_loss, expected = loss_and_gradients(PARAMS, CONFIG, tokens, targets)
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    assert_same_gradients(found, expected, 1e-4)
    assert calls


def test_gradients_of_another_shape_are_named():
    ops = replace_layer("linear", gradient=lambda dy, x, weight: (dy, weight))
    x, weight = np.ones((1, 2, 3), np.float32), np.ones((4, 3), np.float32)
    y, saved = ops.linear_forward(x, weight)
    with pytest.raises(ValueError, match=r"your linear must have shape \(1, 2, 3\), \(4, 3\); it has \(1, 2, 4\)"):
        ops.linear_backward(y, saved)
    ops = replace_layer("rope", gradient=lambda *arguments: None)
    with pytest.raises(ValueError, match=r"your rope must have shape \(1, 2, 3\); it has nothing"):
        ops.rope_backward(x, ops_saved(x))
    with pytest.raises(ValueError, match="give backward= or gradient= of rope, not both"):
        replace_layer("rope", backward=len, gradient=len)


def ops_saved(*values):
    from minillama.ops import _Arguments

    return _Arguments(values)
