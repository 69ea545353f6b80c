"""What the stages of alignment share: settings that say which stage it is, and the optimizer that LLaMA 2 names.

    AdamW (0.9, 0.95, eps 1e-5), weight decay 0.1, clipping at 1.0: "as in pretraining" (sections 3.1 and 3.2.2)

A stage's own settings are plain values under their names. They stand in the run's config.toml in a table of the
stage's name, and a run is not resumed with others.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ..config import ModelConfig
from ..files.text import decode_text
from ..tokenizers import Tokenizer, save_tokenizer
from ..training.run_folder import RunError
from ..training.settings import OptimizerSettings, RunSettings, ScheduleSettings, StageSettings, check_same
from ..training.settings_toml import format_tables
from ..training.stage import Stage


@dataclass(frozen=True, kw_only=True)
class AlignmentSettings(StageSettings):
    """Optimizer, schedule and run, and what the stage alone knows.

    Attributes
    ----------
    name : str
        Of the stage: "sft", "reward", "ppo".
    values : mapping
        Numbers, texts and switches by name.
    """

    name: str
    values: Mapping[str, Any] = field(default_factory=dict)


def settings_of(
    name: str,
    *,
    steps: int,
    peak: float,
    warmup_fraction: float = 0.03,
    least_warmup: int = 5,
    final_fraction: float = 0.1,
    weight_decay: float = 0.1,
    checkpoint_every: int = 100,
    validate_every: int = 0,
    seed: int = 0,
    **values: Any,
) -> AlignmentSettings:
    """Settings of a stage: the paper's optimizer, a cosine to a tenth, a warm-up of 3 % of the steps, at least 5.

    `final_fraction` 1.0 with `warmup_fraction` 0 is a constant rate, as in the paper's PPO.
    """
    warmup = min(steps - 1, max(least_warmup, round(warmup_fraction * steps))) if warmup_fraction else 0
    return AlignmentSettings(
        name=name,
        values=values,
        optimizer=OptimizerSettings(weight_decay=weight_decay),
        schedule=ScheduleSettings(peak=peak, warmup_steps=warmup, final_fraction=final_fraction, total_steps=steps),
        run=RunSettings(steps=steps, checkpoint_every=checkpoint_every, validate_every=validate_every, seed=seed),
    )


class AlignmentStage(Stage):
    """A stage over conversations; subclasses say what is learned.

    Attributes
    ----------
    settings : AlignmentSettings
    config : ModelConfig
    tokenizer : Tokenizer
    """

    settings: AlignmentSettings

    def __init__(self, settings: AlignmentSettings, config: ModelConfig, tokenizer: Tokenizer) -> None:
        self.settings, self.config, self.tokenizer = settings, config, tokenizer
        self.seeds = {"batches": settings.run.seed}

    def binding(self) -> dict[str, Any]:
        settings = self.settings
        found: dict[str, Any] = {f"model.{name}": value for name, value in self.config.described().items()}
        found |= {f"{settings.name}.{name}": value for name, value in _listed(settings.values).items()}
        for table in ("optimizer", "schedule", "run"):
            values = getattr(settings, table)
            for f in fields(values):
                if not f.metadata["harmless"] and getattr(values, f.name) is not None:
                    found[f"{table}.{f.name}"] = getattr(values, f.name)
        return found

    def settings_text(self, folder: Path) -> str:
        tables: dict[str, dict[str, Any]] = {}
        for name, value in self.binding().items():
            table, _, key = name.partition(".")
            tables.setdefault(table, {})[key] = value
        return format_tables(tables)

    def check_settings(self, path: Path) -> None:
        try:
            tables = tomllib.loads(decode_text(path.read_bytes()))
            before = {f"{table}.{key}": value for table, values in tables.items() for key, value in values.items()}
        except (OSError, ValueError, AttributeError) as error:
            raise RunError(f"{path} cannot be read: {error}; take another folder (--out)") from error
        check_same(before, self.binding())

    def save(self, folder: Path) -> None:
        save_tokenizer(self.tokenizer, folder)


def _listed(values: Mapping[str, Any]) -> dict[str, Any]:
    """As TOML gives them back: lists for tuples, nothing for None."""
    return {name: _as_lists(value) for name, value in values.items() if value is not None}


def _as_lists(value: Any) -> Any:
    return [_as_lists(item) for item in value] if isinstance(value, list | tuple) else value
