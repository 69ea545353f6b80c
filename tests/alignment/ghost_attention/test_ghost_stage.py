"""The stage: dialogues and fine-tuning in one folder, and how long a dialogue may be."""

import os
import signal

import numpy as np
import pytest
from ghost_models import FILLERS, POOLS, killed, tiny_model

from minillama.alignment.conversations import Example
from minillama.alignment.ghost_attention import (
    PAPER,
    SMOLLM2,
    STORY,
    GhostAttentionSettings,
    SceneShape,
    SynthesisSettings,
    draw_scenes,
    length_notes,
    run_ghost_attention,
    with_larger_theta,
    with_scaled_rope,
)
from minillama.alignment.ghost_attention.talks import Talks
from minillama.alignment.sft import FineTuningSettings
from minillama.kv_cache import ContextFullError
from minillama.model import backbone_backward, backbone_forward, forward

SCENES = draw_scenes(POOLS, FILLERS, 6, seed=4, shape=SceneShape(2, 4))
SETTINGS = GhostAttentionSettings(
    synthesis=SynthesisSettings(tries=3, max_tokens=6, at_once=3, seed=2),
    fine_tuning=FineTuningSettings(peak=1e-2, epochs=8, tokens=400, checkpoint_every=2),
    learned="each",
    trained_length=100,
)


class Watching:
    def __init__(self, kill_at=None):
        self.notes, self.rows, self.kill_at = [], [], kill_at

    def begin(self, step, steps): ...

    def note(self, text):
        self.notes.append(text)

    def row(self, row):
        self.rows.append(row)
        if row["step"] == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def anything(scene, turn, answer):
    return True


def run(model, folder, observer, settings=SETTINGS, **options):
    return run_ghost_attention(model, SCENES, folder, observer, settings, rule=anything, threads=1, **options)


def test_it_learns_what_it_sampled_and_survives_kill(tmp_path):
    model, watching = tiny_model(), Watching()
    replay = [Example(np.arange(3, 40), np.r_[0, np.ones(36)].astype(np.float32))]
    whole = run(model, tmp_path / "whole", watching, replay=replay)
    losses = [row["loss"] for row in watching.rows]
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])
    assert "1 examples replayed" in watching.notes[0]
    assert "longer than the 100 tokens" in watching.notes[1]
    killed(lambda: run(model, tmp_path / "killed", Watching(kill_at=5), replay=replay))
    again = run(model, tmp_path / "killed", Watching(), replay=replay)
    weights = [outcome.checkpoint / "model.safetensors" for outcome in (whole, again)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    with pytest.raises(ValueError, match="replayed: 1 before, 0 now"):
        run(model, tmp_path / "whole", Watching())  # other examples
    assert 'learned = "each"' in (tmp_path / "whole" / "training" / "config.toml").read_text()


def test_a_model_that_does_not_follow_cannot_learn_to_remember(tmp_path):
    never = lambda scene, turn, answer: False
    with pytest.raises(ValueError, match="none of 6 dialogues obeyed"):
        run_ghost_attention(tiny_model(), SCENES, tmp_path, Watching(), SETTINGS, rule=never)


def test_presets():
    assert (PAPER.synthesis.place, PAPER.learned, PAPER.fine_tuning.peak, PAPER.fine_tuning.epochs) == (
        "every",
        "last",
        2e-5,
        2,
    )
    assert (STORY.synthesis.place, STORY.fine_tuning.peak, STORY.fine_tuning.epochs) == ("alone", 4e-4, 2)
    assert SMOLLM2.trained_length == 8192


def test_length_is_said_or_refused():
    model = tiny_model(max_seq_len=64)
    long = lambda n: Example(np.arange(n), np.zeros(n, np.float32))
    assert length_notes(model, [long(65)], 64) == []
    (note,) = length_notes(model, [long(65), long(30)], 40)
    assert "1 of 2 examples are longer than the 40 tokens" in note
    assert "not known" in length_notes(model, [long(30)], None)[0]
    with pytest.raises(ContextFullError, match="longest example takes 65 tokens"):
        length_notes(model, [long(66)], 64)


def test_scaled_rope_runs_longer_texts_and_is_not_trained():
    model = tiny_model(max_seq_len=32)
    for kind in ("linear", "yarn"):
        scaled = with_scaled_rope(model, 64, kind)
        ids = np.arange(3, 53)[None]
        logits, _ = forward(scaled.params, scaled.config, ids)
        assert np.isfinite(logits).all()
        short, _ = forward(model.params, model.config, ids[:, :30])
        assert np.abs(logits[:, :30] - short).max() > 0
        answer = Talks(scaled, 1, temperature=0.0, max_tokens=3).answers({0: ids[0].tolist()}, {0: 0})[0]
        assert answer[0] == logits[0, -1, : model.tokenizer.vocab_size].argmax()  # its own table is used
        h, saved = backbone_forward(scaled.params, scaled.config, ids)
        with pytest.raises(ValueError, match="RoPE scaled"):
            backbone_backward(h, saved)
    with pytest.raises(ValueError, match="longer one"):
        with_scaled_rope(model, 32)
    with pytest.raises(ValueError, match="scaled already"):
        with_scaled_rope(scaled, 128)


def test_a_larger_theta_is_a_llama2_that_trains():
    model = tiny_model(max_seq_len=32)
    longer = with_larger_theta(model, 64)
    assert (longer.config.rope_theta, longer.config.max_seq_len) == (40_000, 64)
    ids = np.arange(3, 53)[None]
    h, saved = backbone_forward(longer.params, longer.config, ids)
    gradients = backbone_backward(h, saved)
    assert np.abs(gradients.layers[0].wq).max() > 0
    for length, times in ((32, 4), (64, 1)):
        with pytest.raises(ValueError, match="longer context"):
            with_larger_theta(model, length, times)
