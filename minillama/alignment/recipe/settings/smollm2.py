"""The preset of real weights, SmolLM2-135M-Instruct with pairs of people: every step below two hours on two cores.

What a step takes follows from its tokens. Tokens per CPU second of this model, of two threads on a busy machine:

    sampled, 32 answers side by side                     100
    through all layers (scores, log-probabilities)       430      26 frozen of 30 layers alone: 490
    learned by the last 4 layers, on kept states         900
    learned by all layers                                 86      a prototype's figure; 99 with hidden states recomputed

hh-rlhf has 1,954 helpful and 1,912 adversarial pairs of 300 tokens, the beginning of both answers counted once. A
prompt has 110 tokens, an answer 130 of at most 192. In thousands of tokens, and CPU seconds:

    reward-helpful     2,130 pairs: 640 frozen, 640 learned; held-out ones                        2,200
    reward-safety      1,170 pairs: 350 and 350; 60 scored for the shift                          1,400
    judges             less than half of that each                                                1,700
    own-answers        800 answers: 104 sampled, 120 scored; lists 10 sampled                     1,500
    distillation       600 answers: 78 sampled, 150 scored; 300 examples twice: 150 learned       2,900
    rejection-1, -2    2,000 answers, 480 for the temperature, 256 for centres: 355 sampled,
                       2 x 400 scored; up to 625 examples: 150 learned                            7,200 each
    ppo                16 iterations of 32 answers: each 4 sampled, 2 x 8 scored, 3 x 8 read,
                       2 x 8 learned in 4 steps of 270 million parameters: 330
                       4 iterations of the value network, two passes: 300; 5 looks: 280           8,400
    ghost-attention    96 dialogues of 13 turns: 110 sampled, 8 side by side; 200 learned         4,200
    report             6 stages, 200 answers each: 156 sampled, 4 x 290 scored; 80 dialogues of
                       20 turns                                                                   6,500
    sft                only with --conversations: 2,000 of 250 tokens: 500 learned                5,900

Two hours of two cores are 14,400 CPU seconds: the largest step, PPO, is to take 70 minutes, the whole 6 hours. The
counts leave so much free because two threads wait for each other in small products, and for slower machines.

Memory: PPO has policy and value network with moments and gradients (270 million parameters, 4.3 GB), the reference,
and four reward models; their frozen layers are in memory once for the two that score, once for the two that judge.
"""

from __future__ import annotations

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

ABOUT = (
    "Real weights: SmolLM2-135M-Instruct, and pairs of people in the place of an annotator (--pairs FOLDER). No step\n"
    "above two hours on two cores, six in all, each resumable; 8 GB of memory and 20 GB of disk. The model follows\n"
    "instructions already: [sft] is for --conversations FILE alone. [verified] samples what is replayed."
)

REMARKS = {
    "recipe.pairs": "a folder with helpful-base.jsonl.gz and harmless-base.jsonl.gz of Anthropic's hh-rlhf",
    "recipe.chat": "the format that the model brings: ChatML",
    "sft.demonstrations": "at most, of --conversations",
    "reward.layers": "the last ones; what the 26 below make of every pair is computed once",
    "reward.margin": "hh-rlhf says nothing of strengths",
    "reward.auxiliary": "nor of safety",
    "reward.gate_share": "so a tenth of the rejected held-out answers lies below [ppo] gate",
    "preferences.requests": "none: the pairs are those of the files",
}

SMOLLM2 = RecipeSettings(
    recipe=RecipeTable(
        preset="smollm2", model="smollm2-135m-instruct", chat="own", world="people", context=2048, max_tokens=192
    ),
    sft=FineTuningTable(demonstrations=2000, epochs=1, peak=1e-4, batch_rows=0, batch_tokens=2048),
    verified=VerifiedTable(requests=200, samples=4, epochs=0),
    preferences=PreferencesTable(requests=0, refresh=0, held_out=0),
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
        validation=60,
        patience=2,
    ),
    ghost_attention=GhostTable(dialogues=96, epochs=2, peak=5e-5),
    report=ReportTable(requests=200, dialogues=10, turns=(2, 4, 6, 10, 20)),
)
