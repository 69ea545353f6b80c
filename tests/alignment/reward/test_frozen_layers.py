"""The last layers trained above frozen ones: gradients beside PyTorch's, hidden states that survive a kill."""

import json
from dataclasses import replace

import numpy as np
import pytest
from tiny_reward import CONFIG, a_model, in_float32, some_token_pairs, torch_reward

from minillama.alignment.reward import MARGINS, Preference
from minillama.alignment.reward.frozen import FrozenBelow
from minillama.alignment.reward.scorer import pair_scores
from minillama.alignment.reward.token_pairs import batch_of
from minillama.trees import named_leaves

DEEP = replace(CONFIG, n_layers=3)


@pytest.mark.parametrize("n_trained", [1, 2])
def test_gradients_are_those_of_pytorch_with_frozen_layers(n_trained, tmp_path):
    torch = pytest.importorskip("torch")
    from torch_llama import largest_error

    model, pairs = a_model(config=DEEP), some_token_pairs()
    frozen = FrozenBelow(model.backbone, DEEP, n_trained)
    upper = frozen.upper()._replace(head=model.head)
    batch = batch_of(pairs, "large")._replace(below=[frozen_states(frozen, pair) for pair in pairs])
    sums, gradients = Preference(frozen.upper_config, 0.5)(upper, batch)
    assert gradients.backbone.token_embedding is None

    peer, head = torch_reward(torch, model, DEEP)
    peer.token_embedding.requires_grad = False
    for layer in peer.layers[:-n_trained]:
        layer.requires_grad_(False)
    scores = torch.stack([torch.stack([peer(row)[-1] @ head for row in pair[:2]]) for pair in pairs])
    margins = torch.tensor([MARGINS["large"][pair.strength] for pair in pairs], dtype=torch.float64)
    loss = -torch.nn.functional.logsigmoid(scores[:, 0] - scores[:, 1] - margins).sum()
    safe = torch.tensor([pair.safe for pair in pairs], dtype=torch.float64)
    loss = loss + 0.5 * torch.nn.functional.binary_cross_entropy_with_logits(scores, safe, reduction="sum")
    loss.backward()
    assert sums["loss"] == pytest.approx(loss.item(), rel=1e-12)
    layers = [{name: p.grad.numpy() for name, p in layer.named_parameters()} for layer in peer.layers[-n_trained:]]
    expected = [*layers, peer.final_norm.grad.numpy(), head.grad.numpy()]
    found = [*(layer._asdict() for layer in gradients.backbone.layers), gradients.backbone.final_norm, gradients.head]
    flat = lambda parts: [a for part in parts for a in (part.values() if isinstance(part, dict) else [part])]
    ordered = [{name: part[name] for name in found[0]} if isinstance(part, dict) else part for part in expected]
    error = largest_error(flat(found), flat(ordered))
    print(f"largest relative error of a gradient: {error:.1e}")
    assert error <= 1e-9


def frozen_states(frozen, pair):
    """In float64, which files do not hold."""
    from minillama.alignment.reward.beginnings import below, together
    from minillama.alignment.reward.token_pairs import laid_out

    return below(frozen.lower, frozen.config, together([laid_out(pair)]))


def test_upper_part_and_whole_model_say_the_same(tmp_path):
    model, pairs = in_float32(a_model(config=DEEP)), some_token_pairs()
    frozen = FrozenBelow(model.backbone, DEEP, 2)
    upper = frozen.upper()._replace(head=model.head)
    given = frozen.states(pairs, tmp_path / "exact", dtype="float32")
    np.testing.assert_allclose(
        pair_scores(upper, frozen.upper_config, given), pair_scores(frozen.whole(upper), DEEP, pairs), rtol=1e-4
    )
    halved = frozen.states(pairs, tmp_path / "half")
    np.testing.assert_allclose(
        pair_scores(upper, frozen.upper_config, halved), pair_scores(model, DEEP, pairs), atol=0.02
    )
    assert (tmp_path / "half" / "states.bin").stat().st_size * 2 == (tmp_path / "exact/states.bin").stat().st_size
    for (name, a), (_, b) in zip(named_leaves(frozen.whole(upper)), named_leaves(model), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)
        assert not np.shares_memory(a, b) or name.startswith(
            ("backbone.token", "backbone.layers.0", "backbone.out", "head")
        )


def test_states_go_on_where_they_stopped(tmp_path, monkeypatch):
    from minillama.alignment.reward import frozen as module

    monkeypatch.setattr(module, "_PART", 40)
    model, pairs = in_float32(a_model(config=DEEP)), some_token_pairs(12)
    frozen = FrozenBelow(model.backbone, DEEP, 1)
    told = []
    whole = frozen.states(pairs, tmp_path / "whole", progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (12, 12)
    assert told == sorted(told)
    raw = (tmp_path / "whole/states.bin").read_bytes()
    for size in (0, 7, len(raw) // 2, len(raw) - 1):
        folder = tmp_path / f"cut-{size}"
        folder.mkdir()
        (folder / "states.json").write_text((tmp_path / "whole/states.json").read_text())
        (folder / "states.bin").write_bytes(raw[:size])
        again = frozen.states(pairs, folder, threads=1)
        assert (folder / "states.bin").read_bytes() == raw
        np.testing.assert_array_equal(again[5].below, whole[5].below)
    with pytest.raises(ValueError, match="of another pairs"):
        frozen.states(pairs[1:], tmp_path / "whole")
    with pytest.raises(ValueError, match="of another model, layers"):
        FrozenBelow(model.backbone, DEEP, 2).states(pairs, tmp_path / "whole")
    assert json.loads((tmp_path / "whole/states.json").read_text())["dtype"] == "float16"


def test_what_float16_cannot_hold_is_refused(tmp_path):
    model = in_float32(a_model(config=DEEP))
    model.backbone.token_embedding[...] *= 1e7
    with pytest.raises(ValueError, match="keep them as float32"):
        FrozenBelow(model.backbone, DEEP, 1).states(some_token_pairs(), tmp_path)
    with pytest.raises(ValueError, match="1 to 2 of the 3 layers"):
        FrozenBelow(model.backbone, DEEP, 3)
