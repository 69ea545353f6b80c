"""What the values of a run may be, asked before it begins: no step is to end hours later at one that it cannot use.

`files.py` asks for types, when a file is read. Whether a value makes sense depends on other values and on the stages
that take place, so that it is asked here, of the settings as they will be fixed. A stage whose count is 0 is left out,
and what it would have taken is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ....training.settings_toml import SettingsError
from .tables import RecipeSettings

_MOST_CONTEXT = 1 << 20  # tables of positions are that long
_MOST_REPLAY = 100.0
_FEWEST_PAIRS = 8  # some answers are the same twice, some pairs are left out: both reward models need one at least
MARGINS = ("none", "small", "large")  # those of reward/objective.py, which is not imported to read a file


class Limit(NamedTuple):
    """What a setting is to be: "table.key", in words, and as a function of its value."""

    key: str
    expected: str
    holds: Callable[[Any], bool]


def check_limits(settings: RecipeSettings) -> None:
    """Raise SettingsError, with table, key, what was expected and what was found, for the first value that is wrong."""
    for key, expected, holds in _limits(settings):
        table, _, name = key.partition(".")
        value = getattr(getattr(settings, table), name)
        if not holds(value):
            found = list(value) if isinstance(value, tuple) else value
            raise SettingsError(f"[{table}] {name}: expected {expected}, found {found!r}"[:300])


def _limits(settings: RecipeSettings) -> Iterator[Limit]:
    """Of the stages that these settings ask for, in their order."""
    recipe = settings.recipe
    yield Limit("recipe.model", "the base model: a known name, a file or a folder (--model)", bool)
    yield _at_least("recipe.max_tokens", 1)
    yield Limit(
        "recipe.context",
        f"more than the {recipe.max_tokens} tokens of an answer ([recipe] max_tokens), and at most {_MOST_CONTEXT:,}",
        lambda value: recipe.max_tokens < value <= _MOST_CONTEXT,
    )
    if recipe.world == "story":
        yield from _story(settings)
    elif recipe.conversations:
        yield from (_at_least(f"sft.{name}", 1) for name in ("demonstrations", "epochs", "batch_tokens"))
        yield _above_0("sft.peak")
    yield from _reward()
    if settings.distillation.requests:
        yield from _learned("distillation")
        yield _at_most("distillation.replay", _MOST_REPLAY)
    if settings.rejection.rounds:
        yield from (_at_least("rejection.requests", 1), _at_least("rejection.samples", 1))
        yield from (*_learned("rejection"), _at_most("rejection.replay", _MOST_REPLAY))
        yield Limit("rejection.temperatures", "different numbers", lambda some: len(set(some)) == len(some))
    yield Limit("ppo.gate", "a probability below 1", lambda value: value < 1)
    if settings.ppo.iterations:
        yield from _ppo(settings.ppo.prompts)
    if settings.ghost_attention.dialogues:
        least = settings.ghost_attention.least_turns
        yield _at_least("ghost_attention.least_turns", 1)
        yield Limit(
            "ghost_attention.most_turns",
            f"2 or more, and not below least_turns ({least})",
            lambda value: value >= max(2, least),
        )
        yield from (*_learned("ghost_attention"), _at_most("ghost_attention.replay", _MOST_REPLAY))
    yield _at_least("report.requests", 1)
    yield Limit("report.turns", "numbers from 1 in ascending order", _is_rising)


def _story(settings: RecipeSettings) -> Iterator[Limit]:
    """Of the stages that the world of stories alone has."""
    if not settings.recipe.text:
        yield Limit("stories.count", "1 or more, where no file of stories is given (--text)", lambda value: value >= 1)
    yield from (_at_least("sft.steps", 1), _at_least("sft.batch_tokens", 1), _above_0("sft.peak"))
    if settings.verified.requests:
        yield from (_at_least("verified.samples", 1), *_learned("verified"))
        yield Limit("verified.share", "above 0 and at most 1", _is_share)
    yield from (_at_least(f"preferences.{name}", _FEWEST_PAIRS) for name in ("requests", "held_out"))
    yield Limit(
        "preferences.refresh",
        f"{_FEWEST_PAIRS} or more, or 0 for none",
        lambda value: value == 0 or value >= _FEWEST_PAIRS,
    )
    yield Limit(
        "preferences.temperatures",
        "two different numbers or more, all above 0",
        lambda some: len(set(some)) == len(some) >= 2 and min(some) > 0,
    )


def _reward() -> Iterator[Limit]:
    for kind in ("helpful", "safety"):
        yield from (_at_least(f"reward.{kind}_epochs", 1), _above_0(f"reward.{kind}_peak"))
        yield Limit(f"reward.{kind}_mix", "above 0 and at most 1", _is_share)
    yield _at_least("reward.batch_pairs", 1)
    yield Limit("reward.margin", "one of " + ", ".join(MARGINS), lambda value: value in MARGINS)
    yield _at_most("reward.gate_share", 1.0)


def _ppo(prompts: int) -> Iterator[Limit]:
    yield from (_at_least("ppo.prompts", 1), _at_least("ppo.validation", 1))
    yield Limit(
        "ppo.mini_batch",
        f"a number that divides [ppo] prompts ({prompts})",
        lambda value: 1 <= value <= prompts and prompts % value == 0,
    )
    for name in ("peak", "value_peak", "clip", "temperature"):
        yield _above_0(f"ppo.{name}")
    for name in ("gamma", "lam"):
        yield _at_most(f"ppo.{name}", 1.0)
    for name in ("validate_every", "patience"):
        yield _at_least(f"ppo.{name}", 1)


def _learned(table: str) -> tuple[Limit, Limit]:
    """Of a stage that fine-tunes on answers."""
    return _at_least(f"{table}.epochs", 1), _above_0(f"{table}.peak")


def _at_least(key: str, least: int) -> Limit:
    return Limit(key, f"{least} or more", lambda value: value >= least)


def _at_most(key: str, most: float) -> Limit:
    return Limit(key, f"at most {most:g}", lambda value: value <= most)


def _above_0(key: str) -> Limit:
    return Limit(key, "a number above 0", lambda value: value > 0)


def _is_share(value: float) -> bool:
    return 0 < value <= 1


def _is_rising(turns: tuple[int, ...]) -> bool:
    return min(turns) >= 1 and list(turns) == sorted(set(turns))
