"""Lists that a chat model writes itself: hobbies, public figures, whatever an instruction may name.

LLaMA 2 made its pools of constraints so (section 3.3: "we asked Llama 2-Chat to generate it"). A model is asked many
times, in several ways, because one list of forty would repeat itself; each answer is read line by line, and what is
new stays. The words are taken as they come: what a small model lists may be no hobby at all, so that whoever uses a
list reads it, or gives `accepts`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ..models import ChatModel, Prompt
from ..rollouts import sample_answers

_ITEM = re.compile(r"^\s*(?:\d+\s*[.):]|[-*•])\s*(.+)$")
_NUMBER = re.compile(r"(?<!\w)\d+[.)]\s+")
_AFTER = re.compile(r"\s+[–—-]\s.*$|[:(;].*$")  # explanations behind an item


def list_items(text: str) -> list[str]:
    """The items of a list in an answer: what stands behind numbers or bullets, without explanations and marks.

    An answer without a list of lines may be one in a single line, with numbers or commas.
    """
    found = [match.group(1) for line in text.splitlines() if (match := _ITEM.match(line))]
    if len(found) < 2 and len(_NUMBER.findall(text)) > 1:
        found = [part.strip(" '\"“”;,.") for part in _NUMBER.split(text)[1:]]
    elif not found and text.count(",") >= 2:
        last = text.strip().splitlines()[-1].rpartition(":")[2]
        found = re.split(r",\s*(?:and\s+)?|\s+and\s+", last)
    items = [_AFTER.sub("", re.sub(r"[*_`\"“”]", "", item)).strip(" .,!") for item in found]
    return [item for item in items if item]


def chat_model_lists(
    model: ChatModel,
    requests: Sequence[str],
    *,
    n: int,
    accepts: Callable[[str], bool] = lambda item: len(item.split()) <= 4,
    least_times: int = 1,
    answers_each: int = 4,
    temperature: float = 0.9,
    top_p: float = 0.95,
    max_tokens: int = 160,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """What a chat model lists when it is asked, without doubles.

    Parameters
    ----------
    requests : sequence of str
        Ways to ask: "List ten hobbies that people have outdoors, one on each line."
    n : int
        Items to return at most, those first that were listed most often.
    accepts : callable
        Which items stay; by default those of four words at most.
    least_times : int
        Answers that an item is in at least: what a small model makes up, it makes up once.
    answers_each : int
        Answers drawn to each request.
    seed, progress, temperature, top_p, max_tokens
        See `sample_answers`.

    Raises
    ------
    ValueError
        When no answer had an item that stays.
    """
    prompts = [Prompt(f"list-{i}", ({"role": "user", "content": text},), "list") for i, text in enumerate(requests)]
    sampled = sample_answers(
        model,
        prompts,
        k=answers_each,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
        max_tokens=max_tokens,
        progress=progress,
    )
    answers = [answer for of_prompt in sampled for answer in of_prompt]
    counts: dict[str, int] = {}
    spelled: dict[str, str] = {}
    for answer in answers:
        items = list_items(answer.text)
        items = items if answer.ended else items[:-1]  # the last one may be cut
        for item in dict.fromkeys(item for item in items if accepts(item)):
            key = _key(item)
            counts[key] = counts.get(key, 0) + 1
            spelled.setdefault(key, item)
    counts = {key: n_times for key, n_times in counts.items() if n_times >= least_times}
    if not counts:
        raise ValueError(f"none of {len(answers)} answers has a list with items that stay: ask in another way")
    order = sorted(counts, key=lambda key: -counts[key])  # stable: equal ones in the order in which they came
    return [spelled[key] for key in order[:n]]


def _key(item: str) -> str:
    """Equal for items that are the same to a reader: capitals, plurals and articles aside."""
    words = re.sub(r"^(?:the|a|an)\s+", "", item.lower())
    return words.removesuffix("s")
