"""What tokens look at, beside PyTorch's softmax; bins, and the picture."""

import numpy as np
import pytest
from ghost_models import tiny_model

from minillama.alignment.conversations import conversation_of
from minillama.alignment.ghost_attention import draw_attention, system_attention
from minillama.inference.chat import Llama2Chat
from minillama.model import backbone_forward
from minillama.ops import REFERENCE

DIALOGUE = [{"role": "system", "content": "Your name is Pip. You like to swim."}]
for _ in range(5):
    DIALOGUE += [{"role": "user", "content": "Tell me about the cat."}, {"role": "assistant", "content": "It is red."}]


@pytest.fixture(scope="module")
def model():
    return tiny_model(chat=Llama2Chat())


def test_weights_are_those_of_the_softmax(model):
    torch = pytest.importorskip("torch")
    conversation = conversation_of(DIALOGUE, model.chat, model.tokenizer)
    system = next(span for span in conversation.spans if span.owner == "system")
    n, taken = len(conversation.ids), []

    def watching(q, k, v, positions):
        taken.append((torch.tensor(q[0]), torch.tensor(k[0]).repeat_interleave(2, 0)))
        return REFERENCE.attention_forward(q, k, v, positions)

    ops = REFERENCE._replace(attention_forward=watching)
    backbone_forward(model.params, model.config, conversation.ids[None], ops)
    hidden = torch.ones(n, n, dtype=torch.bool).triu(1)
    scores = [(q @ k.mT / 2).masked_fill(hidden, -torch.inf) for q, k in taken]  # head_dim is 4
    expected = torch.stack([torch.softmax(s, -1) for s in scores]).amax((0, 1)).numpy()
    found = system_attention(model, DIALOGUE)
    assert n > 130  # more than one piece of rows
    np.testing.assert_allclose(found.seen, expected[system.stop :, system.start : system.stop], rtol=1e-4)
    text = model.tokenizer.decode(conversation.ids[system.start : system.stop].tolist())
    assert text.strip() == DIALOGUE[0]["content"]
    assert [last for _, last in found.turns] == [span.stop - system.stop for span in conversation.answers]
    np.testing.assert_array_equal(found.by_turn()[1], found.seen[slice(*found.turns[1])].max())


def test_bins_keep_the_largest(model):
    found = system_attention(model, DIALOGUE)
    binned = found.binned(10, 4)
    assert binned.shape == (10, 4)
    assert binned.max() == found.seen.max()
    assert found.binned(10_000, 10_000).shape == found.seen.shape
    first = -(-len(found.seen) // 10)
    assert binned[0, 0] <= found.seen[:first].max()
    with pytest.raises(ValueError, match="no system message"):
        system_attention(model, DIALOGUE[1:])


def test_the_picture(model, tmp_path):
    found = system_attention(model, DIALOGUE)
    path = draw_attention({"before": found, "after": found}, tmp_path / "attention.png", title="Pip")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [p.name for p in tmp_path.iterdir()] == ["attention.png"]
    with pytest.raises(ValueError, match="nothing to draw"):
        draw_attention({}, tmp_path / "none.png")
