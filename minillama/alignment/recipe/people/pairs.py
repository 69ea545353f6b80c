"""Pairs of people and their prompts, in parts that share no first message.

    helpful.jsonl  safety.jsonl     55 %   what the reward models learn from, and policies are asked
    …-judge.jsonl                   25 %   what the judges learn from (judging.py)
    …-held-out.jsonl                10 %   validation: reward models, temperature, the end of PPO
    …-test.jsonl                    10 %   for the report alone
    prompts-train.jsonl …                  the prompts of the first, third and fourth part
    model/                                 the base model

helpful-base has prompts of the kind "helpful". harmless-base has those that its authors meant to elicit what is unsafe:
of the kind "adversarial", and tagged, so that the safety model decides alone about answers to them. A dialogue may be
in both files, in other words after the same first message; so both are split by one draw.

hh-rlhf says neither how clear a preference was nor what is safe.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...models import ChatModel, Prompt
from ...ppo.prompts import quotas
from ...preferences import Comparison, read_hh_rlhf, write_comparisons
from ...rejection_sampling.round_files import read_prompts, write_prompts
from ...reward.token_pairs import token_pair
from ..pipeline import Context
from ..steps.preferences import HELD_OUT, HELPFUL, SAFETY
from ..steps.shared import keep_model, seed_for, settings_of, template_of

PAIRS = "pairs"
"""The step."""
FILES = {HELPFUL: "helpful-base.jsonl.gz", SAFETY: "harmless-base.jsonl.gz"}
KINDS = {HELPFUL: "helpful", SAFETY: "adversarial"}
JUDGE, TEST = "-judge", "-test"
PARTS = {"": 0.55, JUDGE: 0.25, HELD_OUT: 0.1, TEST: 0.1}
SPLITS = {"train": "", "validation": HELD_OUT, "test": TEST}
"""The parts that prompts are drawn from."""

_PAIR_TOKENS = 1024  # of dialogue and answer; a longer row would decide how much memory a step takes
_PROMPT_TOKENS = 320  # of what is answered: sampling, scoring and PPO read it again and again


def read_pairs(folder: Path) -> dict[str, list[Comparison]]:
    """The comparisons of both files of hh-rlhf, by what they are for.

    Raises
    ------
    ValueError
        When a file is missing, or a row is not of that layout.
    """
    found = {}
    for kind, name in FILES.items():
        path = next((p for p in (folder / name, folder / name.removesuffix(".gz")) if p.exists()), None)
        if path is None:
            raise ValueError(
                f"{folder} has no {name}: --pairs expects a folder with {' and '.join(FILES.values())}: pairs of "
                "Anthropic's hh-rlhf (github.com/anthropics/hh-rlhf), where they are helpful-base/test.jsonl.gz and so "
                "on, or of that layout"
            )
        some = read_hh_rlhf(path, source=f"{KINDS[kind]}", tagged=kind == SAFETY)
        found[kind] = [replace(one, prompt=replace(one.prompt, kind=KINDS[kind])) for one in some]
    return found


def pairs(context: Context) -> Mapping[str, Any]:
    """The files of the head of this file."""
    recipe = settings_of(context).recipe
    model = ChatModel.load(recipe.model, template_of(context), max_seq_len=recipe.context)
    context.once("model", lambda folder: keep_model(model, folder))
    read = read_pairs(Path(recipe.pairs))
    longest = min(_PAIR_TOKENS, model.config.max_seq_len)
    most, seed = settings_of(context).preferences.requests, seed_for(context, "pairs")
    some_of = {kind: _drawn(some, most, [seed, i]) for i, (kind, some) in enumerate(sorted(read.items()))}
    short = {kind: [one for one in some if _n_tokens(one, model) <= longest] for kind, some in some_of.items()}
    split = parts_of([one for some in short.values() for one in some], seed_for(context, "parts"))
    counts: dict[str, Any] = {"left out as too long": sum(len(some_of[kind]) - len(short[kind]) for kind in read)}
    for kind, some in short.items():
        for part in PARTS:
            chosen = [one for one in some if split[_first(one.prompt)] == part]
            if not chosen:
                raise ValueError(
                    f"{FILES[kind]}: none of its {len(read[kind])} pairs is left for the part {part or 'train'!r}; "
                    f"give more pairs, with different first messages and of at most {longest} tokens"
                )
            context.once(f"{kind}{part}.jsonl", partial(write_comparisons, comparisons=chosen))
            counts[f"{kind}{part}".replace("-", " ")] = len(chosen)
    for name, part in SPLITS.items():
        asked = [one.prompt for some in short.values() for one in some if split[_first(one.prompt)] == part]
        kept = [one for one in _different(asked) if len(model.encode(one.dialogue)) <= _PROMPT_TOKENS]
        context.once(f"prompts-{name}.jsonl", partial(write_prompts, prompts=kept))
        counts[f"prompts {name}"] = len(kept)
    return counts


def _drawn(comparisons: Sequence[Comparison], most: int, seed: Sequence[int]) -> list[Comparison]:
    """At most so many of them, in their order; all where `most` is 0."""
    if not 0 < most < len(comparisons):
        return list(comparisons)
    return [comparisons[i] for i in sorted(np.random.default_rng(seed).permutation(len(comparisons))[:most].tolist())]


def parts_of(comparisons: Sequence[Comparison], seed: int) -> dict[str, str]:
    """The part of every first message: all pairs that begin with it are in the same."""
    members: dict[str, int] = {}
    for one in comparisons:
        members[_first(one.prompt)] = members.get(_first(one.prompt), 0) + 1
    messages, found, so_far = list(members), dict[str, str](), 0
    names, ends = list(PARTS), np.cumsum(list(PARTS.values())) * len(comparisons)
    for i in np.random.default_rng(seed).permutation(len(messages)):
        place = int(np.searchsorted(ends, so_far + members[messages[i]] / 2))
        found[messages[i]] = names[min(place, len(names) - 1)]
        so_far += members[messages[i]]
    return found


def people_requests(
    context: Context, what: str, n: int, mix: Mapping[str, float] | None = None, split: str = "train"
) -> list[Prompt]:
    """At most `n` prompts of a split, with the shares of `mix`; fewer of a kind where there are no more."""
    by_kind: dict[str, list[Prompt]] = {}
    for one in read_prompts(context.of(PAIRS) / f"prompts-{split}.jsonl").values():
        by_kind.setdefault(one.kind, []).append(one)
    found = []
    for place, (kind, quota) in enumerate(sorted(quotas(list(by_kind), n, mix).items())):
        order = np.random.default_rng([seed_for(context, what), place]).permutation(len(by_kind[kind]))
        found += [by_kind[kind][i] for i in order[:quota]]
    return found


def _first(prompt: Prompt) -> str:
    return prompt.dialogue[0]["content"]


def _n_tokens(comparison: Comparison, model: ChatModel) -> int:
    pair = token_pair(comparison, model.chat, model.tokenizer)
    return max(len(pair.chosen), len(pair.rejected))


def _different(prompts: Iterable[Prompt]) -> list[Prompt]:
    """Each dialogue once, whichever file it is in."""
    found: dict[tuple[str, ...], Prompt] = {}
    for one in prompts:
        found.setdefault(tuple(message["content"] for message in one.dialogue), one)
    return list(found.values())
