"""Record what TRL's PPOTrainer makes of a batch: rewards, advantages, returns and the losses of its mini-batches.

    python -m venv trl && trl/bin/pip install "trl==0.15.2" "transformers==4.49.0" torch
    trl/bin/python benchmarks/ppo_oracle.py tests/alignment/ppo/trl.json

The trainer itself runs for one iteration, on a random Llama of two layers. Nothing of it is written again here: its
`masked_whiten` and `masked_mean` are wrapped, and what stands in the trainer's own variables when it calls them is
kept. `tests/alignment/ppo/test_advantages_trl.py` holds the package's formulas against that.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
)
from trl import PPOConfig, PPOTrainer
from trl.trainer import ppo_trainer

# The trainer's variables: of an iteration when it whitens the advantages, of a mini-batch when it takes a loss's mean.
OF_ITERATION = ("logprobs", "ref_logprobs", "values", "scores", "sequence_lengths", "rewards", "returns")
OF_MINI_BATCH = (
    "mb_logprobs", "new_logprobs", "mb_advantage", "pg_loss_max", "vpred", "mb_values", "mb_return", "vf_loss_max",
)  # fmt: skip


def small_tokenizer() -> PreTrainedTokenizerFast:
    words = {"<pad>": 0, "</s>": 1} | {f"w{i}": i for i in range(2, 24)}
    inner = Tokenizer(models.WordLevel(words, unk_token="w2"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="</s>", unk_token="w2", padding_side="left"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    record: dict = {"trl": version("trl"), "torch": version("torch"), "whitening": [], "mini_batches": []}
    watch(record)
    torch.manual_seed(0)
    with contextlib.redirect_stdout(sys.stderr), tempfile.TemporaryDirectory() as folder:
        trainer_of(folder, record).train()
    record["mini_batches"] = record["mini_batches"][:2]
    record["whitening"] = record["whitening"][:2]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(record) + "\n")


def trainer_of(folder: str, record: dict) -> PPOTrainer:
    tokenizer = small_tokenizer()
    shape = LlamaConfig(
        vocab_size=24, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=64, pad_token_id=0, eos_token_id=1, bos_token_id=2, num_labels=1, initializer_range=0.5,
    )  # fmt: skip
    settings = PPOConfig(
        output_dir=folder, report_to=[], use_cpu=True, seed=0, num_sample_generations=0, response_length=12,
        per_device_train_batch_size=8, gradient_accumulation_steps=1, num_mini_batches=2, num_ppo_epochs=1,
        local_rollout_forward_batch_size=16, total_episodes=16, stop_token="eos", temperature=0.7, learning_rate=3e-2,
        whiten_rewards=True, gamma=0.99, lam=0.95, kl_coef=0.05,
    )  # fmt: skip
    record["settings"] = {
        name: getattr(settings, name)
        for name in ("kl_coef", "gamma", "lam", "cliprange", "cliprange_value", "vf_coef", "temperature")
    }
    prompts = [[(7 * i + j) % 20 + 3 for j in range(4)] for i in range(16)]
    return PPOTrainer(
        args=settings,
        processing_class=tokenizer,
        model=LlamaForCausalLM(shape),
        ref_model=LlamaForCausalLM(shape),
        reward_model=LlamaForSequenceClassification(shape),
        value_model=LlamaForSequenceClassification(shape),
        train_dataset=Dataset.from_dict({"input_ids": prompts}),
        eval_dataset=Dataset.from_dict({"input_ids": prompts}),
    )


def watch(record: dict) -> None:
    """Keep what the trainer's two functions are given, what they return, and the variables around the call."""
    whiten, mean = ppo_trainer.masked_whiten, ppo_trainer.masked_mean

    def whiten_and_keep(values, mask, shift_mean=True):
        found = whiten(values, mask, shift_mean)
        kept = {"values": values, "mask": mask, "shift_mean": shift_mean, "whitened": found}
        record["whitening"].append({name: listed(value) for name, value in kept.items()})
        if shift_mean:  # the advantages
            around = sys._getframe(1).f_locals
            kept = {name: around[name] for name in OF_ITERATION} | {"mask": mask, "whitened": found}
            record["iteration"] = {name: listed(value) for name, value in kept.items()} | {"advantages": listed(values)}
        return found

    def mean_and_keep(values, mask, axis=None):
        found, around = mean(values, mask, axis), sys._getframe(1).f_locals
        if values is around.get("pg_loss_max"):
            rows = around["micro_batch_inds"]
            kept = {name: listed(around[name]) for name in OF_MINI_BATCH}
            kept |= {"mask": listed(mask), "value_mask": listed(~around["padding_mask_p1"][rows])}
            kept |= {"policy_loss": listed(found), "value_loss": listed(around["vf_loss"])}
            record["mini_batches"].append(kept)
        return found

    ppo_trainer.masked_whiten, ppo_trainer.masked_mean = whiten_and_keep, mean_and_keep


def listed(value):
    if not isinstance(value, torch.Tensor):
        return value
    return shortened(value.detach().tolist())


def shortened(value):
    """Nine digits are all of a float32."""
    if isinstance(value, list):
        return [shortened(one) for one in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
