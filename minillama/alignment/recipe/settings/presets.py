"""Settings to begin with: LLaMA 2-Chat's for its four sizes, and those that a laptop runs.

    7B 13B 34B 70B    the paper's numbers (paper.py); `--print-config` prints them, nothing here could run them
    story             from the model inside this package to one that chats: 75 minutes of two cores
    minute            the same steps with counts so small that all of them take two minutes: nothing is learned well
    smollm2           real weights and pairs of people, no step above two hours on two cores (smollm2.py)

The small ones keep the paper's optimizer, schedule, losses, gate and order. Their learning rates are those of a model
of 3M parameters (a narrow model bears higher ones), their batches are small, so that some hundred updates are left;
both are this project's choice. The helpfulness model of `story` learns from helpful pairs alone. With half of its
pairs from the safety set, as published, it took the first words of a kind turn, which every such pair prefers, for
helpful wherever they stand: there is no model of three million parameters that tells the two at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ....files.suggestions import did_you_mean
from .paper import PAPER_ABOUT, REMARKS, paper_settings
from .smollm2 import ABOUT, SMOLLM2
from .smollm2 import REMARKS as SMOLLM2_REMARKS
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
    StoriesTable,
    VerifiedTable,
)


@dataclass(frozen=True)
class RecipePreset:
    """Settings under a name.

    Attributes
    ----------
    name, about : str
    settings : RecipeSettings
    comments : mapping
        Remarks for the file by "table.key".
    runs : bool
        Whether this program can run it.
    """

    name: str
    about: str
    settings: RecipeSettings
    comments: Mapping[str, str] = field(default_factory=dict)
    runs: bool = True


def _story() -> RecipeSettings:
    return RecipeSettings(
        recipe=RecipeTable(preset="story", model="stories3M", context=1024, max_tokens=160),
        stories=StoriesTable(count=3000),
        sft=FineTuningTable(demonstrations=0, epochs=0, steps=7000, peak=1.2e-3, batch_rows=0, batch_tokens=1536),
        verified=VerifiedTable(rounds=2, requests=2000, samples=6, epochs=2, peak=5e-4),
        preferences=PreferencesTable(requests=14000, refresh=2000, held_out=500),
        reward=RewardTable(
            helpful_epochs=1,
            safety_epochs=3,
            helpful_peak=4e-4,
            safety_peak=1e-3,
            batch_pairs=32,
            margin="small",
            helpful_mix=1.0,
        ),
        distillation=DistillationTable(requests=1500, epochs=2, peak=5e-4, first_weight=16.0),
        rejection=RejectionTable(
            rounds=2, requests=4000, samples=8, temperatures=(0.8, 0.9, 1.0), epochs=2, peak=7e-4, replay=0.4
        ),
        ppo=PPOTable(
            iterations=60,
            prompts=96,
            mini_batch=24,
            peak=1.5e-4,
            beta=0.05,
            temperature=0.9,
            value_iterations=8,
            value_peak=3e-4,
            validate_every=10,
            validation=500,
            patience=3,
        ),
        ghost_attention=GhostTable(dialogues=1500, epochs=2, peak=4e-4, temperature=0.6, replay=2.5),
        report=ReportTable(requests=1200, dialogues=40, turns=(2, 4, 6, 10, 20)),
    )


def _minute() -> RecipeSettings:
    return RecipeSettings(
        recipe=RecipeTable(preset="minute", model="stories3M", context=1024, max_tokens=80),
        stories=StoriesTable(count=100),
        sft=FineTuningTable(demonstrations=0, epochs=0, steps=120, peak=1.2e-3, batch_rows=0, batch_tokens=2048),
        verified=VerifiedTable(rounds=2, requests=32, samples=3, epochs=1, peak=3e-4),
        preferences=PreferencesTable(requests=48, refresh=16, held_out=16),
        reward=RewardTable(
            helpful_epochs=1, safety_epochs=2, helpful_peak=4e-4, safety_peak=5e-4, batch_pairs=8, margin="small"
        ),
        distillation=DistillationTable(requests=12, epochs=1, peak=1e-3, first_weight=16.0),
        rejection=RejectionTable(rounds=2, requests=12, samples=3, temperatures=(0.9, 1.0), epochs=1, peak=5e-4),
        ppo=PPOTable(
            iterations=2,
            prompts=8,
            mini_batch=4,
            peak=1.5e-4,
            beta=0.05,
            temperature=0.9,
            value_iterations=1,
            value_peak=3e-4,
            validate_every=1,
            validation=8,
            gate=0.9,
        ),
        ghost_attention=GhostTable(dialogues=12, most_turns=4, epochs=1, peak=4e-4, temperature=0.6),
        report=ReportTable(requests=24, dialogues=2, turns=(2, 4), samples=3),
    )


PRESETS: dict[str, RecipePreset] = {
    preset.name: preset
    for preset in (
        RecipePreset("minute", "All steps in two minutes, to see that they work: nothing is learned well.", _minute()),
        RecipePreset(
            "story", "From the model inside this package to one that chats: 75 minutes of two cores.", _story()
        ),
        RecipePreset("smollm2", ABOUT, SMOLLM2, SMOLLM2_REMARKS),
        *(
            RecipePreset(size, PAPER_ABOUT.format(size=size), paper_settings(size), REMARKS, runs=False)
            for size in ("7B", "13B", "34B", "70B")
        ),
    )
}


def preset_named(name: str) -> RecipePreset:
    """Look up `PRESETS`, upper or lower case.

    Raises
    ------
    ValueError
        When no preset has that name; the message lists them.
    """
    found = {known.lower(): preset for known, preset in PRESETS.items()}.get(name.lower())
    if found is None:
        raise ValueError(
            f"no preset named {name[:60]!r}: {did_you_mean(name, PRESETS, most=1)}possible: {', '.join(PRESETS)}"
        )
    return found
