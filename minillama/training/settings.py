"""What a training run is told: five tables of a TOML file, each value with its range.

    [model]      size = "stories260K", or the numbers of a ModelConfig
    [data]       sources with weights, validation text, tokenizer, length and number of rows
    [optimizer]  AdamW and clipping          [schedule]  learning rate
    [run]        how long, how often to look, what to keep

The defaults of optimizer and schedule are LLaMA 2's (arXiv:2307.09288, section 2.2). Reading and writing
the file is in settings_toml.py.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ..config import ModelConfig, named_config, swiglu_hidden_dim
from ..tokenizers import Tokenizer

MODEL_FIELDS = {f.name: str(f.type) for f in fields(ModelConfig)}


def _value(
    default: Any,
    kind: str,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    harmless: bool = False,
) -> Any:
    """A field with its kind and range; a harmless one may change when a run is resumed."""
    limits = {"at least": at_least, "above": above, "at most": at_most, "below": below}
    metadata = {"kind": kind, "limits": {k: v for k, v in limits.items() if v is not None}, "harmless": harmless}
    if isinstance(default, tuple | str | int | float | bool) or default is None:
        return field(default=default, metadata=metadata)
    return field(metadata=metadata)


_REQUIRED = object()


@dataclass(frozen=True)
class SourceSettings:
    """A folder of token shards and how often its rows are drawn; weights need not add up to 1."""

    path: Path
    weight: float = 1.0
    name: str = ""
    """Also seeds the order of its documents; by default the folder's name."""


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Where the tokens come from and how a batch is cut.

    Attributes
    ----------
    sources : tuple of SourceSettings
        Folders that `minillama data tokens` wrote.
    validation : Path or None
        Another such folder, never trained on.
    tokenizer : Path
        Folder or file; saved with every checkpoint.
    seq_len, batch_size : int
        Tokens in a row, rows in an update.
    micro_batches : int
        Parts that every thread computes its share of a batch in, one after another, to save memory.
    seed : int
        Order of documents and sources.
    """

    sources: tuple[SourceSettings, ...] = _value(_REQUIRED, "sources")
    validation: Path | None = _value(None, "path")  # noqa: RUF009
    tokenizer: Path = _value(_REQUIRED, "path")  # noqa: RUF009
    seq_len: int = _value(256, "integer", at_least=1, at_most=1 << 24)
    batch_size: int = _value(32, "integer", at_least=1, at_most=1 << 24)
    micro_batches: int = _value(1, "integer", at_least=1)
    seed: int = _value(0, "integer", at_least=0, below=2**63)


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings:
    """AdamW, and the norm that gradients are clipped to (0: not at all)."""

    beta1: float = _value(0.9, "number", at_least=0, below=1)
    beta2: float = _value(0.95, "number", at_least=0, below=1)
    eps: float = _value(1e-5, "number", above=0, at_most=1)
    weight_decay: float = _value(0.1, "number", at_least=0, at_most=10)
    clip_norm: float = _value(1.0, "number", at_least=0)


@dataclass(frozen=True, kw_only=True)
class ScheduleSettings:
    """Linear warm-up to `peak`, then a cosine down to `final_fraction` of it at `total_steps`.

    `total_steps` 0 stands for the run's steps as the run begins. It stays when the run is extended later.
    """

    peak: float = _value(3e-4, "number", above=0, at_most=10)
    warmup_steps: int = _value(2000, "integer", at_least=0)
    final_fraction: float = _value(0.1, "number", at_least=0, at_most=1)
    total_steps: int = _value(0, "integer", at_least=0)


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How long a run lasts, how often it is looked at, and what it keeps.

    Attributes
    ----------
    steps : int
        Updates of the parameters.
    validate_every, sample_every, checkpoint_every : int
        In steps; 0 is never. The last step does all of them, and every checkpoint is validated.
    keep_every : int
        Besides the last and the best checkpoint, those at multiples of this stay; 0: no others.
    log_every : int
        Steps between two lines where stderr is not a terminal. metrics.jsonl has every step.
    prompts : tuple of str
        What samples begin with.
    sample_tokens, temperature, top_p
        How they continue.
    seed : int
        Of the first parameters and of the samples.
    recompute : bool
        Compute activations twice rather than keep them: less memory, about a third more time.
    gradient_norm_limit : float
        A norm above it, before clipping, ends the run; 0: no limit.
    init_from : Path, str or None
        A model to start from, by its path or the name of a known one: its weights, with a fresh optimizer.
        None: new weights. What [model] leaves open is as in that model.
    """

    steps: int = _value(_REQUIRED, "integer", at_least=1, at_most=1 << 40, harmless=True)
    validate_every: int = _value(0, "integer", at_least=0, harmless=True)
    sample_every: int = _value(0, "integer", at_least=0, harmless=True)
    checkpoint_every: int = _value(1000, "integer", at_least=0, harmless=True)
    keep_every: int = _value(0, "integer", at_least=0, harmless=True)
    log_every: int = _value(10, "integer", at_least=1, harmless=True)
    prompts: tuple[str, ...] = _value(("Once upon a time",), "texts", harmless=True)
    sample_tokens: int = _value(100, "integer", at_least=1, harmless=True)
    temperature: float = _value(0.8, "number", at_least=0, harmless=True)
    top_p: float = _value(0.9, "number", above=0, at_most=1, harmless=True)
    seed: int = _value(0, "integer", at_least=0, below=2**63)
    recompute: bool = _value(False, "switch", harmless=True)
    gradient_norm_limit: float = _value(0.0, "number", at_least=0, harmless=True)
    init_from: Path | str | None = _value(None, "checkpoint")  # noqa: RUF009


@dataclass(frozen=True, kw_only=True)
class StageSettings:
    """What the trainer needs to know of any stage."""

    optimizer: OptimizerSettings
    schedule: ScheduleSettings
    run: RunSettings


@dataclass(frozen=True, kw_only=True)
class TrainSettings(StageSettings):
    """Everything that decides what a pretraining run does.

    Attributes
    ----------
    model : dict
        `size`, or numbers of a `ModelConfig`, or both; `model_config` makes one of it.
    data, optimizer, schedule, run
        See there.
    """

    model: dict[str, Any]
    data: DataSettings


TABLES: dict[str, Any] = {
    "data": DataSettings,
    "optimizer": OptimizerSettings,
    "schedule": ScheduleSettings,
    "run": RunSettings,
}


def model_config(settings: TrainSettings, tokenizer: Tokenizer) -> ModelConfig:
    """The shape that [model] describes; vocabulary and length come from the data where it is silent.

    Raises
    ------
    ValueError
        When a number is missing or impossible, or the data does not fit the model.
    """
    given = dict(settings.model)
    size = given.pop("size", None)
    if size is not None:
        config = dataclasses.replace(named_config(size), **_consistent(given))
    else:
        given.setdefault("vocab_size", tokenizer.vocab_size)
        given.setdefault("max_seq_len", settings.data.seq_len)
        if missing := [name for name in ("dim", "n_layers", "n_heads") if name not in given]:
            raise ValueError(f"[model] needs {', '.join(missing)}, or size = a named size (minillama info lists them)")
        given.setdefault("hidden_dim", swiglu_hidden_dim(given["dim"], 32))
        config = ModelConfig(**given)
    if config.beyond_llama2:
        raise ValueError(f"[model] asks for {' and '.join(config.beyond_llama2)}; training is that of a LLaMA 2")
    if tokenizer.vocab_size > config.vocab_size:
        raise ValueError(
            f"[model] vocab_size is {config.vocab_size}, the tokenizer has {tokenizer.vocab_size} tokens: "
            f"set [model] vocab_size = {tokenizer.vocab_size}"
        )
    if settings.data.seq_len > config.max_seq_len:
        raise ValueError(
            f"[data] seq_len {settings.data.seq_len} is longer than [model] max_seq_len {config.max_seq_len}"
        )
    return config


def _consistent(given: dict[str, Any]) -> dict[str, Any]:
    """Changed numbers of a named size; those that follow from others are derived again."""
    if "dim" in given or "n_heads" in given:
        given = {"head_dim": 0, **given}
    if "n_heads" in given:
        given = {"n_kv_heads": 0, **given}
    if "dim" in given:
        given = {"hidden_dim": swiglu_hidden_dim(given["dim"], 32), **given}
    return given


def resolve(settings: TrainSettings, config: ModelConfig, before: TrainSettings | None = None) -> TrainSettings:
    """The settings with nothing left open: every number of the model, names of sources, the schedule's length.

    Parameters
    ----------
    before : TrainSettings, optional
        Those that a run to be resumed began with: its schedule stays as long as it was.
    """
    schedule = settings.schedule
    if schedule.total_steps == 0:
        steps = settings.run.steps if before is None else before.schedule.total_steps
        schedule = dataclasses.replace(schedule, total_steps=steps)
    if schedule.warmup_steps >= schedule.total_steps:
        raise ValueError(
            f"[schedule] warmup_steps {schedule.warmup_steps} must be below the schedule's {schedule.total_steps} "
            "steps: shorten the warm-up (2 to 5 % is usual for short runs) or lengthen the run"
        )
    data = dataclasses.replace(settings.data, sources=_named(settings.data.sources))
    return dataclasses.replace(settings, model=config.described(), schedule=schedule, data=data)


def _named(sources: tuple[SourceSettings, ...]) -> tuple[SourceSettings, ...]:
    """Sources with different names: the folder's, with the one above it where two are called the same."""
    short = [source.name or source.path.name for source in sources]
    long = [source.name or f"{source.path.parent.name}/{source.path.name}" for source in sources]
    names = [long[i] if short.count(name) > 1 else name for i, name in enumerate(short)]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"[data] sources: two are named {twice[0]!r}; give each a name = of its own")
    return tuple(dataclasses.replace(source, name=name) for source, name in zip(sources, names))


def binding(settings: TrainSettings) -> dict[str, Any]:
    """What must not change in a run, by name: all but harmless settings and paths (their content is compared)."""
    found: dict[str, Any] = {f"model.{name}": value for name, value in settings.model.items()}
    for table, kind in TABLES.items():
        values = getattr(settings, table)
        for f in fields(kind):
            if not f.metadata["harmless"] and f.metadata["kind"] not in ("path", "sources", "checkpoint"):
                found[f"{table}.{f.name}"] = getattr(values, f.name)
    found["data.sources"] = [[source.name, source.weight] for source in settings.data.sources]
    found["data.validation"] = "set" if settings.data.validation else "not set"
    if settings.run.init_from is not None:  # not there where it is not set: runs from before it existed go on
        found["run.init_from"] = "set"
    return found


def check_unchanged(before: TrainSettings, now: TrainSettings) -> None:
    """Raise ValueError, naming each setting, when a pretraining run would be resumed as another.

    Both are resolved. What only says how often to look, what to keep or how long to continue may change.
    """
    check_same(binding(before), binding(now))


def check_same(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Raise ValueError, naming each setting that differs, when a run would be resumed as another."""
    shown = lambda values, name: repr(values[name]) if name in values else "nothing"  # noqa: E731
    changed = [
        f"{name}: {shown(old, name)} before, {shown(new, name)} now"
        for name in {**new, **old}
        if old.get(name) != new.get(name)
    ]
    if changed:
        raise ValueError(
            f"the settings of this run have changed ({'; '.join(changed)}); put them back to resume it, "
            "or train in another folder (--out)"
        )
