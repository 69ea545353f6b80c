"""The preset of real weights, SmolLM2-135M-Instruct with pairs of people: no step above two hours on two cores.

Its counts follow from what a token takes: seconds.py has the rates and the arithmetic. Two hours of two cores are
14,400 CPU seconds; a test holds every step below two thirds of that, as two threads wait for each other in small
products, and other machines are slower.

Memory: PPO has policy and value network with gradients and two moments (270 million parameters, 4.3 GB), where both
began (1.1 GB), four reward models, of which the frozen layers are in memory once for the two that score and once for
the two that judge (1.3 GB), and hidden states: about 9 GB. In the steps before 5.6 GB were measured.
"""

from __future__ import annotations

import textwrap

from .seconds import cpu_seconds
from .tables import (
    DistillationTable,
    FineTuningTable,
    GhostTable,
    PPOTable,
    PreferencesTable,
    RecipeSettings,
    RecipeTable,
    RejectionTable,
    ReportTable,
    RewardTable,
    VerifiedTable,
)

SMOLLM2 = RecipeSettings(
    recipe=RecipeTable(
        preset="smollm2", model="smollm2-135m-instruct", chat="own", world="people", context=2048, max_tokens=192
    ),
    sft=FineTuningTable(demonstrations=2000, epochs=1, peak=1e-4, batch_rows=0, batch_tokens=2048),
    verified=VerifiedTable(requests=200, samples=4, epochs=0),
    preferences=PreferencesTable(requests=2000, refresh=0, held_out=0),
    reward=RewardTable(
        helpful_peak=1e-4, safety_peak=1e-4, batch_pairs=32, margin="none", auxiliary=0.0, layers=4, gate_share=0.1
    ),
    distillation=DistillationTable(requests=300, epochs=2, peak=5e-5),
    rejection=RejectionTable(rounds=2, requests=250, samples=8, temperatures=(0.8, 1.0), epochs=1, peak=5e-5),
    ppo=PPOTable(
        iterations=16,
        prompts=32,
        mini_batch=8,
        peak=1e-5,
        beta=0.05,
        value_iterations=4,
        value_peak=2e-5,
        validate_every=4,
        validation=50,
        patience=2,
    ),
    ghost_attention=GhostTable(dialogues=96, epochs=2, peak=5e-5),
    report=ReportTable(requests=200, dialogues=10, turns=(2, 4, 6, 10, 20)),
)

_MINUTES = ", ".join(f"{name} {seconds / 120:.0f}" for name, seconds in cpu_seconds(SMOLLM2).items())
ABOUT = (
    "Real weights: SmolLM2-135M-Instruct, and pairs of people in the place of an annotator (--pairs FOLDER). No step\n"
    "above two hours on two cores, each resumable; about 9 GB of memory, and 20 GB of disk while it runs. The model\n"
    "follows instructions already: [sft] is for --conversations FILE alone. [verified] samples what is replayed.\n"
    + textwrap.fill(f"Minutes on two cores, about: {_MINUTES}.", 110)
)

REMARKS = {
    "recipe.pairs": "a folder with helpful-base.jsonl.gz and harmless-base.jsonl.gz of Anthropic's hh-rlhf",
    "recipe.chat": "the format that the model brings: ChatML",
    "sft.demonstrations": "at most, of --conversations",
    "reward.layers": "the last ones; what the 26 below make of every pair is computed once",
    "reward.margin": "hh-rlhf says nothing of strengths",
    "reward.auxiliary": "nor of safety",
    "reward.gate_share": "so a tenth of the rejected held-out answers lies below [ppo] gate",
    "preferences.requests": "at most so many pairs of each file",
}
