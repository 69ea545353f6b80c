"""LLaMA 2-Chat's numbers (arXiv:2307.09288, sections 3.1 to 3.3 and 4.2, tables 6, 26 and 27), and what it leaves out.

    SFT        27,540 demonstrations, 2e-5, cosine, 2 epochs, batch 64, 4,096 tokens, weight decay 0.1
    reward     1,418,091 comparisons; 1 epoch, 1e-5, 5e-6 for 70B, 512 pairs a step, warm-up 3 %; 50/50 and 90/10
    rounds     RLHF-V1 to V4 are rejection sampling alone, then PPO on top of the fifth
    PPO        1e-6 constant, 512 an iteration, mini-batches of 64, clip 0.2, beta 0.01 or 0.005, 200-400 iterations
    AdamW      0.9, 0.95, 1e-5; clipping at 1.0

Every key that the paper gives no number for has a remark that begins with "unconfirmed".
"""

from __future__ import annotations

from dataclasses import replace

from .tables import PPOTable, RecipeSettings, RecipeTable, RewardTable

PAPER_ABOUT = (
    "LLaMA 2-Chat {size}: the paper's numbers for every stage, to read and to compare with; not to be run here.\n"
    "AdamW 0.9, 0.95, eps 1e-5 and clipping at 1.0 everywhere. Reward models: warm-up of 3 % of the steps, at least\n"
    "5, and a cosine to a tenth (for fine-tuning how far the cosine falls is unconfirmed). PPO: a constant rate.\n"
    "Remarks say what is published where, and what is not: unconfirmed."
)

REMARKS = {
    "recipe.context": "section 2.2",
    "recipe.max_tokens": "unconfirmed",
    "recipe.seed": "unconfirmed",
    "stories.count": "of the story world alone",
    "sft.demonstrations": "section 3.1",
    "sft.epochs": "section 3.1",
    "sft.peak": "section 3.1: a cosine",
    "sft.batch_rows": "section 3.1: sequences of 4,096 tokens, packed",
    "sft.weight_decay": "section 3.1",
    "sft.steps": "of the story world alone",
    "verified.requests": "not in the paper",
    "preferences.requests": "table 6: Meta's own, 14 weekly batches from the newest policy",
    "preferences.refresh": "unconfirmed: in the sum above",
    "preferences.temperatures": "unconfirmed: two model variants and varied temperatures (section 3.2.1)",
    "preferences.held_out": "section 3.2.2: of each batch",
    "reward.helpful_epochs": "section 3.2.2: more overfits",
    "reward.helpful_peak": "section 3.2.2: 5e-6 for 70B, 1e-5 for the others",
    "reward.batch_pairs": "section 3.2.2: 1,024 rows",
    "reward.margin": "unconfirmed which of table 27",
    "reward.auxiliary": "unconfirmed: neither formula nor weight (appendix A.3.4)",
    "reward.helpful_mix": "section 3.2.2",
    "reward.layers": "0: all of them",
    "reward.gate_share": "not in the paper",
    "reward.safety_mix": "section 3.2.2",
    "distillation.requests": "unconfirmed",
    "distillation.epochs": "unconfirmed",
    "distillation.peak": "unconfirmed",
    "distillation.replay": "unconfirmed",
    "distillation.temperature": "unconfirmed",
    "rejection.rounds": "section 3.2.3: until RLHF-V4; only the 70B samples, the others learn from its answers",
    "rejection.requests": "unconfirmed",
    "rejection.samples": "unconfirmed: figure 7 shows 1 to 100",
    "rejection.temperatures": "unconfirmed; each round takes the best, 1.2 to 1.3 for the RLHF model (figure 8)",
    "rejection.epochs": "unconfirmed",
    "rejection.peak": "unconfirmed: as fine-tuning",
    "rejection.replay": "unconfirmed",
    "ppo.iterations": "section 3.2.3: between 200 and 400, with early stopping on held-out prompts",
    "ppo.prompts": "section 3.2.3",
    "ppo.mini_batch": "section 3.2.3: one gradient step for each",
    "ppo.peak": "section 3.2.3: constant",
    "ppo.beta": "section 3.2.3: 0.01 for 7B and 13B, 0.005 for 34B and 70B",
    "ppo.clip": "section 3.2.3",
    "ppo.gate": "section 3.2.3",
    "ppo.gamma": "unconfirmed",
    "ppo.lam": "unconfirmed",
    "ppo.temperature": "unconfirmed",
    "ppo.value_iterations": "unconfirmed",
    "ppo.value_peak": "unconfirmed",
    "ppo.validate_every": "unconfirmed",
    "ppo.validation": "section 3.4.1: helpfulness prompts; 1,586 for safety",
    "ppo.patience": "unconfirmed",
    "ghost_attention.dialogues": "unconfirmed",
    "ghost_attention.most_turns": "table 30: consistent to turn 20",
    "ghost_attention.epochs": "unconfirmed",
    "ghost_attention.peak": "unconfirmed: as fine-tuning",
    "ghost_attention.replay": "unconfirmed",
    "ghost_attention.temperature": "unconfirmed",
    "report.requests": "section 3.4.2: over 4,000 prompts",
    "report.turns": "table 30",
}


def paper_settings(size: str) -> RecipeSettings:
    """The published settings of a size: "7B", "13B", "34B" or "70B"."""
    base = RecipeSettings(
        recipe=RecipeTable(preset=size, model=f"llama-2-{size.lower()}"), ppo=PPOTable(beta=0.01), reward=RewardTable()
    )
    if size in ("34B", "70B"):
        base = replace(base, ppo=replace(base.ppo, beta=0.005))
    if size == "70B":
        base = replace(base, reward=replace(base.reward, helpful_peak=5e-6, safety_peak=5e-6))
    return base
