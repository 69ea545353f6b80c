"""What is learned: the mask and its gradient beside PyTorch's, and beginnings that share a row."""

import numpy as np
import pytest
from ghost_models import scene, tiny_model

from minillama.alignment.conversations import WeightedNextToken, last_answer_learned, rows_of
from minillama.alignment.ghost_attention import Ghost, conversation_of_ghost, examples_of
from minillama.alignment.ghost_attention.examples import beginnings
from minillama.inference.chat import Llama2Chat
from minillama.trees import map_tree, named_leaves


@pytest.fixture(scope="module")
def model():
    return tiny_model(chat=Llama2Chat(), dtype=np.float64, tied=True)


@pytest.fixture(scope="module")
def ghosts(model):
    """Answers in tokens that no tokenizer would choose for their text: a letter each."""
    rng = np.random.default_rng(1)
    letters = model.tokenizer.encode("a b c d e", bos=False)
    answer = lambda n: [*rng.choice(letters, n).tolist(), model.tokenizer.eos_id]
    return [
        Ghost(scene("Hello!", "Tell me more.", "Bye!"), [answer(5), answer(3), answer(4)]),
        Ghost(scene("Who are you?", "Why?"), [answer(2), answer(6)]),
    ]


def test_only_the_last_answer_is_learned(model, ghosts):
    for ghost, example in zip(ghosts, examples_of(model, ghosts)):
        n = len(ghost.answers[-1])
        assert example.ids[-n:].tolist() == ghost.answers[-1]
        assert example.weights[-n:].tolist() == [1] * n
        assert not example.weights[:-n].any()
        ids = example.ids.tolist()
        for answer in ghost.answers[:-1]:
            assert any(ids[i : i + len(answer)] == answer for i in range(len(ids)))
    with pytest.raises(ValueError, match="learned"):
        examples_of(model, ghosts, "all")


@pytest.mark.parametrize("learned", ["last", "each"])
def test_gradients_are_those_of_pytorch(model, ghosts, learned):
    torch = pytest.importorskip("torch")
    from torch_llama import TorchLlama, largest_error

    rows = rows_of(examples_of(model, ghosts, learned))
    sums, gradients = WeightedNextToken(model.config)(model.params, rows)
    peer = TorchLlama(model.config, model.params)
    loss, count = 0, 0
    for ghost in ghosts:  # by hand: every answer that is learned, from what stands before it
        conversation = conversation_of_ghost(model, ghost)
        logp = torch.log_softmax(peer(torch.tensor(conversation.ids[None]))[0], -1)
        for span in conversation.answers[-1:] if learned == "last" else conversation.answers[1:]:
            for t in range(span.start, span.stop):
                loss, count = loss - logp[t - 1, conversation.ids[t]], count + 1
    loss.backward()
    assert sums["loss"] == pytest.approx(loss.item(), rel=1e-12)
    assert sums["count"] == count
    error = largest_error(gradients, peer.tree())
    print(f"{learned}: largest relative error of a gradient: {error:.1e}")
    assert error <= 1e-9


def test_a_row_holds_the_examples_of_all_its_beginnings(model, ghosts):
    objective = WeightedNextToken(model.config)
    together, gradients = objective(model.params, rows_of(examples_of(model, ghosts, "each")))
    alone = [last_answer_learned(part) for ghost in ghosts for part in beginnings(conversation_of_ghost(model, ghost))]
    assert len(alone) == 3  # the second and third answer of the one, the second of the other
    each = [objective(model.params, rows_of([example])) for example in alone]
    assert together["loss"] == pytest.approx(sum(sums["loss"] for sums, _ in each), rel=1e-12)
    assert together["count"] == sum(sums["count"] for sums, _ in each)
    total = each[0][1]
    for _, more in each[1:]:
        total = map_tree(lambda a, b: a + b, total, more)
    for (name, found), (_, expected) in zip(named_leaves(gradients), named_leaves(total), strict=True):
        assert np.abs(found - expected).max() <= 1e-12 * np.abs(expected).max(), name
